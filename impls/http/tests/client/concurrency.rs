//! The limit of requests in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{FutureExt, StreamExt, stream};
use networking_http::layer::{ConcurrencyLimit, RateLimit};
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply, StandardHttpClient};
use networking_spi::http::{HttpBody, HttpClientExt, HttpResponse, Method, RetryPolicy, StatusCode};
use networking_spi::{ErrorKind, Phase, SendState};
use tokio::time::Instant;

const URL: &str = "http://api.test/x";
const SECOND: Duration = Duration::from_secs(1);

/// A client over a server that takes one second for each request.
fn limited(limit: ConcurrencyLimit) -> StandardHttpClient<MemoryHttpClient> {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/x", Reply::ok().with_body("body").with_delay(SECOND))
        .unwrap();
    HttpClientBuilder::over(memory)
        .retries(0)
        .concurrency_limit(limit)
        .build()
        .unwrap()
}

/// A client over a server with streamed bodies, which hold their permits until they are read or dropped.
fn streaming(limit: ConcurrencyLimit) -> StandardHttpClient<MemoryHttpClient> {
    let memory = MemoryHttpClient::serving(|_| async {
        let mut response = HttpResponse::new(StatusCode::OK);
        response.body = HttpBody::stream(stream::iter([Ok("part".into()), Ok("part".into())]).boxed(), None);
        Ok(response)
    });
    HttpClientBuilder::over(memory)
        .retries(0)
        .concurrency_limit(limit)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn permits_are_granted_in_order() {
    let client = limited(ConcurrencyLimit::per_host(2));
    let start = Instant::now();
    let ended = join_all((0..5).map(|_| async {
        client.get(URL).await.unwrap();
        start.elapsed().as_secs()
    }))
    .await;
    assert_eq!(ended, [1, 1, 2, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn hosts_do_not_wait_for_each_other() {
    let client = limited(ConcurrencyLimit::per_host(1));
    let start = Instant::now();
    let urls = [
        URL,
        "http://other.test/x",
        "https://api.test/x",
        "http://api.test:8080/x",
    ];
    let client = &client;
    join_all(urls.map(|url| async move { client.get(url).await.unwrap() })).await;
    assert_eq!(start.elapsed(), SECOND);
}

#[tokio::test(start_paused = true)]
async fn hosts_beyond_the_bound_share_a_limit_until_others_are_idle() {
    let client = limited(ConcurrencyLimit::per_host(1).with_max_hosts(1));
    let start = Instant::now();
    let urls = [URL, "http://b.test/x", "http://c.test/x"];
    let client = &client;
    join_all(urls.map(|url| async move { client.get(url).await.unwrap() })).await;
    assert_eq!(start.elapsed(), SECOND * 2, "b and c share a limit");
    join_all(
        urls[1..]
            .iter()
            .map(|url| async move { client.get(url).await.unwrap() }),
    )
    .await;
    assert_eq!(start.elapsed(), SECOND * 3, "b has a separate limit now");
}

#[tokio::test]
async fn a_permit_is_returned_when_the_body_ends_or_is_dropped() {
    let client = streaming(ConcurrencyLimit::per_host(1));
    let response = client.get(URL).await.unwrap();
    assert!(
        client.get(URL).into_future().now_or_never().is_none(),
        "the body has not been read"
    );
    let mut body = response.into_stream();
    while body.next().await.is_some() {}
    let response = client.get(URL).await.unwrap();
    drop(body);
    drop(response);
    let response = client.get(URL).await.unwrap();
    response.bytes().await.unwrap();
    client.get(URL).await.unwrap();
}

#[tokio::test]
async fn bodies_in_memory_and_failures_hold_no_permit() {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/x", Reply::ok().with_body("body")).unwrap();
    memory
        .route(Method::GET, "/broken", Reply::error(ErrorKind::Tls))
        .unwrap();
    let client = HttpClientBuilder::over(memory)
        .retries(0)
        .concurrency_limit(ConcurrencyLimit::per_host(1))
        .build()
        .unwrap();
    client.get("http://api.test/broken").await.unwrap_err();
    let _first = client.get(URL).await.unwrap();
    client.get(URL).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_wait_and_the_queue_are_bounded() {
    let limit = ConcurrencyLimit::per_host(1)
        .with_max_queue(1)
        .with_max_wait(SECOND * 5);
    let client = streaming(limit);
    let _held = client.get(URL).await.unwrap();
    let start = Instant::now();
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.get(URL).await }
    });
    tokio::task::yield_now().await;
    let full = client.get(URL).await.unwrap_err();
    assert_eq!(
        (full.kind(), full.phase(), full.send_state()),
        (ErrorKind::Exhausted, Some(Phase::Queue), SendState::NotSent)
    );
    assert_eq!(start.elapsed(), Duration::ZERO);
    let late = waiting.await.unwrap().unwrap_err();
    assert_eq!(
        (late.kind(), late.phase(), late.send_state()),
        (ErrorKind::Timeout, Some(Phase::Queue), SendState::NotSent)
    );
    assert_eq!(start.elapsed(), SECOND * 5);
    // The call that timed out has left the queue.
    let again = client.get(URL).await.unwrap_err();
    assert_eq!(again.kind(), ErrorKind::Timeout);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_leaves_the_queue() {
    let client = streaming(ConcurrencyLimit::per_host(1).with_max_queue(1));
    let held = client.get(URL).await.unwrap();
    for _ in 0..3 {
        assert!(client.get(URL).into_future().now_or_never().is_none());
    }
    drop(held);
    client.get(URL).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn no_permit_is_held_during_the_wait_before_a_retry() {
    let memory = MemoryHttpClient::new();
    let busy = Reply::new(StatusCode::SERVICE_UNAVAILABLE);
    memory
        .route(Method::GET, "/busy", busy.with_header("retry-after", "20").unwrap())
        .unwrap();
    memory.route(Method::GET, "/x", Reply::ok()).unwrap();
    let client = HttpClientBuilder::over(memory)
        .retry(RetryPolicy::new(2))
        .concurrency_limit(ConcurrencyLimit::per_host(1))
        .build()
        .unwrap();
    let start = Instant::now();
    let (_, other) = tokio::join!(client.get("http://api.test/busy").into_future(), async {
        tokio::task::yield_now().await;
        client.get(URL).await.unwrap();
        start.elapsed()
    });
    assert_eq!(other, Duration::ZERO);
    assert_eq!(start.elapsed(), SECOND * 20);
}

#[tokio::test(start_paused = true)]
async fn the_limit_is_never_exceeded() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (current, highest) = (Arc::clone(&now), Arc::clone(&most));
    let memory = MemoryHttpClient::serving(move |request| {
        let (now, most) = (Arc::clone(&current), Arc::clone(&highest));
        async move {
            most.fetch_max(now.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            let millis = request.url.query().and_then(|query| query.parse().ok()).unwrap();
            tokio::time::sleep(Duration::from_millis(millis)).await;
            now.fetch_sub(1, Ordering::Relaxed);
            Ok(HttpResponse::new(StatusCode::OK))
        }
    });
    let client = HttpClientBuilder::over(memory)
        .retries(0)
        .rate_limit(RateLimit::per_second(10_000).with_max_wait(SECOND))
        .concurrency_limit(ConcurrencyLimit::per_host(7))
        .build()
        .unwrap();
    join_all((0..200).map(|call| {
        let url = format!("{URL}?{}", call * 37 % 100);
        let client = client.clone();
        async move { client.get(&url).await.unwrap() }
    }))
    .await;
    assert_eq!(most.load(Ordering::Relaxed), 7);
    assert_eq!(now.load(Ordering::Relaxed), 0);
}

#[test]
fn invalid_limits_name_their_field() {
    let limit = ConcurrencyLimit::per_host(1);
    for (limit, field) in [
        (ConcurrencyLimit::per_host(0), "concurrency_limit.max_in_flight"),
        (limit.with_max_hosts(0), "concurrency_limit.max_hosts"),
        (limit.with_max_wait(Duration::ZERO), "concurrency_limit.max_wait"),
    ] {
        let built = HttpClientBuilder::over(MemoryHttpClient::new())
            .concurrency_limit(limit)
            .build();
        assert_eq!(built.unwrap_err().field(), Some(field));
    }
}
