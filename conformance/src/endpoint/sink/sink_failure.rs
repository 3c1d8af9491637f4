//! Failures of deliveries.

use std::sync::Arc;

use networking_spi::NetworkError;
use networking_spi::bridge::HealthState;

use super::super::sample::message;
use super::Dyn;
use super::scene::Scene;
use crate::kit::{Failure, chain};
use crate::{CaseResult, check, check_eq};

/// The error of a delivery that must fail.
async fn failed(scene: &Scene, what: &str, text: &str) -> Result<NetworkError, Failure> {
    match scene.try_deliver(message(text)).await? {
        Err(error) => Ok(error),
        Ok(position) => Err(Failure::new(format!("{what}, but `deliver` returned {position:?}"))),
    }
}

pub(super) async fn an_unavailable_peer_is_transient(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    scene.deliver(message("1")).await?;
    scene.peer.set_available(false).await?;
    let error = failed(&scene, "the peer is unavailable", "2").await?;
    check!(
        error.retryability().is_transient(),
        "the peer is unavailable, but the error is not retryable: {}",
        chain(&error)
    );
    scene.peer.set_available(true).await?;
    scene.deliver(message("3")).await?;
    let received = scene.payloads().await;
    check!(
        received.first().is_some_and(|text| text == "1") && received.last().is_some_and(|text| text == "3"),
        "the peer has {received:?}"
    );
    Ok(())
}

pub(super) async fn health_reports_an_unavailable_peer(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    scene.deliver(message("1")).await?;
    check_eq!(scene.health().await, HealthState::Up, "the health after a delivery");
    scene.peer.set_available(false).await?;
    failed(&scene, "the peer is unavailable", "2").await?;
    check!(
        scene.health().await != HealthState::Up,
        "the sink is up while its peer is unavailable"
    );
    scene.peer.set_available(true).await?;
    scene.deliver(message("3")).await?;
    check_eq!(
        scene.health().await,
        HealthState::Up,
        "the health after the peer is back"
    );
    Ok(())
}

pub(super) async fn a_refused_message_is_a_permanent_failure(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    scene.peer.refuse_next().await?;
    let error = failed(&scene, "the peer refused the message", "1").await?;
    check!(
        !error.retryability().is_transient(),
        "the peer refused the message, but the error is retryable: {}",
        chain(&error)
    );
    scene.deliver(message("2")).await?;
    check_eq!(scene.payloads().await, ["2"], "what the peer has");
    Ok(())
}

pub(super) async fn an_invalid_target_is_a_permanent_failure(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let target = scene.profile.invalid_target.clone().unwrap_or_default();
    match scene
        .within("`deliver`", scene.sink.deliver(&target, message("1")))
        .await?
    {
        Ok(position) => {
            return Err(Failure::new(format!(
                "the target {target:?} is refused, but `deliver` returned {position:?}"
            )));
        }
        Err(error) => check!(
            !error.retryability().is_transient(),
            "the target is refused, but the error is retryable: {}",
            chain(&error)
        ),
    }
    scene.deliver(message("2")).await?;
    check_eq!(scene.payloads().await, ["2"], "what the peer has");
    Ok(())
}
