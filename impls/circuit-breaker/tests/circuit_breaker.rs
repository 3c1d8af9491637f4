//! The sliding-window breaker beyond the contract: its builder, its bounds, and counting by many threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use networking_circuit_breaker::{SlidingWindowCircuitBreaker, SlidingWindowCircuitBreakerBuilder};
use networking_spi::circuit_breaker::{
    BoxedOperation, CircuitBreakerConfig, CircuitError, HalfOpenPolicy, OpenPolicy, RateThresholds, TripPolicy,
};
use networking_spi::clock::Clock;
use networking_spi::prelude::*;

const NAME: &str = "payments";

fn builder() -> SlidingWindowCircuitBreakerBuilder {
    SlidingWindowCircuitBreaker::builder()
}

fn consecutive(failures: u32) -> CircuitBreakerConfig {
    CircuitBreakerConfig::new()
        .with_trip(TripPolicy::consecutive(failures))
        .with_open(OpenPolicy::fixed(Duration::from_secs(1)))
}

fn succeeding() -> BoxedOperation {
    Box::new(|| Box::pin(async { Ok(Box::new(()) as _) }))
}

#[test]
fn the_builder_names_the_invalid_field() {
    let overlong = "x".repeat(300);
    for (builder, field) in [
        (builder().max_circuits(0), "max_circuits"),
        (
            builder()
                .max_circuits(1)
                .circuit("a", consecutive(1))
                .circuit("b", consecutive(1)),
            "max_circuits",
        ),
        (builder().event_capacity(0), "event_capacity"),
        (builder().event_capacity(usize::MAX), "event_capacity"),
        (builder().default_config(consecutive(0)), "default_config.trip.failures"),
        (
            builder().circuit("search", consecutive(0)),
            "circuit.search.trip.failures",
        ),
        (builder().circuit(" ", consecutive(1)), "circuit"),
        (builder().circuit(overlong, consecutive(1)), "circuit"),
    ] {
        let error = builder.build().expect_err(field);
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
    }
}

#[test]
fn configured_circuits_are_created_with_the_breaker_and_never_evicted() {
    let breaker = builder()
        .circuit("search", consecutive(1))
        .max_circuits(2)
        .build()
        .unwrap();
    assert_eq!(breaker.circuit_state("search").unwrap(), CircuitState::Closed);
    for index in 0..20 {
        breaker.circuit(&format!("tenant-{index}")).unwrap();
    }
    assert_eq!(breaker.all_circuit_states().len(), 2);
    let search = breaker.circuit("search").unwrap();
    search.try_acquire().unwrap().record(CallOutcome::Failure);
    assert_eq!(search.state(), CircuitState::Open, "its configuration applies");
}

#[test]
fn eviction_prefers_unused_circuits() {
    let breaker = builder().max_circuits(3).build().unwrap();
    for name in ["a", "b", "c"] {
        breaker.circuit(name).unwrap();
    }
    for name in ["a", "c"] {
        breaker
            .execute_with_circuit_breaker(succeeding(), name, None)
            .now_or_never()
            .unwrap()
            .unwrap();
    }
    breaker.circuit("d").unwrap();
    let names: Vec<_> = breaker.all_circuit_states().into_keys().collect();
    assert_eq!(names, ["a", "c", "d"]);
}

#[test]
fn a_seed_makes_the_jitter_reproducible() {
    let open_times = |seed| {
        let jittered = consecutive(1)
            .with_open(OpenPolicy::exponential(Duration::from_secs(10), Duration::from_secs(60)).with_jitter(0.5));
        let breaker = builder()
            .default_config(jittered)
            .clock(Arc::new(ManualClock::default()))
            .seed(seed)
            .build()
            .unwrap();
        let times: Vec<_> = (0..10)
            .map(|index| {
                let circuit = breaker.circuit(&format!("tenant-{index}")).unwrap();
                circuit.try_acquire().unwrap().record(CallOutcome::Failure);
                circuit.metrics().retry_after.unwrap()
            })
            .collect();
        times
    };
    assert_eq!(open_times(7), open_times(7));
    assert_ne!(open_times(7), open_times(8));
}

