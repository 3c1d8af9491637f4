//! Extended operations.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use networking_spi::ErrorKind;
use networking_spi::compression::CompressionType;
use networking_spi::error::context;
use networking_spi::http::{
    HttpBody, HttpRequest, HttpResponse, JwtAlgorithm, Method, OAuth2Grant, OAuth2Request, StatusCode, TokenExchange,
};
use networking_spi::secret::Secret;
use networking_spi::websocket::WebSocketRequest;
use serde_json::json;
use url::Url;

use super::H;
use crate::http::harness::set_up_extended;
use crate::kit::{CaseResult, Failure, chain};
use crate::{check, check_eq, check_error};

pub(in crate::http) async fn extended_capabilities_agree(harness: H) -> CaseResult {
    let (_origin, client) = set_up_extended(&harness).await?;
    let declared = harness.extended_capabilities().unwrap_or_default();
    check_eq!(
        client.extended_capabilities(),
        declared,
        "extended capabilities of the client"
    );
    let url = || "http://127.0.0.1:9/".parse().expect("a URL");
    if !declared.websocket {
        let request = WebSocketRequest::new("ws://127.0.0.1:9/")?;
        check_error!(
            client.websocket_connect(request).await,
            ErrorKind::Unsupported,
            "websocket_connect"
        );
    }
    if !declared.oauth2 {
        let request = OAuth2Request::client_credentials(url(), "id", "secret");
        check_error!(
            client.authenticate_oauth2(request).await,
            ErrorKind::Unsupported,
            "authenticate_oauth2"
        );
    }
    if !declared.jwt {
        let result = client.authenticate_jwt("a.b.c", JwtAlgorithm::Hs256).await;
        check_error!(result, ErrorKind::Unsupported, "authenticate_jwt");
    }
    if !declared.streaming {
        let request = HttpRequest::new(Method::GET, "http://127.0.0.1:9/");
        check_error!(
            client.stream_request(request, 1).await,
            ErrorKind::Unsupported,
            "stream_request"
        );
    }
    match client.connection_pool_stats() {
        Ok(_) => check!(declared.pool_stats, "connection_pool_stats works, but is not declared"),
        Err(error) => {
            check!(
                !declared.pool_stats,
                "connection_pool_stats is declared: {}",
                chain(&error)
            );
            check_eq!(error.kind(), ErrorKind::Unsupported, "connection_pool_stats");
        }
    }
    for compression in CompressionType::ALL {
        if !declared.compression.contains(compression) {
            let packed = client.compress_request("x".into(), *compression).await;
            check_error!(packed, ErrorKind::Unsupported, "compress_request with {compression}");
            let unpacked = client.decompress_response("x".into(), *compression).await;
            check_error!(
                unpacked,
                ErrorKind::Unsupported,
                "decompress_response with {compression}"
            );
        }
    }
    Ok(())
}

pub(in crate::http) async fn chunks_have_the_requested_size(harness: H) -> CaseResult {
    let (origin, client) = set_up_extended(&harness).await?;
    origin.on("/pieces", |_| async {
        let pieces = ["a", "bcdefg", "", "hij"].map(|piece| Ok(Bytes::from_static(piece.as_bytes())));
        HttpResponse::new(StatusCode::CREATED).with_body(HttpBody::stream(stream::iter(pieces).boxed(), None))
    });
    let request = || HttpRequest::new(Method::GET, origin.url("/pieces").as_str());
    let streamed = client.stream_request(request(), 4).await?;
    check_eq!(streamed.status, 201, "status");
    let chunks: Vec<Bytes> = streamed.chunks.try_collect().await?;
    check_eq!(chunks, ["abcd", "efgh", "ij"], "chunks of four bytes");
    let whole: Vec<Bytes> = client
        .stream_request(request(), 1 << 20)
        .await?
        .chunks
        .try_collect()
        .await?;
    check_eq!(whole, ["abcdefghij"], "a chunk larger than the body");
    let error = check_error!(
        client.stream_request(request(), 0).await,
        ErrorKind::InvalidInput,
        "a chunk size of 0"
    );
    check_eq!(error.field(), Some("chunk_size"), "the field that the error names");
    Ok(())
}

pub(in crate::http) async fn compression_round_trips(harness: H) -> CaseResult {
    let (_origin, client) = set_up_extended(&harness).await?;
    for compression in harness.extended_capabilities().unwrap_or_default().compression {
        for data in [Bytes::new(), Bytes::from_static(b"x"), Bytes::from(vec![b'a'; 200_000])] {
            let packed = client.compress_request(data.clone(), compression).await?;
            let smaller = packed.len() < 2_000 || compression == CompressionType::None;
            check!(
                smaller,
                "{compression}: {} equal bytes became {}",
                data.len(),
                packed.len()
            );
            let unpacked = client.decompress_response(packed, compression).await?;
            check!(
                unpacked == data,
                "{compression}: {} bytes changed in the round trip",
                data.len()
            );
        }
    }
    Ok(())
}

