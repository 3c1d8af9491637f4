//! Counters and spans that the contract does not specify.

use std::time::Duration;

use networking_http::layer::{Credentials, TraceContext};
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpClient, HttpClientExt, HttpRequest, HttpResponse, Method, RetryPolicy, StatusCode};

use super::spans::Spans;

#[tokio::test(start_paused = true)]
async fn latencies_are_measured_per_call() {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/slow", Reply::ok().with_delay(Duration::from_secs(2)))
        .unwrap();
    memory.route(Method::GET, "/fast", Reply::ok()).unwrap();
    memory
        .route(Method::GET, "/broken", Reply::error(ErrorKind::Tls))
        .unwrap();
    let client = HttpClientBuilder::over(memory).build().unwrap();
    for path in ["fast", "fast", "fast", "slow", "broken"] {
        let _ = client.get(format!("http://api.test/{path}")).await;
    }
    let metrics = client.client_metrics().unwrap();
    assert_eq!(metrics.latency.count, 4, "calls without a response have no latency");
    assert_eq!(metrics.latency.max, Duration::from_secs(2));
    assert_eq!(metrics.latency.mean, Duration::from_millis(500));
    assert!(metrics.latency.p50 < Duration::from_millis(1));
    assert_eq!(metrics.by_error, [("tls".to_owned(), 1)].into());
}

#[tokio::test]
async fn clones_share_their_counters() {
    let client = HttpClientBuilder::over(MemoryHttpClient::new()).build().unwrap();
    client.clone().get("http://api.test/").await.unwrap();
    assert_eq!(client.client_metrics().unwrap().requests, 1);
}

#[tokio::test]
async fn only_bytes_that_are_read_count() {
    let memory = MemoryHttpClient::new();
    memory
        .route(
            Method::GET,
            "/x",
            Reply::ok().with_body("0123456789").with_truncated_body(4),
        )
        .unwrap();
    let client = HttpClientBuilder::over(memory).build().unwrap();
    let response = client.get("http://api.test/x").await.unwrap();
    assert_eq!(client.client_metrics().unwrap().bytes_received, 0);
    assert_eq!(response.bytes().await.unwrap_err().kind(), ErrorKind::TruncatedBody);
    assert_eq!(client.client_metrics().unwrap().bytes_received, 4);
}

#[tokio::test]
async fn spans_of_unknown_methods_follow_the_conventions() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let memory = MemoryHttpClient::serving(|_| async { Ok(HttpResponse::new(StatusCode::OK)) });
    let client = HttpClientBuilder::over(memory).build().unwrap();
    let mut request = HttpRequest::new(Method::from_bytes(b"PURGE").unwrap(), "http://api.test/x");
    request.extensions.insert(TraceContext::root(true));
    client.request(request).await.unwrap();
    for name in ["http.request", "http.attempt"] {
        let found = spans.of(name);
        // Inner spans end first.
        let own = found.last().unwrap().split(&format!("{name}{{")).nth(1).unwrap();
        for part in [
            r#"otel.name="HTTP""#,
            r#"http.request.method="_OTHER""#,
            r#"http.request.method_original="PURGE""#,
        ] {
            assert!(own.contains(part), "{part}: {own}");
        }
    }
}

