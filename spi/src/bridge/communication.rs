//! The contract `CommunicationBridge`.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;

use super::{
    BridgeConfig, BridgeHealth, BridgeId, BridgeInfo, BridgeMessage, BridgeMetrics, BridgeReceipt, BridgeSink,
    BridgeSource, BridgeStatus, RouteRule, RoutingConfig,
};
use crate::capabilities::capabilities;
use crate::error::Result;

capabilities! {
    /// What a [`CommunicationBridge`] supports. Without capabilities, a bridge delivers every message to one target.
    pub struct BridgeCapabilities {
        /// Routing rules with conditions.
        routing,
        /// Dead-letter targets.
        dead_letters,
        /// [`CommunicationBridge::pause_bridge`] and [`CommunicationBridge::resume_bridge`].
        pause,
        /// Messages with the same key are delivered in the order of their arrival.
        ordering_by_key,
    }
}

/// Runs bridges between protocols.
///
/// # Behaviour of every implementation
///
/// * A message is acknowledged to its source only after the sink has acknowledged it: delivery is at least once.
/// * Payloads are delivered byte for byte.
/// * A message that cannot be delivered or routed is delivered to the dead-letter target. Without a dead-letter target,
///   it is rejected to its source with the error. No message is lost silently.
/// * At most [`max_in_flight`](BridgeConfig::max_in_flight) messages are in flight. At the limit, the bridge receives no
///   further messages from the source.
/// * Destroying a bridge first finishes the messages in flight.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait CommunicationBridge: fmt::Debug + Send + Sync + 'static {
    /// Creates and starts a bridge named `name`. When this returns, the source accepts messages.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field (also for a condition that does not compile),
    /// [`AlreadyExists`](crate::ErrorKind::AlreadyExists) for a name in use, [`Exhausted`](crate::ErrorKind::Exhausted)
    /// if there are too many bridges, and the errors of starting the endpoints. After an error, neither endpoint is
    /// running.
    async fn create_bridge(
        &self,
        name: &str,
        source: Arc<dyn BridgeSource>,
        target: Arc<dyn BridgeSink>,
        config: BridgeConfig,
    ) -> Result<BridgeId>;

    /// Stops and removes a bridge. The source accepts no further messages, messages in flight are finished within
    /// [`drain_timeout`](BridgeConfig::drain_timeout), and both endpoints are stopped.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such bridge, [`Timeout`](crate::ErrorKind::Timeout) if
    /// messages were still in flight after the drain timeout; these are rejected.
    async fn destroy_bridge(&self, bridge: &BridgeId) -> Result<()>;

    /// Sends a message through a bridge as if its source had received it, and waits for its final outcome.
    ///
    /// Cancel safety: the message may be delivered although the call was cancelled.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such bridge, [`Closed`](crate::ErrorKind::Closed) for a
    /// bridge that is not running, [`TooLarge`](crate::ErrorKind::TooLarge),
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field, and the errors of the sink if there is no
    /// dead-letter target.
    async fn send_message_through_bridge(&self, bridge: &BridgeId, message: BridgeMessage) -> Result<BridgeReceipt>;

    /// Returns the status of a bridge.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such bridge.
    async fn bridge_status(&self, bridge: &BridgeId) -> Result<BridgeStatus>;

    /// Returns the counters of a bridge.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such bridge.
    async fn bridge_metrics(&self, bridge: &BridgeId) -> Result<BridgeMetrics>;

    /// Replaces the routing of a bridge: the rules, the default target, and the action for conditions that cannot be evaluated. It
    /// applies to messages that are received afterwards.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such bridge,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field; the previous routing then remains in use.
    async fn configure_bridge_routing(&self, bridge: &BridgeId, routing: RoutingConfig) -> Result<()>;

    /// Replaces the rules of a bridge, and keeps its default target and its action for conditions that cannot be evaluated. The
    /// rules apply to messages that are received afterwards.
    ///
    /// # Errors
    /// Same as [`configure_bridge_routing`](Self::configure_bridge_routing).
    async fn configure_bridge_rules(&self, bridge: &BridgeId, rules: Vec<RouteRule>) -> Result<()>;

    /// Lists all bridges, ordered by name.
    ///
    /// # Errors
    /// Connection errors, for implementations that ask a remote service.
    async fn all_bridges(&self) -> Result<Vec<BridgeInfo>>;

    /// Checks the health of a bridge and of both its endpoints now.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such bridge.
    async fn monitor_bridge_health(&self, bridge: &BridgeId) -> Result<BridgeHealth>;

    /// Stops receiving messages from the source. Messages in flight are finished. Pausing a paused bridge is not an error.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) if there is no such bridge, [`Closed`](crate::ErrorKind::Closed) for a
    /// bridge that has stopped, [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `pause`.
    async fn pause_bridge(&self, bridge: &BridgeId) -> Result<()>;

    /// Receives messages from the source again. Resuming a running bridge is not an error.
    ///
    /// # Errors
    /// Same as [`pause_bridge`](Self::pause_bridge).
    async fn resume_bridge(&self, bridge: &BridgeId) -> Result<()>;

    /// What this implementation supports.
    fn capabilities(&self) -> BridgeCapabilities;
}

