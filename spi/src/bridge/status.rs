//! State, counters and health of bridges.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{BridgeId, BridgeProtocol};
use crate::names::named_enum;

named_enum! {
    "bridge_state",
    /// The state of a bridge.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum BridgeState {
        /// Its endpoints are being started.
        #[default]
        Starting => "starting",
        /// Messages are received from the source.
        Running => "running",
        /// No messages are received from the source; messages in flight are finished.
        Paused => "paused",
        /// The bridge is ending, and finishes the messages in flight.
        Draining => "draining",
        /// The bridge has stopped.
        Stopped => "stopped",
        /// The bridge has stopped because of an error.
        Failed => "failed",
    }
}

/// A summary of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BridgeInfo {
    /// Its id.
    pub id: BridgeId,
    /// Its name.
    pub name: String,
    /// The protocol of its source.
    pub source: BridgeProtocol,
    /// The protocol of its sink.
    pub sink: BridgeProtocol,
    /// Its state.
    pub state: BridgeState,
}

impl BridgeInfo {
    /// A summary of a bridge.
    pub fn new(
        id: BridgeId,
        name: impl Into<String>,
        source: BridgeProtocol,
        sink: BridgeProtocol,
        state: BridgeState,
    ) -> Self {
        Self {
            id,
            name: name.into(),
            source,
            sink,
            state,
        }
    }
}

/// The status of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BridgeStatus {
    /// Its id.
    pub id: BridgeId,
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: BridgeState,
    /// When it was created.
    pub created_at: SystemTime,
    /// Messages in flight.
    pub in_flight: usize,
    /// The latest error, if there was one.
    pub last_error: Option<String>,
}

impl BridgeStatus {
    /// The status of a bridge without messages in flight and without errors.
    pub fn new(id: BridgeId, name: impl Into<String>, state: BridgeState, created_at: SystemTime) -> Self {
        Self {
            id,
            name: name.into(),
            state,
            created_at,
            in_flight: 0,
            last_error: None,
        }
    }
}

/// A snapshot of a bridge's counters. Every received message is finally counted in exactly one of `delivered`,
/// `dead_lettered`, `dropped` and `failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct BridgeMetrics {
    /// Messages received from the source, or sent by the application.
    pub received: u64,
    /// Messages delivered to their target.
    pub delivered: u64,
    /// Messages delivered to the dead-letter target.
    pub dead_lettered: u64,
    /// Messages dropped by a rule.
    pub dropped: u64,
    /// Messages that were rejected.
    pub failed: u64,
    /// Retries of deliveries.
    pub retries: u64,
    /// Conditions that could not be evaluated.
    pub condition_errors: u64,
    /// Payload bytes of the messages counted in `delivered`.
    pub bytes_delivered: u64,
    /// Messages delivered, by target; includes the dead-letter target.
    pub by_target: BTreeMap<String, u64>,
    /// Counters by rule.
    pub by_rule: BTreeMap<String, RouteMetrics>,
    /// Mean time from the receipt of a message to its acknowledgement or rejection.
    pub mean_latency: Duration,
    /// Longest time from the receipt of a message to its acknowledgement or rejection.
    pub max_latency: Duration,
}

/// Counters of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct RouteMetrics {
    /// Messages that matched the rule.
    pub matched: u64,
    /// Evaluations of the condition that failed.
    pub errors: u64,
}

named_enum! {
    "health",
    /// The health of an endpoint or a bridge.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
    #[non_exhaustive]
    pub enum HealthState {
        /// It works.
        Up => "up",
        /// It works with restrictions.
        Degraded => "degraded",
        /// It does not work.
        Down => "down",
        /// The health is not known.
        #[default]
        Unknown => "unknown",
    }
}

/// The health of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct EndpointHealth {
    /// Its state.
    pub state: HealthState,
    /// Details, for example a reason or the address on which it listens.
    pub detail: Option<String>,
}

impl EndpointHealth {
    /// The health of an endpoint.
    pub const fn new(state: HealthState) -> Self {
        Self { state, detail: None }
    }

    /// Adds a detail.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// The health of a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct BridgeHealth {
    /// The worst state among the two endpoints and the bridge.
    pub state: HealthState,
    /// The health of the source.
    pub source: EndpointHealth,
    /// The health of the sink.
    pub sink: EndpointHealth,
    /// The percentage of the latest messages that failed or were dead-lettered, 0 ..= 100.
    pub error_percent: u8,
}

impl BridgeHealth {
    /// The health of a bridge.
    pub fn new(state: HealthState, source: EndpointHealth, sink: EndpointHealth, error_percent: u8) -> Self {
        Self {
            state,
            source,
            sink,
            error_percent,
        }
    }
}
