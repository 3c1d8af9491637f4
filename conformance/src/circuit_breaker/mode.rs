//! Overrides, configured modes, and metrics-only mode.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::ErrorKind;
use networking_spi::circuit_breaker::{CallOutcome, CircuitMode, CircuitState, OpenPolicy, RateThresholds, TripPolicy};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, SLOW, Scene, check_close, config, count_window};
use crate::kit::{CaseResult, Failure};
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
    check_eq!(
        scene.circuit.metrics().retry_after,
        None,
        "the delay in the metrics while forced open"
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
    for mode in [CircuitMode::Automatic, CircuitMode::ForcedClosed] {
        scene
            .breaker
            .configure_circuit_breaker(NAME, config().with_mode(mode))?;
        scene.expect(CircuitState::Open, "after a configuration while forced open")?;
        check_eq!(
            scene.circuit.metrics().mode,
            CircuitMode::ForcedOpen,
            "the mode after configuring {mode} while forced open"
        );
    }
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
    let late = scene.permit("a call admitted while closed")?;
    scene.succeed(1)?;
    scene.calls(1, CallOutcome::Ignored)?;
    scene.trip()?;
    scene.rejection("while open")?;
    late.record(CallOutcome::Success);
    let metrics = scene.circuit.metrics();
    check_eq!(
        (
            metrics.completed(),
            metrics.rejected,
            metrics.stale,
            metrics.times_opened
        ),
        (5, 1, 1, 1),
        "ended, rejected and stale calls, and openings, before the reset"
    );
    scene.breaker.reset_circuit_breaker(NAME)?;
    let metrics = scene.circuit.metrics();
    check_eq!(metrics.state, CircuitState::Closed, "the state after a reset");
    check_eq!(metrics.mode, CircuitMode::Automatic, "the mode after a reset");
    check_eq!(metrics.retry_after, None, "the remaining open time after a reset");
    check_eq!(
        (
            metrics.completed(),
            metrics.rejected,
            metrics.stale,
            metrics.times_opened
        ),
        (0, 0, 0, 0),
        "ended, rejected and stale calls, and openings, after the reset"
    );
    check_eq!(metrics.consecutive_failures, 0, "consecutive failures after a reset");
    scene.fail(2)?;
    scene.expect(
        CircuitState::Closed,
        "after two failures: those before the reset do not count",
    )?;
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "after three failures: the policy applies again")?;

    scene.breaker.reset_circuit_breaker(NAME)?;
    scene.fail(2)?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    scene.fail(2)?;
    scene.expect(
        CircuitState::Closed,
        "after two failures: those before the reset of a closed circuit do not count",
    )
}

pub(super) async fn reset_empties_the_window(harness: Arc<Dyn>) -> CaseResult {
    let mut rates = RateThresholds::new(0.5, 4);
    if harness.capabilities().slow_call_rate {
        rates = rates.with_slow_calls(SLOW, 1.0);
    }
    let scene = Scene::new(&harness, count_window(10, rates))?;
    scene.fail(2)?;
    scene.slow_call(&harness, SLOW, CallOutcome::Failure).await?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    let metrics = scene.circuit.metrics();
    check_eq!(
        (
            metrics.window.calls,
            metrics.window.failures,
            metrics.window.slow,
            metrics.slow
        ),
        (0, 0, 0, 0),
        "calls, failures and slow calls in the window, and all slow calls, after a reset"
    );
    scene.fail(3)?;
    scene.expect(CircuitState::Closed, "below the minimum of calls since the reset")?;
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "at the minimum of calls since the reset")
}

pub(super) async fn reset_restarts_the_backoff(harness: Arc<Dyn>) -> CaseResult {
    let policy = OpenPolicy::exponential(OPEN_TIME, OPEN_TIME * 8);
    let scene = Scene::new(&harness, config().with_open(policy))?;
    scene.half_open(&harness).await?;
    scene.fail(1)?;
    check_close(scene.open_for()?, OPEN_TIME * 2, "the second open time")?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    scene.trip()?;
    check_close(scene.open_for()?, OPEN_TIME, "the open time after a reset")?;

    scene.breaker.reset_circuit_breaker(NAME)?;
    scene.fail_asking_for(OPEN_TIME * 4)?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    scene.trip()?;
    check_close(
        scene.open_for()?,
        OPEN_TIME,
        "the open time after a reset: delays requested before it do not count",
    )
}

pub(super) async fn reset_ends_an_override(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.breaker.force_circuit_open(NAME)?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    let metrics = scene.circuit.metrics();
    check_eq!(
        (metrics.state, metrics.mode),
        (CircuitState::Closed, CircuitMode::Automatic),
        "state and mode after a reset while forced open"
    );
    scene.trip()?;
    scene.breaker.force_circuit_closed(NAME)?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    check_eq!(
        scene.circuit.metrics().mode,
        CircuitMode::Automatic,
        "the mode after a reset while forced closed"
    );
    scene.trip()?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    scene
        .breaker
        .configure_circuit_breaker(NAME, config().with_mode(CircuitMode::ForcedOpen))?;
    scene.expect(
        CircuitState::Open,
        "when configured as forced open, after a reset has ended the override",
    )?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    scene.expect(
        CircuitState::Closed,
        "after a reset: a configured forced mode does not return by itself",
    )?;
    check_eq!(
        scene.circuit.metrics().mode,
        CircuitMode::Automatic,
        "the mode after the reset of a circuit that is configured as forced open"
    );
    Ok(())
}

