//! The tests that the macros of the domains expand to.

use std::io::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use super::case::Harness;
use super::report::{CaseReport, Outcome, SuiteReport};
use super::report_files;
use super::suite::{Factory, Probe, Suite};

/// The tests of one expansion of a macro such as `http_conformance!`: one `#[test]` per case.
///
/// The totals are printed after the last test that the command line selects. They go to standard error directly,
/// because the output of tests that pass is not shown. The reports are written then too, if
/// [`REPORT_DIRECTORY`](super::report::REPORT_DIRECTORY) names a directory.
pub struct CaseTests<H: ?Sized> {
    suite: Suite<H>,
    factory: Factory<H>,
    /// The module of the expansion, without the crate.
    module: &'static str,
    /// The failure is that of a harness that panics.
    probe: OnceLock<Result<Probe, Box<CaseReport>>>,
    reports: Mutex<Vec<(usize, CaseReport)>>,
}

impl<H: Harness + ?Sized> CaseTests<H> {
    /// The tests in the module `module_path`.
    pub fn new(suite: Suite<H>, factory: fn() -> Arc<H>, module_path: &'static str) -> Self {
        Self {
            suite,
            factory: Arc::new(factory),
            module: module_path.split_once("::").map_or("", |(_, module)| module),
            probe: OnceLock::new(),
            reports: Mutex::default(),
        }
    }

    /// Runs one case. `name` is its id without the domain.
    ///
    /// # Panics
    /// If the case fails.
    pub fn run(&self, name: &str) {
        let id = format!("{}::{name}", self.suite.domain);
        let index = self.suite.index_of(&id).expect("each test is a case");
        let test = self.test_name(&id);
        let report = match self.probe() {
            Ok(probe) => self.suite.run_as_test(probe, index, &self.factory, &test),
            Err(failed) => self.suite.not_run(index, failed),
        };
        let ended = report.clone();
        self.record(index, report);
        match ended.outcome {
            Outcome::Passed => {}
            Outcome::Failed => panic!("{} ({}): {}", ended.case, ended.clause, ended.reason),
            other => println!("{}: {}: {}", other.text(), ended.case, ended.reason),
        }
    }

    /// Checks that the known failures of the harness name cases.
    ///
    /// # Panics
    /// If one does not, or if a case is listed twice.
    pub fn check_known_failures(&self) {
        let wrong = match self.probe() {
            Ok(probe) => self.suite.wrong_known_failures(probe),
            Err(failed) => vec![CaseReport::clone(failed)],
        };
        if let Some(first) = wrong.first() {
            panic!("{}: {}", first.case, first.reason);
        }
    }

    fn probe(&self) -> &Result<Probe, Box<CaseReport>> {
        self.probe.get_or_init(|| self.suite.probe(&self.factory))
    }

    fn record(&self, index: usize, report: CaseReport) {
        let mut reports = self.reports.lock().unwrap_or_else(PoisonError::into_inner);
        reports.push((index, report));
        let selection = Selection::new(std::env::args().skip(1));
        let names = self.suite.cases.iter().map(|case| self.test_name(case.id));
        if reports.len() == names.filter(|name| selection.includes(name)).count() {
            reports.sort_by_key(|(index, _)| *index);
            let reports = SuiteReport::new(reports.drain(..).map(|(_, report)| report).collect());
            // A tool that starts one process for each test gets one file for each.
            let part = match &reports.cases[..] {
                [case] if selection.exact => self.test_name(&case.case),
                _ => self.module.to_owned(),
            };
            if let Err(error) = report_files::write(&reports.cases, &part.replace("::", ".")) {
                panic!("the conformance report cannot be written: {error}");
            }
            // The line of a test may have begun. An error is ignored: the tests do not depend on this output.
            let _ = write!(std::io::stderr(), "\n{}", reports.summary());
        }
    }

