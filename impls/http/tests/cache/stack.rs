//! The cache in the standard client, in memory and over sockets.

use std::sync::Arc;
use std::time::Duration;

use networking_http::cache::{CacheStatus, HttpCache, MemoryCacheStore};
use networking_http::layer::{Credentials, RateLimit};
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::compression::CompressionType;
use networking_spi::http::{
    HttpClient, HttpClientExt, HttpExtended, HttpResponse, Method, RequestOptions, RetryPolicy, StatusCode,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::URL;

fn cache() -> HttpCache {
    HttpCache::new(MemoryCacheStore::default())
}

fn status(response: &HttpResponse) -> CacheStatus {
    *response.extensions.get().unwrap()
}

#[tokio::test]
async fn decoded_bodies_are_stored() {
    let codec = HttpClientBuilder::over(MemoryHttpClient::new()).build().unwrap();
    let packed = codec
        .compress_request("plain".into(), CompressionType::Gzip)
        .await
        .unwrap();
    let memory = MemoryHttpClient::new();
    let reply = Reply::ok()
        .with_body(packed)
        .with_header("content-encoding", "gzip")
        .unwrap()
        .with_header("vary", "accept-encoding")
        .unwrap()
        .with_header("cache-control", "max-age=60")
        .unwrap();
    memory.route(Method::GET, "/x", reply).unwrap();
    let client = HttpClientBuilder::over(memory.clone()).cache(cache()).build().unwrap();
    for expected in [CacheStatus::Miss, CacheStatus::Hit] {
        let response = client.get(URL).await.unwrap();
        assert_eq!(status(&response), expected);
        assert!(!response.headers.contains_key("content-encoding"));
        assert_eq!(response.text().await.unwrap(), "plain");
    }
    // A request with an `Accept-Encoding` gets the encoded response of the origin.
    let response = client.get(URL).header("accept-encoding", "gzip").await.unwrap();
    assert_eq!(status(&response), CacheStatus::Miss);
    assert_eq!(response.headers["content-encoding"], "gzip");
}

#[tokio::test(start_paused = true)]
async fn hits_take_no_permits_and_stale_responses_are_used_only_after_retries() {
    let memory = MemoryHttpClient::new();
    let good = Reply::ok()
        .with_header("cache-control", "max-age=5, stale-if-error=100")
        .unwrap()
        .with_body("good");
    memory
        .route(Method::GET, "/x", [good, Reply::new(StatusCode::SERVICE_UNAVAILABLE)])
        .unwrap();
    let client = HttpClientBuilder::over(memory.clone())
        .cache(cache())
        .rate_limit(RateLimit::new(1, Duration::from_secs(1)))
        .retry(RetryPolicy::new(3))
        .credentials(Credentials::bearer("s3cr3t").unwrap())
        .build()
        .unwrap();
    for _ in 0..100 {
        client.get(URL).await.unwrap().bytes().await.unwrap();
    }
    let metrics = client.client_metrics().unwrap();
    assert_eq!(
        (metrics.requests, metrics.throttled, memory.received().len()),
        (100, 0, 1)
    );

    tokio::time::advance(Duration::from_secs(6)).await;
    let response = client.get(URL).await.unwrap();
    assert_eq!((status(&response), memory.received().len()), (CacheStatus::Stale, 4));
}

#[tokio::test]
async fn redirects_are_not_stored() {
    let memory = MemoryHttpClient::new();
    let moved = Reply::new(StatusCode::FOUND)
        .with_header("location", "/y")
        .unwrap()
        .with_header("cache-control", "max-age=60")
        .unwrap();
    memory.route(Method::GET, "/x", moved).unwrap();
    let there = Reply::ok().with_header("cache-control", "max-age=60").unwrap();
    memory.route(Method::GET, "/y", there).unwrap();
    let client = HttpClientBuilder::over(memory.clone()).cache(cache()).build().unwrap();
    for _ in 0..2 {
        assert_eq!(status(&client.get(URL).await.unwrap()), CacheStatus::Miss);
        let stay = RequestOptions::new().with_follow_redirects(false);
        let response = client.get(URL).options(stay).await.unwrap();
        assert_eq!(
            (status(&response), response.status),
            (CacheStatus::Miss, StatusCode::FOUND)
        );
    }
}

#[tokio::test]
async fn over_sockets() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/x", listener.local_addr().unwrap());
    let server = tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut heads = Vec::new();
        for answer in [
            "HTTP/1.1 200 OK\r\netag: \"a\"\r\ncache-control: max-age=0\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
            "HTTP/1.1 304 Not Modified\r\netag: \"a\"\r\ncache-control: max-age=600\r\n\r\n",
        ] {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(socket.read_u8().await.unwrap());
            }
            heads.push(String::from_utf8(head).unwrap());
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
        heads
    });
    let client = HttpClientBuilder::new().cache(cache()).build().unwrap();
    let client: Arc<dyn HttpClient> = Arc::new(client);
    for expected in [CacheStatus::Miss, CacheStatus::Revalidated, CacheStatus::Hit] {
        let response = client.get(&url).await.unwrap();
        assert_eq!(status(&response), expected);
        assert_eq!(response.text().await.unwrap(), "abcde");
    }
    let heads = server.await.unwrap();
    assert!(
        !heads[0].contains("if-none-match") && heads[1].contains("if-none-match: \"a\"\r\n"),
        "{heads:?}"
    );
}
