//! Waits, budgets and decisions of the retry wrapper.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::{StreamExt, stream};
use networking_http::layer::{Attempts, RetryClient};
use networking_http::{MemoryHttpClient, Reply};
use networking_runtime::clock::TokioClock;
use networking_spi::http::{
    HttpBody, HttpClient, HttpClientExt, Jitter, Method, RequestOptions, RetryBudget, RetryPolicy, RetryPredicate,
    StatusCode,
};
use networking_spi::{ErrorKind, NetworkError, Retryability, SendState};
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
