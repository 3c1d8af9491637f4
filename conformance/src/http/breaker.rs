//! A scripted circuit breaker that keeps the records of all calls.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use networking_spi::circuit_breaker::{
    BoxedOperation, CallOutcome, CallRecord, Circuit, CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig,
    CircuitEvent, CircuitMetrics, CircuitRejection, CircuitState, Deadline, OperationOutput, Permit, PermitToken,
};
use networking_spi::{NetworkError, Result};

/// Admits calls unless a case makes it reject the next ones.
#[derive(Debug, Clone, Default)]
pub(super) struct ScriptedBreaker(Arc<Mutex<Journal>>);

#[derive(Debug, Default)]
struct Journal {
    /// How many of the next calls are rejected, and the delay of their rejections.
    reject: Option<(usize, Option<Duration>)>,
    records: Vec<(String, CallRecord)>,
}

impl ScriptedBreaker {
    /// Rejects the next `count` calls, with this delay.
    pub(super) fn reject(&self, count: usize, retry_after: Option<Duration>) {
        self.0.lock().expect("no panic inside").reject = Some((count, retry_after));
    }

    /// The circuits and outcomes of all calls, in order.
    pub(super) fn outcomes(&self) -> Vec<(String, Option<CallOutcome>)> {
        self.records()
            .into_iter()
            .map(|(circuit, record)| (circuit, record.outcome))
            .collect()
    }

    pub(super) fn records(&self) -> Vec<(String, CallRecord)> {
        self.0.lock().expect("no panic inside").records.clone()
    }
}

#[derive(Debug)]
struct ScriptedCircuit {
    name: Arc<str>,
    breaker: ScriptedBreaker,
}

impl Circuit for ScriptedCircuit {
    fn name(&self) -> &str {
        &self.name
    }

    fn try_acquire(&self) -> Result<Permit<'_>, CircuitRejection> {
        let mut journal = self.breaker.0.lock().expect("no panic inside");
        match &mut journal.reject {
            Some((count, retry_after)) if *count > 0 => {
                *count -= 1;
                Err(CircuitRejection::new(
                    Arc::clone(&self.name),
                    CircuitState::Open,
                    *retry_after,
                ))
            }
            _ => Ok(Permit::new(self, PermitToken::default())),
        }
    }

    fn state(&self) -> CircuitState {
        CircuitState::Closed
    }

    fn metrics(&self) -> CircuitMetrics {
        CircuitMetrics::default()
    }

    fn config(&self) -> Arc<CircuitBreakerConfig> {
        Arc::new(CircuitBreakerConfig::new())
    }

    fn deadline(&self, _timeout: Option<Duration>) -> Option<Deadline> {
        None
    }

    fn complete(&self, _token: PermitToken, record: CallRecord) {
        self.breaker
            .0
            .lock()
            .expect("no panic inside")
            .records
            .push((self.name.to_string(), record));
    }
}

#[async_trait]
impl CircuitBreaker for ScriptedBreaker {
    async fn execute_with_circuit_breaker(
        &self,
        operation: BoxedOperation,
        circuit: &str,
        _timeout: Option<Duration>,
    ) -> Result<OperationOutput> {
        let circuit = self.circuit(circuit)?;
        let permit = circuit.try_acquire()?;
        let result = operation().await;
        permit.record(match &result {
            Ok(_) => CallOutcome::Success,
            Err(error) => circuit.config().classifier.classify(error),
        });
        result
    }

    fn circuit(&self, name: &str) -> Result<Arc<dyn Circuit>> {
        Ok(Arc::new(ScriptedCircuit {
            name: name.into(),
            breaker: self.clone(),
        }))
    }

    fn circuit_state(&self, _name: &str) -> Result<CircuitState> {
        Ok(CircuitState::Closed)
    }

    fn configure_circuit_breaker(&self, _name: &str, _config: CircuitBreakerConfig) -> Result<()> {
        Err(NetworkError::unsupported("circuit_breaker.configure", "configuration"))
    }

    fn reset_circuit_breaker(&self, name: &str) -> Result<()> {
        Err(NetworkError::not_found("circuit_breaker.reset", "circuit", name))
    }

    fn circuit_metrics(&self, name: &str) -> Result<CircuitMetrics> {
        Err(NetworkError::not_found("circuit_breaker.metrics", "circuit", name))
    }

    fn all_circuit_states(&self) -> BTreeMap<String, CircuitState> {
        BTreeMap::new()
    }

    fn force_circuit_open(&self, name: &str) -> Result<()> {
        Err(NetworkError::not_found("circuit_breaker.force_open", "circuit", name))
    }

    fn force_circuit_closed(&self, name: &str) -> Result<()> {
        Err(NetworkError::not_found("circuit_breaker.force_closed", "circuit", name))
    }

    fn subscribe(&self) -> Result<BoxStream<'static, CircuitEvent>> {
        Err(NetworkError::unsupported("circuit_breaker.subscribe", "events"))
    }

    fn capabilities(&self) -> CircuitBreakerCapabilities {
        CircuitBreakerCapabilities::none()
    }
}
