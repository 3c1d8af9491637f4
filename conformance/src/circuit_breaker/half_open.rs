//! Probes of half-open circuits.

use std::sync::{Arc, Barrier};
use std::time::Duration;

use futures_util::FutureExt;
use networking_spi::circuit_breaker::{
    BoxedOperation, CallOutcome, CircuitState, HalfOpenPolicy, OpenPolicy, OwnedPermit, RateThresholds,
    TransitionReason, TripPolicy,
};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, SLOW, Scene, config, count_window};
use crate::kit::CaseResult;
use crate::{check, check_eq};

pub(super) async fn concurrent_probes_are_limited(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_half_open(HalfOpenPolicy::new(3, 3)))?;
    scene.trip()?;
    harness.advance(OPEN_TIME + MARGIN).await;
    // Threads, because tasks on one thread do not race. The threads share the clock of this runtime.
    let runtime = tokio::runtime::Handle::current();
    let barrier = Barrier::new(8);
    let admitted: Vec<OwnedPermit> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let _entered = runtime.enter();
                    barrier.wait();
                    (0..25)
                        .filter_map(|_| OwnedPermit::acquire(&scene.circuit).ok())
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|thread| thread.join().unwrap_or_default())
            .collect()
    });
    check_eq!(admitted.len(), 3, "probes admitted among 200 concurrent calls");
    check_eq!(scene.circuit.metrics().in_flight, 3, "calls in flight");
    for probe in admitted {
        probe.record(CallOutcome::Success);
    }
    scene.expect(CircuitState::Closed, "after three successful probes")
}

pub(super) async fn one_probe_by_default(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.half_open(&harness).await?;
    let probe = scene.permit("the probe")?;
    scene.rejection("while the probe is in flight")?;
    probe.record(CallOutcome::Success);
    scene.expect(CircuitState::Closed, "after one successful probe")
}

pub(super) async fn full_slots_reject(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_half_open(HalfOpenPolicy::new(2, 5)))?;
    scene.half_open(&harness).await?;
    let first = scene.permit("the first probe")?;
    let _second = scene.permit("the second probe")?;
    let rejection = scene.rejection("with both slots taken")?;
    check_eq!(
        rejection.state,
        CircuitState::HalfOpen,
        "the state that the rejection names"
    );
    first.record(CallOutcome::Success);
    let _third = scene.permit("when a slot is free again")?;
    scene.rejection("with both slots taken again")?;
    Ok(())
}

pub(super) async fn success_threshold_closes(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_half_open(HalfOpenPolicy::new(1, 3)))?;
    scene.half_open(&harness).await?;
    scene.succeed(2)?;
    scene.expect(CircuitState::HalfOpen, "after two successful probes of three")?;
    scene.succeed(1)?;
    scene.expect(CircuitState::Closed, "after three successful probes of three")?;
    scene.fail(2)?;
    scene.expect(
        CircuitState::Closed,
        "after the recovery: earlier failures do not count",
    )
}

pub(super) async fn failed_probe_reopens(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_half_open(HalfOpenPolicy::new(1, 3)))?;
    scene.half_open(&harness).await?;
    scene.succeed(2)?;
    scene.fail(1)?;
    scene.expect(CircuitState::Open, "after one failed probe")?;
    scene.rejection("after one failed probe")?;
    harness.advance(OPEN_TIME + MARGIN).await;
    scene.succeed(2)?;
    scene.expect(
        CircuitState::HalfOpen,
        "after two successes: those of the earlier round do not count",
    )?;
    let declared = harness.capabilities();
    let rates = RateThresholds::new(0.9, 5);
    let windows = [
        (declared.count_window, TripPolicy::count_window(20, rates.clone())),
        (declared.time_window, TripPolicy::time_window(OPEN_TIME * 20, rates)),
    ];
    for (declared, window) in windows {
        if declared {
            failed_probe_reopens_a_window(&harness, window).await?;
        }
    }
    Ok(())
}

/// A failed probe decides alone: the rate and the minimum of calls apply only to a closed circuit.
async fn failed_probe_reopens_a_window(harness: &Arc<Dyn>, window: TripPolicy) -> CaseResult {
    for successes in [0, 2] {
        let policy = HalfOpenPolicy::new(1, 3);
        let scene = Scene::new(harness, config().with_trip(window.clone()).with_half_open(policy))?;
        scene.fail(5)?;
        for round in 1..=2 {
            scene.expect(
                CircuitState::Open,
                &format!("at the begin of round {round} with {window:?}"),
            )?;
            harness.advance(OPEN_TIME + MARGIN).await;
            scene.expect(CircuitState::HalfOpen, "after the open time")?;
            scene.succeed(successes)?;
            scene.fail(1)?;
            let probes = format!("after {successes} successful probes and a failed one with {window:?}");
            scene.expect(CircuitState::Open, &probes)?;
        }
    }
    Ok(())
}

pub(super) async fn ignored_probe_frees_its_slot(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.half_open(&harness).await?;
    scene.calls(5, CallOutcome::Ignored)?;
    scene.expect(CircuitState::HalfOpen, "after ignored probes")?;
    scene.succeed(1)?;
    scene.expect(CircuitState::Closed, "after a successful probe")?;

    if harness.capabilities().probe_limits {
        let scene = Scene::new(&harness, config().with_half_open(HalfOpenPolicy::new(1, 2)))?;
        scene.half_open(&harness).await?;
        scene.succeed(1)?;
        scene.calls(1, CallOutcome::Ignored)?;
        scene.succeed(1)?;
        scene.expect(
            CircuitState::Closed,
            "after two successful probes, with an ignored one between them",
        )?;
    }
    Ok(())
}

