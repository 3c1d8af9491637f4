//! Values of the bridge contract: validation errors that name the field, names of values, serialization, and redaction.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use networking_spi::bridge::{
    Acknowledge, BridgeConfig, BridgeMessage, BridgeMetrics, BridgeProtocol, BridgeReceipt, BridgeState, Delivery,
    DeliveryRetry, Disposition, ErrorAction, HealthState, MAX_CONDITION_LENGTH, MAX_RULES, RouteAction, RouteRule,
    RoutingConfig,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result};

fn field(value: &impl Validate) -> Option<String> {
    value
        .validate()
        .err()
        .and_then(|error| error.field().map(str::to_owned))
}

fn rule(name: &str) -> RouteRule {
    RouteRule::to(name, "true", "t")
}

#[test]
fn a_wrong_configuration_names_its_field() {
    let config = BridgeConfig::new;
    let routed = |routing| config().with_routing(routing);
    assert_eq!(field(&config()), None);
    for (expected, config) in [
        ("max_in_flight", config().with_max_in_flight(0)),
        ("max_in_flight", config().with_max_in_flight(100_001)),
        ("max_payload_size", config().with_max_payload_size(0)),
        ("delivery_timeout", config().with_delivery_timeout(Duration::ZERO)),
        ("drain_timeout", config().with_drain_timeout(Duration::ZERO)),
        ("dead_letter_target", config().with_dead_letter_target(" ")),
        (
            "retry.max_attempts",
            config().with_retry(DeliveryRetry::new(0, Duration::ZERO, Duration::ZERO)),
        ),
        (
            "retry.max_attempts",
            config().with_retry(DeliveryRetry::new(101, Duration::ZERO, Duration::ZERO)),
        ),
        (
            "retry.backoff.maximum",
            config().with_retry(DeliveryRetry::new(1, Duration::from_secs(2), Duration::from_secs(1))),
        ),
        (
            "routing.default_target",
            routed(RoutingConfig::new().with_default_target("")),
        ),
        (
            "routing.rules[0].name",
            routed(RoutingConfig::new().with_rule(rule(""))),
        ),
        (
            "routing.rules[1].name",
            routed(RoutingConfig::new().with_rule(rule("a")).with_rule(rule("a"))),
        ),
        (
            "routing.rules[0].condition",
            routed(RoutingConfig::new().with_rule(RouteRule::to("a", " ", "t"))),
        ),
        (
            "routing.rules[0].target",
            routed(RoutingConfig::new().with_rule(RouteRule::to("a", "true", "\n"))),
        ),
        (
            "dead_letter_target",
            routed(RoutingConfig::new().with_on_error(ErrorAction::DeadLetter)),
        ),
        (
            "dead_letter_target",
            routed(RoutingConfig::new().with_rule(RouteRule::new("a", "true", RouteAction::DeadLetter))),
        ),
    ] {
        assert_eq!(field(&config).as_deref(), Some(expected));
    }
}

#[test]
fn rules_and_conditions_are_bounded() {
    let long = "x".repeat(MAX_CONDITION_LENGTH);
    let with_condition = |condition: &str| RoutingConfig::new().with_rule(RouteRule::to("a", condition, "t"));
    assert_eq!(field(&with_condition(&long)), None);
    assert_eq!(
        field(&with_condition(&format!("{long}x"))).as_deref(),
        Some("rules[0].condition")
    );
    let mut routing = RoutingConfig::new();
    routing.rules = (0..=MAX_RULES).map(|index| rule(&index.to_string())).collect();
    assert_eq!(field(&routing).as_deref(), Some("rules"));
    routing.rules.pop();
    assert_eq!(field(&routing), None);
}

