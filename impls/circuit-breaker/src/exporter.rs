//! Circuit metrics through the `metrics` facade.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics::{SharedString, Unit, counter, describe_counter, describe_gauge, gauge};
use networking_spi::circuit_breaker::{CircuitBreaker, CircuitMetrics, CircuitState};

/// The value of the label `circuit` for circuits that have no series of their own.
const OTHERS: &str = "_other";

const DEFAULT_MAX_SERIES: usize = 200;

/// Writes the metrics of all circuits of a breaker to the recorder that is installed with the crate `metrics`.
///
/// Nothing is added to calls: the exporter reads the totals now and then, either when [`export`](Self::export) is called
/// (right before a scrape), or regularly with [`run`](Self::run). It works with every [`CircuitBreaker`].
///
/// | name | kind | unit | labels | |
/// |---|---|---|---|---|
/// | `circuit_breaker_state` | gauge | | `circuit` | 0 closed, 1 open, 2 half-open |
/// | `circuit_breaker_calls_total` | counter | calls | `circuit`, `outcome` | `success`, `failure`, `ignored`, `stale` |
/// | `circuit_breaker_slow_calls_total` | counter | calls | `circuit` | whatever their outcome |
/// | `circuit_breaker_rejections_total` | counter | calls | `circuit` | not let through |
/// | `circuit_breaker_transitions_total` | counter | | `circuit` | changes of state |
/// | `circuit_breaker_openings_total` | counter | | `circuit` | changes to open |
/// | `circuit_breaker_in_flight` | gauge | calls | `circuit` | let through and not ended |
/// | `circuit_breaker_time_in_state_seconds` | gauge | seconds | `circuit`, `state` | since the circuit was made or reset |
///
/// # Bounds
///
/// The first [`max_series`](Self::with_max_series) names have series of their own, for the life of the exporter, as
/// recorders forget none. The calls, rejections and transitions of all others are added up under `circuit="_other"`, which
/// has no state, no times, and their calls in flight together.
///
/// A circuit that was evicted or whose name is unknown by now reads as closed, with nothing in flight and no time in any
/// state; its counters stay, and go on if the circuit is made again. Totals never go back: after a reset of the circuit
/// they go on from where they were. What a circuit counted between the last export and its reset or eviction is not seen.
///
/// # Example
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use networking_circuit_breaker::{CircuitMetricsExporter, SlidingWindowCircuitBreaker};
/// use networking_spi::circuit_breaker::CircuitBreaker;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let breaker: Arc<dyn CircuitBreaker> = Arc::new(SlidingWindowCircuitBreaker::new());
/// let exporter = CircuitMetricsExporter::new(&breaker);
/// // Ends when the breaker is dropped.
/// tokio::spawn(exporter.run(Duration::from_secs(10)));
/// # }
/// ```
#[derive(Debug)]
pub struct CircuitMetricsExporter {
    breaker: Weak<dyn CircuitBreaker>,
    max_series: usize,
    /// The label of each name that has series of its own. Names stay.
    labels: HashMap<String, SharedString>,
    /// What was written last of the circuits that existed then.
    written: HashMap<String, Totals>,
}

impl CircuitMetricsExporter {
    /// Exports the circuits of `breaker`, which it does not keep alive, and describes the metrics to the recorder.
    pub fn new(breaker: &Arc<dyn CircuitBreaker>) -> Self {
        describe();
        Self {
            breaker: Arc::downgrade(breaker),
            max_series: DEFAULT_MAX_SERIES,
            labels: HashMap::new(),
            written: HashMap::new(),
        }
    }

    /// The most circuits that have series of their own. Default: 200; with 0 all of them are under `_other`.
    pub fn with_max_series(mut self, circuits: usize) -> Self {
        self.max_series = circuits;
        self
    }

    /// Writes what has changed since the last time. `false`: the breaker was dropped.
    pub fn export(&mut self) -> bool {
        let Some(breaker) = self.breaker.upgrade() else {
            return false;
        };
        let circuits: BTreeMap<String, CircuitMetrics> = breaker
            .all_circuit_states()
            .into_keys()
            .filter_map(|name| {
                // A circuit that was evicted in between is handled as such below.
                let metrics = breaker.circuit_metrics(&name).ok()?;
                Some((name, metrics))
            })
            .collect();
        self.settle_evicted(&circuits);

        let mut in_flight_of_others = None;
        for (name, metrics) in circuits {
            let totals = Totals::of(&metrics);
            let before = self.written.get(&name).copied().unwrap_or_default();
            let label = self.label(&name);
            totals.since(before).write(label.as_ref().unwrap_or(&OTHERS.into()));
            match label {
                Some(label) => write_gauges(&label, &metrics),
                None => *in_flight_of_others.get_or_insert(0) += metrics.in_flight,
            }
            self.written.insert(name, totals);
        }
        if let Some(calls) = in_flight_of_others {
            gauge!("circuit_breaker_in_flight", "circuit" => OTHERS).set(calls as f64);
        }
        true
    }

