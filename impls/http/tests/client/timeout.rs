//! Time limits.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_http::layer::{Attempts, RateLimit};
use networking_http::{Download, EventSource, HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::http::{
    HttpBody, HttpClientExt, HttpRequest, HttpResponse, Jitter, Method, RequestOptions, RetryPolicy, StatusCode,
};
use networking_spi::{ErrorKind, Phase, Retryability};
use tokio::time::{Instant, sleep};

const URL: &str = "http://api.test/x";
const SECOND: Duration = Duration::from_secs(1);

fn answering<const N: usize>(replies: [Reply; N]) -> MemoryHttpClient {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/x", replies).unwrap();
    memory
}

/// 503 after a second, and retries after a second each.
fn busy_for_a_second() -> (MemoryHttpClient, RetryPolicy) {
    let memory = answering([Reply::new(StatusCode::SERVICE_UNAVAILABLE).with_delay(SECOND)]);
    (memory, RetryPolicy::fixed(99, SECOND).with_budget(None))
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_would_start_after_the_total_timeout_ends_the_call() {
    let (memory, policy) = busy_for_a_second();
    let client = HttpClientBuilder::over(memory.clone())
        .retry(policy)
        .total_timeout(SECOND * 19 / 2)
        .build()
        .unwrap();
    let start = Instant::now();
    let response = client.get(URL).await.unwrap();
    assert_eq!(response.status, 503, "the outcome of the last attempt");
    assert_eq!(response.extensions.get::<Attempts>(), Some(&Attempts(5)));
    assert_eq!(start.elapsed(), SECOND * 9, "the retry would start at 10 s");
    assert_eq!(memory.received().len(), 5, "an attempt and a wait take two seconds");
    let error = client.get(URL).await.unwrap().error_for_status().unwrap_err();
    assert_eq!(
        (error.attempts(), error.retryability()),
        (5, Retryability::Exhausted(None))
    );

    // An error, and a delay that the peer asks for.
    for reply in [
        Reply::error(ErrorKind::ConnectionRefused),
        Reply::new(StatusCode::SERVICE_UNAVAILABLE)
            .with_header("retry-after", "20")
            .unwrap(),
    ] {
        let client = HttpClientBuilder::over(answering([reply]))
            .retry(RetryPolicy::fixed(3, SECOND * 10))
            .build()
            .unwrap();
        let start = Instant::now();
        let result = client.get(URL).total_timeout(SECOND * 10).await;
        let error = result.and_then(HttpResponse::error_for_status).unwrap_err();
        assert_ne!(error.kind(), ErrorKind::Timeout);
        assert!(!error.retryability().is_retryable(), "{error:?}");
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}

#[tokio::test(start_paused = true)]
async fn the_total_timeout_limits_attempts_and_waits() {
    let (memory, policy) = busy_for_a_second();
    let client = HttpClientBuilder::over(memory.clone())
        .retry(policy)
        .total_timeout(SECOND * 17 / 2)
        .build()
        .unwrap();
    let start = Instant::now();
    let error = client.get(URL).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Some(Phase::Total)));
    assert_eq!(start.elapsed(), SECOND * 17 / 2, "within the fifth attempt");
    assert_eq!(memory.received().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_hangs_twice_is_retried_with_the_defaults() {
    let memory = answering([Reply::hang(), Reply::hang(), Reply::ok()]);
    let client = HttpClientBuilder::over(memory.clone()).build().unwrap();
    let start = Instant::now();
    assert_eq!(client.get(URL).await.unwrap().status, 200);
    assert_eq!(memory.received().len(), 3);
    let elapsed = start.elapsed();
    assert!(
        (SECOND * 60..=SECOND * 63).contains(&elapsed),
        "30 s per attempt, and the waits: {elapsed:?}"
    );

    // A request that is not idempotent may have been processed.
    let memory = MemoryHttpClient::new();
    memory.route(Method::POST, "/x", [Reply::hang(), Reply::ok()]).unwrap();
    let client = HttpClientBuilder::over(memory.clone()).build().unwrap();
    let error = client.post(URL).await.unwrap_err();
    assert_eq!((error.phase(), error.attempts()), (Some(Phase::Attempt), 1));

    // All attempts hang.
    let client = HttpClientBuilder::over(answering([Reply::hang()])).build().unwrap();
    let error = client.get(URL).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.phase()),
        (ErrorKind::Timeout, Some(Phase::Attempt))
    );
    assert_eq!(
        (error.attempts(), error.retryability()),
        (4, Retryability::Exhausted(None))
    );
}

#[tokio::test(start_paused = true)]
async fn a_total_timeout_counts_the_attempts_and_is_exhausted_after_retries() {
    let client = HttpClientBuilder::over(answering([Reply::hang()]))
        .timeout(SECOND)
        .retry(RetryPolicy::fixed(20, SECOND))
        .total_timeout(SECOND * 9 / 2)
        .build()
        .unwrap();
    let error = client.get(URL).await.unwrap_err();
    assert_eq!((error.phase(), error.attempts()), (Some(Phase::Total), 3));
    assert_eq!(error.retryability(), Retryability::Exhausted(None));
    let error = client.get(URL).total_timeout(SECOND / 2).await.unwrap_err();
    assert_eq!((error.attempts(), error.retryability()), (1, Retryability::Now));
}

#[tokio::test(start_paused = true)]
async fn a_time_limit_of_zero_is_refused() {
    let memory = answering([Reply::ok()]);
    let client = HttpClientBuilder::over(memory.clone()).build().unwrap();
    let zero = Duration::ZERO;
    for (options, field) in [
        (RequestOptions::new().with_timeout(zero), "timeout"),
        (RequestOptions::new().with_attempt_timeout(zero), "attempt_timeout"),
        (RequestOptions::new().with_total_timeout(zero), "total_timeout"),
    ] {
        let error = client.get(URL).options(options).await.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
        assert_eq!(error.attempts(), 1);
    }
    assert!(memory.received().is_empty());
}

/// The settings that the README shows, at the client and at the request.
#[tokio::test(start_paused = true)]
async fn a_timeout_with_retries_retries_a_hung_server() {
    let replies = || answering([Reply::hang(), Reply::hang(), Reply::ok()]);
    let client = HttpClientBuilder::over(replies())
        .timeout(SECOND * 10)
        .retry(RetryPolicy::new(4))
        .build()
        .unwrap();
    let start = Instant::now();
    assert_eq!(client.get(URL).await.unwrap().status, 200);
    assert!((SECOND * 20..=SECOND * 23).contains(&start.elapsed()));

    let client = HttpClientBuilder::over(replies()).build().unwrap();
    let start = Instant::now();
    let response = client
        .get(URL)
        .timeout(SECOND)
        .retries(2)
        .retry_delay(SECOND * 2)
        .await
        .unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(start.elapsed(), SECOND * (1 + 2 + 1 + 2));
}

#[tokio::test(start_paused = true)]
async fn timeouts_and_retries_are_switched_off_by_one_call_each() {
    let slow = || answering([Reply::ok().with_delay(SECOND * 3_600)]);
    let client = HttpClientBuilder::over(slow()).no_timeout().build().unwrap();
    assert_eq!(client.get(URL).await.unwrap().status, 200);
    let client = HttpClientBuilder::over(slow())
        .timeout(SECOND)
        .attempt_timeout(SECOND)
        .total_timeout(SECOND)
        .build()
        .unwrap();
    assert_eq!(client.get(URL).no_timeout().await.unwrap().status, 200);

    for client in [
        HttpClientBuilder::over(answering([Reply::hang()])).retries(0),
        HttpClientBuilder::over(answering([Reply::hang()])).retry(RetryPolicy::disabled()),
    ] {
        let error = client.build().unwrap().get(URL).await.unwrap_err();
        assert_eq!((error.attempts(), error.retryability()), (1, Retryability::Now));
    }
    let client = HttpClientBuilder::over(answering([Reply::hang()])).build().unwrap();
    assert_eq!(client.get(URL).retries(0).await.unwrap_err().attempts(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_explicit_timeout_replaces_the_default_one() {
    let slow = || HttpClientBuilder::over(answering([Reply::ok().with_delay(SECOND * 45)])).retries(0);
    let limit = SECOND * 60;
    for (client, request, answered) in [
        (slow(), RequestOptions::new(), false),
        (slow().timeout(limit), RequestOptions::new(), true),
        (slow().attempt_timeout(limit), RequestOptions::new(), true),
        (slow().total_timeout(limit), RequestOptions::new(), false),
        (slow(), RequestOptions::new().with_timeout(limit), true),
        (slow(), RequestOptions::new().with_attempt_timeout(limit), true),
        (
            slow().timeout(limit).attempt_timeout(SECOND),
            RequestOptions::new(),
            false,
        ),
        (slow().timeout(SECOND), RequestOptions::new().with_timeout(limit), true),
        (slow().timeout(limit), RequestOptions::new().with_timeout(SECOND), false),
        (
            slow().attempt_timeout(SECOND),
            RequestOptions::new().with_timeout(limit),
            false,
        ),
    ] {
        let shown = format!("{client:?} {request:?}");
        let result = client.build().unwrap().get(URL).options(request).await;
        assert_eq!(result.is_ok(), answered, "{shown}");
    }
}

/// A response whose body has a chunk every 20 s, three times.
fn dripping() -> MemoryHttpClient {
    MemoryHttpClient::serving(|_| async {
        let chunks = stream::iter(["data: 1\n\n", "data: 2\n\n", "data: 3\n\n"]).then(|chunk| async move {
            sleep(SECOND * 20).await;
            Ok(Bytes::from(chunk))
        });
        let response = HttpResponse::new(StatusCode::OK)
            .with_header("content-type", "text/event-stream")?
            .with_body(HttpBody::stream(chunks.boxed(), None));
        Ok(response)
    })
}

#[tokio::test(start_paused = true)]
async fn a_body_may_take_longer_than_the_default_and_no_longer_than_an_explicit_timeout() {
    let client = || HttpClientBuilder::over(dripping());
    let limit = SECOND * 30;
    for (client, request, phase) in [
        (client(), RequestOptions::new(), None),
        (client().attempt_timeout(limit), RequestOptions::new(), None),
        (client().timeout(limit), RequestOptions::new(), Some(Phase::Attempt)),
        (
            client(),
            RequestOptions::new().with_timeout(limit),
            Some(Phase::Attempt),
        ),
        (client().total_timeout(limit), RequestOptions::new(), Some(Phase::Total)),
        (
            client(),
            RequestOptions::new().with_total_timeout(limit),
            Some(Phase::Total),
        ),
    ] {
        let client = client.build().unwrap();
        let start = Instant::now();
        let body = client.get(URL).options(request.clone()).await.unwrap().bytes().await;
        match phase {
            None => assert_eq!(body.unwrap().len(), 27),
            Some(phase) => {
                let error = body.unwrap_err();
                assert_eq!(
                    (error.kind(), error.phase()),
                    (ErrorKind::Timeout, Some(phase)),
                    "{request:?}"
                );
                assert_eq!(start.elapsed(), limit);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn event_streams_and_downloads_are_not_cut() {
    let client = HttpClientBuilder::over(dripping())
        .timeout(SECOND * 10)
        .total_timeout(SECOND * 15)
        .build()
        .unwrap();
    let start = Instant::now();
    let request = HttpRequest::new(Method::GET, URL);
    let events = EventSource::new(Arc::new(client.clone()), request).unwrap();
    let events: Vec<String> = events.take(3).map(|event| event.unwrap().data).collect().await;
    assert_eq!(events, ["1", "2", "3"]);
    assert_eq!(start.elapsed(), SECOND * 60);

    let directory = tempfile::tempdir().unwrap();
    let done = Download::new(URL, directory.path().join("file"))
        .run(&client)
        .await
        .unwrap();
    assert_eq!((done.size, done.attempts), (27, 1));
}

#[tokio::test(start_paused = true)]
async fn downloads_and_event_streams_make_their_own_attempts_only() {
    let memory = answering([Reply::error(ErrorKind::ConnectionRefused)]);
    let client = HttpClientBuilder::over(memory.clone()).build().unwrap();
    let policy = || RetryPolicy::fixed(2, SECOND);
    let directory = tempfile::tempdir().unwrap();
    let download = Download::new(URL, directory.path().join("file")).with_retry(policy());
    assert_eq!(download.run(&client).await.unwrap_err().attempts(), 3);
    assert_eq!(memory.received().len(), 3);
    memory.clear_received();
    let request = HttpRequest::new(Method::GET, URL);
    let source = EventSource::new(Arc::new(client), request).unwrap();
    let mut source = source.with_reconnect(policy()).unwrap();
    source.next().await.unwrap().unwrap_err();
    assert_eq!(memory.received().len(), 3);
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
        .total_timeout(SECOND * 60)
        .attempt_timeout(SECOND * 50)
        .retries(0)
        .build()
        .unwrap();
    let options = RequestOptions::new;
    for (options, phase, limit) in [
        (options(), Phase::Attempt, SECOND * 50),
        (options().with_total_timeout(SECOND), Phase::Total, SECOND),
        (options().with_timeout(SECOND), Phase::Attempt, SECOND),
        (options().with_attempt_timeout(SECOND * 2), Phase::Attempt, SECOND * 2),
        (options().with_attempt_timeout(SECOND * 90), Phase::Total, SECOND * 60),
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
        .attempt_timeout(Duration::MAX)
        .total_timeout(Duration::MAX)
        .build()
        .unwrap();
    assert_eq!(client.get(URL).await.unwrap().status, 200);
}

#[tokio::test(start_paused = true)]
async fn the_wait_for_the_rate_limit_counts() {
    let limit = RateLimit::new(1, SECOND * 4);
    let client = HttpClientBuilder::over(answering([Reply::ok().with_delay(SECOND * 2)]))
        .rate_limit(limit)
        .total_timeout(SECOND * 5)
        .build()
        .unwrap();
    assert_eq!(client.get(URL).await.unwrap().status, 200);
    let start = Instant::now();
    // The rate limit takes two of the five seconds.
    assert_eq!(client.get(URL).await.unwrap().status, 200);
    assert_eq!(start.elapsed(), SECOND * 4);
    let error = client.get(URL).total_timeout(SECOND * 3).await.unwrap_err();
    assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Some(Phase::Total)));
}

#[tokio::test]
async fn zero_timeouts_are_refused() {
    for (builder, field) in [
        (HttpClientBuilder::new().timeout(Duration::ZERO), "timeout"),
        (HttpClientBuilder::new().total_timeout(Duration::ZERO), "total_timeout"),
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
