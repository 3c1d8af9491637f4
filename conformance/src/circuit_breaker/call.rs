//! Calls that the breaker runs, and their outcomes.

use std::future::pending;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use networking_spi::circuit_breaker::{
    BoxedOperation, CallOutcome, CancelPolicy, CircuitBreakerExt, CircuitExt, CircuitState, ErrorClassifier,
    OwnedPermit, RateThresholds, TripPolicy,
};
use networking_spi::{ErrorKind, NetworkError, Phase};
use tokio::time::Instant;

use super::Dyn;
use super::scenario::{MARGIN, NAME, SLOW, Scene, config, count_window, ended, failure, output};
use crate::kit::{CaseResult, Failure};
use crate::{check, check_eq, check_error};

const LIMIT: Duration = Duration::from_millis(100);

fn hanging() -> BoxedOperation {
    Box::new(|| Box::pin(pending()))
}

fn failing() -> BoxedOperation {
    Box::new(|| Box::pin(async { Err(failure()) }))
}

pub(super) async fn results_pass_through(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let operation: BoxedOperation = Box::new(|| Box::pin(async { Ok(output(7)) }));
    let value = scene
        .breaker
        .execute_with_circuit_breaker(operation, NAME, None)
        .await?;
    check_eq!(value.downcast_ref::<u32>(), Some(&7), "the output of the operation");
    let error = check_error!(
        scene.breaker.execute_with_circuit_breaker(failing(), NAME, None).await,
        ErrorKind::ConnectionRefused,
        "the error of the operation"
    );
    check_eq!(
        error.operation(),
        failure().operation(),
        "the operation that the error names"
    );
    check_eq!(
        scene.circuit.call(|| async { Ok(8) }).await?,
        8,
        "the output of a generic call"
    );
    check_eq!(
        scene.breaker.call(NAME, || async { Ok(9) }).await?,
        9,
        "the output of a generic call by name"
    );
    check_eq!(
        scene.breaker.execute(NAME, None, || async { Ok(10) }).await?,
        10,
        "the output of an unboxed operation"
    );
    let metrics = scene.circuit.metrics();
    check_eq!((metrics.successes, metrics.failures), (4, 1), "successes and failures");
    Ok(())
}

pub(super) async fn failures_of_operations_count(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    for _ in 0..3 {
        let result = scene.breaker.execute_with_circuit_breaker(failing(), NAME, None).await;
        check!(result.is_err(), "the operation's error was not returned");
    }
    scene.expect(CircuitState::Open, "after three operations that failed")
}

pub(super) async fn a_timeout_counts_as_a_failure(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    for _ in 0..3 {
        let started = Instant::now();
        let executed = scene.breaker.execute_with_circuit_breaker(hanging(), NAME, Some(LIMIT));
        let result = ended(&harness, executed).await?;
        let error = check_error!(result, ErrorKind::Timeout, "an operation that hangs");
        check_eq!(error.phase(), Some(Phase::Total), "the phase of the timeout");
        let took = started.elapsed();
        check!(
            took + MARGIN >= LIMIT && took < LIMIT * 5,
            "a timeout of {LIMIT:?} came after {took:?}"
        );
    }
    check_eq!(scene.circuit.metrics().failures, 3, "failures");
    scene.expect(CircuitState::Open, "after three timeouts")
}

pub(super) async fn configured_timeout_applies(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_call_timeout(LIMIT))?;
    let executed = scene.breaker.execute_with_circuit_breaker(hanging(), NAME, None);
    let executed = ended(&harness, executed).await?;
    check_error!(executed, ErrorKind::Timeout, "an executed operation that hangs");
    let called = ended(&harness, scene.circuit.call(pending::<Result<(), _>>)).await?;
    check_error!(called, ErrorKind::Timeout, "a called operation that hangs");
    let named = ended(&harness, scene.breaker.call(NAME, pending::<Result<(), _>>)).await?;
    check_error!(named, ErrorKind::Timeout, "an operation called by name that hangs");
    scene.expect(CircuitState::Open, "after three timeouts")
}

