//! Trips by consecutive failures.

use std::sync::Arc;

use networking_spi::circuit_breaker::{CallOutcome, CircuitState};

use super::Dyn;
use super::scenario::{Scene, config};
use crate::kit::CaseResult;
use crate::{check, check_eq};

pub(super) async fn starts_closed(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let metrics = scene.circuit.metrics();
    check_eq!(metrics.state, CircuitState::Closed, "the state of a new circuit");
    check_eq!(
        metrics.completed() + metrics.rejected + metrics.in_flight,
        0,
        "calls of a new circuit"
    );
    check!(metrics.transitions.is_empty(), "a new circuit has transitions");
    check_eq!(scene.circuit.name(), super::scenario::NAME, "the name of the circuit");
    scene.succeed(100)?;
    scene.expect(CircuitState::Closed, "after a hundred successes")
}

pub(super) async fn consecutive_failures_open(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.fail(2)?;
    scene.expect(CircuitState::Closed, "after two failures of three")?;
    check_eq!(
        scene.circuit.metrics().consecutive_failures,
        2,
        "the reported consecutive failures"
    );
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "after three failures of three")?;
    check_eq!(
        scene.circuit.metrics().consecutive_failures,
        0,
        "the reported consecutive failures of a circuit that is not closed"
    );
    Ok(())
}

pub(super) async fn success_restarts_the_count(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    for _ in 0..5 {
        scene.fail(2)?;
        scene.succeed(1)?;
    }
    scene.expect(CircuitState::Closed, "after at most two consecutive failures")?;
    check_eq!(
        scene.circuit.metrics().consecutive_failures,
        0,
        "consecutive failures after a success"
    );
    scene.trip()
}

pub(super) async fn ignored_counts_for_nothing(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.calls(10, CallOutcome::Ignored)?;
    scene.expect(CircuitState::Closed, "after ignored calls")?;
    scene.fail(2)?;
    scene.calls(10, CallOutcome::Ignored)?;
    scene.expect(CircuitState::Closed, "after two failures and ignored calls")?;
    scene.fail(1)?;
    scene.expect(
        CircuitState::Open,
        "after the third failure: ignored calls do not reset the count",
    )
}
