//! Rules for redirects that the contract does not specify.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_http::layer::RedirectPolicy;
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply, StandardHttpClient};
use networking_spi::http::{
    HeaderValue, HttpBody, HttpClientExt, HttpResponse, Method, RequestOptions, RetryPolicy, StatusCode,
};
use networking_spi::{ErrorKind, SendState};

fn redirecting(
    method: Method,
    status: StatusCode,
    location: &str,
) -> (StandardHttpClient<MemoryHttpClient>, MemoryHttpClient) {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/{*any}", Reply::ok()).unwrap();
    memory
        .route(
            method,
            "/from",
            Reply::new(status).with_header("location", location).unwrap(),
        )
        .unwrap();
    (HttpClientBuilder::over(memory.clone()).build().unwrap(), memory)
}

#[tokio::test]
async fn only_http_is_followed() {
    for location in [
        "ftp://api.test/x",
        "file:///etc/passwd",
        "javascript:alert(1)",
        "http://[bad",
    ] {
        let (client, memory) = redirecting(Method::GET, StatusCode::FOUND, location);
        let error = client.get("http://api.test/from").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.send_state()),
            (ErrorKind::Redirect, SendState::Sent),
            "{location}"
        );
        assert_eq!(memory.received().len(), 1);
    }
}

/// As curl and Go do.
#[tokio::test]
async fn bytes_that_are_not_text_are_encoded() {
    let location = HeaderValue::from_bytes(b"/caf\xe9?q=\xfc#x").unwrap();
    let memory = MemoryHttpClient::serving(move |request| {
        let location = location.clone();
        async move {
            let mut response = HttpResponse::new(StatusCode::OK);
            if request.url.path() == "/from" {
                response.status = StatusCode::FOUND;
                response.headers.insert("location", location);
            }
            Ok(response)
        }
    });
    let client = HttpClientBuilder::over(memory).build().unwrap();
    let response = client.get("http://api.test/from").await.unwrap();
    assert_eq!(response.url.unwrap().as_str(), "http://api.test/caf%E9?q=%FC#x");
}

#[tokio::test]
async fn a_stream_cannot_be_redirected_with_its_body() {
    let (client, _) = redirecting(Method::POST, StatusCode::TEMPORARY_REDIRECT, "/to");
    let body = || HttpBody::stream(stream::iter([Ok(Bytes::from_static(b"x"))]).boxed(), None);
    let error = client.post("http://api.test/from").body(body()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Redirect);
    let (client, memory) = redirecting(Method::POST, StatusCode::SEE_OTHER, "/to");
    assert_eq!(
        client.post("http://api.test/from").body(body()).await.unwrap().status,
        200
    );
    assert_eq!(memory.received()[1].method, Method::GET);
}

#[tokio::test]
async fn a_dropped_body_drops_its_headers() {
    let (client, memory) = redirecting(Method::POST, StatusCode::FOUND, "/to");
    client
        .post("http://api.test/from")
        .json(&1)
        .header("host", "api.test")
        .header("expect", "100-continue")
        .header("x-kept", "1")
        .await
        .unwrap();
    let to = &memory.received()[1];
    for dropped in ["content-type", "expect"] {
        assert_eq!(to.header(dropped), None, "{dropped}");
    }
    assert_eq!(to.header("x-kept"), Some("1"));
}

/// As curl, Go and httpx do: the resource of a virtual host redirects to another resource of it.
#[tokio::test]
async fn the_host_of_the_caller_stays_within_the_origin() {
    for (location, host) in [("/to", Some("virtual.test")), ("http://other.test/to", None)] {
        let (client, memory) = redirecting(Method::GET, StatusCode::FOUND, location);
        client
            .get("http://api.test/from")
            .header("host", "virtual.test")
            .await
            .unwrap();
        assert_eq!(memory.received()[1].header("host"), host, "{location}");
    }
}

#[tokio::test]
async fn head_stays_head_and_fragments_are_inherited() {
    let (client, memory) = redirecting(Method::HEAD, StatusCode::SEE_OTHER, "/to?x=1");
    let response = client.head("http://api.test/from#part").await.unwrap();
    assert_eq!(memory.received()[1].method, Method::HEAD);
    assert_eq!(response.url.unwrap().as_str(), "http://api.test/to?x=1#part");
}

#[tokio::test]
async fn the_limit_counts_redirects() {
    let memory = MemoryHttpClient::new();
    for hop in 0..3 {
        let location = format!("/{}", hop + 1);
        let reply = Reply::new(StatusCode::FOUND)
            .with_header("location", &location)
            .unwrap();
        memory.route(Method::GET, &format!("/{hop}"), reply).unwrap();
    }
    memory.route(Method::GET, "/3", Reply::ok()).unwrap();
    let client = |limit| {
        HttpClientBuilder::over(memory.clone())
            .redirects(RedirectPolicy::limited(limit))
            .build()
            .unwrap()
    };
    assert_eq!(client(3).get("http://api.test/0").await.unwrap().status, 200);
    assert_eq!(
        client(2).get("http://api.test/0").await.unwrap_err().kind(),
        ErrorKind::Redirect
    );
}

#[tokio::test]
async fn a_request_can_enable_redirects() {
    let (_, memory) = redirecting(Method::GET, StatusCode::FOUND, "/to");
    let client = HttpClientBuilder::over(memory)
        .redirects(RedirectPolicy::none())
        .build()
        .unwrap();
    assert_eq!(client.get("http://api.test/from").await.unwrap().status, 302);
    let options = RequestOptions::new().with_follow_redirects(true);
    assert_eq!(
        client
            .get("http://api.test/from")
            .options(options)
            .await
            .unwrap()
            .status,
        200
    );
}

#[tokio::test]
async fn a_redirect_without_location_is_a_response() {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/from", Reply::new(StatusCode::FOUND))
        .unwrap();
    let client = HttpClientBuilder::over(memory).build().unwrap();
    assert_eq!(client.get("http://api.test/from").await.unwrap().status, 302);
}

#[tokio::test]
async fn a_redirected_request_is_not_retried() {
    for status in [StatusCode::SEE_OTHER, StatusCode::TEMPORARY_REDIRECT] {
        let memory = MemoryHttpClient::new();
        let moved = Reply::new(status).with_header("location", "/gone").unwrap();
        memory.route(Method::POST, "/from", moved).unwrap();
        for method in [Method::GET, Method::POST] {
            let refused = Reply::error(ErrorKind::ConnectionRefused);
            memory.route(method, "/gone", refused).unwrap();
        }
        let client = HttpClientBuilder::over(memory.clone())
            .retry(RetryPolicy::new(3))
            .build()
            .unwrap();
        let error = client.post("http://api.test/from").body("x").await.unwrap_err();
        assert_eq!(
            (error.kind(), error.send_state(), error.attempts()),
            (ErrorKind::ConnectionRefused, SendState::Sent, 1),
            "{status}"
        );
        assert_eq!(memory.received().len(), 2, "{status}: each hop once");
    }
}
