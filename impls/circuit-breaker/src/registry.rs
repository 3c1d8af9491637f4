//! Circuits by name: bounded, made on first use, looked up without a lock.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;

use networking_spi::circuit_breaker::{
    CircuitBreakerConfig, CircuitEvent, CircuitEventKind, CircuitState, MAX_CIRCUIT_NAME,
};
use networking_spi::clock::Clock;
use networking_spi::{ErrorKind, NetworkError, Result, validate};
use parking_lot::Mutex;

use super::circuit::SlidingWindowCircuit;
use super::events::EventHub;

pub(super) struct Registry {
    circuits: papaya::HashMap<Arc<str>, Arc<SlidingWindowCircuit>, ahash::RandomState>,
    /// Held while circuits are made and evicted.
    keeper: Mutex<Keeper>,
    max_circuits: usize,
    default_config: Arc<CircuitBreakerConfig>,
    clock: Arc<dyn Clock>,
    hub: Arc<EventHub>,
}

struct Keeper {
    /// Every circuit once, in the order in which eviction looks at them.
    candidates: VecDeque<Candidate>,
    next_serial: u64,
    rng: fastrand::Rng,
}

struct Candidate {
    name: Arc<str>,
    /// The calls it had admitted when eviction last looked at it.
    admitted: u64,
}

impl Registry {
    pub(super) fn new(
        max_circuits: usize,
        default_config: Arc<CircuitBreakerConfig>,
        clock: Arc<dyn Clock>,
        hub: Arc<EventHub>,
        rng: fastrand::Rng,
    ) -> Self {
        Self {
            circuits: papaya::HashMap::with_hasher(ahash::RandomState::new()),
            keeper: Mutex::new(Keeper {
                candidates: VecDeque::new(),
                next_serial: 0,
                rng,
            }),
            max_circuits,
            default_config,
            clock,
            hub,
        }
    }

    /// Runs `look` on a circuit that exists, without touching its reference count.
    #[inline]
    pub(super) fn look_up<T>(&self, name: &str, look: impl FnOnce(&Arc<SlidingWindowCircuit>) -> T) -> Option<T> {
        self.circuits.pin().get(name).map(look)
    }

    /// The circuit, made if it does not exist.
    pub(super) fn get_or_make(&self, name: &str) -> Result<Arc<SlidingWindowCircuit>> {
        if let Some(circuit) = self.look_up(name, Arc::clone)
            && !circuit.is_evicted()
        {
            return Ok(circuit);
        }
        validate::name(name, MAX_CIRCUIT_NAME, "circuit")?;
        let mut keeper = self.keeper.lock();
        // Under the lock no eviction is under way: what is in the map stays there.
        if let Some(circuit) = self.look_up(name, Arc::clone) {
            return Ok(circuit);
        }
        let evicted = if keeper.candidates.len() < self.max_circuits {
            None
        } else {
            Some(self.evict_one(&mut keeper)?)
        };
        let circuit = self.make(name, &mut keeper);
        drop(keeper);
        if let Some(name) = evicted
            && self.hub.observed()
        {
            self.hub
                .publish(CircuitEvent::new(name, self.clock.now(), CircuitEventKind::Evicted));
        }
        Ok(circuit)
    }

    /// Every circuit with its state, as of one moment: none is made or evicted meanwhile.
    pub(super) fn states(&self) -> BTreeMap<String, CircuitState> {
        let _keeper = self.keeper.lock();
        self.circuits
            .pin()
            .iter()
            .map(|(name, circuit)| (name.to_string(), circuit.apparent_state()))
            .collect()
    }

    fn make(&self, name: &str, keeper: &mut Keeper) -> Arc<SlidingWindowCircuit> {
        let name: Arc<str> = name.into();
        keeper.next_serial += 1;
        let circuit = Arc::new(SlidingWindowCircuit::new(
            Arc::clone(&name),
            keeper.next_serial,
            Arc::clone(&self.default_config),
            Arc::clone(&self.clock),
            Arc::clone(&self.hub),
            keeper.rng.fork(),
        ));
        self.circuits.pin().insert(Arc::clone(&name), Arc::clone(&circuit));
        keeper.candidates.push_back(Candidate { name, admitted: 0 });
        circuit
    }

    /// Makes room for one circuit: the first evictable one that nobody has used since the last turn, or else the first
    /// evictable one.
    fn evict_one(&self, keeper: &mut Keeper) -> Result<Arc<str>> {
        for _ in 0..keeper.candidates.len() {
            let Some(Candidate { name, admitted: before }) = keeper.candidates.pop_front() else {
                break;
            };
            let admitted = self.look_up(&name, |circuit| circuit.admitted()).unwrap_or_default();
            if admitted == before && self.evict(&name) {
                return Ok(name);
            }
            keeper.candidates.push_back(Candidate { name, admitted });
        }
        let position = keeper
            .candidates
            .iter()
            .position(|candidate| self.evict(&candidate.name));
        let evicted = position.and_then(|position| keeper.candidates.remove(position));
        evicted.map(|candidate| candidate.name).ok_or_else(|| {
            NetworkError::new(
                ErrorKind::Exhausted,
                "circuit_breaker.circuit",
                format!("all {} circuits are in use or not healthy", self.max_circuits),
            )
        })
    }

    fn evict(&self, name: &str) -> bool {
        let evicted = self.look_up(name, SlidingWindowCircuit::try_evict).unwrap_or(false);
        if evicted {
            self.circuits.pin().remove(name);
        }
        evicted
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry")
            .field("circuits", &self.circuits.len())
            .field("max_circuits", &self.max_circuits)
            .finish_non_exhaustive()
    }
}
