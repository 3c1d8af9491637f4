//! Values of the circuit breaker contract: configuration, permits, rejections, serialization, classifiers.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use networking_spi::backoff::{Backoff, Jitter};
use networking_spi::circuit_breaker::{
    CallRecord, CancelPolicy, CircuitBreakerCapabilities, CircuitBreakerConfig, CircuitEvent, CircuitEventKind,
    CircuitMetrics, CircuitMode, CircuitRejection, CircuitTransition, Deadline, HalfOpenPolicy, OpenPolicy,
    OwnedPermit, Permit, PermitToken, RateThresholds, TransitionReason, TripPolicy, default_classifier,
    kafka_classifier,
};
use networking_spi::prelude::*;
use networking_spi::validate::Validate;
use networking_spi::{Phase, Retryability, SendState};

/// A circuit that admits every call and keeps the records.
#[derive(Debug, Default)]
struct Recorder {
    records: Mutex<Vec<(PermitToken, CallRecord)>>,
    call_timeout: Option<Duration>,
}

const TOKEN: PermitToken = PermitToken::new(3).with_probe(7).with_started_nanos(11);

impl Recorder {
    fn records(&self) -> Vec<CallRecord> {
        let records = self.records.lock().unwrap();
        assert!(
            records.iter().all(|(token, _)| *token == TOKEN),
            "permits are completed with their own token"
        );
        records.iter().map(|(_, record)| *record).collect()
    }
}

impl Circuit for Recorder {
    fn name(&self) -> &'static str {
        "recorder"
    }

    fn try_acquire(&self) -> Result<Permit<'_>, CircuitRejection> {
        Ok(Permit::new(self, TOKEN))
    }

    fn state(&self) -> CircuitState {
        CircuitState::Closed
    }

    fn metrics(&self) -> CircuitMetrics {
        CircuitMetrics::default()
    }

    fn config(&self) -> Arc<CircuitBreakerConfig> {
        Arc::default()
    }

    fn deadline(&self, limit: Option<Duration>) -> Option<Deadline> {
        // The deadline has passed when it is first polled.
        limit
            .or(self.call_timeout)
            .map(|limit| Deadline::new(limit, Box::pin(std::future::ready(()))))
    }

    fn complete(&self, token: PermitToken, record: CallRecord) {
        self.records.lock().unwrap().push((token, record));
    }
}

#[test]
fn a_permit_comes_back_once() {
    let circuit = Recorder::default();
    circuit.try_acquire().unwrap().record(CallOutcome::Success);
    circuit
        .try_acquire()
        .unwrap()
        .record(CallRecord::new(CallOutcome::Failure).with_retry_after(Duration::from_secs(9)));
    drop(circuit.try_acquire().unwrap());
    let records = circuit.records();
    assert_eq!(records.len(), 3);
    assert_eq!(records[0], CallRecord::new(CallOutcome::Success));
    assert_eq!(records[1].retry_after, Some(Duration::from_secs(9)));
    assert_eq!(records[2], CallRecord::dropped(false));
}

#[test]
fn an_owned_permit_comes_back_once() {
    let recorder = Arc::new(Recorder::default());
    let circuit: Arc<dyn Circuit> = recorder.clone();
    OwnedPermit::acquire(&circuit).unwrap().record(CallOutcome::Ignored);
    drop(OwnedPermit::acquire(&circuit).unwrap());
    assert_eq!(
        recorder.records(),
        [CallRecord::new(CallOutcome::Ignored), CallRecord::dropped(false)]
    );
    assert_eq!(Arc::strong_count(&recorder), 2, "permits release their circuit");
}

