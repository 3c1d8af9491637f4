//! A circuit that passes everything to another one, except for the ends of calls.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use networking_spi::circuit_breaker::{
    CallRecord, Circuit, CircuitBreakerConfig, CircuitMetrics, CircuitRejection, CircuitState, Deadline, Permit,
    PermitToken,
};

/// Completes a call of the inner circuit.
type Complete = Box<dyn Fn(&dyn Circuit, PermitToken, CallRecord) + Send + Sync>;

pub(crate) struct CompletingCircuit {
    inner: Arc<dyn Circuit>,
    complete: Complete,
}

impl CompletingCircuit {
    /// Passes everything to `inner`, and ends calls with `complete`.
    pub(crate) fn over(
        inner: Arc<dyn Circuit>,
        complete: impl Fn(&dyn Circuit, PermitToken, CallRecord) + Send + Sync + 'static,
    ) -> Arc<dyn Circuit> {
        Arc::new(Self {
            inner,
            complete: Box::new(complete),
        })
    }
}

impl Circuit for CompletingCircuit {
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
        (self.complete)(&*self.inner, token, record);
    }
}

impl fmt::Debug for CompletingCircuit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompletingCircuit")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}
