//! Values of the HTTP contract: construction, validation, serialization, and redaction.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use networking_spi::http::{
    Attempts, BodySource, ByteStream, CircuitScope, HttpBody, HttpCapabilities, HttpCircuitOptions, HttpClientExt,
    HttpRequest, HttpResponse, Jitter, Method, MockHttpClient, OAuth2Grant, OAuth2Request, OAuth2Token, ProxyConfig,
    RequestOptions, RequestTarget, RetryBudget, RetryPolicy, StatusCode, TokenExchange,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Retryability};
use serde::Serialize;
use serde::de::DeserializeOwned;
use url::Url;

fn get(target: &str) -> HttpRequest {
    HttpRequest::new(Method::GET, target)
}

#[test]
fn a_query_goes_before_the_fragment_and_after_the_query() {
    for (target, expected) in [
        ("/a", "/a?n=v+1"),
        ("/a?", "/a?n=v+1"),
        ("/a?x=1", "/a?x=1&n=v+1"),
        ("/a#part", "/a?n=v+1#part"),
        ("/a?x=1#part", "/a?x=1&n=v+1#part"),
        ("/a#part?no", "/a?n=v+1#part?no"),
        ("", "?n=v+1"),
        ("https://a.test/#part", "https://a.test/?n=v+1#part"),
        ("https://a.test/?x=1", "https://a.test/?x=1&n=v+1"),
    ] {
        let request = get(target).with_query_pair("n", "v 1");
        let shown = match request.target {
            RequestTarget::Absolute(url) => url.to_string(),
            RequestTarget::Relative(reference) => reference,
        };
        assert_eq!(shown, expected, "{target}");
    }
}

#[test]
fn names_and_values_of_a_query_are_encoded() {
    let request = get("/a").with_query([("a&b", "c=d#e/ü")]).unwrap();
    let base: Url = "https://a.test".parse().unwrap();
    let RequestTarget::Absolute(url) = request.target.resolve(&base).unwrap() else {
        panic!("resolved")
    };
    let pairs: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    assert_eq!(pairs, [("a&b".to_owned(), "c=d#e/ü".to_owned())]);
    assert_eq!(url.fragment(), None);
}

#[test]
fn references_resolve_against_a_base() {
    let base: Url = "https://a.test/v1/".parse().unwrap();
    for (reference, expected) in [
        ("users", "https://a.test/v1/users"),
        ("/users", "https://a.test/users"),
        ("?x=1", "https://a.test/v1/?x=1"),
        ("../v2", "https://a.test/v2"),
        ("https://b.test/", "https://b.test/"),
    ] {
        let RequestTarget::Absolute(url) = RequestTarget::from(reference).resolve(&base).unwrap() else {
            panic!("resolved")
        };
        assert_eq!(url.as_str(), expected);
    }
    let error = RequestTarget::from("//[bad").resolve(&base).unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("url")));
}

#[test]
fn idempotency_is_method_key_or_word() {
    let of = |method| HttpRequest::new(method, "/");
    for method in [
        Method::GET,
        Method::HEAD,
        Method::OPTIONS,
        Method::PUT,
        Method::DELETE,
        Method::TRACE,
    ] {
        assert!(of(method.clone()).is_idempotent(), "{method}");
    }
    for method in [
        Method::POST,
        Method::PATCH,
        Method::CONNECT,
        Method::from_bytes(b"PURGE").unwrap(),
    ] {
        assert!(!of(method.clone()).is_idempotent(), "{method}");
        assert!(
            of(method.clone())
                .with_header("Idempotency-Key", "1")
                .unwrap()
                .is_idempotent(),
            "{method}"
        );
    }
    let word = |idempotent| RequestOptions::new().with_idempotent(idempotent);
    assert!(of(Method::POST).with_options(word(true)).is_idempotent());
    assert!(!of(Method::GET).with_options(word(false)).is_idempotent());
}

