//! The measured operations. Each checks that all its calls were admitted and succeeded.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use networking_impls::circuit_breaker::SlidingWindowCircuitBreaker;
use networking_spi::circuit_breaker::{
    CallOutcome, Circuit, CircuitBreaker, CircuitBreakerConfig, OperationOutput, RateThresholds, TripPolicy,
};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_resilience_circuitbreaker::{
    CircuitBreaker as TowerCircuit, CircuitBreakerLayer, DefaultClassifier, SlidingWindowType,
};

use super::threads;

pub(super) const CALLS: u64 = 2_000_000;
pub(super) const ASYNC_CALLS: u64 = 100_000;
const WINDOW: Duration = Duration::from_secs(3_600);
const WINDOW_CALLS: u64 = 100_000;
const TOWER_WINDOW_CALLS: u64 = 500;

/// Calls through the object-safe handle that users hold.
pub(super) fn handle(circuit: &dyn Circuit) {
    calls_on(circuit, CALLS);
}

fn calls_on(circuit: &dyn Circuit, calls: u64) {
    let mut admitted = 0_u64;
    for call in 0..calls {
        if let Ok(permit) = circuit.try_acquire() {
            admitted += u64::from(black_box(call) == call);
            permit.record(CallOutcome::Success);
        }
    }
    assert_eq!(admitted, calls, "every call was admitted");
}

pub(super) fn recloser_sync(recloser: &recloser::Recloser) {
    let mut admitted = 0_u64;
    for call in 0..CALLS {
        let result: Result<u64, recloser::Error<()>> = recloser.call(|| Ok(u64::from(black_box(call) == call)));
        admitted += result.unwrap_or_default();
    }
    assert_eq!(admitted, CALLS, "every call was admitted");
}

/// Calls through the object-safe method: boxed operation, boxed output, look-up by name.
pub(super) fn execute(breaker: &Arc<dyn CircuitBreaker>) {
    let sum = runtime().block_on(async {
        let mut sum = 0_u64;
        for _ in 0..ASYNC_CALLS {
            let operation = Box::new(|| Box::pin(async { Ok(Box::new(()) as OperationOutput) }) as _);
            let output = breaker.execute_with_circuit_breaker(operation, "benchmark", None).await;
            sum += u64::from(output.is_ok());
        }
        sum
    });
    assert_eq!(sum, ASYNC_CALLS, "every call succeeded");
}

type TowerInner = tower::util::ServiceFn<fn(()) -> Ready<Result<(), Infallible>>>;
pub(super) type TowerService = TowerCircuit<TowerInner, DefaultClassifier>;

fn tower_inner() -> TowerInner {
    service_fn(|()| ready(Ok(())))
}

pub(super) fn tower_consecutive() -> TowerService {
    let layer = CircuitBreakerLayer::builder().consecutive_failures(5).build();
    layer.expect("the configuration is valid").layer(tower_inner())
}

pub(super) fn tower(service: &TowerService) {
    tower_calls(&runtime(), &mut service.clone(), ASYNC_CALLS);
}

fn tower_calls(runtime: &Runtime, service: &mut TowerService, calls: u64) {
    let sum = runtime.block_on(async {
        let mut sum = 0_u64;
        for _ in 0..calls {
            let ready = service.ready().await.expect("the inner service is always ready");
            sum += u64::from(ready.call(()).await.is_ok());
        }
        sum
    });
    assert_eq!(sum, calls, "every call succeeded");
}

/// The cost of a call while the time window grows from `calls` calls by [`WINDOW_CALLS`].
pub(super) fn time_window(calls: u64) -> f64 {
    let config = CircuitBreakerConfig::new().with_trip(TripPolicy::time_window(WINDOW, RateThresholds::new(0.5, 10)));
    let breaker = SlidingWindowCircuitBreaker::builder()
        .default_config(config)
        .build()
        .expect("the configuration is valid");
    let circuit = breaker.circuit("benchmark").expect("the name is valid");
    calls_on(&*circuit, calls);
    let value = threads::one(WINDOW_CALLS, || calls_on(&*circuit, WINDOW_CALLS));
    assert_eq!(
        u64::from(circuit.metrics().window.calls),
        calls + WINDOW_CALLS,
        "all calls are in the window"
    );
    value
}

/// Like [`time_window`], for the peer. The window grows by [`TOWER_WINDOW_CALLS`] calls.
pub(super) fn tower_time_window(calls: u64) -> f64 {
    let layer = CircuitBreakerLayer::builder()
        .sliding_window_type(SlidingWindowType::TimeBased)
        .sliding_window_duration(WINDOW)
        .failure_rate_threshold(0.5)
        .minimum_number_of_calls(10)
        .build();
    let mut service = layer.expect("the configuration is valid").layer(tower_inner());
    let runtime = runtime();
    tower_calls(&runtime, &mut service, calls);
    let value = threads::one(TOWER_WINDOW_CALLS, || {
        tower_calls(&runtime, &mut service.clone(), TOWER_WINDOW_CALLS);
    });
    let records = runtime.block_on(service.metrics()).total_calls as u64;
    assert_eq!(records, calls + TOWER_WINDOW_CALLS, "all calls are in the window");
    value
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime can be built")
}
