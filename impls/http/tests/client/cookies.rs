//! Cookies.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use networking_http::layer::{CookieClient, Credentials, WithoutCredentials};
use networking_http::{CookieJar, HttpClientBuilder, MemoryHttpClient, Reply, StandardHttpClient};
use networking_runtime::clock::TokioClock;
use networking_spi::ErrorKind;
use networking_spi::clock::Clock;
use networking_spi::http::{HttpClientExt, HttpRequest, Method, StatusCode};
use networking_spi::prelude::*;
use url::Url;

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

fn sent(jar: &CookieJar, to: &str) -> String {
    let header = jar.header(&url(to));
    header.map_or_else(String::new, |value| value.to_str().unwrap().to_owned())
}

/// Each row: a cookie that `from` sets, URLs that it is sent to, and URLs that it is not sent to.
#[tokio::test]
async fn cookies_are_sent_to_matching_urls() {
    for (from, cookie, to, not_to) in [
        (
            "https://api.example.com/a/b",
            "c=1",
            &[
                "https://api.example.com/a/x",
                "https://api.example.com:8443/a",
                "http://api.example.com/a/",
            ][..],
            &[
                "https://example.com/a/b",
                "https://x.api.example.com/a/b",
                "https://api.example.com/",
                "https://api.example.com/ab",
            ][..],
        ),
        (
            "https://api.example.com/a/b",
            "c=1; Path=/",
            &["https://api.example.com/", "https://api.example.com/z"],
            &["https://example.com/"],
        ),
        (
            "https://api.example.com/",
            "c=1; Domain=.EXAMPLE.com; Path=/a",
            &["https://example.com/a", "https://x.y.example.com/a/b"],
            &[
                "https://badexample.com/a",
                "https://example.com/ab",
                "https://example.com.evil.test/a",
            ],
        ),
        (
            "https://api.example.com/",
            "c=1; Secure; HttpOnly",
            &["https://api.example.com/"],
            &["http://api.example.com/"],
        ),
        (
            "http://127.0.0.1:8080/",
            "c=1; Secure",
            &["http://127.0.0.1:9090/"],
            &["http://127.0.0.2/"],
        ),
        ("http://[::1]/", "c=1", &["http://[::1]:81/"], &["http://localhost/"]),
        // The host is a public suffix, so the cookie is for this host only.
        (
            "https://github.io/",
            "c=1; Domain=github.io",
            &["https://github.io/"],
            &["https://me.github.io/"],
        ),
        (
            "https://host/",
            "c=1; Domain=host",
            &["https://host/"],
            &["https://a.host/"],
        ),
    ] {
        let jar = CookieJar::new();
        jar.set(&url(from), cookie).unwrap();
        for to in to {
            assert_eq!(sent(&jar, to), "c=1", "{cookie} of {from} to {to}");
        }
        for to in not_to {
            assert_eq!(sent(&jar, to), "", "{cookie} of {from} to {to}");
        }
    }
}

#[tokio::test]
async fn cookies_that_their_host_may_not_set_are_refused() {
    let long = format!("c={}", "x".repeat(5_000));
    for (from, cookie) in [
        ("https://me.co.uk/", "c=1; Domain=co.uk"),
        ("https://me.github.io/", "c=1; Domain=github.io"),
        ("https://example.com/", "c=1; Domain=com"),
        ("https://a.internal/", "c=1; Domain=internal"),
        ("https://example.com/", "c=1; Domain=other.com"),
        ("https://example.com/", "c=1; Domain=a.example.com"),
        ("https://127.0.0.1/", "c=1; Domain=0.0.1"),
        ("http://example.com/", "c=1; Secure"),
        ("http://example.com/", "__Secure-c=1"),
        ("https://example.com/", "__secure-c=1"),
        ("https://example.com/", "__Host-c=1; Secure"),
        ("https://example.com/", "__Host-c=1; Secure; Path=/; Domain=example.com"),
        ("https://example.com/", "__HOST-c=1; Secure; Path=/x"),
        ("https://example.com/", "__host-c=1; Path=/"),
        ("https://example.com/", "=__Secure-c; Secure; Path=/"),
        ("https://example.com/", "__secure-c; Secure"),
        ("https://example.com/", "=__HOST-c=1; Secure; Path=/"),
        ("https://example.com/", "c=1; Domain=ex\u{e4}mple.com"),
        ("https://example.com/", ""),
        ("https://example.com/", " = ; Path=/"),
        ("https://example.com/", "c=a\u{1}b"),
        ("https://example.com/", "c=1; Path=/\u{7f}"),
        ("https://example.com/", &long),
    ] {
        let jar = CookieJar::new();
        let error = jar.set(&url(from), cookie).unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("cookie")),
            "{cookie}"
        );
        assert!(jar.is_empty(), "{cookie}");
    }
    let jar = CookieJar::new();
    jar.set(&url("https://example.com/"), "__Host-c=1; Secure; Path=/")
        .unwrap();
    jar.set(&url("https://example.com/"), "__Secure-d=1; Secure").unwrap();
    assert_eq!(sent(&jar, "https://example.com/"), "__Host-c=1; __Secure-d=1");
}

