//! Each saboteur of the WebSocket suite is caught by its case, and by no other case.

use std::sync::Arc;

use networking_conformance::proof::websocket::{Saboteur, SaboteurHarness};
use networking_conformance::websocket::suite;

use crate::websocket_harness;

#[test]
fn every_case_has_a_saboteur() {
    suite().assert_every_case_catches(Saboteur::ALL.iter().flat_map(|saboteur| saboteur.caught_by()).copied());
}

#[test]
fn each_saboteur_is_caught_by_its_case_alone() {
    suite().assert_catches(Saboteur::ALL.iter().copied(), Saboteur::caught_by, |saboteur| {
        Arc::new(SaboteurHarness::new(websocket_harness::Tungstenite, saboteur))
    });
}
