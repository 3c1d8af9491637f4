//! The HTTP sink over a mock client.

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use networking_bridge::HttpSink;
use networking_spi::bridge::{BridgeMessage, HealthState};
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::http::{
    HttpCapabilities, HttpCircuitOptions, HttpClientMetrics, HttpRequest, HttpResponse, MockHttpClient, RequestTarget,
    RetryPolicy, StatusCode,
};
use networking_spi::prelude::*;
use networking_spi::{Result, SendState};

#[derive(Default)]
struct Seen(Mutex<Vec<HttpRequest>>);

/// A client with the same response to every request, and the requests that it received.
fn client(response: impl Fn() -> Result<HttpResponse> + Send + 'static) -> (Arc<dyn HttpClient>, Arc<Seen>) {
    let seen = Arc::new(Seen::default());
    let mut mock = MockHttpClient::new();
    let record = Arc::clone(&seen);
    mock.expect_request().returning(move |request| {
        record.0.lock().unwrap().push(request);
        response()
    });
    (Arc::new(mock), seen)
}

fn responding(status: u16) -> impl Fn() -> Result<HttpResponse> {
    move || Ok(HttpResponse::new(StatusCode::from_u16(status).unwrap()))
}

fn message() -> BridgeMessage {
    BridgeMessage::new("id-1", "body\r\n", SystemTime::UNIX_EPOCH)
        .with_content_type("text/plain")
        .with_origin("orders")
        .with_header("x-trace", "t")
        .with_header("authorization", "Bearer from-elsewhere")
        .with_header("transfer-encoding", "chunked")
        .with_header("not a header", "x")
}

#[tokio::test]
async fn posts_the_message_with_its_headers_and_id() {
    let (client, seen) = client(responding(204));
    let sink = HttpSink::new(client)
        .with_base_url("https://api.example.com/v1/".parse().unwrap())
        .with_header("authorization", "Bearer ours-secret")
        .unwrap();
    assert_eq!(sink.health().await.state, HealthState::Unknown);
    assert_eq!(sink.deliver("hooks", message()).await.unwrap(), None);
    assert_eq!(sink.health().await.state, HealthState::Up);

    let request = seen.0.lock().unwrap().pop().unwrap();
    assert_eq!(
        request.target.url().unwrap().as_str(),
        "https://api.example.com/v1/hooks"
    );
    let header = |name: &str| request.headers.get(name).map(|value| value.to_str().unwrap());
    assert_eq!(request.method, "POST");
    assert_eq!(header("content-type"), Some("text/plain"));
    assert_eq!(header("x-trace"), Some("t"));
    assert_eq!(header("idempotency-key"), Some("id-1"));
    assert_eq!(header("x-bridge-message-id"), Some("id-1"));
    assert_eq!(header("x-bridge-origin"), Some("orders"));
    assert_eq!(header("authorization"), Some("Bearer ours-secret"));
    assert_eq!(header("transfer-encoding"), None);
    assert_eq!(request.body.as_bytes().unwrap(), "body\r\n");
    assert!(!format!("{sink:?}").contains("ours-secret"));
}

/// RFC 9110, section 7.6.1.
#[tokio::test]
async fn hop_by_hop_fields_are_not_sent() {
    let (client, seen) = client(responding(204));
    let names = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    let message = names
        .into_iter()
        .fold(message(), |message, name| message.with_header(name, "close"));
    HttpSink::new(client)
        .deliver("https://example.com/", message)
        .await
        .unwrap();
    let request = seen.0.lock().unwrap().pop().unwrap();
    for name in names {
        assert_eq!(request.headers.get(name), None, "{name}");
    }
}

#[tokio::test]
async fn statuses_decide_whether_to_retry() {
    for (status, retryable) in [
        (400, false),
        (401, true),
        (403, true),
        (404, false),
        (408, true),
        (409, false),
        (410, false),
        (413, false),
        (422, false),
        (429, true),
        (500, true),
        (501, false),
        (502, true),
        (503, true),
        (504, true),
        (301, false),
    ] {
        let (client, _) = client(responding(status));
        let sink = HttpSink::new(client);
        let error = sink.deliver("https://example.com/", message()).await.unwrap_err();
        assert_eq!(error.retryability().is_retryable(), retryable, "{status}: {error}");
        assert_eq!(error.status(), Some(status));
        assert_eq!(error.send_state(), SendState::Sent);
        assert_eq!(sink.health().await.state, HealthState::Degraded);
    }
}

