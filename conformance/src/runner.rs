//! A test binary's `main`: one test per case, filtered and listed like any other.
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
//! `NETWORKING_CONFORMANCE_REPORT` names a directory, the reports are written there as JSON.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::case::{Applies, Harness};
use crate::report::{CaseReport, Outcome};
use crate::suite::{Factory, Suite};

/// The environment variable that names the directory for JSON reports.
pub const REPORT_DIRECTORY: &str = "NETWORKING_CONFORMANCE_REPORT";

/// Test trials of one or more suites against one or more backends.
#[derive(Debug, Default)]
pub struct Runner {
    trials: Vec<TrialBox>,
    reports: Arc<Mutex<Vec<CaseReport>>>,
    threads: Option<usize>,
}

struct TrialBox(Trial);

impl std::fmt::Debug for TrialBox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.0.name())
    }
}

impl Runner {
    /// No trials yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Runs so many cases side by side, unless `--test-threads` says otherwise. Without it there is one per processor:
    /// too few for cases that mostly wait for a peer.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = Some(threads);
        self
    }

    /// Adds every case of a suite against the backend whose harness `factory` makes.
    ///
    /// `factory` is called for each case, inside a tokio runtime.
    #[must_use]
    pub fn add<H, F>(mut self, suite: Suite<H>, factory: F) -> Self
    where
        H: Harness + ?Sized,
        F: Fn() -> Arc<H> + Send + Sync + 'static,
    {
        let suite = Arc::new(suite);
        let factory: Factory<H> = Arc::new(factory);
        // One harness is made up front, to know which cases apply: the test runner must be told before it starts.
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("the operating system gives a runtime");
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

    /// Runs the trials as the command line says, and writes the reports.
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        arguments.test_threads = arguments.test_threads.or(self.threads);
        let listing = arguments.list;
        let conclusion = libtest_mimic::run(&arguments, self.trials.into_iter().map(|trial| trial.0).collect());
        if !listing && let Some(directory) = std::env::var_os(REPORT_DIRECTORY) {
            let reports = self.reports.lock().expect("no panic while reporting");
            if let Err(error) = write_reports(Path::new(&directory), &reports) {
                eprintln!("the conformance report cannot be written: {error}");
                return ExitCode::FAILURE;
            }
        }
        conclusion.exit_code()
    }
}

/// Runs one suite against one backend: the whole `main` of a test binary.
pub fn main<H, F>(suite: Suite<H>, factory: F) -> ExitCode
where
    H: Harness + ?Sized,
    F: Fn() -> Arc<H> + Send + Sync + 'static,
{
    Runner::new().add(suite, factory).run()
}

/// One file per test binary, named after it.
fn write_reports(directory: &Path, reports: &[CaseReport]) -> std::io::Result<()> {
    std::fs::create_dir_all(directory)?;
    let binary = std::env::current_exe()?;
    let name = binary.file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let json = serde_json::to_vec_pretty(reports).map_err(std::io::Error::other)?;
    std::fs::write(directory.join(format!("{name}.json")), json)
}
