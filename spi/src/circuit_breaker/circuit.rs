//! One circuit: permits and their outcomes.

use std::fmt;
use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_core::future::BoxFuture;
use futures_util::future::{Either, select};
use serde::{Deserialize, Serialize};

use super::{CircuitBreakerConfig, CircuitMetrics, CircuitState};
use crate::error::{ErrorKind, NetworkError, Phase, Result, Retryability, context};

/// The outcome of a call.
///
/// Exhaustive on purpose: a circuit handles each outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CallOutcome {
    /// The dependency works.
    Success,
    /// The dependency is failing.
    Failure,
    /// The call says nothing about the dependency (a bad request, a cancelled caller). Its permit is freed, and the
    /// state does not change.
    Ignored,
}

/// The record of a call that has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CallRecord {
    /// How it ended. `None`: the permit was dropped without a record, and the circuit applies its
    /// [`CancelPolicy`](super::CancelPolicy).
    pub outcome: Option<CallOutcome>,
    /// Whether the permit was dropped by a panic, which is a failure under every policy.
    pub panicked: bool,
    /// The shortest wait the dependency asked for (`Retry-After`): lengthens the open time, up to its cap.
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

    /// A permit dropped without a record.
    pub const fn dropped(panicked: bool) -> Self {
        Self {
            outcome: None,
            panicked,
            retry_after: None,
        }
    }

    /// Adds the wait the dependency asked for.
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
    /// [`CircuitState::Open`], or [`CircuitState::HalfOpen`] when all probe slots are taken.
    pub state: CircuitState,
    /// The time until a call may be admitted again. `None` for a circuit that was forced open, which waits for an
    /// operator, and for a half-open one, which waits for its probes.
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
    /// An [`ErrorKind::CircuitOpen`] error: retryable after the open time, immediately if only the probe slots are
    /// taken, and never if the circuit is forced open.
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

/// By what a circuit recognises a permit that comes back. Opaque to applications.
///
/// # For implementers of [`Circuit`]
///
/// Only the circuit that made a token reads these three values. Their names describe the usual use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct PermitToken {
    generation: u64,
    probe: u64,
    started_nanos: u64,
}

impl PermitToken {
    /// A token of this state generation, for a call that is neither a probe nor timed.
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

    /// Sets when the call was admitted, in nanoseconds of the circuit's clock.
    #[inline]
    pub const fn with_started_nanos(mut self, nanos: u64) -> Self {
        self.started_nanos = nanos;
        self
    }

    /// The state generation in which the call was admitted. Results of an earlier generation do not count.
    #[inline]
    pub const fn generation(self) -> u64 {
        self.generation
    }

    /// The number of the probe or of its slot; 0 for a call that was admitted while closed.
    #[inline]
    pub const fn probe(self) -> u64 {
        self.probe
    }

    /// When the call was admitted, in nanoseconds of the circuit's clock; 0 if the circuit does not time calls.
    #[inline]
    pub const fn started_nanos(self) -> u64 {
        self.started_nanos
    }
}

