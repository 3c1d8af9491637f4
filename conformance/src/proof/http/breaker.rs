//! A circuit breaker that alters the records it is given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use networking_spi::Result;
use networking_spi::circuit_breaker::{
    BoxedOperation, CallRecord, Circuit, CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig,
    CircuitEvent, CircuitMetrics, CircuitState, OperationOutput,
};

use crate::completing_circuit::CompletingCircuit;

/// Alters each record and passes it to the inner breaker.
#[derive(Debug)]
pub(super) struct AlteringBreaker {
    pub(super) inner: Arc<dyn CircuitBreaker>,
    pub(super) alter: fn(CallRecord) -> CallRecord,
}

#[async_trait]
impl CircuitBreaker for AlteringBreaker {
    async fn execute_with_circuit_breaker(
        &self,
        operation: BoxedOperation,
        circuit: &str,
        timeout: Option<Duration>,
    ) -> Result<OperationOutput> {
        self.inner
            .execute_with_circuit_breaker(operation, circuit, timeout)
            .await
    }

    fn circuit(&self, name: &str) -> Result<Arc<dyn Circuit>> {
        let alter = self.alter;
        Ok(CompletingCircuit::over(
            self.inner.circuit(name)?,
            move |circuit, token, record| circuit.complete(token, alter(record)),
        ))
    }

    fn circuit_state(&self, name: &str) -> Result<CircuitState> {
        self.inner.circuit_state(name)
    }

    fn configure_circuit_breaker(&self, name: &str, config: CircuitBreakerConfig) -> Result<()> {
        self.inner.configure_circuit_breaker(name, config)
    }

    fn reset_circuit_breaker(&self, name: &str) -> Result<()> {
        self.inner.reset_circuit_breaker(name)
    }

    fn circuit_metrics(&self, name: &str) -> Result<CircuitMetrics> {
        self.inner.circuit_metrics(name)
    }

    fn all_circuit_states(&self) -> BTreeMap<String, CircuitState> {
        self.inner.all_circuit_states()
    }

    fn force_circuit_open(&self, name: &str) -> Result<()> {
        self.inner.force_circuit_open(name)
    }

    fn force_circuit_closed(&self, name: &str) -> Result<()> {
        self.inner.force_circuit_closed(name)
    }

    fn subscribe(&self) -> Result<BoxStream<'static, CircuitEvent>> {
        self.inner.subscribe()
    }

    fn capabilities(&self) -> CircuitBreakerCapabilities {
        self.inner.capabilities()
    }
}
