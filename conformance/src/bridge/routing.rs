//! Rules and conditions.

use std::sync::Arc;
use std::time::SystemTime;

use networking_spi::ErrorKind;
use networking_spi::bridge::{
    BridgeMessage, Disposition, ErrorAction, MAX_CONDITION_LENGTH, RouteAction, RouteRule, RoutingConfig,
    dead_letter_headers as headers,
};

use super::Dyn;
use super::scene::{DEAD_LETTERS, Scene, TARGET, config, message};
use crate::{CaseResult, check, check_eq, check_error};

fn rules(rules: &[(&str, &str)]) -> RoutingConfig {
    let mut routing = RoutingConfig::new();
    for (target, condition) in rules {
        routing = routing.with_rule(RouteRule::to(format!("to-{target}"), *condition, *target));
    }
    routing
}

pub(super) async fn the_first_match_decides(harness: Arc<Dyn>) -> CaseResult {
    let routing = rules(&[
        ("one", "payload.n > 1"),
        ("two", "payload.n > 2"),
        ("three", "payload.n > 0"),
    ]);
    let scene = Scene::routed(&harness, routing).await?;
    for (n, target) in [(3, "one"), (2, "one"), (1, "three")] {
        let receipt = scene.push(&format!("{{\"n\": {n}}}")).receipt().await?;
        check_eq!(receipt.target, target, "target of {n}");
        check_eq!(receipt.rule, Some(format!("to-{target}")), "rule of {n}");
    }
    Ok(())
}

