//! The registry of circuits.

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

/// The output of an operation of [`CircuitBreaker::execute_with_circuit_breaker`], of any type.
pub type OperationOutput = Box<dyn Any + Send>;

/// An operation. It is called only if the circuit admits the call.
pub type BoxedOperation = Box<dyn FnOnce() -> BoxFuture<'static, Result<OperationOutput>> + Send>;

capabilities! {
    /// What a circuit breaker can do. A breaker without capabilities counts consecutive failures.
    pub struct CircuitBreakerCapabilities {
        /// [`TripPolicy::CountWindow`](super::TripPolicy::CountWindow).
        count_window,
        /// [`TripPolicy::TimeWindow`](super::TripPolicy::TimeWindow).
        time_window,
        /// Slow-call rates.
        slow_call_rate,
        /// [`CircuitMode::MetricsOnly`](super::CircuitMode::MetricsOnly).
        metrics_only,
        /// [`CircuitBreaker::subscribe`].
        events,
    }
}

/// A registry of named circuits.
///
/// A circuit is created on first use, with the default configuration of the breaker, or when it is configured. Clones
/// of the `Arc` share all circuits. Operations other than
/// [`execute_with_circuit_breaker`](Self::execute_with_circuit_breaker) return without blocking or waiting.
///
/// # Behaviour of every implementation
///
/// * A rejected call does not call its operation. Its error says when to retry, if the circuit knows.
/// * A half-open circuit admits at most [`max_concurrent_probes`](super::HalfOpenPolicy::max_concurrent_probes) at the
///   same time, regardless of the number of callers.
/// * A result counts only for the state generation in which its call was admitted.
/// * Every permit is returned: by `record`, by a panic, by a cancellation, or when its lease expires.
/// * Events are delivered outside every lock. For a slow subscriber the oldest events are dropped, and it gets their
///   number.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait CircuitBreaker: fmt::Debug + Send + Sync + 'static {
    /// Runs `operation` under the circuit named `circuit`.
    ///
    /// `timeout` limits the operation and counts as a failure; `None` takes the circuit's
    /// [`call_timeout`](CircuitBreakerConfig::call_timeout). Errors are classified by the circuit's
    /// [`ErrorClassifier`](super::ErrorClassifier).
    ///
    /// Cancel safety: dropping the future drops the operation and frees the permit by the circuit's
    /// [`CancelPolicy`](super::CancelPolicy).
    ///
    /// # Errors
    /// [`CircuitOpen`](ErrorKind::CircuitOpen) when rejected, [`Timeout`](ErrorKind::Timeout) (phase total) when the
    /// operation did not end in time, otherwise what the operation returned; and those of [`circuit`](Self::circuit).
    async fn execute_with_circuit_breaker(
        &self,
        operation: BoxedOperation,
        circuit: &str,
        timeout: Option<Duration>,
    ) -> Result<OperationOutput>;

    /// The handle of a circuit, which is created with the default configuration if it does not exist.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a name that is blank, has control characters, or is longer than
    /// [`MAX_CIRCUIT_NAME`](super::MAX_CIRCUIT_NAME),
    /// [`Exhausted`](ErrorKind::Exhausted) when the registry is full.
    fn circuit(&self, name: &str) -> Result<Arc<dyn Circuit>>;

    /// The state of a circuit.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such circuit.
    fn circuit_state(&self, name: &str) -> Result<CircuitState>;

    /// Sets the configuration of a circuit, which is created if it does not exist. State and counters are kept; new
    /// thresholds apply from the next outcome on. The configured mode takes effect unless the circuit is forced open or
    /// closed: a forced state stays until the circuit is reset or forced otherwise.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field, [`Unsupported`](ErrorKind::Unsupported) for a policy
    /// that `capabilities()` does not declare; and those of [`circuit`](Self::circuit).
    fn configure_circuit_breaker(&self, name: &str, config: CircuitBreakerConfig) -> Result<()>;

    /// Closes a circuit, in automatic mode (metrics-only mode if that is configured), with empty window and counters.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such circuit.
    fn reset_circuit_breaker(&self, name: &str) -> Result<()>;

    /// The counters of a circuit.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such circuit.
    fn circuit_metrics(&self, name: &str) -> Result<CircuitMetrics>;

    /// The states of all circuits, by name.
    fn all_circuit_states(&self) -> BTreeMap<String, CircuitState>;

    /// Opens a circuit until it is reset or forced closed.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such circuit.
    fn force_circuit_open(&self, name: &str) -> Result<()>;

    /// Closes a circuit until it is reset or forced open.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if there is no such circuit.
    fn force_circuit_closed(&self, name: &str) -> Result<()>;

    /// Events of all circuits from now on. The stream does not end while the breaker exists. For a subscriber that is
    /// too slow the oldest events are dropped, and one [`Lagged`](super::CircuitEventKind::Lagged) event takes their
    /// place.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) without the capability `events`.
    fn subscribe(&self) -> Result<BoxStream<'static, CircuitEvent>>;

    /// What this breaker can do.
    fn capabilities(&self) -> CircuitBreakerCapabilities;
}

/// Conveniences for every [`CircuitBreaker`]. Do not implement it.
pub trait CircuitBreakerExt: CircuitBreaker {
    /// Runs the future that `operation` builds under the circuit named `circuit`, without boxing it.
    ///
    /// See [`CircuitExt::call`]; keep the handle of [`circuit`](CircuitBreaker::circuit) to save the lookup.
    ///
    /// # Errors
    /// [`CircuitOpen`](ErrorKind::CircuitOpen) when rejected, otherwise what the operation returned.
    fn call<T, F, Fut>(&self, circuit: &str, operation: F) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
    {
        async move { self.circuit(circuit)?.call(operation).await }
    }

    /// [`CircuitExt::call_with_fallback`] under the circuit named `circuit`.
    ///
    /// # Errors
    /// As `CircuitExt::call_with_fallback`, and those of [`circuit`](CircuitBreaker::circuit), for which the fallback
    /// is not called.
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

    /// [`execute_with_circuit_breaker`](CircuitBreaker::execute_with_circuit_breaker) for an operation of any output.
    ///
    /// # Errors
    /// As `execute_with_circuit_breaker`.
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
            // The expansion of `async_trait`, without a second box around the inner future.
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
