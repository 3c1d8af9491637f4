//! The circuit metrics that a recorder of the `metrics` facade gets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use metrics_util::debugging::{DebugValue, DebuggingRecorder, Snapshotter};
use networking_circuit_breaker::{CircuitMetricsExporter, SlidingWindowCircuitBreaker};
use networking_spi::circuit_breaker::{CircuitBreakerConfig, OpenPolicy, TripPolicy};
use networking_spi::prelude::*;

fn breaker(max_circuits: usize) -> Arc<dyn CircuitBreaker> {
    let config = CircuitBreakerConfig::new()
        .with_trip(TripPolicy::consecutive(2))
        .with_open(OpenPolicy::fixed(Duration::from_secs(5)));
    Arc::new(
        SlidingWindowCircuitBreaker::builder()
            .default_config(config)
            .max_circuits(max_circuits)
            .build()
            .unwrap(),
    )
}

fn calls(breaker: &Arc<dyn CircuitBreaker>, name: &str, outcome: CallOutcome, times: usize) {
    let circuit = breaker.circuit(name).unwrap();
    for _ in 0..times {
        circuit.try_acquire().unwrap().record(outcome);
    }
}

/// The values of the recorder by `name{labels}`: sums of counters and last values of gauges.
#[derive(Default)]
struct Scraped {
    recorder: DebuggingRecorder,
    values: BTreeMap<String, f64>,
}

impl Scraped {
    fn with<T>(&mut self, act: impl FnOnce() -> T) -> T {
        let result = metrics::with_local_recorder(&self.recorder, act);
        // Reading a snapshot resets the counters.
        for (name, value) in read(&self.recorder.snapshotter()) {
            match value {
                DebugValue::Counter(more) => *self.values.entry(name).or_default() += more as f64,
                DebugValue::Gauge(now) => drop(self.values.insert(name, now.0)),
                DebugValue::Histogram(_) => panic!("{name}: there are no histograms"),
            }
        }
        result
    }

    fn get(&self, name: &str) -> Option<f64> {
        self.values.get(name).copied()
    }
}

fn read(snapshotter: &Snapshotter) -> Vec<(String, DebugValue)> {
    let entries = snapshotter.snapshot().into_vec().into_iter();
    entries
        .map(|(key, _, _, value)| {
            let labels: Vec<_> = key
                .key()
                .labels()
                .map(|label| format!("{}={}", label.key(), label.value()))
                .collect();
            (format!("{}{{{}}}", key.key().name(), labels.join(",")), value)
        })
        .collect()
}

#[tokio::test(start_paused = true)]
async fn totals_states_and_times_are_written() {
    let breaker = breaker(10);
    let mut scraped = Scraped::default();
    let mut exporter = scraped.with(|| CircuitMetricsExporter::new(&breaker));
    calls(&breaker, "pay", CallOutcome::Success, 5);
    calls(&breaker, "pay", CallOutcome::Ignored, 1);
    tokio::time::advance(Duration::from_secs(3)).await;
    calls(&breaker, "pay", CallOutcome::Failure, 2);
    breaker.circuit("pay").unwrap().try_acquire().unwrap_err();
    tokio::time::advance(Duration::from_secs(1)).await;
    assert!(scraped.with(|| exporter.export()));
    for (name, value) in [
        ("circuit_breaker_state{circuit=pay}", 1.0),
        ("circuit_breaker_calls_total{circuit=pay,outcome=success}", 5.0),
        ("circuit_breaker_calls_total{circuit=pay,outcome=failure}", 2.0),
        ("circuit_breaker_calls_total{circuit=pay,outcome=ignored}", 1.0),
        ("circuit_breaker_calls_total{circuit=pay,outcome=stale}", 0.0),
        ("circuit_breaker_slow_calls_total{circuit=pay}", 0.0),
        ("circuit_breaker_rejections_total{circuit=pay}", 1.0),
        ("circuit_breaker_transitions_total{circuit=pay}", 1.0),
        ("circuit_breaker_openings_total{circuit=pay}", 1.0),
        ("circuit_breaker_in_flight{circuit=pay}", 0.0),
        ("circuit_breaker_time_in_state_seconds{circuit=pay,state=closed}", 3.0),
        ("circuit_breaker_time_in_state_seconds{circuit=pay,state=open}", 1.0),
        (
            "circuit_breaker_time_in_state_seconds{circuit=pay,state=half_open}",
            0.0,
        ),
    ] {
        assert_eq!(scraped.get(name), Some(value), "{name}");
    }
    tokio::time::advance(Duration::from_secs(4)).await;
    assert!(scraped.with(|| exporter.export()));
    assert_eq!(
        scraped.get("circuit_breaker_state{circuit=pay}"),
        Some(2.0),
        "half-open without a call"
    );
    assert_eq!(scraped.get("circuit_breaker_transitions_total{circuit=pay}"), Some(2.0));
    assert_eq!(
        scraped.get("circuit_breaker_calls_total{circuit=pay,outcome=success}"),
        Some(5.0),
        "nothing counts twice"
    );
}

