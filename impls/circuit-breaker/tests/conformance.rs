//! Runs the circuit breaker suite against the sliding-window breaker, directly and behind `Arc` and `Box`.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use networking_circuit_breaker::{SlidingWindowCircuitBreaker, SlidingWindowCircuitBreakerBuilder};
use networking_conformance::circuit_breaker::{CircuitBreakerHarness, suite};
use networking_conformance::runner::Runner;
use networking_conformance::{CaseRuntime, Harness};
use networking_spi::circuit_breaker::{CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig};
use networking_spi::clock::{Clock, SystemClock};

fn main() -> ExitCode {
    Runner::new()
        .add(suite(), || Arc::new(SlidingWindow { wrapped: false }))
        .add(suite(), || Arc::new(SlidingWindow { wrapped: true }))
        .add(suite(), || Arc::new(OneThread::default()))
        .run()
}

const EVENT_CAPACITY: usize = 64;

struct SlidingWindow {
    /// Whether the breaker is called through the implementations of the contract for `Arc` and `Box`.
    wrapped: bool,
}

impl SlidingWindow {
    fn build(&self, builder: SlidingWindowCircuitBreakerBuilder) -> Arc<dyn CircuitBreaker> {
        let breaker = builder
            .seed(42)
            .event_capacity(EVENT_CAPACITY)
            .build()
            .expect("the configuration is valid");
        if self.wrapped {
            let boxed: Box<dyn CircuitBreaker> = Box::new(breaker);
            Arc::new(Arc::new(boxed))
        } else {
            Arc::new(breaker)
        }
    }
}

impl Harness for SlidingWindow {
    fn backend(&self) -> &'static str {
        if self.wrapped {
            "sliding_window_wrapped"
        } else {
            "sliding_window"
        }
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

#[async_trait]
impl CircuitBreakerHarness for SlidingWindow {
    fn capabilities(&self) -> &'static CircuitBreakerCapabilities {
        const { &CircuitBreakerCapabilities::all() }
    }

    fn breaker(&self, config: CircuitBreakerConfig) -> Arc<dyn CircuitBreaker> {
        self.build(SlidingWindowCircuitBreaker::builder().default_config(config))
    }

    fn bounded_breaker(&self, config: CircuitBreakerConfig, max_circuits: usize) -> Option<Arc<dyn CircuitBreaker>> {
        Some(
            self.build(
                SlidingWindowCircuitBreaker::builder()
                    .default_config(config)
                    .max_circuits(max_circuits),
            ),
        )
    }

    fn event_capacity(&self) -> Option<usize> {
        Some(EVENT_CAPACITY)
    }

    async fn advance(&self, time: Duration) {
        tokio::time::advance(time).await;
    }
}

/// The breaker in real time, in a runtime with one thread. Its clock runs with that of the system, and can be set forward, so that
/// cases do not wait for the open time of a circuit.
#[derive(Default)]
struct OneThread(Arc<ForwardClock>);

#[derive(Debug, Default)]
struct ForwardClock {
    system: SystemClock,
    /// In nanoseconds.
    forward: AtomicU64,
}

impl ForwardClock {
    fn forward(&self) -> Duration {
        Duration::from_nanos(self.forward.load(Ordering::SeqCst))
    }
}

impl Clock for ForwardClock {
    fn now(&self) -> SystemTime {
        self.system.now() + self.forward()
    }

    fn elapsed(&self) -> Duration {
        self.system.elapsed() + self.forward()
    }
}

impl Harness for OneThread {
    fn backend(&self) -> &'static str {
        "sliding_window_one_thread"
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::CurrentThread
    }
}

#[async_trait]
impl CircuitBreakerHarness for OneThread {
    fn capabilities(&self) -> &'static CircuitBreakerCapabilities {
        const { &CircuitBreakerCapabilities::all() }
    }

    fn breaker(&self, config: CircuitBreakerConfig) -> Arc<dyn CircuitBreaker> {
        let builder = SlidingWindowCircuitBreaker::builder().clock(self.0.clone());
        SlidingWindow { wrapped: false }.build(builder.default_config(config))
    }

    fn bounded_breaker(&self, config: CircuitBreakerConfig, max_circuits: usize) -> Option<Arc<dyn CircuitBreaker>> {
        let builder = SlidingWindowCircuitBreaker::builder().clock(self.0.clone());
        Some(SlidingWindow { wrapped: false }.build(builder.default_config(config).max_circuits(max_circuits)))
    }

    fn event_capacity(&self) -> Option<usize> {
        Some(EVENT_CAPACITY)
    }

    async fn advance(&self, time: Duration) {
        let nanos = u64::try_from(time.as_nanos()).expect("cases advance by seconds");
        self.0.forward.fetch_add(nanos, Ordering::SeqCst);
        // Other tasks notice it.
        tokio::task::yield_now().await;
    }
}