#[test]
fn what_a_header_cannot_be_is_named_without_its_value() {
    let error = get("/").with_header("not a name", "x").unwrap_err();
    assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("header")));
    let error = get("/").with_header("x-a", "line\nfeed").unwrap_err();
    assert_eq!(error.field(), Some("header.x-a"));
    assert!(!format!("{error:?}").contains("feed"));
    assert_eq!(get("/").with_bearer("line\nfeed").unwrap_err().field(), Some("token"));
    assert!(get("/").with_header("x-api-key", "k").unwrap().headers["x-api-key"].is_sensitive());
    assert!(get("/").with_bearer("t").unwrap().headers["authorization"].is_sensitive());
}

#[cfg(feature = "mock")]
#[tokio::test]
async fn the_first_mistake_of_a_builder_is_what_awaiting_returns() {
    use networking_spi::http::HttpClientExt;

    let client = networking_spi::http::MockHttpClient::new();
    let error = client
        .get("/")
        .header("not a name", "x")
        .header("x-a", "line\nfeed")
        .await
        .unwrap_err();
    assert_eq!(
        error.field(),
        Some("header"),
        "nothing was sent: the mock expects no call"
    );
}

#[test]
fn json_and_forms_keep_a_content_type_that_is_set() {
    let request = get("/")
        .with_header("content-type", "application/vnd.api+json")
        .unwrap()
        .with_json(&1)
        .unwrap();
    assert_eq!(request.headers["content-type"], "application/vnd.api+json");
    let request = get("/").with_form([("a", "1"), ("a", "2")]).unwrap();
    assert_eq!(request.body.as_bytes().unwrap(), "a=1&a=2");
    assert_eq!(request.headers["content-type"], "application/x-www-form-urlencoded");
}

#[derive(Debug)]
struct Source;

impl BodySource for Source {
    fn open(&self) -> ByteStream {
        chunks(&["ab", "c"])
    }

    fn length(&self) -> Option<u64> {
        Some(3)
    }
}

