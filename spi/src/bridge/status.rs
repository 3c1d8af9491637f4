//! How bridges are doing.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{BridgeId, BridgeProtocol};
use crate::names::named_enum;

named_enum! {
    "bridge_state",
    /// What a bridge is doing.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum BridgeState {
        /// Its ends are being started.
        #[default]
        Starting => "starting",
        /// Messages flow.
        Running => "running",
        /// No messages are taken from the source; those in work are finished.
        Paused => "paused",
        /// It is being destroyed and finishes the messages in work.
        Draining => "draining",
        /// It is over.
        Stopped => "stopped",
        /// It is over because of an error.
        Failed => "failed",
    }
}

/// One line about a bridge.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BridgeInfo {
    /// Its id.
    pub id: BridgeId,
    /// Its name.
    pub name: String,
    /// What its source speaks.
    pub source: BridgeProtocol,
    /// What its sink speaks.
    pub sink: BridgeProtocol,
    /// What it is doing.
    pub state: BridgeState,
}

impl BridgeInfo {
    /// One line about a bridge.
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

/// What a bridge is doing, in full.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BridgeStatus {
    /// Its id.
    pub id: BridgeId,
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: BridgeState,
    /// When it was created.
    pub created_at: SystemTime,
    /// Messages in work.
    pub in_flight: usize,
    /// The latest error, if there was one.
    pub last_error: Option<String>,
}

impl BridgeStatus {
    /// The status of a bridge with nothing in work.
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

/// A snapshot of a bridge's counters. Every received message ends in exactly one of `delivered`, `dead_lettered`,
/// `dropped` and `failed`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct BridgeMetrics {
    /// Messages taken from the source, or sent by the application.
    pub received: u64,
    /// Messages acknowledged by the sink at their target.
    pub delivered: u64,
    /// Messages acknowledged by the sink at the dead-letter target.
    pub dead_lettered: u64,
    /// Messages dropped by a rule.
    pub dropped: u64,
    /// Messages that the source was told could not be dealt with.
    pub failed: u64,
    /// Attempts beyond the first.
    pub retries: u64,
    /// Conditions that could not be evaluated.
    pub condition_errors: u64,
    /// Payload bytes delivered.
    pub bytes_delivered: u64,
    /// Per target.
    pub by_target: BTreeMap<String, u64>,
    /// Per rule.
    pub by_rule: BTreeMap<String, RouteMetrics>,
    /// Mean time from receiving a message to answering for it.
    pub mean_latency: Duration,
    /// Longest time from receiving a message to answering for it.
    pub max_latency: Duration,
}

/// Counters of a rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct RouteMetrics {
    /// Messages it decided about.
    pub matched: u64,
    /// Times its condition could not be evaluated.
    pub errors: u64,
}

named_enum! {
    "health",
    /// Whether something works.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
    #[non_exhaustive]
    pub enum HealthState {
        /// It works.
        Up => "up",
        /// It works, but not fully.
        Degraded => "degraded",
        /// It does not work.
        Down => "down",
        /// It cannot be told.
        #[default]
        Unknown => "unknown",
    }
}

/// Whether an endpoint works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct EndpointHealth {
    /// Whether it works.
    pub state: HealthState,
    /// Why not, or where it listens.
    pub detail: Option<String>,
}

impl EndpointHealth {
    /// Whether an endpoint works.
    pub const fn new(state: HealthState) -> Self {
        Self { state, detail: None }
    }

    /// Adds a detail.
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }
}

/// Whether a bridge works.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct BridgeHealth {
    /// The worse of both ends, and of the bridge itself.
    pub state: HealthState,
    /// Its source.
    pub source: EndpointHealth,
    /// Its sink.
    pub sink: EndpointHealth,
    /// Share of the messages that failed or were dead-lettered among the latest ones, 0 ..= 100 percent.
    pub error_percent: u8,
}

impl BridgeHealth {
    /// The health that follows from both ends.
    pub fn new(state: HealthState, source: EndpointHealth, sink: EndpointHealth, error_percent: u8) -> Self {
        Self {
            state,
            source,
            sink,
            error_percent,
        }
    }
}
