//! Requests arrive as the caller wrote them, without additions.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use networking_spi::ErrorKind;
use networking_spi::http::{HeaderValue, HttpClientExt, HttpRequest, HttpResponse, Method, StatusCode};

use super::H;
use crate::http::harness::{Setup, set_up};
use crate::http::origin::{Recorded, escaped, status_of};
use crate::kit::CaseResult;
use crate::{Failure, check, check_eq, check_error};

/// The one request that has arrived since the last look.
fn arrived(setup: &Setup, before: usize) -> Result<Recorded, Failure> {
    let all = setup.origin.all_requests();
    check_eq!(all.len(), before + 1, "requests that arrived");
    Ok(all[before].clone())
}

pub(in crate::http) async fn targets_arrive_as_written(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let targets = [
        "/",
        "//double//slash/",
        "/a%2Fb/c%2fd",
        "/a%20b%C3%BC%e4",
        "/~user/a:b@c!$&'()*+,;=d",
        "/%25/%3F%23",
        "/flag?flag",
        "/flags?a&b=&=c&&d=1",
        "/raw?x=%20+%2B%2f/?:@",
        "/tail?q=a//b/../c",
        "/empty?",
        "/semicolon;v=1/x?y;z",
        // What RFC 3986 does not allow in a query, but URLs have (WHATWG), with and without percent-encoding beside it.
        "/q?x={a}|b%26",
        "/q?%7Bx%7d={}&y=^`",
        "/q?^=[1]|\\",
        "/q?a|b=%",
    ];
    for (before, target) in targets.into_iter().enumerate() {
        // The fragment is not a part of the request (RFC 9110, section 7.1).
        let url = format!("{}#fragment", setup.origin.url(target));
        setup.client.get(&url).await?.bytes().await?;
        check_eq!(arrived(&setup, before)?.target(), target, "the target");
    }
    Ok(())
}

pub(in crate::http) async fn every_method_can_have_a_body(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let methods = [
        "DELETE", "OPTIONS", "PATCH", "PROPFIND", "purge", "pOsT", "get", "X-CUSTOM",
    ];
    let sent = methods.into_iter().flat_map(|method| [(method, "body"), (method, "")]);
    for (before, (method, body)) in sent.enumerate() {
        let name = Method::from_bytes(method.as_bytes()).expect("a valid method");
        let request = HttpRequest::new(name, setup.origin.url("/any").as_str()).with_body(body);
        setup.client.request(request).await?.bytes().await?;
        let request = arrived(&setup, before)?;
        check_eq!(request.method.as_str(), method, "the method");
        check_eq!(request.body, body, "the body of {method}");
    }
    Ok(())
}

pub(in crate::http) async fn bodies_have_their_length(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let table = [
        // RFC 9110, section 8.6: these methods expect a body, so its absence is announced.
        (Method::POST, "", Some("0")),
        (Method::PUT, "", Some("0")),
        (Method::PATCH, "", Some("0")),
        (Method::GET, "", None),
        (Method::HEAD, "", None),
        (Method::POST, "12345", Some("5")),
        (Method::DELETE, "12345", Some("5")),
    ];
    for (before, (method, body, length)) in table.into_iter().enumerate() {
        let request = HttpRequest::new(method.clone(), setup.origin.url("/length").as_str()).with_body(body);
        setup.client.request(request).await?.bytes().await?;
        let request = arrived(&setup, before)?;
        check_eq!(
            request.header("content-length"),
            length,
            "Content-Length of {method} with {body:?}"
        );
        check_eq!(
            request.header("transfer-encoding"),
            None,
            "Transfer-Encoding of {method} with {body:?}"
        );
    }
    Ok(())
}

pub(in crate::http) async fn header_values_are_bytes(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let values: [&[u8]; 4] = [b"caf\xe9", "h\u{fc}lle \u{2713}".as_bytes(), b"\x80\xff", b"a\tb"];
    let mut request = HttpRequest::new(Method::GET, setup.origin.url("/bytes").as_str());
    for value in values {
        let value = HeaderValue::from_bytes(value).expect("a valid value");
        request.headers.append("x-bytes", value);
    }
    setup.client.request(request).await?.bytes().await?;
    check_eq!(
        arrived(&setup, 0)?.values("x-bytes"),
        values.map(escaped),
        "the values of a header"
    );
    Ok(())
}

