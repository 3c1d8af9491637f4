//! The HTTP and WebSocket suites against every implementation of this crate, and the client against live servers.
//!
//! `cargo xtask live http` starts the servers and runs only the cases that need them; without servers these are listed as
//! ignored.

mod cached_harness;
mod http_harness;
mod live;
mod recorded_harness;
mod websocket_harness;

use std::process::ExitCode;
use std::sync::Arc;

use networking_conformance::runner::Runner;
use networking_conformance::{http, websocket};

fn main() -> ExitCode {
    let servers = match live::Servers::from_environment() {
        Ok(servers) => servers,
        Err(mistake) => {
            eprintln!("{mistake}");
            return ExitCode::FAILURE;
        }
    };
    // Most cases spend their time waiting for a peer.
    let mut runner = Runner::new().threads(8);
    if servers.is_none() {
        runner = runner
            .add(http::suite(), || Arc::new(http_harness::Hyper))
            .add(http::suite(), || Arc::new(http_harness::OneThread))
            .add(http::suite(), || Arc::new(http_harness::BareHyper))
            .add(http::suite(), || Arc::new(http_harness::Reqwest))
            .add(http::suite(), || Arc::new(http_harness::BareReqwest))
            .add(http::suite(), || Arc::new(http_harness::Memory))
            .add(http::suite(), || Arc::new(http_harness::EveryLayer))
            .add(http::suite(), || Arc::new(http_harness::BareMemory))
            .add(http::suite(), || Arc::new(http_harness::Pointers))
            .add(http::suite(), || Arc::new(cached_harness::CachedHyper))
            .add(http::suite(), || Arc::new(cached_harness::CachedMemory))
            .add(http::suite(), || Arc::new(recorded_harness::RecordedMemory::new()))
            .add(websocket::suite(), || Arc::new(websocket_harness::Tungstenite))
            .add(websocket::suite(), || Arc::new(websocket_harness::Standard))
            .add(websocket::suite(), || Arc::new(websocket_harness::OverReqwest))
            .add(websocket::suite(), || Arc::new(websocket_harness::Reconnecting));
    }
    live::add_to(runner, servers).run()
}
