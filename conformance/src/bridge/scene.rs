//! The setup of most cases: a bridge between a scripted source and a scripted sink.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use networking_spi::bridge::{
    BridgeConfig, BridgeId, BridgeMessage, BridgeMetrics, BridgeReceipt, BridgeState, BridgeStatus,
    CommunicationBridge, DeliveryRetry, RoutingConfig,
};
use networking_spi::{ErrorKind, NetworkError};

use super::Dyn;
use super::sink::{ScriptedSink, Step};
use super::source::{PATIENCE, Pending, ScriptedSource};
use crate::kit::Failure;

pub(super) const NAME: &str = "case";
pub(super) const TARGET: &str = "events";
pub(super) const DEAD_LETTERS: &str = "dead-letters";

/// Every message is delivered to [`TARGET`], in at most two attempts with a short delay, without dead letters.
pub(super) fn config() -> BridgeConfig {
    BridgeConfig::new()
        .with_routing(RoutingConfig::new().with_default_target(TARGET))
        .with_retry(DeliveryRetry::new(2, Duration::from_millis(1), Duration::from_secs(2)))
        .with_delivery_timeout(Duration::from_secs(3))
        .with_drain_timeout(Duration::from_secs(5))
}

/// [`config`] with the dead-letter target [`DEAD_LETTERS`].
pub(super) fn with_dead_letters() -> BridgeConfig {
    config().with_dead_letter_target(DEAD_LETTERS)
}

pub(super) fn message(id: &str, payload: &str) -> BridgeMessage {
    BridgeMessage::new(id, payload.to_owned(), SystemTime::UNIX_EPOCH)
}

/// A transient failure.
pub(super) fn transient() -> NetworkError {
    NetworkError::new(ErrorKind::ConnectionClosed, "sink.deliver", "the connection was lost")
}

/// A permanent failure.
pub(super) fn fatal() -> NetworkError {
    NetworkError::new(ErrorKind::Remote, "sink.deliver", "the peer refuses it")
}

/// A running bridge with its endpoints.
pub(super) struct Scene {
    pub(super) bridge: Arc<dyn CommunicationBridge>,
    pub(super) id: BridgeId,
    pub(super) source: Arc<ScriptedSource>,
    pub(super) sink: Arc<ScriptedSink>,
}

impl Scene {
    pub(super) async fn new(harness: &Arc<Dyn>, config: BridgeConfig) -> Result<Self, Failure> {
        let bridge = harness.bridge();
        let (source, sink) = (ScriptedSource::new(), ScriptedSink::new());
        let id = bridge.create_bridge(NAME, source.clone(), sink.clone(), config).await?;
        Ok(Self {
            bridge,
            id,
            source,
            sink,
        })
    }

    /// A scene with this routing and a dead-letter target.
    pub(super) async fn routed(harness: &Arc<Dyn>, routing: RoutingConfig) -> Result<Self, Failure> {
        Self::new(harness, with_dead_letters().with_routing(routing)).await
    }

    /// Pushes a message with this payload, which is also its id.
    pub(super) fn push(&self, payload: &str) -> Pending {
        self.source.push(message(payload, payload))
    }

    /// Pushes a message, and returns its receipt. Fails if the message is rejected.
    pub(super) async fn receipt(&self, message: BridgeMessage) -> Result<BridgeReceipt, Failure> {
        self.source.push(message).receipt().await
    }

    /// Makes the next `times` delivery attempts fail transiently.
    pub(super) fn fail(&self, times: usize) {
        for _ in 0..times {
            self.sink.next(Step::Fail(transient()));
        }
    }

    pub(super) async fn metrics(&self) -> Result<BridgeMetrics, Failure> {
        Ok(self.bridge.bridge_metrics(&self.id).await?)
    }

    pub(super) async fn status(&self) -> Result<BridgeStatus, Failure> {
        Ok(self.bridge.bridge_status(&self.id).await?)
    }

    /// Waits until the bridge is in this state.
    pub(super) async fn wait_for(&self, state: BridgeState) -> Result<(), Failure> {
        let wait = async {
            loop {
                let status = self.bridge.bridge_status(&self.id).await?;
                if status.state == state {
                    return Ok::<_, NetworkError>(());
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if let Ok(result) = tokio::time::timeout(PATIENCE, wait).await {
            return Ok(result?);
        }
        let found = self.status().await?.state;
        Err(Failure::new(format!(
            "the bridge is {found} after {PATIENCE:?}, expected {state}"
        )))
    }
}

/// Waits long enough for an event that must not happen.
pub(super) async fn settle() {
    tokio::time::sleep(super::source::SETTLE).await;
}