pub(super) async fn explicit_timeout_overrides(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_call_timeout(LIMIT))?;
    let called = scene.circuit.call_with_timeout(LIMIT * 5, || async {
        tokio::time::sleep(LIMIT * 2).await;
        Ok(1)
    });
    let result = called.await;
    check!(
        result.is_ok(),
        "a call with a longer timeout than configured failed: {result:?}"
    );
    let executed = scene.breaker.execute(NAME, Some(LIMIT * 5), || async {
        tokio::time::sleep(LIMIT * 2).await;
        Ok(1)
    });
    let result = executed.await;
    check!(
        result.is_ok(),
        "an execution with a longer timeout than configured failed: {result:?}"
    );
    Ok(())
}

pub(super) async fn panic_counts(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    for index in 0..3 {
        let panicked = if index == 0 {
            let called = scene.circuit.call(|| async { panicking() });
            AssertUnwindSafe(called).catch_unwind().await.is_err()
        } else {
            let operation: BoxedOperation = Box::new(|| Box::pin(async { panicking().map(output) }));
            let executed = scene.breaker.execute_with_circuit_breaker(operation, NAME, None);
            AssertUnwindSafe(executed).catch_unwind().await.is_err()
        };
        check!(panicked, "the operation's panic was not propagated");
    }
    check_eq!(scene.circuit.metrics().failures, 3, "failures");
    check_eq!(scene.circuit.metrics().in_flight, 0, "calls in flight");
    scene.expect(CircuitState::Open, "after three panics")
}

pub(super) async fn cancellation_is_ignored(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    cancel_four_calls(&scene).await?;
    scene.expect(CircuitState::Closed, "after cancelled calls")?;
    check_eq!(scene.circuit.metrics().ignored, 4, "ignored calls");
    check_eq!(scene.circuit.metrics().in_flight, 0, "calls in flight");
    Ok(())
}

pub(super) async fn cancellation_counts_by_policy(harness: Arc<Dyn>) -> CaseResult {
    let trip = TripPolicy::consecutive(4);
    let scene = Scene::new(&harness, config().with_trip(trip).with_on_cancel(CancelPolicy::Failure))?;
    cancel_four_calls(&scene).await?;
    scene.expect(CircuitState::Open, "after four cancelled calls that count as failures")
}

/// Cancels three calls, and drops one permit without recording an outcome.
async fn cancel_four_calls(scene: &Scene) -> CaseResult {
    for index in 0..3 {
        let started = if index == 0 {
            scene.circuit.call(pending::<Result<(), _>>).now_or_never().is_none()
        } else {
            let executed = scene.breaker.execute_with_circuit_breaker(hanging(), NAME, None);
            executed.now_or_never().is_none()
        };
        check!(started, "the call ended instead of hanging");
        tokio::task::yield_now().await;
    }
    drop(scene.permit("a permit to be dropped")?);
    Ok(())
}

pub(super) async fn classifier_decides(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_classifier(Arc::new(OnlyConflicts)))?;
    for (kind, ended) in [
        (ErrorKind::Conflict, CallOutcome::Failure),
        (ErrorKind::Remote, CallOutcome::Success),
        (ErrorKind::Decode, CallOutcome::Ignored),
    ] {
        let before = scene.circuit.metrics();
        let called = scene
            .circuit
            .call(|| async move { Err::<(), _>(NetworkError::new(kind, "conformance.call", "")) });
        check_error!(called.await, kind, "a call that fails");
        let operation: BoxedOperation =
            Box::new(move || Box::pin(async move { Err(NetworkError::new(kind, "conformance.call", "")) }));
        let executed = scene.breaker.execute_with_circuit_breaker(operation, NAME, None).await;
        check_error!(executed, kind, "an execution that fails");
        let after = scene.circuit.metrics();
        let counted = match ended {
            CallOutcome::Success => after.successes - before.successes,
            CallOutcome::Failure => after.failures - before.failures,
            CallOutcome::Ignored => after.ignored - before.ignored,
        };
        check_eq!(counted, 2, "calls counted as {ended:?}, for errors of kind {kind}");
    }
    Ok(())
}

