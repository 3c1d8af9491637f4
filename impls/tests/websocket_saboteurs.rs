//! Every case of the WebSocket suite finds the fault it is there for, and no other case does.
#![cfg(feature = "websocket")]

mod websocket_harness;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread;

use networking_conformance::websocket::saboteur::{Fault, Saboteur};
use networking_conformance::websocket::suite;

#[test]
fn every_case_has_a_fault() {
    let cases: BTreeSet<_> = suite().cases.iter().map(|case| case.id).collect();
    let caught: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.caught_by()).collect();
    assert_eq!(cases, caught);
}

/// Faults checked side by side: some of them wait, for what a faulty connection never does.
const THREADS: usize = 6;

#[test]
fn each_fault_is_caught_by_its_case_alone() {
    let faults = Mutex::new(Fault::ALL.iter().copied());
    let next = || faults.lock().unwrap().next();
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(fault) = next() {
                    wrong.lock().unwrap().extend(check(fault));
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check(fault: Fault) -> Option<String> {
    let suite = suite();
    let report = suite.run(&suite.factory(move || Arc::new(Saboteur::new(websocket_harness::Tungstenite, fault))));
    let failed: Vec<_> = report.failures().collect();
    if failed.len() == 1 && failed[0].case == fault.caught_by() {
        return None;
    }
    let found: Vec<String> = failed
        .iter()
        .map(|case| format!("{}: {}", case.case, case.reason))
        .collect();
    Some(format!(
        "{fault:?} should be caught by {} alone, but: {found:#?}",
        fault.caught_by()
    ))
}
