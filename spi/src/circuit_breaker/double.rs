//! Test doubles of a circuit and of a circuit breaker.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;

use super::{
    BoxedOperation, CallOutcome, CallRecord, Circuit, CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig,
    CircuitEvent, CircuitExt, CircuitMetrics, CircuitMode, CircuitRejection, CircuitState, Deadline, OperationOutput,
    Permit, PermitToken,
};
use crate::error::{NetworkError, Result};
use crate::validate::{self, Validate};

/// A circuit that admits every call, and keeps how the calls ended.
///
/// It is the double for code that takes an `Arc<dyn Circuit>` and whose test is not about rejections. For those, give the
/// decisions with [`ScriptedCircuit::new`].
///
/// No time passes in a double: the limit of [`call_with_timeout`](CircuitExt::call_with_timeout) and a configured `call_timeout`
/// have no effect, because the contracts have no timer. A test of time limits uses a breaker with tokio's paused clock.
///
/// ```
/// use std::sync::Arc;
/// use networking_spi::circuit_breaker::always_closed;
/// use networking_spi::prelude::*;
///
/// // The code under test.
/// async fn charge(circuit: Arc<dyn Circuit>) -> Result<u32, NetworkError> {
///     circuit.call(|| async { Ok(42) }).await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), NetworkError> {
/// let circuit = always_closed();
/// assert_eq!(charge(circuit.clone()).await?, 42);
/// assert_eq!(circuit.outcomes(), [CallOutcome::Success]);
/// # Ok(())
/// # }
/// ```
pub fn always_closed() -> Arc<ScriptedCircuit> {
    Arc::new(ScriptedCircuit::new("always_closed", []))
}

/// What a [`ScriptedCircuit`] does with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CircuitDecision {
    /// Admits the call. The circuit is closed.
    Admit,
    /// Admits the call as a probe. The circuit is half-open.
    Probe,
    /// Rejects the call as an open circuit does. `retry_after` is the remaining open time; `None`, as if the circuit were
    /// forced open.
    Open {
        /// The remaining open time.
        retry_after: Option<Duration>,
    },
    /// Rejects the call as a half-open circuit does whose probe slots are taken.
    ProbesTaken,
}

impl CircuitDecision {
    /// Rejects the call as a circuit does that is open for another `retry_after`.
    pub const fn open_for(retry_after: Duration) -> Self {
        Self::Open {
            retry_after: Some(retry_after),
        }
    }

    /// Rejects the call as a circuit does that is forced open.
    pub const fn forced_open() -> Self {
        Self::Open { retry_after: None }
    }

    /// The state of a circuit that decides this way.
    pub const fn state(self) -> CircuitState {
        match self {
            Self::Admit => CircuitState::Closed,
            Self::Probe | Self::ProbesTaken => CircuitState::HalfOpen,
            Self::Open { .. } => CircuitState::Open,
        }
    }

    const fn retry_after(self) -> Option<Duration> {
        match self {
            Self::Open { retry_after } => retry_after,
            _ => None,
        }
    }

    const fn admits(self) -> bool {
        matches!(self, Self::Admit | Self::Probe)
    }
}

/// A circuit for tests that decides by a script, and keeps how the calls ended.
///
/// Each call takes the next decision. When the script has ended, every call is admitted, or decided as
/// [`then`](Self::then) says. [`state`](Circuit::state) is that of the next decision. Outcomes have no effect on the
/// decisions, and no time passes: neither a `call_timeout` nor the limit of
/// [`call_with_timeout`](CircuitExt::call_with_timeout) has an effect.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use networking_spi::circuit_breaker::{CircuitDecision, ScriptedCircuit};
/// use networking_spi::prelude::*;
///
/// // The code under test: takes the price from a cache while the circuit is open.
/// async fn price(circuit: Arc<dyn Circuit>) -> Result<u32, NetworkError> {
///     circuit
///         .call_with_fallback(|| async { Ok(42) }, |_rejected| async { Ok(40) })
///         .await
/// }
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), NetworkError> {
/// let circuit = Arc::new(ScriptedCircuit::new(
///     "prices",
///     [CircuitDecision::open_for(Duration::from_secs(5)), CircuitDecision::Admit],
/// ));
/// assert_eq!(circuit.state(), CircuitState::Open);
/// assert_eq!(price(circuit.clone()).await?, 40);
/// assert_eq!(price(circuit.clone()).await?, 42);
/// assert_eq!((circuit.rejections(), circuit.outcomes()), (1, vec![CallOutcome::Success]));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct ScriptedCircuit {
    name: Arc<str>,
    script: Mutex<Script>,
}

