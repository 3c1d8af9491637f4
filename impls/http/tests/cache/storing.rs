//! Which responses are stored, and which are invalidated.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_http::cache::CacheStatus::{Bypass, Hit, Miss};
use networking_http::cache::{CacheConfig, CacheStore, MemoryCacheStore};
use networking_http::{MemoryHttpClient, Reply};
use networking_spi::http::{
    HttpBody, HttpClient, HttpClientExt, HttpRequest, HttpResponse, Method, RequestOptions, StatusCode,
};
use networking_spi::{ErrorKind, Result};
use tokio::sync::Notify;

use super::{Fixture, URL, origin};

const FRESH: &[(&str, &str)] = &[("cache-control", "max-age=60")];

/// An origin that sends `chunks` as a stream.
fn streaming(chunks: &'static [&'static str], announced: Option<u64>) -> MemoryHttpClient {
    MemoryHttpClient::serving(move |_| async move {
        let chunks = stream::iter(chunks).map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())));
        HttpResponse::new(StatusCode::OK)
            .with_body(HttpBody::stream(chunks.boxed(), announced))
            .with_header("cache-control", "max-age=60")
    })
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_stored_when_it_was_read_to_its_end() {
    let fixture = Fixture::of(streaming(&["ab", "cd", "e"], None), CacheConfig::default());
    for chunks_read in [0, 1, 3] {
        let (status, response) = fixture.send(Method::GET, URL, &[]).await;
        assert_eq!(status, Miss);
        let mut body = response.into_stream();
        for _ in 0..chunks_read {
            body.next().await.unwrap().unwrap();
        }
        drop(body);
        assert_eq!(fixture.cache.stats().stored, 0, "after {chunks_read} chunks");
    }
    let (_, response) = fixture.send(Method::GET, URL, &[]).await;
    assert_eq!(response.text().await.unwrap(), "abcde");
    assert_eq!(fixture.get(&[]).await, (Hit, "abcde".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn broken_and_short_bodies_are_not_stored() {
    let memory = MemoryHttpClient::new();
    let reply = Reply::ok()
        .with_header("cache-control", "max-age=60")
        .unwrap()
        .with_body("0123456789")
        .with_truncated_body(5);
    memory.route(Method::GET, "/x", reply).unwrap();
    let fixture = Fixture::of(memory, CacheConfig::default());
    for _ in 0..2 {
        let (status, response) = fixture.send(Method::GET, URL, &[]).await;
        assert_eq!(status, Miss);
        assert_eq!(response.text().await.unwrap_err().kind(), ErrorKind::TruncatedBody);
    }
    let fixture = Fixture::of(streaming(&["ab"], Some(5)), CacheConfig::default());
    assert_eq!(fixture.get(&[]).await.0, Miss);
    assert_eq!(fixture.get(&[]).await.0, Miss, "less than was announced");
}

#[tokio::test(start_paused = true)]
async fn the_size_limit_is_exact_and_passes_larger_bodies_on() {
    for (limit, announced, expected) in [(5, None, Hit), (4, None, Miss), (5, Some(5), Hit), (4, Some(5), Miss)] {
        let config = CacheConfig::new().with_max_entry_size(limit);
        let fixture = Fixture::of(streaming(&["ab", "cd", "e"], announced), config);
        assert_eq!(fixture.get(&[]).await, (Miss, "abcde".to_owned()));
        assert_eq!(
            fixture.get(&[]).await,
            (expected, "abcde".to_owned()),
            "{limit}, {announced:?}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_hit_obeys_the_requests_own_limits() {
    let fixture = Fixture::answering(FRESH);
    fixture.get(&[]).await;
    let limited = RequestOptions::new().with_max_response_size(0);
    let error = fixture.http.get(URL).options(limited).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooLarge);
    // An option that the inner client does not support is refused, too.
    let error = fixture.http.get(URL).timeout(Duration::from_secs(1)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn cookies_and_connection_headers_are_not_stored() {
    let fixture = Fixture::answering(&[
        ("cache-control", "max-age=60"),
        ("set-cookie", "session=1"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
        ("x-end", "1"),
    ]);
    let (_, response) = fixture.send(Method::GET, URL, &[]).await;
    assert!(
        response.headers.contains_key("set-cookie"),
        "the first response has all headers"
    );
    let (status, response) = fixture.send(Method::GET, URL, &[]).await;
    assert_eq!(status, Hit);
    let names: Vec<&str> = ["set-cookie", "connection", "x-hop", "x-end"]
        .into_iter()
        .filter(|name| response.headers.contains_key(*name))
        .collect();
    assert_eq!(names, ["x-end"]);
    assert_eq!(response.url.unwrap().as_str(), URL);
}

#[tokio::test(start_paused = true)]
async fn unsafe_methods_invalidate() {
    for (method, status, expected) in [
        (Method::POST, 200, Miss),
        (Method::PUT, 204, Miss),
        (Method::DELETE, 302, Miss),
        (Method::PATCH, 404, Hit),
        (Method::POST, 500, Hit),
        (Method::OPTIONS, 200, Hit),
    ] {
        let memory = origin(200, FRESH);
        memory
            .route(method.clone(), "/x", Reply::new(StatusCode::from_u16(status).unwrap()))
            .unwrap();
        let fixture = Fixture::of(memory, CacheConfig::default());
        for name in ["ada", "bob"] {
            fixture.get(&[("authorization", name)]).await;
        }
        assert_eq!(fixture.send(method.clone(), URL, &[]).await.0, Bypass);
        for name in ["ada", "bob"] {
            assert_eq!(
                fixture.get(&[("authorization", name)]).await.0,
                expected,
                "{method} {status}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn location_and_content_location_are_invalidated_on_the_same_origin() {
    let memory = origin(200, FRESH);
    let reply = Reply::new(StatusCode::CREATED)
        .with_header("location", "/users/7")
        .unwrap()
        .with_header("content-location", "http://other.test/users/8")
        .unwrap();
    memory.route(Method::POST, "/users", reply).unwrap();
    let fixture = Fixture::of(memory, CacheConfig::default());
    let urls = [
        "http://api.test/users/7",
        "http://other.test/users/8",
        "http://api.test/users",
    ];
    for url in urls {
        fixture.send(Method::GET, url, &[]).await;
    }
    fixture.send(Method::POST, "http://api.test/users", &[]).await;
    for (url, expected) in urls.into_iter().zip([Miss, Hit, Miss]) {
        assert_eq!(fixture.send(Method::GET, url, &[]).await.0, expected, "{url}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_post_that_may_have_arrived_invalidates() {
    for (kind, expected) in [(ErrorKind::Timeout, Miss), (ErrorKind::Dns, Hit)] {
        let memory = origin(200, FRESH);
        memory.route(Method::POST, "/x", Reply::error(kind)).unwrap();
        let fixture = Fixture::of(memory, CacheConfig::default());
        fixture.get(&[]).await;
        fixture.http.post(URL).await.unwrap_err();
        assert_eq!(fixture.get(&[]).await.0, expected, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_from_before_an_invalidation_is_not_stored_after_it() {
    let change = Arc::new(Notify::new());
    let changed = Arc::clone(&change);
    let memory = MemoryHttpClient::serving(move |request| {
        let changed = Arc::clone(&changed);
        async move {
            if request.method == Method::GET {
                changed.notified().await;
            }
            HttpResponse::new(StatusCode::OK).with_header("cache-control", "max-age=60")
        }
    });
    let fixture = Fixture::of(memory, CacheConfig::default());
    let (_, ()) = tokio::join!(fixture.get(&[]), async {
        fixture.send(Method::PUT, URL, &[]).await;
        change.notify_one();
    });
    change.notify_one();
    assert_eq!(fixture.get(&[]).await.0, Miss);
    assert_eq!(fixture.get(&[]).await.0, Hit);
}

#[derive(Debug, Default)]
struct SlowStore {
    records: MemoryCacheStore,
    putting: Notify,
    put: Notify,
    is_fast: AtomicBool,
}

#[async_trait]
impl CacheStore for SlowStore {
    async fn get(&self, key: &str) -> Result<Option<Bytes>> {
        self.records.get(key).await
    }

    async fn put(&self, key: &str, record: Bytes) -> Result<()> {
        if !self.is_fast.load(Relaxed) {
            self.putting.notify_one();
            self.put.notified().await;
        }
        self.records.put(key, record).await
    }

    async fn remove(&self, key: &str) -> Result<()> {
        self.records.remove(key).await
    }

    async fn clear(&self) -> Result<()> {
        self.records.clear().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_is_invalidated_while_it_is_stored_is_not_used() {
    let store = Arc::new(SlowStore::default());
    let fixture = Fixture::with_store(origin(200, FRESH), CacheConfig::default(), Arc::clone(&store) as _);
    let (first, ()) = tokio::join!(fixture.get(&[]), async {
        store.putting.notified().await;
        fixture.cache.invalidate(&URL.parse().unwrap()).await.unwrap();
        store.is_fast.store(true, Relaxed);
        store.put.notify_one();
    });
    assert_eq!(first, (Miss, "1".to_owned()));
    assert_eq!(fixture.get(&[]).await, (Miss, "2".to_owned()));
    assert_eq!(fixture.get(&[]).await, (Hit, "2".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn a_post_that_is_dropped_invalidates() {
    let memory = MemoryHttpClient::serving(|request| async move {
        if request.method == Method::POST {
            std::future::pending::<()>().await;
        }
        HttpResponse::new(StatusCode::OK).with_header("cache-control", "max-age=60")
    });
    let fixture = Fixture::of(memory, CacheConfig::default());
    fixture.get(&[]).await;
    let post = HttpRequest::new(Method::POST, URL);
    let dropped = tokio::time::timeout(Duration::from_secs(1), fixture.http.request(post)).await;
    assert!(dropped.is_err());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(fixture.get(&[]).await.0, Miss);
    assert_eq!(fixture.cache.stats().invalidated, 1);
}

#[tokio::test(start_paused = true)]
async fn redirected_responses_are_not_stored() {
    let memory = MemoryHttpClient::serving(|_| async {
        let mut response = HttpResponse::new(StatusCode::OK).with_header("cache-control", "max-age=60")?;
        response.url = "http://api.test/elsewhere".parse().ok();
        Ok(response)
    });
    let fixture = Fixture::of(memory, CacheConfig::default());
    assert_eq!(fixture.get(&[]).await.0, Miss);
    assert_eq!(fixture.get(&[]).await.0, Miss);
}

#[tokio::test(start_paused = true)]
async fn fragments_are_ignored_and_queries_are_not() {
    let fixture = Fixture::answering(FRESH);
    fixture.send(Method::GET, "http://api.test/x?a=1#top", &[]).await;
    assert_eq!(fixture.send(Method::GET, "http://api.test/x?a=1#end", &[]).await.0, Hit);
    assert_eq!(fixture.send(Method::GET, "http://api.test/x?a=2", &[]).await.0, Miss);
}

#[tokio::test(start_paused = true)]
async fn caches_share_a_store_by_partition() {
    let store = Arc::new(MemoryCacheStore::default());
    let fixture = |partition: &str| {
        let config = CacheConfig::new().with_partition(partition);
        Fixture::with_store(origin(200, FRESH), config, Arc::clone(&store) as _)
    };
    let (ada, again, bob) = (fixture("ada"), fixture("ada"), fixture("bob"));
    assert_eq!(ada.get(&[]).await.0, Miss);
    assert_eq!(again.get(&[]).await.0, Hit);
    assert_eq!(bob.get(&[]).await.0, Miss);
    again.cache.invalidate(&URL.parse().unwrap()).await.unwrap();
    assert_eq!((ada.get(&[]).await.0, bob.get(&[]).await.0), (Miss, Hit));
    bob.cache.clear().await.unwrap();
    assert_eq!(ada.get(&[]).await.0, Miss);
}

#[tokio::test(start_paused = true)]
async fn a_newer_response_that_is_not_stored_removes_the_old_one() {
    let memory = MemoryHttpClient::serving(|request| async move {
        let control = if request.header("cache-control").is_some() {
            "no-store"
        } else {
            "max-age=60"
        };
        HttpResponse::new(StatusCode::OK).with_header("cache-control", control)
    });
    let fixture = Fixture::of(memory, CacheConfig::default());
    fixture.get(&[]).await;
    assert_eq!(fixture.get(&[]).await.0, Hit);
    assert_eq!(fixture.get(&[("cache-control", "no-cache")]).await.0, Miss);
    assert_eq!(fixture.get(&[]).await.0, Miss);
}

#[test]
fn invalid_settings_name_their_field() {
    let store = || Arc::new(MemoryCacheStore::default());
    for (config, field) in [
        (CacheConfig::new().with_max_entry_size(0), "max_entry_size"),
        (
            CacheConfig::new().with_heuristic_fraction(f32::NAN),
            "heuristic_fraction",
        ),
    ] {
        let error = networking_http::cache::HttpCache::with_config(store(), config).unwrap_err();
        assert_eq!(error.field(), Some(field));
    }
    assert_eq!(MemoryCacheStore::new(0, 1).unwrap_err().field(), Some("max_bytes"));
    assert_eq!(MemoryCacheStore::new(1, 0).unwrap_err().field(), Some("max_records"));
}

#[tokio::test]
async fn without_a_cache_requests_are_passed_on_unchanged() {
    let memory = origin(200, FRESH);
    let client = networking_http::layer::CacheClient::new(memory.clone(), None);
    for _ in 0..2 {
        let response = client.get(URL).await.unwrap();
        assert!(response.extensions.is_empty());
    }
    assert_eq!(
        (memory.received().len(), client.capabilities()),
        (2, memory.capabilities())
    );
}
