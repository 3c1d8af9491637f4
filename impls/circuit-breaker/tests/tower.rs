//! Tower services that are guarded by a circuit.

use std::convert::Infallible;
use std::future::{Future, pending, ready};
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::task::noop_waker;
use networking_circuit_breaker::SlidingWindowCircuitBreaker;
use networking_circuit_breaker::tower::{CircuitError, CircuitLayer, CircuitService, HttpStatus};
use networking_spi::circuit_breaker::{CancelPolicy, CircuitBreakerConfig, CircuitRejection, OpenPolicy, TripPolicy};
use networking_spi::prelude::*;
use tower::{Layer, Service, ServiceExt, service_fn};

const OPEN_TIME: Duration = Duration::from_secs(5);

fn config() -> CircuitBreakerConfig {
    CircuitBreakerConfig::new()
        .with_trip(TripPolicy::consecutive(2))
        .with_open(OpenPolicy::fixed(OPEN_TIME))
}

fn circuit(config: CircuitBreakerConfig) -> Arc<dyn Circuit> {
    SlidingWindowCircuitBreaker::builder()
        .default_config(config)
        .build()
        .unwrap()
        .circuit("service")
        .unwrap()
}

fn trip(circuit: &Arc<dyn Circuit>) {
    for _ in 0..2 {
        circuit.try_acquire().unwrap().record(CallOutcome::Failure);
    }
    assert_eq!(circuit.state(), CircuitState::Open);
}

#[tokio::test(start_paused = true)]
async fn errors_open_the_circuit_and_rejected_calls_do_not_reach_the_service() {
    let circuit = circuit(config());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let mut service = CircuitLayer::new(Arc::clone(&circuit)).layer(service_fn(move |()| {
        counted.fetch_add(1, Ordering::Relaxed);
        ready(Err::<(), _>("down"))
    }));
    for _ in 0..2 {
        let failed = service.ready().await.unwrap().call(()).await;
        assert_eq!(failed, Err(CircuitError::Inner("down")));
    }
    let Err(CircuitError::Rejected(rejection)) = service.ready().await.unwrap().call(()).await else {
        panic!("the circuit is open");
    };
    assert_eq!((&*rejection.circuit, rejection.state), ("service", CircuitState::Open));
    assert_eq!(rejection.retry_after, Some(OPEN_TIME));
    assert_eq!(calls.load(Ordering::Relaxed), 2);
    assert_eq!(circuit.metrics().rejected, 1);
}

#[tokio::test(start_paused = true)]
async fn clones_share_the_circuit_and_a_probe_recovers_it() {
    let circuit = circuit(config());
    let healthy = Arc::new(AtomicBool::new(false));
    let answers = Arc::clone(&healthy);
    let service = CircuitLayer::new(Arc::clone(&circuit)).layer(service_fn(move |()| {
        ready(if answers.load(Ordering::Relaxed) {
            Ok(())
        } else {
            Err("down")
        })
    }));
    for _ in 0..2 {
        service.clone().oneshot(()).await.unwrap_err();
    }
    assert!(matches!(
        service.clone().oneshot(()).await,
        Err(CircuitError::Rejected(_))
    ));
    healthy.store(true, Ordering::Relaxed);
    tokio::time::advance(OPEN_TIME).await;
    assert_eq!(service.clone().oneshot(()).await, Ok(()));
    assert_eq!(circuit.state(), CircuitState::Closed);
}

