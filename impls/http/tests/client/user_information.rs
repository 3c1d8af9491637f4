//! User information in URLs: `http://user:password@host/`.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use networking_http::cache::{CacheStatus, HttpCache, MemoryCacheStore};
use networking_http::layer::{Credentials, RedirectClient, RedirectPolicy};
use networking_http::{
    CookieJar, HttpClientBuilder, HyperTransport, MemoryHttpClient, Reply, ReqwestTransport, TransportConfig,
};
use networking_spi::http::{HttpClient, HttpClientExt, Method, StatusCode};
use networking_spi::{ErrorKind, SendState};
use tokio::sync::mpsc;

use crate::raw::{RawServer, closed_port};

fn memory() -> MemoryHttpClient {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/{*any}", Reply::ok()).unwrap();
    memory
}

fn basic(pair: impl AsRef<[u8]>) -> String {
    format!("Basic {}", STANDARD.encode(pair))
}

/// Pairs of a URL's user information and the credentials that it stands for.
const PAIRS: [(&str, &[u8]); 9] = [
    ("user:pw", b"user:pw"),
    ("user", b"user:"),
    ("user:", b"user:"),
    (":pw", b":pw"),
    ("us%40er:p%2Fw%3F", b"us@er:p/w?"),
    ("user:p:w", b"user:p:w"),
    ("us%20er:p%20w", b"us er:p w"),
    ("us\u{e9}r:\u{a3}", "us\u{e9}r:\u{a3}".as_bytes()),
    ("us%FFer:%80", b"us\xffer:\x80"),
];

/// The transports without wrappers, and clients with them.
fn clients() -> Vec<std::sync::Arc<dyn HttpClient>> {
    let config = || TransportConfig::new().with_system_roots(false);
    let hyper = HyperTransport::new(config()).unwrap();
    let reqwest = ReqwestTransport::new(config()).unwrap();
    vec![
        std::sync::Arc::new(hyper.clone()),
        std::sync::Arc::new(reqwest.clone()),
        std::sync::Arc::new(HttpClientBuilder::over(hyper).build().unwrap()),
        std::sync::Arc::new(HttpClientBuilder::over(reqwest).build().unwrap()),
    ]
}

#[tokio::test]
async fn it_is_sent_as_basic_credentials_and_nowhere_else() {
    for client in clients() {
        for (user, pair) in PAIRS {
            let (seen, mut heads) = mpsc::unbounded_channel();
            let server = RawServer::answering("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", seen).await;
            let url = format!("http://{user}@{}/x?y#z", server.address);
            let response = client.get(&url).await.unwrap();
            let url = response.url.unwrap();
            assert_eq!((url.username(), url.password()), ("", None), "the URL of the response");

            let head = heads.recv().await.unwrap();
            let mut lines = head.lines();
            assert_eq!(lines.next(), Some("GET /x?y HTTP/1.1"));
            let mut values: Vec<_> = lines.filter_map(|line| line.split_once(": ")).collect();
            let host = values
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case("host"))
                .unwrap();
            assert_eq!(host.1, server.address.to_string());
            values.retain(|(name, _)| name.eq_ignore_ascii_case("authorization"));
            assert_eq!(values.len(), 1, "{head}");
            assert_eq!(values[0].1, basic(pair), "{user}");
            assert!(!head.to_ascii_lowercase().contains("referer"), "{head}");
        }
    }
}

#[tokio::test]
async fn what_basic_credentials_cannot_have_is_refused() {
    let (seen, mut heads) = mpsc::unbounded_channel();
    let server = RawServer::answering("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n", seen).await;
    for client in clients() {
        for user in ["us%3Aer:pw", "us%0Aer:pw", "user:p%0D%0Aw", "user:%00", "user:%7F"] {
            let url = format!("http://{user}@{}/", server.address);
            let error = client.get(&url).await.unwrap_err();
            assert_eq!(
                (error.kind(), error.field()),
                (ErrorKind::InvalidInput, Some("url")),
                "{user}"
            );
            assert_eq!(error.send_state(), SendState::NotSent);
            assert!(!format!("{error} {error:?}").contains("%0"), "{error:?}");
        }
    }
    assert!(heads.try_recv().is_err());
}

