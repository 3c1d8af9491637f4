//! Rejections and their errors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use networking_spi::circuit_breaker::{BoxedOperation, CircuitBreaker, CircuitExt, CircuitState};
use networking_spi::{ErrorKind, NetworkError, Retryability, SendState};

use super::Dyn;
use super::scenario::{MARGIN, NAME, OPEN_TIME, Scene, check_close, config, output};
use crate::kit::{CaseResult, Failure};
use crate::{check, check_eq, check_error};

pub(super) async fn a_rejected_operation_is_never_built(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.trip()?;
    let built = Arc::new(AtomicUsize::new(0));

    let counter = Arc::clone(&built);
    let boxed: BoxedOperation = Box::new(move || {
        counter.fetch_add(1, Ordering::SeqCst);
        Box::pin(async { Ok(output(1)) })
    });
    let executed = scene.breaker.execute_with_circuit_breaker(boxed, NAME, None).await;
    check_error!(executed, ErrorKind::CircuitOpen, "executing under an open circuit");

    let called = scene.circuit.call(|| {
        built.fetch_add(1, Ordering::SeqCst);
        async { Ok(()) }
    });
    check_error!(called.await, ErrorKind::CircuitOpen, "calling under an open circuit");
    check_eq!(built.load(Ordering::SeqCst), 0, "operations that were built");
    check_eq!(scene.circuit.metrics().rejected, 2, "rejected calls");
    Ok(())
}

pub(super) async fn retry_after_reported(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.trip()?;
    let rejection = scene.rejection("while open")?;
    check_eq!(&*rejection.circuit, NAME, "the circuit that the rejection names");
    check_eq!(
        rejection.state,
        CircuitState::Open,
        "the state that the rejection names"
    );
    check_close(
        scene.open_for()?,
        OPEN_TIME,
        "the delay at the beginning of the open time",
    )?;
    harness.advance(OPEN_TIME / 2).await;
    check_close(
        scene.open_for()?,
        OPEN_TIME / 2,
        "the delay in the middle of the open time",
    )?;
    let reported = scene.circuit.metrics().retry_after;
    let Some(reported) = reported else {
        return Err(Failure::new("the metrics of an open circuit do not say when to retry"));
    };
    check_close(reported, OPEN_TIME / 2, "the delay in the metrics")
}

pub(super) async fn errors_say_when_to_retry(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config())?;
    scene.trip()?;
    let error = rejected(&scene.breaker).await?;
    check_eq!(error.send_state(), SendState::NotSent, "the send state");
    let context = error.context().any(|(key, value)| key == "circuit" && value == NAME);
    check!(context, "the error does not name the circuit: {error}");
    match error.retryability() {
        Retryability::After(delay) => check_close(delay, OPEN_TIME, "the delay in the error")?,
        other => check!(
            false,
            "the error of an open circuit must be retryable after the open time, but is {other:?}"
        ),
    }

    let declared = harness.capabilities();
    if declared.probe_limits {
        harness.advance(OPEN_TIME + MARGIN).await;
        let _probe = scene.permit("the probe")?;
        let error = rejected(&scene.breaker).await?;
        check_eq!(
            error.retryability(),
            Retryability::Now,
            "the retryability while all probe slots are taken"
        );
    }
    if declared.overrides {
        scene.breaker.force_circuit_open(NAME)?;
        let error = rejected(&scene.breaker).await?;
        check_eq!(
            error.retryability(),
            Retryability::Never,
            "the retryability while forced open"
        );
    }
    Ok(())
}

async fn rejected(breaker: &Arc<dyn CircuitBreaker>) -> Result<NetworkError, crate::Failure> {
    let operation: BoxedOperation = Box::new(|| Box::pin(async { Ok(output(1)) }));
    let result = breaker.execute_with_circuit_breaker(operation, NAME, None).await;
    Ok(check_error!(result, ErrorKind::CircuitOpen, "executing"))
}
