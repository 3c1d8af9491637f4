//! What an application writes: requests from values, responses read in several ways, errors that explain themselves. Apart from
//! the client, everything is imported from the prelude.

use networking_http::{HttpClientBuilder, MemoryHttpClient, Reply, StandardHttpClient};
use networking_spi::prelude::*;

const URL: &str = "http://api.test/items";

fn echo() -> (StandardHttpClient<MemoryHttpClient>, MemoryHttpClient) {
    let memory = MemoryHttpClient::new();
    for method in [Method::GET, Method::POST, Method::PUT] {
        memory.route(method, "/{*any}", Reply::ok()).unwrap();
    }
    (HttpClientBuilder::over(memory.clone()).build().unwrap(), memory)
}

/// A client whose transport answers with what `make` returns.
fn answering(make: impl Fn() -> HttpResponse + Send + Sync + 'static) -> StandardHttpClient<MemoryHttpClient> {
    let make = Arc::new(make);
    let respond = InterceptorFn::new().before(move |_| {
        let make = Arc::clone(&make);
        async move { Ok(make()) }
    });
    HttpClientBuilder::over(MemoryHttpClient::new())
        .interceptor(respond)
        .build()
        .unwrap()
}

fn json_answer(status: u16, media_type: &str, body: &str) -> StandardHttpClient<MemoryHttpClient> {
    let (media_type, body) = (media_type.to_owned(), body.to_owned());
    answering(move || {
        HttpResponse::new(StatusCode::from_u16(status).unwrap())
            .with_header("content-type", media_type.as_str())
            .unwrap()
            .with_body(body.clone())
    })
}

#[tokio::test]
async fn requests_are_made_of_the_values_that_applications_have() {
    #[derive(serde::Serialize)]
    struct Filter {
        page: u32,
        tags: Vec<&'static str>,
        before: Option<u64>,
        draft: bool,
    }

    let (client, memory) = echo();
    let url: Url = URL.parse().unwrap();
    let filter = Filter {
        page: 2,
        tags: vec!["a b", "ü"],
        before: None,
        draft: true,
    };
    client
        .get(&url)
        .headers(std::collections::HashMap::from([
            ("x-tenant", "acme"),
            ("accept", "text/csv"),
        ]))
        .headers([("accept", "application/json")])
        .basic("ada", "s3cret")
        .query(&filter)
        .query([("n", 1), ("n", 2)])
        .query_pair("rate", 0.5)
        .idempotent(true)
        .await
        .unwrap();
    let received = &memory.received()[0];
    assert_eq!(
        received.url.query(),
        Some("page=2&tags=a+b&tags=%C3%BC&draft=true&n=1&n=2&rate=0.5")
    );
    assert_eq!(received.header("authorization"), Some("Basic YWRhOnMzY3JldA=="));
    assert_eq!(received.header("accept"), Some("application/json"));
    assert_eq!(received.header("x-tenant"), Some("acme"));

    memory.clear_received();
    client.post(url).form([("a", "1 2"), ("b", "&")]).await.unwrap();
    let map = std::collections::BTreeMap::from([("k", 7)]);
    client.put(String::from(URL)).form(map).await.unwrap();
    let bodies: Vec<Bytes> = memory.received().iter().map(|request| request.body.clone()).collect();
    assert_eq!(bodies, ["a=1+2&b=%26", "k=7"]);

    for error in [
        client.get(URL).query(7).await.unwrap_err(),
        client.get(URL).query("a=b").await.unwrap_err(),
        client.get(URL).query([("a", [("b", 1)])]).await.unwrap_err(),
        client.post(URL).form(true).await.unwrap_err(),
    ] {
        assert_eq!(error.kind(), ErrorKind::Encode, "{error}");
    }
    for (url, problem) in [
        ("localhost:8080/x", "has the scheme `localhost`"),
        ("ftp://api.test/", "has the scheme `ftp`"),
        ("ada:hunter2@api.test/", "must be an http or https URL"),
        ("api.test/x", "is not an absolute URL"),
    ] {
        let error = client.get(url).await.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("url")));
        assert!(error.message().contains(problem), "{error}");
        assert!(!format!("{error} {error:?}").contains("ada"), "{error:?}");
    }
    for (error, field) in [
        (client.get(URL).basic("a:b", "x").await.unwrap_err(), "username"),
        (client.get(URL).basic("a", "hunter2\n").await.unwrap_err(), "password"),
        (client.get(URL).headers([("a b", "x")]).await.unwrap_err(), "header"),
        (
            client.get(URL).headers([("x-a", "hunter2\n")]).await.unwrap_err(),
            "header.x-a",
        ),
        (
            client.get(URL).proxy("http://u:hunter2@p:99999").await.unwrap_err(),
            "proxy.url",
        ),
        (client.get("http://u:hunter2@p:99999/").await.unwrap_err(), "url"),
    ] {
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
}

