//! Events of circuits.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{CircuitMode, CircuitState};
use crate::names::named_enum;

named_enum! {
    "transition_reason",
    /// Why a circuit changed its state.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum TransitionReason {
        /// Too many consecutive failures.
        ConsecutiveFailures => "consecutive_failures",
        /// The failure rate reached its threshold.
        FailureRate => "failure_rate",
        /// The slow-call rate reached its threshold.
        SlowCallRate => "slow_call_rate",
        /// The open time has passed.
        OpenTimeElapsed => "open_time_elapsed",
        /// Enough probes succeeded.
        ProbesSucceeded => "probes_succeeded",
        /// A probe failed.
        ProbeFailed => "probe_failed",
        /// The circuit was forced open or closed.
        Forced => "forced",
        /// The circuit was reset.
        Reset => "reset",
        /// The configuration changed.
        Configured => "configured",
    }
}

/// An event of a circuit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CircuitEvent {
    /// The circuit's name.
    pub circuit: Arc<str>,
    /// The time of the event.
    pub at: SystemTime,
    /// The kind of the event.
    pub kind: CircuitEventKind,
}

impl CircuitEvent {
    /// An event of `circuit`.
    pub const fn new(circuit: Arc<str>, at: SystemTime, kind: CircuitEventKind) -> Self {
        Self { circuit, at, kind }
    }
}

/// The kind of an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum CircuitEventKind {
    /// The state changed.
    StateChanged {
        /// The state before.
        from: CircuitState,
        /// The state after.
        to: CircuitState,
        /// The reason.
        reason: TransitionReason,
    },
    /// The mode changed.
    ModeChanged {
        /// The mode before.
        from: CircuitMode,
        /// The mode after.
        to: CircuitMode,
    },
    /// A call was rejected.
    Rejected {
        /// The remaining open time, if it is known.
        retry_after: Option<Duration>,
    },
    /// The configuration changed.
    Configured,
    /// The circuit was reset.
    Reset,
    /// The circuit was evicted from the registry.
    Evicted,
    /// This subscriber lagged; `missed` events were dropped. The name of the circuit is empty.
    Lagged {
        /// The number of dropped events.
        missed: u64,
    },
}
