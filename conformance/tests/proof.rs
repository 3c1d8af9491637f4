//! What proves suites can itself fail.

use std::sync::Arc;

use networking_conformance::{Applies, Case, CaseRuntime, Failure, Harness, Suite};

/// A backend that is right, or wrong in one of two ways.
#[derive(Debug, Clone, Copy)]
enum Fault {
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

fn sabotaged(fault: Fault) -> Arc<Number> {
    Arc::new(Number(match fault {
        Fault::Odd => 7,
        Fault::Negative => -2,
        Fault::Harmless => 2,
    }))
}

fn caught_by(fault: Fault) -> &'static [&'static str] {
    match fault {
        Fault::Odd => &["even"],
        Fault::Negative => &["number::sign::positive"],
        Fault::Harmless => &[],
    }
}

const CONTRACT: &str = "\
| clause | | case |
|---|---|---|
| NUM-1 | Numbers are even. | `parity::even` |
| NUM-2 | Numbers are positive. | `sign::positive` |
";

#[test]
fn what_is_right_passes() {
    suite().assert_matches_contract("NUM", CONTRACT);
    suite().assert_catches([Fault::Odd, Fault::Negative], caught_by, sabotaged);
    suite().assert_every_case_bites(["even", "sign::positive"]);
}

#[test]
#[should_panic(expected = "Negative should be caught by exactly {\"number::parity::even\"}")]
fn a_fault_that_fails_another_case_is_told() {
    suite().assert_catches([Fault::Odd, Fault::Negative], |_| &["even"], sabotaged);
}

#[test]
#[should_panic(expected = "Harmless should be caught")]
fn a_fault_that_nothing_finds_is_told() {
    suite().assert_catches([Fault::Odd, Fault::Harmless], caught_by, sabotaged);
}

#[test]
#[should_panic(expected = "cases that no fault fails: [\n    \"number::sign::positive\",\n]")]
fn a_case_that_bites_nothing_is_told() {
    suite().assert_every_case_bites(["even"]);
}

#[test]
#[should_panic(expected = "no case is called odd")]
fn a_name_of_no_case_is_told() {
    suite().assert_catches([Fault::Odd], |_| &["odd"], sabotaged);
}

#[test]
#[should_panic(expected = "the clauses of the contract, and the cases of the suite")]
fn a_clause_without_a_case_is_told() {
    let contract = format!("{CONTRACT}| NUM-3 | Numbers are small. | `size::small` |\n");
    suite().assert_matches_contract("NUM", &contract);
}
