//! Credentials.

use networking_http::layer::Credentials;
use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpClientExt, Method, StatusCode};

fn memory() -> MemoryHttpClient {
    let memory = MemoryHttpClient::new();
    memory.route(Method::GET, "/{*any}", Reply::ok()).unwrap();
    memory
}

#[tokio::test]
async fn each_kind_has_its_header() {
    for (credentials, header, value) in [
        // RFC 7617, section 2.
        (
            Credentials::basic("Aladdin", "open sesame"),
            "authorization",
            "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        ),
        // RFC 7617, section 2.1.
        (
            Credentials::basic("test", "123\u{a3}"),
            "authorization",
            "Basic dGVzdDoxMjPCow==",
        ),
        (
            Credentials::bearer("mF_9.B5f-4.1JqM"),
            "authorization",
            "Bearer mF_9.B5f-4.1JqM",
        ),
        (Credentials::api_key("X-Api-Key", "k"), "x-api-key", "k"),
    ] {
        let memory = memory();
        let client = HttpClientBuilder::over(memory.clone())
            .credentials(credentials.unwrap())
            .build()
            .unwrap();
        client.get("http://api.test/").await.unwrap();
        client.get("http://api.test/").header(header, "mine").await.unwrap();
        let received = memory.received();
        assert_eq!(received[0].header(header), Some(value));
        assert_eq!(
            received[1].header(header),
            Some("mine"),
            "the header of the request takes precedence"
        );
        assert!(received.iter().all(|request| request.headers[header].is_sensitive()));
    }
}

#[tokio::test]
async fn with_a_base_url_credentials_stay_on_its_origin() {
    let memory = memory();
    memory
        .route(
            Method::GET,
            "https://api.test/away",
            Reply::new(StatusCode::FOUND)
                .with_header("location", "https://other.test/landed")
                .unwrap(),
        )
        .unwrap();
    let client = HttpClientBuilder::over(memory.clone())
        .base_url("https://api.test")
        .credentials(Credentials::bearer("t").unwrap())
        .default_header("x-api-key", "k")
        .default_header("x-plain", "p")
        .build()
        .unwrap();
    for target in [
        "/here",
        "https://other.test/",
        "http://api.test/",
        "https://api.test:8443/",
        "/away",
    ] {
        client.get(target).await.unwrap();
    }
    let seen: Vec<(String, bool, bool, bool)> = memory
        .received()
        .iter()
        .map(|request| {
            let has = |name| request.headers.contains_key(name);
            (
                request.url.to_string(),
                has("authorization"),
                has("x-api-key"),
                has("x-plain"),
            )
        })
        .collect();
    let expected = [
        ("https://api.test/here", true),
        ("https://other.test/", false),
        ("http://api.test/", false),
        ("https://api.test:8443/", false),
        ("https://api.test/away", true),
        ("https://other.test/landed", false),
    ];
    assert_eq!(
        seen,
        expected.map(|(url, secrets)| (url.to_owned(), secrets, secrets, true))
    );
}

#[test]
fn invalid_credentials_name_their_field() {
    for (credentials, field) in [
        (Credentials::basic("a:b", "x"), "username"),
        (Credentials::basic("a", "line\nfeed"), "password"),
        (Credentials::bearer(""), "token"),
        (Credentials::bearer("line\nfeed"), "token"),
        (Credentials::api_key("not a name", "k"), "header"),
        (Credentials::api_key("x-key", "line\nfeed"), "key"),
    ] {
        let error = credentials.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
        assert!(!format!("{error} {error:?}").contains("feed"), "the value is not shown");
    }
}

/// A server whose `/same` and `/away` redirect within and out of its origin.
fn redirecting() -> MemoryHttpClient {
    let memory = memory();
    for (path, target) in [("/same", "/landed"), ("/away", "https://other.test/landed")] {
        let reply = Reply::new(StatusCode::FOUND).with_header("location", target).unwrap();
        memory
            .route(Method::GET, &format!("https://api.test{path}"), reply)
            .unwrap();
    }
    memory
        .route(
            Method::GET,
            "https://other.test/landed",
            Reply::new(StatusCode::FOUND)
                .with_header("location", "https://api.test/back")
                .unwrap(),
        )
        .unwrap();
    memory
}

#[tokio::test]
async fn a_key_in_the_query_is_sent_until_a_redirect_leaves_the_origin() {
    let memory = redirecting();
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::api_key_in_query("k", "s3 cr3t").unwrap())
        .build()
        .unwrap();
    let response = client.get("https://api.test/same?page=2").await.unwrap();
    assert_eq!(
        response.url.unwrap().as_str(),
        "https://api.test/landed",
        "the key is not shown"
    );
    client.get("https://api.test/away").await.unwrap();
    client.get("https://api.test/here?k=mine").await.unwrap();
    let seen: Vec<String> = memory
        .received()
        .iter()
        .map(|request| request.url.to_string())
        .collect();
    assert_eq!(
        seen,
        [
            "https://api.test/same?page=2&k=s3+cr3t",
            "https://api.test/landed?k=s3+cr3t",
            "https://api.test/away?k=s3+cr3t",
            "https://other.test/landed",
            "https://api.test/back",
            "https://api.test/here?k=mine",
        ]
    );
    let credentials = Credentials::api_key_in_query("k", "s3cr3t").unwrap();
    assert!(!format!("{credentials:?}").contains("s3cr3t"));
    assert_eq!(
        Credentials::api_key_in_query("", "k").unwrap_err().field(),
        Some("parameter")
    );
    assert_eq!(Credentials::api_key_in_query("k", "").unwrap_err().field(), Some("key"));
}