#[tokio::test]
async fn options_of_a_request_are_set_one_by_one() {
    let (client, _) = echo();
    let request = client
        .get(URL)
        .proxy("socks5://proxy.test:1080")
        .verify_tls(false)
        .attempt_timeout(Duration::from_secs(3))
        .follow_redirects(false)
        .max_response_size(7)
        .circuit("items")
        .into_request()
        .unwrap();
    let options = request.options;
    assert_eq!(options.proxy.unwrap().url.as_str(), "socks5://proxy.test:1080");
    assert_eq!(
        (options.verify_tls, options.attempt_timeout, options.follow_redirects),
        (Some(false), Some(Duration::from_secs(3)), Some(false))
    );
    assert_eq!(
        (options.max_response_size, options.circuit.as_deref()),
        (Some(7), Some("items"))
    );
}

#[test]
fn the_errors_of_values_become_network_errors() {
    fn host(url: &str, header: &str) -> Result<String, NetworkError> {
        let url: Url = url.parse()?;
        let value = HeaderValue::from_str(header)?;
        let name = HeaderName::from_bytes(header.as_bytes())?;
        let method: Method = header.parse()?;
        Ok(format!("{url} {name:?} {method} {}", value.to_str()?))
    }
    for (url, header, field) in [
        ("http://example.com:99999", "x", "url"),
        ("http://example.com", "\n", "header"),
        ("http://example.com", "a b", "header"),
    ] {
        assert_eq!(host(url, header).unwrap_err().field(), Some(field));
    }
}

#[tokio::test]
async fn an_error_status_keeps_the_response_and_its_problem() {
    let body = r#"{"type": "https://api.test/credit", "title": "Out of credit", "status": 403, "detail": "Your balance is 30", "instance": "/a/12", "balance": 30}"#;
    let client = json_answer(403, "application/problem+json; charset=utf-8", body);
    let opted_out = client.get(URL).await.unwrap().error_for_status().unwrap_err();
    let raised = client.get(URL).raise_for_status(true).await.unwrap_err();
    let buffered = client.get(URL).await.unwrap().buffered().await.unwrap();
    for error in [opted_out, raised, buffered.error_for_status().unwrap_err()] {
        assert_eq!((error.kind(), error.status()), (ErrorKind::PermissionDenied, Some(403)));
        let problem = error.problem().unwrap();
        assert_eq!(problem.kind, "https://api.test/credit");
        assert_eq!(problem.title.as_deref(), Some("Out of credit"));
        assert_eq!(problem.detail.as_deref(), Some("Your balance is 30"));
        assert_eq!(
            (problem.status, problem.instance.as_deref()),
            (Some(403), Some("/a/12"))
        );
        assert_eq!(problem.extensions["balance"], 30);
        let response = error.response().unwrap();
        assert_eq!((response.text(), response.complete), (body.into(), true));
        assert!(error.to_string().contains("problem: Out of credit"), "{error}");
        assert!(
            !format!("{error} {error:?}").contains("balance"),
            "a body is never printed"
        );
    }
    let plain = json_answer(500, "text/plain", "out of hunter2");
    let error = plain.get(URL).raise_for_status(true).await.unwrap_err();
    assert_eq!(
        (error.problem(), error.response().unwrap().text()),
        (None, "out of hunter2".into())
    );
    assert!(!format!("{error} {error:?}").contains("hunter2"));
}

