//! The suite for sinks.
//!
//! ```
//! use std::sync::Arc;
//! use networking_conformance::endpoint::sink::SinkHarness;
//!
//! # fn my_harness() -> Arc<dyn SinkHarness> { unreachable!("the example is only compiled") }
//! networking_conformance::sink_conformance!(my_harness);
//! ```

mod scene;
mod sink_content;
mod sink_deliver;
mod sink_failure;
mod sink_lifecycle;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::bridge::{BridgeMessage, BridgeProtocol, BridgeSink};
use networking_spi::{NetworkError, Result};

use super::{Carries, Content};
use crate::kit::{Applies, Harness, define_suite};

/// Makes sinks and their peers for the cases.
#[async_trait]
pub trait SinkHarness: Harness {
    /// What the sink and its protocol can do: the author's statement, which does not come from the sink.
    fn profile(&self) -> SinkProfile;

    /// A fresh sink that is not started, and its peer, which has received nothing.
    ///
    /// # Errors
    /// Any; the case fails.
    async fn sink(&self) -> Result<SinkSubject>;
}

/// What a sink and its protocol can do.
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use]
#[non_exhaustive]
pub struct SinkProfile {
    /// The protocol of the sink.
    pub protocol: BridgeProtocol,
    /// What its messages carry.
    pub content: Content,
    /// A target that the peer has.
    pub target: String,
    /// A second one; `None` if the sink has one target only.
    pub other_target: Option<String>,
    /// A target that the sink or its peer refuses, and always will.
    pub invalid_target: Option<String>,
    /// Whether the peer reports the position of each message.
    pub positions: bool,
    /// Whether the harness can [make the peer unavailable](SinkPeer::set_available).
    pub unavailable_peer: bool,
    /// Whether the harness can [withhold acknowledgements](SinkPeer::set_held).
    pub held_acknowledgements: bool,
    /// Whether the harness can [make the peer refuse a message](SinkPeer::refuse_next).
    pub refusals: bool,
    /// Credentials in the configuration of the sink, none of which `Debug` may show.
    pub secrets: Vec<String>,
}

impl SinkProfile {
    /// The profile of a sink with one target and without positions, whose harness can produce no failures, and that has no
    /// secrets.
    pub fn new(protocol: BridgeProtocol, content: Content, target: impl Into<String>) -> Self {
        Self {
            protocol,
            content,
            target: target.into(),
            other_target: None,
            invalid_target: None,
            positions: false,
            unavailable_peer: false,
            held_acknowledgements: false,
            refusals: false,
            secrets: Vec::new(),
        }
    }

    /// Sets a second target.
    pub fn with_other_target(mut self, target: impl Into<String>) -> Self {
        self.other_target = Some(target.into());
        self
    }

    /// Sets a target that is always refused.
    pub fn with_invalid_target(mut self, target: impl Into<String>) -> Self {
        self.invalid_target = Some(target.into());
        self
    }

    /// The peer reports the position of each message.
    pub fn with_positions(mut self) -> Self {
        self.positions = true;
        self
    }

    /// The harness can make the peer unavailable.
    pub fn with_unavailable_peer(mut self) -> Self {
        self.unavailable_peer = true;
        self
    }

    /// The harness can withhold acknowledgements.
    pub fn with_held_acknowledgements(mut self) -> Self {
        self.held_acknowledgements = true;
        self
    }

    /// The harness can make the peer refuse a message.
    pub fn with_refusals(mut self) -> Self {
        self.refusals = true;
        self
    }

    /// Adds a credential of the configuration.
    pub fn with_secret(mut self, secret: impl Into<String>) -> Self {
        self.secrets.push(secret.into());
        self
    }
}

/// A sink under test, and its peer.
#[derive(Clone)]
#[non_exhaustive]
pub struct SinkSubject {
    /// The sink.
    pub sink: Arc<dyn BridgeSink>,
    /// What receives its messages.
    pub peer: Arc<dyn SinkPeer>,
}

impl SinkSubject {
    /// A sink and its peer.
    pub fn new(sink: Arc<dyn BridgeSink>, peer: Arc<dyn SinkPeer>) -> Self {
        Self { sink, peer }
    }
}

impl fmt::Debug for SinkSubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SinkSubject")
            .field("sink", &self.sink)
            .finish_non_exhaustive()
    }
}

/// A message that the peer of a sink has received.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Received {
    /// What of the message arrived: payload, key, header fields, content type and id, as far as the [`Content`] declares them.
    pub message: BridgeMessage,
    /// The position that the peer has given to it, in the notation of the sink.
    pub position: Option<String>,
}

impl Received {
    /// A message without a position.
    pub const fn new(message: BridgeMessage) -> Self {
        Self {
            message,
            position: None,
        }
    }

    /// Sets the position.
    pub fn with_position(mut self, position: impl Into<String>) -> Self {
        self.position = Some(position.into());
        self
    }
}