#[test]
fn a_permit_dropped_by_a_panic_says_so() {
    let recorder = Arc::new(Recorder::default());
    let circuit: Arc<dyn Circuit> = recorder.clone();
    let panicking: [Box<dyn Fn()>; 2] = [
        Box::new(|| {
            let _permit = circuit.try_acquire().unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        }),
        Box::new(|| {
            let _permit = OwnedPermit::acquire(&circuit).unwrap();
            std::panic::resume_unwind(Box::new("on purpose"));
        }),
    ];
    for panicking in panicking {
        std::panic::catch_unwind(AssertUnwindSafe(panicking)).unwrap_err();
    }
    assert_eq!(recorder.records(), [CallRecord::dropped(true); 2]);
}

/// A circuit that breaks the rule that `complete` does not panic.
#[derive(Debug)]
struct Panics;

impl Circuit for Panics {
    fn name(&self) -> &'static str {
        "panics"
    }

    fn try_acquire(&self) -> Result<Permit<'_>, CircuitRejection> {
        Ok(Permit::new(self, TOKEN))
    }

    fn state(&self) -> CircuitState {
        CircuitState::Closed
    }

    fn metrics(&self) -> CircuitMetrics {
        CircuitMetrics::default()
    }

    fn config(&self) -> Arc<CircuitBreakerConfig> {
        Arc::default()
    }

    fn deadline(&self, _limit: Option<Duration>) -> Option<Deadline> {
        None
    }

    fn complete(&self, _token: PermitToken, _record: CallRecord) {
        std::panic::resume_unwind(Box::new("the circuit"));
    }
}

#[test]
fn a_circuit_that_panics_does_not_abort_the_process() {
    let circuit: Arc<dyn Circuit> = Arc::new(Panics);
    let operation = || std::panic::resume_unwind(Box::new("the operation"));
    let of_the_circuit: [Box<dyn Fn()>; 4] = [
        Box::new(|| circuit.try_acquire().unwrap().record(CallOutcome::Success)),
        Box::new(|| OwnedPermit::acquire(&circuit).unwrap().record(CallOutcome::Success)),
        Box::new(|| drop(circuit.try_acquire().unwrap())),
        Box::new(|| drop(OwnedPermit::acquire(&circuit).unwrap())),
    ];
    let of_the_operation: [Box<dyn Fn()>; 2] = [
        Box::new(|| {
            let _permit = circuit.try_acquire().unwrap();
            operation();
        }),
        Box::new(|| {
            let _permit = OwnedPermit::acquire(&circuit).unwrap();
            operation();
        }),
    ];
    let cause = |call: &dyn Fn()| {
        let panic = std::panic::catch_unwind(AssertUnwindSafe(call)).unwrap_err();
        panic.downcast_ref::<&str>().copied()
    };
    for call in &of_the_circuit {
        assert_eq!(cause(call), Some("the circuit"));
    }
    for call in &of_the_operation {
        assert_eq!(cause(call), Some("the operation"), "the first panic continues");
    }
}

#[test]
fn a_wrapper_can_pass_on_the_token_of_a_permit() {
    let circuit = Recorder::default();
    let token = circuit.try_acquire().unwrap().into_token();
    assert!(circuit.records().is_empty(), "the permit is not released");
    circuit.complete(token, CallRecord::new(CallOutcome::Ignored));
    assert_eq!(circuit.records(), [CallRecord::new(CallOutcome::Ignored)]);
}

#[tokio::test]
async fn call_records_what_happened() {
    let circuit = Recorder::default();
    circuit.call(|| async { Ok(1) }).await.unwrap();
    let slow_down = NetworkError::new(ErrorKind::RateLimited, "test", "slow down")
        .with_retryability(Retryability::After(Duration::from_secs(4)));
    circuit.call(|| async { Err::<(), _>(slow_down) }).await.unwrap_err();
    drop(circuit.call(std::future::pending::<Result<(), _>>));
    assert_eq!(
        circuit.records(),
        [
            CallRecord::new(CallOutcome::Success),
            CallRecord::new(CallOutcome::Failure).with_retry_after(Duration::from_secs(4)),
        ],
        "a call that was never polled acquires no permit",
    );
}

