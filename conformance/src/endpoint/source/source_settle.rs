//! Acknowledging and rejecting.

use std::sync::Arc;

use super::super::content::Passage as _;
use super::super::sample::message;
use super::super::settle;
use super::scene::{Scene, permanent, receipt, taken, transient};
use super::{Dyn, PeerOutcome, PeerOutcomes};
use crate::{CaseResult, check, check_eq};

pub(super) async fn nothing_is_acknowledged_early(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let sent = scene.send(message("1")).await?;
    let mut delivery = scene.receive().await?;
    let message = taken(&mut delivery)?;
    settle().await;
    check_eq!(
        scene.peer.outcome(sent).await,
        PeerOutcome::Pending,
        "what the peer knows about a message that is not settled"
    );
    delivery.acknowledge(receipt(&message));
    scene.wait_for_acknowledgement(sent).await
}

pub(super) async fn an_acknowledgement_reaches_the_peer(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    for text in ["1", "2", "3"] {
        let sent = scene.send(message(text)).await?;
        let delivery = scene.receive().await?;
        // The message is still there.
        let message = delivery.message().cloned();
        check_eq!(
            message.as_ref().map(|message| message.payload.as_ref()),
            Some(text.as_bytes()),
            "the payload"
        );
        if let Some(message) = message {
            delivery.acknowledge(receipt(&message));
        }
        scene.wait_for_acknowledgement(sent).await?;
    }
    Ok(())
}

pub(super) async fn a_rejection_reaches_the_peer(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    for (text, error) in [("1", transient()), ("2", permanent())] {
        let sent = scene.send(message(text)).await?;
        let mut delivery = scene.receive().await?;
        let rejected = taken(&mut delivery)?;
        delivery.reject(error);
        scene.check_rejected(sent, &rejected.payload).await?;
    }
    check_eq!(
        scene.pass(message("3")).await?.payload,
        "3",
        "the message after rejected ones"
    );
    Ok(())
}

pub(super) async fn a_dropped_delivery_is_rejected(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let sent = scene.send(message("1")).await?;
    let mut delivery = scene.receive().await?;
    let dropped = taken(&mut delivery)?;
    drop(delivery);
    scene.check_rejected(sent, &dropped.payload).await?;
    check_eq!(
        scene.pass(message("2")).await?.payload,
        "2",
        "the message after a dropped one"
    );
    Ok(())
}

pub(super) async fn each_outcome_belongs_to_its_message(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::started(&harness).await?;
    let mut in_flight = Vec::new();
    for text in ["1", "2", "3"] {
        let sent = scene.send(message(text)).await?;
        let mut delivery = scene.receive().await?;
        let message = taken(&mut delivery)?;
        check_eq!(message.payload, text, "the payload");
        in_flight.push((sent, message, delivery));
    }
    let [
        (first, one, ack_one),
        (second, two, reject_two),
        (third, three, ack_three),
    ] = <[_; 3]>::try_from(in_flight).unwrap_or_else(|_| unreachable!("three were pushed"));
    ack_three.acknowledge(receipt(&three));
    settle().await;
    for (name, sent) in [("first", first), ("second", second)] {
        check_eq!(
            scene.peer.outcome(sent).await,
            PeerOutcome::Pending,
            "what the peer knows about the {name} message after the third was acknowledged"
        );
    }
    reject_two.reject(transient());
    if scene.profile.outcomes == PeerOutcomes::Reported {
        scene.wait_for_acknowledgement(third).await?;
        scene.check_rejected(second, &two.payload).await?;
        ack_one.acknowledge(receipt(&one));
        return scene.wait_for_acknowledgement(first).await;
    }
    ack_one.acknowledge(receipt(&one));
    scene.wait_for_acknowledgement(first).await?;
    settle().await;
    check!(
        scene.peer.outcome(second).await != PeerOutcome::Acknowledged,
        "the second message was rejected, but the peer removed it"
    );
    scene.check_rejected(second, &two.payload).await?;
    scene
        .eventually("the peer to learn of the third acknowledgement", || async {
            scene.peer.outcome(third).await == PeerOutcome::Acknowledged
        })
        .await
}
