//! Hedging.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use networking_http::layer::{ConcurrencyLimit, HedgePolicy};
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply, StandardHttpClient};
use networking_spi::http::{HttpBody, HttpClient, HttpClientExt, HttpResponse, Method, StatusCode};
use networking_spi::{ErrorKind, NetworkError};
use tokio::time::Instant;

const URL: &str = "http://api.test/x";
const SECOND: Duration = Duration::from_secs(1);

fn slow(reply: Reply, seconds: u32) -> Reply {
    reply.with_delay(SECOND * seconds)
}

fn failing(status: u16) -> Reply {
    Reply::new(StatusCode::from_u16(status).unwrap())
}

/// A client that hedges after one second, and its server with these replies.
fn hedging(policy: HedgePolicy, replies: &[Reply]) -> (StandardHttpClient<MemoryHttpClient>, MemoryHttpClient) {
    let memory = MemoryHttpClient::new();
    for method in [Method::GET, Method::POST] {
        memory.route(method, "/x", replies.to_vec()).unwrap();
    }
    let client = HttpClientBuilder::over(memory.clone())
        .retries(0)
        .hedging(policy)
        .build()
        .unwrap();
    (client, memory)
}

#[tokio::test(start_paused = true)]
async fn the_first_good_response_is_returned() {
    let policy = HedgePolicy::after(SECOND);
    // Each row: the replies to the attempts, the outcome, the time it takes, and the hedges made.
    for (name, policy, replies, outcome, seconds, hedges) in [
        ("fast", policy, vec![Reply::ok()], Ok(200), 0, 0),
        (
            "the hedge is faster",
            policy,
            vec![slow(Reply::ok(), 9), failing(204)],
            Ok(204),
            1,
            1,
        ),
        (
            "the first is faster",
            policy,
            vec![slow(Reply::ok(), 2), slow(failing(204), 9)],
            Ok(200),
            2,
            1,
        ),
        (
            "a 404 is a good response",
            policy,
            vec![slow(Reply::ok(), 9), failing(404)],
            Ok(404),
            1,
            1,
        ),
        (
            "after a bad hedge, the first attempt is awaited",
            policy,
            vec![slow(Reply::ok(), 5), failing(503)],
            Ok(200),
            5,
            1,
        ),
        (
            "after a bad first attempt, the hedge is awaited",
            policy,
            vec![slow(failing(500), 2), slow(Reply::ok(), 3)],
            Ok(200),
            4,
            1,
        ),
        (
            "a failure before the delay is returned",
            policy,
            vec![failing(503), Reply::ok()],
            Ok(503),
            0,
            0,
        ),
        (
            "a response is preferred to an error",
            policy,
            vec![
                slow(Reply::error(ErrorKind::ConnectionClosed), 2),
                slow(failing(429), 3),
            ],
            Ok(429),
            4,
            1,
        ),
        (
            "an earlier error is preferred to a later one",
            policy,
            vec![
                slow(Reply::error(ErrorKind::ConnectionClosed), 2),
                slow(Reply::error(ErrorKind::Tls), 3),
            ],
            Err(ErrorKind::ConnectionClosed),
            4,
            1,
        ),
        (
            "several hedges, one after the other",
            policy.with_max_hedges(3),
            vec![Reply::hang(), Reply::hang(), Reply::ok()],
            Ok(200),
            2,
            2,
        ),
        (
            "as many as allowed",
            policy.with_max_hedges(2),
            vec![slow(Reply::ok(), 7), Reply::hang()],
            Ok(200),
            7,
            2,
        ),
    ] {
        let (client, memory) = hedging(policy, &replies);
        let start = Instant::now();
        let result = client.get(URL).await;
        let result = result
            .map(|response| response.status.as_u16())
            .map_err(|error: NetworkError| error.kind());
        assert_eq!(result, outcome, "{name}");
        assert_eq!(start.elapsed(), SECOND * seconds, "{name}");
        assert_eq!(client.client_metrics().unwrap().hedges, hedges, "{name}");
        assert_eq!(memory.received().len() as u64, 1 + hedges, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn only_repeatable_requests_are_hedged() {
    let replies = || vec![slow(Reply::ok(), 9)];
    let policy = HedgePolicy::after(SECOND);
    let (client, memory) = hedging(policy, &replies());
    client.post(URL).await.unwrap();
    assert_eq!(memory.received().len(), 1, "not idempotent");

    let (client, memory) = hedging(policy, &replies());
    let body = HttpBody::stream(stream::iter([Ok("part".into())]).boxed(), None);
    client
        .post(URL)
        .header("idempotency-key", "k")
        .body(body)
        .await
        .unwrap();
    assert_eq!(memory.received().len(), 1, "a stream");

    let (client, memory) = hedging(policy, &replies());
    client
        .post(URL)
        .header("idempotency-key", "k")
        .body("part")
        .await
        .unwrap();
    let received = memory.received();
    assert_eq!(received.len(), 2);
    assert!(
        received
            .iter()
            .all(|request| request.body == "part" && request.header("idempotency-key") == Some("k"))
    );
}

#[tokio::test(start_paused = true)]
async fn an_outage_does_not_double_the_load() {
    let (client, memory) = hedging(HedgePolicy::after(SECOND).with_budget(0.1, 5), &[slow(Reply::ok(), 9)]);
    for _ in 0..200 {
        client.get(URL).await.unwrap();
    }
    let hedges = client.client_metrics().unwrap().hedges;
    assert!((20..=25).contains(&hedges), "a tenth, and a burst of five: {hedges}");
    assert_eq!(memory.received().len() as u64, 200 + hedges);
}

#[tokio::test(start_paused = true)]
async fn the_delay_follows_the_latencies() {
    let millis = Arc::new(AtomicU64::new(10));
    let delay = Arc::clone(&millis);
    let memory = MemoryHttpClient::serving(move |_| {
        let delay = Duration::from_millis(delay.load(Ordering::Relaxed));
        async move {
            tokio::time::sleep(delay).await;
            Ok(HttpResponse::new(StatusCode::OK))
        }
    });
    let policy = HedgePolicy::after_percentile(0.9, SECOND).with_budget(0.5, 100);
    let client = HttpClientBuilder::over(memory)
        .retries(0)
        .hedging(policy)
        .build()
        .unwrap();
    for _ in 0..32 {
        client.get(URL).await.unwrap();
    }
    assert_eq!(client.client_metrics().unwrap().hedges, 0);
    millis.store(15, Ordering::Relaxed);
    client.get(URL).await.unwrap();
    assert_eq!(client.client_metrics().unwrap().hedges, 1, "slower than 10 ms");
}

struct Running(Arc<AtomicUsize>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn other_attempts_are_cancelled_and_release_their_permits() {
    let running = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&running);
    let attempts = Arc::new(AtomicUsize::new(0));
    let memory = MemoryHttpClient::serving(move |_| {
        count.fetch_add(1, Ordering::Relaxed);
        let guard = Running(Arc::clone(&count));
        let first = attempts.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let _guard = guard;
            if first {
                std::future::pending::<()>().await;
            }
            Ok(HttpResponse::new(StatusCode::OK))
        }
    });
    let client = HttpClientBuilder::over(memory)
        .retries(0)
        .hedging(HedgePolicy::after(SECOND))
        .concurrency_limit(ConcurrencyLimit::per_host(2))
        .build()
        .unwrap();
    let start = Instant::now();
    client.get(URL).await.unwrap();
    assert_eq!(start.elapsed(), SECOND);
    assert_eq!(running.load(Ordering::Relaxed), 0, "the first attempt was cancelled");
    let (one, two) = tokio::join!(client.get(URL).into_future(), client.get(URL).into_future());
    one.and(two).unwrap();
    assert_eq!(start.elapsed(), SECOND, "both permits are free");
}

#[tokio::test(start_paused = true)]
async fn a_hedge_does_not_wait_for_the_permit_of_its_first_attempt() {
    for status in [StatusCode::SERVICE_UNAVAILABLE, StatusCode::OK] {
        let memory = MemoryHttpClient::serving(move |_| async move {
            tokio::time::sleep(SECOND * 2).await;
            let mut response = HttpResponse::new(status);
            // The body holds the permit until it is read.
            response.body = HttpBody::stream(stream::iter([Ok("part".into())]).boxed(), None);
            Ok(response)
        });
        let client = HttpClientBuilder::over(memory.clone())
            .retries(0)
            .hedging(HedgePolicy::after(SECOND))
            .concurrency_limit(ConcurrencyLimit::per_host(1))
            .build()
            .unwrap();
        let start = Instant::now();
        let response = client.get(URL).await.unwrap();
        assert_eq!((response.status, start.elapsed()), (status, SECOND * 2));
        assert_eq!(memory.received().len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn a_hedge_without_a_permit_does_not_hide_the_error_of_the_first_attempt() {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/x", slow(Reply::error(ErrorKind::ConnectionClosed), 2))
        .unwrap();
    let client = HttpClientBuilder::over(memory)
        .retries(0)
        .hedging(HedgePolicy::after(SECOND))
        .concurrency_limit(ConcurrencyLimit::per_host(1))
        .build()
        .unwrap();
    assert_eq!(client.get(URL).await.unwrap_err().kind(), ErrorKind::ConnectionClosed);
}

#[tokio::test(start_paused = true)]
async fn each_attempt_has_its_own_time_limit() {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/x", [Reply::hang(), slow(Reply::ok(), 2)])
        .unwrap();
    let client = HttpClientBuilder::over(memory)
        .retries(0)
        .hedging(HedgePolicy::after(SECOND * 2))
        .attempt_timeout(SECOND * 3)
        .build()
        .unwrap();
    let start = Instant::now();
    client.get(URL).await.unwrap();
    assert_eq!(start.elapsed(), SECOND * 4, "after the first one has timed out");
}

#[test]
fn invalid_policies_name_their_field() {
    let policy = HedgePolicy::after(SECOND);
    for (policy, field) in [
        (HedgePolicy::after(Duration::ZERO), "hedging.delay.fixed"),
        (
            HedgePolicy::after_percentile(1.0, SECOND),
            "hedging.delay.percentile.share",
        ),
        (
            HedgePolicy::after_percentile(f64::NAN, SECOND),
            "hedging.delay.percentile.share",
        ),
        (
            HedgePolicy::after_percentile(0.9, Duration::ZERO),
            "hedging.delay.percentile.at_most",
        ),
        (policy.with_max_hedges(0), "hedging.max_hedges"),
        (policy.with_max_hedges(6), "hedging.max_hedges"),
        (policy.with_budget(0.0, 1), "hedging.share"),
        (policy.with_budget(0.6, 1), "hedging.share"),
        (policy.with_budget(0.1, 0), "hedging.burst"),
    ] {
        let built = HttpClientBuilder::over(MemoryHttpClient::new()).hedging(policy).build();
        assert_eq!(built.unwrap_err().field(), Some(field), "{policy:?}");
    }
}
