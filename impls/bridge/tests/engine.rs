//! Behaviour of [`InProcessBridge`] beyond the clauses of the contract.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use networking_bridge::{InProcessBridge, MemorySink, MemorySource};
use networking_spi::bridge::{
    BridgeConfig, BridgeMessage, BridgeState, DeliveryRetry, Disposition, HealthState, RouteRule, RoutingConfig,
    dead_letter_headers,
};
use networking_spi::prelude::*;

fn routed() -> BridgeConfig {
    let mut routing = RoutingConfig::new().with_default_target("events");
    if cfg!(feature = "cel") {
        routing = routing.with_rule(RouteRule::to("logins", "payload.event == 'user_login'", "user-logins"));
    }
    BridgeConfig::new().with_routing(routing)
}

fn transient() -> NetworkError {
    NetworkError::new(ErrorKind::ConnectionClosed, "sink.deliver", "gone")
}

#[tokio::test(start_paused = true)]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn routes_and_acknowledges() {
    let bridge = InProcessBridge::new();
    let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    let id = bridge
        .create_bridge("b", source.clone(), sink.clone(), routed())
        .await
        .unwrap();

    let login = source.send(r#"{"event": "user_login"}"#).await.unwrap();
    assert_eq!(
        (login.target.as_str(), login.rule.as_deref()),
        ("user-logins", Some("logins"))
    );
    let other = source.send("not json").await.unwrap();
    assert_eq!((other.target.as_str(), other.rule.as_deref()), ("events", None));
    assert_eq!(other.position.as_deref(), Some("1"));

    let metrics = bridge.bridge_metrics(&id).await.unwrap();
    assert_eq!((metrics.received, metrics.delivered, metrics.failed), (2, 2, 0));
    assert_eq!(metrics.condition_errors, 1, "the payload that is not JSON has no field");
    assert_eq!(bridge.bridge_status(&id).await.unwrap().in_flight, 0);
    assert_eq!(bridge.monitor_bridge_health(&id).await.unwrap().state, HealthState::Up);
    bridge.destroy_bridge(&id).await.unwrap();
    assert!(bridge.all_bridges().await.unwrap().is_empty());
    source.send("x").await.unwrap_err();
}

#[tokio::test(start_paused = true)]
async fn an_idle_source_does_not_keep_the_only_permit() {
    let bridge = InProcessBridge::new();
    let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    let config = routed().with_max_in_flight(1);
    let id = bridge
        .create_bridge("b", source.clone(), sink.clone(), config)
        .await
        .unwrap();
    for n in 0..3 {
        let message = BridgeMessage::new(format!("app-{n}"), "{}", SystemTime::UNIX_EPOCH);
        bridge.send_message_through_bridge(&id, message).await.unwrap();
        source.send("{}").await.unwrap();
    }
    assert_eq!(sink.messages().len(), 6);
}

