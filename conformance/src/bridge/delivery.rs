//! Delivery to the sink, and acknowledgement to the source.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use networking_spi::bridge::{BridgeMessage, DeliveryRetry, Disposition};

use super::Dyn;
use super::scene::{Scene, TARGET, config, message, settle, transient};
use super::sink::Step;
use crate::endpoint::JSON;
use crate::kit::chain;
use crate::{CaseResult, check, check_eq};

pub(super) async fn acknowledges_after_the_sink(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.close();
    let mut pending = scene.push("1");
    scene.sink.wait_for_attempts(1).await?;
    settle().await;
    check!(
        !pending.is_answered(),
        "the message was settled before the sink had acknowledged it"
    );
    scene.sink.open();
    check_eq!(
        pending.receipt().await?.disposition,
        Disposition::Delivered,
        "disposition"
    );
    check_eq!(scene.sink.delivered().len(), 1, "deliveries");
    Ok(())
}

pub(super) async fn byte_for_byte(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    // White space at both ends, and bytes that are not text.
    let everything: Vec<u8> = b" \r\n".iter().copied().chain(0..=255).chain(*b"\n ").collect();
    let sent = BridgeMessage::new("id 1", everything, SystemTime::UNIX_EPOCH)
        .with_content_type("text/x-odd; charset=utf-7")
        .with_key(vec![0, 255, 10])
        .with_header("x-a", "1")
        .with_header("x-b", vec![0, 255])
        .with_header("x-a", "2")
        .with_origin("/some/where");
    scene.receipt(sent.clone()).await?;
    let empty = BridgeMessage::new("id 2", "", SystemTime::UNIX_EPOCH);
    scene.receipt(empty.clone()).await?;
    let mut all = vec![sent, empty];
    for (index, json) in JSON.into_iter().enumerate() {
        let message = BridgeMessage::new(format!("json {index}"), json, SystemTime::UNIX_EPOCH)
            .with_content_type("application/json");
        scene.receipt(message.clone()).await?;
        all.push(message);
    }
    let got: Vec<BridgeMessage> = scene.sink.delivered_to(TARGET);
    for (got, sent) in got.iter().zip(&all) {
        check_eq!(got.payload, sent.payload, "payload");
        check_eq!(got.key, sent.key, "key");
        check_eq!(got.headers, sent.headers, "header fields");
        check_eq!(got.content_type, sent.content_type, "content type");
        check_eq!((&got.id, &got.origin), (&sent.id, &sent.origin), "id and origin");
    }
    check_eq!(got.len(), all.len(), "deliveries");
    Ok(())
}

pub(super) async fn receipts_describe_the_delivery(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    let receipt = scene.receipt(message("the id", "{}")).await?;
    check_eq!(receipt.message_id, "the id", "message");
    check_eq!(receipt.disposition, Disposition::Delivered, "disposition");
    check_eq!(receipt.target, TARGET, "target");
    check_eq!(
        receipt.position.as_deref(),
        Some("position-0"),
        "the position that the sink reported"
    );
    check_eq!(receipt.rule, None, "rule");
    check_eq!(receipt.attempts, 1, "attempts");
    Ok(())
}

pub(super) async fn deliveries_in_flight_are_bounded(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_max_in_flight(3)).await?;
    scene.sink.close();
    let pending: Vec<_> = (0..10).map(|n| scene.push(&n.to_string())).collect();
    scene.sink.wait_for_attempts(3).await?;
    settle().await;
    check_eq!(scene.sink.attempts().len(), 3, "deliveries in flight");
    check!(
        scene.source.handed() <= 4,
        "{} messages were received from the source",
        scene.source.handed()
    );
    scene.sink.open();
    for pending in pending {
        pending.receipt().await?;
    }
    check!(
        scene.sink.most_running() <= 3,
        "{} deliveries ran concurrently",
        scene.sink.most_running()
    );
    Ok(())
}

pub(super) async fn keyless_messages_are_delivered_concurrently(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_max_in_flight(8)).await?;
    scene.sink.close();
    let pending: Vec<_> = (0..8).map(|n| scene.push(&n.to_string())).collect();
    scene.sink.wait_for_attempts(8).await?;
    scene.sink.open();
    for pending in pending {
        pending.receipt().await?;
    }
    Ok(())
}

pub(super) async fn order_by_key(harness: Arc<Dyn>) -> CaseResult {
    let config = config().with_retry(DeliveryRetry::new(
        5,
        Duration::from_millis(20),
        Duration::from_millis(100),
    ));
    let scene = Scene::new(&harness, config).await?;
    // The first delivery of each key fails once: later messages of the key must wait for its retry.
    scene.fail(4);
    let mut pending = Vec::new();
    for n in 0..10 {
        for key in ["a", "b"] {
            let message = message(&format!("{key}{n}"), &format!("{n}")).with_key(key);
            pending.push(scene.source.push(message));
        }
    }
    for pending in pending {
        pending.receipt().await?;
    }
    for key in ["a", "b"] {
        let of_key = scene
            .sink
            .delivered_to(TARGET)
            .into_iter()
            .filter(|message| message.key.as_deref() == Some(key.as_bytes()));
        let order: Vec<String> = of_key.map(|message| message.id).collect();
        let expected: Vec<String> = (0..10).map(|n| format!("{key}{n}")).collect();
        check_eq!(order, expected, "order of key {key}");
    }
    Ok(())
}

pub(super) async fn a_blocked_key_blocks_no_other(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.stick("stuck");
    let mut stuck = scene.source.push(message("1", "stuck").with_key("a"));
    scene.sink.wait_for_attempts(1).await?;
    scene.receipt(message("2", "free").with_key("b")).await?;
    check!(!stuck.is_answered(), "the delivery that hangs was settled");
    Ok(())
}

pub(super) async fn attempts_have_a_time_limit(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_delivery_timeout(Duration::from_millis(300))).await?;
    scene.sink.next(Step::Hang);
    let receipt = scene.push("1").receipt().await?;
    check_eq!(receipt.attempts, 2, "attempts");
    let gap = scene.sink.gap()?;
    check!(
        gap >= Duration::from_millis(300),
        "the first attempt was cancelled after {gap:?}"
    );
    scene.sink.next(Step::Hang);
    scene.sink.next(Step::Hang);
    let error = scene.push("2").rejection().await?;
    check!(
        error.is_a(networking_spi::ErrorKind::Timeout),
        "an attempt that hangs is not a timeout: {}",
        chain(&error)
    );
    Ok(())
}

pub(super) async fn every_message_is_settled_once(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_max_in_flight(4)).await?;
    for index in 0..30 {
        scene.sink.next(match index % 5 {
            0 => Step::Fail(transient()),
            1 => Step::Fail(super::scene::fatal()),
            _ => continue,
        });
    }
    let pending: Vec<_> = (0..30).map(|n| scene.push(&n.to_string())).collect();
    let mut acknowledged = 0;
    for pending in pending {
        acknowledged += usize::from(pending.answer().await?.is_ok());
    }
    check_eq!(
        acknowledged,
        scene.sink.delivered().len(),
        "acknowledged messages, compared with delivered ones"
    );
    Ok(())
}
