//! The suite for sources.
//!
//! ```
//! use std::sync::Arc;
//! use networking_conformance::endpoint::source::SourceHarness;
//!
//! # fn my_harness() -> Arc<dyn SourceHarness> { unreachable!("the example is only compiled") }
//! networking_conformance::source_conformance!(my_harness);
//! ```

mod scene;
mod source_content;
mod source_lifecycle;
mod source_receive;
mod source_settle;
mod source_stop;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::bridge::{BridgeMessage, BridgeProtocol, BridgeSource};
use networking_spi::{NetworkError, Result};

use super::{Carries, Content, Sent};
use crate::kit::{Applies, Harness, define_suite};

/// Makes sources and their peers for the cases.
#[async_trait]
pub trait SourceHarness: Harness {
    /// What the source and its protocol can do: the author's statement, which does not come from the source.
    fn profile(&self) -> SourceProfile;

    /// A fresh source that is not started, and its peer.
    ///
    /// # Errors
    /// Any; the case fails.
    async fn source(&self) -> Result<SourceSubject>;
}

/// What a source and its protocol can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct SourceProfile {
    /// The protocol of the source.
    pub protocol: BridgeProtocol,
    /// What its messages carry.
    pub content: Content,
    /// What the peer learns of each message.
    pub outcomes: PeerOutcomes,
    /// The maximum number of messages that the source takes from its peer before `receive` is called.
    pub holds: usize,
    /// Whether messages that the peer sends one after another arrive in this order.
    pub order: bool,
    /// Whether the harness can [make the peer unavailable](SourcePeer::set_available).
    pub unavailable_peer: bool,
    /// Credentials in the configuration of the source, none of which `Debug` may show.
    pub secrets: Vec<String>,
}

impl SourceProfile {
    /// The profile of a source that keeps the order of messages, whose peer cannot be made unavailable, and that has no secrets.
    pub const fn new(protocol: BridgeProtocol, content: Content, outcomes: PeerOutcomes, holds: usize) -> Self {
        Self {
            protocol,
            content,
            outcomes,
            holds,
            order: true,
            unavailable_peer: false,
            secrets: Vec::new(),
        }
    }

    /// Sets whether messages arrive in the order in which the peer sends them.
    pub const fn with_order(mut self, order: bool) -> Self {
        self.order = order;
        self
    }

    /// The harness can make the peer unavailable.
    pub const fn with_unavailable_peer(mut self) -> Self {
        self.unavailable_peer = true;
        self
    }

    /// Adds a credential of the configuration.
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }
}

/// A source under test, and its peer.
#[derive(Clone)]
#[non_exhaustive]
pub struct SourceSubject {
    /// The source.
    pub source: Arc<dyn BridgeSource>,
    /// What sends messages to it.
    pub peer: Arc<dyn SourcePeer>,
}

impl SourceSubject {
    /// A source and its peer.
    pub fn new(source: Arc<dyn BridgeSource>, peer: Arc<dyn SourcePeer>) -> Self {
        Self { source, peer }
    }
}

impl fmt::Debug for SourceSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SourceSubject")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// The peer of a source: it sends messages, and learns what becomes of them.
#[async_trait]
pub trait SourcePeer: Send + Sync + 'static {
    /// Sends a message, without waiting until it is settled. Sends of all that the [`Content`] declares: payload, key, header
    /// fields, content type and id. Several calls may be in progress.
    ///
    /// # Errors
    /// If the message cannot be sent, for example because the source has stopped.
    async fn send(&self, message: BridgeMessage) -> Result<Sent>;

    /// What the peer knows about a message at this moment. Not called with [`PeerOutcomes::Unseen`].
    async fn outcome(&self, sent: Sent) -> PeerOutcome;

    /// The number of messages that the source has taken from the peer since it was made, and that it must not lose. `None` if the
    /// harness cannot know; a case then waits a short time, and accepts that a message did not arrive.
    fn arrived(&self) -> Option<usize> {
        None
    }

    /// Makes the peer unavailable to the source, or available again. Called only with
    /// [`unavailable_peer`](SourceProfile::unavailable_peer).
    ///
    /// # Errors
    /// Any; the case fails. By default [`Unsupported`](networking_spi::ErrorKind::Unsupported).
    async fn set_available(&self, available: bool) -> Result<()> {
        let _ = available;
        Err(NetworkError::unsupported("peer.set_available", "unavailable_peer"))
    }
}