#[tokio::test(start_paused = true)]
async fn totals_continue_after_a_reset() {
    let breaker = breaker(10);
    let mut scraped = Scraped::default();
    let mut exporter = scraped.with(|| CircuitMetricsExporter::new(&breaker));
    calls(&breaker, "pay", CallOutcome::Success, 5);
    scraped.with(|| exporter.export());
    breaker.reset_circuit_breaker("pay").unwrap();
    calls(&breaker, "pay", CallOutcome::Success, 2);
    scraped.with(|| exporter.export());
    let successes = scraped.get("circuit_breaker_calls_total{circuit=pay,outcome=success}");
    assert_eq!(successes, Some(7.0));
}

#[tokio::test(start_paused = true)]
async fn circuits_beyond_the_limit_are_summed() {
    let breaker = breaker(1_000);
    let mut scraped = Scraped::default();
    let mut exporter = scraped.with(|| CircuitMetricsExporter::new(&breaker).with_max_series(2));
    for index in 0..50 {
        calls(&breaker, &format!("tenant-{index:02}"), CallOutcome::Success, 1);
    }
    // A circuit that is itself named `_other` is part of the sum.
    calls(&breaker, "_other", CallOutcome::Success, 1);
    let circuit = breaker.circuit("tenant-49").unwrap();
    let permit = circuit.try_acquire().unwrap();
    scraped.with(|| exporter.export());
    let names: Vec<_> = scraped
        .values
        .keys()
        .filter(|name| name.starts_with("circuit_breaker_calls_total") && name.ends_with("success}"))
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    let others = scraped.get("circuit_breaker_calls_total{circuit=_other,outcome=success}");
    assert_eq!(others, Some(49.0));
    assert_eq!(scraped.get("circuit_breaker_in_flight{circuit=_other}"), Some(1.0));
    assert_eq!(scraped.get("circuit_breaker_state{circuit=_other}"), None);
    permit.record(CallOutcome::Success);
    scraped.with(|| exporter.export());
    assert_eq!(scraped.get("circuit_breaker_in_flight{circuit=_other}"), Some(0.0));
}

#[tokio::test(start_paused = true)]
async fn evicted_circuits_are_exported_as_closed_and_continue_if_created_again() {
    let breaker = breaker(1);
    let mut scraped = Scraped::default();
    let mut exporter = scraped.with(|| CircuitMetricsExporter::new(&breaker));
    calls(&breaker, "first", CallOutcome::Success, 3);
    tokio::time::advance(Duration::from_secs(9)).await;
    scraped.with(|| exporter.export());
    let time = "circuit_breaker_time_in_state_seconds{circuit=first,state=closed}";
    assert_eq!(scraped.get(time), Some(9.0));
    calls(&breaker, "second", CallOutcome::Success, 1);
    scraped.with(|| exporter.export());
    assert_eq!(scraped.get(time), Some(0.0));
    assert_eq!(scraped.get("circuit_breaker_state{circuit=first}"), Some(0.0));
    let first = "circuit_breaker_calls_total{circuit=first,outcome=success}";
    assert_eq!(scraped.get(first), Some(3.0));
    calls(&breaker, "first", CallOutcome::Success, 4);
    scraped.with(|| exporter.export());
    assert_eq!(scraped.get(first), Some(7.0));
}

#[tokio::test(start_paused = true)]
async fn the_export_ends_with_the_breaker() {
    let breaker = breaker(10);
    let exporter = CircuitMetricsExporter::new(&breaker);
    let task = tokio::spawn(exporter.run(Duration::from_secs(10)));
    tokio::time::advance(Duration::from_secs(60)).await;
    tokio::task::yield_now().await;
    assert!(!task.is_finished());
    drop(breaker);
    task.await.expect("the loop ends without a panic");
}
