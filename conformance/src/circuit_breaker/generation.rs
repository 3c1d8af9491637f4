//! Results of calls from an earlier generation.

use std::sync::Arc;

use futures_util::FutureExt;
use networking_spi::circuit_breaker::{
    BoxedOperation, CallOutcome, CallRecord, CircuitState, HalfOpenPolicy, OpenPolicy,
};
use tokio::sync::oneshot;

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, Scene, check_close, config, failure, output};
use crate::kit::CaseResult;
use crate::{check, check_eq};

/// Fails unless a result that arrives while the circuit of `scene` is open changes nothing but the number of stale results.
async fn arrives_while_open(
    harness: &Arc<Dyn>,
    scene: &Scene,
    what: &str,
    arrival: impl Future<Output = CaseResult> + Send,
) -> CaseResult {
    // A new open time would be noticeably longer than the rest of this one.
    harness.advance(OPEN_TIME * 2 / 5).await;
    let rest = scene.open_for()?;
    let before = scene.circuit.metrics();
    arrival.await?;
    scene.expect(CircuitState::Open, &format!("after {what} while open"))?;
    check_close(
        scene.open_for()?,
        rest,
        &format!("the rest of the open time after {what}"),
    )?;
    let after = scene.circuit.metrics();
    check_eq!(after.stale, before.stale + 1, "stale results after {what}");
    check_eq!(
        (
            after.times_opened,
            after.transition_count,
            after.successes,
            after.failures
        ),
        (
            before.times_opened,
            before.transition_count,
            before.successes,
            before.failures
        ),
        "how often the circuit has opened and changed its state, successes and failures, after {what}"
    );
    Ok(())
}

/// Ends the open time after [`arrives_while_open`].
async fn half_opens(harness: &Arc<Dyn>, scene: &Scene) -> CaseResult {
    harness.advance(OPEN_TIME * 3 / 5 + MARGIN).await;
    scene.expect(
        CircuitState::HalfOpen,
        "after the open time, during which a late result has arrived",
    )
}

pub(super) async fn late_result_after_trip(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let first = scene.permit("a call admitted while closed")?;
    let early = scene.permit("another call admitted while closed")?;
    let other = scene.permit("a third call admitted while closed")?;
    scene.trip()?;
    arrives_while_open(&harness, &scene, "the success of a call from before the trip", async {
        first.record(CallOutcome::Success);
        Ok(())
    })
    .await?;
    half_opens(&harness, &scene).await?;
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
    check_eq!(scene.circuit.metrics().stale, 3, "stale results");
    check_eq!(
        scene.circuit.metrics().successes,
        0,
        "successes, without the stale results"
    );
    probe.record(CallOutcome::Success);
    scene.expect(CircuitState::Closed, "after the probe")
}

pub(super) async fn late_result_of_a_call_that_the_breaker_runs(harness: Arc<Dyn>) -> CaseResult {
    // Whether the call ends while the circuit is open, and whether it succeeds.
    for (open, succeeds) in [(false, true), (true, true), (true, false)] {
        let scene = Scene::new(&harness, config())?;
        let (end, ended) = oneshot::channel::<()>();
        let operation: BoxedOperation = Box::new(move || {
            Box::pin(async move {
                // An error means that the case has failed.
                let _ = ended.await;
                if succeeds { Ok(output(1)) } else { Err(failure()) }
            })
        });
        let mut early = scene.breaker.execute_with_circuit_breaker(operation, NAME, None);
        check!(
            (&mut early).now_or_never().is_none(),
            "an operation that waits has ended"
        );
        scene.trip()?;
        let finish = async {
            // The receiver waits in `early`.
            let _ = end.send(());
            check_eq!(early.await.is_ok(), succeeds, "whether the call has succeeded");
            Ok(())
        };
        if open {
            let what = "the end of a call that the breaker has run since before the trip";
            arrives_while_open(&harness, &scene, what, finish).await?;
            half_opens(&harness, &scene).await?;
        } else {
            harness.advance(OPEN_TIME + MARGIN).await;
            scene.expect(CircuitState::HalfOpen, "after the open time")?;
            finish.await?;
            scene.expect(
                CircuitState::HalfOpen,
                "after the success of a call that the breaker has run since before the trip",
            )?;
        }
        let metrics = scene.circuit.metrics();
        check_eq!(
            (metrics.stale, metrics.successes, metrics.failures),
            (1, 0, 3),
            "stale results, successes and failures"
        );
    }
    Ok(())
}

pub(super) async fn late_failure_while_probing(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let first = scene.permit("a call admitted while closed")?;
    let early = scene.permit("another call admitted while closed")?;
    scene.trip()?;
    arrives_while_open(&harness, &scene, "the failure of a call from before the trip", async {
        first.record(CallOutcome::Failure);
        Ok(())
    })
    .await?;
    half_opens(&harness, &scene).await?;
    early.record(CallOutcome::Failure);
    scene.expect(
        CircuitState::HalfOpen,
        "after the failure of a call from before the trip",
    )?;
    check_eq!(
        scene.circuit.metrics().failures,
        3,
        "failures, without the stale results"
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