    /// The name that the test harness of Rust has for the test of a case.
    fn test_name(&self, id: &str) -> String {
        let name = id.strip_prefix(self.suite.domain).unwrap_or(id);
        if self.module.is_empty() {
            name.trim_start_matches("::").to_owned()
        } else {
            format!("{}{name}", self.module)
        }
    }
}

/// What the argument of a macro such as `http_conformance!` may make: a harness of the suite, or an `Arc` of one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a harness of this suite, `{H}`",
    label = "the argument of the macro makes this",
    note = "pass a closure or function that makes your harness, or an `Arc` of it: `|| Arc::new(MyHarness::new())`",
    note = "`MyHarness` implements `Harness` and the harness trait of the suite, such as `HttpHarness`"
)]
pub trait IntoHarness<H: ?Sized> {
    /// The harness behind a pointer.
    fn into_harness(self) -> Arc<H>;
}

impl<H: ?Sized> IntoHarness<H> for Arc<H> {
    fn into_harness(self) -> Self {
        self
    }
}

impl<H: ?Sized> std::fmt::Debug for CaseTests<H> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CaseTests")
            .field("suite", &self.suite)
            .field("module", &self.module)
            .finish_non_exhaustive()
    }
}

/// The tests that the arguments of a test binary select, as the test harness of Rust understands them.
#[derive(Debug, Default)]
struct Selection {
    filters: Vec<String>,
    skipped: Vec<String>,
    exact: bool,
    /// Whether only ignored tests run. No test of a case is ignored.
    ignored: bool,
}

/// The options whose value may be the next argument, without those that this type reads.
const WITH_VALUE: [&str; 6] = [
    "--test-threads",
    "--logfile",
    "--color",
    "--format",
    "--shuffle-seed",
    "-Z",
];

impl Selection {
    fn new(arguments: impl IntoIterator<Item = String>) -> Self {
        let mut selection = Self::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--exact" => selection.exact = true,
                "--ignored" => selection.ignored = true,
                "--skip" => selection.skipped.extend(arguments.next()),
                option if WITH_VALUE.contains(&option) => drop(arguments.next()),
                "--" => selection.filters.extend(arguments.by_ref()),
                option if option.starts_with('-') => {
                    selection
                        .skipped
                        .extend(option.strip_prefix("--skip=").map(str::to_owned));
                }
                _ => selection.filters.push(argument),
            }
        }
        selection
    }

    fn includes(&self, name: &str) -> bool {
        let matches = |filter: &String| {
            if self.exact {
                name == filter
            } else {
                name.contains(filter)
            }
        };
        !self.ignored
            && (self.filters.is_empty() || self.filters.iter().any(matches))
            && !self.skipped.iter().any(matches)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The names that the arguments select of three.
    fn selected(arguments: &[&str]) -> Vec<&'static str> {
        let selection = Selection::new(arguments.iter().map(|&argument| argument.to_owned()));
        let names = ["http::retry::first", "http::retry::second", "http::body::first"];
        names.into_iter().filter(|name| selection.includes(name)).collect()
    }

    #[test]
    fn arguments_select_as_in_the_test_harness_of_rust() {
        let all = ["http::retry::first", "http::retry::second", "http::body::first"];
        let (retry, body) = (&all[..2], &all[2..]);
        for (arguments, expected) in [
            (&[][..], &all[..]),
            (&["--nocapture", "-q", "--test-threads", "1", "--color=never"], &all),
            (&["retry"], retry),
            (&["retry", "body"], &all),
            (&["first", "--skip", "retry"], body),
            (&["--skip=retry"], body),
            (&["--exact", "http::body::first"], body),
            (&["--exact", "first"], &[]),
            (&["--format", "json", "-Z", "unstable-options", "body"], body),
            (&["--ignored"], &[]),
            (&["--include-ignored"], &all),
            (&["--", "body"], body),
        ] {
            assert_eq!(selected(arguments), expected, "{arguments:?}");
        }
    }
}
