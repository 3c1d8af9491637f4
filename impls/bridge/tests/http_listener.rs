//! The HTTP listener over real loopback sockets.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use networking_bridge::{HmacSha256, HttpListenerBuilder, HttpListenerSource, InProcessBridge, MemorySink};
use networking_spi::bridge::{BridgeConfig, BridgeId, DeliveryRetry, HealthState, RouteRule, RoutingConfig};
use networking_spi::prelude::*;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const SECRET: &str = "hunter2-but-longer";

/// A bridge from a listener to an in-memory sink.
struct Pipeline {
    bridge: InProcessBridge,
    id: BridgeId,
    listener: Arc<HttpListenerSource>,
    sink: Arc<MemorySink>,
    address: SocketAddr,
}

impl Pipeline {
    async fn start(listener: HttpListenerBuilder, config: BridgeConfig) -> Self {
        let listener = Arc::new(listener.build().unwrap());
        let sink = Arc::new(MemorySink::new());
        let bridge = InProcessBridge::new();
        let id = bridge
            .create_bridge("hooks", listener.clone(), sink.clone(), config)
            .await
            .unwrap();
        let address = listener.local_addr().unwrap();
        Self {
            bridge,
            id,
            listener,
            sink,
            address,
        }
    }

    async fn post(&self, headers: &[(&str, &str)], body: &str) -> Response {
        exchange(self.address, &request("POST", "/hooks", headers, body)).await
    }
}

fn listener() -> HttpListenerBuilder {
    HttpListenerSource::builder(([127, 0, 0, 1], 0))
        .path("/hooks")
        .id_header("x-github-delivery")
}

fn config() -> BridgeConfig {
    let mut routing = RoutingConfig::new();
    if cfg!(feature = "cel") {
        routing = routing
            .with_rule(RouteRule::to("push", "headers['x-github-event'] == 'push'", "pushes"))
            .with_rule(RouteRule::to("logins", "payload.event == 'user_login'", "user-logins"));
    }
    BridgeConfig::new()
        .with_routing(routing)
        .with_retry(DeliveryRetry::new(1, Duration::ZERO, Duration::ZERO))
}

struct Response {
    status: u16,
    headers: HashMap<String, String>,
    body: String,
}

impl Response {
    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

fn request(method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
    for (name, value) in headers {
        let _ = write!(text, "{name}: {value}\r\n");
    }
    let _ = write!(text, "content-length: {}\r\n\r\n{body}", body.len());
    text
}

async fn exchange(address: SocketAddr, request: &str) -> Response {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // The server may respond and close before it has read everything.
    let _ = stream.write_all(request.as_bytes()).await;
    read_response(&mut stream).await
}

async fn read_response(stream: &mut TcpStream) -> Response {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    while let Ok(read) = stream.read(&mut chunk).await {
        if read == 0 {
            break;
        }
        bytes.extend_from_slice(&chunk[..read]);
    }
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no response: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_lowercase(), value.to_owned()));
    Response {
        status,
        headers: headers.collect(),
        body: body.to_owned(),
    }
}