#[derive(Debug)]
struct Script {
    decisions: VecDeque<CircuitDecision>,
    then: CircuitDecision,
    config: Arc<CircuitBreakerConfig>,
    admitted: u64,
    rejected: u64,
    records: Vec<CallRecord>,
}

impl ScriptedCircuit {
    /// A circuit that decides the next calls in this way, and admits all calls after them.
    pub fn new(name: &str, decisions: impl IntoIterator<Item = CircuitDecision>) -> Self {
        Self {
            name: name.into(),
            script: Mutex::new(Script {
                decisions: decisions.into_iter().collect(),
                then: CircuitDecision::Admit,
                config: Arc::default(),
                admitted: 0,
                rejected: 0,
                records: Vec::new(),
            }),
        }
    }

    /// Sets the decision on all calls after the script.
    #[must_use]
    pub fn then(self, decision: CircuitDecision) -> Self {
        self.script().then = decision;
        self
    }

    /// Sets the configuration that the circuit shows. Its classifier and cancellation policy apply.
    #[must_use]
    pub fn with_config(self, config: CircuitBreakerConfig) -> Self {
        self.script().config = Arc::new(config);
        self
    }

    /// Adds a decision to the end of the script.
    pub fn push(&self, decision: CircuitDecision) {
        self.script().decisions.push_back(decision);
    }

    /// How the calls ended, in this order: outcome, requested delay, and whether a panic ended them.
    pub fn records(&self) -> Vec<CallRecord> {
        self.script().records.clone()
    }

    /// What the calls that have ended count as, in this order. Panics are failures, and the configured
    /// [`CancelPolicy`](super::CancelPolicy) decides about permits that were dropped.
    pub fn outcomes(&self) -> Vec<CallOutcome> {
        let script = self.script();
        script.records.iter().map(|record| script.outcome(record)).collect()
    }

    /// The number of admitted calls that have not ended.
    pub fn in_flight(&self) -> usize {
        let script = self.script();
        usize::try_from(script.in_flight()).unwrap_or(usize::MAX)
    }

    /// The number of rejected calls.
    pub fn rejections(&self) -> usize {
        usize::try_from(self.script().rejected).unwrap_or(usize::MAX)
    }

    fn script(&self) -> MutexGuard<'_, Script> {
        // The values behind the lock are valid after any panic.
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Script {
    fn next(&self) -> CircuitDecision {
        self.decisions.front().copied().unwrap_or(self.then)
    }

    fn in_flight(&self) -> u64 {
        self.admitted.saturating_sub(self.records.len() as u64)
    }

    fn outcome(&self, record: &CallRecord) -> CallOutcome {
        record.outcome_by(self.config.on_cancel)
    }
}

#[deny(clippy::missing_trait_methods)]
impl Circuit for ScriptedCircuit {
    fn name(&self) -> &str {
        &self.name
    }

    fn try_acquire(&self) -> Result<Permit<'_>, CircuitRejection> {
        let mut script = self.script();
        let decision = script.next();
        script.decisions.pop_front();
        if decision.admits() {
            script.admitted += 1;
            return Ok(Permit::new(self, PermitToken::new(script.admitted)));
        }
        script.rejected += 1;
        Err(CircuitRejection::new(
            Arc::clone(&self.name),
            decision.state(),
            decision.retry_after(),
        ))
    }

    fn state(&self) -> CircuitState {
        self.script().next().state()
    }

    fn metrics(&self) -> CircuitMetrics {
        let script = self.script();
        let number = |wanted| {
            let is_wanted = |record: &&CallRecord| script.outcome(record) == wanted;
            script.records.iter().filter(is_wanted).count() as u64
        };
        CircuitMetrics {
            state: script.next().state(),
            mode: script.config.mode,
            successes: number(CallOutcome::Success),
            failures: number(CallOutcome::Failure),
            ignored: number(CallOutcome::Ignored),
            rejected: script.rejected,
            in_flight: script.in_flight(),
            retry_after: script.next().retry_after(),
            ..CircuitMetrics::default()
        }
    }

    fn config(&self) -> Arc<CircuitBreakerConfig> {
        Arc::clone(&self.script().config)
    }

    fn deadline(&self, _limit: Option<Duration>) -> Option<Deadline> {
        None
    }

    fn complete(&self, _token: PermitToken, record: CallRecord) {
        self.script().records.push(record);
    }
}