pub(in crate::http) async fn corrupt_data_is_a_decode_error(harness: H) -> CaseResult {
    let (_origin, client) = set_up_extended(&harness).await?;
    for compression in harness.extended_capabilities().unwrap_or_default().compression {
        if compression == CompressionType::None {
            continue;
        }
        let packed = client
            .compress_request(Bytes::from(vec![b'a'; 5_000]), compression)
            .await?;
        let truncated = packed.slice(..packed.len() - 1);
        let trailing: Bytes = [&packed[..], b"trailing"].concat().into();
        for (what, data) in [
            ("truncated", truncated),
            ("trailing", trailing),
            ("other", Bytes::from_static(b"\x07not compressed")),
        ] {
            let result = client.decompress_response(data, compression).await;
            check_error!(result, ErrorKind::Decode, "{compression}: {what} data");
        }
    }
    Ok(())
}

/// The example of RFC 7515, appendix A.1. It expired in 2011.
const EXPIRED_TOKEN: &str = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
    dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
/// The example of RFC 7519, section 6.1: `{"alg":"none"}`.
const UNSIGNED_TOKEN: &str = "eyJhbGciOiJub25lIn0.\
    eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.";

pub(in crate::http) async fn an_unverifiable_token_is_refused(harness: H) -> CaseResult {
    let (origin, client) = set_up_extended(&harness).await?;
    for token in [EXPIRED_TOKEN, UNSIGNED_TOKEN, "", "a.b.c", "not a token"] {
        for algorithm in [JwtAlgorithm::Hs256, JwtAlgorithm::Rs256, JwtAlgorithm::EdDsa] {
            let Err(error) = client.authenticate_jwt(token, algorithm).await else {
                return Err(Failure::new(format!("{token:?} was accepted as {algorithm}")));
            };
            check!(
                matches!(error.kind(), ErrorKind::Authentication | ErrorKind::InvalidInput),
                "{token:?}: the error is {}",
                error.kind()
            );
            check!(
                token.is_empty() || !format!("{error} {error:?}").contains(token),
                "the error shows the token: {error:?}"
            );
        }
    }
    check_eq!(origin.total_hits(), 0, "requests although no token names a key");
    Ok(())
}

