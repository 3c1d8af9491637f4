//! Stale responses in place of errors and waits, and failing stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use networking_http::cache::CacheStatus::{Hit, Miss, Stale};
use networking_http::cache::{CacheConfig, CacheStore};
use networking_http::{MemoryHttpClient, Reply};
use networking_spi::http::{HttpClientExt, Method, StatusCode};
use networking_spi::{ErrorKind, NetworkError, Result};

use super::{Fixture, URL, origin};

/// An origin whose first response has this `Cache-Control`, and whose later responses are `trouble`.
fn failing(control: &str, trouble: Reply) -> MemoryHttpClient {
    let memory = MemoryHttpClient::new();
    let first = Reply::ok()
        .with_header("cache-control", control)
        .unwrap()
        .with_header("etag", "\"a\"")
        .unwrap()
        .with_body("1");
    memory.route(Method::GET, "/x", [first, trouble]).unwrap();
    memory
}

/// Whether the first response is used in place of `trouble`, `seconds` later.
async fn is_used_stale(
    control: &str,
    trouble: Reply,
    seconds: u64,
    request: &[(&str, &str)],
    config: CacheConfig,
) -> bool {
    let fixture = Fixture::of(failing(control, trouble), config);
    fixture.get(&[]).await;
    tokio::time::advance(Duration::from_secs(seconds)).await;
    let mut call = fixture.http.get(URL);
    for (name, value) in request {
        call = call.header(*name, *value);
    }
    match call.await {
        Ok(response) if response.status == StatusCode::OK => {
            assert_eq!(response.extensions.get(), Some(&Stale));
            assert_eq!(response.headers["age"].to_str().unwrap(), seconds.to_string());
            assert_eq!(response.text().await.unwrap(), "1");
            true
        }
        _ => false,
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_response_is_used_during_an_outage() {
    const ALLOWED: &str = "max-age=5, stale-if-error=10";
    let status = |status: u16| Reply::new(StatusCode::from_u16(status).unwrap());
    let none = CacheConfig::default;
    for trouble in [500, 502, 503, 504] {
        assert!(
            is_used_stale(ALLOWED, status(trouble), 15, &[], none()).await,
            "{trouble}"
        );
    }
    for trouble in [
        ErrorKind::ConnectionRefused,
        ErrorKind::Dns,
        ErrorKind::Timeout,
        ErrorKind::CircuitOpen,
        ErrorKind::Protocol,
    ] {
        assert!(
            is_used_stale(ALLOWED, Reply::error(trouble), 15, &[], none()).await,
            "{trouble}"
        );
    }
    // Other statuses, and errors of the caller.
    assert!(!is_used_stale(ALLOWED, status(404), 15, &[], none()).await);
    assert!(!is_used_stale(ALLOWED, status(501), 15, &[], none()).await);
    assert!(!is_used_stale(ALLOWED, Reply::error(ErrorKind::InvalidInput), 15, &[], none()).await);
    assert!(!is_used_stale(ALLOWED, status(503), 16, &[], none()).await, "too old");
    assert!(
        !is_used_stale("max-age=5", status(503), 6, &[], none()).await,
        "not allowed"
    );
}

#[tokio::test(start_paused = true)]
async fn response_request_and_configuration_decide_about_stale_responses() {
    let down = || Reply::error(ErrorKind::ConnectionRefused);
    let configured = || CacheConfig::new().with_stale_if_error(Duration::from_secs(10));
    assert!(is_used_stale("max-age=5", down(), 15, &[], configured()).await);
    assert!(!is_used_stale("max-age=5", down(), 16, &[], configured()).await);
    assert!(!is_used_stale("max-age=5, stale-if-error=1", down(), 15, &[], configured()).await);
    let request = [("cache-control", "stale-if-error=100")];
    assert!(is_used_stale("max-age=5", down(), 50, &request, CacheConfig::default()).await);
    for strict in ["must-revalidate", "no-cache"] {
        let control = format!("max-age=5, stale-if-error=100, {strict}");
        assert!(!is_used_stale(&control, down(), 6, &[], configured()).await, "{strict}");
    }
    let request = [("cache-control", "no-cache")];
    assert!(!is_used_stale("max-age=5, stale-if-error=100", down(), 6, &request, configured()).await);
}

#[tokio::test(start_paused = true)]
async fn a_stale_response_stays_stored_during_an_outage() {
    let fixture = Fixture::of(
        failing("max-age=5, stale-if-error=100", Reply::new(StatusCode::BAD_GATEWAY)),
        CacheConfig::default(),
    );
    fixture.get(&[]).await;
    for _ in 0..3 {
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(fixture.get(&[]).await, (Stale, "1".to_owned()));
    }
    assert_eq!(fixture.asked(), 4, "each request was sent to the origin");
}

#[tokio::test(start_paused = true)]
async fn a_stale_response_is_used_while_a_new_one_is_fetched() {
    let control = [("cache-control", "max-age=5, stale-while-revalidate=10")];
    let fixture = Fixture::of(origin(200, &control), CacheConfig::default());
    fixture.get(&[]).await;
    tokio::time::advance(Duration::from_secs(15)).await;
    // The revalidation runs when this task yields. Two requests before that start only one.
    for _ in 0..2 {
        assert_eq!(fixture.get(&[]).await, (Stale, "1".to_owned()));
    }
    while fixture.cache.stats().stored < 2 {
        tokio::task::yield_now().await;
    }
    assert_eq!(fixture.get(&[]).await, (Hit, "2".to_owned()));
    assert_eq!(fixture.asked(), 2);

    tokio::time::advance(Duration::from_secs(16)).await;
    assert_eq!(fixture.get(&[]).await, (Miss, "3".to_owned()), "too old");
    tokio::time::advance(Duration::from_secs(6)).await;
    assert_eq!(
        fixture.get(&[("cache-control", "no-cache")]).await,
        (Miss, "4".to_owned())
    );
}

/// A store whose calls all fail, or whose `get` returns invalid records.
#[derive(Debug, Default)]
struct BrokenStore {
    calls: AtomicUsize,
    invalid_record: Option<Bytes>,
}

impl BrokenStore {
    fn outcome<V>(&self, value: V) -> Result<V> {
        self.calls.fetch_add(1, Relaxed);
        match &self.invalid_record {
            Some(_) => Ok(value),
            None => Err(NetworkError::new(ErrorKind::Internal, "test.store", "is broken")),
        }
    }
}

#[async_trait]
impl CacheStore for BrokenStore {
    async fn get(&self, _key: &str) -> Result<Option<Bytes>> {
        self.outcome(self.invalid_record.clone())
    }

    async fn put(&self, _key: &str, _record: Bytes) -> Result<()> {
        self.outcome(())
    }

    async fn remove(&self, _key: &str) -> Result<()> {
        self.outcome(())
    }

    async fn clear(&self) -> Result<()> {
        self.outcome(())
    }
}

#[tokio::test(start_paused = true)]
async fn a_failing_store_does_not_fail_requests() {
    for invalid_record in [None, Some(Bytes::new()), Some(Bytes::from_static(b"\x01\x01nonsense"))] {
        let store = Arc::new(BrokenStore {
            invalid_record: invalid_record.clone(),
            ..BrokenStore::default()
        });
        let answers = [("cache-control", "max-age=60")];
        let fixture = Fixture::with_store(origin(200, &answers), CacheConfig::default(), Arc::clone(&store) as _);
        for expected in ["1", "2"] {
            assert_eq!(fixture.get(&[]).await, (Miss, expected.to_owned()));
        }
        fixture.send(Method::DELETE, URL, &[]).await;
        let errors = fixture.cache.stats().store_errors;
        let calls = store.calls.load(Relaxed) as u64;
        assert_eq!(errors, if invalid_record.is_none() { calls } else { 0 });
        assert!(calls >= 5, "{calls}");
    }
}
