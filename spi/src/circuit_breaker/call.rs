//! Calls through a circuit.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::{Either, select};

use super::{CallOutcome, CallRecord, Circuit, CircuitRejection};
use crate::error::{NetworkError, Phase, Result};

/// Why a call through a circuit returned no result.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CircuitError<E> {
    /// The circuit rejected the call. The operation was not called.
    Rejected(CircuitRejection),
    /// The call exceeded this timeout ([`call_timeout`](super::CircuitBreakerConfig::call_timeout)) and was cancelled.
    Timeout(Duration),
    /// The error of the operation.
    Inner(E),
}

impl<E> CircuitError<E> {
    /// The error of the operation, if it ended with one.
    pub fn into_inner(self) -> Option<E> {
        match self {
            Self::Rejected(_) | Self::Timeout(_) => None,
            Self::Inner(error) => Some(error),
        }
    }
}

impl<E: fmt::Display> fmt::Display for CircuitError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected(rejection) => rejection.fmt(f),
            Self::Timeout(limit) => write!(f, "no response within {limit:?}"),
            Self::Inner(error) => error.fmt(f),
        }
    }
}

impl<E: Error> Error for CircuitError<E> {
    // `Display` shows the rejection or the inner error, so these are not sources of this error.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Rejected(_) | Self::Timeout(_) => None,
            Self::Inner(error) => error.source(),
        }
    }
}

impl CallOutcome {
    /// A failure for every error: the simplest classification for [`CircuitExt::call_with`].
    pub const fn of<T, E>(result: &Result<T, E>) -> Self {
        match result {
            Ok(_) => Self::Success,
            Err(_) => Self::Failure,
        }
    }
}

/// Conveniences for every [`Circuit`]. Do not implement it.
pub trait CircuitExt: Circuit {
    /// Runs the future that `operation` returns, with a permit and the configured
    /// [`call_timeout`](super::CircuitBreakerConfig::call_timeout). The circuit's [`ErrorClassifier`](super::ErrorClassifier)
    /// classifies errors. `operation` is not called if the circuit rejects the call.
    ///
    /// Configure a timeout in the circuit, not around this call: a timeout around it only cancels the call, and the circuit
    /// does not count a failure.
    ///
    /// Cancel safety: dropping the future drops the operation and then the permit, see [`Permit`](super::Permit).
    ///
    /// # Errors
    /// [`CircuitOpen`](crate::ErrorKind::CircuitOpen) if the call is rejected, [`Timeout`](crate::ErrorKind::Timeout) (phase total) if
    /// the operation does not end in time, and the error of the operation.
    fn call<T, F, Fut>(&self, operation: F) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
    {
        run(self, None, operation)
    }

    /// Like [`call`](Self::call), with `limit` in place of the configured timeout.
    ///
    /// # Errors
    /// Same as `call`.
    fn call_with_timeout<T, F, Fut>(&self, limit: Duration, operation: F) -> impl Future<Output = Result<T>> + Send
    where
        T: Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T>> + Send,
    {
        run(self, Some(limit), operation)
    }

    /// Like [`call`](Self::call), for operations with results and errors of any type. `classify` decides what a result counts as;
    /// [`CallOutcome::of`] counts every error as a failure.
    ///
    /// `classify` sees the whole result, so that a response which says that the service is failing can count as a failure, too.
    ///
    /// ```
    /// # use networking_spi::prelude::*;
    /// use networking_spi::circuit_breaker::{CallOutcome, CircuitError};
    ///
    /// #[derive(Debug)]
    /// enum BillingError {
    ///     Unavailable,
    ///     Declined,
    /// }
    ///
    /// async fn charge(circuit: &dyn Circuit) -> Result<u64, CircuitError<BillingError>> {
    ///     let classify = |result: &Result<u64, BillingError>| match result {
    ///         Err(BillingError::Unavailable) => CallOutcome::Failure,
    ///         Ok(_) | Err(BillingError::Declined) => CallOutcome::Success,
    ///     };
    ///     circuit.call_with(|| async { charge_card().await }, classify).await
    /// }
    /// # async fn charge_card() -> Result<u64, BillingError> { Ok(1) }
    /// ```
    ///
    /// # Errors
    /// [`CircuitError::Rejected`] and [`CircuitError::Timeout`] of the circuit, and [`CircuitError::Inner`] with the error of the
    /// operation.
    fn call_with<T, E, F, Fut>(
        &self,
        operation: F,
        classify: impl FnOnce(&Result<T, E>) -> CallOutcome + Send,
    ) -> impl Future<Output = Result<T, CircuitError<E>>> + Send
    where
        T: Send,
        E: Send,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, E>> + Send,
    {
        attempt(self, None, operation, |result| CallRecord::new(classify(result)))
    }

    /// Like [`call`](Self::call), with a fallback. `fallback` is called with the error if the call was rejected, did not
    /// end in time, or counts as a failure by the circuit's [`ErrorClassifier`](super::ErrorClassifier).
    ///
    /// Errors that do not count as failures of the dependency (invalid input, a response such as 404) are returned
    /// unchanged, because a fallback would hide a mistake of the caller. The fallback runs without a permit, and its outcome
    /// is not counted.
    ///
    /// Cancel safety: same as `call`; while the fallback runs, dropping the future drops the fallback.
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
    /// The error of the operation if it does not count as a failure of the dependency, otherwise the error of the fallback.
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
            let mut failed = true;
            let record = |result: &Result<T>| {
                let record = record(self, result);
                failed = record.outcome == Some(CallOutcome::Failure);
                record
            };
            let error = match attempt(self, None, operation, record).await {
                Ok(value) => return Ok(value),
                Err(error) => network_error(error),
            };
            if failed { fallback(error).await } else { Err(error) }
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
    attempt(circuit, limit, operation, |result| record(circuit, result))
        .await
        .map_err(network_error)
}

fn network_error(error: CircuitError<NetworkError>) -> NetworkError {
    match error {
        CircuitError::Rejected(rejection) => rejection.into(),
        CircuitError::Timeout(limit) => NetworkError::timeout("circuit_breaker.call", Phase::Total, limit),
        CircuitError::Inner(error) => error,
    }
}

/// What a result counts as, by the circuit's classifier.
fn record<T>(circuit: &(impl Circuit + ?Sized), result: &Result<T>) -> CallRecord {
    let Err(error) = result else {
        return CallRecord::new(CallOutcome::Success);
    };
    CallRecord {
        outcome: Some(circuit.config().classifier.classify(error)),
        panicked: false,
        retry_after: error.retryability().delay(),
    }
}

async fn attempt<C, T, E, F, Fut>(
    circuit: &C,
    limit: Option<Duration>,
    operation: F,
    record: impl FnOnce(&Result<T, E>) -> CallRecord + Send,
) -> Result<T, CircuitError<E>>
where
    C: Circuit + ?Sized,
    T: Send,
    E: Send,
    F: FnOnce() -> Fut + Send,
    Fut: Future<Output = Result<T, E>> + Send,
{
    let permit = circuit.try_acquire().map_err(CircuitError::Rejected)?;
    let result = match circuit.deadline(limit) {
        None => operation().await,
        Some(deadline) => {
            let limit = deadline.limit();
            match select(pin!(operation()), deadline).await {
                Either::Left((result, _)) => result,
                Either::Right(((), _)) => {
                    // A timeout is a failure whatever the classifier decides about errors.
                    permit.record(CallOutcome::Failure);
                    return Err(CircuitError::Timeout(limit));
                }
            }
        }
    };
    permit.record(record(&result));
    result.map_err(CircuitError::Inner)
}