pub(in crate::http) async fn a_token_request_has_its_grant(harness: H) -> CaseResult {
    let (origin, client) = set_up_extended(&harness).await?;
    let answer = json!({"access_token": "granted", "token_type": "Bearer", "expires_in": 3600,
        "refresh_token": "renews", "scope": "read write"});
    origin.on("/token", move |_| {
        let answer = HttpResponse::new(StatusCode::OK).with_json(&answer);
        async move { answer.expect("JSON") }
    });
    let url: Url = origin.url("/token").parse().expect("a URL");
    let request = OAuth2Request::client_credentials(url.clone(), "an id", "a secret&").with_scope("read");
    let token = client.authenticate_oauth2(request).await?;
    check_eq!(token.access_token.expose(), "granted", "access_token");
    check_eq!(token.expires_in, Some(Duration::from_secs(3600)), "expires_in");
    check_eq!(
        token.refresh_token.as_ref().map(Secret::expose),
        Some("renews"),
        "refresh_token"
    );
    check_eq!(token.scopes, ["read", "write"], "scopes");

    let mut refresh = OAuth2Request::client_credentials(url, "an id", "").with_grant(OAuth2Grant::RefreshToken {
        refresh_token: "renews".into(),
    });
    refresh.client_secret = None;
    client.authenticate_oauth2(refresh.clone()).await?;
    for grant in [
        OAuth2Grant::DeviceCode {
            device_code: "a device".into(),
        },
        OAuth2Grant::TokenExchange(TokenExchange::new("a subject")),
    ] {
        client.authenticate_oauth2(refresh.clone().with_grant(grant)).await?;
    }

    let arrived = origin.requests("/token");
    check_eq!(arrived.len(), 4, "token requests");
    let field = |index: usize, name: &str| {
        let mut fields = url::form_urlencoded::parse(&arrived[index].body);
        fields.find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    check_eq!(arrived[0].method, Method::POST, "method");
    check_eq!(
        field(0, "grant_type").as_deref(),
        Some("client_credentials"),
        "grant_type"
    );
    check_eq!(field(0, "scope").as_deref(), Some("read"), "scope");
    // Base64 of `an+id:a+secret%26` (RFC 6749, section 2.3.1).
    check_eq!(
        arrived[0].header("authorization"),
        Some("Basic YW4raWQ6YStzZWNyZXQlMjY="),
        "the client's authentication"
    );
    check_eq!(field(1, "grant_type").as_deref(), Some("refresh_token"), "grant_type");
    check_eq!(field(1, "refresh_token").as_deref(), Some("renews"), "refresh_token");
    check_eq!(
        field(1, "client_id").as_deref(),
        Some("an id"),
        "the id of a public client"
    );
    for (index, name, value) in [
        (2, "grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        (2, "device_code", "a device"),
        (3, "grant_type", "urn:ietf:params:oauth:grant-type:token-exchange"),
        (3, "subject_token", "a subject"),
        (3, "subject_token_type", TokenExchange::ACCESS_TOKEN),
    ] {
        check_eq!(field(index, name).as_deref(), Some(value), "{name}");
    }
    Ok(())
}

pub(in crate::http) async fn token_responses_are_read_as_servers_send_them(harness: H) -> CaseResult {
    let (origin, client) = set_up_extended(&harness).await?;
    let answers = [
        (
            "application/json",
            r#"{"access_token": "granted", "token_type": "bearer", "scope": "read write", "expires_in": 3600}"#,
        ),
        (
            "application/json",
            r#"{"access_token": "granted", "scope": ["read", "write"], "expires_in": "3600", "refresh_token": false}"#,
        ),
        (
            "text/plain",
            "\u{feff}{\"access_token\": \"granted\", \"token_type\": null, \"scope\": [\"read write\"], \"expires_in\": 3600.0, \
             \"refresh_token\": null, \"more\": {\"access_token\": 1}}",
        ),
        (
            "application/x-www-form-urlencoded",
            "access_token=granted&token_type=bearer&scope=read+write&expires_in=3600",
        ),
    ];
    for (index, (content_type, body)) in answers.into_iter().enumerate() {
        let path = format!("/token/{index}");
        origin.on(&path, move |_| async move {
            let answer = HttpResponse::new(StatusCode::OK).with_body(body);
            answer.with_header("content-type", content_type).expect("a header")
        });
        let url = origin.url(&path).parse().expect("a URL");
        let token = client
            .authenticate_oauth2(OAuth2Request::client_credentials(url, "id", "secret"))
            .await?;
        check_eq!(token.access_token.expose(), "granted", "access_token of {body}");
        check!(
            token.token_type.eq_ignore_ascii_case("bearer"),
            "{body}: the type is {}",
            token.token_type
        );
        check_eq!(token.scopes, ["read", "write"], "scopes of {body}");
        check_eq!(
            token.expires_in,
            Some(Duration::from_secs(3600)),
            "expires_in of {body}"
        );
        check!(token.refresh_token.is_none(), "{body}: there is a refresh token");
    }
    origin.on("/nothing", |_| async {
        HttpResponse::new(StatusCode::OK)
            .with_json(&json!({"token_type": "Bearer", "scope": "read"}))
            .expect("JSON")
    });
    let url = origin.url("/nothing").parse().expect("a URL");
    let nothing = client
        .authenticate_oauth2(OAuth2Request::client_credentials(url, "id", "secret"))
        .await;
    let error = check_error!(nothing, ErrorKind::Protocol, "a response without a token");
    check_eq!(error.field(), Some("access_token"), "the field that the error names");
    Ok(())
}

pub(in crate::http) async fn a_refusal_has_the_servers_code(harness: H) -> CaseResult {
    const SECRET: &str = "s3cr3t-0f-th3-cl13nt";
    let (origin, client) = set_up_extended(&harness).await?;
    for (path, status) in [
        ("/refuses", StatusCode::BAD_REQUEST),
        ("/refuses/ok", StatusCode::OK),
        ("/is-busy", StatusCode::SERVICE_UNAVAILABLE),
    ] {
        origin.on(path, move |_| async move {
            HttpResponse::new(status)
                .with_json(&json!({"error": "invalid_grant", "error_description": format!("not with {SECRET}")}))
                .expect("JSON")
        });
    }
    let elsewhere = origin.url("/elsewhere");
    origin.on("/redirects", move |_| {
        let redirect = HttpResponse::new(StatusCode::TEMPORARY_REDIRECT).with_header("location", elsewhere.clone());
        async move { redirect.expect("a header") }
    });
    let ask = async |path: &str| {
        let url = origin.url(path).parse().expect("a URL");
        client
            .authenticate_oauth2(OAuth2Request::client_credentials(url, "id", SECRET))
            .await
    };
    for (path, kind) in [
        ("/refuses", ErrorKind::Authentication),
        ("/refuses/ok", ErrorKind::Authentication),
        ("/is-busy", ErrorKind::Status),
    ] {
        let error = check_error!(ask(path).await, kind, "{path}");
        check_eq!(
            error.get(context::ERROR),
            Some("invalid_grant"),
            "the code in {}",
            chain(&error)
        );
        let description = error.get(context::DESCRIPTION).unwrap_or_default();
        check!(
            description.contains("not with"),
            "the description is not in the error: {}",
            chain(&error)
        );
        check!(
            !format!("{error} {error:?}").contains(SECRET),
            "the error shows the secret: {error:?}"
        );
    }
    check!(ask("/redirects").await.is_err(), "a redirect was accepted as a token");
    check_eq!(origin.hits("/elsewhere"), 0, "requests at the target of the redirect");
    check!(ask("/ok").await.is_err(), "text was accepted as a token");
    Ok(())
}