#[test]
fn the_longest_open_time_is_not_forced_open() {
    let longest = consecutive(1).with_open(OpenPolicy::fixed(Duration::MAX));
    let breaker = builder().default_config(longest).build().unwrap();
    let circuit = breaker.circuit(NAME).unwrap();
    circuit.try_acquire().unwrap().record(CallOutcome::Failure);
    assert!(circuit.metrics().retry_after.is_some(), "it ends some day");
    breaker.force_circuit_open(NAME).unwrap();
    assert_eq!(circuit.metrics().retry_after, None);
}

/// The result decides, whatever its types are.
#[test]
fn calls_have_results_of_any_type() {
    let breaker = SlidingWindowCircuitBreaker::new();
    let circuit = breaker.circuit(NAME).unwrap();
    let call = |result: Result<u8, &'static str>| {
        circuit
            .call_with(
                || async move { result },
                |result| match result {
                    Ok(0) | Err("unavailable") => CallOutcome::Failure,
                    Ok(_) => CallOutcome::Success,
                    Err(_) => CallOutcome::Ignored,
                },
            )
            .now_or_never()
            .unwrap()
    };
    assert_eq!(call(Ok(1)).unwrap(), 1);
    assert_eq!(call(Ok(0)).unwrap(), 0, "a result that counts as a failure is returned");
    assert_eq!(call(Err("declined")).unwrap_err().into_inner(), Some("declined"));
    assert_eq!(call(Err("unavailable")).unwrap_err().to_string(), "unavailable");
    let metrics = breaker.circuit_metrics(NAME).unwrap();
    assert_eq!((metrics.successes, metrics.failures, metrics.ignored), (1, 2, 1));

    let fails = || async { Err::<(), _>(std::fmt::Error) };
    let failed = circuit.call_with(fails, CallOutcome::of).now_or_never().unwrap();
    assert!(matches!(failed, Err(CircuitError::Inner(std::fmt::Error))));
    breaker.force_circuit_open(NAME).unwrap();
    let rejected = circuit.call_with(fails, CallOutcome::of).now_or_never().unwrap();
    let Err(CircuitError::Rejected(rejection)) = rejected else {
        panic!("the circuit is open");
    };
    assert_eq!(NetworkError::from(rejection).kind(), ErrorKind::CircuitOpen);
}

/// A call without a timeout needs no runtime.
#[test]
fn calls_without_a_timeout_need_no_runtime() {
    let breaker = SlidingWindowCircuitBreaker::new();
    let value = breaker.call(NAME, || async { Ok(7) }).now_or_never().unwrap().unwrap();
    assert_eq!(value, 7);
    breaker
        .execute_with_circuit_breaker(succeeding(), NAME, None)
        .now_or_never()
        .unwrap()
        .unwrap();
    assert_eq!(breaker.circuit_metrics(NAME).unwrap().successes, 2);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_replaces_failures_and_rejections_only() {
    async fn called(
        breaker: &dyn CircuitBreaker,
        answer: Result<&'static str, ErrorKind>,
    ) -> Result<String, ErrorKind> {
        let operation = || async move {
            match answer {
                Ok(value) => Ok(value.to_owned()),
                Err(ErrorKind::Timeout) => std::future::pending().await,
                Err(kind) => Err(NetworkError::new(kind, "search", "no result")),
            }
        };
        let fallback = |error: NetworkError| async move { Ok(format!("instead of {}", error.kind())) };
        let result = breaker.call_with_fallback(NAME, operation, fallback).await;
        result.map_err(|error| error.kind())
    }
    let config = consecutive(2).with_call_timeout(Duration::from_millis(10));
    let breaker = builder().default_config(config).build().unwrap();
    let refused = Err(ErrorKind::ConnectionRefused);

    assert_eq!(called(&breaker, Ok("found")).await.unwrap(), "found");
    assert_eq!(
        called(&breaker, refused).await.unwrap(),
        "instead of connection_refused"
    );
    // These kinds are not failures of the dependency.
    for kind in [ErrorKind::NotFound, ErrorKind::InvalidInput] {
        assert_eq!(called(&breaker, Err(kind)).await, Err(kind));
    }
    assert_eq!(
        called(&breaker, refused).await.unwrap(),
        "instead of connection_refused"
    );
    assert_eq!(
        called(&breaker, Err(ErrorKind::Timeout)).await.unwrap(),
        "instead of timeout"
    );
    assert_eq!(called(&breaker, Ok("found")).await.unwrap(), "instead of circuit_open");
    let metrics = breaker.circuit_metrics(NAME).unwrap();
    assert_eq!(
        (metrics.successes, metrics.failures, metrics.ignored, metrics.rejected),
        (2, 3, 1, 1),
        "fallbacks are not counted"
    );

    let bad_name = breaker.call_with_fallback(" ", || async { Ok(1) }, |_| async { Ok(2) });
    assert_eq!(bad_name.await.unwrap_err().kind(), ErrorKind::InvalidInput);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_runs_without_a_permit() {
    let breaker = builder().default_config(consecutive(5)).build().unwrap();
    let circuit = breaker.circuit(NAME).unwrap();
    let failing = || async { Err(NetworkError::new(ErrorKind::Dns, "search", "no address")) };
    let in_flight = circuit
        .call_with_fallback(failing, |_| async { Ok(circuit.metrics().in_flight) })
        .await;
    assert_eq!(in_flight.unwrap(), 0);
}

/// A clock that panics once it is broken.
#[derive(Debug, Default)]
struct BreakableClock(AtomicBool);

impl Clock for BreakableClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH
    }

    fn elapsed(&self) -> Duration {
        if self.0.load(Ordering::SeqCst) {
            // Unlike `panic!`, without a message on the standard error stream.
            std::panic::resume_unwind(Box::new("the clock is broken"));
        }
        Duration::from_secs(1)
    }
}