/// What a peer learns of the messages that it has sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerOutcomes {
    /// Whether each message was acknowledged or refused, like the client of an HTTP server.
    Reported,
    /// Which messages were acknowledged. The others are kept, and the source receives them again, like records of a queue.
    Kept,
    /// Nothing, like the sender of a datagram.
    Unseen,
}

/// What a peer knows about a message.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PeerOutcome {
    /// Nothing yet. With [`PeerOutcomes::Kept`]: the peer keeps the message.
    Pending,
    /// It was processed.
    Acknowledged,
    /// It was not processed. For messages of failures: why.
    Refused(String),
}

type Dyn = dyn SourceHarness;

fn reports(harness: &Dyn) -> Applies {
    Applies::environment(
        harness.profile().outcomes != PeerOutcomes::Unseen,
        "the peer does not learn what becomes of its messages",
    )
}

fn has_key(harness: &Dyn) -> Applies {
    Applies::environment(
        harness.profile().content.key != Carries::Nothing,
        "messages of the protocol have no key",
    )
}

fn has_headers(harness: &Dyn) -> Applies {
    Applies::environment(
        harness.profile().content.headers != Carries::Nothing,
        "messages of the protocol have no header fields",
    )
}

fn has_content_type(harness: &Dyn) -> Applies {
    Applies::environment(
        harness.profile().content.content_type,
        "messages of the protocol have no content type",
    )
}

fn has_order(harness: &Dyn) -> Applies {
    Applies::environment(harness.profile().order, "messages of the protocol have no order")
}

fn can_be_away(harness: &Dyn) -> Applies {
    Applies::environment(harness.profile().unavailable_peer, "an unavailable peer")
}

define_suite! {
    ($)
    /// Expands to one `#[test]` per case for a bridge's source. The argument is a closure or function that makes the harness: a
    /// type that implements [`SourceHarness`](crate::endpoint::source::SourceHarness), or an `Arc` of it.
    macro source_conformance;
    domain "endpoint" in endpoint::source;
    harness dyn SourceHarness;
    modules { source_lifecycle, source_content, source_receive, source_settle, source_stop }
    cases {
        "ENDPOINT-1" source_lifecycle::the_protocol_is_stable,
        "ENDPOINT-2" source_lifecycle::receiving_before_start_is_not_the_end,
        "ENDPOINT-3" source_lifecycle::a_second_start_changes_nothing,
        "ENDPOINT-4" source_lifecycle::health_follows_the_life_of_the_source,
        "ENDPOINT-5" source_lifecycle::health_answers_while_receive_waits,
        "ENDPOINT-6" source_lifecycle::an_unavailable_peer_is_transient if can_be_away,
        "ENDPOINT-7" source_lifecycle::debug_shows_no_secret,

        "ENDPOINT-8" source_content::payloads_arrive_byte_for_byte,
        "ENDPOINT-9" source_content::keys_arrive_byte_for_byte if has_key,
        "ENDPOINT-10" source_content::header_fields_arrive_byte_for_byte if has_headers,
        "ENDPOINT-11" source_content::content_types_arrive if has_content_type,
        "ENDPOINT-12" source_content::ids_are_valid_and_unique,

        "ENDPOINT-13" source_receive::an_idle_source_waits,
        "ENDPOINT-14" source_receive::a_cancelled_receive_loses_nothing,
        "ENDPOINT-15" source_receive::concurrent_receives_get_each_message_once,
        "ENDPOINT-16" source_receive::messages_keep_their_order if has_order,
        "ENDPOINT-17" source_receive::an_idle_bridge_bounds_the_source,

        "ENDPOINT-18" source_settle::nothing_is_acknowledged_early if reports,
        "ENDPOINT-19" source_settle::an_acknowledgement_reaches_the_peer if reports,
        "ENDPOINT-20" source_settle::a_rejection_reaches_the_peer if reports,
        "ENDPOINT-21" source_settle::a_dropped_delivery_is_rejected if reports,
        "ENDPOINT-22" source_settle::each_outcome_belongs_to_its_message if reports,

        "ENDPOINT-23" source_stop::stopping_wakes_a_waiting_receive,
        "ENDPOINT-24" source_stop::messages_that_arrived_are_returned,
        "ENDPOINT-25" source_stop::the_end_is_final,
        "ENDPOINT-26" source_stop::stopping_twice_succeeds,
        "ENDPOINT-27" source_stop::a_stopped_source_cannot_start,
        "ENDPOINT-28" source_stop::a_stopped_source_takes_nothing,
        "ENDPOINT-29" source_stop::messages_in_flight_are_settled_after_stop if reports,
    }
}
