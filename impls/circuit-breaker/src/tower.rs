//! A [`tower_layer::Layer`] that guards any [`tower_service::Service`] with a circuit.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;
pub use networking_spi::circuit_breaker::CircuitError;
use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, Circuit, CircuitRejection, CircuitState, Deadline, OwnedPermit,
};
use networking_spi::http::status;
use pin_project_lite::pin_project;
use tower_layer::Layer;
use tower_service::Service;

/// Guards services with a circuit: it asks the circuit to admit each call and records how the call ended.
///
/// It works with any service. The `Classifier` decides what a response or an error counts as. By default every error is a
/// failure and every response is a success; [`classify`](Self::classify) sets a function, or [`HttpStatus`] for HTTP.
///
/// All services of the layer, and their clones, share the circuit.
///
/// * A rejected call does not reach the inner service.
/// * The circuit's [`call_timeout`](networking_spi::circuit_breaker::CircuitBreakerConfig::call_timeout) limits each call.
///   A call that exceeds it is a failure. The limit uses tokio's timer.
/// * The response future holds the permit. Dropping the future cancels the call: it frees the permit and records the call as
///   the circuit's [`CancelPolicy`](networking_spi::circuit_breaker::CancelPolicy) says. A panic of the inner service is a
///   failure. Reading the body of a response is not part of the call.
///
/// # Order
///
/// Right: inside retries, and outside of buffers, connections and concurrency limits. Wrong: inside a timeout layer. A timeout
/// layer cancels calls, and by default the circuit ignores cancelled calls, so that it stays closed when the service hangs. Use
/// `call_timeout` instead.
///
/// ```
/// use networking_circuit_breaker::SlidingWindowCircuitBreaker;
/// use networking_circuit_breaker::tower::{CircuitError, CircuitLayer};
/// use networking_spi::circuit_breaker::{CallOutcome, CircuitBreaker};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let breaker = SlidingWindowCircuitBreaker::new();
/// let layer = CircuitLayer::new(breaker.circuit("adder")?).classify(|result: Result<&u32, &String>| match result {
///     Ok(_) => CallOutcome::Success,
///     Err(message) if message.starts_with("bad request") => CallOutcome::Ignored,
///     Err(_) => CallOutcome::Failure,
/// });
/// let service = layer.layer(service_fn(|n: u32| async move { Ok::<_, String>(n + 1) }));
/// assert_eq!(service.oneshot(1).await.unwrap(), 2);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a layer does nothing before it is applied to a service"]
pub struct CircuitLayer<Classifier = ErrorsFail> {
    circuit: Arc<dyn Circuit>,
    classifier: Classifier,
}

impl CircuitLayer {
    /// A layer that guards services with `circuit`. Every error is a failure, every response is a success.
    pub fn new(circuit: Arc<dyn Circuit>) -> Self {
        Self {
            circuit,
            classifier: ErrorsFail,
        }
    }
}

impl<Classifier> CircuitLayer<Classifier> {
    /// Sets the classifier of responses and errors.
    pub fn classify<C>(self, classifier: C) -> CircuitLayer<C> {
        CircuitLayer {
            circuit: self.circuit,
            classifier,
        }
    }
}

impl<S, Classifier: Clone> Layer<S> for CircuitLayer<Classifier> {
    type Service = CircuitService<S, Classifier>;

    fn layer(&self, inner: S) -> Self::Service {
        CircuitService {
            inner,
            circuit: Arc::clone(&self.circuit),
            classifier: self.classifier.clone(),
            inner_is_ready: false,
        }
    }
}

impl<Classifier> fmt::Debug for CircuitLayer<Classifier> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitLayer")
            .field("circuit", &self.circuit.name())
            .finish_non_exhaustive()
    }
}

/// Classifies the results of calls.
///
/// Implemented for functions of `Result<&Response, &Error>` that return a [`CallOutcome`] or a [`CallRecord`]. A record can
/// also have the retry delay that the service requested.
pub trait Classify<Response, Error> {
    /// The outcome to record for a call with this result.
    fn classify(&self, result: Result<&Response, &Error>) -> CallRecord;
}

impl<F, R, Response, Error> Classify<Response, Error> for F
where
    F: Fn(Result<&Response, &Error>) -> R,
    R: Into<CallRecord>,
{
    fn classify(&self, result: Result<&Response, &Error>) -> CallRecord {
        self(result).into()
    }
}

/// Classifies every error as a failure and every response as a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ErrorsFail;

impl<Response, Error> Classify<Response, Error> for ErrorsFail {
    fn classify(&self, result: Result<&Response, &Error>) -> CallRecord {
        CallRecord::new(CallOutcome::of(&result))
    }
}

/// Classifies the results of HTTP services: errors and [failure statuses](status::is_failure) are failures, other statuses are
/// successes. A `Retry-After` in seconds lengthens the open time; a `Retry-After` with a date is ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HttpStatus;

impl<Body, Error> Classify<http::Response<Body>, Error> for HttpStatus {
    fn classify(&self, result: Result<&http::Response<Body>, &Error>) -> CallRecord {
        let Ok(response) = result else {
            return CallRecord::new(CallOutcome::Failure);
        };
        if !status::is_failure(response.status()) {
            return CallRecord::new(CallOutcome::Success);
        }
        let record = CallRecord::new(CallOutcome::Failure);
        retry_after(response.headers()).map_or(record, |delay| record.with_retry_after(delay))
    }
}

fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// A service that is guarded by a circuit. [`CircuitLayer`] creates it.
///
/// # Readiness
///
/// `poll_ready` takes no permit, because a caller may wait for readiness and never call. While the circuit is open, the service
/// is ready without polling the inner service, so that calls are rejected even if the inner service never becomes ready.
/// Otherwise the inner service decides. A call that became ready while the circuit was open is rejected even if the circuit
/// is half-open by then, because the inner service was not polled; the next call is a probe. An error of the inner
/// service's `poll_ready` is returned and not recorded, because no call was made.
#[derive(Clone)]
pub struct CircuitService<S, Classifier = ErrorsFail> {
    inner: S,
    circuit: Arc<dyn Circuit>,
    classifier: Classifier,
    inner_is_ready: bool,
}

impl<S, Classifier> CircuitService<S, Classifier> {
    /// The inner service.
    pub const fn get_ref(&self) -> &S {
        &self.inner
    }

    fn acquire(&self, inner_is_ready: bool) -> Result<OwnedPermit, CircuitRejection> {
        let permit = OwnedPermit::acquire(&self.circuit)?;
        if inner_is_ready {
            return Ok(permit);
        }
        permit.record(CallOutcome::Ignored);
        Err(CircuitRejection::new(
            self.circuit.name().into(),
            CircuitState::Open,
            Some(Duration::ZERO),
        ))
    }
}

impl<S, Request, Classifier> Service<Request> for CircuitService<S, Classifier>
where
    S: Service<Request>,
    Classifier: Classify<S::Response, S::Error> + Clone,
{
    type Response = S::Response;
    type Error = CircuitError<S::Error>;
    type Future = CircuitFuture<S::Future, Classifier>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        if !self.inner_is_ready && self.circuit.state() != CircuitState::Open {
            ready!(self.inner.poll_ready(cx)).map_err(CircuitError::Inner)?;
            self.inner_is_ready = true;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let inner_is_ready = std::mem::take(&mut self.inner_is_ready);
        match self.acquire(inner_is_ready) {
            Ok(permit) => {
                let deadline = self.circuit.deadline(None);
                CircuitFuture {
                    stage: Stage::Calling {
                        // The permit is held, so a panic in `call` is recorded as a failure.
                        future: self.inner.call(request),
                    },
                    permit: Some(permit),
                    deadline,
                    classifier: self.classifier.clone(),
                }
            }
            Err(rejection) => {
                // The inner service was not called, so it is still ready if it was.
                self.inner_is_ready = inner_is_ready;
                CircuitFuture {
                    stage: Stage::Rejected {
                        rejection: Some(rejection),
                    },
                    permit: None,
                    deadline: None,
                    classifier: self.classifier.clone(),
                }
            }
        }
    }
}

impl<S: fmt::Debug, Classifier> fmt::Debug for CircuitService<S, Classifier> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitService")
            .field("inner", &self.inner)
            .field("circuit", &self.circuit.name())
            .finish_non_exhaustive()
    }
}

pin_project! {
    /// The response future of [`CircuitService`]. Dropping it cancels the call and frees its permit.
    pub struct CircuitFuture<F, Classifier> {
        // Declared before the permit, so that a cancelled call is dropped before its permit is freed.
        #[pin]
        stage: Stage<F>,
        permit: Option<OwnedPermit>,
        deadline: Option<Deadline>,
        classifier: Classifier,
    }
}

pin_project! {
    #[project = StageProjection]
    enum Stage<F> {
        Calling {
            #[pin]
            future: F,
        },
        Rejected {
            rejection: Option<CircuitRejection>,
        },
    }
}

impl<F, Response, Error, Classifier> Future for CircuitFuture<F, Classifier>
where
    F: Future<Output = Result<Response, Error>>,
    Classifier: Classify<Response, Error>,
{
    type Output = Result<Response, CircuitError<Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let future = match this.stage.as_mut().project() {
            StageProjection::Calling { future } => future,
            StageProjection::Rejected { rejection } => {
                let rejection = rejection.take().expect("a future is not polled after completion");
                return Poll::Ready(Err(CircuitError::Rejected(rejection)));
            }
        };
        // Taken out of the future while the service runs: if it panics, the permit is dropped during the panic and records it,
        // even if the panic is caught and the future is dropped later.
        let permit = this.permit.take();
        let Poll::Ready(result) = future.poll(cx) else {
            if let Some(deadline) = this.deadline
                && Pin::new(&mut *deadline).poll(cx).is_ready()
            {
                let limit = deadline.limit();
                this.stage.set(Stage::Rejected { rejection: None });
                if let Some(permit) = permit {
                    permit.record(CallOutcome::Failure);
                }
                return Poll::Ready(Err(CircuitError::Timeout(limit)));
            }
            *this.permit = permit;
            return Poll::Pending;
        };
        if let Some(permit) = permit {
            permit.record(this.classifier.classify(result.as_ref()));
        }
        Poll::Ready(result.map_err(CircuitError::Inner))
    }
}

impl<F, Classifier> fmt::Debug for CircuitFuture<F, Classifier> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitFuture")
            .field("permit", &self.permit)
            .finish_non_exhaustive()
    }
}