/// One named circuit.
///
/// A handle stays valid for the life of its breaker: it follows configuration changes, resets and forced states.
/// Clones of the `Arc` share everything.
///
/// # For implementers
///
/// `try_acquire` must return `Permit::new(self, token)`. Each permit is then passed to [`complete`](Self::complete)
/// exactly once, also when it is dropped in a panic or with a cancelled future.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait Circuit: fmt::Debug + Send + Sync + 'static {
    /// Its name in the breaker.
    fn name(&self) -> &str;

    /// Asks for a permit to make a call now. Does not block.
    ///
    /// # Errors
    /// A [`CircuitRejection`] when the circuit is open, or half-open with every probe slot taken.
    #[allow(clippy::elidable_lifetime_names, reason = "mockall needs the name")]
    fn try_acquire<'a>(&'a self) -> Result<Permit<'a>, CircuitRejection>;

    /// The state now. When the open time has passed, it is [`CircuitState::HalfOpen`], also before the next call.
    fn state(&self) -> CircuitState;

    /// A snapshot of the counters.
    fn metrics(&self) -> CircuitMetrics;

    /// The configuration in force.
    fn config(&self) -> Arc<CircuitBreakerConfig>;

    /// Starts the time limit of one call: `limit`, or the configured
    /// [`call_timeout`](CircuitBreakerConfig::call_timeout) for `None`. Without either there is no deadline.
    ///
    /// The contracts have no timer. The implementation uses that of its runtime, and may panic outside of that runtime
    /// if there is a limit. Without a limit it must be cheap: every call asks for its deadline.
    fn deadline(&self, limit: Option<Duration>) -> Option<Deadline>;

    /// Ends the call of a permit. [`Permit`] and [`OwnedPermit`] call it; applications do not.
    fn complete(&self, token: PermitToken, record: CallRecord);
}

/// The running time limit of one call: a future that is ready when the time has passed.
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
/// A permit that is dropped without a record frees its slot. It counts as a failure if the thread is panicking, and
/// otherwise as the circuit's [`CancelPolicy`](super::CancelPolicy) says.
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

    /// Ends the call. A record of an earlier state generation is counted as stale and has no other effect.
    pub fn record(self, record: impl Into<CallRecord>) {
        let (circuit, token) = (self.circuit, self.token);
        std::mem::forget(self);
        circuit.complete(token, record.into());
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.circuit
            .complete(self.token, CallRecord::dropped(std::thread::panicking()));
    }
}

impl fmt::Debug for Permit<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Permit")
            .field("circuit", &self.circuit.name())
            .field("token", &self.token)
            .finish()
    }
}

/// A [`Permit`] that owns a reference to its circuit, and can be sent to another task.
#[must_use = "a dropped permit counts as a cancelled call"]
pub struct OwnedPermit {
    circuit: Arc<dyn Circuit>,
    /// `None` once the call has ended.
    token: Option<PermitToken>,
}

impl OwnedPermit {
    /// Asks `circuit` for a permit to make a call now.
    ///
    /// # Errors
    /// A [`CircuitRejection`] as [`Circuit::try_acquire`].
    pub fn acquire(circuit: &Arc<dyn Circuit>) -> Result<Self, CircuitRejection> {
        let permit = circuit.try_acquire()?;
        let token = permit.token;
        std::mem::forget(permit);
        Ok(Self {
            circuit: Arc::clone(circuit),
            token: Some(token),
        })
    }

    /// Ends the call, as [`Permit::record`].
    pub fn record(mut self, record: impl Into<CallRecord>) {
        if let Some(token) = self.token.take() {
            self.circuit.complete(token, record.into());
        }
    }
}

impl Drop for OwnedPermit {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            self.circuit
                .complete(token, CallRecord::dropped(std::thread::panicking()));
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

/// Conveniences for every [`Circuit`]. Do not implement it.
pub trait CircuitExt: Circuit {
    /// Runs the future that `operation` builds under a permit and the configured
    /// [`call_timeout`](CircuitBreakerConfig::call_timeout); errors are classified by the circuit's
    /// [`ErrorClassifier`](super::ErrorClassifier). `operation` is not called if the circuit rejects the call.
    ///
    /// Configure a timeout in the circuit, not around this call: a timeout around it cancels the call, and the circuit
    /// does not learn that the dependency hangs.
    ///
    /// Cancel safety: dropping the future drops the operation and then the permit, see [`Permit`].
    ///
    /// # Errors
    /// [`CircuitOpen`](ErrorKind::CircuitOpen) when rejected, [`Timeout`](ErrorKind::Timeout) (phase total) when the
    /// operation did not end in time, otherwise what the operation returned.
    fn call<T, F, Fut>(&self, operation: F) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
    {
        run(self, None, operation)
    }