pub(in crate::http) async fn headers_of_the_caller_are_kept(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let headers = [
        ("host", "virtual.test:8080"),
        ("idempotency-key", "\"8e03978e-40d5-43dd-bc93-6894a57f9324\""),
        ("accept-encoding", "identity;q=0.5, x-custom"),
        ("accept", "text/x-custom"),
        ("user-agent", "conformance/1 (a comment)"),
        ("authorization", "Custom abc=="),
        ("cookie", "a=1; b=2"),
        ("referer", "http://referrer.test/page"),
        ("content-type", "text/plain; charset=us-ascii"),
    ];
    let mut request = HttpRequest::new(Method::POST, setup.origin.url("/kept").as_str()).with_body("x");
    for (name, value) in headers {
        request = request.with_header(name, value)?;
    }
    setup.client.request(request).await?.bytes().await?;
    let arrived = arrived(&setup, 0)?;
    for (name, value) in headers {
        check_eq!(
            arrived.values(name),
            [escaped(value.as_bytes())],
            "the values of {name}"
        );
    }
    Ok(())
}

pub(in crate::http) async fn cookies_are_not_sent_back(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.on("/login", |_| async {
        let mut response = HttpResponse::new(StatusCode::OK);
        for cookie in [
            "plain=1",
            "rooted=2; Path=/; HttpOnly",
            "lasting=3; Max-Age=3600; Path=/",
        ] {
            response.headers.append("set-cookie", HeaderValue::from_static(cookie));
        }
        response
    });
    for path in ["/login", "/login", "/after"] {
        setup.client.get(setup.origin.url(path)).await?.bytes().await?;
    }
    for request in setup.origin.all_requests() {
        check_eq!(
            request.header("cookie"),
            None,
            "cookies of a client without a cookie jar"
        );
    }
    Ok(())
}

pub(in crate::http) async fn no_referer_is_added(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.on("/moved", |_| async {
        status_of(302).with_header("location", "/target").expect("a header")
    });
    for path in ["/page?private=1", "/moved", "/next"] {
        setup.client.get(setup.origin.url(path)).await?.bytes().await?;
    }
    if harness.capabilities().redirect_control {
        check_eq!(setup.origin.hits("/target"), 1, "followed redirects");
    }
    for request in setup.origin.all_requests() {
        check_eq!(request.header("referer"), None, "the Referer of {}", request.path);
        check_eq!(request.header("origin"), None, "the Origin of {}", request.path);
    }
    Ok(())
}

pub(in crate::http) async fn user_information_becomes_credentials(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let own = |user: &str| {
        setup
            .origin
            .url("/private?x=1")
            .replacen("://", &format!("://{user}@"), 1)
    };
    let table: [(&str, &[u8]); 5] = [
        ("ada:hunter2", b"ada:hunter2"),
        ("ada", b"ada:"),
        (":token", b":token"),
        ("us%40er:p%2Fw%3A%20d", b"us@er:p/w: d"),
        ("%C3%BC:%FF", b"\xc3\xbc:\xff"),
    ];
    for (before, (user, pair)) in table.into_iter().enumerate() {
        let response = setup.client.get(own(user)).await?;
        let shown = response
            .url
            .as_ref()
            .map(|url| (url.username().to_owned(), url.password().is_some()));
        check!(
            shown.is_none_or(|shown| shown == (String::new(), false)),
            "the URL of the response has user information"
        );
        response.bytes().await?;
        let request = arrived(&setup, before)?;
        let basic = format!("Basic {}", STANDARD.encode(pair));
        check_eq!(
            request.values("authorization"),
            [basic.as_str()],
            "Authorization for {user}"
        );
        check_eq!(request.target(), "/private?x=1", "the target for {user}");
        check!(
            !request.header("host").is_some_and(|host| host.contains('@')),
            "Host has user information"
        );
    }
    let before = setup.origin.total_hits();
    setup
        .client
        .get(own("ada:hunter2"))
        .header("authorization", "Custom x")
        .await?
        .bytes()
        .await?;
    let request = arrived(&setup, before)?;
    check_eq!(
        request.values("authorization"),
        ["Custom x"],
        "the caller's Authorization"
    );
    for user in ["a%3Ab:c", "ada:%0D%0Ax"] {
        let error = check_error!(setup.client.get(own(user)).await, ErrorKind::InvalidInput, "{user}");
        check_eq!(error.field(), Some("url"), "the field that the error names");
    }
    check_eq!(setup.origin.total_hits(), before + 1, "requests that arrived");
    Ok(())
}
