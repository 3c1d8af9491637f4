//! The builder of the breaker.

use std::collections::BTreeMap;
use std::sync::Arc;

use networking_runtime::clock::TokioClock;
use networking_spi::Result;
use networking_spi::circuit_breaker::{CircuitBreakerConfig, MAX_CIRCUIT_NAME};
use networking_spi::clock::Clock;
use networking_spi::error::ResultExt;
use networking_spi::validate::{self, Validate};

use super::SlidingWindowCircuitBreaker;
use crate::events::EventHub;
use crate::registry::Registry;

const DEFAULT_MAX_CIRCUITS: usize = 10_000;
const DEFAULT_EVENT_CAPACITY: usize = 1_024;
/// The event buffer is allocated when the breaker is built.
const MAX_EVENT_CAPACITY: usize = 1 << 20;

/// Configures and builds a [`SlidingWindowCircuitBreaker`].
///
/// ```
/// use std::time::Duration;
/// use networking_circuit_breaker::SlidingWindowCircuitBreaker;
/// use networking_spi::circuit_breaker::{CircuitBreakerConfig, RateThresholds, TripPolicy};
///
/// let breaker = SlidingWindowCircuitBreaker::builder()
///     .default_config(CircuitBreakerConfig::new().with_call_timeout(Duration::from_secs(2)))
///     .circuit(
///         "search",
///         CircuitBreakerConfig::new().with_trip(TripPolicy::TimeWindow {
///             length: Duration::from_secs(60),
///             rates: RateThresholds::new(0.25, 20).with_slow_calls(Duration::from_millis(800), 0.5),
///         }),
///     )
///     .max_circuits(500)
///     .build()?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "call `build`"]
pub struct SlidingWindowCircuitBreakerBuilder {
    default_config: CircuitBreakerConfig,
    circuits: BTreeMap<String, CircuitBreakerConfig>,
    clock: Option<Arc<dyn Clock>>,
    seed: Option<u64>,
    max_circuits: usize,
    event_capacity: usize,
}

impl SlidingWindowCircuitBreakerBuilder {
    pub(super) fn new() -> Self {
        Self {
            default_config: CircuitBreakerConfig::default(),
            circuits: BTreeMap::new(),
            clock: None,
            seed: None,
            max_circuits: DEFAULT_MAX_CIRCUITS,
            event_capacity: DEFAULT_EVENT_CAPACITY,
        }
    }

    /// Sets the configuration of circuits that are not configured individually. Default: `CircuitBreakerConfig::default()`.
    pub fn default_config(mut self, config: CircuitBreakerConfig) -> Self {
        self.default_config = config;
        self
    }

    /// Configures one circuit. It is created with the breaker and is never evicted.
    pub fn circuit(mut self, name: impl Into<String>, config: CircuitBreakerConfig) -> Self {
        self.circuits.insert(name.into(), config);
        self
    }

    /// Sets the clock for states, windows and timestamps. Default: a [`TokioClock`].
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets the seed of the jitter, for reproducible runs: circuits that are created in the same order then get the same
    /// random numbers. Default: a random seed.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Sets the maximum number of circuits, at least 1. Default: 10 000.
    pub fn max_circuits(mut self, circuits: usize) -> Self {
        self.max_circuits = circuits;
        self
    }

    /// Sets how many events are kept for a subscriber that lags, from 1 to 1 048 576, rounded up to a power of two. Default:
    /// 1 024.
    pub fn event_capacity(mut self, events: usize) -> Self {
        self.event_capacity = events;
        self
    }

    /// Validates the settings and builds the breaker.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) with the name of the field.
    pub fn build(self) -> Result<SlidingWindowCircuitBreaker> {
        validate::ensure(self.max_circuits > 0, "max_circuits", "must be at least 1")?;
        validate::ensure(
            self.circuits.len() <= self.max_circuits,
            "max_circuits",
            "must not be less than the number of configured circuits",
        )?;
        validate::ensure(
            (1..=MAX_EVENT_CAPACITY).contains(&self.event_capacity),
            "event_capacity",
            "must be between 1 and 1048576",
        )?;
        self.default_config.validate().in_field("default_config")?;
        for (name, config) in &self.circuits {
            validate::name(name, MAX_CIRCUIT_NAME, "circuit")?;
            config.validate().in_field(&format!("circuit.{name}"))?;
        }
        self.assemble()
    }

    /// Builds a breaker without validation, because the defaults are valid.
    pub(super) fn build_with_defaults(self) -> SlidingWindowCircuitBreaker {
        let (registry, hub) = self.parts();
        SlidingWindowCircuitBreaker::from_parts(registry, hub)
    }

    fn assemble(mut self) -> Result<SlidingWindowCircuitBreaker> {
        let circuits = std::mem::take(&mut self.circuits);
        let (registry, hub) = self.parts();
        for (name, config) in circuits {
            registry.get_or_create(&name)?.configure(config);
        }
        Ok(SlidingWindowCircuitBreaker::from_parts(registry, hub))
    }

    fn parts(self) -> (Registry, Arc<EventHub>) {
        let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        let hub = Arc::new(EventHub::new(self.event_capacity, Arc::clone(&clock)));
        let rng = self.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        (
            Registry::new(
                self.max_circuits,
                Arc::new(self.default_config),
                clock,
                Arc::clone(&hub),
                rng,
            ),
            hub,
        )
    }
}
