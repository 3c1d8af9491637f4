//! Pausing, and messages from the application.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::bridge::{BridgeState, Disposition, RouteRule, RoutingConfig};

use super::Dyn;
use super::scene::{DEAD_LETTERS, Scene, TARGET, config, fatal, message, settle};
use super::sink::Step;
use crate::{CaseResult, check, check_eq, check_error};

pub(super) async fn a_paused_bridge_receives_nothing(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.close();
    let before = scene.push("before");
    scene.sink.wait_for_attempts(1).await?;
    scene.bridge.pause_bridge(&scene.id).await?;
    check_eq!(scene.status().await?.state, BridgeState::Paused, "state");
    let mut after = scene.push("after");
    scene.sink.open();
    before.receipt().await?;
    settle().await;
    check_eq!(scene.source.handed(), 1, "messages received from the source");
    check!(!after.is_answered(), "a message that was not received was settled");
    Ok(())
}

pub(super) async fn a_resumed_bridge_continues(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.bridge.pause_bridge(&scene.id).await?;
    let pending = scene.push("1");
    scene.bridge.resume_bridge(&scene.id).await?;
    check_eq!(scene.status().await?.state, BridgeState::Running, "state");
    pending.receipt().await?;
    check_eq!(
        scene.source.stops.load(std::sync::atomic::Ordering::SeqCst),
        0,
        "how often the source was stopped"
    );
    Ok(())
}

pub(super) async fn pausing_twice_is_no_error(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.bridge.resume_bridge(&scene.id).await?;
    scene.bridge.pause_bridge(&scene.id).await?;
    scene.bridge.pause_bridge(&scene.id).await?;
    scene.bridge.resume_bridge(&scene.id).await?;
    scene.bridge.resume_bridge(&scene.id).await?;
    scene.push("1").receipt().await?;
    Ok(())
}

pub(super) async fn sent_messages_are_processed_like_received_ones(harness: Arc<Dyn>) -> CaseResult {
    let routing = RoutingConfig::new()
        .with_rule(RouteRule::to("logins", "payload.event == 'user_login'", "user-logins"))
        .with_default_target(TARGET);
    let scene = Scene::routed(&harness, routing).await?;
    let sent = message("m", r#"{"event": "user_login"}"#);
    let receipt = scene.bridge.send_message_through_bridge(&scene.id, sent).await?;
    check_eq!(
        (receipt.target.as_str(), receipt.rule.as_deref()),
        ("user-logins", Some("logins")),
        "target and rule"
    );
    check_eq!(receipt.message_id, "m", "message");
    check_eq!(scene.sink.delivered_to("user-logins").len(), 1, "deliveries");
    scene.fail(2);
    let receipt = scene
        .bridge
        .send_message_through_bridge(&scene.id, message("n", "{}"))
        .await?;
    check_eq!(
        (receipt.disposition, receipt.target.as_str()),
        (Disposition::DeadLettered, DEAD_LETTERS),
        "disposition and target after failures"
    );
    check_eq!(scene.metrics().await?.received, 2, "messages received");
    Ok(())
}

pub(super) async fn sending_returns_the_sinks_error(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.next(Step::Fail(fatal()));
    let sent = scene
        .bridge
        .send_message_through_bridge(&scene.id, message("1", "1"))
        .await;
    check_error!(sent, ErrorKind::Remote, "sending a message that the sink refuses");
    Ok(())
}

pub(super) async fn sending_through_a_paused_bridge_is_closed(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.bridge.pause_bridge(&scene.id).await?;
    let sent = scene
        .bridge
        .send_message_through_bridge(&scene.id, message("1", "1"))
        .await;
    check_error!(sent, ErrorKind::Closed, "sending through a paused bridge");
    scene.bridge.resume_bridge(&scene.id).await?;
    scene
        .bridge
        .send_message_through_bridge(&scene.id, message("2", "2"))
        .await?;
    check_eq!(scene.sink.delivered().len(), 1, "deliveries");
    Ok(())
}

pub(super) async fn sending_checks_the_message(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_max_payload_size(4)).await?;
    let blank = scene
        .bridge
        .send_message_through_bridge(&scene.id, message(" ", "1"))
        .await;
    check_eq!(
        check_error!(blank, ErrorKind::InvalidInput, "a blank id").field(),
        Some("id"),
        "field"
    );
    let large = scene
        .bridge
        .send_message_through_bridge(&scene.id, message("1", "12345"))
        .await;
    check_error!(large, ErrorKind::TooLarge, "a payload above the limit");
    check!(scene.sink.attempts().is_empty(), "a refused message reached the sink");
    Ok(())
}

pub(super) async fn sent_messages_count_as_in_flight(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_max_in_flight(1)).await?;
    // An idle source must not occupy the only delivery.
    scene
        .bridge
        .send_message_through_bridge(&scene.id, message("1", "1"))
        .await?;
    scene.sink.close();
    let pending = scene.push("2");
    scene.sink.wait_for_attempts(2).await?;
    let send = scene.bridge.send_message_through_bridge(&scene.id, message("3", "3"));
    let open = async {
        settle().await;
        let attempts = scene.sink.attempts().len();
        scene.sink.open();
        attempts
    };
    let (result, attempts) = tokio::join!(send, open);
    check_eq!(attempts, 2, "deliveries at a limit of one in flight");
    result?;
    pending.receipt().await?;
    Ok(())
}
