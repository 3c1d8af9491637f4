//! Bridges: they route messages from a source to a sink.
//!
//! A [`CommunicationBridge`] runs bridges. Each bridge receives messages from a [`BridgeSource`] (an HTTP listener, a
//! Kafka consumer), selects the target of each message by its [`RoutingConfig`], and delivers it to a [`BridgeSink`] (a
//! Kafka producer, an HTTP client). The bridge then reports the outcome to the source, so that the source acknowledges a
//! message to its peer only after the sink has acknowledged it.
//!
//! ```
//! # use std::sync::Arc;
//! use networking_spi::bridge::{BridgeConfig, BridgeSink, BridgeSource, RouteRule, RoutingConfig};
//! use networking_spi::prelude::*;
//!
//! async fn start(
//!     bridge: Arc<dyn CommunicationBridge>,
//!     listener: Arc<dyn BridgeSource>,
//!     kafka: Arc<dyn BridgeSink>,
//! ) -> Result<(), NetworkError> {
//!     let routing = RoutingConfig::new()
//!         .with_rule(RouteRule::to("logins", "payload.event == 'user_login'", "user-logins"))
//!         .with_default_target("events");
//!     let config = BridgeConfig::new().with_routing(routing).with_dead_letter_target("dead-letters");
//!     let id = bridge.create_bridge("webhooks", listener, kafka, config).await?;
//!     println!("{} is {}", id, bridge.bridge_status(&id).await?.state);
//!     Ok(())
//! }
//! ```

//!
//! # Endpoints and tests
//!
//! Other protocols have their own endpoints: implement [`BridgeSource`] or [`BridgeSink`], and run the suites of
//! `networking_conformance::endpoint` against it.
//!
//! A test of code that calls endpoints can use their mocks (feature `mock`). A mock returns at once; for a source that waits for
//! messages, and a sink that stores them, there is `networking_bridge::MemoryEnds`, which makes both ends of a bridge.
//!
//! ```
//! # #[cfg(feature = "mock")]
//! # fn example() -> networking_spi::Result<()> {
//! # futures_util::future::FutureExt::now_or_never(async {
//! use networking_spi::bridge::{BridgeMessage, BridgeSink, MockBridgeSink};
//!
//! let mut sink = MockBridgeSink::new();
//! sink.expect_deliver()
//!     .withf(|target, message| target == "events" && message.payload == "[1]")
//!     .returning(|_, _| Ok(Some("0@7".to_owned())));
//! let position = sink.deliver("events", BridgeMessage::json(&[1])?).await?;
//! assert_eq!(position.as_deref(), Some("0@7"));
//! # Ok(()) }).unwrap() }
//! # #[cfg(feature = "mock")]
//! # example().unwrap();
//! ```

mod communication;
mod config;
pub mod dead_letter_headers;
mod endpoint;
mod message;
mod protocol;
mod status;

pub use communication::{BridgeCapabilities, CommunicationBridge, CommunicationBridgeExt};
pub use config::{
    BridgeConfig, DeliveryRetry, ErrorAction, MAX_CONDITION_LENGTH, MAX_RULES, RouteAction, RouteRule, RoutingConfig,
};
pub use endpoint::{Acknowledge, BridgeSink, BridgeSource, Delivery};
pub use message::{BridgeMessage, BridgeReceipt, Disposition};
pub use protocol::{BridgeProtocol, ProtocolName};
pub use status::{
    BridgeHealth, BridgeInfo, BridgeMetrics, BridgeState, BridgeStatus, EndpointHealth, HealthState, RouteMetrics,
};

#[cfg(any(test, feature = "mock"))]
pub use communication::MockCommunicationBridge;
#[cfg(any(test, feature = "mock"))]
pub use endpoint::{MockAcknowledge, MockBridgeSink, MockBridgeSource};

use crate::names::define_id;

define_id! {
    /// The id of a bridge of a [`CommunicationBridge`].
    BridgeId
}