#[tokio::test(start_paused = true)]
async fn responses_and_errors_are_classified() {
    let circuit = circuit(config());
    let layer = CircuitLayer::new(Arc::clone(&circuit)).classify(|result: Result<&u16, &&str>| match result {
        Ok(status) if *status >= 500 => CallOutcome::Failure,
        Ok(_) => CallOutcome::Success,
        Err(_) => CallOutcome::Ignored,
    });
    let service = layer.layer(service_fn(|answer: Result<u16, &'static str>| ready(answer)));
    for (answer, _) in [(Ok(200), 0), (Err("cancelled"), 0), (Ok(503), 1), (Ok(404), 0)] {
        let _ = service.clone().oneshot(answer).await;
    }
    let metrics = circuit.metrics();
    assert_eq!((metrics.successes, metrics.failures, metrics.ignored), (2, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn http_responses_are_classified_by_status_and_retry_after() {
    let config = config().with_open(OpenPolicy::fixed(OPEN_TIME).with_max_duration(OPEN_TIME * 10));
    let circuit = circuit(config);
    let layer = CircuitLayer::new(Arc::clone(&circuit)).classify(HttpStatus);
    let service = layer.layer(service_fn(|status: u16| {
        let response = http::Response::builder().status(status).header("retry-after", "20");
        ready(Ok::<_, Infallible>(response.body(()).unwrap()))
    }));
    for status in [200, 404, 429, 503] {
        assert_eq!(service.clone().oneshot(status).await.unwrap().status(), status);
    }
    let metrics = circuit.metrics();
    assert_eq!((metrics.successes, metrics.failures), (2, 2));
    assert_eq!(metrics.retry_after, Some(Duration::from_secs(20)));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_future_is_a_cancelled_call() {
    for (policy, expected) in [(CancelPolicy::Ignore, (0, 1)), (CancelPolicy::Failure, (1, 0))] {
        let circuit = circuit(config().with_on_cancel(policy));
        let mut service = CircuitLayer::new(Arc::clone(&circuit)).layer(hanging());
        let call = service.ready().await.unwrap().call(());
        assert_eq!(circuit.metrics().in_flight, 1, "before the first poll");
        drop(call);
        let mut call = service.ready().await.unwrap().call(());
        assert!((&mut call).now_or_never().is_none());
        assert_eq!(circuit.metrics().in_flight, 1);
        drop(call);
        let metrics = circuit.metrics();
        assert_eq!(metrics.in_flight, 0);
        assert_eq!((metrics.failures, metrics.ignored), (expected.0 * 2, expected.1 * 2));
    }
}

#[tokio::test(start_paused = true)]
async fn the_configured_timeout_is_a_failure() {
    let circuit = circuit(config().with_call_timeout(Duration::from_secs(1)));
    let service = CircuitLayer::new(Arc::clone(&circuit)).layer(hanging());
    for _ in 0..2 {
        let timed_out = service.clone().oneshot(()).await;
        assert_eq!(timed_out, Err(CircuitError::Timeout(Duration::from_secs(1))));
    }
    assert_eq!(circuit.state(), CircuitState::Open);
}

/// A panic counts as a failure even if it is caught before the future is dropped.
#[tokio::test(start_paused = true)]
async fn panics_are_failures() {
    let circuit = circuit(config());
    let layer = CircuitLayer::new(Arc::clone(&circuit));
    let in_future = layer.layer(service_fn(|()| async {
        if true { panic!("in the future") } else { Ok::<_, ()>(()) }
    }));
    let mut call = Box::pin(in_future.oneshot(()));
    let caught = AssertUnwindSafe(&mut call).catch_unwind().await;
    assert!(caught.is_err());
    assert_eq!(circuit.metrics().failures, 1, "before the future is dropped");
    drop(call);

    let mut in_call = layer.layer(service_fn(|()| -> std::future::Ready<Result<(), ()>> {
        panic!("in call")
    }));
    let service = in_call.ready().await.unwrap();
    assert!(std::panic::catch_unwind(AssertUnwindSafe(|| drop(service.call(())))).is_err());
    let metrics = circuit.metrics();
    assert_eq!((metrics.failures, metrics.ignored, metrics.in_flight), (2, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn an_open_circuit_is_ready_without_the_service() {
    let circuit = circuit(config());
    let mut service = CircuitLayer::new(Arc::clone(&circuit)).layer(NeverReady);
    assert!(poll_ready(&mut service).is_pending(), "closed: the service decides");
    trip(&circuit);
    assert!(poll_ready(&mut service).is_ready());
    // The circuit becomes half-open between readiness and call. The service was not polled, so it must not be called.
    tokio::time::advance(OPEN_TIME).await;
    assert!(matches!(service.call(()).await, Err(CircuitError::Rejected(_))));
    let metrics = circuit.metrics();
    assert_eq!(
        (metrics.state, metrics.in_flight),
        (CircuitState::HalfOpen, 0),
        "the probe slot is free"
    );
    assert!(poll_ready(&mut service).is_pending(), "half-open: the service decides");
}

#[tokio::test(start_paused = true)]
async fn readiness_takes_no_permit() {
    let circuit = circuit(config());
    trip(&circuit);
    tokio::time::advance(OPEN_TIME).await;
    let mut idle = CircuitLayer::new(Arc::clone(&circuit)).layer(service_fn(|()| ready(Ok::<_, ()>(()))));
    idle.ready().await.unwrap();
    assert_eq!(idle.clone().oneshot(()).await, Ok(()), "the only probe slot is free");
}

#[test]
fn errors_have_clear_messages() {
    let rejected: CircuitError<NetworkError> = CircuitError::Rejected(CircuitRejection::new(
        "search".into(),
        CircuitState::Open,
        Some(Duration::from_secs(3)),
    ));
    assert_eq!(rejected.to_string(), "circuit search is open, retry in 3s");
    let timed_out: CircuitError<NetworkError> = CircuitError::Timeout(Duration::from_secs(1));
    assert_eq!(timed_out.to_string(), "no response within 1s");
}

type Hanging = fn(()) -> std::future::Pending<Result<(), ()>>;

fn hanging() -> tower::util::ServiceFn<Hanging> {
    service_fn(|()| pending())
}

fn poll_ready<S: Service<()>>(service: &mut CircuitService<S>) -> Poll<()>
where
    S::Error: std::fmt::Debug,
{
    let waker = noop_waker();
    service.poll_ready(&mut Context::from_waker(&waker)).map(Result::unwrap)
}

#[derive(Debug)]
struct NeverReady;

impl Service<()> for NeverReady {
    type Response = ();
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<(), Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Pending
    }

    fn call(&mut self, (): ()) -> Self::Future {
        unreachable!("never ready")
    }
}
