//! The breaker: implements the contract over a registry of circuits.

mod builder;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
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

pub use self::builder::SlidingWindowCircuitBreakerBuilder;
use super::circuit::SlidingWindowCircuit;
use super::events::EventHub;
use super::registry::Registry;

/// A circuit breaker with all trip policies of the contract: consecutive failures, and rates of failures or slow calls over
/// the last calls or the last seconds.
///
/// A call that succeeds in a closed circuit takes no lock and allocates no memory. It writes to no cache line that other
/// threads write to, unless more threads make calls than there are stripes (see Bounds). With a rate policy, each call takes a
/// lock for a short time; with a slow-call rate, it also reads the clock twice. There is no background task: an open circuit
/// becomes half-open when its state is read or a call asks for admission.
///
/// The breaker is not `Clone`; share it in an `Arc`. States and timestamps use the injected
/// [`Clock`](networking_spi::clock::Clock). Call timeouts use tokio's timer and need a runtime with time enabled.
///
/// # Cancel safety
///
/// Dropping a call frees its permit and records the call as the circuit's
/// [`CancelPolicy`](networking_spi::circuit_breaker::CancelPolicy) says.
///
/// # Bounds
///
/// * Circuits: [`max_circuits`](SlidingWindowCircuitBreakerBuilder::max_circuits). To create a circuit beyond that, the
///   breaker evicts one that is closed, not forced, not configured individually, without a handle, without calls in
///   flight and without failures in its window. If no circuit can be evicted, creating a circuit fails with
///   [`Exhausted`](networking_spi::ErrorKind::Exhausted).
/// * Counters: 128 bytes per stripe. A circuit has one shared stripe, and one stripe per thread for a number of threads: the
///   number of cores plus 2, rounded up to a power of two, at most 32. At most 4 224 bytes.
/// * Windows: two bits per call in a count window; ten buckets in a time window of any length.
/// * Events: [`event_capacity`](SlidingWindowCircuitBreakerBuilder::event_capacity).
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
/// let rejected: Result<(), _> = payments.call(|| async { unreachable!("never called") }).await;
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
    /// A breaker with the default settings.
    pub fn new() -> Self {
        Self::builder().build_with_defaults()
    }

    /// Starts to configure a breaker.
    pub fn builder() -> SlidingWindowCircuitBreakerBuilder {
        SlidingWindowCircuitBreakerBuilder::new()
    }

    fn from_parts(registry: Registry, hub: Arc<EventHub>) -> Self {
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

    /// A handle to an existing circuit, for operations that wake subscribers. A subscriber may call the breaker, so the caller
    /// must hold no guard of the map.
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
                    // A timeout is always a failure; the classifier is not asked.
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
        Ok(self.registry.get_or_create(name)?)
    }

    fn circuit_state(&self, name: &str) -> Result<CircuitState> {
        self.existing("circuit_breaker.state", name, |circuit| circuit.state())
    }

    fn configure_circuit_breaker(&self, name: &str, config: CircuitBreakerConfig) -> Result<()> {
        config.validate()?;
        self.registry.get_or_create(name)?.configure(config);
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

/// A call of a circuit by name. It looks the circuit up again when it ends, which costs no more than holding an `Arc` and
/// avoids contention on its reference count.
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
            None => acquire(&registry.get_or_create(name)?),
        }
    }

    fn end(mut self, record: CallRecord) {
        self.settle(record);
    }

    fn end_with_error(self, error: &NetworkError) {
        // The classifier is code of the application and may call the breaker: no guard of the map is held.
        let config = self.registry.look_up(self.name, |circuit| circuit.config());
        let outcome = config.map_or(CallOutcome::Ignored, |config| config.classifier.classify(error));
        let mut record = CallRecord::new(outcome);
        record.retry_after = error.retryability().delay();
        self.end(record);
    }

    fn settle(&mut self, record: CallRecord) {
        let Some(token) = self.token.take() else { return };
        self.registry.look_up(self.name, |circuit| {
            // The circuit may have been evicted just after the call was admitted, and created again.
            if circuit.serial() == self.serial {
                circuit.settle(token, record);
            }
        });
    }
}

impl Drop for NamedCall<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return self.settle(CallRecord::dropped(false));
        }
        // A panic that leaves a destructor while the thread unwinds aborts the process, for example one of an injected clock. The
        // first panic continues.
        let settled = catch_unwind(AssertUnwindSafe(|| self.settle(CallRecord::dropped(true))));
        drop(settled);
    }
}
