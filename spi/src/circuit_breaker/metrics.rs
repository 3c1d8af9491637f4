//! Counters of a circuit.

use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{CircuitMode, CircuitState, TransitionReason};

/// A snapshot of the counters of one circuit. Totals are counted since the circuit was created or last reset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[serde(default)]
#[non_exhaustive]
pub struct CircuitMetrics {
    /// The current state.
    pub state: CircuitState,
    /// The current mode.
    pub mode: CircuitMode,
    /// Calls that succeeded.
    pub successes: u64,
    /// Calls that failed, including timeouts and panics.
    pub failures: u64,
    /// Calls whose outcome was ignored.
    pub ignored: u64,
    /// Calls that were rejected. In metrics-only mode, calls that automatic mode would have rejected; these are admitted, and
    /// are therefore also counted by how they end.
    pub rejected: u64,
    /// Results from an earlier state generation, which had no other effect.
    pub stale: u64,
    /// Successes and failures that were slow, if the policy times calls. An ignored call is never slow.
    pub slow: u64,
    /// Calls in flight.
    pub in_flight: u64,
    /// Consecutive failures while closed.
    pub consecutive_failures: u32,
    /// The window of the trip policy.
    pub window: WindowMetrics,
    /// The number of times that the circuit opened, also by an override.
    pub times_opened: u64,
    /// The time since the circuit entered its current state.
    pub in_state_for: Duration,
    /// The time spent in each state, including the current one.
    pub time_in: StateDurations,
    /// The remaining open time, while open.
    pub retry_after: Option<Duration>,
    /// The number of state changes, including those that are no longer in `transitions`.
    pub transition_count: u64,
    /// The latest transitions, oldest first. Their number is bounded. A reset keeps them.
    pub transitions: Vec<CircuitTransition>,
}

impl CircuitMetrics {
    /// The number of calls that ended: successes, failures and ignored ones.
    pub const fn completed(&self) -> u64 {
        self.successes + self.failures + self.ignored
    }
}

/// Time spent in each state. A circuit whose open time has passed counts as open until the next call or query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(default)]
#[non_exhaustive]
pub struct StateDurations {
    /// Time spent closed.
    pub closed: Duration,
    /// Time spent open.
    pub open: Duration,
    /// Time spent half-open.
    pub half_open: Duration,
}

impl StateDurations {
    /// The time spent in `state`.
    pub const fn of(&self, state: CircuitState) -> Duration {
        match state {
            CircuitState::Closed => self.closed,
            CircuitState::Open => self.open,
            CircuitState::HalfOpen => self.half_open,
        }
    }

    /// Adds `time` to the time spent in `state`.
    pub fn add(&mut self, state: CircuitState, time: Duration) {
        let sum = match state {
            CircuitState::Closed => &mut self.closed,
            CircuitState::Open => &mut self.open,
            CircuitState::HalfOpen => &mut self.half_open,
        };
        *sum = sum.saturating_add(time);
    }
}

/// The calls in the window of the trip policy. All values are zero for
/// [`ConsecutiveFailures`](super::TripPolicy::ConsecutiveFailures).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct WindowMetrics {
    /// Calls in the window.
    pub calls: u32,
    /// Failed calls in the window.
    pub failures: u32,
    /// Slow calls in the window.
    pub slow: u32,
}

impl WindowMetrics {
    /// The share of failed calls; 0.0 for an empty window.
    pub fn failure_rate(&self) -> f64 {
        if self.calls == 0 {
            0.0
        } else {
            f64::from(self.failures) / f64::from(self.calls)
        }
    }

    /// The share of slow calls; 0.0 for an empty window.
    pub fn slow_call_rate(&self) -> f64 {
        if self.calls == 0 {
            0.0
        } else {
            f64::from(self.slow) / f64::from(self.calls)
        }
    }
}

/// One change of state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CircuitTransition {
    /// The state before.
    pub from: CircuitState,
    /// The state after.
    pub to: CircuitState,
    /// The reason.
    pub reason: TransitionReason,
    /// The time of the change.
    pub at: SystemTime,
}

impl CircuitTransition {
    /// A change from `from` to `to`.
    pub const fn new(from: CircuitState, to: CircuitState, reason: TransitionReason, at: SystemTime) -> Self {
        Self { from, to, reason, at }
    }
}