#[tokio::test]
async fn a_call_without_time_left_is_a_failure() {
    let limit = Duration::from_millis(250);
    let circuit = Recorder {
        call_timeout: Some(limit),
        ..Recorder::default()
    };
    let hanging = std::future::pending::<Result<(), _>>;
    let configured = circuit.call(hanging).await.unwrap_err();
    let given = circuit.call_with_timeout(limit * 2, hanging).await.unwrap_err();
    for (error, limit) in [(configured, "250ms"), (given, "500ms")] {
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Some(Phase::Total)));
        assert!(error.message().contains(limit), "{error}");
    }
    assert_eq!(circuit.records(), [CallRecord::new(CallOutcome::Failure); 2]);
    // If the operation is ready and the deadline has passed, the result of the operation takes precedence.
    circuit.call(|| async { Ok(1) }).await.unwrap();
}

#[test]
fn a_rejection_becomes_an_error_that_says_what_to_do() {
    let open = CircuitRejection::new("payments".into(), CircuitState::Open, Some(Duration::from_secs(3)));
    assert_eq!(open.to_string(), "circuit payments is open, retry in 3s");
    let error = NetworkError::from(open);
    assert_eq!(error.kind(), ErrorKind::CircuitOpen);
    assert_eq!(error.retryability(), Retryability::After(Duration::from_secs(3)));
    assert_eq!(error.send_state(), SendState::NotSent);

    let retryability = |state| NetworkError::from(CircuitRejection::new("payments".into(), state, None)).retryability();
    assert_eq!(retryability(CircuitState::Open), Retryability::Never);
    assert_eq!(retryability(CircuitState::HalfOpen), Retryability::Now);
}

#[test]
fn a_wrong_configuration_names_its_field() {
    let config = CircuitBreakerConfig::new;
    let rates = RateThresholds::new;
    let second = Duration::from_secs(1);
    let fixed = || OpenPolicy::fixed(second);
    for (field, config) in [
        ("trip.failures", config().with_trip(TripPolicy::consecutive(0))),
        (
            "trip.size",
            config().with_trip(TripPolicy::count_window(0, rates(0.5, 1))),
        ),
        (
            "trip.size",
            config().with_trip(TripPolicy::count_window(65_537, rates(0.5, 1))),
        ),
        (
            "trip.minimum_calls",
            config().with_trip(TripPolicy::count_window(5, rates(0.5, 6))),
        ),
        (
            "trip.minimum_calls",
            config().with_trip(TripPolicy::count_window(5, rates(0.5, 0))),
        ),
        (
            "trip.failure_rate",
            config().with_trip(TripPolicy::count_window(5, rates(0.0, 1))),
        ),
        (
            "trip.failure_rate",
            config().with_trip(TripPolicy::time_window(second, rates(1.1, 1))),
        ),
        (
            "trip.failure_rate",
            config().with_trip(TripPolicy::time_window(second, rates(f64::NAN, 1))),
        ),
        (
            "trip.slow_call_rate",
            config().with_trip(TripPolicy::count_window(5, rates(0.5, 1).with_slow_calls(second, 0.0))),
        ),
        (
            "trip.slow_call_duration",
            config().with_trip(TripPolicy::count_window(
                5,
                rates(0.5, 1).with_slow_calls(Duration::ZERO, 0.5),
            )),
        ),
        (
            "trip.length",
            config().with_trip(TripPolicy::time_window(Duration::from_millis(9), rates(0.5, 1))),
        ),
        (
            "open.backoff.initial",
            config().with_open(OpenPolicy::fixed(Duration::ZERO)),
        ),
        (
            "open.backoff.maximum",
            config().with_open(fixed().with_max_duration(second / 2)),
        ),
        (
            "open.backoff.multiplier",
            config().with_open(fixed().with_multiplier(0.9)),
        ),
        (
            "open.backoff.multiplier",
            config().with_open(fixed().with_multiplier(f64::INFINITY)),
        ),
        ("open.backoff.jitter", config().with_open(fixed().with_jitter(-0.1))),
        ("open.backoff.jitter", config().with_open(fixed().with_jitter(1.1))),
        (
            "half_open.max_concurrent_probes",
            config().with_half_open(HalfOpenPolicy::new(0, 1)),
        ),
        (
            "half_open.success_threshold",
            config().with_half_open(HalfOpenPolicy::new(1, 0)),
        ),
        (
            "half_open.probe_lease",
            config().with_half_open(HalfOpenPolicy::new(1, 1).with_probe_lease(Duration::ZERO)),
        ),
        ("call_timeout", config().with_call_timeout(Duration::ZERO)),
    ] {
        let error = config.validate().expect_err(field);
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some(field)),
            "{config:?}"
        );
    }
    CircuitBreakerConfig::default().validate().unwrap();
}