fn chunks(parts: &[&'static str]) -> ByteStream {
    stream::iter(
        parts
            .iter()
            .map(|part| Ok(Bytes::from_static(part.as_bytes())))
            .collect::<Vec<_>>(),
    )
    .boxed()
}

#[tokio::test]
async fn bodies_know_what_they_are() {
    let table = [
        (HttpBody::empty(), Some(0), true, ""),
        (HttpBody::from(""), Some(0), true, ""),
        (HttpBody::from("abc"), Some(3), true, "abc"),
        (HttpBody::source(Arc::new(Source)), Some(3), true, "abc"),
        (HttpBody::stream(chunks(&["ab", "c"]), None), None, false, "abc"),
        (HttpBody::stream(chunks(&[]), None), None, false, ""),
    ];
    for (body, length, again, content) in table {
        let shown = format!("{body:?}");
        assert_eq!(body.length(), length, "{shown}");
        assert_eq!(body.try_clone().is_some(), again, "{shown}");
        if let Some(copy) = body.try_clone() {
            assert_eq!(copy.collect(3).await.unwrap(), content, "{shown}");
        }
        assert_eq!(body.collect(3).await.unwrap(), content, "{shown}");
    }
}

#[tokio::test]
async fn collecting_stops_at_the_limit() {
    for body in [
        HttpBody::from("abcd"),
        HttpBody::stream(chunks(&["abcd"]), None),
        HttpBody::stream(chunks(&["ab", "cd"]), None),
    ] {
        let shown = format!("{body:?}");
        assert_eq!(
            body.collect(3).await.unwrap_err().kind(),
            ErrorKind::TooLarge,
            "{shown}"
        );
    }
    // The stream is not polled after the limit.
    let endless = stream::repeat_with(|| Ok(Bytes::from_static(b"x"))).boxed();
    assert_eq!(
        HttpBody::stream(endless, None).collect(10).await.unwrap_err().kind(),
        ErrorKind::TooLarge
    );
}

#[tokio::test]
async fn mapping_keeps_emptiness_and_length() {
    let upper = |chunks: ByteStream| chunks.map_ok(|chunk| Bytes::from(chunk.to_ascii_uppercase())).boxed();
    assert!(HttpBody::empty().map_stream(upper).is_empty());
    let body = HttpBody::from("abc").map_stream(upper);
    assert_eq!(body.length(), Some(3));
    assert_eq!(body.collect(3).await.unwrap(), "ABC");
}

#[tokio::test]
async fn bodies_that_do_not_decode_are_decode_errors() {
    let response = || HttpResponse::new(StatusCode::OK).with_body(vec![b'a', 0xff]);
    assert_eq!(response().text().await.unwrap_err().kind(), ErrorKind::Decode);
    assert_eq!(
        response().json::<serde_json::Value>().await.unwrap_err().kind(),
        ErrorKind::Decode
    );
    let response = HttpResponse::new(StatusCode::OK).with_json(&vec![1, 2]).unwrap();
    assert_eq!(response.json::<Vec<u8>>().await.unwrap(), [1, 2]);
}

#[test]
fn statuses_become_errors_by_their_meaning() {
    for (status, kind, retryable) in [
        (400, ErrorKind::Status, false),
        (401, ErrorKind::Authentication, false),
        (403, ErrorKind::PermissionDenied, false),
        (404, ErrorKind::NotFound, false),
        (407, ErrorKind::Authentication, false),
        (408, ErrorKind::Status, true),
        (410, ErrorKind::NotFound, false),
        (425, ErrorKind::Status, true),
        (429, ErrorKind::RateLimited, true),
        (500, ErrorKind::Status, true),
        (501, ErrorKind::Status, false),
        (503, ErrorKind::Status, true),
    ] {
        let response = HttpResponse::new(StatusCode::from_u16(status).unwrap());
        let error = response.error_for_status().unwrap_err();
        assert_eq!((error.kind(), error.status()), (kind, Some(status)));
        assert_eq!(error.retryability().is_retryable(), retryable, "{status}");
        assert!(error.is_a(ErrorKind::Status), "{status}");
    }
    for status in [100, 200, 204, 301, 304, 399] {
        assert!(
            HttpResponse::new(StatusCode::from_u16(status).unwrap())
                .error_for_status()
                .is_ok(),
            "{status}"
        );
    }
    let busy = HttpResponse::new(StatusCode::SERVICE_UNAVAILABLE)
        .with_header("retry-after", "12")
        .unwrap();
    assert_eq!(
        busy.status_error().unwrap().retryability(),
        Retryability::After(Duration::from_secs(12))
    );
}

#[test]
fn an_option_beyond_the_capabilities_names_the_capability() {
    let none = HttpCapabilities::none();
    let second = Duration::from_secs(1);
    let proxy = ProxyConfig::new("http://127.0.0.1:1".parse().unwrap());
    let options = RequestOptions::new;
    for (options, capability) in [
        (options().with_timeout(second), "timeout"),
        (options().with_attempt_timeout(second), "attempt_timeout"),
        (options().with_total_timeout(second), "total_timeout"),
        (options().with_retry(RetryPolicy::default()), "retry"),
        (options().with_retries(1), "retry"),
        (options().with_retry_delay(second), "retry"),
        (options().with_proxy(proxy), "per_request_proxy"),
        (options().with_verify_tls(false), "per_request_tls"),
        (options().with_follow_redirects(true), "redirect_control"),
        (options().with_max_response_size(1), "response_size_limit"),
        (options().with_raise_for_status(true), "raise_for_status"),
        (options().with_circuit("c"), "circuit_breaker"),
    ] {
        let error = options.require(none).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        assert_eq!(error.context().next(), Some(("capability", capability)));
    }
    let harmless = options()
        .without_timeout()
        .with_retries(0)
        .with_idempotent(true)
        .with_verify_tls(true)
        .with_follow_redirects(false)
        .with_raise_for_status(false);
    assert!(harmless.require(none).is_ok());
}

#[test]
fn merged_options_keep_what_the_changes_do_not_set() {
    let (one, two) = (Duration::from_secs(1), Duration::from_secs(2));
    let all = || {
        RequestOptions::new()
            .with_timeout(one)
            .with_attempt_timeout(one)
            .with_total_timeout(one)
            .with_retry(RetryPolicy::new(7))
            .with_retries(1)
            .with_retry_delay(one)
            .with_idempotent(true)
            .with_proxy(ProxyConfig::new("http://127.0.0.1:1".parse().unwrap()))
            .with_verify_tls(false)
            .with_follow_redirects(true)
            .with_max_response_size(1)
            .with_raise_for_status(true)
            .with_circuit("c")
    };
    let shown = |options: &RequestOptions| format!("{options:?}");
    assert_eq!(shown(&all().merged(RequestOptions::new())), shown(&all()));
    assert_eq!(shown(&RequestOptions::new().merged(all())), shown(&all()));
    let changes = RequestOptions::new().with_retries(2).with_raise_for_status(false);
    let merged = all().merged(changes);
    assert_eq!((merged.retries, merged.raise_for_status), (Some(2), Some(false)));
    assert_eq!(merged.timeout, Some(one));
    // Every order of setters keeps all of them.
    let options = || RequestOptions::new().with_verify_tls(false);
    let client = MockHttpClient::new();
    for request in [
        client.get("http://a.test/").timeout(two).retries(4).options(options()),
        client.get("http://a.test/").options(options()).timeout(two).retries(4),
        client
            .get("http://a.test/")
            .timeout(two)
            .options(options())
            .retries(9)
            .options(RequestOptions::new().with_retries(4)),
    ] {
        let options = request.into_request().unwrap().options;
        assert_eq!(
            (options.timeout, options.retries, options.verify_tls),
            (Some(two), Some(4), Some(false))
        );
    }
    let request = HttpRequest::new(Method::GET, "http://a.test/").with_timeout(two);
    assert_eq!(request.with_options(options()).options.timeout, Some(two));
}

#[test]
fn the_status_of_a_retried_response_is_not_retried_again() {
    for (status, retry_after, expected) in [
        (503, None, Retryability::Exhausted(None)),
        (429, Some("12"), Retryability::Exhausted(Some(Duration::from_secs(12)))),
        (404, None, Retryability::Never),
    ] {
        let mut response = HttpResponse::new(StatusCode::from_u16(status).unwrap());
        if let Some(value) = retry_after {
            response = response.with_header("retry-after", value).unwrap();
        }
        response.extensions.insert(Attempts(4));
        let error = response.status_error().unwrap();
        assert_eq!((error.retryability(), error.attempts()), (expected, 4), "{status}");
        assert!(!error.retryability().is_retryable());
        assert_eq!(error.retryability().is_transient(), status != 404);
    }
}

#[test]
fn policies_count_retries() {
    let policy = RetryPolicy::fixed(5, Duration::from_secs(2));
    assert_eq!(policy.max_attempts, 6);
    assert!((1..=6).all(|attempt| policy.backoff.delay(attempt, 0.3) == Duration::from_secs(2)));
    assert_eq!(policy.statuses, RetryPolicy::default().statuses);
    assert_eq!(RetryPolicy::default().with_retries(0).max_attempts, 1);
    assert_eq!(
        field_of(&RetryPolicy::fixed(100, Duration::ZERO)),
        "max_attempts",
        "at most 99 retries"
    );
    assert_eq!(field_of(&RetryPolicy::fixed(u32::MAX, Duration::ZERO)), "max_attempts");
    let default = RetryPolicy::default();
    assert_eq!(
        (default.max_attempts, default.backoff.initial),
        (4, Duration::from_secs(1))
    );
}

fn field_of(value: &impl Validate) -> String {
    let error = value.validate().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidInput);
    error.field().expect("the error names a field").to_owned()
}