    /// Writes every `interval`, at once for the first time, until the breaker is dropped.
    ///
    /// Cancel safety: dropping the future stops the export; nothing is lost but the time since the last one.
    ///
    /// # Panics
    /// If `interval` is zero, and outside of a tokio runtime with a timer.
    pub async fn run(mut self, interval: Duration) {
        let mut ticks = tokio::time::interval(interval);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            if !self.export() {
                return;
            }
        }
    }

    /// The label of a circuit with series of its own; it gets one while there are any left.
    fn label(&mut self, name: &str) -> Option<SharedString> {
        if let Some(label) = self.labels.get(name) {
            return Some(label.clone());
        }
        // A circuit of this name would be taken for the sum of the others.
        if self.labels.len() >= self.max_series || name == OTHERS {
            return None;
        }
        let label = SharedString::from(name.to_owned());
        self.labels.insert(name.to_owned(), label.clone());
        Some(label)
    }

    fn settle_evicted(&mut self, circuits: &BTreeMap<String, CircuitMetrics>) {
        let labels = &self.labels;
        self.written.retain(|name, _| {
            let exists = circuits.contains_key(name);
            if !exists && let Some(label) = labels.get(name) {
                write_gauges(label, &CircuitMetrics::default());
            }
            exists
        });
    }
}

/// What only ever grows, except in a reset.
#[derive(Debug, Clone, Copy, Default)]
struct Totals {
    successes: u64,
    failures: u64,
    ignored: u64,
    stale: u64,
    slow: u64,
    rejected: u64,
    transitions: u64,
    openings: u64,
}

impl Totals {
    fn of(metrics: &CircuitMetrics) -> Self {
        Self {
            successes: metrics.successes,
            failures: metrics.failures,
            ignored: metrics.ignored,
            stale: metrics.stale,
            slow: metrics.slow,
            rejected: metrics.rejected,
            transitions: metrics.transition_count,
            openings: metrics.times_opened,
        }
    }

    fn since(self, before: Self) -> Self {
        let pairs = [
            (self.successes, before.successes),
            (self.failures, before.failures),
            (self.ignored, before.ignored),
            (self.stale, before.stale),
            (self.slow, before.slow),
            (self.rejected, before.rejected),
            (self.transitions, before.transitions),
            (self.openings, before.openings),
        ];
        if pairs.iter().any(|(now, before)| now < before) {
            // Reset, or evicted and made again: everything is new.
            return self;
        }
        let [
            successes,
            failures,
            ignored,
            stale,
            slow,
            rejected,
            transitions,
            openings,
        ] = pairs.map(|(now, before)| now - before);
        Self {
            successes,
            failures,
            ignored,
            stale,
            slow,
            rejected,
            transitions,
            openings,
        }
    }

    fn write(self, circuit: &SharedString) {
        for (outcome, calls) in [
            ("success", self.successes),
            ("failure", self.failures),
            ("ignored", self.ignored),
            ("stale", self.stale),
        ] {
            counter!("circuit_breaker_calls_total", "circuit" => circuit.clone(), "outcome" => outcome)
                .increment(calls);
        }
        counter!("circuit_breaker_slow_calls_total", "circuit" => circuit.clone()).increment(self.slow);
        counter!("circuit_breaker_rejections_total", "circuit" => circuit.clone()).increment(self.rejected);
        counter!("circuit_breaker_transitions_total", "circuit" => circuit.clone()).increment(self.transitions);
        counter!("circuit_breaker_openings_total", "circuit" => circuit.clone()).increment(self.openings);
    }
}

fn write_gauges(circuit: &SharedString, metrics: &CircuitMetrics) {
    let state = match metrics.state {
        CircuitState::Closed => 0.0,
        CircuitState::Open => 1.0,
        CircuitState::HalfOpen => 2.0,
    };
    gauge!("circuit_breaker_state", "circuit" => circuit.clone()).set(state);
    gauge!("circuit_breaker_in_flight", "circuit" => circuit.clone()).set(metrics.in_flight as f64);
    for state in CircuitState::ALL {
        gauge!("circuit_breaker_time_in_state_seconds", "circuit" => circuit.clone(), "state" => state.as_str())
            .set(metrics.time_in.of(*state).as_secs_f64());
    }
}

fn describe() {
    describe_gauge!(
        "circuit_breaker_state",
        "State of the circuit: 0 closed, 1 open, 2 half-open"
    );
    describe_counter!(
        "circuit_breaker_calls_total",
        Unit::Count,
        "Calls that ended, by outcome"
    );
    describe_counter!(
        "circuit_breaker_slow_calls_total",
        Unit::Count,
        "Calls that took at least the slow-call duration"
    );
    describe_counter!(
        "circuit_breaker_rejections_total",
        Unit::Count,
        "Calls that were not let through"
    );
    describe_counter!("circuit_breaker_transitions_total", Unit::Count, "Changes of state");
    describe_counter!("circuit_breaker_openings_total", Unit::Count, "Changes to open");
    describe_gauge!(
        "circuit_breaker_in_flight",
        Unit::Count,
        "Calls that were let through and have not ended"
    );
    describe_gauge!(
        "circuit_breaker_time_in_state_seconds",
        Unit::Seconds,
        "Time in each state since the circuit was made or reset"
    );
}
