//! Metrics and transitions.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::circuit_breaker::{CallOutcome, CircuitState, TransitionReason};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, Scene, check_close, config};
use crate::kit::CaseResult;
use crate::{check, check_eq};

pub(super) async fn calls_add_up(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.succeed(4)?;
    scene.calls(2, CallOutcome::Ignored)?;
    let in_flight = [scene.permit("a call")?, scene.permit("a call")?];
    check_eq!(scene.circuit.metrics().in_flight, 2, "calls in flight");
    scene.trip()?;
    for _ in 0..5 {
        scene.rejection("while open")?;
    }
    for permit in in_flight {
        permit.record(CallOutcome::Success);
    }
    let metrics = scene.circuit.metrics();
    check_eq!(
        (
            metrics.successes,
            metrics.failures,
            metrics.ignored,
            metrics.rejected,
            metrics.stale,
            metrics.in_flight
        ),
        (4, 3, 2, 5, 2, 0),
        "successes, failures, ignored, rejected, stale and in flight"
    );
    check_eq!(metrics.times_opened, 1, "how often the circuit opened");
    Ok(())
}

pub(super) async fn time_in_state(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    harness.advance(OPEN_TIME).await;
    scene.trip()?;
    harness.advance(OPEN_TIME / 2).await;
    check_close(
        scene.circuit.metrics().in_state_for,
        OPEN_TIME / 2,
        "the time since the circuit opened",
    )
}

pub(super) async fn time_in_each_state(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    harness.advance(OPEN_TIME / 2).await;
    scene.half_open(&harness).await?;
    harness.advance(OPEN_TIME / 4).await;
    scene.succeed(1)?;
    harness.advance(OPEN_TIME / 2).await;
    let times = scene.circuit.metrics().time_in;
    check_close(times.closed, OPEN_TIME, "the time closed, in two parts")?;
    check_close(times.open, OPEN_TIME + MARGIN, "the time open")?;
    check_close(times.half_open, OPEN_TIME / 4, "the time half-open")?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    harness.advance(OPEN_TIME / 2).await;
    let times = scene.circuit.metrics().time_in;
    check_close(times.closed, OPEN_TIME / 2, "the time closed since the reset")?;
    check_close(times.open, Duration::ZERO, "the time open since the reset")
}

pub(super) async fn transitions_are_counted(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    check_eq!(
        scene.circuit.metrics().transition_count,
        0,
        "transitions of a new circuit"
    );
    for _ in 0..500 {
        scene.breaker.force_circuit_open(NAME)?;
        scene.breaker.force_circuit_open(NAME)?;
        scene.breaker.force_circuit_closed(NAME)?;
    }
    check_eq!(scene.circuit.metrics().transition_count, 1_000, "transitions");
    scene.breaker.reset_circuit_breaker(NAME)?;
    check_eq!(scene.circuit.metrics().transition_count, 0, "transitions after a reset");
    Ok(())
}

pub(super) async fn transitions_are_kept_in_order(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.half_open(&harness).await?;
    scene.fail(1)?;
    harness.advance(OPEN_TIME + MARGIN).await;
    scene.succeed(1)?;
    let transitions = scene.circuit.metrics().transitions;
    let seen: Vec<_> = transitions
        .iter()
        .map(|transition| (transition.from, transition.to, transition.reason))
        .collect();
    let expected = [
        (
            CircuitState::Closed,
            CircuitState::Open,
            TransitionReason::ConsecutiveFailures,
        ),
        (
            CircuitState::Open,
            CircuitState::HalfOpen,
            TransitionReason::OpenTimeElapsed,
        ),
        (
            CircuitState::HalfOpen,
            CircuitState::Open,
            TransitionReason::ProbeFailed,
        ),
        (
            CircuitState::Open,
            CircuitState::HalfOpen,
            TransitionReason::OpenTimeElapsed,
        ),
        (
            CircuitState::HalfOpen,
            CircuitState::Closed,
            TransitionReason::ProbesSucceeded,
        ),
    ];
    check_eq!(seen, expected, "the transitions");
    check!(
        transitions.is_sorted_by_key(|transition| transition.at),
        "the transitions' times are not in order"
    );
    Ok(())
}

pub(super) async fn transitions_are_bounded(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let mut kept = [0; 2];
    for kept in &mut kept {
        for _ in 0..1_000 {
            scene.breaker.force_circuit_open(super::scenario::NAME)?;
            scene.breaker.force_circuit_closed(super::scenario::NAME)?;
        }
        *kept = scene.circuit.metrics().transitions.len();
    }
    check!(
        kept[0] == kept[1] && kept[0] < 2_000,
        "after 2000 and 4000 transitions, {} and {} are kept",
        kept[0],
        kept[1]
    );
    let last = scene
        .circuit
        .metrics()
        .transitions
        .last()
        .map(|transition| transition.to);
    check_eq!(last, Some(CircuitState::Closed), "the state of the newest transition");
    Ok(())
}
