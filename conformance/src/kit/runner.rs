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
//! Cases that do not apply are shown as `ignored` with their reason. If the environment variable
//! [`NETWORKING_CONFORMANCE_REPORT`](REPORT_DIRECTORY) names a directory, the reports of all cases are written there as
//! JSON.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Conclusion, Failed, Trial};

use super::case::{Applies, Harness};
pub use super::report::REPORT_DIRECTORY;
use super::report::{CaseReport, Outcome};
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
    trials: Vec<TrialBox>,
    reports: Arc<Mutex<Vec<CaseReport>>>,
    threads: Option<usize>,
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

    /// Adds every case of a suite against the backend whose harness `factory` makes.
    ///
    /// `factory` is called inside a tokio runtime: once here to ask which cases apply, and twice for each case that
    /// runs, to ask for its runtime and to run it.
    pub fn add<H, F>(mut self, suite: Suite<H>, factory: F) -> Self
    where
        H: Harness + ?Sized,
        F: Fn() -> Arc<H> + Send + Sync + 'static,
    {
        let suite = Arc::new(suite);
        let factory: Factory<H> = Arc::new(factory);
        // The test runner must know which cases are ignored before it starts.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime can be built");
        let probe = {
            let _guard = runtime.enter();
            factory()
        };
        let backend = probe.backend();
        for (index, case) in suite.cases.iter().enumerate() {
            let (outcome, reason) = match (case.applies)(&probe) {
                Applies::Yes => (Outcome::Passed, ""),
                Applies::Unsupported(capability) => (Outcome::Unsupported, capability),
                Applies::Skipped(what) => (Outcome::Skipped, what),
            };
            let ignored = outcome != Outcome::Passed;
            let name = if ignored {
                self.reports.lock().expect("no panic while reporting").push(CaseReport {
                    domain: suite.domain.to_owned(),
                    backend: backend.to_owned(),
                    case: case.id.to_owned(),
                    clause: case.clause.to_owned(),
                    outcome,
                    reason: reason.to_owned(),
                    millis: 0,
                });
                format!("{backend}::{} ({outcome}: {reason})", case.id)
            } else {
                format!("{backend}::{}", case.id)
            };
            let (suite, factory, reports) = (Arc::clone(&suite), Arc::clone(&factory), Arc::clone(&self.reports));
            let trial = Trial::test(name, move || {
                let report = suite.run_case(&suite.cases[index], &factory);
                let result = match report.outcome {
                    Outcome::Failed => Err(Failed::from(format!("{}: {}", report.clause, report.reason))),
                    _ => Ok(()),
                };
                reports.lock().expect("no panic while reporting").push(report);
                result
            });
            self.trials.push(TrialBox(trial.with_ignored_flag(ignored)));
        }
        drop(probe);
        runtime.shutdown_background();
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
        self.trials.push(TrialBox(trial));
        self
    }

    /// Runs the tests that the command line selects, and writes the reports.
    pub fn run(self) -> ExitCode {
        let arguments = Arguments::from_args();
        let reports = Arc::clone(&self.reports);
        let conclusion = self.conclude(&arguments);
        if !arguments.list
            && let Some(directory) = std::env::var_os(REPORT_DIRECTORY)
        {
            let reports = reports.lock().expect("no panic while reporting");
            if let Err(error) = write_reports(Path::new(&directory), &reports) {
                eprintln!("the conformance report cannot be written: {error}");
                return ExitCode::FAILURE;
            }
        }
        conclusion.exit_code()
    }

    fn conclude(self, arguments: &Arguments) -> Conclusion {
        let mut arguments = arguments.clone();
        arguments.test_threads = arguments.test_threads.or(self.threads);
        libtest_mimic::run(&arguments, self.trials.into_iter().map(|trial| trial.0).collect())
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

struct TrialBox(Trial);

impl std::fmt::Debug for TrialBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

/// Writes one file per test binary, named after the binary.
fn write_reports(directory: &Path, reports: &[CaseReport]) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let binary = std::env::current_exe()?;
    let name = binary.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let json = serde_json::to_vec_pretty(reports).map_err(std::io::Error::other)?;
    std::fs::write(directory.join(format!("{name}.json")), json)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Writes the output to a file, because an expected failure must not look like a failure of this test binary.
    fn conclude(runner: Runner, name: &str) -> Conclusion {
        let log = std::env::temp_dir().join(format!("networking-conformance-{}-{name}", std::process::id()));
        let conclusion = runner.conclude(&Arguments {
            logfile: Some(log.to_string_lossy().into_owned()),
            ..Arguments::default()
        });
        std::fs::remove_file(log).unwrap();
        conclusion
    }

    #[test]
    fn a_runner_without_tests_succeeds() {
        let conclusion = conclude(Runner::new(), "empty");
        assert!(!conclusion.has_failed(), "{conclusion:?}");
    }

    #[test]
    fn a_plain_test_fails_if_it_panics() {
        let runner = Runner::new()
            .test("passes", || {})
            // Unlike `panic!`, without a message on the standard error stream.
            .test("panics", || std::panic::resume_unwind(Box::new("a reason")));
        let conclusion = conclude(runner, "plain");
        assert_eq!((conclusion.num_passed, conclusion.num_failed), (1, 1));
    }
}
