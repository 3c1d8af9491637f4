//! The `main` of a test binary: one test per case, which is listed and filtered like any other test.
//!
//! In `Cargo.toml`:
//!
//! ```toml
//! [[test]]
//! name = "conformance"
//! harness = false
//! ```
//!
//! Cases that do not apply are shown as `ignored`, with the reason after the name. The names of known failures have the
//! reason too. After the tests, standard error has one line of totals per suite and backend, and the known failures:
//!
//! ```text
//! my-backend (http): 31 passed, 1 known failure, 32 unsupported: retry, metrics, redirect_control
//!   known failure: http::redirect::endless_redirects_are_an_error: issue 7
//! ```
//!
//! If the environment variable [`NETWORKING_CONFORMANCE_REPORT`](REPORT_DIRECTORY) names a directory, the reports of all
//! selected cases are written there, as JSON and as JUnit XML.

use std::collections::BTreeSet;
use std::fmt;
use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};

use super::case::{Applies, Harness};
pub use super::report::REPORT_DIRECTORY;
use super::report::{CaseReport, Outcome, SuiteReport};
use super::report_files;
use super::suite::{Factory, Suite};

/// The tests of a binary: suites against backends, and plain tests.
///
/// ```
/// use networking_conformance::runner::Runner;
///
/// # fn run() -> std::process::ExitCode {
/// Runner::new()
///     .test("arithmetic::adds", || assert_eq!(1 + 1, 2))
///     .run()
/// # }
/// ```
///
/// A runner without tests succeeds, because a binary may add suites and tests by feature and be built without these
/// features.
#[derive(Debug, Default)]
#[must_use = "a runner does nothing until it is run"]
pub struct Runner {
    trials: Vec<CaseTrial>,
    reports: Vec<Arc<Reports>>,
    threads: Option<usize>,
    /// The backend and the case of every test.
    added: BTreeSet<(&'static str, &'static str)>,
}

/// The reports of one suite against one backend, in the order of its cases.
#[derive(Debug)]
struct Reports(Mutex<Vec<Option<CaseReport>>>);

impl Reports {
    /// Ignores poisoning: a report is complete, or it is missing.
    fn lock(&self) -> MutexGuard<'_, Vec<Option<CaseReport>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, index: usize, report: CaseReport) {
        self.lock()[index] = Some(report);
    }

    fn to_report(&self) -> SuiteReport {
        SuiteReport::new(self.lock().iter().flatten().cloned().collect())
    }
}

impl Runner {
    /// A runner without tests.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs at most `threads` tests at a time, unless `--test-threads` is given. The default is one per processor,
    /// which is slow for cases that mostly wait for a peer.
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Adds every case of a suite against the backend whose harness `factory` makes, and a failed test for each
    /// [known failure](Harness::known_failures) that names no case.
    ///
    /// A suite whose first harness panics is one failed test, and so is the same suite for a second backend of the same name. The
    /// other suites run.
    ///
    /// `factory` is called inside a tokio runtime: once here, to ask which cases apply, and then once for each case that
    /// runs.
    pub fn add<H, F>(mut self, suite: Suite<H>, factory: F) -> Self
    where
        H: Harness + ?Sized,
        F: Fn() -> Arc<H> + Send + Sync + 'static,
    {
        let factory: Factory<H> = Arc::new(factory);
        // The test runner must know which cases are ignored before it starts.
        let probed = suite.probe(&factory).and_then(|probe| {
            let added = suite.cases.iter().map(|case| (probe.backend, case.id));
            if added.clone().all(|case| !self.added.contains(&case)) {
                self.added.extend(added);
                Ok(Arc::new(probe))
            } else {
                let reason = format!(
                    "this runner has another {} suite whose backend is named {:?}; give each harness its own name",
                    suite.domain, probe.backend
                );
                Err(Box::new(suite.refused(probe.backend, reason)))
            }
        });
        let probe = match probed {
            Ok(probe) => probe,
            Err(failed) => return self.add_failure(*failed),
        };
        let wrong = suite.wrong_known_failures(&probe);
        let reports = Arc::new(Reports(Mutex::new(vec![None; suite.cases.len() + wrong.len()])));
        let suite = Arc::new(suite);
        for (index, case) in suite.cases.iter().enumerate() {
            let note = match probe.applies[index] {
                Applies::Yes | Applies::InEnvironment(_) => probe
                    .known_failure(case.id)
                    .map(|known| (Outcome::KnownFailure, known.reason)),
                Applies::Unsupported(capability) => Some((Outcome::Unsupported, capability)),
                Applies::Skipped(what) => Some((Outcome::Skipped, what)),
            };
            let note = note.map(|(outcome, reason)| format!(" ({}: {reason})", outcome.text()));
            let name = format!("{}::{}{}", probe.backend, case.id, note.unwrap_or_default());
            // A case that does not apply has its report without being run.
            let ignored = matches!(probe.applies[index], Applies::Unsupported(_) | Applies::Skipped(_));
            let report = ignored.then(|| suite.run_probed(&probe, index, &factory));
            let (suite, probe, factory) = (Arc::clone(&suite), Arc::clone(&probe), Arc::clone(&factory));
            let test = name.clone();
            let run = move || suite.run_as_test(&probe, index, &factory, &test);
            let mut trial = CaseTrial::new(name, &reports, index, run);
            trial.trial = trial.trial.with_ignored_flag(ignored);
            trial.report = report.map(|report| (Arc::clone(&reports), index, report));
            self.trials.push(trial);
        }
        for (index, report) in (suite.cases.len()..).zip(wrong) {
            let name = format!("{}::{}", probe.backend, report.case);
            self.trials.push(CaseTrial::new(name, &reports, index, || report));
        }
        self.reports.push(reports);
        self
    }

