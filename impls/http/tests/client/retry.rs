//! Waits, budgets and decisions of the retry wrapper.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use networking_conformance::proof::circuit_breaker::ModelBreaker;
use networking_http::layer::{Attempts, RetryClient};
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_runtime::clock::TokioClock;
use networking_spi::backoff::Backoff;
use networking_spi::circuit_breaker::{CircuitBreakerConfig, OpenPolicy, TripPolicy};
use networking_spi::http::{
    HttpBody, HttpCircuitOptions, HttpClient, HttpClientExt, HttpResponse, Jitter, Method, RequestOptions, RetryBudget,
    RetryPolicy, RetryPredicate, RetryReason, StatusCode,
};
use networking_spi::{ErrorKind, NetworkError, Retryability, SendState};
use parking_lot::Mutex;
use tokio::time::Instant;

const URL: &str = "http://api.test/x";

fn exact(max_attempts: u32) -> RetryPolicy {
    RetryPolicy::new(max_attempts)
        .with_delays(Duration::from_millis(100), Duration::from_secs(10))
        .with_jitter(Jitter::None)
        .with_budget(None)
}

fn answering(replies: &[Reply], policy: RetryPolicy) -> (MemoryHttpClient, RetryClient<MemoryHttpClient>) {
    let memory = MemoryHttpClient::new();
    for method in [Method::GET, Method::POST] {
        memory.route(method, "/x", replies.to_vec()).unwrap();
    }
    (memory.clone(), RetryClient::new(memory, policy).unwrap())
}

fn busy() -> Reply {
    Reply::new(StatusCode::SERVICE_UNAVAILABLE)
}

