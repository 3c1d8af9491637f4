//! Retries of failed deliveries.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::bridge::{DeliveryRetry, Disposition};
use networking_spi::{ErrorKind, Retryability};

use super::Dyn;
use super::scene::{Scene, config, fatal, transient};
use super::sink::Step;
use crate::kit::chain;
use crate::{CaseResult, check, check_eq, check_error};

pub(super) async fn transient_failures_are_retried(harness: Arc<Dyn>) -> CaseResult {
    let retry = DeliveryRetry::new(4, Duration::from_millis(1), Duration::from_millis(10));
    let scene = Scene::new(&harness, config().with_retry(retry)).await?;
    scene.fail(3);
    let receipt = scene.push("1").receipt().await?;
    check_eq!(
        (receipt.disposition, receipt.attempts),
        (Disposition::Delivered, 4),
        "disposition and attempts"
    );
    check!(
        scene
            .sink
            .attempts()
            .iter()
            .all(|attempt| attempt.message.payload == "1"),
        "the attempts have different payloads"
    );
    Ok(())
}

pub(super) async fn attempts_are_bounded(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.fail(10);
    let error = scene.push("1").rejection().await?;
    check!(
        error.is_a(ErrorKind::ConnectionClosed),
        "the rejection is not the sink's error, but {}",
        chain(&error)
    );
    check_eq!(error.attempts(), 2, "the attempts in the error");
    check_eq!(scene.sink.attempts().len(), 2, "attempts");
    Ok(())
}

pub(super) async fn permanent_failures_are_not_retried(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.next(Step::Fail(fatal()));
    let error = check_error!(
        scene.push("1").answer().await?,
        ErrorKind::Remote,
        "a permanent failure"
    );
    check!(!error.retryability().is_retryable(), "the rejection is retryable");
    check_eq!(scene.sink.attempts().len(), 1, "attempts");
    Ok(())
}

pub(super) async fn the_requested_delay_is_kept(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    let asked = Duration::from_millis(1500);
    scene
        .sink
        .next(Step::Fail(transient().with_retryability(Retryability::After(asked))));
    scene.push("1").receipt().await?;
    let gap = scene.sink.gap()?;
    check!(
        gap >= asked,
        "the second attempt started after {gap:?}, but the sink asked for {asked:?}"
    );
    Ok(())
}

pub(super) async fn a_delay_beyond_the_maximum_ends_the_retries(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    let asked = Duration::from_secs(3600);
    scene
        .sink
        .next(Step::Fail(transient().with_retryability(Retryability::After(asked))));
    let error = scene.push("1").rejection().await?;
    check_eq!(
        error.retryability(),
        Retryability::After(asked),
        "the retryability of the rejection"
    );
    check_eq!(scene.sink.attempts().len(), 1, "attempts");
    Ok(())
}