    /// Adds a suite that cannot run, as one test that fails.
    fn add_failure(mut self, failed: CaseReport) -> Self {
        let reports = Arc::new(Reports(Mutex::new(vec![None])));
        let name = format!("{}::{}", failed.backend, failed.case);
        self.trials.push(CaseTrial::new(name, &reports, 0, || failed));
        self.reports.push(reports);
        self
    }

    /// Adds a plain test, which fails if it panics. One binary can then run suites together with other tests, such as
    /// tests of saboteurs.
    ///
    /// Plain tests are not part of the reports.
    pub fn test(mut self, name: impl Into<String>, test: impl FnOnce() + Send + 'static) -> Self {
        let trial = Trial::test(name, move || {
            test();
            Ok(())
        });
        self.trials.push(CaseTrial { trial, report: None });
        self
    }

    /// Runs the tests that the command line selects, prints the totals, and writes the reports.
    pub fn run(self) -> ExitCode {
        let arguments = Arguments::from_args();
        let (list, exact) = (arguments.list, arguments.exact);
        let (conclusion, reports) = self.conclude(arguments);
        if list {
            return conclusion.exit_code();
        }
        let summary: String = reports.iter().map(SuiteReport::summary).collect();
        // An error is ignored: the result does not depend on this output.
        let _ = std::io::stderr().write_all(summary.as_bytes());
        let cases: Vec<CaseReport> = reports.into_iter().flat_map(|report| report.cases).collect();
        // A tool that starts one process for each test gets one file for each.
        let part = match &cases[..] {
            [case] if exact => format!("{}.{}", case.backend, case.case),
            _ => String::new(),
        };
        if let Err(error) = report_files::write(&cases, &part) {
            eprintln!("the conformance report cannot be written: {error}");
            return ExitCode::FAILURE;
        }
        conclusion.exit_code()
    }

    /// Runs the selected tests. Returns the reports of the selected cases, one per suite and backend.
    fn conclude(self, mut arguments: Arguments) -> (Conclusion, Vec<SuiteReport>) {
        arguments.test_threads = arguments.test_threads.or(self.threads);
        let trials = self.trials.into_iter().map(|CaseTrial { trial, report }| {
            if let Some((reports, index, report)) = report
                && !arguments.is_filtered_out(&trial)
            {
                reports.set(index, report);
            }
            trial
        });
        let conclusion = libtest_mimic::run(&arguments, trials.collect());
        (
            conclusion,
            self.reports.iter().map(|reports| reports.to_report()).collect(),
        )
    }
}

/// Runs one suite against one backend, as the `main` of a test binary.
pub fn main<H, F>(suite: Suite<H>, factory: F) -> ExitCode
where
    H: Harness + ?Sized,
    F: Fn() -> Arc<H> + Send + Sync + 'static,
{
    Runner::new().add(suite, factory).run()
}

/// A test, and the report of a case that is ignored.
struct CaseTrial {
    trial: Trial,
    report: Option<(Arc<Reports>, usize, CaseReport)>,
}

impl CaseTrial {
    fn new(
        name: String,
        reports: &Arc<Reports>,
        index: usize,
        run: impl FnOnce() -> CaseReport + Send + 'static,
    ) -> Self {
        let at_end = Arc::clone(reports);
        let trial = Trial::test(name, move || {
            let report = run();
            let result = match report.outcome {
                Outcome::Failed if report.clause.is_empty() => Err(Failed::from(&report.reason)),
                Outcome::Failed => Err(Failed::from(format!("{}: {}", report.clause, report.reason))),
                _ => Ok(()),
            };
            at_end.set(index, report);
            result
        });
        Self { trial, report: None }
    }
}

impl fmt::Debug for CaseTrial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.trial.name())
    }
}

#[cfg(test)]
mod tests {
    use futures_core::future::BoxFuture;

    use super::super::case::{Case, CaseResult, Failure, KnownFailure};
    use super::*;

