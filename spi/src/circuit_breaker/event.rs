//! What happens to circuits, as a stream.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{CircuitMode, CircuitState};
use crate::id::named_enum;

/// Why a circuit changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransitionReason {
    /// Too many failures in a row.
    ConsecutiveFailures,
    /// The failure rate reached its threshold.
    FailureRate,
    /// The slow-call rate reached its threshold.
    SlowCallRate,
    /// The open time has passed.
    OpenTimeElapsed,
    /// Enough probes succeeded.
    ProbesSucceeded,
    /// A probe failed.
    ProbeFailed,
    /// An operator forced or reset it.
    Forced,
    /// An operator reset it.
    Reset,
    /// Its configuration changed.
    Configured,
}

named_enum!(TransitionReason, "transition_reason", {
    ConsecutiveFailures => "consecutive_failures",
    FailureRate => "failure_rate",
    SlowCallRate => "slow_call_rate",
    OpenTimeElapsed => "open_time_elapsed",
    ProbesSucceeded => "probes_succeeded",
    ProbeFailed => "probe_failed",
    Forced => "forced",
    Reset => "reset",
    Configured => "configured",
});

/// Something that happened to a circuit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CircuitEvent {
    /// The circuit's name.
    pub circuit: Arc<str>,
    /// When.
    pub at: SystemTime,
    /// What.
    pub kind: CircuitEventKind,
}

impl CircuitEvent {
    /// An event of `circuit`.
    pub const fn new(circuit: Arc<str>, at: SystemTime, kind: CircuitEventKind) -> Self {
        Self { circuit, at, kind }
    }
}

/// What happened.
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
        /// Why.
        reason: TransitionReason,
    },
    /// The mode changed.
    ModeChanged {
        /// The mode before.
        from: CircuitMode,
        /// The mode after.
        to: CircuitMode,
    },
    /// A call was not let through.
    Rejected {
        /// When a call may be let through again.
        retry_after: Option<Duration>,
    },
    /// The configuration changed.
    Configured,
    /// The circuit was reset.
    Reset,
    /// The circuit was evicted from the registry.
    Evicted,
    /// This subscriber was too slow: so many events are missing here. The name of the circuit is empty.
    Lagged {
        /// Events lost.
        missed: u64,
    },
}