#[tokio::test(start_paused = true)]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn retries_and_then_dead_letters_with_the_reason() {
    let bridge = InProcessBridge::builder().jitter_seed(7).build();
    let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    let config = routed().with_dead_letter_target("dead").with_retry(DeliveryRetry::new(
        3,
        Duration::from_millis(10),
        Duration::from_secs(1),
    ));
    let id = bridge
        .create_bridge("b", source.clone(), sink.clone(), config)
        .await
        .unwrap();

    sink.fail_next(transient());
    let receipt = source.send("{}").await.unwrap();
    assert_eq!((receipt.disposition, receipt.attempts), (Disposition::Delivered, 2));

    for _ in 0..3 {
        sink.fail_next(transient());
    }
    let receipt = source.send(r#"{"event": "user_login"}"#).await.unwrap();
    assert_eq!(
        (receipt.disposition, receipt.target.as_str()),
        (Disposition::DeadLettered, "dead")
    );
    let letter = &sink.messages_for("dead")[0];
    assert_eq!(letter.header(dead_letter_headers::TARGET), Some("user-logins"));
    assert_eq!(
        letter.header(dead_letter_headers::ERROR_KIND),
        Some("connection_closed")
    );
    assert_eq!(letter.header(dead_letter_headers::ATTEMPTS), Some("3"));
    assert_eq!(letter.payload, r#"{"event": "user_login"}"#);

    // Dead-lettering also fails: the message is rejected with that error, which is retryable.
    for _ in 0..6 {
        sink.fail_next(transient());
    }
    let error = source.send("{}").await.unwrap_err();
    assert!(error.retryability().is_retryable());
    assert!(
        error.to_string().contains("dead_letter_of: connection_closed"),
        "{error}"
    );
    let metrics = bridge.bridge_metrics(&id).await.unwrap();
    assert_eq!(
        (
            metrics.received,
            metrics.delivered,
            metrics.dead_lettered,
            metrics.failed
        ),
        (3, 1, 1, 1)
    );
    assert_eq!(metrics.retries, 1 + 2 + 4);
}

#[tokio::test(start_paused = true)]
async fn waits_as_long_as_the_sink_asks_up_to_the_configured_maximum() {
    let bridge = InProcessBridge::new();
    let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    bridge
        .create_bridge("b", source.clone(), sink.clone(), routed())
        .await
        .unwrap();

    let asked = Duration::from_secs(3);
    sink.fail_next(transient().with_retryability(Retryability::After(asked)));
    let start = tokio::time::Instant::now();
    source.send("{}").await.unwrap();
    assert!(start.elapsed() >= asked);

    let day = Duration::from_secs(86_400);
    sink.fail_next(transient().with_retryability(Retryability::After(day)));
    let start = tokio::time::Instant::now();
    let error = source.send("{}").await.unwrap_err();
    assert_eq!(error.retryability(), Retryability::After(day));
    assert!(start.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_owner_ends_its_bridges() {
    let bridge = InProcessBridge::new();
    let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    bridge
        .create_bridge("b", source.clone(), sink.clone(), routed())
        .await
        .unwrap();
    source.send("{}").await.unwrap();
    let held = Arc::downgrade(&sink);
    drop(bridge);
    let error = source.send("{}").await.unwrap_err();
    assert!(
        matches!(error.kind(), ErrorKind::Cancelled | ErrorKind::Closed),
        "{error}"
    );
    drop(sink);
    // The tasks of the bridge drop its endpoints when they end.
    while held.upgrade().is_some() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn large_payloads_are_routed_too() {
    let bridge = InProcessBridge::new();
    let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    bridge
        .create_bridge("b", source.clone(), sink.clone(), routed())
        .await
        .unwrap();
    let payload = format!("{{\"text\": \"{}\", \"event\": \"user_login\"}}", "x".repeat(1 << 20));
    let receipt = source.send(payload.clone()).await.unwrap();
    assert_eq!(receipt.target, "user-logins");
    assert_eq!(sink.messages()[0].message.payload, payload);
}

#[tokio::test(start_paused = true)]
async fn a_transient_failure_of_the_source_is_retried() {
    let bridge = InProcessBridge::new();
    let (source, sink) = (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    let id = bridge
        .create_bridge("b", source.clone(), sink.clone(), routed())
        .await
        .unwrap();
    source.fail(transient()).await.unwrap();
    source.send("{}").await.unwrap();
    let status = bridge.bridge_status(&id).await.unwrap();
    assert_eq!(status.state, BridgeState::Running);
    assert!(status.last_error.unwrap().contains("gone"));
}

#[tokio::test(start_paused = true)]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn names_fields_and_limits() {
    let bridge = InProcessBridge::builder().max_bridges(1).build();
    let endpoints = || (Arc::new(MemorySource::new(4)), Arc::new(MemorySink::new()));
    let (source, sink) = endpoints();
    let broken =
        BridgeConfig::new().with_routing(RoutingConfig::new().with_rule(RouteRule::to("r", "event == 1", "t")));
    let error = bridge.create_bridge("b", source, sink, broken).await.unwrap_err();
    assert_eq!(error.field(), Some("routing.rules[0].condition"), "{error}");

    let (source, sink) = endpoints();
    let id = bridge.create_bridge("b", source, sink, routed()).await.unwrap();
    let (source, sink) = endpoints();
    let error = bridge.create_bridge("c", source, sink, routed()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Exhausted);
    let needs_dead_letters = RoutingConfig::new().with_on_error(networking_spi::bridge::ErrorAction::DeadLetter);
    let error = bridge
        .configure_bridge_routing(&id, needs_dead_letters)
        .await
        .unwrap_err();
    assert_eq!(error.field(), Some("on_error"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn keeps_order_and_acknowledges_everything_under_load() {
    const KEYS: usize = 50;
    const PER_KEY: usize = 100;
    let bridge = InProcessBridge::new();
    let (source, sink) = (Arc::new(MemorySource::new(KEYS * PER_KEY)), Arc::new(MemorySink::new()));
    let config = routed()
        .with_max_in_flight(64)
        .with_retry(DeliveryRetry::new(100, Duration::ZERO, Duration::ZERO));
    let id = bridge
        .create_bridge("b", source.clone(), sink.clone(), config)
        .await
        .unwrap();
    // Fewer than the attempts of one message, so that no message fails, even if all of these failures affect the same one.
    for _ in 0..90 {
        sink.fail_next(transient());
    }
    let senders = (0..KEYS).map(|key| {
        let source = Arc::clone(&source);
        tokio::spawn(async move {
            let sent = (0..PER_KEY).map(|number| {
                let message = BridgeMessage::new(format!("{key}/{number}"), "{}", SystemTime::UNIX_EPOCH);
                source.send_message(message.with_key(key.to_string()))
            });
            // Each message is sent at its first poll, in order, because `unconstrained` never makes a future yield.
            let receipts = tokio::task::unconstrained(futures_util::future::join_all(sent)).await;
            receipts.into_iter().flatten().count()
        })
    });
    let mut acknowledged = 0;
    for sender in senders.collect::<Vec<_>>() {
        acknowledged += sender.await.unwrap();
    }
    assert_eq!(acknowledged, KEYS * PER_KEY);
    let messages = sink.messages();
    assert_eq!(messages.len(), KEYS * PER_KEY);
    for key in 0..KEYS {
        let prefix = format!("{key}/");
        let numbers = messages
            .iter()
            .filter_map(|sent| sent.message.id.strip_prefix(&prefix)?.parse::<usize>().ok());
        assert!(numbers.eq(0..PER_KEY), "order of key {key}");
    }
    let metrics = bridge.bridge_metrics(&id).await.unwrap();
    assert_eq!((metrics.delivered, metrics.retries), (5000, 90));
    bridge.destroy_bridge(&id).await.unwrap();
}
