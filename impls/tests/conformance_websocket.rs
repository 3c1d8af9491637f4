//! The WebSocket conformance suite against every way to connect that this crate has.

mod websocket_harness;

use std::process::ExitCode;
use std::sync::Arc;

use networking_conformance::runner::Runner;
use networking_conformance::websocket::suite;

fn main() -> ExitCode {
    Runner::new()
        .add(suite(), || Arc::new(websocket_harness::Tungstenite))
        .add(suite(), || Arc::new(websocket_harness::Reconnecting))
        .run()
}
