//! Time limits.

use std::time::Duration;

use networking_http::layer::RateLimit;
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::http::{HttpClientExt, Jitter, Method, RequestOptions, RetryPolicy, StatusCode};
use networking_spi::{ErrorKind, Phase};
use tokio::time::Instant;

const URL: &str = "http://api.test/x";
const SECOND: Duration = Duration::from_secs(1);

fn answering<const N: usize>(replies: [Reply; N]) -> MemoryHttpClient {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/x", replies).unwrap();
    memory
}

#[tokio::test(start_paused = true)]
async fn the_total_timeout_limits_attempts_and_waits() {
    let memory = answering([Reply::new(StatusCode::SERVICE_UNAVAILABLE).with_delay(SECOND)]);
    let policy = RetryPolicy::new(100)
        .with_delays(SECOND, SECOND)
        .with_jitter(Jitter::None);
    let client = HttpClientBuilder::over(memory.clone())
        .retry(policy)
        .timeout(SECOND * 19 / 2)
        .build()
        .unwrap();
    let start = Instant::now();
    let error = client.get(URL).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Some(Phase::Total)));
    assert_eq!(start.elapsed(), SECOND * 19 / 2);
    assert_eq!(memory.received().len(), 5, "an attempt and a wait take two seconds");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_too_slow_is_retried() {
    let memory = answering([Reply::hang(), Reply::ok()]);
    let policy = RetryPolicy::new(2)
        .with_delays(SECOND, SECOND)
        .with_jitter(Jitter::None);
    let client = HttpClientBuilder::over(memory)
        .retry(policy)
        .attempt_timeout(SECOND * 3)
        .build()
        .unwrap();
    let start = Instant::now();
    assert_eq!(client.get(URL).await.unwrap().status, 200);
    assert_eq!(start.elapsed(), SECOND * 4);
}

#[tokio::test(start_paused = true)]
async fn a_request_has_its_own_limits() {
    let client = HttpClientBuilder::over(answering([Reply::hang()]))
        .timeout(SECOND * 60)
        .attempt_timeout(SECOND * 50)
        .build()
        .unwrap();
    for (options, phase, limit) in [
        (RequestOptions::new(), Phase::Attempt, SECOND * 50),
        (RequestOptions::new().with_timeout(SECOND), Phase::Total, SECOND),
        (
            RequestOptions::new().with_attempt_timeout(SECOND * 2),
            Phase::Attempt,
            SECOND * 2,
        ),
        (
            RequestOptions::new().with_attempt_timeout(SECOND * 90),
            Phase::Total,
            SECOND * 60,
        ),
    ] {
        let start = Instant::now();
        let error = client.get(URL).options(options).await.unwrap_err();
        assert_eq!((error.phase(), start.elapsed()), (Some(phase), limit));
    }
}

#[tokio::test(start_paused = true)]
async fn a_limit_beyond_the_clock_is_no_limit() {
    let client = HttpClientBuilder::over(answering([Reply::ok()]))
        .timeout(Duration::MAX)
        .build()
        .unwrap();
    assert_eq!(client.get(URL).await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_rate_limit_counts() {
    let limit = RateLimit::new(1, SECOND * 4).with_max_wait(SECOND * 60);
    let client = HttpClientBuilder::over(answering([Reply::ok().with_delay(SECOND * 2)]))
        .rate_limit(limit)
        .timeout(SECOND * 5)
        .build()
        .unwrap();
    assert_eq!(client.get(URL).await.unwrap().status, 200);
    let start = Instant::now();
    // The rate limit takes two of the five seconds.
    assert_eq!(client.get(URL).await.unwrap().status, 200);
    assert_eq!(start.elapsed(), SECOND * 4);
    let error = client.get(URL).timeout(SECOND * 3).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Some(Phase::Total)));
}

#[tokio::test]
async fn zero_timeouts_are_refused() {
    for (builder, field) in [
        (HttpClientBuilder::new().timeout(Duration::ZERO), "timeout"),
        (
            HttpClientBuilder::new().attempt_timeout(Duration::ZERO),
            "attempt_timeout",
        ),
        (
            HttpClientBuilder::new().connect_timeout(Duration::ZERO),
            "transport.connect_timeout",
        ),
    ] {
        let error = builder.build().unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
    }
}