pub(super) async fn reset_keeps_the_configuration(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let mut configured = config().with_trip(TripPolicy::consecutive(1));
    if harness.capabilities().metrics_only {
        configured = configured.with_mode(CircuitMode::MetricsOnly);
    }
    let mode = configured.mode;
    scene.breaker.configure_circuit_breaker(NAME, configured)?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    check_eq!(
        scene.circuit.config().trip,
        TripPolicy::consecutive(1),
        "the trip policy that the circuit shows after a reset"
    );
    check_eq!(scene.circuit.metrics().mode, mode, "the mode after a reset");
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "after one failure of one")
}

pub(super) async fn configured_forced_modes_last(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.trip()?;
    scene
        .breaker
        .configure_circuit_breaker(NAME, config().with_mode(CircuitMode::ForcedOpen))?;
    harness.advance(OPEN_TIME * 3).await;
    scene.expect(
        CircuitState::Open,
        "long after the open time, when configured as forced open while open",
    )?;
    let rejection = scene.rejection("when configured as forced open")?;
    check_eq!(rejection.retry_after, None, "the delay when configured as forced open");
    check_eq!(
        scene.circuit.metrics().times_opened,
        1,
        "how often the circuit opened, when configured as forced open while open"
    );
    scene.breaker.force_circuit_closed(NAME)?;
    scene.expect(
        CircuitState::Closed,
        "when forced closed: an override replaces a configured forced mode",
    )?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    scene
        .breaker
        .configure_circuit_breaker(NAME, config().with_mode(CircuitMode::ForcedClosed))?;
    scene.fail(20)?;
    scene.expect(
        CircuitState::Closed,
        "after twenty failures, when configured as forced closed",
    )?;
    scene.breaker.configure_circuit_breaker(NAME, config())?;
    check_eq!(
        scene.circuit.metrics().mode,
        CircuitMode::Automatic,
        "the mode when another one is configured"
    );
    scene.expect(
        CircuitState::Closed,
        "when configured as automatic, until the next outcome",
    )?;
    scene.fail(1)?;
    scene.expect(
        CircuitState::Open,
        "after one more failure: those counted while forced closed count",
    )
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
    let mut rejected = 5;
    if harness.capabilities().probe_limits {
        scene.succeed(1)?;
        scene.expect(CircuitState::HalfOpen, "after a call beyond the probe slots")?;
        rejected += 1;
    }
    probe.record(CallOutcome::Success);
    scene.expect(
        CircuitState::Closed,
        "after the success of the call that automatic mode would admit",
    )?;
    check_eq!(
        scene.circuit.metrics().rejected,
        rejected,
        "calls that it would have rejected"
    );
    check_eq!(scene.circuit.metrics().in_flight, 0, "calls in flight");
    Ok(())
}

pub(super) async fn metrics_only_can_be_configured_while_open(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.trip()?;
    scene.rejection("while open")?;
    let mode = CircuitMode::MetricsOnly;
    scene
        .breaker
        .configure_circuit_breaker(NAME, config().with_mode(mode))?;
    scene.expect(CircuitState::Open, "when configured as metrics-only while open")?;
    scene.succeed(2)?;
    check_eq!(
        scene.circuit.metrics().rejected,
        3,
        "calls that were or would be rejected"
    );
    scene.breaker.configure_circuit_breaker(NAME, config())?;
    scene.expect(CircuitState::Open, "when configured as automatic again")?;
    scene.rejection("when configured as automatic again")?;
    Ok(())
}

pub(super) async fn metrics_only_results_have_no_effect(harness: Arc<Dyn>) -> CaseResult {
    let policy = OpenPolicy::fixed(OPEN_TIME).with_max_duration(OPEN_TIME * 10);
    let scene = Scene::new(&harness, config().with_open(policy).with_mode(CircuitMode::MetricsOnly))?;
    scene.trip()?;
    scene.fail_asking_for(OPEN_TIME * 5)?;
    harness.advance(OPEN_TIME + MARGIN).await;
    scene.expect(
        CircuitState::HalfOpen,
        "after the open time: a call that it would have rejected cannot lengthen it",
    )?;
    let probe = scene.permit("the call that automatic mode would admit as a probe")?;
    if harness.capabilities().probe_limits {
        scene.fail(2)?;
        scene.expect(CircuitState::HalfOpen, "after failures beyond the probe slots")?;
    }
    probe.record(CallOutcome::Success);
    scene.expect(CircuitState::Closed, "after a successful probe")?;
    scene.trip()?;
    check_close(
        open_time(&scene)?,
        OPEN_TIME,
        "the open time, for which a call that it would have rejected asked for more",
    )
}

/// The remaining open time by the metrics, because a circuit in metrics-only mode does not reject.
fn open_time(scene: &Scene) -> Result<Duration, Failure> {
    let remaining = scene.circuit.metrics().retry_after;
    remaining.ok_or_else(|| Failure::new("the metrics of an open circuit do not say when to retry"))
}

pub(super) async fn unknown_circuits_are_not_found(harness: Arc<Dyn>) -> CaseResult {
    let breaker = harness.breaker(config());
    check_error!(breaker.circuit_state("unknown"), ErrorKind::NotFound, "the state");
    check_error!(breaker.circuit_metrics("unknown"), ErrorKind::NotFound, "the metrics");
    check_error!(breaker.reset_circuit_breaker("unknown"), ErrorKind::NotFound, "a reset");
    if harness.capabilities().overrides {
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
    }
    check!(breaker.all_circuit_states().is_empty(), "a query created a circuit");
    Ok(())
}
