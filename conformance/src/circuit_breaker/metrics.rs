//! Metrics and transitions.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use futures_util::FutureExt;
use networking_spi::NetworkError;
use networking_spi::circuit_breaker::{
    CallOutcome, CircuitBreakerExt, CircuitExt, CircuitMode, CircuitState, OwnedPermit, TransitionReason,
};
use networking_spi::clock::{Clock, SystemClock};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, Scene, check_close, config, ended};
use crate::kit::{CaseResult, Failure};
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

    // The ways in which calls of a half-open circuit end, and calls that the breaker runs.
    harness.advance(OPEN_TIME + MARGIN).await;
    let probe = scene.permit("the probe")?;
    let mut rejected = 5;
    if harness.capabilities().probe_limits {
        scene.rejection("while the probe is in flight")?;
        rejected += 1;
    }
    probe.record(CallOutcome::Success);
    let limit = Duration::from_millis(50);
    let hangs = || std::future::pending::<Result<(), NetworkError>>();
    let timed_out = ended(&harness, scene.breaker.execute(NAME, Some(limit), hangs)).await?;
    check!(timed_out.is_err(), "an operation that hangs has succeeded");
    drop(scene.permit("a permit to be dropped")?);
    let mut running = Box::pin(scene.circuit.call(hangs));
    check!(
        (&mut running).now_or_never().is_none(),
        "an operation that hangs has ended"
    );
    check_eq!(
        scene.circuit.metrics().in_flight,
        1,
        "calls in flight, of a call that runs"
    );
    drop(running);
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
        (5, 4, 4, rejected, 2, 0),
        "successes, failures, ignored, rejected, stale and in flight at the end"
    );
    Ok(())
}

pub(super) async fn concurrent_calls_are_all_counted(harness: Arc<Dyn>) -> CaseResult {
    const THREADS: usize = 12;
    // Threads that run on after their calls would rarely call at the same time.
    const ROUNDS: usize = 10;
    const CALLS: usize = 60;
    let scene = Scene::new(&harness, config())?;
    let runtime = tokio::runtime::Handle::current();
    let barrier = Barrier::new(THREADS);
    let rejected: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|thread| {
                let (scene, barrier, runtime) = (&scene, &barrier, &runtime);
                scope.spawn(move || {
                    let _entered = runtime.enter();
                    let outcome = if thread % 4 == 0 {
                        CallOutcome::Ignored
                    } else {
                        CallOutcome::Success
                    };
                    let mut rejected = 0;
                    for _ in 0..ROUNDS {
                        barrier.wait();
                        for _ in 0..CALLS {
                            match OwnedPermit::acquire(&scene.circuit) {
                                Ok(permit) => permit.record(outcome),
                                Err(_) => rejected += 1,
                            }
                        }
                    }
                    rejected
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(CALLS)).sum()
    });
    check_eq!(rejected, 0, "rejections of a closed circuit");
    let metrics = scene.circuit.metrics();
    let each = (THREADS * ROUNDS * CALLS / 4) as u64;
    check_eq!(
        (metrics.successes, metrics.ignored, metrics.in_flight),
        (each * 3, each, 0),
        "successes, ignored calls and calls in flight, after concurrent calls"
    );
    Ok(())
}

pub(super) async fn metrics_only_calls_add_up(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_mode(CircuitMode::MetricsOnly))?;
    scene.trip()?;
    let beyond: Vec<_> = (0..4)
        .map(|_| scene.permit("a call that automatic mode would reject"))
        .collect::<Result<_, _>>()?;
    let metrics = scene.circuit.metrics();
    check_eq!(
        (metrics.rejected, metrics.in_flight),
        (4, 4),
        "rejected calls and calls in flight: a call that automatic mode would reject counts as both"
    );
    for (permit, outcome) in beyond
        .into_iter()
        .zip([CallOutcome::Success, CallOutcome::Failure, CallOutcome::Ignored])
    {
        permit.record(outcome);
    }
    let late = scene.permit("a call that ends after the open time")?;
    harness.advance(OPEN_TIME + MARGIN).await;
    // Nothing has asked for the state since.
    late.record(CallOutcome::Success);
    scene.expect(CircuitState::HalfOpen, "after the open time")?;
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
        // The fourth permit was dropped.
        (1, 4, 2, 5, 1, 0),
        "successes, failures, ignored, rejected, stale and in flight"
    );
    Ok(())
}

