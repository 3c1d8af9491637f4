//! Starting, stopping, health and descriptions of sinks.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::bridge::HealthState;

use super::super::sample::{CONFIDENTIAL, check_confidential, message};
use super::super::settle;
use super::Dyn;
use super::scene::Scene;
use crate::kit::{Failure, chain};
use crate::{CaseResult, check, check_eq, check_error};

pub(super) async fn the_protocol_is_stable(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness).await?;
    let expected = scene.profile.protocol.clone();
    check_eq!(scene.sink.protocol(), expected, "the protocol before `start`");
    scene.sink.start().await?;
    check_eq!(scene.sink.protocol(), expected, "the protocol of the running sink");
    scene.stop().await?;
    check_eq!(scene.sink.protocol(), expected, "the protocol after `stop`");
    Ok(())
}

pub(super) async fn delivering_before_start_is_not_lost(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness).await?;
    let mut expected = Vec::new();
    match scene.try_deliver(message("1")).await? {
        Ok(_) => expected.push("1"),
        Err(error) => check!(
            error.is_a(ErrorKind::Closed),
            "`deliver` before `start` succeeds or is `Closed`, but got {}",
            chain(&error)
        ),
    }
    check_eq!(scene.payloads().await, expected, "what the peer has before `start`");
    scene.sink.start().await?;
    scene.deliver(message("2")).await?;
    expected.push("2");
    check_eq!(scene.payloads().await, expected, "what the peer has");
    Ok(())
}

pub(super) async fn a_second_start_changes_nothing(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    scene.deliver(message("1")).await?;
    if let Err(error) = scene.within("a second `start`", scene.sink.start()).await? {
        check!(
            error.is_a(ErrorKind::Conflict),
            "a second `start` succeeds or is `Conflict`, but got {}",
            chain(&error)
        );
    }
    scene.deliver(message("2")).await?;
    check_eq!(scene.payloads().await, ["1", "2"], "what the peer has");
    scene.stop().await
}

pub(super) async fn health_follows_the_life_of_the_sink(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness).await?;
    check!(
        scene.health().await != HealthState::Up,
        "a sink that was not started is up"
    );
    scene.sink.start().await?;
    scene.deliver(message("1")).await?;
    check_eq!(scene.health().await, HealthState::Up, "the health after a delivery");
    scene.stop().await?;
    check_eq!(scene.health().await, HealthState::Down, "the health after `stop`");
    Ok(())
}

pub(super) async fn health_answers_during_deliveries(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    scene.peer.set_held(true).await?;
    let delivery = scene.spawn(message("1"));
    settle().await;
    scene.within("`health` during a delivery", scene.sink.health()).await?;
    scene.peer.set_held(false).await?;
    let delivered = scene.within("the delivery to end", delivery).await?;
    delivered.map_err(|_| Failure::new("`deliver` panicked"))??;
    Ok(())
}

pub(super) async fn debug_shows_no_secret(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let mut confidential = message(CONFIDENTIAL)
        .with_key(CONFIDENTIAL)
        .with_header("x-case", CONFIDENTIAL);
    "id-1".clone_into(&mut confidential.id);
    scene.deliver(confidential).await?;
    let shown = format!("{:?} {:#?}", scene.sink, scene.sink);
    check_confidential("`Debug` of the sink", &shown, &scene.profile.secrets)?;
    if scene.profile.unavailable_peer {
        scene.peer.set_available(false).await?;
        if let Err(error) = scene.try_deliver(message(CONFIDENTIAL)).await? {
            let shown = crate::Failure::from(error).to_string();
            check_confidential("the error of a delivery", &shown, &scene.profile.secrets)?;
        }
    }
    let health = scene.sink.health().await;
    check_confidential("the health", &health.detail.unwrap_or_default(), &scene.profile.secrets)
}

pub(super) async fn stopping_twice_succeeds(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    scene.deliver(message("1")).await?;
    let (first, second) = tokio::join!(scene.stop(), scene.stop());
    first?;
    second?;
    scene.stop().await?;
    // A sink that was never started can be stopped, too.
    let scene = Scene::new(&harness).await?;
    scene.stop().await?;
    scene.stop().await
}

pub(super) async fn a_stopped_sink_cannot_start(harness: Arc<Dyn>) -> CaseResult {
    for start_first in [true, false] {
        let scene = Scene::new(&harness).await?;
        if start_first {
            scene.sink.start().await?;
        }
        scene.stop().await?;
        for _ in 0..2 {
            let started = scene.within("`start`", scene.sink.start()).await?;
            check_error!(started, ErrorKind::Closed, "`start` after `stop`");
        }
    }
    Ok(())
}

pub(super) async fn a_stopped_sink_delivers_nothing(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    scene.deliver(message("1")).await?;
    scene.stop().await?;
    let late = scene.try_deliver(message("2")).await?;
    check_error!(late, ErrorKind::Closed, "`deliver` after `stop`");
    check_eq!(scene.payloads().await, ["1"], "what the peer has");
    Ok(())
}

pub(super) async fn stopping_waits_for_deliveries(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    scene.peer.set_held(true).await?;
    let delivery = scene.spawn(message("1"));
    settle().await;
    let stopped = {
        let sink = Arc::clone(&scene.sink);
        tokio::spawn(async move { sink.stop().await })
    };
    settle().await;
    check!(
        !stopped.is_finished(),
        "`stop` returned while a delivery was in progress"
    );
    scene.peer.set_held(false).await?;
    let panicked = |_| Failure::new("a call of the sink panicked");
    scene
        .within("the delivery to end", delivery)
        .await?
        .map_err(panicked)??;
    scene.within("`stop`", stopped).await?.map_err(panicked)??;
    check_eq!(scene.payloads().await, ["1"], "what the peer has");
    Ok(())
}
