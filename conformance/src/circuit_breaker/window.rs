//! Trips by rates over a window of calls.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::circuit_breaker::{
    CallOutcome, CircuitBreakerConfig, CircuitMode, CircuitState, RateThresholds, TransitionReason, TripPolicy,
};
use networking_spi::{ErrorKind, NetworkError};

use super::Dyn;
use super::scenario::{NAME, OPEN_TIME, Scene, config, count_window};
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

const WINDOW: Duration = Duration::from_secs(2);

pub(super) async fn failure_rate_opens(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, count_window(10, RateThresholds::new(0.5, 10)))?;
    scene.succeed(6)?;
    scene.fail(4)?;
    scene.expect(CircuitState::Closed, "at four failures of ten, below one half")?;
    check_eq!(
        scene.circuit.metrics().window.failures,
        4,
        "failures in the reported window"
    );
    // This call replaces the oldest one, a success.
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "at five failures of ten")?;
    let reason = scene
        .circuit
        .metrics()
        .transitions
        .last()
        .map(|transition| transition.reason);
    check_eq!(reason, Some(TransitionReason::FailureRate), "the reason");
    Ok(())
}

pub(super) async fn a_success_can_complete_the_minimum(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, count_window(10, RateThresholds::new(0.5, 4)))?;
    scene.fail(3)?;
    scene.expect(CircuitState::Closed, "below the minimum of calls")?;
    scene.succeed(1)?;
    scene.expect(CircuitState::Open, "at three failures of four, the minimum")
}

pub(super) async fn minimum_calls(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, count_window(100, RateThresholds::new(0.1, 20)))?;
    scene.fail(19)?;
    scene.calls(20, CallOutcome::Ignored)?;
    scene.expect(
        CircuitState::Closed,
        "after 19 failures at a minimum of 20 calls, without the ignored calls",
    )?;
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "after 20 calls")
}

pub(super) async fn window_slides(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, count_window(10, RateThresholds::new(0.5, 10)))?;
    scene.succeed(1_000)?;
    scene.fail(4)?;
    scene.expect(CircuitState::Closed, "after 1000 successes and 4 failures")?;
    scene.fail(1)?;
    scene.expect(
        CircuitState::Open,
        "after 1000 successes and 5 failures: only the last ten calls count",
    )?;
    check_eq!(scene.circuit.metrics().window.calls, 10, "calls in the reported window");
    Ok(())
}

pub(super) async fn old_failures_leave_the_window(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, count_window(10, RateThresholds::new(0.5, 10)))?;
    for _ in 0..20 {
        scene.fail(4)?;
        scene.succeed(6)?;
    }
    scene.expect(CircuitState::Closed, "while at most four of the last ten calls failed")
}

pub(super) async fn time_window_opens(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(
        &harness,
        config().with_trip(TripPolicy::time_window(WINDOW, RateThresholds::new(0.5, 6))),
    )?;
    scene.succeed(3)?;
    harness.advance(WINDOW / 2).await;
    scene.fail(2)?;
    scene.expect(CircuitState::Closed, "below the minimum of calls")?;
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "at three failures of six within the window")
}

pub(super) async fn time_window_forgets(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(
        &harness,
        config().with_trip(TripPolicy::time_window(WINDOW, RateThresholds::new(0.5, 6))),
    )?;
    scene.fail(5)?;
    check_eq!(scene.circuit.metrics().window.calls, 5, "calls in the reported window");
    harness.advance(WINDOW).await;
    check_eq!(
        scene.circuit.metrics().window.calls,
        0,
        "calls in the reported window after its length"
    );
    scene.fail(5)?;
    scene.expect(CircuitState::Closed, "when the first failures have left the window")?;
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "at six failures within the window")
}

pub(super) async fn slow_calls_open(harness: Arc<Dyn>) -> CaseResult {
    let slow = Duration::from_millis(200);
    let rates = RateThresholds::new(1.0, 4).with_slow_calls(slow, 0.5);
    let scene = Scene::new(&harness, count_window(10, rates))?;
    scene.succeed(2)?;
    for nth in 1..=2 {
        scene.expect(CircuitState::Closed, "before two slow calls of four")?;
        let permit = scene.permit("a slow call")?;
        harness.advance(slow).await;
        permit.record(CallOutcome::Success);
        check_eq!(scene.circuit.metrics().slow, nth, "slow calls");
    }
    scene.expect(CircuitState::Open, "after two slow calls of four")?;
    let reason = scene
        .circuit
        .metrics()
        .transitions
        .last()
        .map(|transition| transition.reason);
    check_eq!(reason, Some(TransitionReason::SlowCallRate), "the reason");
    Ok(())
}

pub(super) async fn recovery_empties_the_window(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, count_window(10, RateThresholds::new(0.5, 4)))?;
    scene.fail(4)?;
    scene.expect(CircuitState::Open, "after four failures of four")?;
    harness.advance(OPEN_TIME * 2).await;
    scene.succeed(1)?;
    scene.expect(CircuitState::Closed, "after a successful probe")?;
    check_eq!(
        scene.circuit.metrics().window.calls,
        0,
        "calls in the window after the recovery"
    );
    scene.fail(3)?;
    scene.expect(CircuitState::Closed, "below the minimum of calls since the recovery")
}

pub(super) async fn undeclared_is_unsupported(harness: Arc<Dyn>) -> CaseResult {
    let breaker = harness.breaker(config());
    let declared = breaker.capabilities();
    let rates = RateThresholds::default();
    let count = |rates| TripPolicy::count_window(10, rates);
    let configs: [(&str, bool, CircuitBreakerConfig); 4] = [
        (
            "count_window",
            declared.count_window,
            config().with_trip(count(rates.clone())),
        ),
        (
            "time_window",
            declared.time_window,
            config().with_trip(TripPolicy::time_window(WINDOW, rates.clone())),
        ),
        (
            "slow_call_rate",
            declared.slow_call_rate && declared.count_window,
            config().with_trip(count(rates.with_slow_calls(Duration::from_secs(1), 0.5))),
        ),
        (
            "metrics_only",
            declared.metrics_only,
            config().with_mode(CircuitMode::MetricsOnly),
        ),
    ];
    for (capability, declared, config) in configs {
        agrees(breaker.configure_circuit_breaker(NAME, config), declared, capability)?;
    }
    agrees(breaker.subscribe().map(drop), declared.events, "events")
}

fn agrees(result: Result<(), NetworkError>, declared: bool, capability: &str) -> CaseResult {
    if declared {
        check!(result.is_ok(), "{capability} is declared, but failed: {result:?}");
    } else {
        check_error!(result, ErrorKind::Unsupported, "{capability} is not declared");
    }
    Ok(())
}
