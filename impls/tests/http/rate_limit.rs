//! The rate limit.

use std::time::Duration;

use futures_util::future::join_all;
use networking_impls::http::layer::RateLimit;
use networking_impls::http::{HttpClientBuilder, MemoryHttpClient, Reply, StandardHttpClient};
use networking_spi::http::{HttpClient, HttpClientExt, Method};
use networking_spi::{ErrorKind, SendState};
use tokio::time::Instant;

const URL: &str = "http://api.test/x";
const SECOND: Duration = Duration::from_secs(1);

fn limited(limit: RateLimit) -> StandardHttpClient<MemoryHttpClient> {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/x", Reply::ok()).unwrap();
    HttpClientBuilder::over(memory).rate_limit(limit).build().unwrap()
}

async fn times(client: &StandardHttpClient<MemoryHttpClient>, calls: usize) -> Vec<u128> {
    let start = Instant::now();
    join_all((0..calls).map(|_| async {
        client.get(URL).await.unwrap();
        start.elapsed().as_millis()
    }))
    .await
}

#[tokio::test(start_paused = true)]
async fn calls_are_spaced_evenly() {
    let client = limited(RateLimit::per_second(4).with_max_wait(SECOND * 10));
    assert_eq!(times(&client, 5).await, [0, 250, 500, 750, 1_000]);
    assert_eq!(client.client_metrics().unwrap().throttled, 4);
}

#[tokio::test(start_paused = true)]
async fn a_burst_comes_after_a_pause() {
    let client = limited(RateLimit::per_second(4).with_burst(3).with_max_wait(SECOND * 10));
    assert_eq!(times(&client, 5).await, [0, 0, 0, 250, 500]);
    tokio::time::advance(SECOND * 60).await;
    assert_eq!(
        times(&client, 4).await,
        [0, 0, 0, 250],
        "a long pause does not make a longer burst"
    );
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_too_long_is_told_so_at_once() {
    let client = limited(RateLimit::new(1, SECOND * 10).with_max_wait(SECOND * 5));
    client.get(URL).await.unwrap();
    let start = Instant::now();
    let error = client.get(URL).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.send_state()),
        (ErrorKind::RateLimited, SendState::NotSent)
    );
    assert_eq!(error.retryability().delay(), Some(SECOND * 10));
    assert_eq!(start.elapsed(), Duration::ZERO);
    // The call that was refused has not used up a turn.
    tokio::time::advance(SECOND * 6).await;
    client.get(URL).await.unwrap();
    assert_eq!(start.elapsed(), SECOND * 10);
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_beyond_his_own_timeout() {
    let client = limited(RateLimit::new(1, SECOND * 10).with_max_wait(SECOND * 60));
    client.get(URL).await.unwrap();
    let error = client.get(URL).timeout(SECOND * 9).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
}

#[test]
fn bad_limits_are_named() {
    let memory = || HttpClientBuilder::over(MemoryHttpClient::new());
    for (limit, field) in [
        (RateLimit::per_second(0), "rate_limit.calls"),
        (RateLimit::new(1, Duration::ZERO), "rate_limit.period"),
        (RateLimit::per_second(1).with_burst(0), "rate_limit.burst"),
        (RateLimit::new(2, Duration::from_nanos(1)), "rate_limit.calls"),
    ] {
        assert_eq!(
            memory().rate_limit(limit).build().unwrap_err().field(),
            Some(field),
            "{limit:?}"
        );
    }
}