#[test]
fn a_configuration_needs_the_capabilities_of_its_parts() {
    let config = CircuitBreakerConfig::new;
    let second = Duration::from_secs(1);
    let rates = || RateThresholds::new(0.5, 1);
    let half_open = HalfOpenPolicy::default;
    let window = |rates| TripPolicy::count_window(5, rates);
    for (needed, config) in [
        ("count_window", config().with_trip(window(rates()))),
        (
            "time_window",
            config().with_trip(TripPolicy::time_window(second, rates())),
        ),
        (
            "slow_call_rate",
            config().with_trip(window(rates().with_slow_calls(second, 0.5))),
        ),
        ("probe_limits", config().with_half_open(HalfOpenPolicy::new(1, 1))),
        (
            "probe_leases",
            config().with_half_open(half_open().with_probe_lease(second)),
        ),
        ("metrics_only", config().with_mode(CircuitMode::MetricsOnly)),
        ("overrides", config().with_mode(CircuitMode::ForcedOpen)),
        ("overrides", config().with_mode(CircuitMode::ForcedClosed)),
    ] {
        let mut declared = CircuitBreakerCapabilities::all();
        config.require(&declared, "test").expect(needed);
        match needed {
            "count_window" => declared.count_window = false,
            "time_window" => declared.time_window = false,
            "slow_call_rate" => declared.slow_call_rate = false,
            "probe_limits" => declared.probe_limits = false,
            "probe_leases" => declared.probe_leases = false,
            "metrics_only" => declared.metrics_only = false,
            _ => declared.overrides = false,
        }
        let error = config.require(&declared, "test").expect_err(needed);
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.get(networking_spi::error::context::CAPABILITY), Some(needed));
    }
    let mut two_successes = half_open();
    two_successes.success_threshold = 2;
    let none = CircuitBreakerCapabilities::none();
    config()
        .with_half_open(two_successes)
        .require(&none, "test")
        .unwrap_err();
    config().with_call_timeout(second).require(&none, "test").unwrap();
}

#[test]
fn a_configuration_survives_json() {
    let configs = [
        CircuitBreakerConfig::new(),
        CircuitBreakerConfig::new()
            .with_trip(TripPolicy::count_window(20, RateThresholds::new(0.25, 10)))
            .with_open(OpenPolicy::exponential(Duration::from_secs(5), Duration::from_secs(60)).with_jitter(0.2))
            .with_half_open(HalfOpenPolicy::new(2, 3).with_probe_lease(Duration::from_secs(7)))
            .with_call_timeout(Duration::from_millis(1_500))
            .with_on_cancel(CancelPolicy::Failure)
            .with_mode(CircuitMode::MetricsOnly),
        CircuitBreakerConfig::new().with_trip(TripPolicy::time_window(
            Duration::from_secs(60),
            RateThresholds::new(0.5, 10).with_slow_calls(Duration::from_secs(2), 0.9),
        )),
    ];
    for config in configs {
        let json = serde_json::to_string(&config).unwrap();
        let back: CircuitBreakerConfig = serde_json::from_str(&json).unwrap();
        assert_eq!(format!("{back:?}"), format!("{config:?}"), "{json}");
        assert_eq!(serde_json::to_string(&back).unwrap(), json);
    }
}