pub(super) async fn unmatched_messages_go_to_the_default_target(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::routed(
        &harness,
        rules(&[("one", "payload.n == 1")]).with_default_target("rest"),
    )
    .await?;
    let receipt = scene.push(r#"{"n": 2}"#).receipt().await?;
    check_eq!(
        (receipt.target.as_str(), receipt.rule),
        ("rest", None),
        "target and rule"
    );
    Ok(())
}

pub(super) async fn unmatched_messages_are_dead_lettered(harness: Arc<Dyn>) -> CaseResult {
    let routing = rules(&[("one", "payload.n == 1")]);
    let scene = Scene::routed(&harness, routing.clone()).await?;
    let receipt = scene.push(r#"{"n": 2}"#).receipt().await?;
    check_eq!(
        (receipt.disposition, receipt.target.as_str()),
        (Disposition::DeadLettered, DEAD_LETTERS),
        "receipt"
    );
    let letters = scene.sink.delivered_to(DEAD_LETTERS);
    check_eq!(
        letters[0].header(headers::REASON),
        Some(headers::REASON_NO_ROUTE),
        "reason"
    );

    let scene = Scene::new(&harness, config().with_routing(routing)).await?;
    scene.push(r#"{"n": 2}"#).rejection().await?;
    check!(scene.sink.delivered().is_empty(), "a rejected message was delivered");
    Ok(())
}

pub(super) async fn dropped_messages_are_acknowledged(harness: Arc<Dyn>) -> CaseResult {
    let routing = RoutingConfig::new()
        .with_rule(RouteRule::new("noise", "payload.noise == true", RouteAction::Drop))
        .with_default_target(TARGET);
    let scene = Scene::routed(&harness, routing).await?;
    let receipt = scene.push(r#"{"noise": true}"#).receipt().await?;
    check_eq!(receipt.disposition, Disposition::Dropped, "disposition");
    check_eq!(
        (receipt.target.as_str(), receipt.rule.as_deref()),
        ("", Some("noise")),
        "target and rule"
    );
    check!(scene.sink.attempts().is_empty(), "a dropped message reached the sink");
    Ok(())
}

/// A message with a value for everything that conditions can see.
fn rich() -> BridgeMessage {
    let payload =
        r#"{"event": "user_login", "n": 7, "f": 1.5, "list": [1, 2, 3], "nested": {"text": "x", "none": null}}"#;
    BridgeMessage::new("1", payload, SystemTime::UNIX_EPOCH)
        .with_header("X-Kind", "push")
        .with_header("x-kind", "second")
        .with_key("k1")
        .with_content_type("application/json")
        .with_origin("/hooks")
}

pub(super) async fn conditions_see_the_message(harness: Arc<Dyn>) -> CaseResult {
    for condition in [
        "payload.event == 'user_login'",
        "payload.nested.text == 'x' && payload.nested.none == null",
        "headers['x-kind'] == 'push'",
        "'x-kind' in headers && !('x-other' in headers)",
        "key == 'k1'",
        "content_type == 'application/json'",
        "origin.startsWith('/hook')",
        "size > 50 && size < 200",
        "has(payload.nested) && !has(payload.other)",
        "payload.list.exists(n, n == 3) && payload.list.all(n, n > 0) && payload.list.size() == 3",
        "payload.event.matches('^user_.*$')",
        "payload.event in ['user_login', 'user_logout']",
    ] {
        let scene = Scene::routed(&harness, rules(&[("hit", condition)]).with_default_target("miss")).await?;
        check_eq!(scene.receipt(rich()).await?.target, "hit", "target by {condition:?}");
    }
    Ok(())
}

pub(super) async fn integers_support_arithmetic(harness: Arc<Dyn>) -> CaseResult {
    for condition in [
        "payload.n == 7",
        "payload.n + 1 == 8",
        "payload.n * 2 - 4 == 10",
        "payload.n % 4 == 3",
        "payload.n > -1",
        "payload.f * 2.0 == 3.0",
        "payload.f < 2",
        "payload.list[1] + payload.n == 9",
    ] {
        let scene = Scene::routed(&harness, rules(&[("hit", condition)]).with_default_target("miss")).await?;
        check_eq!(scene.receipt(rich()).await?.target, "hit", "target by {condition:?}");
    }
    Ok(())
}

pub(super) async fn an_error_is_no_match(harness: Arc<Dyn>) -> CaseResult {
    let routing = rules(&[
        ("one", "payload.missing.field == 1"),
        ("two", "payload.event > 3"),
        ("three", "payload.n == 7"),
    ]);
    let scene = Scene::routed(&harness, routing).await?;
    check_eq!(scene.receipt(rich()).await?.target, "three", "target");
    let metrics = scene.metrics().await?;
    check_eq!(metrics.condition_errors, 2, "conditions that could not be evaluated");
    check_eq!(
        metrics.by_rule.get("to-one").map(|rule| rule.errors),
        Some(1),
        "errors of the first rule"
    );
    Ok(())
}

pub(super) async fn an_error_can_dead_letter(harness: Arc<Dyn>) -> CaseResult {
    let routing =
        rules(&[("one", "payload.missing == 1"), ("two", "payload.n == 7")]).with_on_error(ErrorAction::DeadLetter);
    let scene = Scene::routed(&harness, routing).await?;
    let receipt = scene.receipt(rich()).await?;
    check_eq!(
        (receipt.disposition, receipt.target.as_str()),
        (Disposition::DeadLettered, DEAD_LETTERS),
        "receipt"
    );
    let letters = scene.sink.delivered_to(DEAD_LETTERS);
    check_eq!(
        letters[0].header(headers::REASON),
        Some(headers::REASON_CONDITION_ERROR),
        "reason"
    );
    check_eq!(letters[0].header(headers::RULE), Some("to-one"), "rule");
    Ok(())
}

pub(super) async fn only_booleans_match(harness: Arc<Dyn>) -> CaseResult {
    let routing = rules(&[("one", "payload.n"), ("two", "payload.event")]).with_default_target("rest");
    let scene = Scene::routed(&harness, routing).await?;
    check_eq!(scene.receipt(rich()).await?.target, "rest", "target");
    check_eq!(
        scene.metrics().await?.condition_errors,
        2,
        "conditions that could not be evaluated"
    );
    Ok(())
}

pub(super) async fn other_payloads_are_null(harness: Arc<Dyn>) -> CaseResult {
    let routing = rules(&[("field", "payload.n == 7"), ("null", "payload == null")]);
    let scene = Scene::routed(&harness, routing).await?;
    for payload in ["<xml/>", "", "{\"n\": 7"] {
        check_eq!(
            scene.receipt(message("1", payload)).await?.target,
            "null",
            "target of {payload:?}"
        );
    }
    check_eq!(
        scene.receipt(message("1", "{\"n\": 7}")).await?.target,
        "field",
        "target of JSON"
    );
    Ok(())
}

pub(super) async fn routing_can_be_replaced(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::routed(&harness, rules(&[("old", "size > 0")])).await?;
    check_eq!(scene.push("1").receipt().await?.target, "old", "target before");
    scene
        .bridge
        .configure_bridge_routing(&scene.id, rules(&[("new", "size > 0")]))
        .await?;
    check_eq!(scene.push("2").receipt().await?.target, "new", "target after");
    Ok(())
}

pub(super) async fn rules_can_be_replaced_alone(harness: Arc<Dyn>) -> CaseResult {
    let routing = rules(&[("old", "size > 0")])
        .with_default_target("default")
        .with_on_error(ErrorAction::DeadLetter);
    let scene = Scene::routed(&harness, routing).await?;
    let new = rules(&[("new", "payload.n == 2")]).rules;
    scene.bridge.configure_bridge_rules(&scene.id, new).await?;
    for (payload, target) in [("{\"n\": 2}", "new"), ("{\"n\": 3}", "default")] {
        let receipt = scene.receipt(message("1", payload)).await?;
        check_eq!(receipt.target, target, "target of {payload}");
    }
    // `n` is missing.
    let receipt = scene.receipt(message("1", "{}")).await?;
    check_eq!(
        receipt.disposition,
        Disposition::DeadLettered,
        "outcome of a condition that cannot be evaluated"
    );
    let wrong = rules(&[("new", "size >")]).rules;
    let configured = scene.bridge.configure_bridge_rules(&scene.id, wrong).await;
    let error = check_error!(configured, ErrorKind::InvalidInput, "an invalid rule");
    check_eq!(
        error.field(),
        Some("rules[0].condition"),
        "the field that the error names"
    );
    Ok(())
}

pub(super) async fn wrong_routing_changes_nothing(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::new(&harness, config().with_routing(rules(&[("old", "size > 0")]))).await?;
    let too_long = format!("size > 0 {}", "|| true ".repeat(MAX_CONDITION_LENGTH / 8));
    let good = RouteRule::to("good", "size > 0", "new");
    for (routing, field) in [
        (rules(&[("new", "size >")]), "rules[0].condition"),
        (rules(&[("new", "unknown > 0")]), "rules[0].condition"),
        (rules(&[("new", &too_long)]), "rules[0].condition"),
        (rules(&[("new", "size > 0"), ("more", " ")]), "rules[1].condition"),
        (
            RoutingConfig::new().with_rule(good.clone()).with_rule(good.clone()),
            "rules[1].name",
        ),
        (
            RoutingConfig::new().with_rule(RouteRule::to("r", "size > 0", "")),
            "rules[0].target",
        ),
        (
            RoutingConfig::new().with_rule(RouteRule::new("r", "size > 0", RouteAction::DeadLetter)),
            "rules[0].action",
        ),
        (
            rules(&[("new", "size > 0")]).with_on_error(ErrorAction::DeadLetter),
            "on_error",
        ),
    ] {
        let configured = scene.bridge.configure_bridge_routing(&scene.id, routing).await;
        let error = check_error!(configured, ErrorKind::InvalidInput, "an invalid {field}");
        check_eq!(error.field(), Some(field), "the field that the error names");
        check_eq!(
            scene.push("1").receipt().await?.target,
            "old",
            "target after an invalid {field}"
        );
    }
    Ok(())
}

/// A backend may refuse such conditions, or their evaluation may fail. A crash of the process would end the whole suite.
pub(super) async fn hostile_conditions_are_refused_or_fail(harness: Arc<Dyn>) -> CaseResult {
    let scene = Scene::routed(&harness, rules(&[("old", "size > 0")])).await?;
    let fill = |part: &str| part.repeat((MAX_CONDITION_LENGTH - 8) / part.len());
    let nested = |open: &str, close: &str| {
        let depth = (MAX_CONDITION_LENGTH - 8) / (open.len() + close.len());
        format!("{}1{} == 1", open.repeat(depth), close.repeat(depth))
    };
    let mut loops = "true".to_owned();
    for variable in ["a", "b", "c", "d", "e", "f", "g"] {
        loops = format!("[1,2,3,4,5,6,7,8,9,10].all({variable}, {loops})");
    }
    for condition in [
        nested("(", ")"),
        nested("[", "]"),
        format!("{}1 == 1", fill("1+")),
        format!("payload{} == 1", fill("[0]")),
        format!("{}true", fill("!")),
        format!("payload.event.matches('{}')", "(x+x+)+".repeat(100)),
        loops,
    ] {
        let configured = scene
            .bridge
            .configure_bridge_routing(&scene.id, rules(&[("new", &condition)]).with_default_target("new"))
            .await;
        let start: String = condition.chars().take(30).collect();
        let expected = match configured {
            Ok(()) => "new",
            Err(error) if error.kind() == ErrorKind::InvalidInput => "old",
            Err(error) => return Err(crate::Failure::with_error(format_args!("{start}..."), &error)),
        };
        check_eq!(scene.receipt(rich()).await?.target, expected, "target with {start}...");
        scene
            .bridge
            .configure_bridge_routing(&scene.id, rules(&[("old", "size > 0")]))
            .await?;
    }
    Ok(())
}
