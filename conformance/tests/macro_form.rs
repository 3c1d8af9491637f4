//! What the tests that a macro expands to print, when the test binary runs them.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_conformance::circuit_breaker::{CircuitBreakerHarness, suite};
use networking_conformance::proof::circuit_breaker::{ModelBreaker, Saboteur};
use networking_conformance::report::{CaseReport, Outcome, REPORT_DIRECTORY};
use networking_conformance::{CaseRuntime, Harness, KnownFailure};
use networking_spi::circuit_breaker::{CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig};

/// A breaker with a known failure, and without a bounded registry.
struct Flawed;

impl Harness for Flawed {
    fn backend(&self) -> &'static str {
        "flawed"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }

    fn known_failures(&self) -> Vec<KnownFailure> {
        vec![KnownFailure::new(
            "breaker::completion::recording_never_panics",
            "issue 7",
        )]
    }
}

#[async_trait]
impl CircuitBreakerHarness for Flawed {
    fn capabilities(&self) -> &'static CircuitBreakerCapabilities {
        const { &CircuitBreakerCapabilities::all() }
    }

    fn breaker(&self, config: CircuitBreakerConfig) -> Arc<dyn CircuitBreaker> {
        Arc::new(ModelBreaker::new(config).with_saboteur(Saboteur::PanicsAfterPanics))
    }

    fn bounded_breaker(&self, _: CircuitBreakerConfig, _: usize) -> Option<Arc<dyn CircuitBreaker>> {
        None
    }

    fn event_capacity(&self) -> Option<usize> {
        Some(64)
    }

    async fn advance(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

mod flawed {
    networking_conformance::circuit_breaker_conformance!(|| std::sync::Arc::new(super::Flawed));
}

/// Runs this test binary with these arguments.
fn run(arguments: &[&str]) -> Output {
    let binary = std::env::current_exe().expect("the path of this binary");
    let output = Command::new(binary).args(arguments).output().expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    output
}

/// The files that are written to a directory when this test binary runs with these arguments, without the name of the target.
fn reports(directory: &Path, arguments: &[&str]) -> BTreeMap<String, String> {
    let binary = std::env::current_exe().expect("the path of this binary");
    let output = Command::new(&binary)
        .args(arguments)
        .env(REPORT_DIRECTORY, directory)
        .env("CARGO_PKG_NAME", "networking-conformance")
        .output()
        .expect("it can be run");
    assert!(output.status.success(), "{output:?}");
    let target = "networking-conformance-proof";
    let files = std::fs::read_dir(directory).expect("the directory of the reports");
    files
        .map(|file| {
            let file = file.expect("a file");
            let name = file.file_name().to_string_lossy().into_owned();
            let name = name.strip_prefix(target).expect("the name of the target").to_owned();
            (name, std::fs::read_to_string(file.path()).expect("a report"))
        })
        .collect()
}

#[test]
fn an_empty_directory_is_none() {
    let output = Command::new(std::env::current_exe().expect("the path of this binary"))
        .args(["flawed::trip"])
        .env(REPORT_DIRECTORY, "")
        .output()
        .expect("it can be run");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn reports_are_written_if_a_directory_is_named() {
    let directory = std::env::temp_dir().join(format!("networking-conformance-macro-form-{}", std::process::id()));
    let files = reports(&directory, &["flawed::trip"]);
    let names: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(names, [".macro_form.flawed.json", ".macro_form.flawed.xml"]);
    let cases: Vec<CaseReport> = serde_json::from_str(&files[names[0]]).expect("an array of reports");
    assert_eq!(cases.len(), cases_in("trip"));
    assert!(
        cases
            .iter()
            .all(|case| case.backend == "flawed" && case.outcome == Outcome::Passed)
    );
    roxmltree::Document::parse(&files[names[1]]).expect("XML");

    // As tools do that start one process for each test.
    for case in ["starts_closed", "consecutive_failures_open"] {
        let files = reports(&directory, &["--exact", &format!("macro_form::flawed::trip::{case}")]);
        let name = format!(".macro_form.flawed.trip.{case}.json");
        let cases: Vec<CaseReport> = serde_json::from_str(&files[&name]).expect("an array of reports");
        assert_eq!(cases[0].case, format!("breaker::trip::{case}"));
    }
    std::fs::remove_dir_all(directory).expect("it is removed");
}

/// The lines of standard error.
fn errors(arguments: &[&str]) -> Vec<String> {
    let output = run(arguments);
    let text = String::from_utf8_lossy(&output.stderr);
    text.lines()
        .filter(|line| !line.is_empty())
        .map(str::to_owned)
        .collect()
}

#[test]
fn tests_have_the_names_of_their_cases() {
    let list = run(&["--list"]).stdout;
    let list = String::from_utf8_lossy(&list);
    for test in [
        "trip::starts_closed",
        "half_open::hung_probe",
        "known_failures_are_cases",
    ] {
        let line = format!("macro_form::flawed::{test}: test");
        assert!(list.lines().any(|listed| listed == line), "{line} is not in\n{list}");
    }
}

/// How many cases the suite has in a module.
fn cases_in(module: &str) -> usize {
    let prefix = format!("breaker::{module}::");
    let suite = suite();
    suite.cases.iter().filter(|case| case.id.starts_with(&prefix)).count()
}

#[test]
fn totals_come_after_the_last_selected_test() {
    let half_open = format!("flawed (breaker): {} passed", cases_in("half_open"));
    assert_eq!(errors(&["flawed::half_open"]), [half_open]);
    assert_eq!(
        errors(&["flawed::completion", "flawed::trip", "--test-threads", "1"]),
        [
            format!("flawed (breaker): {} passed, 1 known failure", cases_in("trip")),
            "  known failure: breaker::completion::recording_never_panics: issue 7".to_owned(),
        ]
    );
    let registry = errors(&["flawed::registry"]);
    assert!(registry[0].ends_with(" skipped: a bounded registry"), "{registry:?}");
    let one = "macro_form::flawed::trip::starts_closed";
    assert_eq!(errors(&["--exact", one]), ["flawed (breaker): 1 passed"]);
    assert!(errors(&["known_failures_are_cases"]).is_empty());
}