fn sign(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn limits_of_any_length_are_possible() {
    let unlimited = listener()
        .header_read_timeout(Duration::MAX)
        .request_timeout(Duration::MAX);
    let config = BridgeConfig::new()
        .with_routing(RoutingConfig::new().with_default_target("events"))
        .with_delivery_timeout(Duration::MAX)
        .with_drain_timeout(Duration::MAX);
    let pipeline = Pipeline::start(unlimited, config).await;
    assert_eq!(pipeline.post(&[], "x").await.status, 202);
    pipeline.bridge.destroy_bridge(&pipeline.id).await.unwrap();
}

#[tokio::test]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn responds_with_a_receipt_after_the_sink_has_the_message() {
    let pipeline = Pipeline::start(listener().key_header("x-key"), config()).await;
    let headers = [
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", "72d3162e"),
        ("X-Key", "repo-1"),
        ("Content-Type", "application/json"),
        ("Authorization", "Bearer secret-token"),
        ("Cookie", "session=secret-token"),
    ];
    let response = pipeline.post(&headers, "{\"a\":  1}\n").await;
    assert_eq!(response.status, 202);
    assert_eq!(
        response.json(),
        serde_json::json!({"id": "72d3162e", "disposition": "delivered", "target": "pushes", "position": "0"}),
    );
    let message = &pipeline.sink.messages_for("pushes")[0];
    assert_eq!(message.payload, "{\"a\":  1}\n", "byte for byte");
    assert_eq!((message.id.as_str(), message.origin.as_str()), ("72d3162e", "/hooks"));
    assert_eq!(message.key.as_deref(), Some(b"repo-1".as_slice()));
    assert_eq!(message.content_type.as_deref(), Some("application/json"));
    assert_eq!(message.header("x-github-event"), Some("push"));
    assert!(
        message
            .headers
            .iter()
            .all(|(_, value)| !value.ends_with(b"secret-token")),
        "credentials are not forwarded"
    );

    let response = pipeline.post(&[], r#"{"event": "user_login"}"#).await;
    assert_eq!(response.json()["target"], "user-logins");
    assert!(
        !response.json()["id"].as_str().unwrap().is_empty(),
        "an id is generated if the request has none"
    );
    assert_eq!(pipeline.listener.counters().accepted, 2);
    assert_eq!(pipeline.listener.health().await.state, HealthState::Up);
}

#[tokio::test]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn only_signed_messages_enter_the_bridge() {
    let pipeline = Pipeline::start(listener().signature(HmacSha256::github(SECRET)), config()).await;
    let body = r#"{"event": "user_login"}"#;
    let good = sign(body);
    assert_eq!(pipeline.post(&[("x-hub-signature-256", &good)], body).await.status, 202);
    for headers in [
        vec![],
        vec![("x-hub-signature-256", "sha256=00")],
        vec![("x-hub-signature-256", good.as_str())],
    ] {
        let response = pipeline.post(&headers, r#"{"event": "user_logout"}"#).await;
        assert_eq!(response.status, 401);
    }
    assert_eq!(pipeline.listener.counters().rejected_signatures, 3);
    let metrics = pipeline.bridge.bridge_metrics(&pipeline.id).await.unwrap();
    assert_eq!((metrics.received, metrics.delivered), (1, 1));
    let sent = &pipeline.sink.messages()[0].message;
    assert_eq!(sent.header("x-hub-signature-256"), None, "a signature is a credential");
    for shown in [
        format!("{:?}", pipeline.listener),
        format!("{:?}", listener().signature(HmacSha256::github(SECRET))),
    ] {
        assert!(!shown.contains(SECRET), "{shown}");
    }
}

#[tokio::test]
async fn invalid_requests_are_refused() {
    let pipeline = Pipeline::start(listener().max_body_size(10), config()).await;
    let send = async |method: &str, path: &str, headers: &[(&str, &str)], body: &str| {
        exchange(pipeline.address, &request(method, path, headers, body)).await
    };
    assert_eq!(send("POST", "/other", &[], "{}").await.status, 404);
    let response = send("GET", "/hooks", &[], "").await;
    assert_eq!((response.status, response.headers["allow"].as_str()), (405, "POST"));
    assert_eq!(send("POST", "/hooks", &[], "0123456789x").await.status, 413);
    let chunked = "POST /hooks HTTP/1.1\r\nhost: a\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n\
                   8\r\n01234567\r\n8\r\n01234567\r\n0\r\n\r\n";
    assert_eq!(
        exchange(pipeline.address, chunked).await.status,
        413,
        "also a body without a length"
    );
    let long = "x".repeat(600);
    assert_eq!(
        send("POST", "/hooks", &[("x-github-delivery", &long)], "{}")
            .await
            .status,
        400
    );
    assert!(pipeline.sink.messages().is_empty());
}

#[tokio::test]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn rejections_become_statuses() {
    let pipeline = Pipeline::start(listener(), config()).await;
    let push = [("x-github-event", "push")];
    let no_rule = pipeline.post(&[], "{}").await;
    assert_eq!(no_rule.status, 422);

    let failure = |kind| NetworkError::new(kind, "sink.deliver", "broker-7.internal is down");
    pipeline.sink.fail_next(failure(ErrorKind::ConnectionRefused));
    let response = pipeline.post(&push, "{}").await;
    assert_eq!((response.status, response.headers["retry-after"].as_str()), (503, "1"));
    assert!(!response.body.contains("broker-7"), "{}", response.body);

    let asked = Retryability::After(Duration::from_secs(17));
    pipeline
        .sink
        .fail_next(failure(ErrorKind::RateLimited).with_retryability(asked));
    let response = pipeline.post(&push, "{}").await;
    assert_eq!((response.status, response.headers["retry-after"].as_str()), (503, "17"));

    pipeline.sink.fail_next(failure(ErrorKind::Remote));
    assert_eq!(pipeline.post(&push, "{}").await.status, 502);
    pipeline.sink.fail_next(failure(ErrorKind::TooLarge));
    assert_eq!(pipeline.post(&push, "{}").await.status, 413);
}

#[tokio::test]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn faults_are_injected_before_the_bridge_and_are_the_same_in_every_run() {
    let mut runs = Vec::new();
    for _ in 0..2 {
        let pipeline = Pipeline::start(listener().fault_injection(0.5, 42), config()).await;
        let mut statuses = Vec::new();
        for _ in 0..20 {
            statuses.push(pipeline.post(&[("x-github-event", "push")], "{}").await.status);
        }
        let faults = statuses.iter().filter(|status| **status == 503).count();
        assert_eq!(pipeline.listener.counters().injected_faults, faults as u64);
        assert_eq!(pipeline.sink.messages().len(), 20 - faults);
        runs.push(statuses);
    }
    assert!(runs[0].contains(&503) && runs[0].contains(&202));
    assert_eq!(runs[0], runs[1]);
}

