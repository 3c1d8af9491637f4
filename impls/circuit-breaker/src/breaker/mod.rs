//! The breaker: circuits by name behind the object-safe contract.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use networking_spi::circuit_breaker::{
    BoxedOperation, CallOutcome, CallRecord, Circuit, CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig,
    CircuitEvent, CircuitMetrics, CircuitMode, CircuitState, OperationOutput, PermitToken,
};
use networking_spi::validate::Validate;
use networking_spi::{NetworkError, Phase, Result};

use super::builder::SlidingWindowCircuitBreakerBuilder;
use super::circuit::SlidingWindowCircuit;
use super::events::EventHub;
use super::registry::Registry;

/// A circuit breaker with every trip policy of the contract: failures in a row, and failure or slow-call rates over the
/// last calls or the last stretch of time.
///
/// A call that succeeds in a closed circuit takes no lock, allocates nothing and shares no written cache line with other
/// threads. Rate policies take a short lock per call, and slow-call rates read the clock twice. An open circuit becomes
/// half-open when somebody looks at it; there is no background task.
///
/// A clone of the `Arc` shares all circuits; the breaker itself is not `Clone`. State and timestamps follow the injected
/// [`Clock`](networking_spi::clock::Clock). Time limits of calls use tokio's timer, and need a runtime that has one.
///
/// # Bounds
///
/// * Circuits: [`max_circuits`](SlidingWindowCircuitBreakerBuilder::max_circuits). A registry that is full evicts a
///   circuit that nobody would miss: closed in automatic mode, without a failure in its window, a call in flight, a
///   handle, or a configuration of its own. If there is none, asking for a new name is
///   [`Exhausted`](networking_spi::ErrorKind::Exhausted).
/// * Counters: 128 bytes for each core and a few more, about 4 kilobytes at most, for each circuit.
/// * Windows: two bits a call for a count window, ten buckets for a time window of any length.
/// * Events: [`event_capacity`](SlidingWindowCircuitBreakerBuilder::event_capacity) for a subscriber that lags.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use networking_circuit_breaker::SlidingWindowCircuitBreaker;
/// use networking_spi::circuit_breaker::{CircuitBreakerConfig, OpenPolicy, TripPolicy};
/// use networking_spi::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), NetworkError> {
/// let breaker = SlidingWindowCircuitBreaker::builder()
///     .default_config(
///         CircuitBreakerConfig::new()
///             .with_trip(TripPolicy::consecutive(2))
///             .with_open(OpenPolicy::fixed(Duration::from_secs(5))),
///     )
///     .build()?;
/// let payments = breaker.circuit("payments")?;
/// for _ in 0..2 {
///     let failed: Result<(), _> =
///         payments.call(|| async { Err(NetworkError::new(ErrorKind::ConnectionRefused, "pay", "no route")) }).await;
///     assert_eq!(failed.unwrap_err().kind(), ErrorKind::ConnectionRefused);
/// }
/// let rejected: Result<(), _> = payments.call(|| async { unreachable!("never built") }).await;
/// assert_eq!(rejected.unwrap_err().kind(), ErrorKind::CircuitOpen);
/// assert_eq!(breaker.circuit_state("payments")?, CircuitState::Open);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SlidingWindowCircuitBreaker {
    registry: Registry,
    hub: Arc<EventHub>,
}

impl SlidingWindowCircuitBreaker {
    /// A breaker with the default configuration for every circuit.
    pub fn new() -> Self {
        Self::builder().build_with_defaults()
    }

    /// A breaker to be set up.
    pub fn builder() -> SlidingWindowCircuitBreakerBuilder {
        SlidingWindowCircuitBreakerBuilder::new()
    }

    pub(super) fn from_parts(registry: Registry, hub: Arc<EventHub>) -> Self {
        Self { registry, hub }
    }

    fn existing<T>(
        &self,
        operation: &'static str,
        name: &str,
        look: impl FnOnce(&Arc<SlidingWindowCircuit>) -> T,
    ) -> Result<T> {
        self.registry
            .look_up(name, look)
            .ok_or_else(|| NetworkError::not_found(operation, "circuit", name))
    }

    /// A handle of a circuit that exists, for what may call back: no guard of the map is held meanwhile.
    fn handle(&self, operation: &'static str, name: &str) -> Result<Arc<SlidingWindowCircuit>> {
        self.existing(operation, name, Arc::clone)
    }
}

