//! Exports circuit metrics to the `metrics` facade.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use metrics::{SharedString, Unit, counter, describe_counter, describe_gauge, gauge};
use networking_spi::circuit_breaker::{CircuitBreaker, CircuitMetrics, CircuitState};

/// The value of the label `circuit` for all circuits beyond the limit of series.
const OTHERS: &str = "_other";

const DEFAULT_MAX_SERIES: usize = 200;

/// Writes the metrics of all circuits of a breaker to the installed recorder of the crate `metrics`.
///
/// It adds no work to calls. It reads the totals of the breaker when [`export`](Self::export) is called, for example before
/// a scrape, or periodically with [`run`](Self::run). It works with every [`CircuitBreaker`].
///
/// | name | kind | unit | labels | |
/// |---|---|---|---|---|
/// | `circuit_breaker_state` | gauge | | `circuit` | 0 closed, 1 open, 2 half-open |
/// | `circuit_breaker_calls_total` | counter | calls | `circuit`, `outcome` | `success`, `failure`, `ignored`, `stale` |
/// | `circuit_breaker_slow_calls_total` | counter | calls | `circuit` | with any outcome |
/// | `circuit_breaker_rejections_total` | counter | calls | `circuit` | rejected |
/// | `circuit_breaker_transitions_total` | counter | | `circuit` | state changes |
/// | `circuit_breaker_openings_total` | counter | | `circuit` | state changes to open |
/// | `circuit_breaker_in_flight` | gauge | calls | `circuit` | admitted and not ended |
/// | `circuit_breaker_time_in_state_seconds` | gauge | seconds | `circuit`, `state` | since the circuit was created or reset |
///
/// # Bounds
///
/// Each of the first [`max_series`](Self::with_max_series) circuits gets its own series. They are kept until the exporter is
/// dropped, because recorders never remove series. The counters and the calls in flight of all other circuits are summed
/// under `circuit="_other"`, which has no state and no times.
///
/// A circuit that was evicted is exported as closed, with no calls in flight and no time in any state. Its counters keep
/// their values and continue if the circuit is created again. Counters never decrease: after a reset of the circuit they
/// continue from their values. Calls between the last export and a reset or eviction are not exported.
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
/// // The task ends when the breaker is dropped.
/// tokio::spawn(exporter.run(Duration::from_secs(10)));
/// # }
/// ```
#[derive(Debug)]
pub struct CircuitMetricsExporter {
    breaker: Weak<dyn CircuitBreaker>,
    max_series: usize,
    /// The label of each circuit with its own series. Never removed.
    labels: HashMap<String, SharedString>,
    /// The totals at the last export, of the circuits that existed then.
    written: HashMap<String, Totals>,
}

impl CircuitMetricsExporter {
    /// An exporter of the circuits of `breaker`. It describes the metrics to the recorder, and holds only a weak reference to
    /// the breaker.
    #[must_use = "an exporter does nothing before `export` or `run`"]
    pub fn new(breaker: &Arc<dyn CircuitBreaker>) -> Self {
        describe();
        Self {
            breaker: Arc::downgrade(breaker),
            max_series: DEFAULT_MAX_SERIES,
            labels: HashMap::new(),
            written: HashMap::new(),
        }
    }

    /// Sets the maximum number of circuits with their own series. Default: 200. With 0, all circuits are under `_other`.
    #[must_use = "returns the exporter"]
    pub fn with_max_series(mut self, circuits: usize) -> Self {
        self.max_series = circuits;
        self
    }

    /// Writes the changes since the last export. Returns `false` if the breaker was dropped and nothing is left to export.
    #[must_use = "`false` means that the breaker was dropped and exporting can stop"]
    pub fn export(&mut self) -> bool {
        let Some(breaker) = self.breaker.upgrade() else {
            return false;
        };
        let circuits: BTreeMap<String, CircuitMetrics> = breaker
            .all_circuit_states()
            .into_keys()
            .filter_map(|name| {
                // A circuit that was evicted meanwhile is handled below.
                let metrics = breaker.circuit_metrics(&name).ok()?;
                Some((name, metrics))
            })
            .collect();
        self.export_evicted(&circuits);

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

    /// Exports immediately and then every `interval`, until the breaker is dropped.
    ///
    /// Cancel safety: dropping the future stops the export. Changes since the last export are not written.
    ///
    /// # Panics
    /// If `interval` is zero, or outside of a tokio runtime with time enabled.
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

    /// The label of a circuit with its own series. `None` if the limit is reached.
    fn label(&mut self, name: &str) -> Option<SharedString> {
        if let Some(label) = self.labels.get(name) {
            return Some(label.clone());
        }
        // A circuit that is itself named `_other` is part of the sum.
        if self.labels.len() >= self.max_series || name == OTHERS {
            return None;
        }
        let label = SharedString::from(name.to_owned());
        self.labels.insert(name.to_owned(), label.clone());
        Some(label)
    }

    fn export_evicted(&mut self, circuits: &BTreeMap<String, CircuitMetrics>) {
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

/// The totals of a circuit. They decrease only when the circuit is reset.
#[derive(Debug, Clone, Copy, Default)]
struct Totals([u64; TOTALS]);

const TOTALS: usize = 8;

impl Totals {
    fn of(metrics: &CircuitMetrics) -> Self {
        Self([
            metrics.successes,
            metrics.failures,
            metrics.ignored,
            metrics.stale,
            metrics.slow,
            metrics.rejected,
            metrics.transition_count,
            metrics.times_opened,
        ])
    }

    fn since(self, before: Self) -> Self {
        let mut pairs = self.0.into_iter().zip(before.0);
        if pairs.any(|(now, before)| now < before) {
            // The circuit was reset, or evicted and created again: all its calls are new.
            return self;
        }
        let mut increase = self;
        for (total, before) in increase.0.iter_mut().zip(before.0) {
            *total -= before;
        }
        increase
    }

    fn write(self, circuit: &SharedString) {
        let [success, failure, ignored, stale, slow, rejected, transitions, openings] = self.0;
        for (outcome, calls) in [
            ("success", success),
            ("failure", failure),
            ("ignored", ignored),
            ("stale", stale),
        ] {
            counter!("circuit_breaker_calls_total", "circuit" => circuit.clone(), "outcome" => outcome)
                .increment(calls);
        }
        counter!("circuit_breaker_slow_calls_total", "circuit" => circuit.clone()).increment(slow);
        counter!("circuit_breaker_rejections_total", "circuit" => circuit.clone()).increment(rejected);
        counter!("circuit_breaker_transitions_total", "circuit" => circuit.clone()).increment(transitions);
        counter!("circuit_breaker_openings_total", "circuit" => circuit.clone()).increment(openings);
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
    describe_counter!("circuit_breaker_rejections_total", Unit::Count, "Rejected calls");
    describe_counter!("circuit_breaker_transitions_total", Unit::Count, "State changes");
    describe_counter!("circuit_breaker_openings_total", Unit::Count, "State changes to open");
    describe_gauge!(
        "circuit_breaker_in_flight",
        Unit::Count,
        "Calls that were admitted and have not ended"
    );
    describe_gauge!(
        "circuit_breaker_time_in_state_seconds",
        Unit::Seconds,
        "Time in each state since the circuit was created or reset"
    );
}
