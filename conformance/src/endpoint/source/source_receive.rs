//! Receiving: cancel safety, concurrency, order and bounds.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;

use super::super::content::Passage as _;
use super::super::sample::message;
use super::super::{poll_times, settle};
use super::Dyn;
use super::scene::{Scene, receipt, taken};
use crate::kit::Failure;
use crate::{CaseResult, check, check_eq};

pub(super) async fn an_idle_source_waits(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    for text in ["1", "2"] {
        let idle = async {
            let received = scene.source.receive().await;
            Failure::new(format!("without a message, `receive` returned {received:?}"))
        };
        tokio::select! {
            failure = idle => return Err(failure),
            () = settle() => {}
        }
        check_eq!(
            scene.pass(message(text)).await?.payload,
            text,
            "the message after an idle time"
        );
    }
    Ok(())
}

pub(super) async fn a_cancelled_receive_loses_nothing(harness: Arc<Dyn>) -> CaseResult {
    const MESSAGES: usize = 24;
    let scene = Scene::started(&harness).await?;
    let mut missing = BTreeSet::new();
    for index in 0..MESSAGES {
        let text = format!("{index:02}");
        // One that is dropped before the message arrives, and one after.
        let first = poll_times(1 + index % 3, scene.source.receive()).await;
        scene.send(message(&text)).await?;
        missing.insert(Bytes::from(text));
        if index % 2 == 0 {
            settle().await;
        }
        let second = poll_times(1 + index % 5, scene.source.receive()).await;
        for received in [first, second].into_iter().flatten() {
            let mut delivery = received?.ok_or_else(|| Failure::new("the source ended"))?;
            let message = taken(&mut delivery)?;
            delivery.acknowledge(receipt(&message));
            check!(
                missing.remove(&message.payload),
                "{:?} was received twice",
                message.payload
            );
        }
    }
    while !missing.is_empty() {
        let received = scene.receive_and_acknowledge().await.map_err(|failure| {
            Failure::new(format!(
                "calls of `receive` were dropped, and {missing:?} did not arrive: {failure}"
            ))
        })?;
        check!(
            missing.remove(&received.payload),
            "{:?} was received twice",
            received.payload
        );
    }
    Ok(())
}

pub(super) async fn concurrent_receives_get_each_message_once(harness: Arc<Dyn>) -> CaseResult {
    const MESSAGES: usize = 8;
    let scene = Scene::started(&harness).await?;
    let receivers = join_all((0..MESSAGES).map(|_| scene.receive_and_acknowledge()));
    let senders = async {
        // So that the calls wait.
        settle().await;
        for index in 0..MESSAGES {
            scene.send(message(&index.to_string())).await?;
        }
        Ok::<_, Failure>(())
    };
    let dropped = poll_times(2, scene.source.receive());
    let (received, sent, _) = tokio::join!(receivers, senders, dropped);
    sent?;
    let received: Vec<Bytes> = received
        .into_iter()
        .map(|received| received.map(|message| message.payload))
        .collect::<Result<_, _>>()?;
    let distinct: BTreeSet<&Bytes> = received.iter().collect();
    check_eq!(distinct.len(), MESSAGES, "distinct messages among {received:?}");
    Ok(())
}

pub(super) async fn messages_keep_their_order(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let burst = scene.profile.holds.clamp(1, 8);
    let mut next = 0;
    for _ in 0..3 {
        let first = next;
        for index in first..first + burst {
            scene.send(message(&index.to_string()).with_key("key")).await?;
        }
        for _ in 0..burst {
            let received = scene.receive_and_acknowledge().await?;
            check_eq!(received.payload, next.to_string(), "the next message");
            next += 1;
        }
    }
    Ok(())
}

pub(super) async fn an_idle_bridge_bounds_the_source(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let holds = scene.profile.holds;
    let mut sent = Vec::new();
    for index in 0..holds + 16 {
        let text = format!("{index:04}");
        // A peer that is refused at once is within the bound, too.
        if let Ok(ticket) = scene
            .within("the peer to send a message", scene.peer.send(message(&text)))
            .await?
        {
            sent.push((ticket, Bytes::from(text)));
        }
    }
    loop {
        // Until the source has taken all that it takes.
        let before = scene.peer.arrived();
        settle().await;
        if scene.peer.arrived() == before {
            break;
        }
    }
    let (stopped, held) = tokio::join!(scene.stop(), scene.drain());
    stopped?;
    let held = held?;
    check!(
        held.len() <= holds,
        "the source held {} messages that no `receive` had asked for; its bound is {holds}",
        held.len()
    );
    scene.check_none_lost(&sent, &held).await
}
