//! Trips by rates over a window of calls.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::circuit_breaker::{
    CallOutcome, CircuitBreakerConfig, CircuitMode, CircuitState, HalfOpenPolicy, RateThresholds, TransitionReason,
    TripPolicy,
};
use networking_spi::{ErrorKind, NetworkError};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, SLOW, Scene, config, count_window};
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

const WINDOW: Duration = Duration::from_secs(2);

/// A call may leave a time window a tenth of its length early. This is 100 ms less than the other nine tenths.
const STILL_IN_THE_WINDOW: Duration = Duration::from_millis(1_700);

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
    check_eq!(scene.last_reason(), Some(TransitionReason::FailureRate), "the reason");
    Ok(())
}

pub(super) async fn a_success_can_complete_the_minimum(harness: Arc<Dyn>) -> CaseResult {
    success_completes_the_minimum(&harness, count_window(10, RateThresholds::new(0.5, 4)))
}

pub(super) async fn a_success_completes_the_minimum_of_a_time_window(harness: Arc<Dyn>) -> CaseResult {
    success_completes_the_minimum(&harness, time_window(RateThresholds::new(0.5, 4)))
}

fn success_completes_the_minimum(harness: &Arc<Dyn>, config: CircuitBreakerConfig) -> CaseResult {
    let scene = Scene::new(harness, config)?;
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
        // Eleven calls, so that failures and successes change places in a window of ten.
        scene.fail(4)?;
        scene.succeed(7)?;
        let window = scene.circuit.metrics().window;
        check_eq!(
            (window.calls, window.failures),
            (10, 3),
            "calls and failures in the reported window"
        );
    }
    scene.expect(CircuitState::Closed, "while at most four of the last ten calls failed")
}

pub(super) async fn time_window_opens(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, time_window(RateThresholds::new(0.5, 6)))?;
    scene.succeed(3)?;
    harness.advance(STILL_IN_THE_WINDOW).await;
    check_eq!(
        scene.circuit.metrics().window.calls,
        3,
        "calls in the reported window, before nine tenths of its length have passed"
    );
    scene.fail(2)?;
    scene.expect(CircuitState::Closed, "below the minimum of calls")?;
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "at three failures of six within the window")?;
    check_eq!(scene.last_reason(), Some(TransitionReason::FailureRate), "the reason");
    Ok(())
}

pub(super) async fn time_window_slides(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, time_window(RateThresholds::new(1.0, 100)))?;
    scene.fail(4)?;
    harness.advance(WINDOW * 6 / 10).await;
    scene.fail(2)?;
    scene.succeed(1)?;
    harness.advance(WINDOW * 6 / 10).await;
    let window = scene.circuit.metrics().window;
    check_eq!(
        (window.calls, window.failures),
        (3, 2),
        "calls and failures in the window, when the first four calls have left it"
    );
    scene.succeed(1)?;
    let window = scene.circuit.metrics().window;
    check_eq!(
        (window.calls, window.failures),
        (4, 2),
        "calls and failures in the window, after the next call"
    );
    harness.advance(WINDOW * 6 / 10).await;
    check_eq!(
        scene.circuit.metrics().window.calls,
        1,
        "calls in the window, when all but the last have left it"
    );
    Ok(())
}

pub(super) async fn time_window_forgets(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, time_window(RateThresholds::new(0.5, 6)))?;
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
    two_slow_calls_open(&harness, count_window(10, slow_rates())).await
}

pub(super) async fn slow_calls_open_a_time_window(harness: Arc<Dyn>) -> CaseResult {
    two_slow_calls_open(&harness, time_window(slow_rates())).await
}

async fn two_slow_calls_open(harness: &Arc<Dyn>, config: CircuitBreakerConfig) -> CaseResult {
    let scene = Scene::new(harness, config)?;
    scene.succeed(1)?;
    scene
        .slow_call(harness, SLOW.saturating_sub(MARGIN * 2), CallOutcome::Success)
        .await?;
    check_eq!(
        scene.circuit.metrics().slow,
        0,
        "slow calls, after one that was just fast enough"
    );
    for nth in 1..=2 {
        scene.expect(CircuitState::Closed, "before two slow calls of four")?;
        scene.slow_call(harness, SLOW, CallOutcome::Success).await?;
        check_eq!(scene.circuit.metrics().slow, nth, "slow calls");
    }
    scene.expect(CircuitState::Open, "after two slow calls of four")?;
    check_eq!(scene.last_reason(), Some(TransitionReason::SlowCallRate), "the reason");
    Ok(())
}

