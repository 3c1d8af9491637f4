//! When a stored response is used: freshness, validation, directives of the request, `Vary`.

use std::time::Duration;

use networking_http::cache::CacheStatus::{self, Bypass, Hit, Miss, Revalidated, Stale};
use networking_http::cache::{CacheConfig, CacheStatus as Status};
use networking_spi::http::{Method, StatusCode};

use super::{Fixture, URL, origin};

type Headers = &'static [(&'static str, &'static str)];

/// The cache status of a second request, `seconds` after the first one.
async fn second(answer: Headers, seconds: u64, request: Headers) -> Status {
    let fixture = Fixture::answering(answer);
    assert_eq!(fixture.get(&[]).await, (Miss, "1".to_owned()));
    tokio::time::advance(Duration::from_secs(seconds)).await;
    let (status, body) = fixture.get(request).await;
    let from_origin = matches!(status, Miss | Bypass) && body == "2";
    let from_cache = matches!(status, Hit | Stale | Revalidated) && body == "1";
    assert!(from_origin || from_cache, "{answer:?}: {status} with body {body}");
    status
}

async fn check(cases: &[(Headers, u64, Headers, CacheStatus)]) {
    for (answer, seconds, request, expected) in cases {
        let status = second(answer, *seconds, request).await;
        assert_eq!(status, *expected, "{answer:?}, {seconds} s later, {request:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn freshness_follows_the_response_headers() {
    check(&[
        (&[("cache-control", "max-age=60")], 59, &[], Hit),
        (&[("cache-control", "max-age=60")], 60, &[], Miss),
        (&[("cache-control", "MAX-AGE=60")], 59, &[], Hit),
        (&[("cache-control", "max-age=\"60\"")], 59, &[], Hit),
        (
            &[("cache-control", "max-age=99999999999999999999")],
            1_000_000,
            &[],
            Hit,
        ),
        (&[("cache-control", "max-age=-5")], 0, &[], Miss),
        (&[("cache-control", "max-age=0")], 0, &[], Miss),
        (&[("cache-control", "foo=\"max-age=60\"")], 1, &[], Miss),
        (&[("cache-control", "foo=\"a, no-store\", max-age=60")], 1, &[], Hit),
        (&[("cache-control", "private, max-age=60")], 1, &[], Hit),
        // A private cache ignores directives for shared caches.
        (&[("cache-control", "s-maxage=60")], 1, &[], Miss),
        (&[("cache-control", "s-maxage=0, max-age=60")], 1, &[], Hit),
        (&[("cache-control", "no-store, max-age=60")], 1, &[], Miss),
        (&[("cache-control", "no-cache, max-age=60")], 1, &[], Miss),
        (&[("expires", "{60}")], 59, &[], Hit),
        (&[("expires", "{60}")], 60, &[], Miss),
        (
            &[("expires", "{60}"), ("date", "{0}"), ("cache-control", "max-age=1")],
            2,
            &[],
            Miss,
        ),
        (&[("expires", "{-60}"), ("cache-control", "max-age=60")], 1, &[], Hit),
        (&[("expires", "0")], 0, &[], Miss),
        (&[("expires", "Thursday, 01-Jan-26 01:00:00 GMT")], 60, &[], Hit),
        // `Age` and `Date` count towards the age.
        (&[("cache-control", "max-age=60"), ("age", "30")], 29, &[], Hit),
        (&[("cache-control", "max-age=60"), ("age", "30")], 30, &[], Miss),
        (
            &[("cache-control", "max-age=60"), ("age", "18446744073709551615")],
            5,
            &[],
            Miss,
        ),
        (&[("cache-control", "max-age=60"), ("date", "{-30}")], 30, &[], Miss),
        (&[("cache-control", "max-age=60"), ("date", "{3000}")], 30, &[], Hit),
        (&[("cache-control", "max-age=60"), ("date", "nonsense")], 30, &[], Hit),
        // A tenth of the time since the last change.
        (&[("last-modified", "{-1000}")], 99, &[], Hit),
        (&[("last-modified", "{-1000}")], 101, &[], Revalidated),
        (&[], 0, &[], Miss),
        // `immutable` does not make a response fresh.
        (&[("cache-control", "immutable")], 1, &[], Miss),
        (&[("cache-control", "immutable"), ("expires", "0")], 1, &[], Miss),
        (&[("cache-control", "immutable, max-age=60")], 59, &[], Hit),
    ])
    .await;
}

/// RFC 9111, sections 4.2.1 and 5.1: of several values the first counts; an invalid `Age` is ignored; a response with an invalid
/// `max-age` or `Expires` is stale.
#[tokio::test(start_paused = true)]
async fn the_first_of_several_values_counts() {
    const MAX_AGE: (&str, &str) = ("cache-control", "max-age=60");
    check(&[
        (&[MAX_AGE, ("age", "7200, 0")], 0, &[], Miss),
        (&[MAX_AGE, ("age", "0, 7200")], 59, &[], Hit),
        (&[MAX_AGE, ("age", "7200"), ("age", "0")], 0, &[], Miss),
        (&[MAX_AGE, ("age", "0"), ("age", "7200")], 59, &[], Hit),
        (&[MAX_AGE, ("age", " , 7200")], 0, &[], Miss),
        (&[MAX_AGE, ("age", ""), ("age", "7200")], 0, &[], Miss),
        // An invalid first value is ignored together with the others.
        (&[MAX_AGE, ("age", "x, 7200")], 59, &[], Hit),
        (&[MAX_AGE, ("age", "x"), ("age", "7200")], 59, &[], Hit),
        (&[MAX_AGE, ("age", "-7200")], 59, &[], Hit),
        (&[MAX_AGE, ("age", "+7200")], 59, &[], Hit),
        (&[MAX_AGE, ("age", "7200.5")], 59, &[], Hit),
        (&[MAX_AGE, ("age", "7200;foo=bar")], 59, &[], Hit),
        (&[MAX_AGE, ("age", "\"7200\"")], 59, &[], Hit),
        (&[MAX_AGE, ("age", "0x7200")], 59, &[], Hit),
        (&[MAX_AGE, ("age", "99999999999999999999999999")], 0, &[], Miss),
        (&[MAX_AGE, ("age", "00000000000000000000000007200")], 0, &[], Miss),
        (&[("expires", "{60}"), ("expires", "{-60}")], 59, &[], Hit),
        (&[("expires", "{-60}"), ("expires", "{60}")], 0, &[], Miss),
        (&[("expires", "0"), ("expires", "{60}")], 0, &[], Miss),
        (
            &[(
                "expires",
                "Thu, 01 Jan 2026 00:01:00 GMT, Wed, 31 Dec 2025 00:00:00 GMT",
            )],
            59,
            &[],
            Hit,
        ),
        (
            &[(
                "expires",
                "Wed, 31 Dec 2025 00:00:00 GMT, Thu, 01 Jan 2026 00:01:00 GMT",
            )],
            0,
            &[],
            Miss,
        ),
        (
            &[("expires", "Thu Jan  1 00:01:00 2026, Thu Jan  1 00:00:00 2026")],
            59,
            &[],
            Hit,
        ),
        (&[MAX_AGE, ("date", "{-50}"), ("date", "{0}")], 10, &[], Miss),
        (&[MAX_AGE, ("date", "{0}"), ("date", "{-50}")], 59, &[], Hit),
        (&[("cache-control", "max-age=60, max-age=0")], 59, &[], Hit),
        (&[("cache-control", "max-age=0, max-age=60")], 0, &[], Miss),
        (
            &[("cache-control", "max-age=0"), ("cache-control", "max-age=60")],
            0,
            &[],
            Miss,
        ),
        (&[("cache-control", "max-age=x, max-age=60")], 0, &[], Miss),
        (&[("cache-control", "max-age=60s")], 0, &[], Miss),
        (&[("cache-control", "max-age='60'")], 0, &[], Miss),
        (&[("cache-control", "max-age=\"60")], 0, &[], Miss),
        (&[("cache-control", "max-age=")], 0, &[], Miss),
        (&[("cache-control", "max-age=x"), ("expires", "{60}")], 0, &[], Miss),
        // A conflict is resolved in favor of the stricter directive.
        (&[("cache-control", "max-age=60, no-store")], 0, &[], Miss),
        (&[("cache-control", "foo=\"bar, max-age=60, no-store")], 0, &[], Miss),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn directives_of_the_request_are_obeyed() {
    const FRESH: Headers = &[("cache-control", "max-age=60"), ("etag", "\"a\"")];
    const STALE: Headers = &[("cache-control", "max-age=5"), ("etag", "\"a\"")];
    const STRICT: Headers = &[("cache-control", "max-age=5, must-revalidate"), ("etag", "\"a\"")];
    const NO_CACHE: Headers = &[("cache-control", "max-age=60, no-cache"), ("etag", "\"a\"")];
    check(&[
        (FRESH, 10, &[("cache-control", "no-cache")], Revalidated),
        (FRESH, 10, &[("pragma", "no-cache")], Revalidated),
        (
            FRESH,
            10,
            &[("pragma", "no-cache"), ("cache-control", "max-age=20")],
            Hit,
        ),
        (FRESH, 10, &[("cache-control", "max-age=5")], Revalidated),
        (FRESH, 10, &[("cache-control", "min-fresh=49")], Hit),
        (FRESH, 10, &[("cache-control", "min-fresh=51")], Revalidated),
        (FRESH, 10, &[("cache-control", "no-store")], Bypass),
        (STALE, 10, &[("cache-control", "max-stale")], Stale),
        (STALE, 10, &[("cache-control", "max-stale=6")], Stale),
        (STALE, 10, &[("cache-control", "max-stale=4")], Revalidated),
        (STRICT, 10, &[("cache-control", "max-stale")], Revalidated),
        (NO_CACHE, 10, &[("cache-control", "max-stale")], Revalidated),
        (FRESH, 10, &[("cache-control", "only-if-cached")], Hit),
        // Requests with conditions or ranges are passed on to the origin.
        (FRESH, 10, &[("if-none-match", "\"other\"")], Bypass),
        (FRESH, 10, &[("if-modified-since", "{0}")], Bypass),
        (FRESH, 10, &[("range", "bytes=0-0")], Bypass),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn only_if_cached_never_reaches_the_origin() {
    let fixture = Fixture::answering(&[("cache-control", "max-age=5"), ("etag", "\"a\"")]);
    let only = [("cache-control", "only-if-cached")];
    let (status, response) = fixture.send(Method::GET, URL, &only).await;
    assert_eq!((status, response.status), (Miss, StatusCode::GATEWAY_TIMEOUT));
    fixture.get(&[]).await;
    tokio::time::advance(Duration::from_secs(9)).await;
    let (_, response) = fixture.send(Method::GET, URL, &only).await;
    assert_eq!(response.status, StatusCode::GATEWAY_TIMEOUT, "stale");
    for headers in [
        [("cache-control", "only-if-cached, no-store"), ("accept", "*/*")],
        [("cache-control", "only-if-cached"), ("range", "bytes=0-1")],
    ] {
        let (_, response) = fixture.send(Method::GET, URL, &headers).await;
        assert_eq!(response.status, StatusCode::GATEWAY_TIMEOUT, "{headers:?}");
    }
    assert_eq!(fixture.asked(), 1);
}

#[tokio::test(start_paused = true)]
async fn heuristics_can_be_disabled() {
    let headers = [("last-modified", "{-1000}")];
    let config = CacheConfig::new().with_heuristic_fraction(0.0);
    let fixture = Fixture::of(origin(200, &headers), config);
    fixture.get(&[]).await;
    assert_eq!(fixture.get(&[]).await.0, Revalidated);
}

#[tokio::test(start_paused = true)]
async fn which_statuses_are_stored() {
    const EXPLICIT: Headers = &[("cache-control", "max-age=60")];
    for (status, expected) in [
        (200, Hit),
        (203, Hit),
        (204, Hit),
        (404, Hit),
        (410, Hit),
        (501, Hit),
        (206, Miss),
        (301, Miss),
        (302, Miss),
        (500, Miss),
        (503, Miss),
        (599, Miss),
    ] {
        let fixture = Fixture::of(origin(status, EXPLICIT), CacheConfig::default());
        fixture.get(&[]).await;
        let (cache_status, response) = fixture.send(Method::GET, URL, &[]).await;
        assert_eq!((cache_status, response.status.as_u16()), (expected, status));
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_renews_the_stored_response() {
    let fixture = Fixture::answering(&[
        ("cache-control", "max-age=10"),
        ("etag", "W/\"a\""),
        ("last-modified", "{-5}"),
        ("link", "<a>"),
        ("link", "<b>"),
        ("date", "{0}"),
    ]);
    fixture.get(&[]).await;
    tokio::time::advance(Duration::from_secs(8)).await;
    let (status, response) = fixture.send(Method::GET, URL, &[]).await;
    assert_eq!((status, response.headers["age"].to_str().unwrap()), (Hit, "8"));
    assert_eq!(response.headers.get_all("link").iter().count(), 2, "no value is lost");
    tokio::time::advance(Duration::from_secs(8)).await;
    assert_eq!(fixture.get(&[]).await, (Revalidated, "1".to_owned()));
    let asked = &fixture.origin.received()[1];
    assert_eq!(asked.header("if-none-match"), Some("W/\"a\""));
    assert_eq!(asked.header("if-modified-since"), Some(super::date(-5).as_str()));
    let counted = fixture.cache.stats();
    assert_eq!(
        (counted.hits, counted.misses, counted.revalidated, counted.stored),
        (1, 1, 1, 2)
    );
}

#[tokio::test(start_paused = true)]
async fn a_304_updates_the_stored_headers() {
    let memory = networking_http::MemoryHttpClient::new();
    let reply = |status: u16, headers: &[(&str, &str)]| {
        headers.iter().fold(
            networking_http::Reply::new(StatusCode::from_u16(status).unwrap()),
            |reply, (name, value)| reply.with_header(name, value).unwrap(),
        )
    };
    let first = [
        ("cache-control", "max-age=5"),
        ("etag", "\"a\""),
        ("x-old", "1"),
        ("x-changed", "1"),
        ("content-length", "4"),
    ];
    let confirmation = [
        ("cache-control", "max-age=100"),
        ("etag", "\"a\""),
        ("x-changed", "2"),
        ("x-new", "1"),
        ("content-length", "0"),
    ];
    memory
        .route(
            Method::GET,
            "/x",
            [reply(200, &first).with_body("body"), reply(304, &confirmation)],
        )
        .unwrap();
    let fixture = Fixture::of(memory, CacheConfig::default());
    fixture.get(&[]).await;
    tokio::time::advance(Duration::from_secs(6)).await;
    for expected in [Revalidated, Hit] {
        let (status, response) = fixture.send(Method::GET, URL, &[]).await;
        let shown = |name| response.headers.get(name).map(|value| value.to_str().unwrap());
        assert_eq!(status, expected);
        assert_eq!(
            [
                shown("x-old"),
                shown("x-changed"),
                shown("x-new"),
                shown("content-length")
            ],
            [Some("1"), Some("2"), Some("1"), Some("4")]
        );
        assert_eq!(response.text().await.unwrap(), "body");
        tokio::time::advance(Duration::from_secs(99)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_304_for_another_version_is_ignored() {
    let memory = networking_http::MemoryHttpClient::serving(|request| async move {
        let response = match request.header("if-none-match") {
            Some(_) => {
                networking_spi::http::HttpResponse::new(StatusCode::NOT_MODIFIED).with_header("etag", "\"b\"")?
            }
            None => networking_spi::http::HttpResponse::new(StatusCode::OK)
                .with_header("etag", "\"a\"")?
                .with_body("whole"),
        };
        Ok(response)
    });
    let fixture = Fixture::of(memory, CacheConfig::default());
    fixture.get(&[]).await;
    assert_eq!(fixture.get(&[]).await, (Miss, "whole".to_owned()));
    assert_eq!(fixture.asked(), 3);
}

#[tokio::test(start_paused = true)]
async fn vary_selects_the_stored_response() {
    let fixture = Fixture::answering(&[("cache-control", "max-age=60"), ("vary", "Accept, x-b")]);
    let json = [("accept", "application/json, text/plain")];
    assert_eq!(fixture.get(&json).await, (Miss, "1".to_owned()));
    assert_eq!(fixture.get(&[("accept", "text/html")]).await, (Miss, "2".to_owned()));
    assert_eq!(fixture.get(&[]).await, (Miss, "3".to_owned()));
    assert_eq!(
        fixture.get(&[("accept", "")]).await,
        (Miss, "4".to_owned()),
        "empty is not absent"
    );
    // Whitespace, and headers that `Vary` does not name, are ignored.
    assert_eq!(
        fixture
            .get(&[("accept", "application/json,text/plain"), ("x-c", "1")])
            .await,
        (Hit, "1".to_owned())
    );
    assert_eq!(fixture.get(&[("accept", "text/html")]).await, (Hit, "2".to_owned()));
    assert_eq!(fixture.get(&[]).await, (Hit, "3".to_owned()));

    for vary in ["*", "accept, *"] {
        let fixture = Fixture::answering(&[("cache-control", "max-age=60"), ("vary", vary)]);
        fixture.get(&[]).await;
        assert_eq!(fixture.get(&[]).await.0, Miss, "{vary}");
    }
}

#[tokio::test(start_paused = true)]
async fn responses_are_separated_by_credentials() {
    for name in ["authorization", "cookie", "x-api-key", "x-session-token"] {
        let fixture = Fixture::answering(&[("cache-control", "max-age=60")]);
        assert_eq!(fixture.get(&[(name, "ada")]).await, (Miss, "1".to_owned()));
        assert_eq!(fixture.get(&[(name, "bob")]).await, (Miss, "2".to_owned()), "{name}");
        assert_eq!(fixture.get(&[]).await, (Miss, "3".to_owned()), "{name}");
        assert_eq!(fixture.get(&[(name, "ada")]).await, (Hit, "1".to_owned()), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_is_answered_from_a_stored_get_and_revalidates_it() {
    let fixture = Fixture::answering(&[("cache-control", "max-age=10"), ("etag", "\"a\"")]);
    let (status, _) = fixture.send(Method::HEAD, URL, &[]).await;
    assert_eq!(status, Miss);
    assert_eq!(fixture.get(&[]).await.0, Miss, "a HEAD stores nothing");
    let (status, response) = fixture.send(Method::HEAD, URL, &[]).await;
    assert_eq!((status, response.headers["etag"].to_str().unwrap()), (Hit, "\"a\""));
    assert!(response.bytes().await.unwrap().is_empty());

    tokio::time::advance(Duration::from_secs(11)).await;
    assert_eq!(fixture.send(Method::HEAD, URL, &[]).await.0, Miss);
    assert_eq!(
        fixture.get(&[]).await.0,
        Hit,
        "the HEAD has confirmed the stored response"
    );
}

#[tokio::test(start_paused = true)]
async fn a_head_with_another_etag_invalidates_the_stored_response() {
    let memory = networking_http::MemoryHttpClient::serving(|request| async move {
        let tag = if request.method == Method::HEAD {
            "\"new\""
        } else {
            "\"old\""
        };
        networking_spi::http::HttpResponse::new(StatusCode::OK)
            .with_header("etag", tag)?
            .with_header("cache-control", "max-age=10")
    });
    let fixture = Fixture::of(memory, CacheConfig::default());
    fixture.get(&[]).await;
    assert_eq!(
        fixture
            .send(Method::HEAD, URL, &[("cache-control", "no-cache")])
            .await
            .0,
        Miss
    );
    assert_eq!(fixture.get(&[]).await.0, Miss);
}

#[tokio::test(start_paused = true)]
async fn a_head_with_another_length_invalidates_the_stored_response() {
    let memory = networking_http::MemoryHttpClient::serving(|request| async move {
        let length = if request.method == Method::HEAD { "5" } else { "4" };
        networking_spi::http::HttpResponse::new(StatusCode::OK)
            .with_body("text")
            .with_header("etag", "\"same\"")?
            .with_header("cache-control", "max-age=10")?
            .with_header("content-length", length)
    });
    let fixture = Fixture::of(memory, CacheConfig::default());
    fixture.get(&[]).await;
    fixture.send(Method::HEAD, URL, &[("cache-control", "no-cache")]).await;
    assert_eq!(fixture.get(&[]).await.0, Miss);
}