#[tokio::test]
async fn the_nearest_credentials_are_sent() {
    let memory = memory();
    let client = HttpClientBuilder::over(memory.clone())
        .base_url("http://base:pw@api.test/v1")
        .credentials(Credentials::bearer("client").unwrap())
        .build()
        .unwrap();
    let header = || client.get("http://user:pw@api.test/").header("authorization", "Mine");
    header().await.unwrap();
    client.get("http://user:pw@api.test/").await.unwrap();
    client.get("users").await.unwrap();
    client.get("http://api.test/").await.unwrap();
    client.get("http://user:pw@other.test/").await.unwrap();
    client.get("http://other.test/").await.unwrap();
    let received = memory.received();
    let sent: Vec<_> = received.iter().map(|request| request.header("authorization")).collect();
    let (user, base) = (basic("user:pw"), basic("base:pw"));
    assert_eq!(
        sent,
        [
            Some("Mine"),
            Some(&*user),
            Some(&*base),
            Some("Bearer client"),
            Some(&*user),
            None
        ]
    );
    assert_eq!(received[2].url.as_str(), "http://api.test/v1/users");
    for request in received {
        assert_eq!((request.url.username(), request.url.password()), ("", None));
        assert!(
            request
                .headers
                .get("authorization")
                .is_none_or(|value| value.is_sensitive() || value == "Mine")
        );
    }

    let memory = self::memory();
    let client = HttpClientBuilder::over(memory.clone())
        .default_header("authorization", "Default")
        .build()
        .unwrap();
    client.get("http://user:pw@api.test/").await.unwrap();
    client.get("http://api.test/").await.unwrap();
    let received = memory.received();
    assert_eq!(received[0].header("authorization"), Some(&*user));
    assert_eq!(received[1].header("authorization"), Some("Default"));
}

/// The `Authorization` headers of the two requests of a redirect.
async fn redirected(from: &str, location: &str) -> [Option<String>; 2] {
    let memory = memory();
    let redirect = Reply::new(StatusCode::FOUND).with_header("location", location).unwrap();
    memory.route(Method::GET, "/from", redirect).unwrap();
    let wrapped = HttpClientBuilder::over(memory.clone()).build().unwrap();
    let alone = RedirectClient::new(memory.clone(), RedirectPolicy::default());
    wrapped.get(from).await.unwrap();
    let response = alone.get(from).await.unwrap();
    assert_eq!(response.url.unwrap().username(), "", "{location}");
    let mut sent: Vec<_> = memory
        .received()
        .iter()
        .map(|request| {
            assert_eq!(
                (request.url.username(), request.url.password()),
                ("", None),
                "{location}"
            );
            assert!(request.header("referer").is_none());
            request.header("authorization").map(str::to_owned)
        })
        .collect();
    assert_eq!(sent.len(), 4, "{location}");
    assert_eq!(sent[..2], sent[2..], "with and without the other wrappers");
    [sent.swap_remove(0), sent.swap_remove(1)]
}

