//! Starting, health and descriptions of sources.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::bridge::HealthState;

use super::super::content::Passage as _;
use super::super::sample::{CONFIDENTIAL, check_confidential, message};
use super::super::{Carries, poll_times, settle};
use super::Dyn;
use super::scene::Scene;
use crate::kit::{Failure, chain};
use crate::{CaseResult, check, check_eq};

pub(super) async fn the_protocol_is_stable(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness).await?;
    let expected = scene.profile.protocol.clone();
    check_eq!(scene.source.protocol(), expected, "the protocol before `start`");
    scene.source.start().await?;
    check_eq!(scene.source.protocol(), expected, "the protocol of the running source");
    scene.stop().await?;
    check_eq!(scene.source.protocol(), expected, "the protocol after `stop`");
    Ok(())
}

pub(super) async fn receiving_before_start_is_not_the_end(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness).await?;
    match poll_times(3, scene.source.receive()).await {
        None => {}
        Some(Err(error)) => check!(
            error.is_a(ErrorKind::Closed),
            "`receive` before `start` waits or is `Closed`, but got {}",
            chain(&error)
        ),
        Some(Ok(None)) => return Err(Failure::new("`receive` reported the end before `start`")),
        Some(Ok(Some(_))) => return Err(Failure::new("`receive` returned a message before `start`")),
    }
    scene.source.start().await?;
    check_eq!(scene.pass(message("1")).await?.payload, "1", "the first message");
    Ok(())
}

pub(super) async fn a_second_start_changes_nothing(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    if let Err(error) = scene.within("a second `start`", scene.source.start()).await? {
        check!(
            error.is_a(ErrorKind::Conflict),
            "a second `start` succeeds or is `Conflict`, but got {}",
            chain(&error)
        );
    }
    for text in ["1", "2"] {
        check_eq!(
            scene.pass(message(text)).await?.payload,
            text,
            "a message after the second `start`"
        );
    }
    Ok(())
}

pub(super) async fn health_follows_the_life_of_the_source(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness).await?;
    let state = || async { scene.source.health().await.state };
    check!(state().await != HealthState::Up, "a source that was not started is up");
    scene.source.start().await?;
    let _ = scene.pass(message("1")).await?;
    check_eq!(state().await, HealthState::Up, "the health after a message");
    scene.stop().await?;
    check_eq!(state().await, HealthState::Down, "the health after `stop`");
    Ok(())
}

pub(super) async fn health_answers_while_receive_waits(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let source = Arc::clone(&scene.source);
    let waiting = tokio::spawn(async move { source.receive().await.map(drop) });
    // So that the call waits.
    settle().await;
    let answered = scene
        .within("`health` while `receive` waits", scene.source.health())
        .await;
    waiting.abort();
    answered.map(drop)
}

pub(super) async fn an_unavailable_peer_is_transient(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let _ = scene.pass(message("1")).await?;
    scene.peer.set_available(false).await?;
    let received = scene
        .within(
            "an error of `receive` while the peer is unavailable",
            scene.source.receive(),
        )
        .await?;
    match received {
        Err(error) => check!(
            error.retryability().is_transient(),
            "the peer is unavailable, but the error ends the bridge: {}",
            chain(&error)
        ),
        Ok(None) => return Err(Failure::new("the peer is unavailable, and `receive` reported the end")),
        Ok(Some(_)) => return Err(Failure::new("`receive` returned a message of an unavailable peer")),
    }
    check!(
        scene.source.health().await.state != HealthState::Up,
        "the source is up while its peer is unavailable"
    );
    scene.peer.set_available(true).await?;
    scene.send(message("2")).await?;
    let received = scene.within("a message after the peer is back", async {
        loop {
            match scene.source.receive().await {
                Err(error) if error.retryability().is_transient() => {
                    tokio::time::sleep(super::super::SETTLE).await;
                }
                received => return received,
            }
        }
    });
    let delivery = received.await??.ok_or_else(|| Failure::new("the source ended"))?;
    drop(delivery);
    scene
        .eventually("the health to be up after the peer is back", || async {
            scene.source.health().await.state == HealthState::Up
        })
        .await
}

pub(super) async fn debug_shows_no_secret(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let mut confidential = message(CONFIDENTIAL);
    "id-1".clone_into(&mut confidential.id);
    if scene.profile.content.key != Carries::Nothing {
        confidential = confidential.with_key(CONFIDENTIAL);
    }
    if scene.profile.content.headers != Carries::Nothing {
        confidential = confidential.with_header("x-case", CONFIDENTIAL);
    }
    scene.send(confidential).await?;
    let show = || format!("{:?} {:#?}", scene.source, scene.source);
    let secrets = &scene.profile.secrets;
    let delivery = scene.receive().await?;
    check_confidential("`Debug` of the source", &show(), secrets)?;
    check_confidential("`Debug` of the delivery", &format!("{delivery:?}"), secrets)?;
    let health = scene.source.health().await;
    check_confidential("the health", &health.detail.unwrap_or_default(), secrets)
}
