//! Base URL, default headers, and errors for statuses.

use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpClient, HttpClientExt, Jitter, Method, RequestOptions, RetryPolicy, StatusCode};

fn memory() -> MemoryHttpClient {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/{*any}", Reply::ok()).unwrap();
    memory
}

#[tokio::test]
async fn targets_are_resolved_under_the_path_of_the_base() {
    let memory = memory();
    let client = HttpClientBuilder::over(memory.clone())
        .base_url("http://api.test/v1")
        .build()
        .unwrap();
    for target in ["users", "/root", "users?a=b#c", "../v2/x", "", "http://other.test/y"] {
        client.get(target).await.unwrap();
    }
    let urls: Vec<String> = memory
        .received()
        .iter()
        .map(|request| request.url.to_string())
        .collect();
    let expected = [
        "http://api.test/v1/users",
        "http://api.test/root",
        "http://api.test/v1/users?a=b#c",
        "http://api.test/v2/x",
        "http://api.test/v1/",
        "http://other.test/y",
    ];
    assert_eq!(urls, expected);
}

#[tokio::test]
async fn a_reference_cannot_name_another_host() {
    let memory = memory();
    let client = HttpClientBuilder::over(memory.clone())
        .base_url("http://api.test/v1")
        .build()
        .unwrap();
    for target in [
        "//other.test/x",
        "\\\\other.test/x",
        "http:\\\\user@[bad",
        "/\\other.test",
    ] {
        let error = client.get(target).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("url")),
            "{target}"
        );
    }
    assert!(memory.received().is_empty());
}

#[tokio::test]
async fn default_headers_do_not_replace_headers_of_requests() {
    let memory = memory();
    let client = HttpClientBuilder::over(memory.clone())
        .default_header("x-one", "default")
        .default_header("x-two", "first")
        .default_header("x-two", "second")
        .build()
        .unwrap();
    client.get("http://api.test/").header("x-one", "mine").await.unwrap();
    let received = &memory.received()[0];
    assert_eq!(received.header("x-one"), Some("mine"));
    assert_eq!(received.headers.get_all("x-two").iter().collect::<Vec<_>>(), ["second"]);
}

#[tokio::test(start_paused = true)]
async fn raised_statuses_are_still_retried_and_counted_as_responses() {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/x", Reply::new(StatusCode::SERVICE_UNAVAILABLE))
        .unwrap();
    let client = HttpClientBuilder::over(memory.clone())
        .raise_for_status(true)
        .retry(RetryPolicy::new(3).with_jitter(Jitter::None))
        .build()
        .unwrap();
    let error = client.get("http://api.test/x").await.unwrap_err();
    assert_eq!((error.status(), error.attempts()), (Some(503), 3));
    let metrics = client.client_metrics().unwrap();
    assert_eq!((metrics.responses, metrics.failures), (1, 0));
    let quiet = RequestOptions::new().with_raise_for_status(false);
    assert_eq!(
        client.get("http://api.test/x").options(quiet).await.unwrap().status,
        503
    );
}

#[test]
fn the_first_mistake_is_reported() {
    let build = |builder: HttpClientBuilder| builder.build().unwrap_err();
    for (error, field) in [
        (build(HttpClientBuilder::new().base_url("not a url")), "base_url"),
        (build(HttpClientBuilder::new().base_url("ftp://api.test")), "base_url"),
        (
            build(HttpClientBuilder::new().default_header("not a name", "x")),
            "default_header",
        ),
        (
            build(HttpClientBuilder::new().default_header("x-a", "line\nfeed")),
            "default_header.x-a",
        ),
        (
            build(HttpClientBuilder::new().default_header("", "x").base_url("nor this")),
            "default_header",
        ),
        (
            build(HttpClientBuilder::new().retry(RetryPolicy::new(0))),
            "retry.max_attempts",
        ),
        (build(HttpClientBuilder::new().user_agent("")), "transport.user_agent"),
        (
            build(HttpClientBuilder::new().redirects(networking_http::layer::RedirectPolicy::limited(51))),
            "redirects.limit",
        ),
    ] {
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
    }
}
