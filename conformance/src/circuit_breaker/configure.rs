//! Configuration of existing circuits.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use networking_spi::circuit_breaker::{
    CallOutcome, CancelPolicy, CircuitBreakerExt, CircuitExt, CircuitState, ErrorClassifier, HalfOpenPolicy,
    OpenPolicy, RateThresholds, TripPolicy,
};
use networking_spi::{ErrorKind, NetworkError};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, SLOW, Scene, check_close, config, count_window, failure};
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

pub(super) async fn keeps_state_and_counters(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let early = scene.permit("a call before the configuration")?;
    scene.succeed(1)?;
    scene.calls(1, CallOutcome::Ignored)?;
    scene.fail(2)?;
    scene
        .breaker
        .configure_circuit_breaker(NAME, config().with_trip(TripPolicy::consecutive(4)))?;
    let metrics = scene.circuit.metrics();
    check_eq!(
        (metrics.successes, metrics.failures, metrics.ignored, metrics.in_flight),
        (1, 2, 1, 1),
        "successes, failures, ignored calls and calls in flight after the configuration"
    );
    check_eq!(
        metrics.consecutive_failures,
        2,
        "consecutive failures after the configuration"
    );
    early.record(CallOutcome::Failure);
    check_eq!(
        scene.circuit.metrics().stale,
        0,
        "stale results after the configuration"
    );
    scene.expect(CircuitState::Closed, "after three failures of four")?;
    scene.fail(1)?;
    scene.expect(
        CircuitState::Open,
        "after four failures, one of a call in flight during the configuration",
    )?;
    harness.advance(OPEN_TIME / 2).await;
    let longer = config().with_open(OpenPolicy::exponential(OPEN_TIME * 2, OPEN_TIME * 20));
    scene.breaker.configure_circuit_breaker(NAME, longer)?;
    scene.expect(CircuitState::Open, "after a configuration while open")?;
    check_close(
        scene.open_for()?,
        OPEN_TIME / 2,
        "the remaining open time after a configuration with another open time",
    )?;
    harness.advance(OPEN_TIME / 2 + MARGIN).await;
    scene.fail(1)?;
    check_close(
        scene.open_for()?,
        OPEN_TIME * 4,
        "the second open time since the recovery, by the new policy",
    )
}

pub(super) async fn keeps_probes(harness: Arc<Dyn>) -> CaseResult {
    let two = || config().with_half_open(HalfOpenPolicy::new(1, 2));
    let scene = Scene::new(&harness, two())?;
    scene.half_open(&harness).await?;
    scene.succeed(1)?;
    let probe = scene.permit("the second probe")?;
    scene.breaker.configure_circuit_breaker(NAME, two())?;
    scene.expect(CircuitState::HalfOpen, "after a configuration while half-open")?;
    scene.rejection("while a probe from before the configuration is in flight")?;
    probe.record(CallOutcome::Success);
    scene.expect(
        CircuitState::Closed,
        "after two successful probes, with a configuration between them",
    )
}

pub(super) async fn new_call_settings_apply(harness: Arc<Dyn>) -> CaseResult {
    let limit = Duration::from_millis(100);
    let scene = Scene::new(&harness, config().with_trip(TripPolicy::consecutive(100)))?;
    let settings = config()
        .with_trip(TripPolicy::consecutive(100))
        .with_call_timeout(limit)
        .with_on_cancel(CancelPolicy::Failure)
        .with_classifier(Arc::new(EverythingIsASuccess));
    scene.breaker.configure_circuit_breaker(NAME, settings)?;
    // Longer than the limit, so that a call without one ends, too.
    let slow = move || tokio::time::sleep(limit * 10).map(Ok);
    check_error!(
        scene.circuit.call(slow).await,
        ErrorKind::Timeout,
        "a call that exceeds the newly configured timeout"
    );
    check_error!(
        scene.breaker.execute(NAME, None, slow).await,
        ErrorKind::Timeout,
        "an execution that exceeds the newly configured timeout"
    );
    check_eq!(scene.circuit.metrics().failures, 2, "failures");
    drop(scene.permit("a permit to be dropped")?);
    check_eq!(
        scene.circuit.metrics().failures,
        3,
        "failures, when dropped permits are newly configured to count as such"
    );
    let failed = scene.breaker.execute(NAME, None, || async { Err::<(), _>(failure()) });
    check!(failed.await.is_err(), "the operation's error was not returned");
    check_eq!(
        scene.circuit.metrics().successes,
        1,
        "successes, by the newly configured classifier"
    );
    let declared = harness.capabilities();
    if declared.slow_call_rate && declared.count_window {
        let timed = RateThresholds::new(1.0, 10).with_slow_calls(SLOW, 1.0);
        scene.breaker.configure_circuit_breaker(NAME, count_window(10, timed))?;
        scene.slow_call(&harness, SLOW, CallOutcome::Success).await?;
        check_eq!(
            scene.circuit.metrics().slow,
            1,
            "slow calls, when calls are newly configured to be timed"
        );
    }
    // A timeout can be taken away, too.
    scene.breaker.configure_circuit_breaker(NAME, config())?;
    let unlimited = scene.circuit.call(|| tokio::time::sleep(limit * 2).map(Ok)).await;
    check!(
        unlimited.is_ok(),
        "a call exceeded a timeout that is no longer configured: {unlimited:?}"
    );
    Ok(())
}