pub(super) async fn a_slow_failure_counts_as_both(harness: Arc<Dyn>) -> CaseResult {
    let rates = RateThresholds::new(1.0, 4).with_slow_calls(SLOW, 1.0);
    let scene = Scene::new(&harness, count_window(10, rates))?;
    scene.slow_call(&harness, SLOW, CallOutcome::Failure).await?;
    let metrics = scene.circuit.metrics();
    check_eq!((metrics.failures, metrics.slow), (1, 1), "failures and slow calls");
    check_eq!(
        (metrics.window.calls, metrics.window.failures, metrics.window.slow),
        (1, 1, 1),
        "calls, failures and slow calls in the window"
    );
    for _ in 0..3 {
        scene.slow_call(&harness, SLOW, CallOutcome::Success).await?;
    }
    scene.expect(CircuitState::Open, "after four slow calls of four, of which one failed")?;

    let rates = RateThresholds::new(1.0, 3).with_slow_calls(SLOW, 1.0);
    let scene = Scene::new(&harness, count_window(3, rates))?;
    scene.slow_call(&harness, SLOW, CallOutcome::Failure).await?;
    scene.succeed(3)?;
    let window = scene.circuit.metrics().window;
    check_eq!(
        (window.calls, window.failures, window.slow),
        (3, 0, 0),
        "calls, failures and slow calls, when the slow failure has left the window"
    );
    Ok(())
}

pub(super) async fn ignored_calls_are_never_slow(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, count_window(10, slow_rates()))?;
    for _ in 0..5 {
        scene.slow_call(&harness, SLOW, CallOutcome::Ignored).await?;
    }
    scene.expect(CircuitState::Closed, "after slow calls that were ignored")?;
    let metrics = scene.circuit.metrics();
    check_eq!((metrics.ignored, metrics.slow), (5, 0), "ignored and slow calls");
    check_eq!(metrics.window.calls, 0, "calls in the window");
    Ok(())
}

fn slow_rates() -> RateThresholds {
    RateThresholds::new(1.0, 4).with_slow_calls(SLOW, 0.5)
}

/// [`config`] with a window of the calls in the last [`WINDOW`].
fn time_window(rates: RateThresholds) -> CircuitBreakerConfig {
    config().with_trip(TripPolicy::time_window(WINDOW, rates))
}

pub(super) async fn recovery_empties_the_window(harness: Arc<Dyn>) -> CaseResult {
    recovery_empties(&harness, count_window(10, RateThresholds::new(0.5, 4))).await
}

pub(super) async fn recovery_empties_the_time_window(harness: Arc<Dyn>) -> CaseResult {
    recovery_empties(&harness, time_window(RateThresholds::new(0.5, 4))).await
}

/// The recovery comes while the failures would still be in a time window.
async fn recovery_empties(harness: &Arc<Dyn>, config: CircuitBreakerConfig) -> CaseResult {
    let scene = Scene::new(harness, config)?;
    scene.fail(4)?;
    scene.expect(CircuitState::Open, "after four failures of four")?;
    harness.advance(OPEN_TIME + MARGIN).await;
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
    let limited = |probes, successes| config().with_half_open(HalfOpenPolicy::new(probes, successes));
    let mut two_successes = HalfOpenPolicy::default();
    two_successes.success_threshold = 2;
    let configs: [(&str, bool, CircuitBreakerConfig); 10] = [
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
        ("probe_limits", declared.probe_limits, limited(1, 1)),
        ("probe_limits", declared.probe_limits, limited(3, 2)),
        (
            "probe_limits",
            declared.probe_limits,
            config().with_half_open(two_successes),
        ),
        (
            "probe_leases",
            declared.probe_leases,
            config().with_half_open(HalfOpenPolicy::default().with_probe_lease(OPEN_TIME)),
        ),
        (
            "overrides",
            declared.overrides,
            config().with_mode(CircuitMode::ForcedOpen),
        ),
        (
            "overrides",
            declared.overrides,
            config().with_mode(CircuitMode::ForcedClosed),
        ),
    ];
    let scene = Scene {
        circuit: breaker.circuit(NAME)?,
        breaker,
    };
    for (capability, declared, config) in configs {
        let before = scene.circuit.config();
        let configured = scene.breaker.configure_circuit_breaker(NAME, config);
        agrees(configured, declared, capability)?;
        check!(
            declared || Arc::ptr_eq(&before, &scene.circuit.config()),
            "a configuration was refused for its {capability}, and took effect"
        );
    }
    scene.breaker.configure_circuit_breaker(NAME, config())?;
    let (opened, closed) = (
        scene.breaker.force_circuit_open(NAME),
        scene.breaker.force_circuit_closed(NAME),
    );
    agrees(opened, declared.overrides, "overrides")?;
    agrees(closed, declared.overrides, "overrides")?;
    agrees(scene.breaker.subscribe().map(drop), declared.events, "events")?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    scene.expect(CircuitState::Closed, "after a reset")
}

fn agrees(result: Result<(), NetworkError>, declared: bool, capability: &str) -> CaseResult {
    if declared {
        check!(result.is_ok(), "{capability} is declared, but failed: {result:?}");
    } else {
        check_error!(result, ErrorKind::Unsupported, "{capability} is not declared");
    }
    Ok(())
}
