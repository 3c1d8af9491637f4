//! The checks that prove suites can themselves fail.

use std::sync::Arc;

use networking_conformance::{Applies, Case, CaseRuntime, Failure, Harness, Suite};

/// Numbers that break one clause of [`CONTRACT`] each, and one that breaks none.
#[derive(Debug, Clone, Copy)]
enum Saboteur {
    Odd,
    Negative,
    Harmless,
}

struct Number(i32);

impl Harness for Number {
    fn backend(&self) -> &'static str {
        "number"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

fn suite() -> Suite<Number> {
    Suite {
        domain: "number",
        cases: vec![
            Case {
                id: "number::parity::even",
                clause: "NUM-1",
                applies: |_| Applies::Yes,
                run: |number| Box::pin(async move { holds(number.0 % 2 == 0) }),
            },
            Case {
                id: "number::sign::positive",
                clause: "NUM-2",
                applies: |_| Applies::Yes,
                run: |number| Box::pin(async move { holds(number.0 > 0) }),
            },
        ],
    }
}

fn holds(condition: bool) -> Result<(), Failure> {
    if condition {
        Ok(())
    } else {
        Err(Failure::new("it does not hold"))
    }
}

fn harness_of(saboteur: Saboteur) -> Arc<Number> {
    Arc::new(Number(match saboteur {
        Saboteur::Odd => 7,
        Saboteur::Negative => -2,
        Saboteur::Harmless => 2,
    }))
}

fn caught_by(saboteur: Saboteur) -> &'static [&'static str] {
    match saboteur {
        Saboteur::Odd => &["even"],
        Saboteur::Negative => &["number::sign::positive"],
        Saboteur::Harmless => &[],
    }
}

const CONTRACT: &str = "\
| clause | | case |
|---|---|---|
| NUM-1 | Numbers are even. | `parity::even` |
| NUM-2 | Numbers are positive. | `sign::positive` |
";

#[test]
fn correct_claims_pass() {
    suite().assert_matches_contract("NUM", CONTRACT);
    suite().assert_catches([Saboteur::Odd, Saboteur::Negative], caught_by, harness_of);
    suite().assert_every_case_catches(["even", "sign::positive"]);
}

#[test]
#[should_panic(expected = "Negative should be caught by exactly {\"number::parity::even\"}")]
fn a_saboteur_that_fails_another_case_is_reported() {
    suite().assert_catches([Saboteur::Odd, Saboteur::Negative], |_| &["even"], harness_of);
}

#[test]
#[should_panic(expected = "Harmless should be caught")]
fn a_saboteur_that_no_case_catches_is_reported() {
    suite().assert_catches([Saboteur::Odd, Saboteur::Harmless], caught_by, harness_of);
}

#[test]
#[should_panic(expected = "cases that catch no saboteur: [\n    \"number::sign::positive\",\n]")]
fn a_case_that_catches_nothing_is_reported() {
    suite().assert_every_case_catches(["even"]);
}

#[test]
#[should_panic(expected = "no case is called odd")]
fn an_unknown_case_is_reported() {
    suite().assert_catches([Saboteur::Odd], |_| &["odd"], harness_of);
}

#[test]
#[should_panic(expected = "the clauses of the contract, and the cases of the suite")]
fn a_clause_without_a_case_is_reported() {
    let contract = format!("{CONTRACT}| NUM-3 | Numbers are small. | `size::small` |\n");
    suite().assert_matches_contract("NUM", &contract);
}