#[test]
fn a_configuration_survives_serialization() {
    let routing = RoutingConfig::new()
        .with_rule(RouteRule::to("logins", "payload.event == 'user_login'", "user-logins"))
        .with_rule(RouteRule::new("noise", "payload.noise", RouteAction::Drop))
        .with_rule(RouteRule::new("bad", "payload.bad", RouteAction::DeadLetter))
        .with_default_target("events")
        .with_on_error(ErrorAction::DeadLetter);
    let config = BridgeConfig::new()
        .with_routing(routing)
        .with_dead_letter_target("dead-letters")
        .with_retry(DeliveryRetry::new(3, Duration::from_millis(50), Duration::from_secs(2)));
    let json = serde_json::to_value(&config).unwrap();
    let expected = serde_json::json!({
        "name": "logins", "condition": "payload.event == 'user_login'", "action": "deliver", "target": "user-logins",
    });
    assert_eq!(json["routing"]["rules"][0], expected);
    assert_eq!(json["routing"]["rules"][1]["action"], "drop");
    assert_eq!(json["routing"]["rules"][2]["action"], "dead_letter");
    assert_eq!(json["routing"]["on_error"], "dead_letter");
    assert_eq!(json["retry"]["backoff"]["initial"], "50ms");
    assert_eq!(serde_json::from_value::<BridgeConfig>(json).unwrap(), config);
    assert_eq!(serde_json::from_str::<BridgeConfig>("{}").unwrap(), BridgeConfig::new());
    let sparse: BridgeConfig = serde_json::from_str(r#"{"retry": {"backoff": {"initial": "1s"}}}"#).unwrap();
    let expected = DeliveryRetry::new(5, Duration::from_secs(1), Duration::from_secs(5));
    assert_eq!(sparse.retry, expected, "the rest is the default of a bridge");
}

#[test]
fn an_unknown_action_is_an_error() {
    let rule = r#"{"name": "a", "condition": "true", "action": "explode"}"#;
    let error = serde_json::from_str::<RouteRule>(rule).unwrap_err();
    assert!(error.to_string().contains("explode"), "{error}");
}

#[test]
fn names_are_spelled_as_the_specification_does() {
    assert_eq!(BridgeProtocol::WebSocket.to_string(), "websocket");
    assert_eq!("draining".parse::<BridgeState>().unwrap(), BridgeState::Draining);
    assert_eq!(serde_json::to_string(&HealthState::Degraded).unwrap(), "\"degraded\"");
    assert_eq!(
        serde_json::to_string(&Disposition::DeadLettered).unwrap(),
        "\"dead_lettered\""
    );
    for state in BridgeState::ALL {
        assert_eq!(state.as_str().parse::<BridgeState>().unwrap(), *state);
    }
    let error = "running ".parse::<BridgeState>().unwrap_err();
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::InvalidInput, Some("bridge_state"))
    );
}

#[test]
fn a_receipt_and_metrics_survive_serialization() {
    let receipt = BridgeReceipt::new("m", Disposition::Delivered, "t")
        .with_position("3@1042")
        .with_rule("r")
        .with_attempts(2);
    let json = serde_json::to_string(&receipt).unwrap();
    assert_eq!(serde_json::from_str::<BridgeReceipt>(&json).unwrap(), receipt);
    let mut metrics = BridgeMetrics::default();
    metrics.received = 3;
    metrics.by_target.insert("t".to_owned(), 3);
    let json = serde_json::to_string(&metrics).unwrap();
    assert_eq!(serde_json::from_str::<BridgeMetrics>(&json).unwrap(), metrics);
}

#[test]
fn a_message_shows_sizes_only() {
    let message = BridgeMessage::new("id", "payload-secret", SystemTime::UNIX_EPOCH)
        .with_key("key-secret")
        .with_header("X-Token", "header-secret");
    assert_eq!(
        message.header("x-token"),
        Some("header-secret"),
        "names are in lower case"
    );
    let shown = format!("{message:?}");
    assert!(!shown.contains("secret"), "{shown}");
    assert!(shown.contains("payload_bytes: 14"), "{shown}");
    let blank = BridgeMessage::new("\n", "", SystemTime::UNIX_EPOCH);
    assert_eq!(field(&blank).as_deref(), Some("id"));
}

#[derive(Clone, Default)]
struct Outcomes(Arc<Mutex<Vec<Result<BridgeReceipt>>>>);

impl Acknowledge for Outcomes {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        self.0.lock().unwrap().push(result);
    }
}

#[test]
fn a_delivery_is_answered_exactly_once() {
    let message = || BridgeMessage::new("m", "x", SystemTime::UNIX_EPOCH);
    let outcomes = Outcomes::default();
    let delivery = || Delivery::new(message(), Box::new(outcomes.clone()));

    delivery().acknowledge(BridgeReceipt::new("m", Disposition::Delivered, "t"));
    delivery().reject(NetworkError::closed("test", "it"));
    drop(delivery());
    let mut taken = delivery();
    assert_eq!(taken.take_message().unwrap().id, "m");
    assert!(taken.message().is_none() && taken.take_message().is_none());
    drop(taken);

    let outcomes = outcomes.0.lock().unwrap();
    let kinds: Vec<_> = outcomes
        .iter()
        .map(|result| result.as_ref().map(|_| ()).map_err(NetworkError::kind))
        .collect();
    let cancelled = Err(ErrorKind::Cancelled);
    assert_eq!(kinds, [Ok(()), Err(ErrorKind::Closed), cancelled, cancelled]);
}