/// The default classifier decides about most errors in another way.
#[derive(Debug)]
struct EverythingIsASuccess;

impl ErrorClassifier for EverythingIsASuccess {
    fn classify(&self, _error: &NetworkError) -> CallOutcome {
        CallOutcome::Success
    }
}

pub(super) async fn new_thresholds_apply(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_trip(TripPolicy::consecutive(100)))?;
    scene.fail(10)?;
    let mut stricter = config().with_open(OpenPolicy::fixed(OPEN_TIME * 3));
    let probe_limits = harness.capabilities().probe_limits;
    if probe_limits {
        stricter = stricter.with_half_open(HalfOpenPolicy::new(2, 2));
    }
    scene.breaker.configure_circuit_breaker(NAME, stricter)?;
    scene.expect(CircuitState::Closed, "after the configuration alone")?;
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "after the next failure")?;
    check_close(scene.open_for()?, OPEN_TIME * 3, "the new open time")?;
    harness.advance(OPEN_TIME * 3 + MARGIN).await;
    let first = scene.permit("the first probe")?;
    if !probe_limits {
        first.record(CallOutcome::Success);
        return scene.expect(CircuitState::Closed, "after a successful probe");
    }
    let second = scene.permit("the second probe")?;
    first.record(CallOutcome::Success);
    scene.expect(CircuitState::HalfOpen, "after one successful probe of two")?;
    second.record(CallOutcome::Success);
    scene.expect(CircuitState::Closed, "after two successful probes")
}

pub(super) async fn resized_window_keeps_the_newest(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, count_window(10, RateThresholds::new(1.0, 10)))?;
    scene.fail(4)?;
    scene.succeed(3)?;
    scene.fail(1)?;
    scene
        .breaker
        .configure_circuit_breaker(NAME, count_window(4, RateThresholds::new(0.5, 4)))?;
    let window = scene.circuit.metrics().window;
    check_eq!(
        (window.calls, window.failures),
        (4, 1),
        "calls and failures in the window of the last four calls"
    );
    scene
        .breaker
        .configure_circuit_breaker(NAME, count_window(100, RateThresholds::new(0.4, 5)))?;
    let window = scene.circuit.metrics().window;
    check_eq!(
        (window.calls, window.failures),
        (4, 1),
        "calls and failures in a window that has grown"
    );
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "at two failures of five calls")
}

pub(super) async fn another_kind_of_window_is_empty(harness: Arc<Dyn>) -> CaseResult {
    let rates = || RateThresholds::new(1.0, 4);
    let length = Duration::from_secs(10);
    let scene = Scene::new(&harness, config())?;
    for (kind, trip) in [
        ("count", TripPolicy::count_window(10, rates())),
        ("time", TripPolicy::time_window(length, rates())),
        ("count", TripPolicy::count_window(10, rates())),
    ] {
        scene
            .breaker
            .configure_circuit_breaker(NAME, config().with_trip(trip))?;
        check_eq!(
            scene.circuit.metrics().window.calls,
            0,
            "calls in the {kind} window that replaced another kind of window"
        );
        scene.fail(2)?;
        scene.succeed(1)?;
        let window = scene.circuit.metrics().window;
        check_eq!(
            (window.calls, window.failures),
            (3, 2),
            "calls and failures in the {kind} window that replaced another kind of window"
        );
        scene.expect(CircuitState::Closed, "below the minimum of calls in the new window")?;
    }
    Ok(())
}