#[test]
fn a_configuration_is_written_by_people() {
    let config: CircuitBreakerConfig = serde_json::from_str(
        r#"{
            "trip": { "time_window": { "length": "1m", "rates": { "failure_rate": 0.25, "slow_call_duration": "800ms" } } },
            "open": { "backoff": { "initial": "10s" } },
            "call_timeout": "2s",
            "on_cancel": "failure"
        }"#,
    )
    .unwrap();
    let mut rates = RateThresholds::default();
    rates.failure_rate = 0.25;
    rates.slow_call_duration = Some(Duration::from_millis(800));
    assert_eq!(config.trip, TripPolicy::time_window(Duration::from_secs(60), rates));
    let ten_seconds = Backoff::new(Duration::from_secs(10), Duration::from_secs(300));
    let expected = ten_seconds.with_jitter(Jitter::Proportional(0.1));
    assert_eq!(
        config.open,
        OpenPolicy::new(expected),
        "the rest is the default of a circuit"
    );
    assert_eq!(config.call_timeout, Some(Duration::from_secs(2)));
    assert_eq!(config.on_cancel, CancelPolicy::Failure);
    config.validate().unwrap();

    for wrong in [
        r#"{ "trip": { "sometimes": {} } }"#,
        r#"{ "trip": { "count_window": { "size": 9, "rates": { "rate": 0.5 } } } }"#,
        r#"{ "mode": "off" }"#,
        r#"{ "call_timout": "2s" }"#,
        r#"{ "open": { "duration": "2s" } }"#,
        r#"{ "open": { "backoff": { "duration": "2s" } } }"#,
        r#"{ "half_open": { "probes": 2 } }"#,
        r#"{ "call_timeout": "two seconds" }"#,
    ] {
        assert!(serde_json::from_str::<CircuitBreakerConfig>(wrong).is_err(), "{wrong}");
    }
}

#[test]
fn metrics_and_events_survive_json() {
    let at = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
    let mut metrics = CircuitMetrics::default();
    metrics.state = CircuitState::HalfOpen;
    metrics.retry_after = Some(Duration::from_millis(1_500));
    metrics.transitions.push(CircuitTransition::new(
        CircuitState::Open,
        CircuitState::HalfOpen,
        TransitionReason::OpenTimeElapsed,
        at,
    ));
    let json = serde_json::to_value(&metrics).unwrap();
    assert_eq!(json["state"], "half_open");
    assert_eq!(json["transitions"][0]["reason"], "open_time_elapsed");
    assert_eq!(serde_json::from_value::<CircuitMetrics>(json).unwrap(), metrics);

    for kind in [
        CircuitEventKind::StateChanged {
            from: CircuitState::Closed,
            to: CircuitState::Open,
            reason: TransitionReason::FailureRate,
        },
        CircuitEventKind::ModeChanged {
            from: CircuitMode::Automatic,
            to: CircuitMode::ForcedOpen,
        },
        CircuitEventKind::Rejected {
            retry_after: Some(Duration::from_secs(1)),
        },
        CircuitEventKind::Configured,
        CircuitEventKind::Reset,
        CircuitEventKind::Evicted,
        CircuitEventKind::Lagged { missed: 3 },
    ] {
        let event = CircuitEvent::new("payments".into(), at, kind);
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(serde_json::from_str::<CircuitEvent>(&json).unwrap(), event, "{json}");
    }
}