/// The peer of a sink: it receives messages.
#[async_trait]
pub trait SinkPeer: Send + Sync + 'static {
    /// The messages received for a target until now, in the order of their arrival.
    async fn received(&self, target: &str) -> Vec<Received>;

    /// Makes the peer unavailable to the sink, or available again. A delivery to an unavailable peer must fail within two
    /// seconds. Called only with [`unavailable_peer`](SinkProfile::unavailable_peer).
    ///
    /// # Errors
    /// Any; the case fails. By default [`Unsupported`](networking_spi::ErrorKind::Unsupported).
    async fn set_available(&self, available: bool) -> Result<()> {
        let _ = available;
        Err(NetworkError::unsupported("peer.set_available", "unavailable_peer"))
    }

    /// While held, the peer acknowledges no message; deliveries wait. Called only with
    /// [`held_acknowledgements`](SinkProfile::held_acknowledgements).
    ///
    /// # Errors
    /// Any; the case fails. By default [`Unsupported`](networking_spi::ErrorKind::Unsupported).
    async fn set_held(&self, held: bool) -> Result<()> {
        let _ = held;
        Err(NetworkError::unsupported("peer.set_held", "held_acknowledgements"))
    }

    /// Makes the peer refuse the next message, for a reason that a retry does not change. Called only with
    /// [`refusals`](SinkProfile::refusals).
    ///
    /// # Errors
    /// Any; the case fails. By default [`Unsupported`](networking_spi::ErrorKind::Unsupported).
    async fn refuse_next(&self) -> Result<()> {
        Err(NetworkError::unsupported("peer.refuse_next", "refusals"))
    }
}

type Dyn = dyn SinkHarness;

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

fn has_id(harness: &Dyn) -> Applies {
    Applies::environment(harness.profile().content.id, "messages of the protocol have no id")
}

fn has_targets(harness: &Dyn) -> Applies {
    Applies::environment(harness.profile().other_target.is_some(), "a second target")
}

fn has_positions(harness: &Dyn) -> Applies {
    Applies::environment(harness.profile().positions, "the peer reports no positions")
}

fn can_be_away(harness: &Dyn) -> Applies {
    Applies::environment(harness.profile().unavailable_peer, "an unavailable peer")
}

fn can_hold(harness: &Dyn) -> Applies {
    Applies::environment(
        harness.profile().held_acknowledgements,
        "a peer that withholds acknowledgements",
    )
}

fn can_refuse(harness: &Dyn) -> Applies {
    Applies::environment(harness.profile().refusals, "a peer that refuses a message")
}

fn has_invalid_target(harness: &Dyn) -> Applies {
    Applies::environment(
        harness.profile().invalid_target.is_some(),
        "a target that is always refused",
    )
}

define_suite! {
    ($)
    /// Expands to one `#[test]` per case for a bridge's sink. The argument is a closure or function that makes the harness: a
    /// type that implements [`SinkHarness`](crate::endpoint::sink::SinkHarness), or an `Arc` of it.
    macro sink_conformance;
    domain "endpoint" in endpoint::sink;
    harness dyn SinkHarness;
    modules { sink_lifecycle, sink_content, sink_deliver, sink_failure }
    cases {
        "ENDPOINT-30" sink_lifecycle::the_protocol_is_stable,
        "ENDPOINT-31" sink_lifecycle::delivering_before_start_is_not_lost,
        "ENDPOINT-32" sink_lifecycle::a_second_start_changes_nothing,
        "ENDPOINT-33" sink_lifecycle::health_follows_the_life_of_the_sink,
        "ENDPOINT-34" sink_lifecycle::health_answers_during_deliveries if can_hold,
        "ENDPOINT-35" sink_lifecycle::debug_shows_no_secret,
        "ENDPOINT-36" sink_lifecycle::stopping_twice_succeeds,
        "ENDPOINT-37" sink_lifecycle::a_stopped_sink_cannot_start,
        "ENDPOINT-38" sink_lifecycle::a_stopped_sink_delivers_nothing,
        "ENDPOINT-39" sink_lifecycle::stopping_waits_for_deliveries if can_hold,

        "ENDPOINT-40" sink_content::payloads_arrive_byte_for_byte,
        "ENDPOINT-41" sink_content::keys_arrive_byte_for_byte if has_key,
        "ENDPOINT-42" sink_content::header_fields_arrive_byte_for_byte if has_headers,
        "ENDPOINT-43" sink_content::content_types_arrive if has_content_type,
        "ENDPOINT-44" sink_content::ids_arrive if has_id,

        "ENDPOINT-45" sink_deliver::messages_reach_their_target if has_targets,
        "ENDPOINT-46" sink_deliver::messages_keep_their_order,
        "ENDPOINT-47" sink_deliver::concurrent_deliveries_arrive_once,
        "ENDPOINT-48" sink_deliver::positions_are_those_of_the_peer if has_positions,
        "ENDPOINT-49" sink_deliver::the_acknowledgement_of_the_peer_is_awaited if can_hold,
        "ENDPOINT-50" sink_deliver::a_cancelled_delivery_leaves_the_sink_usable if can_hold,

        "ENDPOINT-51" sink_failure::an_unavailable_peer_is_transient if can_be_away,
        "ENDPOINT-52" sink_failure::health_reports_an_unavailable_peer if can_be_away,
        "ENDPOINT-53" sink_failure::a_refused_message_is_a_permanent_failure if can_refuse,
        "ENDPOINT-54" sink_failure::an_invalid_target_is_a_permanent_failure if has_invalid_target,
    }
}