#[tokio::test]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn a_paused_bridge_fills_the_backlog_and_ended_requests_are_withdrawn() {
    let listener = listener().backlog(1).request_timeout(Duration::from_millis(300));
    let pipeline = Pipeline::start(listener, config()).await;
    pipeline.bridge.pause_bridge(&pipeline.id).await.unwrap();
    let push = [("x-github-event", "push")];
    let (first, second) = tokio::join!(pipeline.post(&push, "{}"), pipeline.post(&push, "{}"));
    for response in [&first, &second] {
        assert_eq!(response.status, 503);
        assert!(response.headers.contains_key("retry-after"));
    }
    let counters = pipeline.listener.counters();
    assert_eq!((counters.overloaded, counters.timed_out), (1, 1));
    pipeline.bridge.resume_bridge(&pipeline.id).await.unwrap();
    assert_eq!(pipeline.post(&push, "{\"n\": 3}").await.status, 202);
    assert_eq!(
        pipeline.sink.messages().len(),
        1,
        "the message of the request that timed out was withdrawn"
    );
    assert_eq!(pipeline.listener.counters().withdrawn, 1);
}

#[tokio::test]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn destroying_finishes_the_requests_in_flight() {
    let pipeline = Pipeline::start(listener(), config()).await;
    // A request whose body is not complete when the bridge is destroyed.
    let mut stream = TcpStream::connect(pipeline.address).await.unwrap();
    let text = request("POST", "/hooks", &[("x-github-event", "push")], "{\"n\": 1}");
    let (first, rest) = text.split_at(text.len() - 3);
    stream.write_all(first.as_bytes()).await.unwrap();
    while pipeline.listener.counters().requests == 0 {
        tokio::task::yield_now().await;
    }
    let finish = async {
        while pipeline.listener.health().await.state == HealthState::Up {
            tokio::task::yield_now().await;
        }
        stream.write_all(rest.as_bytes()).await.unwrap();
        read_response(&mut stream).await
    };
    let (destroyed, response) = tokio::join!(pipeline.bridge.destroy_bridge(&pipeline.id), finish);
    destroyed.unwrap();
    assert_eq!(response.status, 202);
    assert_eq!(pipeline.sink.messages().len(), 1);
    TcpStream::connect(pipeline.address).await.unwrap_err();
    let error = pipeline.listener.start().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Closed);
}

#[tokio::test]
#[cfg_attr(not(feature = "cel"), ignore = "its rules need the feature cel")]
async fn connections_are_limited_and_slow_headers_time_out() {
    let listener = listener()
        .max_connections(1)
        .header_read_timeout(Duration::from_millis(200));
    let pipeline = Pipeline::start(listener, config()).await;
    // The only permit is taken by a peer that does not complete its headers.
    let mut idle = TcpStream::connect(pipeline.address).await.unwrap();
    idle.write_all(b"POST /hooks HTTP/1.1\r\n").await.unwrap();
    while pipeline.listener.counters().connections == 0 {
        tokio::task::yield_now().await;
    }
    let response = pipeline.post(&[("x-github-event", "push")], "{}").await;
    assert_eq!(
        response.status, 202,
        "the permit is free again when the slow peer has timed out"
    );
    let mut rest = Vec::new();
    // A response or only the end of the connection: both end the read.
    let _ = idle.read_to_end(&mut rest).await;
    assert_eq!(pipeline.listener.counters().requests, 1);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_times_out() {
    let listener = listener().request_timeout(Duration::from_millis(200));
    let pipeline = Pipeline::start(listener, config()).await;
    let head = "POST /hooks HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n123";
    assert_eq!(exchange(pipeline.address, head).await.status, 408);
}

#[tokio::test]
async fn wrong_settings_name_their_field() {
    let field = |builder: HttpListenerBuilder| builder.build().unwrap_err().field().map(str::to_owned);
    let with = |change: fn(HttpListenerBuilder) -> HttpListenerBuilder| field(change(listener()));
    assert_eq!(with(|b| b.path("hooks")).as_deref(), Some("path"));
    assert_eq!(with(|b| b.methods([])).as_deref(), Some("methods"));
    assert_eq!(with(|b| b.backlog(0)).as_deref(), Some("backlog"));
    assert_eq!(with(|b| b.max_body_size(0)).as_deref(), Some("max_body_size"));
    assert_eq!(with(|b| b.max_connections(0)).as_deref(), Some("max_connections"));
    assert_eq!(
        with(|b| b.request_timeout(Duration::ZERO)).as_deref(),
        Some("request_timeout")
    );
    assert_eq!(
        with(|b| b.header_read_timeout(Duration::ZERO)).as_deref(),
        Some("header_read_timeout")
    );
    assert_eq!(
        with(|b| b.fault_injection(1.5, 1)).as_deref(),
        Some("fault_injection.rate")
    );
    assert_eq!(with(|b| b.id_header("a b")).as_deref(), Some("id_header"));
    assert_eq!(with(|b| b.key_header("a b")).as_deref(), Some("key_header"));
    assert_eq!(
        with(|b| b.signature(HmacSha256::github(""))).as_deref(),
        Some("signature.secret")
    );

    let taken = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let listener = HttpListenerSource::builder(taken.local_addr().unwrap())
        .build()
        .unwrap();
    assert!(listener.start().await.unwrap_err().is_a(ErrorKind::Connection));
    assert_eq!(listener.health().await.state, HealthState::Down);
}