#[test]
fn the_default_classifier_counts_only_failures_of_the_dependency() {
    let classifier = default_classifier();
    let status = |status| NetworkError::new(ErrorKind::Status, "http.request", "").with_status(status);
    let kind = |kind| NetworkError::new(kind, "test", "");
    for (error, expected) in [
        (status(500), CallOutcome::Failure),
        (status(503), CallOutcome::Failure),
        (status(408), CallOutcome::Failure),
        (status(429), CallOutcome::Failure),
        (status(404), CallOutcome::Success),
        (status(401), CallOutcome::Success),
        (kind(ErrorKind::Timeout), CallOutcome::Failure),
        (kind(ErrorKind::ConnectionRefused), CallOutcome::Failure),
        (kind(ErrorKind::Dns), CallOutcome::Failure),
        (kind(ErrorKind::Remote), CallOutcome::Failure),
        (kind(ErrorKind::NotFound), CallOutcome::Success),
        (kind(ErrorKind::Conflict), CallOutcome::Success),
        (kind(ErrorKind::InvalidInput), CallOutcome::Ignored),
        (kind(ErrorKind::Cancelled), CallOutcome::Ignored),
        (kind(ErrorKind::CircuitOpen), CallOutcome::Ignored),
        (kind(ErrorKind::Exhausted), CallOutcome::Ignored),
        (kind(ErrorKind::DestinationDenied), CallOutcome::Ignored),
        (kind(ErrorKind::TooLarge), CallOutcome::Ignored),
        (kind(ErrorKind::Redirect), CallOutcome::Ignored),
        // A proxy or a server that says so did respond, or fails itself.
        (kind(ErrorKind::TooLarge).with_status(502), CallOutcome::Failure),
        (kind(ErrorKind::Redirect).with_status(308), CallOutcome::Success),
        (
            NetworkError::timeout("test", Phase::Queue, Duration::from_secs(1)),
            CallOutcome::Ignored,
        ),
        (
            NetworkError::timeout("test", Phase::Connect, Duration::from_secs(1)),
            CallOutcome::Failure,
        ),
        (kind(ErrorKind::Tls), CallOutcome::Failure),
        (kind(ErrorKind::Proxy), CallOutcome::Failure),
        (kind(ErrorKind::Decode), CallOutcome::Failure),
        (kind(ErrorKind::Internal), CallOutcome::Failure),
    ] {
        assert_eq!(classifier.classify(&error), expected, "{error}");
    }
}

#[test]
fn a_local_limiter_says_nothing_about_the_dependency() {
    let classifier = default_classifier();
    let limited = NetworkError::new(ErrorKind::RateLimited, "http.request", "slow down");
    assert_eq!(classifier.classify(&limited), CallOutcome::Failure);
    let local = limited.with_send_state(SendState::NotSent);
    assert_eq!(classifier.classify(&local), CallOutcome::Ignored);
}

#[test]
fn the_kafka_classifier_does_not_count_bad_records_as_failures() {
    let classifier = kafka_classifier();
    for (kind, expected) in [
        (ErrorKind::Connection, CallOutcome::Failure),
        (ErrorKind::Timeout, CallOutcome::Failure),
        // No leader, no coordinator, too few replicas.
        (ErrorKind::Remote, CallOutcome::Failure),
        (ErrorKind::RateLimited, CallOutcome::Failure),
        (ErrorKind::NotFound, CallOutcome::Success),
        (ErrorKind::Conflict, CallOutcome::Success),
        (ErrorKind::PermissionDenied, CallOutcome::Success),
        (ErrorKind::TooLarge, CallOutcome::Ignored),
        (ErrorKind::Decode, CallOutcome::Ignored),
        (ErrorKind::InvalidInput, CallOutcome::Ignored),
        (ErrorKind::Exhausted, CallOutcome::Ignored),
        (ErrorKind::Rejected, CallOutcome::Ignored),
    ] {
        let error = NetworkError::new(kind, "kafka.produce_message", "");
        assert_eq!(classifier.classify(&error), expected, "{error}");
    }
}