    /// [`call`](Self::call) with this time limit in place of the configured one.
    ///
    /// # Errors
    /// As `call`.
    fn call_with_timeout<T, F, Fut>(&self, limit: Duration, operation: F) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
    {
        run(self, Some(limit), operation)
    }

    /// Like [`call`](Self::call), with a fallback. `fallback` gets the error, and runs if the call was rejected, did
    /// not end in time, or counts as a failure by the circuit's [`ErrorClassifier`](super::ErrorClassifier).
    ///
    /// Errors that do not count as failures of the dependency (an ignored one, or a response such as 404) are returned
    /// unchanged: a fallback would hide an error of the caller. The fallback runs without a permit, and its outcome is
    /// not counted.
    ///
    /// Cancel safety: as `call`; while the fallback runs, dropping the future drops the fallback.
    ///
    /// ```
    /// # use networking_spi::prelude::*;
    /// async fn price(circuit: &dyn Circuit) -> Result<u32, NetworkError> {
    ///     circuit
    ///         .call_with_fallback(|| async { fetch_price().await }, |_error| async { Ok(cached_price()) })
    ///         .await
    /// }
    /// # async fn fetch_price() -> Result<u32, NetworkError> { Ok(1) }
    /// # fn cached_price() -> u32 { 1 }
    /// ```
    ///
    /// # Errors
    /// The error of the operation if it does not count as a failure of the dependency, otherwise that of the fallback.
    fn call_with_fallback<T, F, Fut, G, Alternative>(
        &self,
        operation: F,
        fallback: G,
    ) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
        G: FnOnce(NetworkError) -> Alternative + Send,
        Alternative: Future<Output = Result<T>> + Send,
    {
        async move {
            match attempt(self, None, operation).await {
                Ok(value) => Ok(value),
                Err(Unsuccessful { error, failed: true }) => fallback(error).await,
                Err(Unsuccessful { error, .. }) => Err(error),
            }
        }
    }
}

impl<C: Circuit + ?Sized> CircuitExt for C {}

async fn run<C, T, F, Fut>(circuit: &C, limit: Option<Duration>, operation: F) -> Result<T>
where
    C: Circuit + ?Sized,
    T: Send,
    F: FnOnce() -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
{
    attempt(circuit, limit, operation)
        .await
        .map_err(|unsuccessful| unsuccessful.error)
}

/// A call that returned no value: it was rejected, or it failed.
struct Unsuccessful {
    error: NetworkError,
    /// Whether the call was rejected or counted as a failure.
    failed: bool,
}

async fn attempt<C, T, F, Fut>(circuit: &C, limit: Option<Duration>, operation: F) -> Result<T, Unsuccessful>
where
    C: Circuit + ?Sized,
    T: Send,
    F: FnOnce() -> Fut + Send,
    Fut: Future<Output = Result<T>> + Send,
{
    let permit = circuit.try_acquire().map_err(|rejection| Unsuccessful {
        error: rejection.into(),
        failed: true,
    })?;
    let result = match circuit.deadline(limit) {
        None => operation().await,
        Some(deadline) => {
            let limit = deadline.limit();
            match select(pin!(operation()), deadline).await {
                Either::Left((result, _)) => result,
                Either::Right(((), _)) => {
                    // The classifier is not asked: a dependency that does not answer in time is failing.
                    permit.record(CallOutcome::Failure);
                    return Err(Unsuccessful {
                        error: NetworkError::timeout("circuit_breaker.call", Phase::Total, limit),
                        failed: true,
                    });
                }
            }
        }
    };
    match result {
        Ok(value) => {
            permit.record(CallOutcome::Success);
            Ok(value)
        }
        Err(error) => {
            let outcome = circuit.config().classifier.classify(&error);
            permit.record(CallRecord {
                outcome: Some(outcome),
                panicked: false,
                retry_after: error.retryability().delay(),
            });
            Err(Unsuccessful {
                error,
                failed: outcome == CallOutcome::Failure,
            })
        }
    }
}
