//! The Kafka suite notices mistakes: each flaw fails the cases that it names, and no others.

use std::sync::Arc;

use networking_conformance::kafka::saboteur::{Flaw, Sabotaged};
use networking_conformance::kafka::suite;

use crate::memory_harness::MemoryHarness;

#[test]
fn each_flaw_is_caught_by_exactly_the_cases_it_names() {
    suite().assert_catches(Flaw::ALL.iter().copied(), Flaw::caught_by, |flaw| {
        Arc::new(Sabotaged::new(MemoryHarness::new(false), flaw))
    });
}

#[test]
fn each_case_catches_some_flaw() {
    suite().assert_every_case_bites(Flaw::ALL.iter().flat_map(|flaw| flaw.caught_by()).copied());
}
