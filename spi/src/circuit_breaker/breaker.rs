//! The contract `CircuitBreaker`: a registry of circuits.

use std::any::Any;
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::future::BoxFuture;
use futures_core::stream::BoxStream;

use super::{Circuit, CircuitBreakerConfig, CircuitEvent, CircuitExt, CircuitMetrics, CircuitState};
use crate::capabilities::capabilities;
use crate::error::{ErrorKind, NetworkError, Result};

/// The output, of any type, of an operation of [`CircuitBreaker::execute_with_circuit_breaker`].
pub type OperationOutput = Box<dyn Any + Send>;

/// An operation. It is called only if the circuit admits the call.
pub type BoxedOperation = Box<dyn FnOnce() -> BoxFuture<'static, Result<OperationOutput>> + Send>;

capabilities! {
    /// What a [`CircuitBreaker`] supports. Without capabilities, it only has
    /// [`TripPolicy::ConsecutiveFailures`](super::TripPolicy::ConsecutiveFailures), and a half-open circuit admits every
    /// call: the first success closes it, the first failure opens it again.
    ///
    /// A configuration or operation that needs a capability which is not declared fails with
    /// [`Unsupported`](ErrorKind::Unsupported).
    pub struct CircuitBreakerCapabilities {
        /// [`TripPolicy::CountWindow`](super::TripPolicy::CountWindow).
        count_window,
        /// [`TripPolicy::TimeWindow`](super::TripPolicy::TimeWindow).
        time_window,
        /// [`RateThresholds::slow_call_duration`](super::RateThresholds::slow_call_duration).
        slow_call_rate,
        /// [`CircuitMode::MetricsOnly`](super::CircuitMode::MetricsOnly).
        metrics_only,
        /// [`CircuitBreaker::subscribe`].
        events,
        /// [`HalfOpenPolicy::max_concurrent_probes`](super::HalfOpenPolicy::max_concurrent_probes), and a
        /// [`success_threshold`](super::HalfOpenPolicy::success_threshold) above 1.
        probe_limits,
        /// A probe loses its slot after a time, and its late result does not count:
        /// [`HalfOpenPolicy::probe_lease`](super::HalfOpenPolicy::probe_lease), and its default.
        probe_leases,
        /// [`CircuitBreaker::force_circuit_open`] and [`CircuitBreaker::force_circuit_closed`], and the modes
        /// [`ForcedOpen`](super::CircuitMode::ForcedOpen) and [`ForcedClosed`](super::CircuitMode::ForcedClosed).
        overrides,
    }
}

/// A registry of named circuits.
///
/// A circuit is created when it is configured, or on first use, with the default configuration of the breaker. Clones of
/// the `Arc` share all circuits. Operations other than
/// [`execute_with_circuit_breaker`](Self::execute_with_circuit_breaker) do not block.
///
/// # Behaviour of every implementation
///
/// * If a call is rejected, its operation is not called. The error has the delay before a retry, if it is known.
/// * With the capability `probe_limits`, a half-open circuit admits at most
///   [`max_concurrent_probes`](super::HalfOpenPolicy::max_concurrent_probes) at the same time, regardless of the number of
///   callers.
/// * A result counts only for the state generation in which its call was admitted.
/// * Every permit is released: by `record`, or when it is dropped, also in a panic or with a cancelled future. With the
///   capability `probe_leases`, the permit of a probe loses its slot when its lease ends.
/// * No lock is held while events are delivered. For a subscriber that lags, the oldest events are dropped, and it
///   receives their number.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait CircuitBreaker: fmt::Debug + Send + Sync + 'static {
    /// Runs `operation` with a permit of the circuit named `circuit`.
    ///
    /// If the operation takes longer than `timeout`, it is dropped and counts as a failure. `None` means the circuit's
    /// [`call_timeout`](CircuitBreakerConfig::call_timeout). The circuit's [`ErrorClassifier`](super::ErrorClassifier)
    /// classifies errors.
    ///
    /// Cancel safety: dropping the future drops the operation and releases the permit. What the call counts as depends on
    /// the circuit's [`CancelPolicy`](super::CancelPolicy).
    ///
    /// # Errors
    /// [`CircuitOpen`](ErrorKind::CircuitOpen) if the call is rejected, [`Timeout`](ErrorKind::Timeout) (phase total) if
    /// the operation does not end in time, the error of the operation, and the errors of [`circuit`](Self::circuit).
    async fn execute_with_circuit_breaker(
        &self,
        operation: BoxedOperation,
        circuit: &str,
        timeout: Option<Duration>,
    ) -> Result<OperationOutput>;

    /// Returns the handle of a circuit. Creates the circuit with the default configuration if it does not exist.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a name that is blank, has control characters, or is longer than
    /// [`MAX_CIRCUIT_NAME`](super::MAX_CIRCUIT_NAME), [`Exhausted`](ErrorKind::Exhausted) if the registry is full.
    fn circuit(&self, name: &str) -> Result<Arc<dyn Circuit>>;

    /// Returns the state of a circuit.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such circuit.
    fn circuit_state(&self, name: &str) -> Result<CircuitState>;

    /// Sets the configuration of a circuit. Creates the circuit if it does not exist. The state and the counters are kept;
    /// new thresholds apply from the next outcome on. While the circuit is forced open or closed, the configured mode has no
    /// effect.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field, [`Unsupported`](ErrorKind::Unsupported) for a policy
    /// or mode that `capabilities()` does not declare, and the errors of [`circuit`](Self::circuit).
    fn configure_circuit_breaker(&self, name: &str, config: CircuitBreakerConfig) -> Result<()>;

    /// Closes a circuit, ends a forced state, and empties the window and the counters. The mode is then automatic, or
    /// metrics-only if that is configured. A configured forced mode returns only when the circuit is configured again.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such circuit.
    fn reset_circuit_breaker(&self, name: &str) -> Result<()>;

    /// Returns a snapshot of the counters of a circuit.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such circuit.
    fn circuit_metrics(&self, name: &str) -> Result<CircuitMetrics>;

    /// Returns the states of all circuits, by name.
    fn all_circuit_states(&self) -> BTreeMap<String, CircuitState>;

    /// Opens a circuit until it is reset or forced closed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such circuit, [`Unsupported`](ErrorKind::Unsupported) without the
    /// capability `overrides`.
    fn force_circuit_open(&self, name: &str) -> Result<()>;

    /// Closes a circuit until it is reset or forced open.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such circuit, [`Unsupported`](ErrorKind::Unsupported) without the
    /// capability `overrides`.
    fn force_circuit_closed(&self, name: &str) -> Result<()>;

    /// Subscribes to the events of all circuits. The stream does not end while the breaker exists. For a subscriber that
    /// lags, the oldest events are dropped, and replaced by one [`Lagged`](super::CircuitEventKind::Lagged) event.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) without the capability `events`.
    fn subscribe(&self) -> Result<BoxStream<'static, CircuitEvent>>;

    /// What this breaker supports.
    fn capabilities(&self) -> CircuitBreakerCapabilities;
}

