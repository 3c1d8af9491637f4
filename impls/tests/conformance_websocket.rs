//! The WebSocket conformance suite against the standard client, and its saboteurs.
#![cfg(feature = "websocket")]

use std::sync::Arc;

use networking_conformance::websocket::saboteur::{Fault, Saboteur};
use networking_conformance::websocket::{WebSocketHarness, suite};
use networking_conformance::{Harness, Outcome};
use networking_impls::http::ReqwestHttpClient;
use networking_spi::http::HttpExtended;

struct Tungstenite;

impl Harness for Tungstenite {
    fn backend(&self) -> &'static str {
        "tungstenite"
    }
}

impl WebSocketHarness for Tungstenite {
    fn client(&self) -> Arc<dyn HttpExtended> {
        Arc::new(ReqwestHttpClient::with_defaults().expect("the defaults are valid"))
    }
}

networking_conformance::websocket_conformance!(|| Arc::new(Tungstenite));

#[test]
fn each_fault_is_caught_by_its_case_alone() {
    for fault in Fault::ALL.iter().copied() {
        let report = suite().run(&suite().factory(move || Arc::new(Saboteur::new(Tungstenite, fault))));
        let failed: Vec<_> = report
            .cases
            .iter()
            .filter(|case| case.outcome == Outcome::Failed)
            .map(|case| (case.case.as_str(), case.reason.as_str()))
            .collect();
        assert!(
            failed.len() == 1 && failed[0].0 == fault.caught_by(),
            "{fault:?} should be caught by {} alone, but: {failed:#?}",
            fault.caught_by()
        );
    }
}
