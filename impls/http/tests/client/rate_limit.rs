//! The rate limit.

use std::future::IntoFuture;
use std::time::Duration;

use futures_util::future::join_all;
use networking_http::layer::RateLimit;
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply, StandardHttpClient};
use networking_spi::http::{HttpClient, HttpClientExt, Method, RetryPolicy, StatusCode};
use networking_spi::{ErrorKind, Phase, SendState};
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
async fn a_burst_is_available_after_an_idle_time() {
    let client = limited(RateLimit::per_second(4).with_burst(3).with_max_wait(SECOND * 10));
    assert_eq!(times(&client, 5).await, [0, 0, 0, 250, 500]);
    tokio::time::advance(SECOND * 60).await;
    assert_eq!(
        times(&client, 4).await,
        [0, 0, 0, 250],
        "a longer idle time does not allow a larger burst"
    );
}

#[tokio::test(start_paused = true)]
async fn a_call_that_would_wait_too_long_fails_immediately() {
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
    // The refused call does not count.
    tokio::time::advance(SECOND * 6).await;
    client.get(URL).await.unwrap();
    assert_eq!(start.elapsed(), SECOND * 10);
}

#[tokio::test(start_paused = true)]
async fn a_call_waits_until_its_deadline_and_no_longer() {
    // The time limit of an attempt does not limit the wait.
    let client = limited(RateLimit::new(1, SECOND * 10));
    client.get(URL).await.unwrap();
    let start = Instant::now();
    let error = client.get(URL).total_timeout(SECOND * 9).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::RateLimited, Some(Phase::Queue))
    );
    assert_eq!(error.retryability().delay(), Some(SECOND * 10));
    assert_eq!(
        start.elapsed(),
        Duration::ZERO,
        "it can only fail, so it fails immediately"
    );
    client
        .get(URL)
        .timeout(SECOND)
        .total_timeout(SECOND * 11)
        .await
        .unwrap();
    assert_eq!(start.elapsed(), SECOND * 10);
    client.get(URL).timeout(SECOND).await.unwrap();
    assert_eq!(start.elapsed(), SECOND * 20);

    // The deadline of the client.
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/x", Reply::ok()).unwrap();
    let client = HttpClientBuilder::over(memory)
        .rate_limit(RateLimit::per_second(1))
        .total_timeout(SECOND * 5 / 2)
        .build()
        .unwrap();
    let results = join_all((0..5).map(|_| client.get(URL).into_future())).await;
    let sent: Vec<bool> = results.iter().map(Result::is_ok).collect();
    assert_eq!(sent, [true, true, true, false, false]);
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_are_throttled_and_none_fails() {
    for (calls, rate, burst, millis) in [(300, 100, 1, 2_990), (300, 100, 100, 2_000), (1_000, 20, 1, 49_950)] {
        let client = limited(RateLimit::per_second(rate).with_burst(burst));
        let start = Instant::now();
        let results = join_all((0..calls).map(|_| client.get(URL).into_future())).await;
        assert_eq!(
            results.iter().filter(|result| result.is_err()).count(),
            0,
            "{calls} at {rate}/s"
        );
        assert_eq!(
            start.elapsed().as_millis(),
            millis,
            "{calls} at {rate}/s, burst {burst}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn dropped_calls_delay_nobody() {
    let by_host = |limit| per_host(limit, "0");
    for client in [limited(RateLimit::per_second(10)), by_host(RateLimit::per_second(10))] {
        let start = Instant::now();
        client.get("http://a.test/x").await.unwrap();
        // Calls before and behind the one that stays; one of the dropped calls has the first place.
        let mut dropped: Vec<_> = (0..100).map(|_| client.get("http://a.test/x").into_future()).collect();
        let mut staying = client.get("http://a.test/x").into_future();
        for call in &mut dropped[..50] {
            assert!(futures_util::poll!(call).is_pending());
        }
        assert!(futures_util::poll!(&mut staying).is_pending());
        for call in &mut dropped[50..] {
            assert!(futures_util::poll!(call).is_pending());
        }
        tokio::time::advance(Duration::from_millis(40)).await;
        drop(dropped);
        staying.await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(100));
        client.get("http://a.test/x").await.unwrap();
        assert_eq!(start.elapsed(), Duration::from_millis(200));
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_waits_for_its_host_does_not_delay_other_hosts() {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/x", Reply::ok()).unwrap();
    let client = HttpClientBuilder::over(memory)
        .rate_limit(RateLimit::per_second(100))
        .rate_limit_per_host(RateLimit::per_second(1))
        .build()
        .unwrap();
    let start = Instant::now();
    let ended = join_all(["a", "a", "a", "b", "c", "b"].map(|host| {
        let (client, url) = (client.clone(), format!("http://{host}.test/x"));
        async move {
            client.get(&url).total_timeout(SECOND * 10).await.unwrap();
            start.elapsed().as_millis()
        }
    }))
    .await;
    assert_eq!(ended, [0, 1_000, 2_000, 10, 20, 1_010]);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_counted_if_asked_for() {
    for (counted, millis) in [(false, 3), (true, 900)] {
        for per_host in [false, true] {
            let memory = MemoryHttpClient::new();
            let busy = Reply::new(StatusCode::SERVICE_UNAVAILABLE);
            memory.route(Method::GET, "/x", busy).unwrap();
            let limit = RateLimit::per_second(10).with_burst(4).with_attempts_counted(counted);
            let builder = HttpClientBuilder::over(memory.clone())
                .retry(RetryPolicy::fixed(3, Duration::from_millis(1)).with_budget(None));
            let builder = if per_host {
                builder.rate_limit_per_host(limit)
            } else {
                builder.rate_limit(limit)
            };
            let client = builder.build().unwrap();
            let start = Instant::now();
            join_all((0..4).map(|_| client.get(URL).into_future())).await;
            assert_eq!(memory.received().len(), 16);
            let expected = if counted { 1_200 } else { millis };
            assert_eq!(start.elapsed().as_millis(), expected, "counted: {counted}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_cannot_get_its_turn_in_time_ends_the_call() {
    let memory = MemoryHttpClient::new();
    let busy = Reply::new(StatusCode::SERVICE_UNAVAILABLE);
    memory.route(Method::GET, "/x", busy).unwrap();
    let client = HttpClientBuilder::over(memory.clone())
        .rate_limit(RateLimit::new(1, SECOND * 30).with_attempts_counted(true))
        .total_timeout(SECOND * 10)
        .build()
        .unwrap();
    let start = Instant::now();
    let error = client.get(URL).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::RateLimited);
    assert!(start.elapsed() < SECOND * 2, "{:?}", start.elapsed());
    assert_eq!(memory.received().len(), 1);
}

#[test]
fn a_limit_is_read_with_and_without_a_wait() {
    let text = r#"{"calls": 5, "period": "1s", "burst": 1}"#;
    let limit: RateLimit = serde_json::from_str(text).unwrap();
    assert_eq!(limit, RateLimit::per_second(5));
    let text = r#"{"calls": 5, "period": "1s", "burst": 1, "max_wait": "3s", "count_attempts": true}"#;
    let limit: RateLimit = serde_json::from_str(text).unwrap();
    let expected = RateLimit::per_second(5)
        .with_max_wait(SECOND * 3)
        .with_attempts_counted(true);
    assert_eq!(limit, expected);
    let written = serde_json::to_string(&limit).unwrap();
    assert_eq!(serde_json::from_str::<RateLimit>(&written).unwrap(), limit);
}

#[test]
fn invalid_limits_name_their_field() {
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

/// A client whose server responds to `/busy` with 429 and to `/x` with 200, on any host.
fn per_host(limit: RateLimit, retry_after: &str) -> StandardHttpClient<MemoryHttpClient> {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/x", Reply::ok()).unwrap();
    let busy = Reply::new(StatusCode::TOO_MANY_REQUESTS);
    memory
        .route(
            Method::GET,
            "/busy",
            busy.with_header("retry-after", retry_after).unwrap(),
        )
        .unwrap();
    HttpClientBuilder::over(memory)
        .rate_limit_per_host(limit)
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn each_host_has_its_own_rate() {
    let client = per_host(RateLimit::per_minute(60).with_max_wait(SECOND * 10), "1");
    let start = Instant::now();
    let urls = [
        "http://a.test/x",
        "http://b.test/x",
        "http://a.test:81/x",
        "http://a.test/x",
    ];
    let client = &client;
    let ended = join_all(urls.map(|url| async move {
        client.get(url).await.unwrap();
        start.elapsed().as_millis()
    }));
    assert_eq!(ended.await, [0, 0, 0, 1_000]);
}

#[tokio::test(start_paused = true)]
async fn both_limits_apply_and_a_refused_call_counts_for_neither() {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/x", Reply::ok()).unwrap();
    let client = HttpClientBuilder::over(memory)
        .rate_limit(RateLimit::per_second(4).with_max_wait(SECOND * 10))
        .rate_limit_per_host(RateLimit::per_second(1).with_max_wait(SECOND))
        .build()
        .unwrap();
    let start = Instant::now();
    let ended = join_all(["a", "a", "a", "b", "c"].map(|host| {
        let (client, url) = (client.clone(), format!("http://{host}.test/x"));
        async move {
            let result = client.get(&url).await;
            (
                result.map_err(|error| error.kind()).is_ok(),
                start.elapsed().as_millis(),
            )
        }
    }))
    .await;
    // The third call to `a` would wait for two seconds. The calls to `b` and `c` are next in the client's schedule.
    assert_eq!(ended, [(true, 0), (true, 1_000), (false, 0), (true, 250), (true, 500)]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_pauses_the_host_if_enabled() {
    let limit = RateLimit::per_second(1_000).with_max_wait(SECOND * 60);
    for (limit, retry_after, waited) in [
        (limit, "7", 0),
        (limit.with_max_pause(SECOND * 30), "7", 7),
        (limit.with_max_pause(SECOND * 30), "99999999999999999999", 30),
        (limit.with_max_pause(SECOND * 30).with_burst(500), "7", 7),
        (limit.with_max_pause(SECOND * 30), "soon", 0),
    ] {
        let client = per_host(limit, retry_after);
        client.get("http://a.test/busy").await.unwrap();
        let start = Instant::now();
        client.get("http://b.test/x").await.unwrap();
        assert!(start.elapsed() < SECOND, "other hosts are not paused");
        client.get("http://a.test/x").await.unwrap();
        assert_eq!(start.elapsed().as_secs(), waited, "{limit:?} {retry_after}");
    }
}
