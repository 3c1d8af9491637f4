//! The private HTTP cache: which responses it stores, when it uses them, and its stores.

mod disk;
mod failures;
mod rules;
mod stack;
mod storing;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use networking_http::MemoryHttpClient;
use networking_http::cache::{CacheConfig, CacheStatus, CacheStore, HttpCache, MemoryCacheStore};
use networking_http::layer::CacheClient;
use networking_runtime::clock::TokioClock;
use networking_spi::http::{HttpClientExt, HttpResponse, Method, StatusCode};

const URL: &str = "http://api.test/x";

/// 2026-01-01 plus `seconds`.
fn wall(seconds: i64) -> SystemTime {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_767_225_600);
    if seconds < 0 {
        start - Duration::from_secs(seconds.unsigned_abs())
    } else {
        start + Duration::from_secs(seconds.unsigned_abs())
    }
}

fn date(seconds: i64) -> String {
    httpdate::fmt_http_date(wall(seconds))
}

/// Replaces `{60}` by the date 60 seconds after the start of the test.
fn with_dates(value: &str) -> String {
    match value.strip_prefix('{').and_then(|value| value.strip_suffix('}')) {
        Some(seconds) => date(seconds.parse().unwrap()),
        None => value.to_owned(),
    }
}

/// A cache in front of an origin. All responses of the origin have the same headers; their bodies are `1`, `2`, and so on. A
/// request with a matching `If-None-Match` or `If-Modified-Since` gets a 304.
struct Fixture {
    http: CacheClient<MemoryHttpClient>,
    cache: HttpCache,
    origin: MemoryHttpClient,
}

impl Fixture {
    fn answering(headers: &[(&str, &str)]) -> Self {
        Self::of(origin(200, headers), CacheConfig::default())
    }

    fn of(origin: MemoryHttpClient, config: CacheConfig) -> Self {
        Self::with_store(origin, config, Arc::new(MemoryCacheStore::default()))
    }

    fn with_store(origin: MemoryHttpClient, config: CacheConfig, store: Arc<dyn CacheStore>) -> Self {
        let cache = HttpCache::with_config(store, config).unwrap();
        let clock = Arc::new(TokioClock::starting_at(wall(0)));
        let http = CacheClient::new(origin.clone(), Some(cache.clone())).with_clock(clock);
        Self { http, cache, origin }
    }

    /// The cache status and the body of a GET with these headers.
    async fn get(&self, headers: &[(&str, &str)]) -> (CacheStatus, String) {
        let (status, response) = self.send(Method::GET, URL, headers).await;
        (status, response.text().await.unwrap())
    }

    async fn send(&self, method: Method, url: &str, headers: &[(&str, &str)]) -> (CacheStatus, HttpResponse) {
        let mut request = self.http.build(method, url);
        for (name, value) in headers {
            request = request.header(*name, with_dates(value));
        }
        let response = request.await.unwrap();
        (*response.extensions.get().unwrap(), response)
    }

    /// The number of requests that the origin has received.
    fn asked(&self) -> usize {
        self.origin.received().len()
    }
}

fn origin(status: u16, headers: &[(&str, &str)]) -> MemoryHttpClient {
    let headers: Vec<(String, String)> = headers
        .iter()
        .map(|(name, value)| ((*name).to_owned(), with_dates(value)))
        .collect();
    let answers = AtomicUsize::new(0);
    MemoryHttpClient::serving(move |request| {
        let confirmed = [("if-none-match", "etag"), ("if-modified-since", "last-modified")]
            .into_iter()
            .find_map(|(condition, validator)| {
                let known = headers.iter().find(|(name, _)| name == validator);
                request
                    .header(condition)
                    .map(|value| known.is_some_and(|known| known.1 == value))
            })
            .unwrap_or(false);
        let mut response = if confirmed {
            HttpResponse::new(StatusCode::NOT_MODIFIED)
        } else {
            let body = (answers.fetch_add(1, Relaxed) + 1).to_string();
            HttpResponse::new(StatusCode::from_u16(status).unwrap()).with_body(body)
        };
        for (name, value) in &headers {
            response.headers.append(
                http::HeaderName::from_bytes(name.as_bytes()).unwrap(),
                value.parse().unwrap(),
            );
        }
        async { Ok(response) }
    })
}
