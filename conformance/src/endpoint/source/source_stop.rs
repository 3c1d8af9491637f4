//! Stopping.

use std::sync::Arc;

use bytes::Bytes;
use networking_spi::ErrorKind;

use super::super::content::Passage as _;
use super::super::sample::message;
use super::super::{poll_times, settle};
use super::scene::{Scene, receipt, taken};
use super::{Dyn, PeerOutcome, PeerOutcomes};
use crate::kit::Failure;
use crate::{CaseResult, check, check_eq, check_error};

pub(super) async fn stopping_wakes_a_waiting_receive(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let waiting = [0, 1].map(|_| {
        let source = Arc::clone(&scene.source);
        tokio::spawn(async move { source.receive().await })
    });
    settle().await;
    scene.stop().await?;
    for receive in waiting {
        let woken = scene
            .within("a waiting `receive` to be woken by `stop`", receive)
            .await?;
        match woken.map_err(|error| Failure::new(format!("`receive` panicked: {error}")))? {
            Ok(None) => {}
            other => {
                return Err(Failure::new(format!(
                    "after `stop`, a waiting `receive` returned {other:?}"
                )));
            }
        }
    }
    Ok(())
}

pub(super) async fn messages_that_arrived_are_returned(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let messages = scene.profile.holds.min(3);
    let mut sent = Vec::new();
    for index in 0..messages {
        let text = index.to_string();
        sent.push((scene.send(message(&text)).await?, Bytes::from(text)));
    }
    let arrived = scene.wait_for_arrivals(messages).await?;
    let (stopped, received) = tokio::join!(scene.stop(), scene.drain());
    stopped?;
    let received = received?;
    if arrived {
        check_eq!(received.len(), messages, "messages that are returned after `stop`");
    }
    scene.check_none_lost(&sent, &received).await?;
    if scene.profile.outcomes != PeerOutcomes::Unseen {
        for (ticket, _) in sent.iter().filter(|(_, payload)| received.contains(payload)) {
            scene.wait_for_acknowledgement(*ticket).await?;
        }
    }
    Ok(())
}

pub(super) async fn the_end_is_final(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let _ = scene.pass(message("1")).await?;
    scene.stop().await?;
    for _ in 0..3 {
        check_eq!(scene.drain().await?.len(), 0, "messages after the end");
    }
    Ok(())
}

pub(super) async fn stopping_twice_succeeds(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let (first, second) = tokio::join!(scene.stop(), scene.stop());
    first?;
    second?;
    scene.stop().await?;
    scene.drain().await?;
    scene.stop().await?;
    // A source that was never started can be stopped, too.
    let scene = Scene::new(&harness).await?;
    scene.stop().await?;
    scene.drain().await?;
    scene.stop().await
}

pub(super) async fn a_stopped_source_cannot_start(harness: Arc<Dyn>) -> CaseResult {
    for start_first in [true, false] {
        let scene = Scene::new(&harness).await?;
        if start_first {
            scene.source.start().await?;
        }
        scene.stop().await?;
        for _ in 0..2 {
            let started = scene.within("`start`", scene.source.start()).await?;
            check_error!(started, ErrorKind::Closed, "`start` after `stop`");
        }
    }
    Ok(())
}

pub(super) async fn a_stopped_source_takes_nothing(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let _ = scene.pass(message("1")).await?;
    scene.stop().await?;
    scene.drain().await?;
    let late = scene
        .within("the peer to send a message", scene.peer.send(message("2")))
        .await?;
    let received = poll_times(3, scene.source.receive()).await;
    check!(
        !matches!(received, Some(Ok(Some(_)))),
        "a message that was sent after `stop` was received"
    );
    drop(received);
    settle().await;
    let Ok(late) = late else { return Ok(()) };
    match scene.profile.outcomes {
        PeerOutcomes::Unseen => Ok(()),
        PeerOutcomes::Kept => {
            let outcome = scene.peer.outcome(late).await;
            check_eq!(outcome, PeerOutcome::Pending, "a message that was sent after `stop`");
            Ok(())
        }
        PeerOutcomes::Reported => scene.check_none_lost(&[(late, Bytes::from_static(b"2"))], &[]).await,
    }
}

pub(super) async fn messages_in_flight_are_settled_after_stop(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let sent = scene.send(message("1")).await?;
    let mut delivery = scene.receive().await?;
    let message = taken(&mut delivery)?;
    // `stop` and the end may wait until the message is settled.
    let settled = async {
        settle().await;
        delivery.acknowledge(receipt(&message));
        scene.wait_for_acknowledgement(sent).await
    };
    let (stopped, drained, settled) = tokio::join!(scene.stop(), scene.drain(), settled);
    stopped?;
    check_eq!(drained?.len(), 0, "further messages");
    settled
}