/// Conveniences for every [`CommunicationBridge`]. Do not implement it.
pub trait CommunicationBridgeExt: CommunicationBridge {
    /// Returns the id of the bridge named `name`, if there is one.
    ///
    /// # Errors
    /// Same as [`CommunicationBridge::all_bridges`].
    fn find_bridge(&self, name: &str) -> impl Future<Output = Result<Option<BridgeId>>> + Send {
        async move {
            Ok(self
                .all_bridges()
                .await?
                .into_iter()
                .find(|info| info.name == name)
                .map(|info| info.id))
        }
    }

    /// Destroys all bridges concurrently, and waits for all of them.
    ///
    /// # Errors
    /// The errors of [`all_bridges`](CommunicationBridge::all_bridges), or the first error of
    /// [`destroy_bridge`](CommunicationBridge::destroy_bridge) in the order of the names.
    fn shutdown(&self) -> impl Future<Output = Result<()>> + Send {
        async move {
            let bridges = self.all_bridges().await?;
            let results =
                futures_util::future::join_all(bridges.iter().map(|info| self.destroy_bridge(&info.id))).await;
            results.into_iter().collect()
        }
    }
}

impl<B: CommunicationBridge + ?Sized> CommunicationBridgeExt for B {}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<B: CommunicationBridge + ?Sized> CommunicationBridge for $pointer<B> {
            async fn create_bridge(
                &self,
                name: &str,
                source: Arc<dyn BridgeSource>,
                target: Arc<dyn BridgeSink>,
                config: BridgeConfig,
            ) -> Result<BridgeId> {
                (**self).create_bridge(name, source, target, config).await
            }

            async fn destroy_bridge(&self, bridge: &BridgeId) -> Result<()> {
                (**self).destroy_bridge(bridge).await
            }

            async fn send_message_through_bridge(
                &self,
                bridge: &BridgeId,
                message: BridgeMessage,
            ) -> Result<BridgeReceipt> {
                (**self).send_message_through_bridge(bridge, message).await
            }

            async fn bridge_status(&self, bridge: &BridgeId) -> Result<BridgeStatus> {
                (**self).bridge_status(bridge).await
            }

            async fn bridge_metrics(&self, bridge: &BridgeId) -> Result<BridgeMetrics> {
                (**self).bridge_metrics(bridge).await
            }

            async fn configure_bridge_routing(&self, bridge: &BridgeId, routing: RoutingConfig) -> Result<()> {
                (**self).configure_bridge_routing(bridge, routing).await
            }

            async fn configure_bridge_rules(&self, bridge: &BridgeId, rules: Vec<RouteRule>) -> Result<()> {
                (**self).configure_bridge_rules(bridge, rules).await
            }

            async fn all_bridges(&self) -> Result<Vec<BridgeInfo>> {
                (**self).all_bridges().await
            }

            async fn monitor_bridge_health(&self, bridge: &BridgeId) -> Result<BridgeHealth> {
                (**self).monitor_bridge_health(bridge).await
            }

            async fn pause_bridge(&self, bridge: &BridgeId) -> Result<()> {
                (**self).pause_bridge(bridge).await
            }

            async fn resume_bridge(&self, bridge: &BridgeId) -> Result<()> {
                (**self).resume_bridge(bridge).await
            }

            fn capabilities(&self) -> BridgeCapabilities {
                (**self).capabilities()
            }
        }
    )+};
}

delegate!(Arc, Box);
