//! Every case of the HTTP suite finds the fault it is there for, and no other case does.

use std::sync::Arc;

use networking_conformance::Applies;
use networking_conformance::http::saboteur::{Fault, Saboteur};
use networking_conformance::http::{HttpHarness, suite};

use crate::http_harness;

/// The in-memory client is fast: faults that show there are looked for there.
#[test]
fn faults_that_show_in_memory() {
    let faults = Fault::ALL.iter().copied();
    check(faults.filter(|fault| applies(*fault, &http_harness::Memory)), |fault| {
        Saboteur::new(http_harness::Memory, fault)
    });
}

#[test]
fn faults_that_show_without_wrappers() {
    check([Fault::InventsMetrics], |fault| {
        Saboteur::new(http_harness::BareMemory, fault)
    });
}

#[test]
fn faults_that_show_on_the_network() {
    check(network_faults(), |fault| Saboteur::new(http_harness::Reqwest, fault));
}

fn network_faults() -> impl Iterator<Item = Fault> {
    let faults = Fault::ALL.iter().copied();
    faults.filter(|fault| !applies(*fault, &http_harness::Memory) && *fault != Fault::InventsMetrics)
}

#[test]
fn every_case_has_a_fault() {
    suite().assert_every_case_bites(Fault::ALL.iter().flat_map(|fault| fault.caught_by()).copied());
}

/// Whether the case that catches the fault runs against this harness, and is about something that it has.
fn applies(fault: Fault, harness: &dyn HttpHarness) -> bool {
    let suite = suite();
    let case = suite
        .cases
        .iter()
        .find(|case| fault.caught_by().contains(&case.id))
        .expect("faults name cases");
    (case.applies)(harness) == Applies::Yes && fault != Fault::InventsMetrics
}

fn check<H: HttpHarness>(faults: impl IntoIterator<Item = Fault>, harness: fn(Fault) -> H) {
    suite().assert_catches(faults, Fault::caught_by, move |fault| Arc::new(harness(fault)));
}
