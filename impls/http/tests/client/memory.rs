//! The in-memory client.

use std::time::Duration;

use networking_http::{MemoryHttpClient, Reply, Responder};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpClientExt, HttpResponse, Method, RequestOptions, StatusCode};
use tokio::time::Instant;

const URL: &str = "http://api.test/x";

#[tokio::test]
async fn replies_are_used_in_order_and_the_last_one_repeats() {
    let http = MemoryHttpClient::new();
    let replies = [500, 502, 200].map(|status| Reply::new(StatusCode::from_u16(status).unwrap()));
    http.route(Method::GET, "/x", replies).unwrap();
    let mut seen = Vec::new();
    for _ in 0..4 {
        seen.push(http.get(URL).await.unwrap().status.as_u16());
    }
    assert_eq!(seen, [500, 502, 200, 200]);
}

#[tokio::test]
async fn later_routes_take_precedence_and_methods_must_match() {
    let http = MemoryHttpClient::new();
    http.route(Method::GET, "/{any}", Reply::ok().with_body("old")).unwrap();
    http.route(Method::GET, "/x", Reply::ok().with_body("new")).unwrap();
    assert_eq!(http.get(URL).await.unwrap().text().await.unwrap(), "new");
    assert_eq!(
        http.get("http://api.test/y").await.unwrap().text().await.unwrap(),
        "old"
    );
    assert_eq!(http.post(URL).await.unwrap().status, 404);
    let head = http.head(URL).await.unwrap();
    assert_eq!(
        (head.status, head.headers["content-length"].to_str().unwrap()),
        (StatusCode::OK, "3")
    );
}

#[tokio::test]
async fn functions_see_the_whole_request() {
    let http = MemoryHttpClient::new();
    let echo = Responder::from_fn(|request| async move {
        let text = format!(
            "{} {} {}",
            request.method,
            request.param("id").unwrap_or_default(),
            request.body.len()
        );
        Ok(HttpResponse::new(StatusCode::CREATED).with_body(text))
    });
    http.route(Method::PUT, "/items/{id}", echo).unwrap();
    let response = http.put("http://api.test/items/7").body("1234").await.unwrap();
    assert_eq!(response.url.as_ref().unwrap().path(), "/items/7");
    assert_eq!(response.text().await.unwrap(), "PUT 7 4");
}

#[tokio::test(start_paused = true)]
async fn delays_errors_and_hangs() {
    let http = MemoryHttpClient::new();
    let replies = [
        Reply::ok().with_delay(Duration::from_secs(5)),
        Reply::error(ErrorKind::Dns),
        Reply::hang(),
    ];
    http.route(Method::GET, "/x", replies).unwrap();
    let start = Instant::now();
    http.get(URL).await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(5));
    assert_eq!(http.get(URL).await.unwrap_err().kind(), ErrorKind::Dns);
    assert!(
        tokio::time::timeout(Duration::from_secs(3600), async { http.get(URL).await })
            .await
            .is_err()
    );
    assert_eq!(http.received().len(), 3);
}

#[tokio::test]
async fn unsupported_options_are_refused() {
    let http = MemoryHttpClient::new();
    let error = http
        .get(URL)
        .options(RequestOptions::new().with_timeout(Duration::from_secs(1)))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(http.received().is_empty());
}

#[tokio::test]
async fn routes_match_paths_only() {
    let http = MemoryHttpClient::new();
    for pattern in [
        "/users?id=7",
        "/users#top",
        "/two words",
        "http://api.test/users?",
        "/tab\t",
    ] {
        let error = http.route(Method::GET, pattern, Reply::ok()).unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("pattern")),
            "{pattern}"
        );
    }
    http.route(Method::GET, "/users", Reply::ok()).unwrap();
    let found = http.get("http://api.test/users?id=7").await.unwrap();
    assert_eq!(found.status, 200);
}

#[tokio::test]
async fn replies_that_no_server_can_send_are_refused() {
    let http = MemoryHttpClient::new();
    let length = |status: u16, length: &str, body: &'static str| {
        let status = StatusCode::from_u16(status).unwrap();
        Reply::new(status)
            .with_body(body)
            .with_header("content-length", length)
            .unwrap()
    };
    for (reply, field) in [
        (Reply::new(StatusCode::CONTINUE), Some("reply.status")),
        (Reply::new(StatusCode::SWITCHING_PROTOCOLS), Some("reply.status")),
        (length(200, "5", "four"), Some("reply.content-length")),
        (length(200, "3", "four"), Some("reply.content-length")),
        (length(200, "0", "four"), Some("reply.content-length")),
        (length(200, "5", ""), Some("reply.content-length")),
        (length(200, "four", "four"), Some("reply.content-length")),
        (length(200, "-4", "four"), Some("reply.content-length")),
        (length(200, "4", "four"), None),
        (length(304, "4", ""), None),
        (length(200, "4", "four").with_truncated_body(2), None),
    ] {
        let what = format!("{reply:?}");
        http.route(Method::GET, "/", reply).unwrap();
        match (http.get("http://api.test/").await, field) {
            (Ok(_), None) => {}
            (Err(error), Some(field)) => {
                assert_eq!(
                    (error.kind(), error.field()),
                    (ErrorKind::InvalidInput, Some(field)),
                    "{what}"
                );
            }
            (other, _) => panic!("{what}: {other:?}"),
        }
    }
    // HEAD announces the length of the body that GET would have.
    http.route(Method::HEAD, "/head", length(200, "4", "")).unwrap();
    let head = http.head("http://api.test/head").await.unwrap();
    assert_eq!(head.headers["content-length"], "4");
}
