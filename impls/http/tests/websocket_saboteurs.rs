//! Every case of the WebSocket suite finds the fault it is there for, and no other case does.

use std::sync::Arc;

use networking_conformance::websocket::saboteur::{Fault, Saboteur};
use networking_conformance::websocket::suite;

use crate::websocket_harness;

#[test]
fn every_case_has_a_fault() {
    suite().assert_every_case_bites(Fault::ALL.iter().flat_map(|fault| fault.caught_by()).copied());
}

#[test]
fn each_fault_is_caught_by_its_case_alone() {
    suite().assert_catches(Fault::ALL.iter().copied(), Fault::caught_by, |fault| {
        Arc::new(Saboteur::new(websocket_harness::Tungstenite, fault))
    });
}
