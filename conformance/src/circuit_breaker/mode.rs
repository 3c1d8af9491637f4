//! Overrides, configured modes, and metrics-only mode.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::circuit_breaker::{CallOutcome, CircuitMode, CircuitState};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, Scene, config};
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

pub(super) async fn forced_open_stays_open(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let early = scene.permit("a call admitted while closed")?;
    scene.breaker.force_circuit_open(NAME)?;
    scene.expect(CircuitState::Open, "when forced open")?;
    check_eq!(scene.circuit.metrics().mode, CircuitMode::ForcedOpen, "the mode");
    harness.advance(OPEN_TIME * 20).await;
    scene.expect(CircuitState::Open, "long after the open time")?;
    let rejection = scene.rejection("long after the open time")?;
    check_eq!(
        rejection.retry_after,
        None,
        "the delay of a rejection while forced open"
    );
    early.record(CallOutcome::Success);
    scene.expect(
        CircuitState::Open,
        "after the success of a call from before the override",
    )?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    scene.permit("after the reset")?.record(CallOutcome::Success);
    Ok(())
}

pub(super) async fn forced_closed_stays_closed(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.trip()?;
    scene.breaker.force_circuit_closed(NAME)?;
    scene.expect(CircuitState::Closed, "when forced closed")?;
    check_eq!(scene.circuit.metrics().mode, CircuitMode::ForcedClosed, "the mode");
    scene.fail(20)?;
    scene.expect(CircuitState::Closed, "after twenty failures")?;
    check_eq!(scene.circuit.metrics().failures, 23, "failures while forced closed");
    Ok(())
}

pub(super) async fn a_later_override_replaces_an_earlier_one(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.breaker.force_circuit_open(NAME)?;
    scene.breaker.force_circuit_closed(NAME)?;
    scene.expect(CircuitState::Closed, "when forced closed after forced open")?;
    scene.fail(5)?;
    scene.breaker.force_circuit_open(NAME)?;
    scene.expect(CircuitState::Open, "when forced open after forced closed")
}

pub(super) async fn overrides_take_precedence_over_configuration(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.breaker.force_circuit_open(NAME)?;
    scene.breaker.configure_circuit_breaker(NAME, config())?;
    scene.expect(CircuitState::Open, "after a configuration while forced open")?;
    scene.breaker.force_circuit_closed(NAME)?;
    scene.breaker.configure_circuit_breaker(NAME, config())?;
    scene.fail(5)?;
    scene.expect(
        CircuitState::Closed,
        "after a configuration and failures while forced closed",
    )
}

pub(super) async fn reset_starts_over(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.trip()?;
    scene.rejection("while open")?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    let metrics = scene.circuit.metrics();
    check_eq!(metrics.state, CircuitState::Closed, "the state after a reset");
    check_eq!(metrics.mode, CircuitMode::Automatic, "the mode after a reset");
    check_eq!(
        metrics.completed() + metrics.rejected + metrics.times_opened,
        0,
        "the totals after a reset"
    );
    scene.fail(2)?;
    scene.expect(
        CircuitState::Closed,
        "after two failures: those before the reset do not count",
    )?;
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "after three failures: the policy applies again")
}

pub(super) async fn a_circuit_starts_in_its_configured_mode(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_mode(CircuitMode::ForcedOpen))?;
    scene.expect(CircuitState::Open, "when created as forced open")?;
    scene.rejection("when created as forced open")?;
    scene.breaker.configure_circuit_breaker(NAME, config())?;
    scene.expect(CircuitState::Closed, "when configured as automatic")?;
    scene.trip()
}

pub(super) async fn metrics_only_never_rejects(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_mode(CircuitMode::MetricsOnly))?;
    scene.trip()?;
    scene.succeed(5)?;
    scene.expect(
        CircuitState::Open,
        "after successes of calls that it would have rejected",
    )?;
    let metrics = scene.circuit.metrics();
    check_eq!(metrics.rejected, 5, "calls that it would have rejected");
    check_eq!((metrics.successes, metrics.failures), (5, 3), "successes and failures");
    harness.advance(OPEN_TIME + MARGIN).await;
    let probe = scene.permit("the call that automatic mode would admit as a probe")?;
    scene.succeed(1)?;
    scene.expect(CircuitState::HalfOpen, "after a call beyond the probe slots")?;
    probe.record(CallOutcome::Success);
    scene.expect(
        CircuitState::Closed,
        "after the success of the call that automatic mode would admit",
    )?;
    check_eq!(scene.circuit.metrics().rejected, 6, "calls that it would have rejected");
    check_eq!(scene.circuit.metrics().in_flight, 0, "calls in flight");
    Ok(())
}

pub(super) async fn unknown_circuits_are_not_found(harness: Arc<Dyn>) -> CaseResult {
    let breaker = harness.breaker(config());
    check_error!(breaker.circuit_state("unknown"), ErrorKind::NotFound, "the state");
    check_error!(breaker.circuit_metrics("unknown"), ErrorKind::NotFound, "the metrics");
    check_error!(breaker.reset_circuit_breaker("unknown"), ErrorKind::NotFound, "a reset");
    check_error!(
        breaker.force_circuit_open("unknown"),
        ErrorKind::NotFound,
        "forcing open"
    );
    check_error!(
        breaker.force_circuit_closed("unknown"),
        ErrorKind::NotFound,
        "forcing closed"
    );
    check!(breaker.all_circuit_states().is_empty(), "a query created a circuit");
    Ok(())
}
