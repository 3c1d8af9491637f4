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
use std::time::Duration;

use networking_spi::http::HttpExtended;

use self::cases::{closing, handshake, liveness, messages};
use crate::case::Harness;
use crate::suite::define_suite;

/// A WebSocket client under test.
pub trait WebSocketHarness: Harness {
    /// A fresh client. It talks to servers on the loopback interface, without TLS.
    fn client(&self) -> Arc<dyn HttpExtended>;

    /// How long a case waits for what must come. Only a client that is wrong lets it wait so long.
    fn patience(&self) -> Duration {
        Duration::from_secs(5)
    }
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
        "WS-15" handshake::path_and_query_arrive,
        "WS-16" handshake::what_it_sets_itself_cannot_be_set,
        "WS-17" handshake::sub_protocols_that_nobody_offered_are_refused,
        "WS-18" messages::fragments_are_put_together,
        "WS-19" messages::frames_have_a_limit_of_their_own,
        "WS-20" messages::text_must_be_utf8,
        "WS-21" messages::pings_of_the_application_are_answered,
        "WS-22" liveness::pings_of_the_peer_are_answered,
        "WS-23" closing::mistakes_leave_the_connection_open,
        "WS-24" closing::sending_a_close_frame_closes,
        "WS-25" closing::a_dropped_connection_lets_go,
    }
}
