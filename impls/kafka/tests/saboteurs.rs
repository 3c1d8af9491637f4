//! The Kafka suite detects mistakes: each saboteur fails the cases that it names, and no others. It passes clients that honestly
//! lack a capability.

use std::sync::Arc;

use networking_conformance::Outcome;
use networking_conformance::kafka::{KafkaHarness, suite};
use networking_conformance::kafka_admin;
use networking_conformance::kafka_extended;
use networking_conformance::kafka_reading;
use networking_conformance::kafka_transactions;
use networking_conformance::proof::kafka::{Saboteur, SaboteurHarness};
use networking_conformance::proof::kafka_admin as admin;
use networking_conformance::proof::kafka_extended as extended;
use networking_conformance::proof::kafka_reading as reading;
use networking_conformance::proof::kafka_transactions as transactions;
use networking_spi::kafka::KafkaCapabilities;

use crate::memory_harness::MemoryHarness;

#[test]
fn each_saboteur_is_caught_by_exactly_the_cases_it_names() {
    suite().assert_catches(Saboteur::ALL.iter().copied(), Saboteur::caught_by, |saboteur| {
        Arc::new(SaboteurHarness::new(MemoryHarness::new(false), saboteur))
    });
}

#[test]
fn each_case_catches_a_saboteur() {
    suite().assert_every_case_catches(Saboteur::ALL.iter().flat_map(|saboteur| saboteur.caught_by()).copied());
}

#[test]
fn each_saboteur_of_the_extended_operations_is_caught_by_exactly_the_cases_it_names() {
    let saboteurs = extended::Saboteur::ALL.iter().copied();
    kafka_extended::suite().assert_catches(saboteurs, extended::Saboteur::caught_by, |saboteur| {
        Arc::new(extended::SaboteurHarness::new(MemoryHarness::new(false), saboteur))
    });
}

#[test]
fn each_case_of_the_extended_operations_catches_a_saboteur() {
    let saboteurs = extended::Saboteur::ALL.iter();
    kafka_extended::suite().assert_every_case_catches(saboteurs.flat_map(|saboteur| saboteur.caught_by()).copied());
}

#[test]
fn each_saboteur_of_transactions_is_caught_by_exactly_the_cases_it_names() {
    let saboteurs = transactions::Saboteur::ALL.iter().copied();
    kafka_transactions::suite().assert_catches(saboteurs, transactions::Saboteur::caught_by, |saboteur| {
        Arc::new(transactions::SaboteurHarness::new(MemoryHarness::new(false), saboteur))
    });
}

#[test]
fn each_saboteur_of_reading_is_caught_by_exactly_the_cases_it_names() {
    let saboteurs = reading::Saboteur::ALL.iter().copied();
    kafka_reading::suite().assert_catches(saboteurs, reading::Saboteur::caught_by, |saboteur| {
        Arc::new(reading::SaboteurHarness::new(MemoryHarness::new(false), saboteur))
    });
}

#[test]
fn each_saboteur_of_the_administration_is_caught_by_exactly_the_cases_it_names() {
    let saboteurs = admin::Saboteur::ALL.iter().copied();
    kafka_admin::suite().assert_catches(saboteurs, admin::Saboteur::caught_by, |saboteur| {
        Arc::new(admin::SaboteurHarness::new(MemoryHarness::new(false), saboteur))
    });
}

#[test]
fn each_case_of_transactions_catches_a_saboteur() {
    let saboteurs = transactions::Saboteur::ALL.iter();
    kafka_transactions::suite().assert_every_case_catches(saboteurs.flat_map(|saboteur| saboteur.caught_by()).copied());
}

#[test]
fn each_case_of_the_administration_catches_a_saboteur() {
    let saboteurs = admin::Saboteur::ALL.iter();
    kafka_admin::suite().assert_every_case_catches(saboteurs.flat_map(|saboteur| saboteur.caught_by()).copied());
}

#[test]
fn each_case_of_reading_catches_a_saboteur() {
    let saboteurs = reading::Saboteur::ALL.iter();
    kafka_reading::suite().assert_every_case_catches(saboteurs.flat_map(|saboteur| saboteur.caught_by()).copied());
}

type Remove = fn(&mut KafkaCapabilities);

/// Every capability, with what requires it.
const REMOVALS: &[(&str, Remove)] = &[
    ("topic_admin", |declared| {
        declared.topic_admin = false;
        declared.topic_configs = false;
    }),
    ("topic_configs", |declared| declared.topic_configs = false),
    ("groups", |declared| {
        declared.groups = false;
        declared.group_info = false;
        declared.static_membership = false;
        declared.session_timeouts = false;
    }),
    ("group_info", |declared| declared.group_info = false),
    ("static_membership", |declared| declared.static_membership = false),
    ("session_timeouts", |declared| declared.session_timeouts = false),
    ("acks", |declared| declared.acks = false),
    ("idempotent_producer", |declared| declared.idempotent_producer = false),
    ("batching", |declared| declared.batching = false),
    ("client_ids", |declared| declared.client_ids = false),
    ("timestamps", |declared| declared.timestamps = false),
    ("header_order", |declared| declared.header_order = false),
    ("leaders", |declared| declared.leaders = false),
    ("read_committed", |declared| declared.read_committed = false),
    ("transactions", |declared| {
        declared.transactions = false;
        // The harness aborts transactions to show what is read.
        declared.read_committed = false;
    }),
];

#[test]
fn an_honest_client_without_a_capability_passes() {
    let names = REMOVALS.iter().map(|(name, _)| *name);
    assert_eq!(
        names.count(),
        KafkaCapabilities::NAMES.len(),
        "every capability is tried"
    );
    for (name, remove) in REMOVALS {
        let mut declared = KafkaCapabilities::all();
        remove(&mut declared);
        assert_passes(name, declared);
    }
}

#[test]
fn an_honest_client_without_any_capability_passes() {
    let passed = assert_passes("all", KafkaCapabilities::none());
    assert!(passed >= 50, "only {passed} cases apply");
}

/// Returns the number of cases that pass.
fn assert_passes(lacks: &str, declared: KafkaCapabilities) -> usize {
    let suite = suite();
    let factory = suite.factory(move || Arc::new(MemoryHarness::limited(declared)) as Arc<dyn KafkaHarness>);
    let report = suite.run(&factory);
    let failures: Vec<String> = report
        .failures()
        .map(|case| format!("{}: {}", case.case, case.reason))
        .collect();
    assert!(failures.is_empty(), "without {lacks}: {failures:#?}");
    report
        .cases
        .iter()
        .filter(|case| case.outcome == Outcome::Passed)
        .count()
}