#[tokio::test]
async fn obeys_retry_after_and_the_configured_statuses() {
    let (client, _) = client(|| HttpResponse::new(StatusCode::CONFLICT).with_header("retry-after", "7"));
    let sink = HttpSink::new(client).with_retryable_statuses([StatusCode::CONFLICT]);
    let error = sink.deliver("https://example.com/", message()).await.unwrap_err();
    assert_eq!(error.retryability(), Retryability::Now);

    let (client, _) =
        self::client(|| HttpResponse::new(StatusCode::SERVICE_UNAVAILABLE).with_header("retry-after", "7"));
    let error = HttpSink::new(client)
        .deliver("https://example.com/", message())
        .await
        .unwrap_err();
    assert_eq!(error.retryability(), Retryability::After(Duration::from_secs(7)));
}

#[tokio::test]
async fn errors_of_the_client_keep_their_retryability() {
    let (client, _) = client(|| Err(NetworkError::new(ErrorKind::Tls, "http.request", "untrusted")));
    let error = HttpSink::new(client)
        .deliver("https://example.com/", message())
        .await
        .unwrap_err();
    assert!(!error.retryability().is_retryable());
    // The result is the same if the client returns statuses as errors.
    let (client, _) = self::client(|| HttpResponse::new(StatusCode::UNAUTHORIZED).error_for_status());
    let error = HttpSink::new(client)
        .deliver("https://example.com/", message())
        .await
        .unwrap_err();
    assert!(error.retryability().is_retryable(), "{error}");
}

#[tokio::test]
async fn a_stopped_sink_sends_nothing() {
    let (client, seen) = client(responding(200));
    let sink = HttpSink::new(client);
    sink.start().await.unwrap();
    sink.stop().await.unwrap();
    assert_eq!(
        sink.deliver("https://example.com/", message())
            .await
            .unwrap_err()
            .kind(),
        ErrorKind::Closed
    );
    assert_eq!(sink.start().await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(seen.0.lock().unwrap().is_empty());
}

#[tokio::test]
async fn relative_targets_without_a_base_are_passed_to_the_client() {
    let (client, seen) = client(responding(200));
    HttpSink::new(client).deliver("/hooks", message()).await.unwrap();
    // The target is unchanged, because the client may have a base URL.
    assert!(matches!(seen.0.lock().unwrap()[0].target, RequestTarget::Relative(_)));
    assert_eq!(
        HttpSink::new(self::client(responding(200)).0)
            .with_header("a b", "c")
            .unwrap_err()
            .field(),
        Some("header")
    );
}

/// A client whose peer never responds.
#[derive(Debug)]
struct Silent;

#[async_trait::async_trait]
impl HttpClient for Silent {
    async fn request(&self, _request: HttpRequest) -> Result<HttpResponse> {
        std::future::pending().await
    }

    fn capabilities(&self) -> HttpCapabilities {
        HttpCapabilities::none()
    }

    fn client_metrics(&self) -> Result<HttpClientMetrics> {
        Err(NetworkError::unsupported("test", "metrics"))
    }

    fn configure_retry_policy(&self, _policy: RetryPolicy) -> Result<()> {
        Err(NetworkError::unsupported("test", "retry"))
    }

    fn configure_circuit_breaker(&self, _: Arc<dyn CircuitBreaker>, _: HttpCircuitOptions) -> Result<()> {
        Err(NetworkError::unsupported("test", "circuit_breaker"))
    }
}

#[tokio::test(start_paused = true)]
async fn stopping_waits_a_bounded_time() {
    let sink = Arc::new(HttpSink::new(Arc::new(Silent)));
    sink.start().await.unwrap();
    let delivery = {
        let sink = Arc::clone(&sink);
        tokio::spawn(async move { sink.deliver("https://api.example.com/", message()).await })
    };
    tokio::task::yield_now().await;
    assert_eq!(sink.stop().await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(sink.health().await.state, HealthState::Down);
    delivery.abort();
    delivery.await.unwrap_err();
    sink.stop().await.unwrap();
}