pub(super) async fn a_longer_time_window_keeps_its_calls(harness: Arc<Dyn>) -> CaseResult {
    let windowed = |seconds| {
        config().with_trip(TripPolicy::time_window(
            Duration::from_secs(seconds),
            RateThresholds::new(1.0, 4),
        ))
    };
    let scene = Scene::new(&harness, windowed(2))?;
    scene.fail(2)?;
    harness.advance(OPEN_TIME).await;
    scene.fail(1)?;
    scene.breaker.configure_circuit_breaker(NAME, windowed(20))?;
    harness.advance(Duration::from_secs(3)).await;
    let window = scene.circuit.metrics().window;
    check_eq!(
        (window.calls, window.failures),
        (3, 3),
        "calls and failures in a time window that has become longer, after its former length"
    );
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "at four failures of four within the longer window")
}

pub(super) async fn invalid_is_refused(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let before = scene.circuit.config();
    let declared = harness.capabilities();
    let leased = HalfOpenPolicy::default().with_probe_lease(Duration::ZERO);
    for (declared, field, config) in [
        (true, "trip.failures", config().with_trip(TripPolicy::consecutive(0))),
        (
            declared.count_window,
            "trip.minimum_calls",
            count_window(5, RateThresholds::new(0.5, 6)),
        ),
        (
            declared.probe_limits,
            "half_open.max_concurrent_probes",
            config().with_half_open(HalfOpenPolicy::new(0, 1)),
        ),
        (
            declared.probe_limits,
            "half_open.success_threshold",
            config().with_half_open(HalfOpenPolicy::new(1, 0)),
        ),
        (
            declared.probe_leases,
            "half_open.probe_lease",
            config().with_half_open(leased),
        ),
        (
            true,
            "open.backoff.multiplier",
            config().with_open(OpenPolicy::fixed(OPEN_TIME).with_multiplier(f64::NAN)),
        ),
        (
            true,
            "open.backoff.initial",
            config().with_open(OpenPolicy::fixed(Duration::ZERO)),
        ),
        (true, "call_timeout", config().with_call_timeout(Duration::ZERO)),
    ] {
        if !declared {
            continue;
        }
        for name in [NAME, "new"] {
            let refused = scene.breaker.configure_circuit_breaker(name, config.clone());
            let error = check_error!(refused, ErrorKind::InvalidInput, "an invalid {field}");
            check_eq!(error.field(), Some(field), "the field that the error names");
        }
    }
    check!(
        Arc::ptr_eq(&before, &scene.circuit.config()),
        "a refused configuration took effect"
    );
    check_eq!(
        scene.breaker.all_circuit_states().len(),
        1,
        "circuits after a refused configuration"
    );
    scene.trip()
}

pub(super) async fn handles_see_changes(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene
        .breaker
        .configure_circuit_breaker(NAME, config().with_trip(TripPolicy::consecutive(1)))?;
    check_eq!(
        scene.circuit.config().trip,
        TripPolicy::consecutive(1),
        "the configuration that a handle shows"
    );
    scene.fail(1)?;
    check_eq!(
        scene.breaker.circuit_state(NAME)?,
        CircuitState::Open,
        "the state by name"
    );
    scene.breaker.reset_circuit_breaker(NAME)?;
    scene.expect(CircuitState::Closed, "that a handle shows after a reset")?;
    if harness.capabilities().overrides {
        scene.breaker.force_circuit_open(NAME)?;
        scene.rejection("through a handle, when forced open")?;
    }
    Ok(())
}

pub(super) async fn creates_the_circuit(harness: Arc<Dyn>) -> CaseResult {
    let breaker = harness.breaker(config());
    breaker.configure_circuit_breaker(NAME, config().with_trip(TripPolicy::consecutive(1)))?;
    check_eq!(
        breaker.circuit_state(NAME)?,
        CircuitState::Closed,
        "the state of a circuit that was only configured"
    );
    let circuit = breaker.circuit(NAME)?;
    let scene = Scene { breaker, circuit };
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "after one failure of one")
}
