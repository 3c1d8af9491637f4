//! A second implementation of the contract: slow, and simple enough to be seen to be right.
//!
//! [`ModelBreaker`] is the oracle of property tests. With a [`Defect`] it is the proof that the cases can fail: each defect is
//! found by exactly the cases that it should be found by. It is no breaker for programs: it takes a lock per call and keeps a
//! record of each call in its window. Events of two threads at once may swap places.

mod circuit;
mod defect;
mod state;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use futures_core::stream::BoxStream;
use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};
use networking_spi::circuit_breaker::{
    BoxedOperation, CallOutcome, CallRecord, Circuit, CircuitBreaker, CircuitBreakerCapabilities, CircuitBreakerConfig,
    CircuitEvent, CircuitEventKind, CircuitMetrics, CircuitMode, CircuitState, MAX_CIRCUIT_NAME, OperationOutput,
    OwnedPermit, TripPolicy, default_classifier,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;

use self::circuit::ModelCircuit;
pub use self::defect::Defect;

/// A circuit breaker on tokio's clock. See the [module](self).
#[derive(Debug)]
pub struct ModelBreaker {
    config: CircuitBreakerConfig,
    max_circuits: usize,
    circuits: Mutex<BTreeMap<String, Arc<ModelCircuit>>>,
    hub: Hub,
}

/// What circuits share with their breaker.
#[derive(Debug, Clone)]
struct Hub {
    events: broadcast::Sender<CircuitEvent>,
    origin: Instant,
    defect: Option<Defect>,
}

impl Hub {
    fn has(&self, defect: Defect) -> bool {
        self.defect == Some(defect)
    }
}

impl ModelBreaker {
    /// A breaker whose circuits have `config`, with room for 1000 circuits and 64 events.
    pub fn new(config: CircuitBreakerConfig) -> Self {
        let hub = Hub {
            events: broadcast::Sender::new(64),
            origin: Instant::now(),
            defect: None,
        };
        Self {
            config,
            max_circuits: 1_000,
            circuits: Mutex::default(),
            hub,
        }
    }

    /// Sets the most circuits at once.
    #[must_use]
    pub fn with_max_circuits(mut self, circuits: usize) -> Self {
        self.max_circuits = circuits;
        self
    }

    /// Makes one mistake from now on.
    #[must_use]
    pub fn with_defect(mut self, defect: Defect) -> Self {
        self.hub.defect = Some(defect);
        self
    }

    fn has(&self, defect: Defect) -> bool {
        self.hub.has(defect)
    }

    fn circuits(&self) -> MutexGuard<'_, BTreeMap<String, Arc<ModelCircuit>>> {
        self.circuits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn existing(&self, name: &str) -> Result<Arc<ModelCircuit>> {
        if self.has(Defect::LookingMakesCircuits) {
            return self.get_or_make(name);
        }
        let found = self.circuits().get(name).cloned();
        found.ok_or_else(|| NetworkError::not_found("model_breaker", "circuit", name))
    }

    fn get_or_make(&self, name: &str) -> Result<Arc<ModelCircuit>> {
        if !self.has(Defect::AcceptsAnyName) {
            validate::name(name, MAX_CIRCUIT_NAME, "circuit")?;
        }
        let mut circuits = self.circuits();
        if self.has(Defect::NamesCollide)
            && let Some(first) = circuits.values().next()
        {
            return Ok(Arc::clone(first));
        }
        if let Some(circuit) = circuits.get(name) {
            return Ok(Arc::clone(circuit));
        }
        if circuits.len() >= self.max_circuits && !self.has(Defect::UnboundedRegistry) {
            self.make_room(&mut circuits)?;
        }
        let circuit = Arc::new(ModelCircuit::new(name, self.config.clone(), self.hub.clone()));
        circuits.insert(name.to_owned(), Arc::clone(&circuit));
        Ok(circuit)
    }

    fn make_room(&self, circuits: &mut BTreeMap<String, Arc<ModelCircuit>>) -> Result<()> {
        let evictable = circuits
            .iter()
            .find(|(_, circuit)| {
                self.has(Defect::EvictsAnything) || Arc::strong_count(circuit) == 1 && circuit.is_evictable()
            })
            .map(|(name, _)| name.clone());
        match evictable {
            Some(name) if !self.has(Defect::NeverMakesRoom) => {
                circuits.remove(&name);
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
        if self.has(Defect::RefusesWhatItDeclares) && matches!(config.trip, TripPolicy::TimeWindow { .. }) {
            return Err(NetworkError::unsupported("model_breaker", "time_window"));
        }
        if self.has(Defect::AcceptsInvalidConfigurations) {
            Ok(())
        } else {
            config.validate()
        }
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
        let circuit = self.get_or_make(circuit)?;
        let deadline = circuit.deadline(timeout);
        let handle: Arc<dyn Circuit> = circuit;
        let mut operation = Some(operation);
        let built = if self.has(Defect::BuildsBeforeAsking) {
            operation.take().map(|build| build())
        } else {
            None
        };
        let permit = OwnedPermit::acquire(&handle).map_err(|rejection| {
            if self.has(Defect::MuteErrors) {
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
        let classifier = if self.has(Defect::OwnClassifierOnly) {
            default_classifier()
        } else {
            Arc::clone(&config.classifier)
        };
        let result = match deadline {
            None => running.await,
            Some(deadline) => {
                let limit = deadline.limit();
                match select(running, deadline).await {
                    Either::Left((result, _)) => result,
                    Either::Right(_) => {
                        let error = NetworkError::timeout("model_breaker", Phase::Total, limit);
                        if self.has(Defect::TimeoutsAreCancellations) {
                            drop(permit);
                        } else if self.has(Defect::TimeoutsAreClassified) {
                            permit.record(classifier.classify(&error));
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
            Err(_) if self.has(Defect::ExecutedFailuresAreLost) => CallRecord::new(CallOutcome::Ignored),
            Err(error) => {
                let record = CallRecord::new(classifier.classify(error));
                match error.retryability().delay() {
                    Some(delay) if !self.has(Defect::ErrorsLoseTheirRetryAfter) => record.with_retry_after(delay),
                    _ => record,
                }
            }
        };
        permit.record(record);
        if is_new && self.has(Defect::FirstCallIsLost) {
            self.reset_circuit_breaker(handle.name())?;
        }
        if self.has(Defect::RenamesErrors) {
            return result.map_err(|error| error.with_operation("model_breaker"));
        }
        result
    }

    fn circuit(&self, name: &str) -> Result<Arc<dyn Circuit>> {
        let exists = self.circuits().contains_key(name);
        let circuit = self.get_or_make(name)?;
        if exists && self.has(Defect::HandlesAreCopies) {
            return Ok(Arc::new(ModelCircuit::new(name, self.config.clone(), self.hub.clone())));
        }
        Ok(circuit)
    }

    fn circuit_state(&self, name: &str) -> Result<CircuitState> {
        Ok(self.existing(name)?.state())
    }

    fn configure_circuit_breaker(&self, name: &str, config: CircuitBreakerConfig) -> Result<()> {
        self.check(&config)?;
        if self.has(Defect::ConfiguresOnlyKnownCircuits) && validate::name(name, MAX_CIRCUIT_NAME, "circuit").is_ok() {
            self.existing(name)?.configure(config);
        } else {
            self.get_or_make(name)?.configure(config);
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
        let outdated = self.has(Defect::ListsOutdatedStates);
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
        if self.has(Defect::ListsOnlyClosedCircuits) {
            states.retain(|_, state| *state == CircuitState::Closed);
        }
        states
    }

    fn force_circuit_open(&self, name: &str) -> Result<()> {
        self.existing(name)?.force(CircuitMode::ForcedOpen);
        Ok(())
    }

    fn force_circuit_closed(&self, name: &str) -> Result<()> {
        self.existing(name)?.force(CircuitMode::ForcedClosed);
        Ok(())
    }

    fn subscribe(&self) -> Result<BoxStream<'static, CircuitEvent>> {
        if self.has(Defect::OneSubscriber) && self.hub.events.receiver_count() > 0 {
            return Ok(stream::pending().boxed());
        }
        let silent = self.has(Defect::LosesEventsSilently);
        let events = stream::unfold(self.hub.events.subscribe(), move |mut receiver| async move {
            loop {
                match receiver.recv().await {
                    Ok(event) => return Some((event, receiver)),
                    Err(RecvError::Lagged(_)) if silent => {}
                    Err(RecvError::Lagged(missed)) => {
                        let kind = CircuitEventKind::Lagged { missed };
                        return Some((
                            CircuitEvent::new("".into(), std::time::SystemTime::UNIX_EPOCH, kind),
                            receiver,
                        ));
                    }
                    Err(RecvError::Closed) => return None,
                }
            }
        });
        if self.has(Defect::StreamsEndEarly) {
            return Ok(events.take(2).boxed());
        }
        Ok(events.boxed())
    }

    fn capabilities(&self) -> CircuitBreakerCapabilities {
        let mut capabilities = CircuitBreakerCapabilities::all();
        capabilities.time_window = !self.has(Defect::AcceptsWhatItDoesNotDeclare);
        capabilities
    }
}
