//! The WebSocket suite, for [`WebSocketClient`] and
//! [`WebSocketConnection`](networking_spi::websocket::WebSocketConnection). An
//! [`HttpExtended`](networking_spi::http::HttpExtended) is tested through
//! [`HttpWebSocketClient`](networking_spi::websocket::HttpWebSocketClient).
//!
//! The clauses are in `docs/contract/websocket.md`. Implement [`WebSocketHarness`], and run [`suite`] or expand
//! [`websocket_conformance!`](crate::websocket_conformance):
//!
//! ```
//! use std::sync::Arc;
//! use networking_conformance::websocket::WebSocketHarness;
//!
//! # fn my_harness() -> Arc<dyn WebSocketHarness> { unreachable!("the example is only compiled") }
//! networking_conformance::websocket_conformance!(my_harness);
//! ```

mod cases;
mod patient;
mod server;

use std::sync::Arc;

use networking_spi::websocket::WebSocketClient;

use self::cases::{closing, handshake, liveness, messages};
use crate::kit::Harness;
use crate::kit::define_suite;

/// A WebSocket client under test.
pub trait WebSocketHarness: Harness {
    /// A fresh client. It connects to servers on the loopback interface, without TLS.
    fn client(&self) -> Arc<dyn WebSocketClient>;
}

define_suite! {
    ($)
    /// Expands to one `#[test]` per WebSocket case. The argument is a closure or function that makes the harness: a
    /// type that implements [`WebSocketHarness`](crate::websocket::WebSocketHarness), or an `Arc` of it.
    macro websocket_conformance;
    domain "websocket" in websocket;
    harness dyn WebSocketHarness;
    modules { messages, handshake, closing, liveness }
    cases {
        "WS-1" messages::messages_arrive_unchanged,
        "WS-2" handshake::headers_and_sub_protocols_are_negotiated,
        "WS-3" handshake::invalid_urls_and_options_are_invalid_input,
        "WS-4" handshake::refusals_have_their_status,
        "WS-5" handshake::refused_and_slow_connections_have_their_kinds,
        "WS-6" messages::sending_does_not_wait_for_receiving,
        "WS-7" messages::a_cancelled_receive_loses_nothing,
        "WS-8" messages::the_size_limit_is_exact,
        "WS-9" closing::our_close_reaches_the_peer,
        "WS-10" closing::the_peers_close_is_received,
        "WS-11" closing::a_lost_connection_is_connection_closed,
        "WS-12" closing::a_close_without_an_answer_is_a_timeout,
        "WS-13" liveness::an_idle_connection_is_pinged,
        "WS-14" liveness::a_missing_pong_is_a_timeout,
        "WS-15" handshake::path_and_query_arrive,
        "WS-16" handshake::reserved_headers_are_invalid_input,
        "WS-17" handshake::unoffered_sub_protocols_are_refused,
        "WS-18" messages::fragments_are_reassembled,
        "WS-19" messages::frames_have_a_size_limit,
        "WS-20" messages::text_must_be_utf8,
        "WS-21" messages::pings_of_the_application_are_answered,
        "WS-22" liveness::pings_of_the_peer_are_answered,
        "WS-23" closing::an_invalid_close_leaves_the_connection_open,
        "WS-24" closing::sending_a_close_frame_closes,
        "WS-25" closing::dropping_the_connection_closes_its_socket,
        "WS-26" liveness::unreceived_messages_do_not_stop_the_reader,
        "WS-27" liveness::unreceived_messages_are_bounded,
        "WS-28" handshake::tokens_are_found_in_lists,
        "WS-29" handshake::unoffered_extensions_are_refused,
        "WS-30" closing::close_codes_are_shown_as_they_came,
        "WS-31" messages::the_default_limits_take_16_mib,
        "WS-32" handshake::refusals_are_shown_as_they_came,
        "WS-33" handshake::wrong_answers_are_refused,
        "WS-34" handshake::compression_is_offered_or_unsupported,
        "WS-35" messages::violations_of_the_protocol_end_the_connection,
        "WS-36" liveness::unreceived_messages_slow_the_peer_down,
    }
}
