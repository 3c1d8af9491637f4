//! Circuit breakers: named circuits that reject calls to a failing dependency.
//!
//! There are three APIs, from the cheapest to the most dynamic:
//!
//! 1. A [`Circuit`] handle: [`Circuit::try_acquire`] returns a [`Permit`], and [`Permit::record`] reports the outcome.
//!    Without boxing, and without a name lookup per call.
//! 2. [`CircuitExt::call`] and [`CircuitBreakerExt::call`]: run a future with a permit, a timeout and a classifier of errors.
//! 3. [`CircuitBreaker::execute_with_circuit_breaker`]: the dyn-compatible form, with a boxed operation.
//!
//! ```
//! # use std::sync::Arc;
//! use networking_spi::prelude::*;
//!
//! async fn charge(breaker: Arc<dyn CircuitBreaker>) -> Result<u32, NetworkError> {
//!     let circuit = breaker.circuit("payments")?;
//!     circuit.call(|| async { Ok(42) }).await
//! }
//! ```

mod breaker;
mod call;
mod circuit;
mod classifier;
mod config;
#[cfg(any(test, feature = "mock"))]
mod double;
mod event;
mod metrics;

pub use breaker::{BoxedOperation, CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerExt, OperationOutput};
pub use call::{CircuitError, CircuitExt};
pub use circuit::{CallOutcome, CallRecord, Circuit, CircuitRejection, Deadline, OwnedPermit, Permit, PermitToken};
pub use classifier::{ErrorClassifier, default_classifier, kafka_classifier};
pub use config::{CancelPolicy, CircuitBreakerConfig, HalfOpenPolicy, OpenPolicy, RateThresholds, TripPolicy};
pub use event::{CircuitEvent, CircuitEventKind, TransitionReason};
pub use metrics::{CircuitMetrics, CircuitTransition, StateDurations, WindowMetrics};

#[cfg(any(test, feature = "mock"))]
pub use breaker::MockCircuitBreaker;
#[cfg(any(test, feature = "mock"))]
pub use circuit::MockCircuit;
#[cfg(any(test, feature = "mock"))]
pub use double::{CircuitDecision, ScriptedCircuit, ScriptedCircuitBreaker, always_closed};

use crate::names::named_enum;

/// The maximum length of a circuit's name, in bytes.
pub const MAX_CIRCUIT_NAME: usize = 256;

named_enum! {
    "circuit_state",
    /// The state of a circuit.
    ///
    /// Exhaustive on purpose: callers handle each of the three states.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub enum CircuitState {
        /// Calls are admitted, and their outcomes are counted.
        #[default]
        Closed => "closed",
        /// Calls are rejected until the open time has passed.
        Open => "open",
        /// A bounded number of probes is admitted, to test whether the dependency has recovered.
        HalfOpen => "half_open",
    }
}

named_enum! {
    "circuit_mode",
    /// Whether a circuit follows its trip policy.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum CircuitMode {
        /// The trip policy decides the state.
        #[default]
        Automatic => "automatic",
        /// Open, until the circuit is reset or forced closed.
        ForcedOpen => "forced_open",
        /// Closed, until the circuit is reset or forced open. Outcomes are still counted.
        ForcedClosed => "forced_closed",
        /// Every call is admitted. The state changes as in automatic mode. Calls that automatic mode would reject are
        /// counted and reported as rejected, and their outcomes do not change the state.
        MetricsOnly => "metrics_only",
    }
}
