//! Results of calls from an earlier generation.

use std::sync::Arc;

use futures_util::FutureExt;
use networking_spi::circuit_breaker::{
    BoxedOperation, CallOutcome, CallRecord, CircuitState, HalfOpenPolicy, OpenPolicy,
};
use tokio::sync::oneshot;

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, Scene, check_close, config, output};
use crate::kit::CaseResult;
use crate::{check, check_eq};

pub(super) async fn late_result_after_trip(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let early = scene.permit("a call admitted while closed")?;
    let other = scene.permit("another call admitted while closed")?;
    scene.half_open(&harness).await?;
    early.record(CallOutcome::Success);
    scene.expect(
        CircuitState::HalfOpen,
        "after the success of a call from before the trip",
    )?;
    let probe = scene.permit("the probe")?;
    other.record(CallOutcome::Success);
    scene.expect(
        CircuitState::HalfOpen,
        "after another such success, while the probe is in flight",
    )?;
    if harness.capabilities().probe_limits {
        scene.rejection("while the probe is in flight")?;
    }
    check_eq!(scene.circuit.metrics().stale, 2, "stale results");
    check_eq!(
        scene.circuit.metrics().successes,
        0,
        "successes, without the stale results"
    );
    probe.record(CallOutcome::Success);
    scene.expect(CircuitState::Closed, "after the probe")
}

pub(super) async fn late_result_of_a_call_that_the_breaker_runs(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let (end, ended) = oneshot::channel::<()>();
    let operation: BoxedOperation = Box::new(move || {
        Box::pin(async move {
            // An error means that the case has failed.
            let _ = ended.await;
            Ok(output(1))
        })
    });
    let mut early = scene.breaker.execute_with_circuit_breaker(operation, NAME, None);
    check!(
        (&mut early).now_or_never().is_none(),
        "an operation that waits has ended"
    );
    scene.half_open(&harness).await?;
    // The receiver waits in `early`.
    let _ = end.send(());
    early.await?;
    scene.expect(
        CircuitState::HalfOpen,
        "after the success of a call that the breaker has run since before the trip",
    )?;
    let metrics = scene.circuit.metrics();
    check_eq!(
        (metrics.stale, metrics.successes),
        (1, 0),
        "stale results and successes"
    );
    Ok(())
}

pub(super) async fn late_failure_while_probing(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let early = scene.permit("a call admitted while closed")?;
    scene.half_open(&harness).await?;
    early.record(CallOutcome::Failure);
    scene.expect(
        CircuitState::HalfOpen,
        "after the failure of a call from before the trip",
    )?;
    check_eq!(
        scene.circuit.metrics().failures,
        3,
        "failures, without the stale result"
    );
    Ok(())
}

pub(super) async fn late_failures_after_recovery(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let early: Vec<_> = (0..5)
        .map(|_| scene.permit("a call admitted while closed"))
        .collect::<Result<_, _>>()?;
    let succeeded = scene.permit("a call admitted while closed")?;
    scene.half_open(&harness).await?;
    scene.succeed(1)?;
    for permit in early {
        permit.record(CallOutcome::Failure);
    }
    scene.expect(CircuitState::Closed, "after failures of calls from before the recovery")?;
    scene.fail(1)?;
    succeeded.record(CallOutcome::Success);
    check_eq!(
        scene.circuit.metrics().consecutive_failures,
        1,
        "consecutive failures, after a success of a call from before the recovery"
    );
    scene.succeed(1)?;
    check_eq!(
        scene.circuit.metrics().consecutive_failures,
        0,
        "consecutive failures since the recovery"
    );
    check_eq!(scene.circuit.metrics().stale, 6, "stale results");
    check_eq!(
        scene.circuit.metrics().successes,
        2,
        "successes, of a probe and of a call after the recovery"
    );
    Ok(())
}

pub(super) async fn late_ignored_result(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let early: Vec<_> = (0..3)
        .map(|_| scene.permit("a call admitted while closed"))
        .collect::<Result<_, _>>()?;
    scene.half_open(&harness).await?;
    let _probe = scene.permit("the probe")?;
    for permit in early {
        permit.record(CallOutcome::Ignored);
    }
    scene.rejection("after ignored results of calls that never held a probe slot")?;
    check_eq!(scene.circuit.metrics().stale, 3, "stale results");
    Ok(())
}

pub(super) async fn late_retry_after(harness: Arc<Dyn>) -> CaseResult {
    let policy = OpenPolicy::fixed(OPEN_TIME).with_max_duration(OPEN_TIME * 10);
    let scene = Scene::new(&harness, config().with_open(policy))?;
    let early = scene.permit("a call admitted while closed")?;
    scene.trip()?;
    early.record(CallRecord::new(CallOutcome::Failure).with_retry_after(OPEN_TIME * 5));
    check_close(
        scene.open_for()?,
        OPEN_TIME,
        "the open time, which began before the late result",
    )?;
    harness.advance(OPEN_TIME + MARGIN).await;
    scene.expect(CircuitState::HalfOpen, "after the open time")
}

pub(super) async fn probe_of_an_earlier_round(harness: Arc<Dyn>) -> CaseResult {
    // Without probe limits, every call is admitted as a probe.
    let config = if harness.capabilities().probe_limits {
        config().with_half_open(HalfOpenPolicy::new(3, 1))
    } else {
        config()
    };
    let scene = Scene::new(&harness, config)?;
    scene.half_open(&harness).await?;
    let succeeded = scene.permit("a probe of the first round")?;
    let failed = scene.permit("another probe of the first round")?;
    scene.fail(1)?;
    harness.advance(OPEN_TIME + MARGIN).await;
    scene.expect(CircuitState::HalfOpen, "in the second round")?;
    succeeded.record(CallOutcome::Success);
    scene.expect(CircuitState::HalfOpen, "after a success of the first round")?;
    failed.record(CallOutcome::Failure);
    scene.expect(CircuitState::HalfOpen, "after a failure of the first round")?;
    check_eq!(scene.circuit.metrics().stale, 2, "stale results");
    Ok(())
}

pub(super) async fn overrides_discard_calls_in_flight(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let early = [scene.permit("a call")?, scene.permit("a call")?];
    scene.fail(2)?;
    scene.breaker.force_circuit_closed(NAME)?;
    check_eq!(
        scene.circuit.metrics().consecutive_failures,
        0,
        "consecutive failures after an override"
    );
    for permit in early {
        permit.record(CallOutcome::Failure);
    }
    check_eq!(
        scene.circuit.metrics().stale,
        2,
        "stale results of calls that were admitted before the override"
    );
    let permit = scene.permit("a call while forced closed")?;
    scene.breaker.force_circuit_closed(NAME)?;
    permit.record(CallOutcome::Failure);
    let metrics = scene.circuit.metrics();
    check_eq!(
        (metrics.stale, metrics.failures),
        (2, 3),
        "stale results and failures: an override that is repeated changes nothing"
    );
    Ok(())
}

pub(super) async fn reset_discards_calls_in_flight(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let early: Vec<_> = (0..3)
        .map(|_| scene.permit("a call before the reset"))
        .collect::<Result<_, _>>()?;
    scene.breaker.reset_circuit_breaker(NAME)?;
    check_eq!(
        scene.circuit.metrics().in_flight,
        3,
        "calls in flight after a reset, which does not end them"
    );
    for permit in early {
        permit.record(CallOutcome::Failure);
    }
    scene.expect(CircuitState::Closed, "after failures of calls from before the reset")?;
    check_eq!(scene.circuit.metrics().stale, 3, "stale results");
    Ok(())
}