#[tokio::test]
async fn failures_are_logged_once_without_secrets() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::POST, "/broken", Reply::error(ErrorKind::Tls))
        .unwrap();
    let cut = Reply::ok().with_body("four more").with_truncated_body(4);
    memory.route(Method::GET, "/cut", cut).unwrap();
    memory
        .route(Method::GET, "/missing", Reply::new(StatusCode::NOT_FOUND))
        .unwrap();
    let client = HttpClientBuilder::over(memory)
        .credentials(Credentials::bearer("s3cr3t").unwrap())
        .build()
        .unwrap();
    client
        .post("http://user:s3cr3t@api.test/broken?token=s3cr3t")
        .body("s3cr3t")
        .await
        .unwrap_err();
    client
        .get("http://api.test/cut")
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap_err();
    // A status is a response, unless it is raised.
    client.get("http://api.test/missing").await.unwrap();
    client
        .get("http://api.test/missing")
        .raise_for_status(true)
        .await
        .unwrap_err();
    client.get("/relative").await.unwrap_err();
    let text = spans.text();
    let errors: Vec<&str> = text.lines().filter(|line| line.contains(" ERROR ")).collect();
    let [call, body, raised, relative] = errors[..] else {
        panic!("{text}");
    };
    for part in ["a request failed", r#"method="POST""#, "tls", "token=[redacted]"] {
        assert!(call.contains(part), "{part}: {call}");
    }
    for part in [
        "a request failed",
        r#"method="GET""#,
        "truncated_body",
        "host: api.test",
    ] {
        assert!(body.contains(part), "{part}: {body}");
    }
    for part in ["a request failed", r#"method="GET""#, "not_found (404)", "api.test"] {
        assert!(raised.contains(part), "{part}: {raised}");
    }
    assert!(relative.contains("invalid_input"), "{relative}");
    assert!(!text.contains("s3cr3t"), "{text}");
}

#[tokio::test(start_paused = true)]
async fn each_retry_is_logged() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let memory = MemoryHttpClient::new();
    let replies = [
        Reply::new(StatusCode::BAD_GATEWAY),
        Reply::error(ErrorKind::ConnectionRefused),
        Reply::ok(),
    ];
    memory.route(Method::GET, "/x", replies).unwrap();
    let client = HttpClientBuilder::over(memory)
        .retry(RetryPolicy::new(3))
        .build()
        .unwrap();
    client.get("http://user:s3cr3t@api.test/x?token=s3cr3t").await.unwrap();
    let text = spans.text();
    let warnings: Vec<&str> = text.lines().filter(|line| line.contains(" WARN ")).collect();
    let [first, second] = warnings[..] else {
        panic!("{text}");
    };
    for part in ["a request is retried", r#"host="api.test""#, "attempt=1", "status=502"] {
        assert!(first.contains(part), "{part}: {first}");
    }
    for part in ["attempt=2", "connection_refused"] {
        assert!(second.contains(part), "{part}: {second}");
    }
    assert!(!text.contains("s3cr3t") && !text.contains(" ERROR "), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_call_has_a_span_without_secrets() {
    let spans = Spans::default();
    let _guard = spans.listen();
    let memory = MemoryHttpClient::new();
    memory
        .route(
            Method::GET,
            "/x",
            [Reply::new(StatusCode::BAD_GATEWAY), Reply::new(StatusCode::NOT_FOUND)],
        )
        .unwrap();
    memory
        .route(Method::GET, "/broken", Reply::error(ErrorKind::Tls))
        .unwrap();
    let client = HttpClientBuilder::over(memory)
        .retry(RetryPolicy::new(2))
        .credentials(Credentials::bearer("s3cr3t").unwrap())
        .build()
        .unwrap();
    client
        .get("http://user:s3cr3t@api.test/x?page=2&api_key=s3cr3t")
        .await
        .unwrap();
    client.get("http://api.test:8080/broken").await.unwrap_err();
    let text = spans.text();
    let lines: Vec<&str> = text.lines().filter(|line| line.contains("close")).collect();
    assert_eq!(lines.len(), 2, "{text}");
    for part in [
        "http.request{",
        r#"otel.kind="client""#,
        r#"http.request.method="GET""#,
        r#"server.address="api.test" server.port=80"#,
        "http://api.test/x?page=2&api_key=[redacted]",
        "http.request.resend_count=1",
        "http.response.status_code=404",
        r#"error.type="404""#,
        r#"otel.name="GET""#,
        r#"otel.status_code="ERROR""#,
    ] {
        assert!(lines[0].contains(part), "{part}: {text}");
    }
    assert!(
        lines[1].contains("server.port=8080") && lines[1].contains(r#"error.type="tls""#),
        "{text}"
    );
    assert!(!text.contains("s3cr3t"), "{text}");
}
