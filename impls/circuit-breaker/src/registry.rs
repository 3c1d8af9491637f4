//! The circuits by name: bounded in number, created on first use, looked up without a lock.

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
    /// Locked while circuits are created and evicted.
    lifecycle: Mutex<Lifecycle>,
    max_circuits: usize,
    default_config: Arc<CircuitBreakerConfig>,
    clock: Arc<dyn Clock>,
    hub: Arc<EventHub>,
}

struct Lifecycle {
    /// All circuits, in the order in which eviction considers them.
    candidates: VecDeque<Candidate>,
    next_serial: u64,
    rng: fastrand::Rng,
}

struct Candidate {
    name: Arc<str>,
    /// The number of admitted calls when eviction last considered the circuit.
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
            lifecycle: Mutex::new(Lifecycle {
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

    /// Runs `look` on an existing circuit, without changing its reference count.
    #[inline]
    pub(super) fn look_up<T>(&self, name: &str, look: impl FnOnce(&Arc<SlidingWindowCircuit>) -> T) -> Option<T> {
        self.circuits.pin().get(name).map(look)
    }

    /// The circuit with this name. Creates it if it does not exist.
    pub(super) fn get_or_create(&self, name: &str) -> Result<Arc<SlidingWindowCircuit>> {
        if let Some(circuit) = self.look_up(name, Arc::clone)
            && !circuit.is_evicted()
        {
            return Ok(circuit);
        }
        validate::name(name, MAX_CIRCUIT_NAME, "circuit")?;
        let mut lifecycle = self.lifecycle.lock();
        // No circuit is evicted while the lock is held.
        if let Some(circuit) = self.look_up(name, Arc::clone) {
            return Ok(circuit);
        }
        let evicted = if lifecycle.candidates.len() < self.max_circuits {
            None
        } else {
            Some(self.evict_one(&mut lifecycle)?)
        };
        let circuit = self.create(name, &mut lifecycle);
        drop(lifecycle);
        if let Some(name) = evicted
            && self.hub.has_subscribers()
        {
            self.hub
                .publish(CircuitEvent::new(name, self.clock.now(), CircuitEventKind::Evicted));
        }
        Ok(circuit)
    }

    /// All circuits with their states. No circuit is created or evicted while they are collected.
    pub(super) fn states(&self) -> BTreeMap<String, CircuitState> {
        let _lifecycle = self.lifecycle.lock();
        self.circuits
            .pin()
            .iter()
            .map(|(name, circuit)| (name.to_string(), circuit.effective_state()))
            .collect()
    }

    fn create(&self, name: &str, lifecycle: &mut Lifecycle) -> Arc<SlidingWindowCircuit> {
        let name: Arc<str> = name.into();
        lifecycle.next_serial += 1;
        let circuit = Arc::new(SlidingWindowCircuit::new(
            Arc::clone(&name),
            lifecycle.next_serial,
            Arc::clone(&self.default_config),
            Arc::clone(&self.clock),
            Arc::clone(&self.hub),
            lifecycle.rng.fork(),
        ));
        self.circuits.pin().insert(Arc::clone(&name), Arc::clone(&circuit));
        lifecycle.candidates.push_back(Candidate { name, admitted: 0 });
        circuit
    }

    /// Evicts the first evictable circuit that has not been used since eviction last considered it, or else the first
    /// evictable one.
    fn evict_one(&self, lifecycle: &mut Lifecycle) -> Result<Arc<str>> {
        for _ in 0..lifecycle.candidates.len() {
            let Some(Candidate { name, admitted: before }) = lifecycle.candidates.pop_front() else {
                break;
            };
            let admitted = self.look_up(&name, |circuit| circuit.admitted()).unwrap_or_default();
            if admitted == before && self.evict(&name) {
                return Ok(name);
            }
            lifecycle.candidates.push_back(Candidate { name, admitted });
        }
        let position = lifecycle
            .candidates
            .iter()
            .position(|candidate| self.evict(&candidate.name));
        let evicted = position.and_then(|position| lifecycle.candidates.remove(position));
        evicted.map(|candidate| candidate.name).ok_or_else(|| {
            NetworkError::new(
                ErrorKind::Exhausted,
                "circuit_breaker.circuit",
                format!("none of the {} circuits can be evicted", self.max_circuits),
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

#[cfg(all(test, not(networking_loom)))]
mod tests {
    use networking_spi::circuit_breaker::{CallOutcome, CallRecord};
    use networking_spi::clock::SystemClock;

    use super::*;

    fn registry(max_circuits: usize) -> Registry {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
        Registry::new(
            max_circuits,
            Arc::new(CircuitBreakerConfig::default()),
            Arc::clone(&clock),
            Arc::new(EventHub::new(16, clock)),
            fastrand::Rng::with_seed(1),
        )
    }

    #[test]
    fn every_circuit_has_a_serial_of_its_own() {
        let registry = registry(1);
        let first = registry.get_or_create("a").unwrap().serial();
        let second = registry.get_or_create("b").unwrap().serial();
        let again = registry.get_or_create("a").unwrap().serial();
        assert!(
            first != second && second != again && again != first,
            "{first} {second} {again}"
        );
    }

    /// A caller that clones a handle just when the circuit is evicted sees the mark, and takes the new circuit.
    #[test]
    fn only_an_evicted_circuit_is_marked() {
        let registry = registry(1);
        let circuit = registry.get_or_create("a").unwrap();
        assert!(!circuit.is_evicted());
        assert!(
            !registry.look_up("a", SlidingWindowCircuit::try_evict).unwrap(),
            "it has a handle"
        );
        assert!(!circuit.is_evicted(), "a failed eviction leaves no mark");
        drop(circuit);

        let token = registry.look_up("a", |circuit| circuit.acquire()).unwrap().unwrap();
        assert!(
            !registry.look_up("a", SlidingWindowCircuit::try_evict).unwrap(),
            "a call is in flight"
        );
        registry.look_up("a", |circuit| {
            circuit.settle(token, CallRecord::new(CallOutcome::Success));
        });
        assert!(registry.look_up("a", SlidingWindowCircuit::try_evict).unwrap());
        assert!(registry.look_up("a", |circuit| circuit.is_evicted()).unwrap());
    }
}
