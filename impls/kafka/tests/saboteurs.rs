//! The Kafka suite detects mistakes: each saboteur fails the cases that it names, and no others.

use std::sync::Arc;

use networking_conformance::kafka::suite;
use networking_conformance::proof::kafka::{Saboteur, SaboteurHarness};

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