#[test]
fn validation_names_the_field() {
    let second = Duration::from_secs(1);
    let policy = RetryPolicy::default;
    assert!(policy().validate().is_ok());
    for (policy, field) in [
        (RetryPolicy::new(0), "max_attempts"),
        (RetryPolicy::new(101), "max_attempts"),
        (policy().with_delays(second * 2, second), "backoff.maximum"),
        (policy().with_multiplier(0.9), "backoff.multiplier"),
        (policy().with_multiplier(f64::NAN), "backoff.multiplier"),
        (policy().with_multiplier(f64::INFINITY), "backoff.multiplier"),
        (policy().with_statuses([99]), "statuses"),
        (policy().with_statuses([1000]), "statuses"),
        (policy().with_budget(Some(RetryBudget::new(0, 0.5))), "budget.capacity"),
        (policy().with_budget(Some(RetryBudget::new(1, 0.0))), "budget.refill"),
        (policy().with_budget(Some(RetryBudget::new(1, 1.1))), "budget.refill"),
        (
            policy().with_budget(Some(RetryBudget::new(1, f64::NAN))),
            "budget.refill",
        ),
    ] {
        assert_eq!(field_of(&policy), field, "{policy:?}");
    }
    for url in ["ftp://a.test", "file:///x", "data:,x"] {
        assert_eq!(field_of(&ProxyConfig::new(url.parse().unwrap())), "url");
    }
    let named = |name: &str| HttpCircuitOptions::new().with_scope(CircuitScope::Named(name.to_owned()));
    for name in ["", " ", "line\nfeed", &"x".repeat(257)] {
        assert_eq!(field_of(&named(name)), "scope.named");
    }
    assert!(named("payments").validate().is_ok());
    let token_url: Url = "https://id.test/token".parse().unwrap();
    assert_eq!(
        field_of(&OAuth2Request::client_credentials(token_url, " ", "s")),
        "client_id"
    );
    let token_url: Url = "ftp://id.test/token".parse().unwrap();
    assert_eq!(
        field_of(&OAuth2Request::client_credentials(token_url, "id", "s")),
        "token_url"
    );
    let mut exchange = TokenExchange::new("");
    assert_eq!(field_of(&exchange), "subject_token");
    exchange.subject_token = "s".into();
    exchange.actor_token = Some("a".into());
    assert_eq!(field_of(&exchange), "actor_token_type");
    exchange.subject_token_type.clear();
    assert_eq!(field_of(&exchange), "subject_token_type");
}

