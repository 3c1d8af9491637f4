//! Counters beyond the contract.

use std::time::Duration;

use networking_impls::http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpClient, HttpClientExt, Method};

#[tokio::test(start_paused = true)]
async fn latencies_are_those_of_calls() {
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
        let _ = client.get(&format!("http://api.test/{path}")).await;
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
