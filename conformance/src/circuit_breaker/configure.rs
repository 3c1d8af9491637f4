//! Configuration of existing circuits.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::circuit_breaker::{
    CallOutcome, CircuitState, HalfOpenPolicy, OpenPolicy, RateThresholds, TripPolicy,
};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, Scene, check_close, config, count_window};
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

pub(super) async fn keeps_state_and_counters(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let early = scene.permit("a call before the configuration")?;
    scene.fail(2)?;
    scene
        .breaker
        .configure_circuit_breaker(NAME, config().with_trip(TripPolicy::consecutive(4)))?;
    check_eq!(scene.circuit.metrics().failures, 2, "failures after the configuration");
    check_eq!(
        scene.circuit.metrics().consecutive_failures,
        2,
        "consecutive failures after the configuration"
    );
    early.record(CallOutcome::Failure);
    scene.expect(CircuitState::Closed, "after three failures of four")?;
    scene.fail(1)?;
    scene.expect(
        CircuitState::Open,
        "after four failures, one of a call in flight during the configuration",
    )?;
    scene.breaker.configure_circuit_breaker(NAME, config())?;
    scene.expect(CircuitState::Open, "after a configuration while open")?;
    check_close(scene.open_for()?, OPEN_TIME, "the open time after a configuration")
}

pub(super) async fn new_thresholds_apply(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_trip(TripPolicy::consecutive(100)))?;
    scene.fail(10)?;
    let stricter = config()
        .with_open(OpenPolicy::fixed(OPEN_TIME * 3))
        .with_half_open(HalfOpenPolicy::new(2, 2));
    scene.breaker.configure_circuit_breaker(NAME, stricter)?;
    scene.expect(CircuitState::Closed, "after the configuration alone")?;
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "after the next failure")?;
    check_close(scene.open_for()?, OPEN_TIME * 3, "the new open time")?;
    harness.advance(OPEN_TIME * 3 + MARGIN).await;
    let first = scene.permit("the first probe")?;
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
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "at two failures of the last four calls")
}

pub(super) async fn invalid_is_refused(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let before = scene.circuit.config();
    for (field, config) in [
        ("trip.failures", config().with_trip(TripPolicy::consecutive(0))),
        (
            "half_open.max_concurrent_probes",
            config().with_half_open(HalfOpenPolicy::new(0, 1)),
        ),
        (
            "open.backoff.multiplier",
            config().with_open(OpenPolicy::fixed(OPEN_TIME).with_multiplier(f64::NAN)),
        ),
    ] {
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
    scene.breaker.force_circuit_open(NAME)?;
    scene.rejection("through a handle, when forced open")?;
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