impl Default for SlidingWindowCircuitBreaker {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CircuitBreaker for SlidingWindowCircuitBreaker {
    async fn execute_with_circuit_breaker(
        &self,
        operation: BoxedOperation,
        circuit: &str,
        timeout: Option<Duration>,
    ) -> Result<OperationOutput> {
        let (call, limit) = NamedCall::begin(&self.registry, circuit, timeout)?;
        let result = match limit {
            None => operation().await,
            Some(limit) => {
                let Ok(result) = tokio::time::timeout(limit, operation()).await else {
                    // Not for the classifier to decide: what does not answer in time is failing.
                    call.end(CallRecord::new(CallOutcome::Failure));
                    return Err(NetworkError::timeout("circuit_breaker.execute", Phase::Total, limit));
                };
                result
            }
        };
        match &result {
            Ok(_) => call.end(CallRecord::new(CallOutcome::Success)),
            Err(error) => call.end_with_error(error),
        }
        result
    }

    fn circuit(&self, name: &str) -> Result<Arc<dyn Circuit>> {
        Ok(self.registry.get_or_make(name)?)
    }

    fn circuit_state(&self, name: &str) -> Result<CircuitState> {
        self.existing("circuit_breaker.state", name, |circuit| circuit.state())
    }

    fn configure_circuit_breaker(&self, name: &str, config: CircuitBreakerConfig) -> Result<()> {
        config.validate()?;
        self.registry.get_or_make(name)?.configure(config);
        Ok(())
    }

    fn reset_circuit_breaker(&self, name: &str) -> Result<()> {
        self.handle("circuit_breaker.reset", name)?.reset();
        Ok(())
    }

    fn circuit_metrics(&self, name: &str) -> Result<CircuitMetrics> {
        self.existing("circuit_breaker.metrics", name, |circuit| circuit.metrics())
    }

    fn all_circuit_states(&self) -> BTreeMap<String, CircuitState> {
        self.registry.states()
    }

    fn force_circuit_open(&self, name: &str) -> Result<()> {
        self.handle("circuit_breaker.force_open", name)?
            .force(CircuitMode::ForcedOpen);
        Ok(())
    }

    fn force_circuit_closed(&self, name: &str) -> Result<()> {
        self.handle("circuit_breaker.force_closed", name)?
            .force(CircuitMode::ForcedClosed);
        Ok(())
    }

    fn subscribe(&self) -> Result<BoxStream<'static, CircuitEvent>> {
        Ok(self.hub.subscribe())
    }

    fn capabilities(&self) -> CircuitBreakerCapabilities {
        CircuitBreakerCapabilities::all()
    }
}

/// A call under a circuit that is known by name: the circuit is looked up again when the call ends. A second look-up costs
/// no more than a reference would, and threads do not fight over a reference count.
struct NamedCall<'a> {
    registry: &'a Registry,
    name: &'a str,
    serial: u64,
    /// `None` once the call has ended.
    token: Option<PermitToken>,
}

impl<'a> NamedCall<'a> {
    fn begin(registry: &'a Registry, name: &'a str, limit: Option<Duration>) -> Result<(Self, Option<Duration>)> {
        let acquire = |circuit: &Arc<SlidingWindowCircuit>| {
            let token = circuit.acquire()?;
            Ok((
                Self {
                    registry,
                    name,
                    serial: circuit.serial(),
                    token: Some(token),
                },
                circuit.time_limit(limit),
            ))
        };
        match registry.look_up(name, acquire) {
            Some(result) => result,
            None => acquire(&registry.get_or_make(name)?),
        }
    }

    fn end(mut self, record: CallRecord) {
        self.settle(record);
    }

    fn end_with_error(self, error: &NetworkError) {
        // The classifier is the application's code: it runs without a guard of the map.
        let config = self.registry.look_up(self.name, |circuit| circuit.config());
        let outcome = config.map_or(CallOutcome::Ignored, |config| config.classifier.classify(error));
        let mut record = CallRecord::new(outcome);
        record.retry_after = error.retryability().delay();
        self.end(record);
    }

    fn settle(&mut self, record: CallRecord) {
        let Some(token) = self.token.take() else { return };
        self.registry.look_up(self.name, |circuit| {
            // A circuit that was evicted as the call began has nothing left to count.
            if circuit.serial() == self.serial {
                circuit.settle(token, record);
            }
        });
    }
}

impl Drop for NamedCall<'_> {
    fn drop(&mut self) {
        self.settle(CallRecord::dropped(std::thread::panicking()));
    }
}