#[tokio::test]
async fn a_key_that_a_redirect_repeats_is_not_shown() {
    for (location, shown) in [
        ("/landed/?k=s3+cr3t", "https://api.test/landed/"),
        ("/landed/?a=%2B&k=s3%20cr3t&b", "https://api.test/landed/?a=%2B&b"),
    ] {
        let memory = memory();
        let reply = Reply::new(StatusCode::FOUND).with_header("location", location).unwrap();
        memory.route(Method::GET, "/landed", reply).unwrap();
        let client = HttpClientBuilder::over(memory.clone())
            .credentials(Credentials::api_key_in_query("k", "s3 cr3t").unwrap())
            .build()
            .unwrap();
        let response = client.get("https://api.test/landed").await.unwrap();
        assert_eq!(response.url.unwrap().as_str(), shown);
        assert!(memory.received()[1].url.as_str().ends_with(location), "it is sent once");
    }
}

#[tokio::test]
async fn with_a_base_url_a_key_in_the_query_stays_on_its_origin() {
    let memory = memory();
    let client = HttpClientBuilder::over(memory.clone())
        .base_url("https://api.test")
        .credentials(Credentials::api_key_in_query("key", "v").unwrap())
        .build()
        .unwrap();
    client.get("/x").await.unwrap();
    client.get("https://other.test/x").await.unwrap();
    let queries: Vec<_> = memory
        .received()
        .iter()
        .map(|request| request.url.query().map(str::to_owned))
        .collect();
    assert_eq!(queries, [Some("key=v".to_owned()), None]);
}

#[tokio::test]
async fn a_key_in_a_header_of_any_name_stays_on_its_origin() {
    let memory = redirecting();
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::api_key("x-plain-name", "k").unwrap())
        .build()
        .unwrap();
    client.get("https://api.test/same").await.unwrap();
    client.get("https://api.test/away").await.unwrap();
    let seen: Vec<bool> = memory
        .received()
        .iter()
        .map(|request| request.header("x-plain-name").is_some())
        .collect();
    assert_eq!(seen, [true, true, true, false, false]);
}
