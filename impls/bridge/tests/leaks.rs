//! Data of messages and secrets of endpoints do not appear in logs, `Debug` output, statuses or responses.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use networking_bridge::{
    HmacSha256, HttpListenerSource, HttpSink, InProcessBridge, KafkaSink, MemorySink, MemorySource,
};
use networking_spi::bridge::{BridgeConfig, BridgeMessage, DeliveryRetry, ErrorAction, RouteRule, RoutingConfig};
use networking_spi::http::MockHttpClient;
use networking_spi::kafka::MockKafkaClient;
use networking_spi::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber, span};

const SECRET: &str = "hunter2";

/// Writes every event, of every level, to a string.
#[derive(Clone, Default)]
struct Everything(Arc<Mutex<String>>);

impl Subscriber for Everything {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, attributes: &span::Attributes<'_>) -> span::Id {
        attributes.record(&mut Line(&mut self.0.lock().unwrap()));
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        event.record(&mut Line(&mut self.0.lock().unwrap()));
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

struct Line<'l>(&'l mut String);

impl Visit for Line<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        let _ = writeln!(self.0, "{field}={value:?}");
    }
}

/// A configuration that reaches every failure: conditions fail, deliveries are retried and fail, messages are dead-lettered.
fn config() -> BridgeConfig {
    let routing = RoutingConfig::new()
        .with_rule(RouteRule::to("broken", "payload[payload.password] > 1", "t"))
        .with_rule(RouteRule::to("typed", "payload.password > 1", "t"))
        .with_default_target("events")
        .with_on_error(ErrorAction::NoMatch);
    BridgeConfig::new()
        .with_routing(routing)
        .with_dead_letter_target("dead")
        .with_retry(DeliveryRetry::new(2, Duration::ZERO, Duration::ZERO))
}

#[tokio::test]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn secrets_and_messages_are_not_shown() {
    let logs = Everything::default();
    tracing::subscriber::set_global_default(logs.clone()).unwrap();
    let mut shown = String::new();

    let bridge = InProcessBridge::new();
    let listener = HttpListenerSource::builder(([127, 0, 0, 1], 0)).signature(HmacSha256::github(SECRET));
    let _ = writeln!(shown, "{listener:?}");
    let listener = Arc::new(listener.build().unwrap());
    let sink = Arc::new(MemorySink::new());
    let id = bridge
        .create_bridge("hooks", listener.clone(), sink.clone(), config())
        .await
        .unwrap();
    let unsigned = format!(
        "POST /{SECRET}?token={SECRET} HTTP/1.1\r\nhost: a\r\nconnection: close\r\nauthorization: Bearer {SECRET}\r\n\
         x-hub-signature-256: sha256={SECRET}\r\ncontent-length: 7\r\n\r\n{SECRET}"
    );
    let mut stream = tokio::net::TcpStream::connect(listener.local_addr().unwrap())
        .await
        .unwrap();
    stream.write_all(unsigned.as_bytes()).await.unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).await.unwrap();
    assert!(response.starts_with("HTTP/1.1 401"), "{response}");
    shown.push_str(&response);

    let message = || {
        BridgeMessage::new(
            "message-1",
            format!("{{\"password\": \"{SECRET}\"}}"),
            SystemTime::UNIX_EPOCH,
        )
        .with_key(SECRET)
        .with_header("x-token", SECRET)
    };
    let failure = |kind| NetworkError::new(kind, "sink.deliver", "no");
    for _ in 0..3 {
        sink.fail_next(failure(ErrorKind::ConnectionClosed));
    }
    let receipt = bridge.send_message_through_bridge(&id, message()).await.unwrap();
    let _ = writeln!(shown, "{receipt:?}");
    for _ in 0..4 {
        sink.fail_next(failure(ErrorKind::Remote));
    }
    let error = bridge.send_message_through_bridge(&id, message()).await.unwrap_err();
    let _ = writeln!(shown, "{error} {error:?}");

    let source = MemorySource::new(1);
    let http = HttpSink::new(Arc::new(MockHttpClient::new()))
        .with_base_url(
            format!("https://user:{SECRET}@example.com/?api_key={SECRET}")
                .parse()
                .unwrap(),
        )
        .with_header("authorization", SECRET)
        .unwrap();
    let kafka = KafkaSink::new(Arc::new(MockKafkaClient::new()));
    let _ = writeln!(
        shown,
        "{bridge:?} {listener:?} {source:?} {http:?} {kafka:?} {:?}",
        message()
    );
    let _ = writeln!(shown, "{:?}", bridge.bridge_status(&id).await.unwrap());
    let _ = writeln!(shown, "{:?}", bridge.bridge_metrics(&id).await.unwrap());
    let _ = writeln!(shown, "{:?}", bridge.monitor_bridge_health(&id).await.unwrap());
    for letter in sink.messages_for("dead") {
        for (name, value) in letter
            .headers
            .iter()
            .filter(|(name, _)| name.starts_with("dead-letter-"))
        {
            let _ = writeln!(shown, "{name}: {}", String::from_utf8_lossy(value));
        }
    }
    bridge.destroy_bridge(&id).await.unwrap();

    let logs = logs.0.lock().unwrap().clone();
    assert!(
        logs.contains("a message is dead-lettered"),
        "the test reads the logs: {logs}"
    );
    assert!(
        logs.contains("a condition cannot be evaluated"),
        "at every level: {logs}"
    );
    for (what, text) in [("logs", logs), ("output", shown)] {
        let line = text.lines().find(|line| line.contains(SECRET));
        assert!(line.is_none(), "the {what} show a secret: {line:?}");
    }
}