#[tokio::test]
async fn an_insecure_host_cannot_replace_a_secure_cookie() {
    let jar = CookieJar::new();
    jar.set(&url("https://example.com/"), "session=good; Secure; Path=/")
        .unwrap();
    for forged in [
        "session=bad; Path=/",
        "session=bad; Domain=example.com",
        "session=; Max-Age=0; Path=/",
    ] {
        jar.set(&url("http://example.com/login"), forged).unwrap_err();
    }
    assert_eq!(sent(&jar, "https://example.com/"), "session=good");
}

#[tokio::test(start_paused = true)]
async fn an_insecure_host_cannot_shadow_a_secure_cookie_of_another_one() {
    // Each row: a host and its secure cookie, a host and its cookie over plain HTTP, and whether the latter is accepted.
    for (safe, secure, from, other, taken) in [
        (
            "www.example.com",
            "c=1",
            "evil.example.com",
            "c=2; Domain=example.com",
            false,
        ),
        (
            "www.example.com",
            "c=1; Domain=example.com",
            "evil.example.com",
            "c=2",
            false,
        ),
        (
            "www.example.com",
            "c=1; Path=/",
            "www.example.com",
            "c=2; Path=/deep",
            false,
        ),
        (
            "www.example.com",
            "c=1; Path=/a/",
            "www.example.com",
            "c=2; Path=/a/b",
            false,
        ),
        ("www.example.com", "c=1", "other.example.com", "c=2", true),
        (
            "www.example.com",
            "c=1",
            "evil.example.com",
            "d=2; Domain=example.com",
            true,
        ),
        (
            "www.example.com",
            "c=1; Path=/a",
            "www.example.com",
            "c=2; Path=/ab",
            true,
        ),
        (
            "www.example.com",
            "c=1; Path=/a",
            "www.example.com",
            "c=2; Path=/",
            true,
        ),
        ("a.example.com", "c=1", "ba.example.com", "c=2", true),
    ] {
        let jar = CookieJar::new();
        jar.set(&url(&format!("https://{safe}/")), format!("{secure}; Secure"))
            .unwrap();
        let set = jar.set(&url(&format!("http://{from}/")), other);
        assert_eq!(set.is_ok(), taken, "{other} of {from} beside {secure} of {safe}");
    }
    let jar = CookieJar::new();
    jar.set(&url("https://example.com/"), "c=1; Secure; Max-Age=60")
        .unwrap();
    tokio::time::advance(Duration::from_secs(60)).await;
    jar.set(&url("http://example.com/"), "c=2").unwrap();
    assert_eq!(
        sent(&jar, "http://example.com/"),
        "c=2",
        "the secure cookie has expired"
    );
}

#[tokio::test(start_paused = true)]
async fn cookies_expire() {
    let jar = CookieJar::new();
    let from = url("https://example.com/");
    for cookie in [
        "session=1",
        "short=1; Max-Age=10",
        // `Max-Age` takes precedence.
        "both=1; Max-Age=20; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "long=1; Max-Age=999999999999999",
        "far=1; Expires=Fri, 31 Dec 9999 23:59:59 GMT",
        "past=1; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        "negative=1; Max-Age=-5",
    ] {
        jar.set(&from, cookie).unwrap();
    }
    let names = |jar: &CookieJar| sent(jar, "https://example.com/").replace("=1", "");
    assert_eq!(names(&jar), "session; short; both; long; far");
    tokio::time::advance(Duration::from_secs(10)).await;
    assert_eq!(names(&jar), "session; both; long; far");
    tokio::time::advance(Duration::from_secs(401 * 86_400)).await;
    assert_eq!(names(&jar), "session", "no cookie is kept for more than 400 days");
}