pub(super) async fn cancelled_probe(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.half_open(&harness).await?;
    for _ in 0..5 {
        drop(scene.permit("the slot of a cancelled probe is free")?);
    }
    let hanging: BoxedOperation = Box::new(|| Box::pin(std::future::pending()));
    let executed = scene.breaker.execute_with_circuit_breaker(hanging, NAME, None);
    check!(executed.now_or_never().is_none(), "an operation that hangs has ended");
    scene.expect(CircuitState::HalfOpen, "after cancelled probes")?;
    scene.succeed(1)?;
    scene.expect(CircuitState::Closed, "after a successful probe")
}

pub(super) async fn hung_probe(harness: Arc<Dyn>) -> CaseResult {
    let lease = OPEN_TIME * 2;
    let half_open = HalfOpenPolicy::new(1, 1).with_probe_lease(lease);
    let scene = Scene::new(&harness, config().with_half_open(half_open))?;
    scene.half_open(&harness).await?;
    let _hung = scene.permit("the probe that hangs")?;
    harness.advance(lease.saturating_sub(MARGIN * 5)).await;
    scene.rejection("while the lease of the hung probe runs")?;
    harness.advance(MARGIN * 6).await;
    scene
        .permit("when the lease of the hung probe has ended")?
        .record(CallOutcome::Success);
    scene.expect(CircuitState::Closed, "after a successful probe")
}

pub(super) async fn default_lease(harness: Arc<Dyn>) -> CaseResult {
    let backoff = OpenPolicy::exponential(OPEN_TIME, OPEN_TIME * 4);
    for (config, lease) in [
        (config(), OPEN_TIME),
        (config().with_call_timeout(OPEN_TIME * 3), OPEN_TIME * 3),
        (config().with_call_timeout(OPEN_TIME / 4), OPEN_TIME),
        (config().with_open(backoff), OPEN_TIME),
    ] {
        let scene = Scene::new(&harness, config)?;
        scene.half_open(&harness).await?;
        // The next open time is longer if there is a backoff.
        scene.fail(1)?;
        harness.advance(scene.open_for()? + MARGIN).await;
        let _hung = scene.permit("the probe that hangs")?;
        harness.advance(lease.saturating_sub(MARGIN * 5)).await;
        scene.rejection("while the lease of the hung probe runs")?;
        harness.advance(MARGIN * 6).await;
        scene
            .permit("when the lease of the hung probe has ended")?
            .record(CallOutcome::Ignored);
    }
    Ok(())
}

pub(super) async fn expired_probe_is_discarded(harness: Arc<Dyn>) -> CaseResult {
    let half_open = HalfOpenPolicy::new(1, 2).with_probe_lease(OPEN_TIME);
    let scene = Scene::new(&harness, config().with_half_open(half_open))?;
    scene.half_open(&harness).await?;
    for outcome in [
        CallOutcome::Failure,
        CallOutcome::Ignored,
        CallOutcome::Success,
        CallOutcome::Success,
    ] {
        let late = scene.permit("a probe whose lease will end")?;
        harness.advance(OPEN_TIME + MARGIN).await;
        let probe = scene.permit("the probe that takes over the slot")?;
        late.record(outcome);
        scene.expect(
            CircuitState::HalfOpen,
            "after the result of a probe whose lease has ended",
        )?;
        scene.rejection("while another probe holds the slot, after the late result")?;
        probe.record(CallOutcome::Ignored);
    }
    let late = scene.permit("a probe whose lease will end")?;
    harness.advance(OPEN_TIME + MARGIN).await;
    late.record(CallOutcome::Success);
    check_eq!(
        scene.circuit.metrics().stale,
        5,
        "stale results, of which the last came while its slot was still free"
    );
    check_eq!(scene.circuit.metrics().in_flight, 0, "calls in flight");
    scene.succeed(2)?;
    scene.expect(CircuitState::Closed, "after two successful probes")
}

pub(super) async fn slow_probe_reopens(harness: Arc<Dyn>) -> CaseResult {
    let rates = || RateThresholds::new(0.5, 3).with_slow_calls(SLOW, 1.0);
    let declared = harness.capabilities();
    let windows = [
        (declared.count_window, count_window(10, rates())),
        (
            declared.time_window,
            config().with_trip(TripPolicy::time_window(Duration::from_secs(2), rates())),
        ),
    ];
    for (_, config) in windows.into_iter().filter(|(declared, _)| *declared) {
        let scene = Scene::new(&harness, config)?;
        scene.half_open(&harness).await?;
        scene.slow_call(&harness, SLOW, CallOutcome::Ignored).await?;
        scene.expect(CircuitState::HalfOpen, "after a slow probe that was ignored")?;
        scene.slow_call(&harness, SLOW, CallOutcome::Success).await?;
        scene.expect(CircuitState::Open, "after a probe that succeeded slowly")?;
        check_eq!(scene.last_reason(), Some(TransitionReason::SlowCallRate), "the reason");
    }
    Ok(())
}