/// A circuit breaker for tests, for code that takes an `Arc<dyn CircuitBreaker>`. Its circuits are [`ScriptedCircuit`]s.
///
/// A circuit that was not added is created on first use and admits every call. Overrides and resets are decisions about all
/// further calls. Every configuration is accepted, and shown by its circuit. There are no timeouts and no events.
///
/// ```
/// use std::sync::Arc;
/// use networking_spi::circuit_breaker::{CircuitDecision, ScriptedCircuit, ScriptedCircuitBreaker};
/// use networking_spi::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), NetworkError> {
/// let payments = ScriptedCircuit::new("payments", []).then(CircuitDecision::forced_open());
/// let double = Arc::new(ScriptedCircuitBreaker::new([payments]));
/// let breaker: Arc<dyn CircuitBreaker> = double.clone(); // what the code under test takes
///
/// let rejected: Result<(), _> = breaker.call("payments", || async { Ok(()) }).await;
/// assert_eq!(rejected.unwrap_err().kind(), ErrorKind::CircuitOpen);
/// breaker.call("search", || async { Ok(()) }).await?;
/// assert_eq!(double.scripted("search").outcomes(), [CallOutcome::Success]);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Default)]
pub struct ScriptedCircuitBreaker {
    circuits: Mutex<BTreeMap<String, Arc<ScriptedCircuit>>>,
}

impl ScriptedCircuitBreaker {
    /// A breaker with these circuits.
    pub fn new(circuits: impl IntoIterator<Item = ScriptedCircuit>) -> Self {
        let circuits = circuits
            .into_iter()
            .map(|circuit| (circuit.name.to_string(), Arc::new(circuit)))
            .collect();
        Self {
            circuits: Mutex::new(circuits),
        }
    }

    /// The circuit with this name, with its records. Creates a circuit that admits every call if there is none.
    pub fn scripted(&self, name: &str) -> Arc<ScriptedCircuit> {
        let mut circuits = self.circuits();
        if let Some(circuit) = circuits.get(name) {
            return Arc::clone(circuit);
        }
        let circuit = Arc::new(ScriptedCircuit::new(name, []));
        circuits.insert(name.to_owned(), Arc::clone(&circuit));
        circuit
    }

    fn existing(&self, operation: &'static str, name: &str) -> Result<Arc<ScriptedCircuit>> {
        let found = self.circuits().get(name).cloned();
        found.ok_or_else(|| NetworkError::not_found(operation, "circuit", name))
    }

    fn circuits(&self) -> MutexGuard<'_, BTreeMap<String, Arc<ScriptedCircuit>>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// All further calls of a circuit are decided in this way.
    fn order(&self, operation: &'static str, name: &str, decision: CircuitDecision, mode: CircuitMode) -> Result<()> {
        let circuit = self.existing(operation, name)?;
        let mut script = circuit.script();
        script.decisions.clear();
        script.then = decision;
        let config = (*script.config).clone().with_mode(mode);
        script.config = Arc::new(config);
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CircuitBreaker for ScriptedCircuitBreaker {
    async fn execute_with_circuit_breaker(
        &self,
        operation: BoxedOperation,
        circuit: &str,
        _timeout: Option<Duration>,
    ) -> Result<OperationOutput> {
        self.circuit(circuit)?.call(operation).await
    }

    fn circuit(&self, name: &str) -> Result<Arc<dyn Circuit>> {
        validate::name(name, super::MAX_CIRCUIT_NAME, "circuit")?;
        Ok(self.scripted(name))
    }

    fn circuit_state(&self, name: &str) -> Result<CircuitState> {
        Ok(self.existing("circuit_breaker.state", name)?.state())
    }

    fn configure_circuit_breaker(&self, name: &str, config: CircuitBreakerConfig) -> Result<()> {
        config.validate()?;
        self.circuit(name)?;
        self.scripted(name).script().config = Arc::new(config);
        Ok(())
    }

    fn reset_circuit_breaker(&self, name: &str) -> Result<()> {
        self.order(
            "circuit_breaker.reset",
            name,
            CircuitDecision::Admit,
            CircuitMode::Automatic,
        )
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

    fn force_circuit_open(&self, name: &str) -> Result<()> {
        self.order(
            "circuit_breaker.force_open",
            name,
            CircuitDecision::forced_open(),
            CircuitMode::ForcedOpen,
        )
    }

    fn force_circuit_closed(&self, name: &str) -> Result<()> {
        self.order(
            "circuit_breaker.force_closed",
            name,
            CircuitDecision::Admit,
            CircuitMode::ForcedClosed,
        )
    }

    fn subscribe(&self) -> Result<BoxStream<'static, CircuitEvent>> {
        Err(NetworkError::unsupported("circuit_breaker.subscribe", "events"))
    }

    /// All but events: every configuration is accepted, and shown by the circuit.
    fn capabilities(&self) -> CircuitBreakerCapabilities {
        CircuitBreakerCapabilities {
            events: false,
            ..CircuitBreakerCapabilities::all()
        }
    }
}