#[tokio::test]
async fn redirects_keep_it_within_the_origin_and_take_none_from_a_location() {
    let user = Some(basic("user:pw"));
    let from = "http://user:pw@api.test/from";
    for location in [
        "/to",
        "to?x",
        "//api.test/to",
        "http://api.test/to",
        "http://api.test:80/to",
        "http://API.test/to",
        // The server must not choose who the client is.
        "http://evil:pw@api.test/to",
        "//evil:pw@api.test/to",
        "http://evil@api.test:80/to",
    ] {
        assert_eq!(
            redirected(from, location).await,
            [user.clone(), user.clone()],
            "{location}"
        );
    }
    for location in [
        "http://other.test/to",
        "https://api.test/to",
        "http://api.test:8080/to",
        "http://evil:pw@other.test/to",
        "http://user:pw@other.test/to",
        "https://user:pw@api.test/to",
        "//evil@www.api.test/to",
    ] {
        assert_eq!(redirected(from, location).await, [user.clone(), None], "{location}");
    }
    for location in [
        "http://evil:pw@api.test/to",
        "http://evil:pw@other.test/to",
        "//evil@api.test/to",
    ] {
        assert_eq!(
            redirected("http://api.test/from", location).await,
            [None, None],
            "{location}"
        );
    }
}

#[tokio::test]
async fn the_client_keeps_its_credentials_when_a_location_has_others() {
    let memory = memory();
    for (path, location) in [
        ("/here", "http://evil:pw@api.test/to"),
        ("/away", "http://evil:pw@other.test/to"),
    ] {
        let redirect = Reply::new(StatusCode::FOUND).with_header("location", location).unwrap();
        memory.route(Method::GET, path, redirect).unwrap();
    }
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::bearer("mine").unwrap())
        .build()
        .unwrap();
    client.get("http://api.test/here").await.unwrap();
    client.get("http://api.test/away").await.unwrap();
    let sent: Vec<_> = memory
        .received()
        .iter()
        .map(|request| request.header("authorization").map(str::to_owned))
        .collect();
    let mine = Some("Bearer mine".to_owned());
    assert_eq!(sent, [mine.clone(), mine.clone(), mine, None]);
}

/// The cache stores responses by credentials, and an unsafe request with any credentials invalidates all of them.
#[tokio::test]
async fn caches_and_cookies_see_urls_without_it() {
    let memory = MemoryHttpClient::new();
    let page = Reply::ok()
        .with_header("cache-control", "max-age=60")
        .unwrap()
        .with_header("set-cookie", "id=1")
        .unwrap();
    memory.route(Method::GET, "/page", page).unwrap();
    memory.route(Method::PUT, "/page", Reply::ok()).unwrap();
    let jar = CookieJar::new();
    let client = HttpClientBuilder::over(memory.clone())
        .cache(HttpCache::new(MemoryCacheStore::default()))
        .cookies(jar.clone())
        .build()
        .unwrap();
    let status = async |url: &str| *client.get(url).await.unwrap().extensions.get::<CacheStatus>().unwrap();
    assert_eq!(status("http://user:pw@api.test/page").await, CacheStatus::Miss);
    assert_eq!(status("http://user:pw@api.test/page").await, CacheStatus::Hit);
    assert_eq!(status("http://other:pw@api.test/page").await, CacheStatus::Miss);
    assert_eq!(status("http://api.test/page").await, CacheStatus::Miss);
    client.put("http://api.test/page").await.unwrap();
    assert_eq!(status("http://user:pw@api.test/page").await, CacheStatus::Miss);
    let cookies: Vec<_> = memory
        .received()
        .iter()
        .map(|request| request.header("cookie").map(str::to_owned))
        .collect();
    assert_eq!(cookies[0], None);
    assert!(
        cookies[1..].iter().all(|cookie| cookie.as_deref() == Some("id=1")),
        "{cookies:?}"
    );
    assert!(!format!("{jar:?}").contains("pw"));
}

#[tokio::test]
async fn errors_do_not_show_it() {
    for client in clients() {
        let url = format!("http://us3r:s3cr3t@127.0.0.1:{}/", closed_port());
        let error = client.get(&url).await.unwrap_err();
        let mut shown = vec![format!("{error} {error:?}")];
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            shown.push(format!("{cause} {cause:?}"));
            source = cause.source();
        }
        for text in shown {
            assert!(!text.contains("s3cr3t") && !text.contains("us3r"), "{text}");
        }
    }
}
