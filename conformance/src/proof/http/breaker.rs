//! A circuit breaker that alters the records it is given.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use networking_spi::Result;
use networking_spi::circuit_breaker::{
    BoxedOperation, CallRecord, Circuit, CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig,
    CircuitEvent, CircuitMetrics, CircuitRejection, CircuitState, Deadline, OperationOutput, Permit, PermitToken,
};

/// Alters each record and passes it to the inner breaker.
#[derive(Debug)]
pub(super) struct AlteringBreaker {
    pub(super) inner: Arc<dyn CircuitBreaker>,
    pub(super) alter: fn(CallRecord) -> CallRecord,
}

#[derive(Debug)]
struct AlteringCircuit {
    inner: Arc<dyn Circuit>,
    alter: fn(CallRecord) -> CallRecord,
}

impl Circuit for AlteringCircuit {
    fn name(&self) -> &str {
        self.inner.name()
    }

    fn try_acquire(&self) -> Result<Permit<'_>, CircuitRejection> {
        // `complete` records the inner permit.
        let token = self.inner.try_acquire()?.into_token();
        Ok(Permit::new(self, token))
    }

    fn state(&self) -> CircuitState {
        self.inner.state()
    }

    fn metrics(&self) -> CircuitMetrics {
        self.inner.metrics()
    }

    fn config(&self) -> Arc<CircuitBreakerConfig> {
        self.inner.config()
    }

    fn deadline(&self, limit: Option<Duration>) -> Option<Deadline> {
        self.inner.deadline(limit)
    }

    fn complete(&self, token: PermitToken, record: CallRecord) {
        self.inner.complete(token, (self.alter)(record));
    }
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
        Ok(Arc::new(AlteringCircuit {
            inner: self.inner.circuit(name)?,
            alter: self.alter,
        }))
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
