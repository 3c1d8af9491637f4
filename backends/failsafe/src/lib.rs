//! A backend outside of the reference implementations: [`CircuitBreaker`] over the state machine of `failsafe`.
//!
//! `failsafe` decides whether a call is admitted, and when a circuit opens and closes. The rest of the contract (names, permits,
//! generations, counters) is in this crate. It declares no capabilities: `failsafe` has no windows, no limit on probes, no events and
//! no overrides.

mod circuit;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_util::future::{Either, select};
use futures_util::stream::BoxStream;
use networking_spi::circuit_breaker::{
    BoxedOperation, CallOutcome, CallRecord, Circuit, CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig,
    CircuitEvent, CircuitMetrics, CircuitState, MAX_CIRCUIT_NAME, OperationOutput, OwnedPermit,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};

use circuit::FailsafeCircuit;

/// The largest number of circuits.
const MAX_CIRCUITS: usize = 10_000;

/// A circuit breaker whose circuits are state machines of `failsafe`, in real time.
#[derive(Debug)]
pub struct FailsafeBreaker {
    default: CircuitBreakerConfig,
    circuits: Mutex<BTreeMap<String, Arc<FailsafeCircuit>>>,
}

impl FailsafeBreaker {
    /// A breaker whose circuits have `config`.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) and [`Unsupported`](ErrorKind::Unsupported) for the configuration.
    pub fn new(config: CircuitBreakerConfig) -> Result<Self> {
        check(&config, "circuit_breaker.new")?;
        Ok(Self {
            default: config,
            circuits: Mutex::default(),
        })
    }

    fn circuits(&self) -> MutexGuard<'_, BTreeMap<String, Arc<FailsafeCircuit>>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn existing(&self, operation: &'static str, name: &str) -> Result<Arc<FailsafeCircuit>> {
        let found = self.circuits().get(name).cloned();
        found.ok_or_else(|| NetworkError::not_found(operation, "circuit", name))
    }

    fn existing_or_new(
        &self,
        name: &str,
        config: impl FnOnce() -> CircuitBreakerConfig,
    ) -> Result<Arc<FailsafeCircuit>> {
        validate::name(name, MAX_CIRCUIT_NAME, "circuit")?;
        let mut circuits = self.circuits();
        if let Some(circuit) = circuits.get(name) {
            return Ok(Arc::clone(circuit));
        }
        if circuits.len() >= MAX_CIRCUITS {
            let full = "the registry of circuits is full";
            return Err(NetworkError::new(ErrorKind::Exhausted, "circuit_breaker.circuit", full));
        }
        let circuit = Arc::new(FailsafeCircuit::new(name, config()));
        circuits.insert(name.to_owned(), Arc::clone(&circuit));
        Ok(circuit)
    }
}

fn check(config: &CircuitBreakerConfig, operation: &'static str) -> Result<()> {
    config.validate()?;
    config.require(&CircuitBreakerCapabilities::none(), operation)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CircuitBreaker for FailsafeBreaker {
    async fn execute_with_circuit_breaker(
        &self,
        operation: BoxedOperation,
        circuit: &str,
        timeout: Option<Duration>,
    ) -> Result<OperationOutput> {
        if let Some(timeout) = timeout {
            validate::positive(timeout, "timeout")?;
        }
        let circuit = self.circuit(circuit)?;
        let permit = OwnedPermit::acquire(&circuit)?;
        let result = match circuit.deadline(timeout) {
            None => operation().await,
            Some(deadline) => {
                let limit = deadline.limit();
                match select(operation(), deadline).await {
                    Either::Left((result, _)) => result,
                    Either::Right(_) => {
                        permit.record(CallOutcome::Failure);
                        return Err(NetworkError::timeout("circuit_breaker.execute", Phase::Total, limit));
                    }
                }
            }
        };
        let record = match &result {
            Ok(_) => CallRecord::new(CallOutcome::Success),
            Err(error) => {
                let classifier = circuit.config().classifier.clone();
                let mut record = CallRecord::new(classifier.classify(error));
                record.retry_after = error.retryability().delay();
                record
            }
        };
        permit.record(record);
        result
    }

    fn circuit(&self, name: &str) -> Result<Arc<dyn Circuit>> {
        Ok(self.existing_or_new(name, || self.default.clone())?)
    }

    fn circuit_state(&self, name: &str) -> Result<CircuitState> {
        Ok(self.existing("circuit_breaker.state", name)?.state())
    }

    fn configure_circuit_breaker(&self, name: &str, config: CircuitBreakerConfig) -> Result<()> {
        validate::name(name, MAX_CIRCUIT_NAME, "circuit")?;
        check(&config, "circuit_breaker.configure")?;
        let circuit = self.existing_or_new(name, || config.clone())?;
        circuit.configure(config);
        Ok(())
    }

    fn reset_circuit_breaker(&self, name: &str) -> Result<()> {
        self.existing("circuit_breaker.reset", name)?.reset();
        Ok(())
    }

    fn circuit_metrics(&self, name: &str) -> Result<CircuitMetrics> {
        Ok(self.existing("circuit_breaker.metrics", name)?.metrics())
    }

    fn all_circuit_states(&self) -> BTreeMap<String, CircuitState> {
        let circuits = self.circuits();
        circuits
            .iter()
            .map(|(name, circuit)| (name.clone(), circuit.state()))
            .collect()
    }

    fn force_circuit_open(&self, _: &str) -> Result<()> {
        Err(NetworkError::unsupported("circuit_breaker.force_open", "overrides"))
    }

    fn force_circuit_closed(&self, _: &str) -> Result<()> {
        Err(NetworkError::unsupported("circuit_breaker.force_closed", "overrides"))
    }

    fn subscribe(&self) -> Result<BoxStream<'static, CircuitEvent>> {
        Err(NetworkError::unsupported("circuit_breaker.subscribe", "events"))
    }

    fn capabilities(&self) -> CircuitBreakerCapabilities {
        CircuitBreakerCapabilities::none()
    }
}
