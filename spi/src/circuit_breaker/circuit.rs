//! The contract `Circuit`: permits and their outcomes.

use std::fmt;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{CancelPolicy, CircuitBreakerConfig, CircuitMetrics, CircuitState};
use crate::error::{ErrorKind, NetworkError, Result, Retryability, context};

/// The outcome of a call.
///
/// Exhaustive on purpose: a circuit handles each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The call shows that the dependency works.
    Success,
    /// The call shows that the dependency is failing.
    Failure,
    /// The call does not show whether the dependency works (a bad request, a cancelled caller). The permit is released, and
    /// the state does not change.
    Ignored,
}

/// The record of a call that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallRecord {
    /// The outcome. `None`: the permit was dropped without a record, and the circuit applies its
    /// [`CancelPolicy`](super::CancelPolicy).
    pub outcome: Option<CallOutcome>,
    /// Whether the permit was dropped in a panic, which counts as a failure with every policy.
    pub panicked: bool,
    /// The delay that the dependency asked for (`Retry-After`). The open time is at least this delay, up to its maximum.
    pub retry_after: Option<Duration>,
}

impl CallRecord {
    /// A call that ended with `outcome`.
    pub const fn new(outcome: CallOutcome) -> Self {
        Self {
            outcome: Some(outcome),
            panicked: false,
            retry_after: None,
        }
    }

    /// A permit that was dropped without a record.
    pub const fn dropped(panicked: bool) -> Self {
        Self {
            outcome: None,
            panicked,
            retry_after: None,
        }
    }

    /// What the call counts as in a circuit with this policy.
    pub const fn outcome_by(&self, on_cancel: CancelPolicy) -> CallOutcome {
        match (self.panicked, self.outcome, on_cancel) {
            (true, _, _) | (false, None, CancelPolicy::Failure) => CallOutcome::Failure,
            (false, Some(outcome), _) => outcome,
            (false, None, CancelPolicy::Ignore) => CallOutcome::Ignored,
        }
    }

    /// Sets the delay that the dependency asked for.
    pub const fn with_retry_after(mut self, delay: Duration) -> Self {
        self.retry_after = Some(delay);
        self
    }
}

impl From<CallOutcome> for CallRecord {
    fn from(outcome: CallOutcome) -> Self {
        Self::new(outcome)
    }
}

/// The rejection of a call. The operation was not called.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct CircuitRejection {
    /// The circuit's name.
    pub circuit: Arc<str>,
    /// [`CircuitState::Open`], or [`CircuitState::HalfOpen`] if all probe slots are taken.
    pub state: CircuitState,
    /// The remaining open time. `None` for a circuit that is forced open, and for a half-open circuit, which waits for its
    /// probes.
    pub retry_after: Option<Duration>,
}

impl CircuitRejection {
    /// A rejection by `circuit` in `state`.
    pub fn new(circuit: Arc<str>, state: CircuitState, retry_after: Option<Duration>) -> Self {
        Self {
            circuit,
            state,
            retry_after,
        }
    }
}

impl fmt::Display for CircuitRejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "circuit {} is {}", self.circuit, self.state)?;
        match self.retry_after {
            Some(delay) => write!(f, ", retry in {delay:?}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for CircuitRejection {}

impl From<CircuitRejection> for NetworkError {
    /// An [`ErrorKind::CircuitOpen`] error. It is retryable after the remaining open time, immediately if only the probe
    /// slots are taken, and never if the circuit is forced open.
    fn from(rejection: CircuitRejection) -> Self {
        let retryability = match (rejection.retry_after, rejection.state) {
            (Some(delay), _) => Retryability::After(delay),
            (None, CircuitState::HalfOpen) => Retryability::Now,
            (None, CircuitState::Open | CircuitState::Closed) => Retryability::Never,
        };
        NetworkError::new(ErrorKind::CircuitOpen, "circuit_breaker.acquire", rejection.to_string())
            .with_retryability(retryability)
            .with_context(context::CIRCUIT, rejection.circuit.as_ref())
    }
}

/// Identifies a permit for its circuit. Opaque to applications.
///
/// # For implementers of [`Circuit`]
///
/// Only the circuit that created a token reads its three values, so it may use them for other purposes than their names
/// suggest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PermitToken {
    generation: u64,
    probe: u64,
    started_nanos: u64,
}

impl PermitToken {
    /// A token for a call that was admitted in `generation`, and that is neither a probe nor timed.
    #[inline]
    pub const fn new(generation: u64) -> Self {
        Self {
            generation,
            probe: 0,
            started_nanos: 0,
        }
    }

    /// Sets the number of the probe or of its slot.
    #[inline]
    pub const fn with_probe(mut self, probe: u64) -> Self {
        self.probe = probe;
        self
    }

    /// Sets the time at which the call was admitted, in nanoseconds of the circuit's clock.
    #[inline]
    pub const fn with_started_nanos(mut self, nanos: u64) -> Self {
        self.started_nanos = nanos;
        self
    }

    /// The state generation in which the call was admitted. Results from an earlier generation do not count.
    #[inline]
    pub const fn generation(self) -> u64 {
        self.generation
    }

    /// The number of the probe or of its slot; 0 for a call that is not a probe.
    #[inline]
    pub const fn probe(self) -> u64 {
        self.probe
    }

    /// The time at which the call was admitted, in nanoseconds of the circuit's clock; 0 if the circuit does not time calls.
    #[inline]
    pub const fn started_nanos(self) -> u64 {
        self.started_nanos
    }
}

/// One named circuit.
///
/// A handle stays valid: new configurations, resets and forced states also apply to it. Clones of the `Arc` share
/// everything.
///
/// # For implementers
///
/// `try_acquire` must return `Permit::new(self, token)`. Each permit then calls [`complete`](Self::complete) exactly once,
/// also if it is dropped in a panic or with a cancelled future.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait Circuit: fmt::Debug + Send + Sync + 'static {
    /// The name of the circuit in its breaker.
    fn name(&self) -> &str;

    /// Returns a permit for one call, if the circuit admits it. Does not block.
    ///
    /// # Errors
    /// A [`CircuitRejection`] if the circuit is open, or half-open with all probe slots taken.
    #[allow(clippy::elidable_lifetime_names, reason = "mockall needs the name")]
    fn try_acquire<'a>(&'a self) -> Result<Permit<'a>, CircuitRejection>;

    /// Returns the current state. When the open time has passed, it is [`CircuitState::HalfOpen`], even before the next call.
    fn state(&self) -> CircuitState;

    /// Returns a snapshot of the counters.
    fn metrics(&self) -> CircuitMetrics;

    /// Returns the current configuration.
    fn config(&self) -> Arc<CircuitBreakerConfig>;

    /// Starts the deadline of one call, after `limit`, or after the configured
    /// [`call_timeout`](CircuitBreakerConfig::call_timeout) if `limit` is `None`. Returns `None` if neither is set.
    ///
    /// The contracts have no timer. The implementation uses the timer of its runtime. If there is a limit, it may panic
    /// outside of that runtime. Without a limit, this method must be cheap, because it is called for every call.
    fn deadline(&self, limit: Option<Duration>) -> Option<Deadline>;

    /// Records the end of a call. [`Permit`] and [`OwnedPermit`] call this method; applications do not.
    ///
    /// Must not panic, because permits call it when they are dropped. A panic while the thread already unwinds is caught,
    /// since it would abort the process; any other panic reaches the caller.
    fn complete(&self, token: PermitToken, record: CallRecord);
}