/// A second panic while the thread unwinds would abort the process.
#[tokio::test]
async fn a_panic_while_a_panicking_call_is_settled_does_not_abort() {
    let clock = Arc::new(BreakableClock::default());
    let config = consecutive(3).with_trip(TripPolicy::time_window(
        Duration::from_secs(10),
        RateThresholds::new(0.5, 10).with_slow_calls(Duration::from_secs(1), 0.9),
    ));
    let breaker = builder()
        .default_config(config)
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .build()
        .unwrap();
    let broken = Arc::clone(&clock);
    let operation: BoxedOperation = Box::new(move || {
        Box::pin(async move {
            broken.0.store(true, Ordering::SeqCst);
            std::panic::resume_unwind(Box::new("the operation"))
        })
    });
    let call = breaker.execute_with_circuit_breaker(operation, NAME, None);
    let panic = std::panic::AssertUnwindSafe(call).catch_unwind().await.unwrap_err();
    assert_eq!(
        panic.downcast_ref::<&str>(),
        Some(&"the operation"),
        "the first panic continues"
    );
    clock.0.store(false, Ordering::SeqCst);
    breaker
        .execute_with_circuit_breaker(succeeding(), NAME, None)
        .await
        .unwrap();
}

#[test]
fn threads_lose_no_count() {
    const THREADS: u64 = 8;
    const CALLS: u64 = 20_000;
    for trip in [
        TripPolicy::consecutive(3),
        TripPolicy::count_window(50, RateThresholds::new(0.3, 10)),
        TripPolicy::time_window(
            Duration::from_secs(10),
            RateThresholds::new(0.3, 10).with_slow_calls(Duration::from_secs(1), 0.9),
        ),
    ] {
        let clock = Arc::new(ManualClock::default());
        let config = consecutive(1)
            .with_trip(trip.clone())
            .with_half_open(HalfOpenPolicy::new(2, 3));
        let breaker = builder()
            .default_config(config)
            .clock(Arc::clone(&clock) as Arc<dyn Clock>)
            .build()
            .unwrap();
        let circuit = breaker.circuit(NAME).unwrap();
        let rejected = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for seed in 0..THREADS {
                let (circuit, clock, rejected) = (&circuit, &clock, &rejected);
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(seed);
                    for _ in 0..CALLS {
                        match circuit.try_acquire() {
                            Ok(permit) => match rng.u8(..20) {
                                0..9 => permit.record(CallOutcome::Failure),
                                9 => permit.record(CallOutcome::Ignored),
                                10 => drop(permit),
                                _ => permit.record(CallOutcome::Success),
                            },
                            Err(_) => {
                                rejected.fetch_add(1, Ordering::Relaxed);
                            }
                        }
                        if rng.u8(..50) == 0 {
                            clock.advance(Duration::from_millis(200));
                        }
                    }
                });
            }
        });
        let metrics = circuit.metrics();
        assert_eq!(metrics.in_flight, 0, "{trip:?}");
        assert_eq!(metrics.rejected, rejected.into_inner(), "{trip:?}");
        assert_eq!(
            metrics.completed() + metrics.stale + metrics.rejected,
            THREADS * CALLS,
            "{trip:?}: {metrics:?}"
        );
        assert!(
            metrics.times_opened > 10,
            "{trip:?}: the circuit rarely opened: {metrics:?}"
        );
    }
}