/// Serializes a value, deserializes the text, and checks that the result serializes to the same text. Returns the text.
fn round_trip<T: Serialize + DeserializeOwned>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap();
    let read: T = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&read).unwrap(), text);
    text
}

#[test]
fn configurations_survive_serialization() {
    let policy = RetryPolicy::new(7)
        .with_delays(Duration::from_millis(250), Duration::from_secs(90))
        .with_jitter(Jitter::Equal)
        .with_budget(None);
    let text = round_trip(&policy);
    assert!(
        text.contains(r#""initial":"250ms""#) && text.contains(r#""jitter":"equal""#),
        "{text}"
    );
    let sparse: RetryPolicy = serde_json::from_str(r#"{"max_attempts": 2, "backoff": {"maximum": "1m"}}"#).unwrap();
    assert_eq!(sparse.max_attempts, 2);
    let expected = RetryPolicy::default().backoff.with_maximum(Duration::from_secs(60));
    assert_eq!(sparse.backoff, expected);

    round_trip(&ProxyConfig::new("socks5h://127.0.0.1:1080".parse().unwrap()).with_credentials("u", "p"));
    assert_eq!(round_trip(&HttpCircuitOptions::new()), r#"{"scope":"host"}"#);
    let named = HttpCircuitOptions::new().with_scope(CircuitScope::Named("all".to_owned()));
    assert_eq!(round_trip(&named), r#"{"scope":{"named":"all"}}"#);

    let url: Url = "https://id.test/token".parse().unwrap();
    let request = OAuth2Request::client_credentials(url.clone(), "id", "s")
        .with_scope("read")
        .with_audience("api");
    assert!(round_trip(&request).contains(r#""grant_type":"client_credentials""#));
    round_trip(&request.with_grant(OAuth2Grant::AuthorizationCode {
        code: "c".into(),
        redirect_uri: url,
        pkce_verifier: Some("v".into()),
    }));
    let url: Url = "https://id.test/token".parse().unwrap();
    let exchange = TokenExchange::new("s").with_actor("a", TokenExchange::JWT);
    for (grant, name) in [
        (
            OAuth2Grant::TokenExchange(exchange),
            "urn:ietf:params:oauth:grant-type:token-exchange",
        ),
        (
            OAuth2Grant::DeviceCode {
                device_code: "d".into(),
            },
            "urn:ietf:params:oauth:grant-type:device_code",
        ),
        (
            OAuth2Grant::Password {
                username: "u".to_owned(),
                password: "p".into(),
            },
            "password",
        ),
    ] {
        let text = round_trip(&OAuth2Request::new(url.clone(), "id", grant));
        assert!(text.contains(&format!(r#""grant_type":"{name}""#)), "{text}");
    }
    round_trip(&OAuth2Token::bearer("a"));
    let stored: OAuth2Token = serde_json::from_str(r#"{"access_token": "a", "token_type": "Bearer"}"#).unwrap();
    assert_eq!(stored, OAuth2Token::bearer("a"));
}

#[test]
fn nothing_shows_a_credential() {
    const SECRET: &str = "pl4nt3d";
    let mut shown = Vec::new();
    for target in [
        format!("https://u:{SECRET}@a.test/p?api_key={SECRET}#{SECRET}"),
        format!("/p?token={SECRET}"),
        format!("/p#{SECRET}"),
        format!("https://u:{SECRET}@a.test:99999/p"),
        format!("//u:{SECRET}@a.test/p"),
    ] {
        let request = get(&target)
            .with_bearer(SECRET)
            .unwrap()
            .with_header("cookie", SECRET)
            .unwrap()
            .with_body(SECRET);
        if let Err(error) = request.target.url() {
            shown.push(format!("{error} {error:?}"));
        }
        shown.push(format!("{request:?}"));
    }
    let mut response = HttpResponse::new(StatusCode::UNAUTHORIZED)
        .with_header("set-cookie", SECRET)
        .unwrap()
        .with_body(SECRET);
    response.url = Some(format!("https://a.test/?signature={SECRET}").parse().unwrap());
    let error: NetworkError = response.status_error().unwrap();
    shown.push(format!("{response:?} {error} {error:?}"));
    let proxy: Url = format!("http://u:{SECRET}@127.0.0.1").parse().unwrap();
    shown.push(format!("{:?}", ProxyConfig::new(proxy).with_credentials("u", SECRET)));
    let url: Url = "https://id.test/token".parse().unwrap();
    let grant = OAuth2Grant::RefreshToken {
        refresh_token: SECRET.into(),
    };
    shown.push(format!(
        "{:?}",
        OAuth2Request::client_credentials(url, "id", SECRET).with_grant(grant)
    ));
    let exchange = TokenExchange::new(SECRET).with_actor(SECRET, TokenExchange::JWT);
    shown.push(format!("{:?}", OAuth2Grant::TokenExchange(exchange)));
    for text in shown {
        assert!(!text.contains(SECRET), "{text}");
    }
    assert_eq!(
        format!("{:?}", get("https://u:pw@a.test/p?page=2").target),
        "https://[redacted]@a.test/p?page=2"
    );
    assert_eq!(format!("{:?}", get("/p?page=2").target), "/p");
    for url in [
        "http://u:p?w@a.test/x",
        "http://u:p#w@a.test/x?y",
        "http://u:p/w@a.test/x",
    ] {
        assert_eq!(format!("{:?}", get(url).target), "http://[redacted]@a.test/x", "{url}");
    }
    assert_eq!(format!("{:?}", get("//a.test/x?to=b@c").target), "//a.test/x");
    assert_eq!(format!("{:?}", get("/x?next=http://a@b").target), "/x");
}