/// Conveniences for every [`CircuitBreaker`]. Do not implement it.
pub trait CircuitBreakerExt: CircuitBreaker {
    /// Calls [`CircuitExt::call`] on the circuit named `circuit`. The future of the operation is not boxed.
    ///
    /// To save the lookup of the name, keep the handle of [`circuit`](CircuitBreaker::circuit).
    ///
    /// # Errors
    /// The errors of [`CircuitExt::call`] and of [`circuit`](CircuitBreaker::circuit).
    fn call<T, F, Fut>(&self, circuit: &str, operation: F) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
    {
        async move { self.circuit(circuit)?.call(operation).await }
    }

    /// Calls [`CircuitExt::call_with_fallback`] on the circuit named `circuit`.
    ///
    /// # Errors
    /// The errors of [`CircuitExt::call_with_fallback`] and of [`circuit`](CircuitBreaker::circuit). For the latter, the
    /// fallback does not run.
    fn call_with_fallback<T, F, Fut, G, Alternative>(
        &self,
        circuit: &str,
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
        async move { self.circuit(circuit)?.call_with_fallback(operation, fallback).await }
    }

    /// Calls [`execute_with_circuit_breaker`](CircuitBreaker::execute_with_circuit_breaker) with an operation of any output
    /// type.
    ///
    /// # Errors
    /// Same as `execute_with_circuit_breaker`.
    fn execute<T, F, Fut>(
        &self,
        circuit: &str,
        timeout: Option<Duration>,
        operation: F,
    ) -> impl Future<Output = Result<T>> + Send
    where
        T: Send + 'static,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T>> + Send + 'static,
    {
        async move {
            let boxed: BoxedOperation = Box::new(move || {
                let future = operation();
                Box::pin(async move { future.await.map(|value| Box::new(value) as OperationOutput) })
            });
            let output = self.execute_with_circuit_breaker(boxed, circuit, timeout).await?;
            output.downcast().map(|value| *value).map_err(|_| {
                NetworkError::new(
                    ErrorKind::Internal,
                    "circuit_breaker.execute",
                    "the breaker returned another operation's output",
                )
            })
        }
    }
}

impl<B: CircuitBreaker + ?Sized> CircuitBreakerExt for B {}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[deny(clippy::missing_trait_methods)]
        impl<B: CircuitBreaker + ?Sized> CircuitBreaker for $pointer<B> {
            // Like the expansion of `async_trait`, but without a second box around the inner future.
            fn execute_with_circuit_breaker<'life0, 'life1, 'async_trait>(
                &'life0 self,
                operation: BoxedOperation,
                circuit: &'life1 str,
                timeout: Option<Duration>,
            ) -> BoxFuture<'async_trait, Result<OperationOutput>>
            where
                'life0: 'async_trait,
                'life1: 'async_trait,
                Self: 'async_trait,
            {
                (**self).execute_with_circuit_breaker(operation, circuit, timeout)
            }

            fn circuit(&self, name: &str) -> Result<Arc<dyn Circuit>> {
                (**self).circuit(name)
            }

            fn circuit_state(&self, name: &str) -> Result<CircuitState> {
                (**self).circuit_state(name)
            }

            fn configure_circuit_breaker(&self, name: &str, config: CircuitBreakerConfig) -> Result<()> {
                (**self).configure_circuit_breaker(name, config)
            }

            fn reset_circuit_breaker(&self, name: &str) -> Result<()> {
                (**self).reset_circuit_breaker(name)
            }

            fn circuit_metrics(&self, name: &str) -> Result<CircuitMetrics> {
                (**self).circuit_metrics(name)
            }

            fn all_circuit_states(&self) -> BTreeMap<String, CircuitState> {
                (**self).all_circuit_states()
            }

            fn force_circuit_open(&self, name: &str) -> Result<()> {
                (**self).force_circuit_open(name)
            }

            fn force_circuit_closed(&self, name: &str) -> Result<()> {
                (**self).force_circuit_closed(name)
            }

            fn subscribe(&self) -> Result<BoxStream<'static, CircuitEvent>> {
                (**self).subscribe()
            }

            fn capabilities(&self) -> CircuitBreakerCapabilities {
                (**self).capabilities()
            }
        }
    )+};
}

delegate!(Arc, Box);
