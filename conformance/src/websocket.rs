//! The WebSocket suite: [`websocket_connect`](networking_spi::http::HttpExtended::websocket_connect) and
//! [`WebSocketConnection`](networking_spi::websocket::WebSocketConnection).
//!
//! The clauses are in `docs/contract/websocket.md`. Implement [`WebSocketHarness`], and write one line:
//!
//! ```ignore
//! networking_conformance::websocket_conformance!(|| std::sync::Arc::new(MyHarness::new()));
//! ```

mod cases;
pub mod saboteur;
mod server;

use std::sync::Arc;

use networking_spi::http::HttpExtended;

use self::cases::{closing, handshake, liveness, messages};
use crate::case::Harness;
use crate::suite::define_suite;

/// A WebSocket client under test.
pub trait WebSocketHarness: Harness {
    /// A fresh client. It talks to servers on the loopback interface, without TLS.
    fn client(&self) -> Arc<dyn HttpExtended>;
}

define_suite! {
    ($)
    /// One `#[test]` per WebSocket case, against the backend whose harness the factory makes.
    macro websocket_conformance;
    domain "websocket" in websocket;
    harness dyn WebSocketHarness;
    cases {
        "WS-1" messages::they_come_back_as_they_were,
        "WS-2" handshake::headers_and_sub_protocols_are_negotiated,
        "WS-3" handshake::mistakes_are_invalid_input,
        "WS-4" handshake::refusals_have_their_status,
        "WS-5" handshake::failed_connections_are_told_apart,
        "WS-6" messages::sending_does_not_wait_for_receiving,
        "WS-7" messages::a_cancelled_receive_loses_nothing,
        "WS-8" messages::the_size_limit_is_exact,
        "WS-9" closing::our_close_reaches_the_peer,
        "WS-10" closing::the_peers_close_is_received,
        "WS-11" closing::a_peer_that_vanishes_is_an_error,
        "WS-12" closing::a_close_without_an_answer_is_a_timeout,
        "WS-13" liveness::pings_keep_an_idle_connection,
        "WS-14" liveness::a_peer_that_does_not_answer_is_noticed,
    }
}
