//! A second implementation of the circuit breaker's contract, simple enough to check by reading.
//!
//! [`ModelBreaker`] is the reference that property tests compare with. With a [`Saboteur`] it makes one mistake, which
//! the suite must catch in exactly the cases that [`Saboteur::caught_by`] names. It is not for production: each call
//! takes a lock, each call in the window is recorded, and events of two threads that act at the same time may be
//! published in either order.

mod circuit;
mod saboteur;
mod state;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use networking_spi::circuit_breaker::{
    BoxedOperation, CallOutcome, CallRecord, Circuit, CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig,
    CircuitEvent, CircuitEventKind, CircuitMetrics, CircuitMode, CircuitState, MAX_CIRCUIT_NAME, OperationOutput,
    OwnedPermit, TripPolicy, default_classifier,
};
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use self::circuit::ModelCircuit;
pub use self::saboteur::Saboteur;

/// A circuit breaker on tokio's clock. See the [module documentation](self).
#[derive(Debug)]
pub struct ModelBreaker {
    config: CircuitBreakerConfig,
    max_circuits: usize,
    circuits: Mutex<BTreeMap<String, Arc<ModelCircuit>>>,
    hub: Hub,
}

/// The state that every circuit shares with its breaker.
#[derive(Debug, Clone)]
struct Hub {
    events: broadcast::Sender<CircuitEvent>,
    origin: Instant,
    /// The wall clock's time at `origin`.
    started_at: SystemTime,
    declared: CircuitBreakerCapabilities,
    saboteur: Option<Saboteur>,
}

impl Hub {
    fn is(&self, saboteur: Saboteur) -> bool {
        self.saboteur == Some(saboteur)
    }

    /// The wall clock's time when `now` has passed since the breaker was made.
    fn wall_clock(&self, now: Duration) -> SystemTime {
        if self.is(Saboteur::TimesFromTheEpoch) {
            SystemTime::UNIX_EPOCH + now
        } else {
            self.started_at + now
        }
    }
}

impl ModelBreaker {
    /// A breaker whose circuits have `config`. It keeps at most 1000 circuits, and 64 events per subscriber.
    pub fn new(config: CircuitBreakerConfig) -> Self {
        let hub = Hub {
            events: broadcast::Sender::new(64),
            origin: Instant::now(),
            started_at: SystemClock::new().now(),
            declared: CircuitBreakerCapabilities::all(),
            saboteur: None,
        };
        Self {
            config,
            max_circuits: 1_000,
            circuits: Mutex::default(),
            hub,
        }
    }

    /// Sets the maximum number of circuits.
    #[must_use]
    pub fn with_max_circuits(mut self, circuits: usize) -> Self {
        self.max_circuits = circuits;
        self
    }

    /// Sets the time of the wall clock at this moment. It is the system's time otherwise.
    #[must_use]
    pub fn starting_at(mut self, time: SystemTime) -> Self {
        self.hub.origin = Instant::now();
        self.hub.started_at = time;
        self
    }

    /// Sets what the breaker supports. It refuses everything else.
    #[must_use]
    pub fn with_capabilities(mut self, declared: CircuitBreakerCapabilities) -> Self {
        self.hub.declared = declared;
        self
    }

    /// Makes the mistake of this saboteur from now on.
    #[must_use]
    pub fn with_saboteur(mut self, saboteur: Saboteur) -> Self {
        self.hub.saboteur = Some(saboteur);
        self
    }

    fn is(&self, saboteur: Saboteur) -> bool {
        self.hub.is(saboteur)
    }