    /// Writes the output to a file, because an expected failure must not look like a failure of this test binary.
    /// Returns the output too.
    fn conclude(runner: Runner, name: &str, filter: Option<&str>) -> (Conclusion, Vec<SuiteReport>, String) {
        let log = std::env::temp_dir().join(format!("networking-conformance-{}-{name}", std::process::id()));
        let (conclusion, reports) = runner.conclude(Arguments {
            logfile: Some(log.to_string_lossy().into_owned()),
            filter: filter.map(str::to_owned),
            ..Arguments::default()
        });
        let output = std::fs::read_to_string(&log).unwrap();
        std::fs::remove_file(log).unwrap();
        (conclusion, reports, output)
    }

    #[test]
    fn a_runner_without_tests_succeeds() {
        let (conclusion, reports, _) = conclude(Runner::new(), "empty", None);
        assert!(!conclusion.has_failed() && reports.is_empty(), "{conclusion:?}");
    }

    #[test]
    fn a_plain_test_fails_if_it_panics() {
        let runner = Runner::new()
            .test("passes", || {})
            // Unlike `panic!`, without a message on the standard error stream.
            .test("panics", || std::panic::resume_unwind(Box::new("a reason")));
        let (conclusion, ..) = conclude(runner, "plain", None);
        assert_eq!((conclusion.num_passed, conclusion.num_failed), (1, 1));
    }

    struct Backend;

    impl Harness for Backend {
        fn backend(&self) -> &'static str {
            "mine"
        }

        fn known_failures(&self) -> Vec<KnownFailure> {
            vec![
                KnownFailure::new("test::body::fails", "issue 7"),
                KnownFailure::new("test::body::fail", "a typo"),
            ]
        }
    }

    fn fails() -> BoxFuture<'static, CaseResult> {
        Box::pin(async { Err(Failure::new("it does not hold")) })
    }

    fn suite() -> Suite<Backend> {
        let case = |id, applies, run| Case {
            id,
            clause: "TEST-1",
            applies,
            run,
        };
        let fails: fn(_) -> _ = |_: Arc<Backend>| fails();
        Suite {
            domain: "test",
            cases: vec![
                case("test::body::passes", |_| Applies::Yes, |_| Box::pin(async { Ok(()) })),
                case("test::body::fails", |_| Applies::Yes, fails),
                case("test::retry::is_not_there", |_| Applies::Unsupported("retry"), fails),
                case("test::tls::is_skipped", |_| Applies::Skipped("no sockets"), fails),
            ],
        }
    }

    #[test]
    fn each_outcome_is_shown_and_counted() {
        let runner = Runner::new().add(suite(), || Arc::new(Backend));
        let (conclusion, reports, output) = conclude(runner, "outcomes", None);
        assert_eq!(
            (conclusion.num_passed, conclusion.num_failed, conclusion.num_ignored),
            (2, 1, 2)
        );
        for line in [
            "mine::test::body::passes",
            "mine::test::body::fails (known failure: issue 7)",
            "mine::test::retry::is_not_there (unsupported: retry)",
            "mine::test::tls::is_skipped (skipped: no sockets)",
            "the suite has no such case; the nearest is test::body::fails",
        ] {
            assert!(output.contains(line), "{line} is not in\n{output}");
        }
        assert_eq!(
            reports[0].summary(),
            "mine (test): 1 passed, 1 failed, 1 known failure, 1 skipped: no sockets; 1 unsupported: retry\n\
             \x20 known failure: test::body::fails: issue 7\n"
        );
    }

    #[test]
    fn a_harness_that_panics_does_not_end_the_other_suites() {
        let runner = Runner::new()
            .add(suite(), || std::panic::resume_unwind(Box::new("no broker")))
            .add(suite(), || Arc::new(Backend));
        let (conclusion, reports, output) = conclude(runner, "fragile", None);
        assert_eq!((conclusion.num_passed, conclusion.num_failed), (2, 2));
        assert!(output.contains("unknown::test::harness"), "{output}");
        assert_eq!(
            reports[0].cases[0].reason,
            "the first harness of the suite panicked: no broker"
        );
    }

    #[test]
    fn two_suites_with_the_same_name_are_refused() {
        let runner = Runner::new()
            .add(suite(), || Arc::new(Backend))
            .add(suite(), || Arc::new(Backend));
        let (_, reports, output) = conclude(runner, "twice", None);
        assert!(output.contains("mine::test::harness"), "{output}");
        assert_eq!(
            reports[1].cases[0].reason,
            "this runner has another test suite whose backend is named \"mine\"; give each harness its own name"
        );
    }

    #[test]
    fn only_selected_cases_are_reported() {
        let runner = Runner::new().add(suite(), || Arc::new(Backend));
        let (_, reports, _) = conclude(runner, "selected", Some("retry"));
        assert_eq!(reports[0].to_string(), "1 unsupported: retry");
    }
}