#[tokio::test]
async fn a_cookie_replaces_one_with_the_same_name_and_keeps_its_position() {
    let jar = CookieJar::new();
    let from = url("https://example.com/");
    jar.set(&from, "a=1").unwrap();
    jar.set(&from, "b=1").unwrap();
    jar.set(&from, "a=2").unwrap();
    jar.set(&from, "deep=1; Path=/x").unwrap();
    assert_eq!(
        sent(&jar, "https://example.com/x"),
        "deep=1; a=2; b=1",
        "longer paths come first"
    );
    jar.set(&from, "a=; Max-Age=0").unwrap();
    assert_eq!(sent(&jar, "https://example.com/"), "b=1");
    assert_eq!(jar.len(), 2);
    jar.clear();
    assert_eq!(sent(&jar, "https://example.com/x"), "");
}

#[tokio::test(start_paused = true)]
async fn a_jar_can_be_exported_and_imported() {
    let jar = CookieJar::new();
    let from = url("https://app.example.com/");
    jar.set(&from, "session=s3cr3t; HttpOnly").unwrap();
    jar.set(&from, "wide=2; Domain=example.com; Path=/; Secure").unwrap();
    jar.set(&from, "brief=3; Max-Age=60").unwrap();
    jar.set(&from, "gone=4; Max-Age=1").unwrap();
    tokio::time::advance(Duration::from_secs(2)).await;
    let json = jar.export_json().unwrap();
    let restored = CookieJar::new();
    assert_eq!(restored.import_json(&json).unwrap(), 3);
    assert_eq!(
        sent(&restored, "https://app.example.com/"),
        "session=s3cr3t; wide=2; brief=3"
    );
    assert_eq!(sent(&restored, "https://example.com/"), "wide=2");
    assert_eq!(sent(&restored, "http://example.com/"), "");
    tokio::time::advance(Duration::from_secs(60)).await;
    assert_eq!(sent(&restored, "https://app.example.com/"), "session=s3cr3t; wide=2");
    assert!(!format!("{jar:?} {restored:?}").contains("s3cr3t"));
}

/// A clock that is ahead by a fixed time.
#[derive(Debug)]
struct AheadClock(TokioClock, Duration);

impl Clock for AheadClock {
    fn now(&self) -> SystemTime {
        self.0.now() + self.1
    }

    fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[tokio::test(start_paused = true)]
async fn imported_cookies_expire_after_400_days_at_most() {
    const DAY: Duration = Duration::from_secs(86_400);
    let ahead = CookieJar::with_clock(Arc::new(AheadClock(TokioClock::new(), DAY * 3_650)));
    let from = url("https://example.com/");
    ahead.set(&from, "c=1; Max-Age=31536000").unwrap();
    let jar = CookieJar::new();
    assert_eq!(jar.import_json(&ahead.export_json().unwrap()).unwrap(), 1);
    tokio::time::advance(DAY * 399).await;
    assert_eq!(sent(&jar, "https://example.com/"), "c=1");
    tokio::time::advance(DAY).await;
    assert_eq!(sent(&jar, "https://example.com/"), "");
}

#[tokio::test]
async fn forged_cookies_are_not_imported() {
    let jar = CookieJar::new();
    jar.set(&url("https://example.com/"), "c=s3cr3t; Domain=example.com")
        .unwrap();
    let good = jar.export_json().unwrap();
    for (forged, taken) in [
        (good.clone(), 1),
        (good.replace("{\"Suffix\":\"example.com\"}", "{\"Suffix\":\"com\"}"), 0),
        (good.replace("{\"Suffix\":\"example.com\"}", "\"Empty\""), 0),
        (good.replace("c=s3cr3t", "c=a\\u000d\\u000ab"), 0),
        ("[]".to_owned(), 0),
    ] {
        let other = CookieJar::new();
        assert_eq!(other.import_json(&forged).unwrap(), taken, "{forged}");
        assert_eq!(other.len(), taken);
    }
    let broken = jar.import_json(&good[..good.len() - 3]).unwrap_err();
    assert_eq!(broken.kind(), ErrorKind::Decode);
    assert!(!format!("{broken} {broken:?}").contains("s3cr3t"));
    assert_eq!(jar.len(), 1);
}

fn client(memory: &MemoryHttpClient, jar: &CookieJar) -> StandardHttpClient<MemoryHttpClient> {
    HttpClientBuilder::over(memory.clone())
        .cookies(jar.clone())
        .credentials(Credentials::bearer("t").unwrap())
        .build()
        .unwrap()
}

fn redirect(to: &str, cookie: &str) -> Reply {
    Reply::new(StatusCode::FOUND)
        .with_header("location", to)
        .unwrap()
        .with_header("set-cookie", cookie)
        .unwrap()
}

#[tokio::test]
async fn each_hop_has_its_own_cookies_and_sets_them() {
    let memory = MemoryHttpClient::new();
    let route = |path, reply: Reply| memory.route(Method::GET, path, reply).unwrap();
    route("https://a.test/login", redirect("/home", "session=1; Path=/"));
    route(
        "https://a.test/home",
        redirect("https://b.test/landed", "seen=1; Path=/"),
    );
    route(
        "https://b.test/landed",
        Reply::ok()
            .with_header("set-cookie", "there=1")
            .unwrap()
            .with_header("set-cookie", "stolen=1; Domain=a.test")
            .unwrap(),
    );
    let jar = CookieJar::new();
    jar.set(&url("https://b.test/"), "known=1").unwrap();
    client(&memory, &jar).get("https://a.test/login").await.unwrap();
    let received = memory.received();
    let cookies: Vec<Option<&str>> = received.iter().map(|request| request.header("cookie")).collect();
    assert_eq!(cookies, [None, Some("session=1"), Some("known=1")]);
    assert!(received[1].headers["cookie"].is_sensitive());
    assert_eq!(sent(&jar, "https://a.test/"), "session=1; seen=1");
    assert_eq!(sent(&jar, "https://b.test/"), "known=1; there=1");
}

#[tokio::test]
async fn a_requests_own_cookies_come_first_and_stay_on_its_origin() {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "https://a.test/1", redirect("/2", "late=jar"))
        .unwrap();
    memory
        .route(Method::GET, "https://a.test/2", redirect("https://b.test/", "x=1"))
        .unwrap();
    let jar = CookieJar::new();
    jar.set(&url("https://a.test/"), "both=jar").unwrap();
    jar.set(&url("https://a.test/"), "mine=jar").unwrap();
    jar.set(&url("https://b.test/"), "other=jar").unwrap();
    let client = client(&memory, &jar);
    let request = client.get("https://a.test/1").header("cookie", "mine=own; extra=own");
    request.await.unwrap();
    let received = memory.received();
    let cookies: Vec<&str> = received
        .iter()
        .map(|request| request.header("cookie").unwrap())
        .collect();
    assert_eq!(
        cookies,
        [
            "mine=own; extra=own; both=jar",
            "mine=own; extra=own; both=jar; late=jar",
            "other=jar"
        ]
    );
    assert_eq!(sent(&jar, "https://a.test/"), "both=jar; mine=jar; late=jar; x=1");
}

#[tokio::test]
async fn without_a_jar_or_credentials_no_cookies_are_sent() {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/", Reply::ok().with_header("set-cookie", "c=1").unwrap())
        .unwrap();
    let without = CookieClient::new(memory.clone(), None);
    without.get("https://a.test/").await.unwrap();
    without.get("https://a.test/").await.unwrap();
    let jar = CookieJar::new();
    jar.set(&url("https://a.test/"), "d=1").unwrap();
    let mut request = HttpRequest::new(Method::GET, "https://a.test/");
    request.extensions.insert(WithoutCredentials);
    client(&memory, &jar).request(request).await.unwrap();
    assert!(
        memory
            .received()
            .iter()
            .all(|request| request.header("cookie").is_none())
    );
    assert_eq!(sent(&jar, "https://a.test/"), "d=1");
}

#[tokio::test]
async fn clients_can_share_a_jar() {
    let memory = MemoryHttpClient::new();
    memory
        .route(
            Method::POST,
            "/login",
            Reply::ok().with_header("set-cookie", "session=1; Path=/").unwrap(),
        )
        .unwrap();
    let jar = CookieJar::new();
    client(&memory, &jar).post("https://a.test/login").await.unwrap();
    client(&memory, &jar).get("https://a.test/").await.unwrap();
    assert_eq!(memory.received()[1].header("cookie"), Some("session=1"));
}
