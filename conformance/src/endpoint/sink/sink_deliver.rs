//! Deliveries: targets, order, concurrency, positions and acknowledgements.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::try_join_all;

use super::super::sample::message;
use super::super::{poll_times, settle};
use super::Dyn;
use super::scene::Scene;
use crate::kit::Failure;
use crate::{CaseResult, check, check_eq};

pub(super) async fn messages_reach_their_target(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let other = scene.profile.other_target.clone().unwrap_or_default();
    for (target, text) in [
        (&scene.profile.target, "1"),
        (&other, "2"),
        (&scene.profile.target, "3"),
    ] {
        scene
            .within("`deliver`", scene.sink.deliver(target, message(text)))
            .await??;
    }
    check_eq!(scene.payloads().await, ["1", "3"], "the messages of the first target");
    let others = scene.peer.received(&other).await;
    let others: Vec<_> = others.iter().map(|received| &received.message.payload).collect();
    check_eq!(others, ["2"], "the messages of the second target");
    Ok(())
}

pub(super) async fn messages_keep_their_order(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let texts: Vec<String> = (0..12).map(|index| index.to_string()).collect();
    for text in &texts {
        scene.deliver(message(text).with_key("key")).await?;
    }
    check_eq!(
        scene.payloads().await,
        texts,
        "the messages, which were delivered one after another"
    );
    Ok(())
}

pub(super) async fn concurrent_deliveries_arrive_once(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let texts: BTreeSet<String> = (0..16).map(|index| format!("{index:02}")).collect();
    try_join_all(texts.iter().map(|text| scene.deliver(message(text)))).await?;
    let mut received = scene.payloads().await;
    received.sort();
    check!(
        received.iter().eq(texts.iter()),
        "concurrent deliveries succeeded, and the peer has {received:?} instead of each message once"
    );
    Ok(())
}

pub(super) async fn positions_are_those_of_the_peer(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let mut positions = BTreeSet::new();
    for text in ["1", "2", "3"] {
        let position = scene.deliver(message(text)).await?;
        let at_peer = scene.received().await.pop().and_then(|received| received.position);
        check!(position.is_some(), "`deliver` returned no position");
        check_eq!(position, at_peer, "the position of message {text}");
        check!(
            positions.insert(position.clone()),
            "two messages have the position {position:?}"
        );
    }
    Ok(())
}

pub(super) async fn the_acknowledgement_of_the_peer_is_awaited(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    scene.peer.set_held(true).await?;
    let delivery = scene.spawn(message("1"));
    settle().await;
    check!(
        !delivery.is_finished(),
        "`deliver` ended before the peer had acknowledged the message"
    );
    scene.peer.set_held(false).await?;
    let delivered = scene.within("`deliver` after the acknowledgement", delivery).await?;
    delivered.map_err(|_| Failure::new("`deliver` panicked"))??;
    check_eq!(scene.payloads().await, ["1"], "what the peer has");
    Ok(())
}

pub(super) async fn a_cancelled_delivery_leaves_the_sink_usable(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    scene.peer.set_held(true).await?;
    for polls in 1..4 {
        let dropped = scene.sink.deliver(&scene.profile.target, message("dropped"));
        if let Some(ended) = poll_times(polls, dropped).await {
            return Err(Failure::new(format!(
                "`deliver` ended before an acknowledgement: {ended:?}"
            )));
        }
    }
    scene.peer.set_held(false).await?;
    scene.deliver(message("next")).await?;
    let received = scene.payloads().await;
    check_eq!(
        received.iter().filter(|text| *text == "next").count(),
        1,
        "the message after cancelled deliveries among {received:?}"
    );
    scene.stop().await
}