    fn circuits(&self) -> MutexGuard<'_, BTreeMap<String, Arc<ModelCircuit>>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn existing(&self, name: &str) -> Result<Arc<ModelCircuit>> {
        if self.is(Saboteur::QueriesCreateCircuits) {
            return self.get_or_create(name);
        }
        let found = self.circuits().get(name).cloned();
        found.ok_or_else(|| NetworkError::not_found("model_breaker", "circuit", name))
    }

    fn get_or_create(&self, name: &str) -> Result<Arc<ModelCircuit>> {
        if !self.is(Saboteur::AcceptsAnyName) {
            validate::name(name, MAX_CIRCUIT_NAME, "circuit")?;
        }
        let mut circuits = self.circuits();
        if self.is(Saboteur::NamesCollide)
            && let Some(first) = circuits.values().next()
        {
            return Ok(Arc::clone(first));
        }
        if let Some(circuit) = circuits.get(name) {
            return Ok(Arc::clone(circuit));
        }
        if circuits.len() >= self.max_circuits && !self.is(Saboteur::UnboundedRegistry) {
            self.evict_one(&mut circuits)?;
        }
        let circuit = Arc::new(ModelCircuit::new(name, self.config.clone(), self.hub.clone()));
        circuits.insert(name.to_owned(), Arc::clone(&circuit));
        Ok(circuit)
    }

    fn evict_one(&self, circuits: &mut BTreeMap<String, Arc<ModelCircuit>>) -> Result<()> {
        let has_handle = |circuit: &Arc<ModelCircuit>| {
            // A call that the breaker runs has a handle.
            let overlooked =
                self.is(Saboteur::EvictsHeldCircuits) || self.is(Saboteur::EvictsBusyCircuits) && circuit.is_busy();
            Arc::strong_count(circuit) > 1 && !overlooked
        };
        let evictable = circuits
            .iter()
            .find(|(_, circuit)| self.is(Saboteur::EvictsAnything) || !has_handle(circuit) && circuit.is_evictable())
            .map(|(name, _)| name.clone());
        match evictable {
            Some(name) if !self.is(Saboteur::NeverEvicts) => {
                circuits.remove(&name);
                if !self.is(Saboteur::EvictionsAreNotReported) {
                    let at = self.hub.wall_clock(self.hub.origin.elapsed());
                    let event = CircuitEvent::new(name.as_str().into(), at, CircuitEventKind::Evicted);
                    let _ = self.hub.events.send(event);
                }
                Ok(())
            }
            _ => Err(NetworkError::new(
                ErrorKind::Exhausted,
                "model_breaker",
                "the registry is full",
            )),
        }
    }

    fn check(&self, config: &CircuitBreakerConfig) -> Result<()> {
        if self.is(Saboteur::RefusesWhatItDeclares) && matches!(config.trip, TripPolicy::TimeWindow { .. }) {
            return Err(NetworkError::unsupported("model_breaker", "time_window"));
        }
        if !self.is(Saboteur::AcceptsInvalidConfigurations) {
            config.validate()?;
        }
        config.require(&self.hub.declared, "model_breaker")
    }

    fn force(&self, name: &str, mode: CircuitMode) -> Result<()> {
        self.hub.declared.require("model_breaker", "overrides")?;
        self.existing(name)?.force(mode);
        Ok(())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl CircuitBreaker for ModelBreaker {
    async fn execute_with_circuit_breaker(
        &self,
        operation: BoxedOperation,
        circuit: &str,
        timeout: Option<Duration>,
    ) -> Result<OperationOutput> {
        let is_new = !self.circuits().contains_key(circuit);
        let circuit = self.get_or_create(circuit)?;
        let deadline = circuit.deadline(timeout);
        let handle: Arc<dyn Circuit> = Arc::clone(&circuit) as _;
        let mut operation = Some(operation);
        let built = if self.is(Saboteur::BuildsBeforeAsking) {
            operation.take().map(|build| build())
        } else {
            None
        };
        let permit = OwnedPermit::acquire(&handle).map_err(|rejection| {
            if self.is(Saboteur::ErrorsNameNothing) {
                NetworkError::new(ErrorKind::CircuitOpen, "model_breaker", "open")
            } else {
                rejection.into()
            }
        })?;
        let Some(running) = built.or_else(|| operation.map(|build| build())) else {
            return Err(NetworkError::new(
                ErrorKind::Internal,
                "model_breaker",
                "there is no operation",
            ));
        };
        let config = handle.config();
        let classifier = if self.is(Saboteur::OwnClassifierOnly) {
            default_classifier()
        } else {
            Arc::clone(&config.classifier)
        };
        let classify = |error: &NetworkError| match error.kind() {
            ErrorKind::DestinationDenied if self.is(Saboteur::DeniedDestinationsAreFailures) => CallOutcome::Failure,
            _ => classifier.classify(error),
        };
        let result = match deadline {
            None => running.await,
            Some(deadline) => {
                let limit = deadline.limit();
                match select(running, deadline).await {
                    Either::Left((result, _)) => result,
                    Either::Right(_) => {
                        let error = NetworkError::timeout("model_breaker", Phase::Total, limit);
                        if self.is(Saboteur::TimeoutsAreCancellations) {
                            drop(permit);
                        } else if self.is(Saboteur::TimeoutsAreClassified) {
                            permit.record(classify(&error));
                        } else {
                            permit.record(CallOutcome::Failure);
                        }
                        return Err(error);
                    }
                }
            }
        };
        let record = match &result {
            Ok(_) => CallRecord::new(CallOutcome::Success),
            Err(_) if self.is(Saboteur::ExecutedFailuresAreLost) => CallRecord::new(CallOutcome::Ignored),
            Err(error) => {
                let record = CallRecord::new(classify(error));
                match error.retryability().delay() {
                    Some(delay) if !self.is(Saboteur::ErrorsLoseTheirRetryAfter) => record.with_retry_after(delay),
                    _ => record,
                }
            }
        };
        circuit.executed.store(true, Ordering::SeqCst);
        permit.record(record);
        circuit.executed.store(false, Ordering::SeqCst);
        if is_new && self.is(Saboteur::FirstCallIsLost) {
            self.reset_circuit_breaker(handle.name())?;
        }
        if self.is(Saboteur::RenamesErrors) {
            return result.map_err(|error| error.with_operation("model_breaker"));
        }
        result
    }

    fn circuit(&self, name: &str) -> Result<Arc<dyn Circuit>> {
        let exists = self.circuits().contains_key(name);
        let circuit = self.get_or_create(name)?;
        if exists && self.is(Saboteur::HandlesAreCopies) {
            return Ok(Arc::new(ModelCircuit::new(name, self.config.clone(), self.hub.clone())));
        }
        Ok(circuit)
    }

    fn circuit_state(&self, name: &str) -> Result<CircuitState> {
        Ok(self.existing(name)?.state())
    }

    fn configure_circuit_breaker(&self, name: &str, config: CircuitBreakerConfig) -> Result<()> {
        self.check(&config)?;
        if self.is(Saboteur::ConfiguresOnlyKnownCircuits) && validate::name(name, MAX_CIRCUIT_NAME, "circuit").is_ok() {
            self.existing(name)?.configure(config);
        } else {
            self.get_or_create(name)?.configure(config);
        }
        Ok(())
    }

    fn reset_circuit_breaker(&self, name: &str) -> Result<()> {
        self.existing(name)?.reset();
        Ok(())
    }

    fn circuit_metrics(&self, name: &str) -> Result<CircuitMetrics> {
        Ok(self.existing(name)?.metrics())
    }

    fn all_circuit_states(&self) -> BTreeMap<String, CircuitState> {
        let outdated = self.is(Saboteur::ListsOutdatedStates);
        let state = |circuit: &ModelCircuit| {
            if outdated {
                circuit.last_state()
            } else {
                circuit.state()
            }
        };
        let mut states: BTreeMap<_, _> = self
            .circuits()
            .iter()
            .map(|(name, circuit)| (name.clone(), state(circuit)))
            .collect();
        if self.is(Saboteur::ListsOnlyClosedCircuits) {
            states.retain(|_, state| *state == CircuitState::Closed);
        }
        states
    }

    fn force_circuit_open(&self, name: &str) -> Result<()> {
        self.force(name, CircuitMode::ForcedOpen)
    }

    fn force_circuit_closed(&self, name: &str) -> Result<()> {
        self.force(name, CircuitMode::ForcedClosed)
    }

    fn subscribe(&self) -> Result<BoxStream<'static, CircuitEvent>> {
        self.hub.declared.require("model_breaker", "events")?;
        if self.is(Saboteur::OneSubscriber) && self.hub.events.receiver_count() > 0 {
            return Ok(stream::pending().boxed());
        }
        let silent = self.is(Saboteur::LosesEventsSilently);
        let events = stream::unfold(self.hub.events.subscribe(), move |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((event, receiver)),
                    Err(RecvError::Lagged(_)) if silent => {}
                    Err(RecvError::Lagged(missed)) => {
                        let kind = CircuitEventKind::Lagged { missed };
                        return Some((CircuitEvent::new("".into(), SystemTime::UNIX_EPOCH, kind), receiver));
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        if self.is(Saboteur::StreamsEndEarly) {
            return Ok(events.take(2).boxed());
        }
        Ok(events.boxed())
    }

    fn capabilities(&self) -> CircuitBreakerCapabilities {
        let mut declared = self.hub.declared;
        declared.time_window &= !self.is(Saboteur::AcceptsWhatItDoesNotDeclare);
        declared.probe_limits &= !self.is(Saboteur::HidesItsProbeLimits);
        declared.probe_leases &= !self.is(Saboteur::HidesItsProbeLeases);
        declared.overrides &= !self.is(Saboteur::HidesItsOverrides);
        declared
    }
}