/// A response whose body is `parts`, and then never ends.
fn endless(status: StatusCode, parts: Vec<Bytes>) -> HttpResponse {
    use futures_util::{StreamExt, stream};
    let parts = stream::iter(parts.into_iter().map(Ok)).chain(stream::pending());
    HttpResponse::new(status).with_body(HttpBody::stream(parts.boxed(), None))
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_arrive_does_not_hide_the_status() {
    let client = answering(|| endless(StatusCode::BAD_GATEWAY, vec![Bytes::from_static(b"half")]));
    let error = client.get(URL).raise_for_status(true).await.unwrap_err();
    let response = error.response().unwrap();
    assert_eq!(
        (error.status(), &response.body[..], response.complete),
        (Some(502), &b"half"[..], false)
    );
    // A response that is no error is returned with its head.
    let before = tokio::time::Instant::now();
    let client = answering(|| endless(StatusCode::OK, Vec::new()));
    client.get(URL).await.unwrap();
    assert_eq!(before.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn the_excerpt_of_a_body_is_bounded_and_stays_a_part_of_the_body() {
    let large = Bytes::from(vec![b'x'; 40 << 10]);
    let parts = vec![large.clone(), large.clone(), large.clone()];
    let client = answering(move || endless(StatusCode::BAD_GATEWAY, parts.clone()));
    let mut response = client.get(URL).await.unwrap();
    let excerpt = response.status_error().unwrap().response().unwrap().clone();
    assert_eq!((excerpt.body.len(), excerpt.complete), (ErrorResponse::MAX_BODY, false));
    let mut read = 0;
    while read < 3 * large.len() {
        read += response.chunk().await.unwrap().unwrap().len();
    }
    assert_eq!(read, 3 * large.len());
}

#[tokio::test]
async fn json_errors_show_where_and_what_the_peer_sent() {
    for (media_type, body, line, column, message) in [
        (
            "text/html; charset=utf-8",
            "<html>hunter2",
            Some("1"),
            Some("1"),
            "is not JSON",
        ),
        (
            "application/json",
            "{\"id\": 1,\n \"a\" 2}",
            Some("2"),
            Some("6"),
            "is not JSON",
        ),
        (
            "application/json",
            "{\"id\": 1,\n",
            Some("2"),
            Some("0"),
            "ends too early",
        ),
        ("application/json", "", Some("1"), Some("0"), "is empty"),
        (
            "application/json",
            "{\"id\": \"hunter2\"}",
            Some("1"),
            Some("16"),
            "of the expected shape",
        ),
        ("application/json", "{}", Some("1"), Some("2"), "it has no `id`"),
    ] {
        #[derive(Debug, serde::Deserialize)]
        struct Item {
            #[allow(dead_code, reason = "only its type matters")]
            id: u64,
        }

        let client = json_answer(200, media_type, body);
        let error = client.get(URL).await.unwrap().json::<Item>().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Decode);
        assert!(!error.is_a(ErrorKind::Status), "200 is no error status");
        assert!(error.message().contains(message), "{error}");
        assert_eq!((error.get("line"), error.get("column")), (line, column), "{error}");
        assert_eq!(
            (error.get("status"), error.get("content-type")),
            (Some("200"), Some(media_type))
        );
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }
}

#[tokio::test]
async fn json_is_read_in_its_charset() {
    for (media_type, body) in [
        ("application/json", &b"\xEF\xBB\xBF\"\xC3\xBC\""[..]),
        ("application/json; charset=UTF-8", b"\"\xC3\xBC\""),
        ("application/json; charset=iso-8859-1", b"\"\xFC\""),
        ("application/json; charset=utf-16le", b"\"\x00\xFC\x00\"\x00"),
        ("application/json", b"\xFE\xFF\x00\"\x00\xFC\x00\""),
    ] {
        let client = answering(move || {
            let response = HttpResponse::new(StatusCode::OK).with_header("content-type", media_type);
            response.unwrap().with_body(body)
        });
        let text: String = client.get(URL).await.unwrap().json().await.unwrap();
        assert_eq!(text, "ü", "{media_type}");
        let buffered = client.get(URL).await.unwrap().buffered().await.unwrap();
        assert_eq!(buffered.json::<String>().unwrap(), "ü");
        assert_eq!(
            (buffered.text().unwrap(), buffered.content()),
            ("\"ü\"".into(), &Bytes::from_static(body))
        );
    }
}

#[tokio::test]
async fn the_size_limit_names_its_setting() {
    let memory = MemoryHttpClient::new();
    memory
        .route(Method::GET, "/{*any}", Reply::ok().with_body("hello"))
        .unwrap();
    let client = HttpClientBuilder::over(memory).build().unwrap();
    let error = async { client.get(URL).max_response_size(4).await?.bytes().await }
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind(), error.get("setting")),
        (ErrorKind::TooLarge, Some("max_response_size"))
    );
    let message = error.message();
    assert!(
        message.contains("4 bytes") && message.contains("raise `max_response_size`"),
        "{message}"
    );
    assert_eq!(
        client
            .get(URL)
            .max_response_size(5)
            .await
            .unwrap()
            .text()
            .await
            .unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn values_are_exchanged_as_json_over_a_websocket() {
    use networking_http::websocket::MemoryWebSocketServer;

    let server = MemoryWebSocketServer::new();
    let url: Url = "wss://stream.test/events".parse().unwrap();
    let connection = server
        .client()
        .connect(WebSocketRequest::new(&url).unwrap())
        .await
        .unwrap();
    let (_, peer) = server.accept().await;
    connection.send_json(&[("subscribe", "ticker")]).await.unwrap();
    assert_eq!(
        peer.next().await.unwrap().unwrap().as_text(),
        Some(r#"[["subscribe","ticker"]]"#)
    );
    peer.send_binary("7").await.unwrap();
    peer.send_text("{\"secret\": \"hunter2\"}").await.unwrap();
    peer.send_text("8").await.unwrap();
    assert_eq!(connection.receive_json().await.unwrap(), Some(7));
    let error = connection.receive_json::<u8>().await.unwrap_err();
    assert_eq!((error.kind(), error.get("column")), (ErrorKind::Decode, Some("0")));
    assert!(!error.to_string().contains("hunter2"), "{error}");
    assert_eq!(
        connection.receive_json().await.unwrap(),
        Some(8),
        "the connection stays open"
    );
    let closing = tokio::spawn(async move { peer.close().await });
    assert_eq!(connection.receive_json::<u8>().await.unwrap(), None);
    closing.await.unwrap().unwrap();
    connection.close().await.unwrap();
    for (url, problem) in [
        ("wss://h:99999/", "invalid port"),
        ("https://h/", "ws or wss"),
        ("h/x", "not an absolute URL"),
    ] {
        let error = WebSocketRequest::new(url).unwrap_err();
        assert_eq!(error.field(), Some("url"));
        assert!(error.message().contains(problem), "{error}");
    }
}
