//! Cases that need variables in the environment run in a process of their own.

use std::process::Command;
use std::sync::{Arc, LazyLock};

use networking_conformance::{
    Applies, Case, CaseResult, CaseRuntime, CaseTests, Failure, Harness, KnownFailure, Outcome, Suite,
};

const VARIABLE: &str = "NETWORKING_CONFORMANCE_TEST_VARIABLE";
const VALUE: &str = "a value = \"with\" marks";

struct Backend;

impl Harness for Backend {
    fn backend(&self) -> &'static str {
        "needs variables"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }

    fn known_failures(&self) -> Vec<KnownFailure> {
        vec![KnownFailure::new("test::variables::known_to_fail", "issue 7")]
    }
}

fn has_variable(_: &Backend) -> Applies {
    Applies::variables(&[(VARIABLE, VALUE)])
}

/// The value that the process of a case has.
fn value() -> String {
    std::env::var(VARIABLE).unwrap_or_default()
}

fn is_set() -> CaseResult {
    if value() == VALUE {
        Ok(())
    } else {
        Err(Failure::new("not set"))
    }
}

fn fails() -> CaseResult {
    Err(Failure::new(format!("failed with {}", value())))
}

fn suite() -> Suite<Backend> {
    let case = |id, run| Case {
        id,
        clause: "TEST-1",
        applies: has_variable,
        run,
    };
    Suite {
        domain: "test",
        cases: vec![
            case("test::variables::is_set", |_| Box::pin(async { is_set() })),
            case("test::variables::known_to_fail", |_| Box::pin(async { fails() })),
            case("test::variables::fails", |_| Box::pin(async { fails() })),
        ],
    }
}

static TESTS: LazyLock<CaseTests<Backend>> =
    LazyLock::new(|| CaseTests::new(suite(), || Arc::new(Backend), module_path!()));

/// As the macros of the domains have them: the names of these tests are those of the cases.
mod variables {
    #[test]
    fn is_set() {
        super::TESTS.run("variables::is_set");
    }

    #[test]
    fn known_to_fail() {
        super::TESTS.run("variables::known_to_fail");
    }

    #[test]
    #[ignore = "fails; run by a_failure_in_another_process_is_reported"]
    fn fails() {
        super::TESTS.run("variables::fails");
    }
}

#[test]
fn a_failure_in_another_process_is_reported() {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--include-ignored", "--exact", "environment::variables::fails"])
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    let expected = format!("test::variables::fails (TEST-1): failed with {VALUE}");
    assert!(
        !output.status.success() && printed.contains(&expected),
        "{printed}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn a_suite_inside_a_test_skips_them() {
    let suite = suite();
    let report = suite.run(&suite.factory(|| Arc::new(Backend)));
    for case in report.cases {
        assert_eq!(case.outcome, Outcome::Skipped);
        assert_eq!(case.reason, format!("needs a process with {VARIABLE}={VALUE}"));
    }
}

#[test]
fn what_never_applies_goes_first() {
    let elsewhere = has_variable(&Backend);
    let (unsupported, skipped) = (Applies::Unsupported("retry"), Applies::Skipped("no sockets"));
    for other in [unsupported, skipped] {
        assert_eq!(elsewhere.and(other), other);
        assert_eq!(other.and(elsewhere), other);
    }
    assert_eq!(elsewhere.and(Applies::Yes), elsewhere);
    assert_eq!(Applies::Yes.and(elsewhere), elsewhere);
    assert_eq!(unsupported.and(skipped), unsupported);
}