#[test]
fn probes_in_flight_never_exceed_their_bound() {
    const MAX: usize = 2;
    let clock = Arc::new(ManualClock::default());
    let half_open = HalfOpenPolicy::new(2, u32::MAX).with_probe_lease(Duration::from_secs(3_600));
    let config = consecutive(1).with_half_open(half_open);
    let breaker = builder()
        .default_config(config)
        .clock(Arc::clone(&clock) as Arc<dyn Clock>)
        .build()
        .unwrap();
    let circuit = breaker.circuit(NAME).unwrap();
    circuit.try_acquire().unwrap().record(CallOutcome::Failure);
    clock.advance(Duration::from_secs(2));
    let (in_flight, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    if let Ok(permit) = circuit.try_acquire() {
                        most.fetch_max(in_flight.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        std::thread::yield_now();
                        in_flight.fetch_sub(1, Ordering::SeqCst);
                        permit.record(CallOutcome::Success);
                    }
                }
            });
        }
    });
    let most = most.into_inner();
    assert!((1..=MAX).contains(&most), "{most} concurrent probes");
    assert_eq!(circuit.state(), CircuitState::HalfOpen);
}

/// Threads use 40 names in a registry of 8 circuits, and take, use and drop handles.
#[test]
fn eviction_races_with_use() {
    const CIRCUITS: usize = 8;
    let breaker = builder().max_circuits(CIRCUITS).build().unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let users: Vec<_> = (0..6_u64)
            .map(|seed| {
                let breaker = &breaker;
                scope.spawn(move || {
                    let mut rng = fastrand::Rng::with_seed(seed);
                    for _ in 0..5_000 {
                        let name = format!("tenant-{}", rng.u8(..40));
                        if rng.bool() {
                            let handle = breaker.circuit(&name).unwrap();
                            handle.try_acquire().unwrap().record(CallOutcome::Success);
                            // A circuit with a handle is not evicted, so the registry has this circuit.
                            let counted = breaker.circuit_metrics(&name).unwrap().successes;
                            assert!(counted > 0, "the circuit of a handle was evicted");
                        } else {
                            let executed = breaker.execute_with_circuit_breaker(succeeding(), &name, None);
                            executed.now_or_never().unwrap().unwrap();
                        }
                    }
                })
            })
            .collect();
        scope.spawn(|| {
            while !done.load(Ordering::SeqCst) {
                assert!(breaker.all_circuit_states().len() <= CIRCUITS);
                std::thread::yield_now();
            }
        });
        for user in users {
            let result = user.join();
            if result.is_err() {
                done.store(true, Ordering::SeqCst);
                panic!("a user failed");
            }
        }
        done.store(true, Ordering::SeqCst);
    });
}

/// A clock that only the test advances.
#[derive(Debug, Default)]
struct ManualClock {
    nanos: AtomicU64,
}

impl ManualClock {
    fn advance(&self, time: Duration) {
        self.nanos
            .fetch_add(u64::try_from(time.as_nanos()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.nanos.load(Ordering::SeqCst))
    }
}

#[test]
fn debug_shows_the_name_and_the_state() {
    let breaker = SlidingWindowCircuitBreaker::new();
    let circuit = breaker.circuit("payments").unwrap();
    let text = format!("{circuit:?}");
    assert!(text.contains("\"payments\"") && text.contains("Closed"), "{text}");
}
