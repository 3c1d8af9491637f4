//! Requests arrive unchanged.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_spi::ErrorKind;
use networking_spi::http::{HttpBody, HttpClientExt, HttpRequest, Method};

use super::{H, every_byte};
use crate::http::harness::set_up;
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

pub(in crate::http) async fn method_and_body_arrive(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let url = setup.origin.url("/echo");
    // Every byte value, in more bytes than one TCP segment holds.
    let body = every_byte(400);
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PURGE"] {
        let method = Method::from_bytes(method.as_bytes()).expect("a valid method");
        let sent = if matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            body.clone()
        } else {
            Bytes::new()
        };
        let request = HttpRequest::new(method.clone(), url.as_str()).with_body(sent.clone());
        setup.client.request(request).await?.bytes().await?;
        let arrived = setup.origin.requests("/echo");
        let last = arrived
            .last()
            .ok_or_else(|| crate::Failure::new("no request arrived"))?;
        check_eq!(last.method, method, "method");
        check!(
            last.body == sent,
            "{method}: the body did not arrive unchanged: {} bytes of {}",
            last.body.len(),
            sent.len()
        );
    }
    check_eq!(setup.origin.hits("/echo"), 7, "requests that arrived");
    Ok(())
}

pub(in crate::http) async fn headers_arrive(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let mut request = HttpRequest::new(Method::GET, setup.origin.url("/headers").as_str())
        .with_header("x-single", "one")?
        .with_header("x-empty", "")?
        .with_header("x-spaced", "two words")?;
    request.headers.append("x-many", "a".parse().expect("a value"));
    request.headers.append("x-many", "b".parse().expect("a value"));
    setup.client.request(request).await?.bytes().await?;
    let arrived = setup.origin.requests("/headers");
    check_eq!(arrived[0].header("x-single"), Some("one"), "a header");
    check_eq!(arrived[0].header("x-empty"), Some(""), "an empty header");
    check_eq!(
        arrived[0].header("x-spaced"),
        Some("two words"),
        "a header with a space"
    );
    let many: Vec<String> = arrived[0]
        .headers
        .get_all("x-many")
        .iter()
        .flat_map(|value| {
            value
                .to_str()
                .unwrap_or_default()
                .split(',')
                .map(|value| value.trim().to_owned())
        })
        .collect();
    check_eq!(many, ["a", "b"], "a header with two values");
    Ok(())
}

pub(in crate::http) async fn query_arrives_encoded(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let url = setup.origin.url("/query?first=1");
    setup
        .client
        .get(&url)
        .query([("a b", "c&d=e/ü")])
        .await?
        .bytes()
        .await?;
    let arrived = setup.origin.requests("/query");
    let query = arrived[0].query.clone().unwrap_or_default();
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let expected = [
        ("first".to_owned(), "1".to_owned()),
        ("a b".to_owned(), "c&d=e/ü".to_owned()),
    ];
    check_eq!(pairs, expected, "query parameters");
    Ok(())
}

pub(in crate::http) async fn json_and_forms_have_their_content_type(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let url = setup.origin.url("/typed");
    setup
        .client
        .post(&url)
        .json(&serde_json::json!({"a": 1}))
        .await?
        .bytes()
        .await?;
    setup
        .client
        .post(&url)
        .form([("a", "1 2"), ("b", "&")])
        .await?
        .bytes()
        .await?;
    let arrived = setup.origin.requests("/typed");
    check_eq!(
        arrived[0].header("content-type"),
        Some("application/json"),
        "content type of JSON"
    );
    check_eq!(arrived[0].body, r#"{"a":1}"#, "JSON");
    check_eq!(
        arrived[1].header("content-type"),
        Some("application/x-www-form-urlencoded"),
        "content type of a form"
    );
    check_eq!(arrived[1].body, "a=1+2&b=%26", "form");
    Ok(())
}

pub(in crate::http) async fn stream_bodies_arrive_whole(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let url = setup.origin.url("/upload");
    for length in [None, Some(9)] {
        let chunks = ["abc", "def", "ghi"].map(|chunk| Ok(Bytes::from_static(chunk.as_bytes())));
        let body = HttpBody::stream(stream::iter(chunks).boxed(), length);
        setup.client.post(&url).body(body).await?.bytes().await?;
    }
    let arrived = setup.origin.requests("/upload");
    check_eq!(arrived[0].body, "abcdefghi", "a stream of unknown length");
    check_eq!(arrived[1].body, "abcdefghi", "a stream of known length");
    if setup.origin.network() && harness.capabilities().streaming_upload {
        check_eq!(arrived[1].header("content-length"), Some("9"), "the announced length");
    }
    Ok(())
}

pub(in crate::http) async fn only_http_urls_are_accepted(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    for url in ["ftp://127.0.0.1/file", "mailto:ada@example.com", "data:,x"] {
        let error = check_error!(setup.client.get(url).await, ErrorKind::InvalidInput, "{url}");
        check_eq!(error.field(), Some("url"), "the field that the error names");
    }
    check_eq!(setup.origin.total_hits(), 0, "requests that arrived");
    Ok(())
}

pub(in crate::http) async fn relative_targets_are_resolved(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.client.get("/a/b?c=d").await?.bytes().await?;
    setup.client.get("relative").await?.bytes().await?;
    check_eq!(setup.origin.hits("/a/b"), 1, "an absolute path");
    check_eq!(
        setup.origin.requests("/a/b")[0].query.as_deref(),
        Some("c=d"),
        "its query"
    );
    check_eq!(setup.origin.hits("/relative"), 1, "a relative path");
    let elsewhere = check_error!(
        setup.client.get("//127.0.0.2/x").await,
        ErrorKind::InvalidInput,
        "another host"
    );
    check_eq!(elsewhere.field(), Some("url"), "the field that the error names");
    Ok(())
}
