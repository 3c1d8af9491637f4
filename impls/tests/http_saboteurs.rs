//! Every case of the HTTP suite finds the fault it is there for, and no other case does.
#![cfg(feature = "http")]

mod http_harness;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::thread;

use networking_conformance::Applies;
use networking_conformance::http::saboteur::{Fault, Saboteur};
use networking_conformance::http::{HttpHarness, suite};

/// The in-memory client is fast: faults that show there are looked for there.
#[test]
fn faults_that_show_in_memory() {
    let faults = Fault::ALL
        .iter()
        .filter(|fault| applies(**fault, &http_harness::Memory));
    check(faults, |fault| Saboteur::new(http_harness::Memory, fault));
}

#[test]
fn faults_that_show_without_layers() {
    check([Fault::InventsMetrics].iter(), |fault| {
        Saboteur::new(http_harness::BareMemory, fault)
    });
}

#[test]
fn faults_that_show_on_the_network() {
    check(network_faults(), |fault| Saboteur::new(http_harness::Reqwest, fault));
}

fn network_faults() -> impl Iterator<Item = &'static Fault> {
    Fault::ALL
        .iter()
        .filter(|fault| !applies(**fault, &http_harness::Memory) && **fault != Fault::InventsMetrics)
}

#[test]
fn every_case_has_a_fault() {
    let cases: BTreeSet<_> = suite().cases.iter().map(|case| case.id).collect();
    let caught: BTreeSet<_> = Fault::ALL.iter().map(|fault| fault.caught_by()).collect();
    assert_eq!(cases, caught);
}

/// Whether the case that catches the fault runs against this harness, and is about something that it has.
fn applies(fault: Fault, harness: &dyn HttpHarness) -> bool {
    let suite = suite();
    let case = suite
        .cases
        .iter()
        .find(|case| case.id == fault.caught_by())
        .expect("faults name cases");
    (case.applies)(harness) == Applies::Yes && fault != Fault::InventsMetrics
}

/// Faults checked side by side: real connections take real time, most of it waiting.
const THREADS: usize = 6;

fn check<'f, H: HttpHarness>(faults: impl Iterator<Item = &'f Fault> + Send, harness: fn(Fault) -> H) {
    let faults = Mutex::new(faults.copied());
    let next = || faults.lock().unwrap().next();
    let wrong = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                while let Some(fault) = next() {
                    if let Some(problem) = check_one(fault, harness) {
                        wrong.lock().unwrap().push(problem);
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

fn check_one<H: HttpHarness>(fault: Fault, harness: fn(Fault) -> H) -> Option<String> {
    let suite = suite();
    let report = suite.run(&suite.factory(move || Arc::new(harness(fault))));
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