pub(super) async fn the_default_classifier_applies(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_trip(TripPolicy::consecutive(100)))?;
    for (kind, ended) in [
        (ErrorKind::DestinationDenied, CallOutcome::Ignored),
        (ErrorKind::TooLarge, CallOutcome::Ignored),
        (ErrorKind::Redirect, CallOutcome::Ignored),
        (ErrorKind::InvalidInput, CallOutcome::Ignored),
        (ErrorKind::Unsupported, CallOutcome::Ignored),
        (ErrorKind::Cancelled, CallOutcome::Ignored),
        (ErrorKind::NotFound, CallOutcome::Success),
        (ErrorKind::Conflict, CallOutcome::Success),
        (ErrorKind::Dns, CallOutcome::Failure),
        (ErrorKind::Protocol, CallOutcome::Failure),
        (ErrorKind::Remote, CallOutcome::Failure),
    ] {
        let before = scene.circuit.metrics();
        let operation: BoxedOperation =
            Box::new(move || Box::pin(async move { Err(NetworkError::new(kind, "conformance.call", "")) }));
        let executed = scene.breaker.execute_with_circuit_breaker(operation, NAME, None).await;
        check_error!(executed, kind, "an execution that fails");
        let called = scene
            .circuit
            .call(|| async move { Err::<(), _>(NetworkError::new(kind, "conformance.call", "")) });
        check_error!(called.await, kind, "a call that fails");
        let after = scene.circuit.metrics();
        check_eq!(
            [
                after.successes - before.successes,
                after.failures - before.failures,
                after.ignored - before.ignored
            ],
            [CallOutcome::Success, CallOutcome::Failure, CallOutcome::Ignored].map(|outcome| if outcome == ended {
                2
            } else {
                0
            }),
            "successes, failures and ignored calls for two errors of kind {kind}"
        );
    }
    Ok(())
}

pub(super) async fn timeouts_are_not_classified(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_classifier(Arc::new(OnlyConflicts)))?;
    for _ in 0..3 {
        let executed = scene.breaker.execute_with_circuit_breaker(hanging(), NAME, Some(LIMIT));
        let result = ended(&harness, executed).await?;
        check_error!(result, ErrorKind::Timeout, "an operation that hangs");
    }
    scene.expect(
        CircuitState::Open,
        "after three timeouts, whatever the classifier decides",
    )
}

pub(super) async fn calls_that_the_breaker_runs_are_timed(harness: Arc<Dyn>) -> CaseResult {
    let rates = RateThresholds::new(1.0, 10).with_slow_calls(SLOW, 1.0);
    let scene = Scene::new(&harness, count_window(10, rates))?;
    let operation = |time: Duration| {
        let harness = Arc::clone(&harness);
        move || async move {
            harness.advance(time).await;
            Ok(())
        }
    };
    scene.breaker.execute(NAME, None, operation(SLOW)).await?;
    check_eq!(
        scene.circuit.metrics().slow,
        1,
        "slow calls, after an execution that was slow"
    );
    scene.circuit.call(operation(SLOW)).await?;
    check_eq!(
        scene.circuit.metrics().slow,
        2,
        "slow calls, after a call that was slow"
    );
    let fast = SLOW.saturating_sub(MARGIN * 2);
    scene.breaker.execute(NAME, None, operation(fast)).await?;
    scene.circuit.call(operation(fast)).await?;
    check_eq!(
        scene.circuit.metrics().slow,
        2,
        "slow calls, after two that were fast enough"
    );
    Ok(())
}

pub(super) async fn permits_can_be_recorded_from_any_task(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    let permits: Vec<OwnedPermit> = (0..3)
        .map(|_| scene.permit("an owned permit"))
        .collect::<Result<_, _>>()?;
    let task = tokio::spawn(async move {
        for permit in permits {
            permit.record(CallOutcome::Failure);
        }
    });
    task.await.map_err(|error| Failure::new(format!("the task: {error}")))?;
    scene.expect(CircuitState::Open, "after three failures recorded in another task")
}

/// Conflicts are failures, decoding errors are ignored, everything else is a success. The default classifier decides
/// all of these differently.
#[derive(Debug)]
struct OnlyConflicts;

impl ErrorClassifier for OnlyConflicts {
    fn classify(&self, error: &NetworkError) -> CallOutcome {
        match error.kind() {
            ErrorKind::Conflict => CallOutcome::Failure,
            ErrorKind::Decode => CallOutcome::Ignored,
            _ => CallOutcome::Success,
        }
    }
}

fn panicking() -> Result<u32, NetworkError> {
    // Unlike `panic!`, without a message on the standard error stream.
    std::panic::resume_unwind(Box::new("an operation that panics"))
}
