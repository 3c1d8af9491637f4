//! A circuit breaker around every attempt.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use arc_swap::ArcSwapOption;
use http::StatusCode;
use networking_spi::circuit_breaker::{
    CallOutcome, CallRecord, Circuit, CircuitBreaker, CircuitRejection, CircuitState,
};
use networking_spi::clock::Clock;
use networking_spi::error::{ResultExt, context};
use networking_spi::http::{
    CircuitScope, HttpCapabilities, HttpCircuitOptions, HttpClient, HttpRequest, HttpResponse, status,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};
use parking_lot::RwLock;
use url::Url;

use super::HttpCounters;
use super::retry_after::retry_after;
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::marks::{OpenCircuit, origin_name};
use networking_runtime::clock::TokioClock;

/// The largest number of cached circuit handles. When it is reached, all are dropped; the breaker keeps the circuits.
const MAX_HANDLES: usize = 1_024;

/// Acquires a permit from a circuit for every attempt, and records the outcome of the attempt when the response head or an error
/// arrives.
///
/// Statuses 5xx, 408 and 429 are failures; other statuses are successes. Errors are classified by the circuit's
/// [`ErrorClassifier`](networking_spi::circuit_breaker::ErrorClassifier). The `Retry-After` of a failure is passed to the
/// circuit. If a failure opens the circuit, its error has the open time as its delay. Without a breaker, every request is passed
/// on.
///
/// # Order
///
/// Right: inside the retries, outside the attempt timeout.
///
/// ```
/// # use std::time::Duration;
/// # use networking_http::{MemoryHttpClient, layer::{AttemptTimeoutClient, CircuitBreakerClient, RetryClient}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let timed = AttemptTimeoutClient::new(transport, Some(Duration::from_secs(5)));
/// let client = RetryClient::new(CircuitBreakerClient::new(timed), RetryPolicy::default())?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside the attempt timeout. An attempt that times out would be recorded as cancelled, not as failed, and the circuit
/// would stay closed.
pub struct CircuitBreakerClient<C> {
    inner: C,
    guard: ArcSwapOption<Guard>,
    clock: Arc<dyn Clock>,
    counters: Option<Arc<HttpCounters>>,
}

inner_access!(
    CircuitBreakerClient,
    "The configured breaker is dropped with the wrapper. Its circuits keep their states."
);

impl<C> CircuitBreakerClient<C> {
    /// A wrapper without a breaker. Use `configure_circuit_breaker` to set one.
    pub fn new(inner: C) -> Self {
        Self {
            inner,
            guard: ArcSwapOption::empty(),
            clock: Arc::new(TokioClock::new()),
            counters: None,
        }
    }

    /// Sets the clock that dates in `Retry-After` are compared with.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Counts rejections into `counters`.
    pub fn with_counters(mut self, counters: Arc<HttpCounters>) -> Self {
        self.counters = Some(counters);
        self
    }

    fn circuit(&self, request: &mut HttpRequest) -> Result<Option<Arc<dyn Circuit>>> {
        let named = request.options.circuit.take();
        let guard = self.guard.load();
        match (&*guard, named) {
            (Some(guard), named) => guard.circuit(named.as_deref(), request).map(Some),
            (None, Some(_)) => Err(NetworkError::invalid_input(
                "circuit",
                "the client has no circuit breaker",
            )),
            (None, None) => Ok(None),
        }
    }

    fn rejected(&self, rejection: CircuitRejection) -> NetworkError {
        if let Some(counters) = &self.counters {
            counters.circuit_rejections.fetch_add(1, Relaxed);
        }
        rejection.into()
    }
}

