//! Responses are returned unchanged.

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use networking_spi::ErrorKind;
use networking_spi::http::{HeaderMap, HeaderValue, HttpBody, HttpClientExt, HttpResponse, StatusCode, Version};

use super::{H, every_byte};
use crate::http::harness::set_up;
use crate::http::origin::{escaped, status_of, values};
use crate::http::server::Server;
use crate::kit::CaseResult;
use crate::{check, check_eq, check_error};

pub(in crate::http) async fn every_status_is_a_response(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    for status in [
        200, 201, 204, 304, 400, 401, 403, 404, 410, 418, 429, 500, 502, 503, 599,
    ] {
        let path = format!("/status/{status}");
        setup.origin.reply_statuses(&path, &[status]);
        let response = setup.client.get(setup.origin.url(&path)).await?;
        check_eq!(response.status.as_u16(), status, "status");
        response.bytes().await?;
        check_eq!(setup.origin.hits(&path), 1, "requests for one call");
    }
    Ok(())
}

pub(in crate::http) async fn headers_and_body_come_back(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let body = every_byte(4_096);
    let sent = body.clone();
    setup.origin.on("/large", move |_| {
        let sent = sent.clone();
        async move {
            let mut response = HttpResponse::new(StatusCode::OK).with_body(sent);
            response.headers.append("set-cookie", "a=1".parse().expect("a value"));
            response.headers.append("set-cookie", "b=2".parse().expect("a value"));
            response.headers.append("x-kind", "large".parse().expect("a value"));
            response
        }
    });
    let response = setup.client.get(setup.origin.url("/large")).await?;
    let cookies: Vec<&[u8]> = response
        .headers
        .get_all("set-cookie")
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    check_eq!(cookies, [b"a=1", b"b=2"], "a header with two values");
    check_eq!(
        response.headers.get("x-kind").map(HeaderValue::as_bytes),
        Some(b"large".as_slice()),
        "a header"
    );
    let received = response.bytes().await?;
    check!(
        received == body,
        "the body is not the one that was sent: {} bytes of {}",
        received.len(),
        body.len()
    );
    Ok(())
}

pub(in crate::http) async fn trailers_are_known_at_the_end_of_the_body(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let mut fields = HeaderMap::new();
    fields.append("x-sum", HeaderValue::from_static("1"));
    fields.append("x-sum", HeaderValue::from_static("2"));
    fields.insert("x-status", HeaderValue::from_static("done"));
    let sent = fields.clone();
    setup.origin.on("/trailers", move |_| {
        let sent = sent.clone();
        let chunks = stream::iter(["one", "two"].map(|chunk| Ok(Bytes::from_static(chunk.as_bytes()))));
        async move {
            HttpResponse::new(StatusCode::OK)
                .with_header("trailer", "x-sum, x-status")
                .expect("a header")
                .with_body(HttpBody::stream(chunks.boxed(), None))
                .with_trailers(sent)
        }
    });
    let asked = || {
        let request = setup.client.get(setup.origin.url("/trailers"));
        request.header("te", "trailers").header("connection", "te")
    };
    let response = asked().await?;
    check!(
        response.trailers.get().is_none(),
        "trailers are known before the body has ended"
    );
    let trailers = response.trailers.clone();
    let headers = response.headers.clone();
    check_eq!(response.bytes().await?, "onetwo", "the body");
    check_eq!(trailers.get(), Some(&fields), "the trailers");
    check!(
        !headers.contains_key("x-sum") && !headers.contains_key("x-status"),
        "trailers are among the headers"
    );
    let response = asked().await?.buffered().await?;
    check_eq!(
        response.trailers.get(),
        Some(&fields),
        "the trailers of a buffered response"
    );

    let without = setup.client.get(setup.origin.url("/without")).await?;
    let trailers = without.trailers.clone();
    without.bytes().await?;
    check_eq!(trailers.get(), None, "the trailers of a response without any");
    Ok(())
}