/// The deadline of one call: a future that is ready when the time limit has passed.
#[must_use = "a deadline does nothing unless it is awaited"]
pub struct Deadline {
    limit: Duration,
    expired: BoxFuture<'static, ()>,
}

impl Deadline {
    /// For implementers of [`Circuit`]: `expired` is ready once `limit` has passed.
    pub fn new(limit: Duration, expired: BoxFuture<'static, ()>) -> Self {
        Self { limit, expired }
    }

    /// The whole time limit.
    pub const fn limit(&self) -> Duration {
        self.limit
    }
}

impl Future for Deadline {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.expired.as_mut().poll(cx)
    }
}

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deadline")
            .field("limit", &self.limit)
            .finish_non_exhaustive()
    }
}

/// Permission to make one call. Report its outcome with [`record`](Self::record).
///
/// A permit that is dropped without a record is released. The call counts as a failure if the thread is panicking;
/// otherwise the circuit's [`CancelPolicy`](super::CancelPolicy) decides.
#[must_use = "a dropped permit counts as a cancelled call"]
pub struct Permit<'c> {
    circuit: &'c dyn Circuit,
    token: PermitToken,
}

impl<'c> Permit<'c> {
    /// For implementers of [`Circuit`].
    pub fn new(circuit: &'c dyn Circuit, token: PermitToken) -> Self {
        Self { circuit, token }
    }

    /// Records the outcome of the call, and releases the permit. If the state generation has changed since the call was
    /// admitted, the result is counted as stale and has no other effect.
    pub fn record(self, record: impl Into<CallRecord>) {
        let circuit = self.circuit;
        circuit.complete(self.into_token(), record.into());
    }

    /// For implementers of a [`Circuit`] that wraps another one: the token of the inner permit, which is not released. The
    /// wrapper puts the token into its own permit, and passes it to [`Circuit::complete`] of the inner circuit.
    pub fn into_token(self) -> PermitToken {
        let token = self.token;
        std::mem::forget(self);
        token
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        complete_dropped(self.circuit, self.token);
    }
}

/// Completes a call whose permit was dropped.
fn complete_dropped(circuit: &dyn Circuit, token: PermitToken) {
    if !std::thread::panicking() {
        return circuit.complete(token, CallRecord::dropped(false));
    }
    // A panic that leaves a destructor while the thread unwinds aborts the process. The first panic continues.
    let completed = catch_unwind(AssertUnwindSafe(|| circuit.complete(token, CallRecord::dropped(true))));
    drop(completed);
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("circuit", &self.circuit.name())
            .field("token", &self.token)
            .finish()
    }
}

/// A [`Permit`] that owns a reference to its circuit and can be moved to another task.
#[must_use = "a dropped permit counts as a cancelled call"]
pub struct OwnedPermit {
    circuit: Arc<dyn Circuit>,
    /// `None` once the call has ended.
    token: Option<PermitToken>,
}

impl OwnedPermit {
    /// Returns a permit of `circuit` for one call, if the circuit admits it.
    ///
    /// # Errors
    /// Same as [`Circuit::try_acquire`].
    pub fn acquire(circuit: &Arc<dyn Circuit>) -> Result<Self, CircuitRejection> {
        let token = circuit.try_acquire()?.into_token();
        Ok(Self {
            circuit: Arc::clone(circuit),
            token: Some(token),
        })
    }

    /// Same as [`Permit::record`].
    pub fn record(mut self, record: impl Into<CallRecord>) {
        if let Some(token) = self.token.take() {
            self.circuit.complete(token, record.into());
        }
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            complete_dropped(&*self.circuit, token);
        }
    }
}

impl fmt::Debug for OwnedPermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OwnedPermit")
            .field("circuit", &self.circuit.name())
            .field("token", &self.token)
            .finish()
    }
}