pub(super) async fn times_are_of_the_wall_clock(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let before = SystemClock::new().now();
    scene.trip()?;
    let Some(opened) = scene.circuit.metrics().transitions.last().cloned() else {
        return Err(Failure::new(
            "the metrics of a circuit that has opened have no transition",
        ));
    };
    let difference = match opened.at.duration_since(before) {
        Ok(later) => later,
        Err(earlier) => earlier.duration(),
    };
    check!(
        difference < Duration::from_secs(60),
        "a circuit that has just opened shows a time that differs by {difference:?}"
    );
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
    check_close(times.open, Duration::ZERO, "the time open since the reset")?;
    // A reset of a closed circuit, whose times were not read since.
    harness.advance(OPEN_TIME / 4).await;
    scene.breaker.reset_circuit_breaker(NAME)?;
    harness.advance(OPEN_TIME / 2).await;
    let times = scene.circuit.metrics().time_in;
    check_close(
        times.closed,
        OPEN_TIME / 2,
        "the time closed since the reset of a closed circuit",
    )
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
    let metrics = scene.circuit.metrics();
    check_eq!(metrics.transition_count, 1_000, "transitions");
    check_eq!(metrics.times_opened, 500, "how often the circuit opened");
    scene.breaker.reset_circuit_breaker(NAME)?;
    check_eq!(scene.circuit.metrics().transition_count, 0, "transitions after a reset");
    Ok(())
}

pub(super) async fn transitions_are_kept_in_order(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let times = [OPEN_TIME + MARGIN, OPEN_TIME / 4, OPEN_TIME + MARGIN, OPEN_TIME / 2];
    scene.trip()?;
    harness.advance(times[0]).await;
    scene.expect(CircuitState::HalfOpen, "after the open time")?;
    harness.advance(times[1]).await;
    scene.fail(1)?;
    harness.advance(times[2]).await;
    scene.expect(CircuitState::HalfOpen, "after the second open time")?;
    harness.advance(times[3]).await;
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
    for (pair, expected) in transitions.windows(2).zip(times) {
        let Ok(between) = pair[1].at.duration_since(pair[0].at) else {
            return Err(Failure::new("the transitions' times are not in order"));
        };
        // A breaker may half-open a circuit at the end of its open time, or when it is asked, a margin later.
        check!(
            between.abs_diff(expected) <= MARGIN * 2,
            "the time from {} to {}: got {between:?}, expected {expected:?}",
            pair[0].to,
            pair[1].to
        );
    }
    Ok(())
}

pub(super) async fn transitions_are_bounded(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let mut kept = [0; 2];
    for kept in &mut kept {
        for _ in 0..1_000 {
            scene.trip()?;
            scene.breaker.reset_circuit_breaker(NAME)?;
        }
        *kept = scene.circuit.metrics().transitions.len();
    }
    check!(
        kept[0] == kept[1] && (2..2_000).contains(&kept[0]),
        "after 2000 and 4000 transitions, {} and {} are kept",
        kept[0],
        kept[1]
    );
    scene.half_open(&harness).await?;
    scene.succeed(1)?;
    let newest: Vec<_> = scene
        .circuit
        .metrics()
        .transitions
        .into_iter()
        .rev()
        .map(|transition| transition.to)
        .take(3)
        .collect();
    let expected = [CircuitState::Closed, CircuitState::HalfOpen, CircuitState::Open];
    check_eq!(
        newest,
        expected[..newest.len()],
        "the states of the newest transitions, newest first"
    );
    Ok(())
}