#[tokio::test(start_paused = true)]
async fn waits_double_from_retry_to_retry() {
    let (memory, client) = answering(&[busy(), busy(), busy(), Reply::ok()], exact(4));
    let start = Instant::now();
    let response = client.get(URL).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.extensions.get::<Attempts>(), Some(&Attempts(4)));
    assert_eq!(start.elapsed(), Duration::from_millis(100 + 200 + 400));
    assert_eq!(memory.received().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_response_without_retries_has_no_attempts() {
    let (_, client) = answering(&[Reply::ok()], exact(4));
    assert_eq!(client.get(URL).await.unwrap().extensions.get::<Attempts>(), None);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_a_lower_bound_of_the_wait() {
    for (value, expected) in [("3", Duration::from_secs(3)), ("0", Duration::from_millis(100))] {
        let (_, client) = answering(
            &[busy().with_header("retry-after", value).unwrap(), Reply::ok()],
            exact(2),
        );
        let start = Instant::now();
        assert_eq!(client.get(URL).await.unwrap().status, 200);
        assert_eq!(start.elapsed(), expected, "Retry-After: {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn dates_in_retry_after_are_compared_with_the_clock() {
    let now: SystemTime = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    // Seven seconds later.
    let date = "Fri, 15 Jan 2027 08:00:07 GMT";
    let (_, client) = answering(
        &[busy().with_header("retry-after", date).unwrap(), Reply::ok()],
        exact(2),
    );
    let client = client.with_clock(Arc::new(TokioClock::starting_at(now)));
    let start = Instant::now();
    assert_eq!(client.get(URL).await.unwrap().status, 200);
    assert_eq!(start.elapsed(), Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn a_wait_beyond_the_range_of_the_clock_does_not_end() {
    let replies = [busy().with_header("retry-after", "99999999999999999999999999").unwrap()];
    let (_, client) = answering(&replies, exact(2).with_max_retry_after(Duration::MAX));
    let answer = tokio::time::timeout(Duration::from_secs(3_600), client.get(URL).into_future()).await;
    assert!(answer.is_err(), "it still waits");
}

#[tokio::test(start_paused = true)]
async fn a_retry_after_above_the_limit_ends_the_call() {
    let now: SystemTime = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    // Each row: the `Retry-After`, the number of attempts, and the time they take.
    for (value, attempts, millis) in [
        ("Thu, 01 Jan 1970 00:00:00 GMT", 2, 100),
        ("Fri, 15 Jan 2027 07:59:59 GMT", 2, 100),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 2, 60_000),
        ("60", 2, 60_000),
        ("61", 1, 0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 1, 0),
        ("99999999999999999999999999", 1, 0),
        ("-1", 2, 100),
        ("soon", 2, 100),
    ] {
        let replies = [busy().with_header("retry-after", value).unwrap(), Reply::ok()];
        let (memory, client) = answering(&replies, exact(2));
        let client = client.with_clock(Arc::new(TokioClock::starting_at(now)));
        let start = Instant::now();
        client.get(URL).await.unwrap();
        assert_eq!(memory.received().len(), attempts, "{value}");
        assert_eq!(start.elapsed(), Duration::from_millis(millis), "{value}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_attempts_of_a_post_have_the_same_idempotency_key() {
    let policy = || exact(3).with_idempotency_keys(true);
    let (memory, client) = answering(&[busy(), busy(), Reply::ok()], policy());
    assert_eq!(client.post(URL).body("order").await.unwrap().status, 200);
    client.post(URL).header("idempotency-key", "mine").await.unwrap();
    client.post(URL).await.unwrap();
    client.get(URL).await.unwrap();
    let not_idempotent = RequestOptions::new().with_idempotent(false);
    client.post(URL).options(not_idempotent).await.unwrap();
    let received = memory.received();
    let keys: Vec<Option<&str>> = received
        .iter()
        .map(|request| request.header("idempotency-key"))
        .collect();
    let key = keys[0].unwrap();
    assert_eq!(keys[..3], [Some(key); 3], "the first call");
    assert_eq!(key.len(), 36);
    assert_eq!(keys[3], Some("mine"));
    assert!(
        keys[4].is_some_and(|other| other != key),
        "another call has another key"
    );
    assert!(
        keys[5..].iter().all(Option::is_none),
        "a GET is idempotent, and the caller has declared that the POST is not"
    );

    let (memory, client) = answering(&[busy(), Reply::ok()], exact(3));
    assert_eq!(client.post(URL).await.unwrap().status, 503, "keys are off by default");
    assert_eq!(memory.received()[0].header("idempotency-key"), None);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_never_retried() {
    let (memory, client) = answering(&[busy(), Reply::ok()], exact(3).with_idempotency_keys(true));
    let body = HttpBody::stream(stream::iter([Ok("part".into())]).boxed(), None);
    assert_eq!(client.post(URL).body(body).await.unwrap().status, 503);
    assert_eq!(memory.received().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_empty_budget_stops_retries_and_not_requests() {
    let policy = exact(2).with_budget(Some(RetryBudget::new(2, 0.5)));
    let (memory, client) = answering(&[busy()], policy);
    for expected in [2, 4, 5, 6] {
        assert_eq!(client.get(URL).await.unwrap().status, 503);
        assert_eq!(memory.received().len(), expected);
    }
    memory.route(Method::GET, "/fine", Reply::ok()).unwrap();
    for _ in 0..2 {
        client.get("http://api.test/fine").await.unwrap();
    }
    memory.clear_received();
    client.get(URL).await.unwrap();
    assert_eq!(
        memory.received().len(),
        2,
        "two successes refill the budget for one retry"
    );
}

#[tokio::test(start_paused = true)]
async fn a_policy_without_budget_does_not_use_the_budget_of_the_client() {
    let (memory, client) = answering(&[busy()], exact(2).with_budget(Some(RetryBudget::new(1, 0.5))));
    let own = || RequestOptions::new().with_retry(exact(3));
    for calls in 1..=3 {
        client.get(URL).options(own()).await.unwrap();
        assert_eq!(memory.received().len(), 3 * calls);
    }
    memory.clear_received();
    client.get(URL).await.unwrap();
    assert_eq!(memory.received().len(), 2, "the budget is untouched");
}

#[tokio::test(start_paused = true)]
async fn errors_are_retried_according_to_retryability_and_send_state() {
    let error = |retryability, sent| {
        Reply::error_with(move || {
            NetworkError::new(ErrorKind::Connection, "test", "broken")
                .with_retryability(retryability)
                .with_send_state(sent)
        })
    };
    let table = [
        (
            Method::GET,
            Retryability::Now,
            SendState::MaybeSent,
            3,
            Duration::from_millis(300),
        ),
        (
            Method::GET,
            Retryability::Never,
            SendState::MaybeSent,
            1,
            Duration::ZERO,
        ),
        (
            Method::GET,
            Retryability::After(Duration::from_secs(2)),
            SendState::Sent,
            3,
            Duration::from_secs(4),
        ),
        (
            Method::GET,
            Retryability::After(Duration::from_secs(61)),
            SendState::Sent,
            1,
            Duration::ZERO,
        ),
        (Method::POST, Retryability::Now, SendState::MaybeSent, 1, Duration::ZERO),
        (
            Method::POST,
            Retryability::Now,
            SendState::NotSent,
            3,
            Duration::from_millis(300),
        ),
    ];
    for (method, retryability, sent, attempts, elapsed) in table {
        let (memory, client) = answering(&[error(retryability, sent)], exact(3));
        let start = Instant::now();
        let failed = client.build(method.clone(), URL).await.unwrap_err();
        let case = format!("{method} {retryability:?} {sent:?}");
        assert_eq!(failed.attempts(), attempts, "{case}");
        assert_eq!(memory.received().len(), attempts as usize, "{case}");
        assert_eq!(start.elapsed(), elapsed, "{case}");
    }
}

/// Retries 404 and `Internal` errors, and does not retry 503.
#[derive(Debug)]
struct CustomRules;

impl RetryPredicate for CustomRules {
    fn on_status(&self, status: StatusCode) -> Option<bool> {
        match status.as_u16() {
            404 => Some(true),
            503 => Some(false),
            _ => None,
        }
    }

    fn on_error(&self, error: &NetworkError) -> Option<bool> {
        (error.kind() == ErrorKind::Internal).then_some(true)
    }
}

#[tokio::test(start_paused = true)]
async fn a_predicate_decides_first() {
    let policy = || exact(2).with_predicate(Arc::new(CustomRules));
    let table = [
        (Reply::new(StatusCode::NOT_FOUND), 2),
        (busy(), 1),
        (Reply::new(StatusCode::BAD_GATEWAY), 2),
        (Reply::error(ErrorKind::Internal), 2),
        (Reply::error(ErrorKind::Protocol), 1),
    ];
    for (reply, attempts) in table {
        let (memory, client) = answering(std::slice::from_ref(&reply), policy());
        let _ = client.get(URL).await;
        assert_eq!(memory.received().len(), attempts, "{reply:?}");
        memory.clear_received();
        let _ = client.post(URL).await;
        assert_eq!(
            memory.received().len(),
            1,
            "not even a predicate repeats a POST: {reply:?}"
        );
    }
}

#[tokio::test]
async fn an_invalid_policy_of_a_request_names_its_field() {
    let (memory, client) = answering(&[Reply::ok()], exact(2));
    let options = RequestOptions::new().with_retry(exact(2).with_multiplier(0.5));
    let error = client.get(URL).options(options).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::InvalidInput, Some("retry.backoff.multiplier"))
    );
    let options = RequestOptions::new().with_retry(exact(0));
    let error = client.get(URL).options(options).await.unwrap_err();
    assert_eq!(error.field(), Some("retry.max_attempts"));
    assert!(memory.received().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_new_policy_applies_to_later_calls() {
    let (memory, client) = answering(&[busy()], RetryPolicy::disabled());
    client.get(URL).await.unwrap();
    client.configure_retry_policy(exact(3)).unwrap();
    client.get(URL).await.unwrap();
    assert_eq!(memory.received().len(), 1 + 3);
}

#[tokio::test(start_paused = true)]
async fn a_request_can_change_the_number_or_the_delays_of_retries() {
    // A status that only this policy retries, and delays of 100 ms and 200 ms.
    let policy = || exact(3).with_statuses([404]);
    let second = Duration::from_secs(1);
    let options = RequestOptions::new;
    for (options, attempts, millis) in [
        (options(), 3, 300),
        (options().with_retries(1), 2, 100),
        (options().with_retries(0), 1, 0),
        (options().with_retries(4), 5, 1_500),
        (options().with_retry_delay(second), 3, 2_000),
        (
            options().with_retry_backoff(Backoff::fixed(second * 2)).with_retries(1),
            2,
            2_000,
        ),
        // On top of a policy of the request.
        (options().with_retry(policy().with_retries(9)).with_retries(1), 2, 100),
        (
            options().with_retry(policy().with_retries(1)).with_retry_delay(second),
            2,
            1_000,
        ),
    ] {
        let (memory, client) = answering(&[Reply::new(StatusCode::NOT_FOUND)], policy());
        let start = Instant::now();
        client.get(URL).options(options.clone()).await.unwrap();
        assert_eq!(memory.received().len(), attempts, "{options:?}");
        assert_eq!(start.elapsed(), Duration::from_millis(millis), "{options:?}");
    }
    // A client without retries.
    let (memory, client) = answering(&[busy()], RetryPolicy::disabled());
    client.get(URL).retries(2).retry_delay(second).await.unwrap();
    assert_eq!(memory.received().len(), 3);
}

#[tokio::test]
async fn invalid_changes_of_a_request_name_their_field() {
    let (memory, client) = answering(&[Reply::ok()], exact(2));
    let options = RequestOptions::new;
    let backwards = Backoff::new(Duration::from_secs(2), Duration::from_secs(1));
    for (options, field) in [
        (options().with_retries(100), "retries"),
        (options().with_retries(u32::MAX), "retries"),
        (options().with_retry_backoff(backwards), "retry_backoff.maximum"),
        // A policy of one attempt is validated, too.
        (
            options().with_retry(RetryPolicy::disabled().with_multiplier(0.5)),
            "retry.backoff.multiplier",
        ),
        (
            options().with_retry(RetryPolicy::disabled().with_statuses([1])),
            "retry.statuses",
        ),
    ] {
        let error = client.get(URL).options(options).await.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
    }
    assert!(memory.received().is_empty());
}

#[tokio::test(start_paused = true)]
async fn idempotency_keys_are_sent_without_retries() {
    let (memory, client) = answering(&[Reply::ok()], exact(3).with_idempotency_keys(true));
    client.post(URL).retries(0).await.unwrap();
    client
        .post(URL)
        .retry(RetryPolicy::disabled().with_idempotency_keys(true))
        .await
        .unwrap();
    client.post(URL).retry(RetryPolicy::disabled()).await.unwrap();
    let keys: Vec<bool> = memory
        .received()
        .iter()
        .map(|request| request.header("idempotency-key").is_some())
        .collect();
    assert_eq!(keys, [true, true, false]);
}

#[tokio::test(start_paused = true)]
async fn each_host_has_its_own_budget() {
    let memory = MemoryHttpClient::serving(|_| async { Ok(HttpResponse::new(StatusCode::SERVICE_UNAVAILABLE)) });
    let policy = exact(2).with_budget(Some(RetryBudget::new(2, 0.5)));
    let client = RetryClient::new(memory.clone(), policy).unwrap();
    let sent = async |url: &str| {
        memory.clear_received();
        client.get(url).await.unwrap();
        memory.received().len()
    };
    for expected in [2, 2, 1, 1] {
        assert_eq!(sent("http://failing.test/x").await, expected);
    }
    assert_eq!(sent("http://other.test/x").await, 2, "another host");
    assert_eq!(sent("https://failing.test/x").await, 2, "another scheme");
    assert_eq!(sent("http://failing.test:81/x").await, 2, "another port");
    assert_eq!(sent("http://failing.test:80/y").await, 1, "the same host");
}

/// Failures that are retried in vain, and how often the inner client sends them.
#[tokio::test(start_paused = true)]
async fn attempts_do_not_multiply() {
    let hanging = || Reply::hang();
    let refused = || Reply::error(ErrorKind::ConnectionRefused);
    for (reply, method) in [
        (busy(), Method::GET),
        (busy().with_header("retry-after", "1").unwrap(), Method::GET),
        (refused(), Method::GET),
        (refused(), Method::POST),
        (hanging(), Method::GET),
    ] {
        let shown = format!("{method} {reply:?}");
        let memory = MemoryHttpClient::new();
        memory.route(method.clone(), "/x", reply).unwrap();
        let inner = || HttpClientBuilder::over(memory.clone()).retry(exact(3));
        let sent = |result: Result<HttpResponse, NetworkError>| {
            let error = result.and_then(HttpResponse::error_for_status).unwrap_err();
            assert_eq!(error.attempts(), 3, "{shown}: {error:?}");
            assert!(error.retryability().is_transient(), "{shown}: {error:?}");
            assert!(!error.retryability().is_retryable(), "{shown}: {error:?}");
            let sent = memory.received().len();
            memory.clear_received();
            sent
        };
        let call = |client: Arc<dyn HttpClient>| {
            let method = method.clone();
            async move { client.build(method, URL).await }
        };
        // Another wrapper, another client, and a client that raises statuses.
        let wrapped = RetryClient::new(inner().build().unwrap(), exact(5)).unwrap();
        assert_eq!(sent(call(Arc::new(wrapped)).await), 3, "{shown}");
        let stacked = HttpClientBuilder::over(inner().build().unwrap()).no_timeout();
        let stacked = stacked.build().unwrap();
        assert_eq!(sent(call(Arc::new(stacked)).await), 3, "{shown}");
        let raising = HttpClientBuilder::over(inner().raise_for_status(true).build().unwrap()).no_timeout();
        assert_eq!(sent(call(Arc::new(raising.build().unwrap())).await), 3, "{shown}");
        // The loop of a caller.
        let client: Arc<dyn HttpClient> = Arc::new(inner().build().unwrap());
        let mut result = call(Arc::clone(&client)).await.and_then(HttpResponse::error_for_status);
        while result.as_ref().is_err_and(|error| error.retryability().is_retryable()) {
            result = call(Arc::clone(&client)).await.and_then(HttpResponse::error_for_status);
        }
        assert_eq!(sent(result), 3, "{shown}");
    }

    // The outer wrapper retries what the inner one does not.
    let (memory, inner) = answering(&[busy()], RetryPolicy::disabled());
    let outer = RetryClient::new(inner, exact(4)).unwrap();
    outer.get(URL).await.unwrap();
    assert_eq!(memory.received().len(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_observer_sees_each_retry() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let observed = |policy: RetryPolicy| {
        let seen = Arc::clone(&seen);
        policy.on_retry(move |retry| {
            let reason = match retry.reason {
                RetryReason::Status(status) => status.to_string(),
                RetryReason::Error(error) => error.kind().to_string(),
                _ => "another".to_owned(),
            };
            let request = format!("{} {:?}", retry.request.method, retry.request.target);
            seen.lock()
                .push((retry.attempt, retry.delay.as_millis(), reason, request));
        })
    };
    let replies = [busy(), Reply::error(ErrorKind::ConnectionClosed), Reply::ok()];
    let (_, client) = answering(&replies, observed(exact(3)));
    client.get("http://api.test/x?token=secret").await.unwrap();
    let of = |attempt, millis, reason: &str| (attempt, millis, reason.to_owned(), "GET http://api.test/x".to_owned());
    let both = [of(1, 100, "503 Service Unavailable"), of(2, 200, "connection_closed")];
    let shown: Vec<_> = std::mem::take(&mut *seen.lock());
    assert_eq!(shown.len(), 2);
    for ((attempt, millis, reason, request), expected) in shown.into_iter().zip(both) {
        assert_eq!((attempt, millis, reason), (expected.0, expected.1, expected.2));
        assert!(
            request.starts_with(&expected.3) && !request.contains("secret"),
            "{request}"
        );
    }

    // The client's observer also sees the retries of requests with other policies; the last failure is no retry.
    let (_, client) = answering(&[busy()], observed(exact(2)));
    client.get(URL).await.unwrap();
    client.get(URL).retries(2).await.unwrap();
    client.get(URL).retry(exact(3)).await.unwrap();
    client.get(URL).retries(0).await.unwrap();
    assert_eq!(seen.lock().len(), 1 + 2 + 2);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_can_only_find_an_open_circuit_is_not_waited_for() {
    let second = Duration::from_secs(1);
    for reply in [busy(), Reply::error(ErrorKind::ConnectionRefused), Reply::hang()] {
        let shown = format!("{reply:?}");
        let config = CircuitBreakerConfig::new()
            .with_trip(TripPolicy::consecutive(2))
            .with_open(OpenPolicy::fixed(second * 20));
        let memory = MemoryHttpClient::new();
        memory.route(Method::GET, "/x", reply).unwrap();
        let client = HttpClientBuilder::over(memory.clone())
            .retry(exact(4))
            .timeout(second)
            .total_timeout(second * 60)
            .circuit_breaker(Arc::new(ModelBreaker::new(config)), HttpCircuitOptions::new())
            .build()
            .unwrap();
        let start = Instant::now();
        let result = client.get(URL).await;
        let error = result.and_then(HttpResponse::error_for_status).unwrap_err();
        assert_ne!(
            error.kind(),
            ErrorKind::CircuitOpen,
            "the last failure is the result: {shown}"
        );
        assert_eq!(error.attempts(), 2, "{shown}: {error:?}");
        assert!(start.elapsed() < second * 3, "{shown}: {:?}", start.elapsed());

        // While the circuit is open, calls fail at once.
        let start = Instant::now();
        let error = client.get(URL).await.unwrap_err();
        assert_eq!((error.kind(), error.attempts()), (ErrorKind::CircuitOpen, 1), "{shown}");
        assert!(
            error.retryability().delay().is_some_and(|delay| delay > second * 10),
            "{shown}: {error:?}"
        );
        assert_eq!(start.elapsed(), Duration::ZERO, "{shown}");
        assert_eq!(memory.received().len(), 2, "{shown}");

        // If a retry starts after the open time, the call waits.
        let start = Instant::now();
        let error = client.get(URL).retries(1).retry_delay(second * 25).await;
        let error = error.and_then(HttpResponse::error_for_status).unwrap_err();
        assert_eq!(error.attempts(), 2, "{shown}: {error:?}");
        assert!(start.elapsed() >= second * 25, "{shown}");
        assert_eq!(memory.received().len(), 3, "{shown}");
    }
}
