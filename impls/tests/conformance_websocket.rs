//! The WebSocket conformance suite against the standard client, and its saboteurs.
#![cfg(feature = "websocket")]

use std::sync::Arc;
use std::thread;

use networking_conformance::Harness;
use networking_conformance::websocket::saboteur::{Fault, Saboteur};
use networking_conformance::websocket::{WebSocketHarness, suite};
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

/// Faults are checked side by side: they mostly wait, for what a faulty connection never does.
#[test]
fn each_fault_is_caught_by_its_case_alone() {
    thread::scope(|scope| {
        let checks: Vec<_> = Fault::ALL.iter().map(|fault| scope.spawn(|| check(*fault))).collect();
        for check in checks {
            check.join().expect("every fault is caught");
        }
    });
}

fn check(fault: Fault) {
    let report = suite().run(&suite().factory(move || Arc::new(Saboteur::new(Tungstenite, fault))));
    let failed: Vec<_> = report
        .failures()
        .map(|case| (case.case.as_str(), case.reason.as_str()))
        .collect();
    assert!(
        failed.len() == 1 && failed[0].0 == fault.caught_by(),
        "{fault:?} should be caught by {} alone, but: {failed:#?}",
        fault.caught_by()
    );
}