impl<C: HttpClient> Wrapper for CircuitBreakerClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let Some(circuit) = self.circuit(&mut request)? else {
            return next.send(request).await;
        };
        let permit = circuit.try_acquire().map_err(|rejection| self.rejected(rejection))?;
        let result = next.send(request).await;
        let record = match &result {
            Ok(response) => {
                let record = CallRecord::new(outcome(response.status));
                match retry_after(&response.headers, &*self.clock) {
                    Some(delay) if record.outcome == Some(CallOutcome::Failure) => record.with_retry_after(delay),
                    _ => record,
                }
            }
            Err(error) => {
                let record = CallRecord::new(circuit.config().classifier.classify(error));
                error
                    .retryability()
                    .delay()
                    .map_or(record, |delay| record.with_retry_after(delay))
            }
        };
        permit.record(record);
        if record.outcome == Some(CallOutcome::Failure) {
            return with_open_time(result, &*circuit);
        }
        result
    }
}

/// Adds the open time of the circuit to the outcome of a failed attempt, so that no wrapper retries it while the circuit is open.
fn with_open_time(mut result: Result<Box<HttpResponse>>, circuit: &dyn Circuit) -> Result<Box<HttpResponse>> {
    if circuit.state() != CircuitState::Open {
        return result;
    }
    let Some(open) = circuit.metrics().retry_after else {
        return result;
    };
    match &mut result {
        Ok(response) => {
            response.extensions.insert(OpenCircuit(open));
            result
        }
        Err(error) if error.retryability().is_retryable() => {
            let asked = error.retryability().delay().unwrap_or_default();
            result.map_err(|error| {
                error
                    .with_retryability(Retryability::After(asked.max(open)))
                    .with_context(context::CIRCUIT, circuit.name())
            })
        }
        Err(_) => result,
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for CircuitBreakerClient<C> {
    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.circuit_breaker = true;
        capabilities
    }

    fn configure_circuit_breaker(&self, breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Result<()> {
        self.guard.store(Some(Arc::new(Guard::new(breaker, options)?)));
        Ok(())
    }

    pass_on!(request, client_metrics, configure_retry_policy);
}

fn outcome(status: StatusCode) -> CallOutcome {
    if status::is_failure(status) {
        CallOutcome::Failure
    } else {
        CallOutcome::Success
    }
}

/// A breaker in use, and the handles of its circuits.
struct Guard {
    breaker: Arc<dyn CircuitBreaker>,
    options: HttpCircuitOptions,
    handles: RwLock<HashMap<Box<str>, Arc<dyn Circuit>>>,
}

impl Guard {
    fn new(breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Result<Self> {
        options.validate()?;
        Ok(Self {
            breaker,
            options,
            handles: RwLock::default(),
        })
    }

    fn circuit(&self, named: Option<&str>, request: &HttpRequest) -> Result<Arc<dyn Circuit>> {
        if let Some(name) = named {
            return self.handle(name);
        }
        match &self.options.scope {
            CircuitScope::Named(name) => self.handle(name),
            CircuitScope::Host => self.host(request.target.url()?),
            _ => Err(NetworkError::new(
                ErrorKind::Unsupported,
                "http.request",
                "this client does not support the circuit scope",
            )),
        }
    }

    fn host(&self, url: &Url) -> Result<Arc<dyn Circuit>> {
        self.handle(&origin_name(url))
    }

    fn handle(&self, name: &str) -> Result<Arc<dyn Circuit>> {
        if let Some(circuit) = self.handles.read().get(name) {
            return Ok(Arc::clone(circuit));
        }
        let circuit = match self.breaker.circuit(name) {
            Err(error) if error.kind() == ErrorKind::Exhausted => {
                // The breaker cannot evict circuits that have handles: drop the cached ones and try again.
                self.handles.write().clear();
                self.breaker.circuit(name)
            }
            circuit => circuit,
        };
        let circuit = circuit.in_field("circuit")?;
        let mut handles = self.handles.write();
        if handles.len() >= MAX_HANDLES {
            handles.clear();
        }
        handles.insert(name.into(), Arc::clone(&circuit));
        Ok(circuit)
    }
}

impl<C: fmt::Debug> fmt::Debug for CircuitBreakerClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let guard = self.guard.load();
        f.debug_struct("CircuitBreakerClient")
            .field("inner", &self.inner)
            .field("options", &guard.as_ref().map(|guard| &guard.options))
            .finish_non_exhaustive()
    }
}