pub(in crate::http) async fn head_and_empty_statuses_have_no_body(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    setup.origin.reply(
        "/page",
        vec![|| HttpResponse::new(StatusCode::OK).with_body("not for HEAD")],
    );
    let response = setup.client.head(setup.origin.url("/page")).await?;
    check_eq!(response.status, 200, "status");
    check_eq!(response.bytes().await?, "", "body of a response to HEAD");
    for status in [204, 304] {
        let path = format!("/empty/{status}");
        setup.origin.reply_statuses(&path, &[status]);
        check_eq!(
            setup.client.get(setup.origin.url(&path)).await?.bytes().await?,
            "",
            "body of a {status}"
        );
    }
    Ok(())
}

pub(in crate::http) async fn the_url_is_the_one_that_answered(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let url = setup.origin.url("/here?x=1");
    let response = setup.client.get(&url).await?;
    if let Some(answered) = &response.url {
        check_eq!(answered.as_str(), url, "the URL that answered");
    }
    Ok(())
}

pub(in crate::http) async fn raise_for_status_makes_statuses_errors(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let options = || networking_spi::http::RequestOptions::new().with_raise_for_status(true);
    let expected = [
        (401, ErrorKind::Authentication),
        (403, ErrorKind::PermissionDenied),
        (404, ErrorKind::NotFound),
        (429, ErrorKind::RateLimited),
        (418, ErrorKind::Status),
        (503, ErrorKind::Status),
    ];
    for (status, kind) in expected {
        let path = format!("/raise/{status}");
        setup.origin.reply(
            &path,
            vec![move || status_of(status).with_header("retry-after", "7").expect("a header")],
        );
        let result = setup.client.get(setup.origin.url(&path)).options(options()).await;
        let error = check_error!(result, kind, "status {status}");
        check!(
            error.is_a(ErrorKind::Status),
            "{status}: the error is not a Status error"
        );
        check_eq!(error.status(), Some(status), "the status in the error");
        if matches!(status, 429 | 503) {
            let wait = Some(std::time::Duration::from_secs(7));
            check_eq!(error.retryability().delay(), wait, "the delay of Retry-After");
        }
    }
    let fine = setup.client.get(setup.origin.url("/fine")).options(options()).await?;
    check_eq!(fine.status, 200, "a status that is not an error");
    Ok(())
}

pub(in crate::http) async fn every_header_comes_back(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    let sent: [&[u8]; 7] = [
        b"one",
        b"",
        b"two, three",
        b"caf\xe9",
        "\u{2713}".as_bytes(),
        b"a\tb",
        b"one",
    ];
    setup.origin.on("/headers", move |_| async move {
        let mut response = HttpResponse::new(StatusCode::OK).with_body("x");
        for name in ["x-many", "www-authenticate", "link", "warning"] {
            for value in sent {
                let value = HeaderValue::from_bytes(value).expect("a valid value");
                response.headers.append(name, value);
            }
        }
        response
    });
    let response = setup.client.get(setup.origin.url("/headers")).await?;
    for name in ["x-many", "www-authenticate", "link", "warning"] {
        check_eq!(
            values(&response.headers, name),
            sent.map(escaped),
            "the values of {name}"
        );
    }
    Ok(())
}

pub(in crate::http) async fn the_version_is_that_of_the_response(harness: H) -> CaseResult {
    let setup = set_up(&harness).await?;
    for (line, version) in [("HTTP/1.1", Version::HTTP_11), ("HTTP/1.0", Version::HTTP_10)] {
        let server = Server::raw(move |mut connection, _| async move {
            connection.read_head().await?;
            let answer = format!("{line} 200 Fine\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
            connection.write(answer.as_bytes()).await
        })
        .await?;
        let response = setup.client.get(server.url("/version")).await?;
        check_eq!(response.version, version, "the version of a response in {line}");
        check_eq!(response.bytes().await?, "ok", "body");
    }
    Ok(())
}
