//! The circuit breaker suite against a backend outside of the reference implementations, in real time.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use failsafe_backend::FailsafeBreaker;
use networking_conformance::circuit_breaker::{self, CircuitBreakerHarness};
use networking_conformance::{Harness, runner::Runner};
use networking_spi::circuit_breaker::{CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig};

#[derive(Debug)]
struct FailsafeHarness;

impl Harness for FailsafeHarness {
    fn backend(&self) -> &'static str {
        "failsafe"
    }
}

#[async_trait::async_trait]
impl CircuitBreakerHarness for FailsafeHarness {
    fn capabilities(&self) -> &'static CircuitBreakerCapabilities {
        const { &CircuitBreakerCapabilities::none() }
    }

    fn breaker(&self, config: CircuitBreakerConfig) -> Arc<dyn CircuitBreaker> {
        Arc::new(FailsafeBreaker::new(config).expect("cases use what is declared"))
    }

    fn bounded_breaker(&self, _: CircuitBreakerConfig, _: usize) -> Option<Arc<dyn CircuitBreaker>> {
        None
    }

    fn event_capacity(&self) -> Option<usize> {
        None
    }

    async fn advance(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }
}

fn main() -> ExitCode {
    Runner::new()
        // The cases wait for seconds of real time.
        .threads(64)
        .add(circuit_breaker::suite(), || {
            Arc::new(FailsafeHarness) as Arc<dyn CircuitBreakerHarness>
        })
        .run()
}
