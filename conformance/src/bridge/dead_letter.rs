//! Messages that cannot be delivered.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::bridge::{
    BridgeConfig, Disposition, RouteAction, RouteRule, RoutingConfig, dead_letter_headers as headers,
};

use super::Dyn;
use super::scene::{DEAD_LETTERS, NAME, Scene, TARGET, config, fatal, message, with_dead_letters};
use super::sink::Step;
use crate::kit::chain;
use crate::{CaseResult, check, check_eq, check_error};

pub(super) async fn without_a_target_the_message_is_rejected(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config()).await?;
    scene.sink.next(Step::Fail(fatal()));
    check_error!(
        scene.push("1").answer().await?,
        ErrorKind::Remote,
        "a message that cannot be delivered"
    );
    check!(scene.sink.delivered().is_empty(), "a rejected message was delivered");
    // The next message is not affected.
    scene.push("2").receipt().await?;
    Ok(())
}

pub(super) async fn undeliverable_messages_are_dead_lettered(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, with_dead_letters()).await?;
    scene.fail(2);
    let sent = message("1", "body").with_header("x-a", "1").with_key("k");
    let receipt = scene.receipt(sent.clone()).await?;
    check_eq!(receipt.disposition, Disposition::DeadLettered, "disposition");
    check_eq!(receipt.target, DEAD_LETTERS, "target");
    let letters = scene.sink.delivered_to(DEAD_LETTERS);
    check_eq!(letters.len(), 1, "dead letters");
    check_eq!(letters[0].payload, sent.payload, "payload");
    check_eq!((&letters[0].id, &letters[0].key), (&sent.id, &sent.key), "id and key");
    check_eq!(letters[0].header("x-a"), Some("1"), "a header field of the message");
    Ok(())
}

pub(super) async fn dead_letters_say_why(harness: Arc<Dyn>) -> CaseResult {
    let routing = RoutingConfig::new().with_rule(RouteRule::to("everything", "size > 0", TARGET));
    let scene = Scene::routed(&harness, routing).await?;
    scene.fail(2);
    let sent = message("1", "body").with_header(headers::REASON, "from an earlier dead letter");
    scene.receipt(sent).await?;
    let letters = scene.sink.delivered_to(DEAD_LETTERS);
    check_eq!(letters.len(), 1, "dead letters");
    for (name, expected) in [
        (headers::REASON, headers::REASON_DELIVERY_FAILED),
        (headers::TARGET, TARGET),
        (headers::RULE, "everything"),
        (headers::ERROR_KIND, "connection_closed"),
        (headers::ATTEMPTS, "2"),
        (headers::BRIDGE, NAME),
    ] {
        check_eq!(letters[0].header(name), Some(expected), "{name}");
    }
    let text = letters[0].header(headers::ERROR).unwrap_or_default();
    check!(text.contains("the connection was lost"), "{}: {text:?}", headers::ERROR);
    let time = letters[0]
        .header(headers::TIME)
        .and_then(|time| time.parse::<u64>().ok());
    check!(time.is_some(), "{} is not a number", headers::TIME);
    Ok(())
}

pub(super) async fn a_failed_dead_lettering_rejects_the_message(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, with_dead_letters()).await?;
    scene.sink.next(Step::Fail(fatal()));
    scene.fail(2);
    let error = scene.push("1").rejection().await?;
    check!(
        error.retryability().is_retryable(),
        "the dead-letter target failed transiently, but the rejection is not retryable: {}",
        chain(&error)
    );
    check!(scene.sink.delivered().is_empty(), "a rejected message was delivered");
    Ok(())
}

pub(super) async fn large_payloads_are_not_delivered(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_max_payload_size(4)).await?;
    scene.push("1234").receipt().await?;
    check_error!(
        scene.push("12345").answer().await?,
        ErrorKind::TooLarge,
        "a payload above the limit"
    );
    check_eq!(scene.sink.delivered().len(), 1, "deliveries");

    let scene = large_with_dead_letters(&harness).await?;
    let receipt = scene.push("12345").receipt().await?;
    check_eq!(
        receipt.disposition,
        Disposition::DeadLettered,
        "the disposition with a dead-letter target"
    );
    let letters = scene.sink.delivered_to(DEAD_LETTERS);
    check_eq!(
        letters[0].header(headers::REASON),
        Some(headers::REASON_TOO_LARGE),
        "reason"
    );
    Ok(())
}

async fn large_with_dead_letters(harness: &Arc<Dyn>) -> Result<Scene, crate::Failure> {
    let config: BridgeConfig = with_dead_letters().with_max_payload_size(4);
    Scene::new(harness, config).await
}

pub(super) async fn a_rule_can_dead_letter(harness: Arc<Dyn>) -> CaseResult {
    let routing = RoutingConfig::new()
        .with_rule(RouteRule::new("bad", "payload.bad == true", RouteAction::DeadLetter))
        .with_default_target(TARGET);
    let scene = Scene::routed(&harness, routing).await?;
    let receipt = scene.push(r#"{"bad": true}"#).receipt().await?;
    check_eq!(
        (receipt.disposition, receipt.rule.as_deref()),
        (Disposition::DeadLettered, Some("bad")),
        "receipt"
    );
    let letters = scene.sink.delivered_to(DEAD_LETTERS);
    check_eq!(letters[0].header(headers::REASON), Some(headers::REASON_RULE), "reason");
    check_eq!(letters[0].header(headers::RULE), Some("bad"), "rule");
    Ok(())
}
