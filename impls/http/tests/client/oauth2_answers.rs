//! Responses of token endpoints, in the forms in which servers send them.

use std::sync::Arc;
use std::time::Duration;

use networking_http::oauth2::{OAuth2Client, OAuth2ClientConfig};
use networking_http::{MemoryHttpClient, Reply};
use networking_spi::error::context;
use networking_spi::http::{Method, OAuth2Request, OAuth2Token, StatusCode};
use networking_spi::secret::Secret;
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, SendState};

const TOKEN_URL: &str = "https://id.test/token";
const SECRET: &str = "s3cr3t & m\"re";
const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

async fn ask_with(request: OAuth2Request, reply: Reply) -> Result<OAuth2Token> {
    let memory = MemoryHttpClient::new();
    memory.route(Method::POST, TOKEN_URL, reply).unwrap();
    let config = OAuth2ClientConfig::new("the client").with_token_url(TOKEN_URL.parse().unwrap());
    OAuth2Client::new(Arc::new(memory), config)
        .unwrap()
        .exchange(&request)
        .await
}

fn request() -> OAuth2Request {
    OAuth2Request::client_credentials(TOKEN_URL.parse().unwrap(), "the client", SECRET)
}

fn reply(status: u16, content_type: &str, body: impl AsRef<[u8]>) -> Reply {
    let reply = Reply::new(StatusCode::from_u16(status).unwrap()).with_body(body.as_ref().to_vec());
    match content_type {
        "" => reply,
        content_type => reply.with_header("content-type", content_type).unwrap(),
    }
}

async fn read(content_type: &str, body: impl AsRef<[u8]>) -> Result<OAuth2Token> {
    ask_with(request(), reply(200, content_type, body)).await
}

async fn json(members: &str) -> OAuth2Token {
    let body = format!(r#"{{"access_token": "a"{members}}}"#);
    let token = read(JSON, &body).await;
    token.unwrap_or_else(|error| panic!("{body}: {error}"))
}

fn shown(error: &NetworkError) -> String {
    format!("{error} {error:?}")
}

#[tokio::test]
async fn scopes_are_a_text_or_a_list() {
    for (scope, expected) in [
        (r#""read write""#, &["read", "write"][..]),
        (r#"" read  write\n""#, &["read", "write"]),
        (r#"["read", "write"]"#, &["read", "write"]),
        (r#"["read write"]"#, &["read", "write"]),
        (r#"["a,b", 7, null, ["x"], ""]"#, &["a,b"]),
        (r#""repo,gist""#, &["repo", "gist"]),
        (r#""a,b c""#, &["a,b", "c"]),
        ("[]", &[]),
        (r#""""#, &[]),
        ("null", &[]),
        ("false", &[]),
        ("1", &[]),
        ("{}", &[]),
    ] {
        assert_eq!(
            json(&format!(r#", "scope": {scope}"#)).await.scopes,
            expected,
            "{scope}"
        );
    }
    assert!(json("").await.scopes.is_empty());

    let body = r#"{"access_token": "a", "scope": "a,b"}"#;
    let token = ask_with(request().with_scope("a,b"), reply(200, JSON, body))
        .await
        .unwrap();
    assert_eq!(token.scopes, ["a,b"], "the client asked for a scope with a comma");
}

#[tokio::test]
async fn a_token_without_a_type_is_a_bearer_token() {
    for absent in [
        "",
        r#", "token_type": null"#,
        r#", "token_type": """#,
        r#", "token_type": 1"#,
    ] {
        assert_eq!(json(absent).await.token_type, "Bearer", "{absent}");
    }
    for spelling in ["Bearer", "bearer", "BEARER", "mac"] {
        let token = json(&format!(r#", "token_type": "{spelling}""#)).await;
        assert_eq!(token.token_type, spelling);
    }
}

#[tokio::test]
async fn a_lifetime_is_a_number_or_a_text_and_bounded() {
    let century = Duration::from_secs(100 * 365 * 24 * 60 * 60);
    for (value, expected) in [
        ("3600", Some(Duration::from_secs(3600))),
        (r#""3600""#, Some(Duration::from_secs(3600))),
        (r#"" 3600 ""#, Some(Duration::from_secs(3600))),
        ("3599.5", Some(Duration::from_millis(3_599_500))),
        (r#""3599.5""#, Some(Duration::from_millis(3_599_500))),
        ("3.6e3", Some(Duration::from_secs(3600))),
        ("2147483647", Some(Duration::from_secs(2_147_483_647))),
        ("null", None),
        ("0", None),
        ("-1", None),
        (r#""-3600""#, None),
        (r#""""#, None),
        (r#""NaN""#, None),
        (r#""never""#, None),
        ("true", None),
        ("[3600]", None),
        ("{}", None),
        ("18446744073709551615", Some(century)),
        ("99999999999999999999999999", Some(century)),
        ("1e300", Some(century)),
        (r#""inf""#, Some(century)),
        ("1e999", None),
    ] {
        assert_eq!(
            json(&format!(r#", "expires_in": {value}"#)).await.expires_in,
            expected,
            "{value}"
        );
    }
    assert_eq!(json("").await.expires_in, None);
    assert_eq!(
        json(r#", "expires": 60"#).await.expires_in,
        Some(Duration::from_secs(60))
    );
    assert_eq!(json(r#", "expires": 1790000000"#).await.expires_in, None, "a time");
}

#[tokio::test]
async fn other_tokens_exist_only_as_text() {
    for name in ["refresh_token", "id_token"] {
        let of = async |value: &str| {
            let token = json(&format!(r#", "{name}": {value}"#)).await;
            let other = if name == "id_token" {
                token.id_token
            } else {
                token.refresh_token
            };
            other.as_ref().map(Secret::expose).map(str::to_owned)
        };
        assert_eq!(of(r#""r""#).await.as_deref(), Some("r"));
        for absent in ["null", "false", r#""""#, r#"" ""#, "0", "[]", "{}"] {
            assert_eq!(of(absent).await, None, "{name}: {absent}");
        }
    }
}

#[tokio::test]
async fn json_is_found_under_any_content_type() {
    let token = r#"{"access_token": "a", "token_type": "Bearer"}"#;
    for content_type in [
        "",
        JSON,
        "application/json; charset=UTF-8",
        "text/html; charset=utf-8",
        "text/plain",
        FORM,
        "?",
    ] {
        assert_eq!(
            read(content_type, token).await.unwrap().access_token.expose(),
            "a",
            "{content_type}"
        );
    }
    let utf16 = |bytes: fn(u16) -> [u8; 2]| {
        "\u{feff}"
            .encode_utf16()
            .chain(token.encode_utf16())
            .flat_map(bytes)
            .collect()
    };
    let bodies: [Vec<u8>; 5] = [
        format!("\u{feff}{token}").into_bytes(),
        format!("\r\n \u{feff}\u{feff}{token}\n\0").into_bytes(),
        utf16(u16::to_le_bytes),
        utf16(u16::to_be_bytes),
        b"{\"access_token\": \"a\", \"user\": \"caf\xe9\"}".to_vec(),
    ];
    for body in bodies {
        assert_eq!(read(JSON, &body).await.unwrap().access_token.expose(), "a", "{body:?}");
    }
    let latin = read(
        "application/json; charset=iso-8859-1",
        b"{\"access_token\": \"a\", \"scope\": \"caf\xe9\"}",
    )
    .await;
    assert_eq!(latin.unwrap().scopes, ["caf\u{e9}"]);
    for status in [201, 202, 203] {
        let token = ask_with(request(), reply(status, JSON, token)).await.unwrap();
        assert_eq!(token.access_token.expose(), "a", "{status}");
    }
}

#[tokio::test]
async fn unknown_repeated_and_broken_members_do_no_harm() {
    let nested = format!(r#", "deep": {}{}"#, "[".repeat(10_000), "]".repeat(10_000));
    let many: Vec<String> = (0..1_000).map(|index| format!(r#", "m{index}": {index}"#)).collect();
    let many = many.concat();
    for more in [
        r#", "user": {"id": 1, "access_token": "other"}, "list": [1, {}], "x": 1e999"#,
        r#", "expires_in": 1, "expires_in": 2, "scope": "a", "scope": ["b"], "access_token": "a""#,
        r#", "error": null, "ok": true, "errcode": 0, "errmsg": "ok""#,
        r#", "error": "", "error_description": """#,
        r#", "error": false"#,
        r#", "error": {"code": "ok", "message": ""}, "message": "success", "code": 0"#,
        r#", "error": 0"#,
        r#", "": "", "\u0000": "\ud83d\ude00""#,
        &nested,
        &many,
    ] {
        assert_eq!(json(more).await.access_token.expose(), "a");
    }
}

#[tokio::test]
async fn forms_are_tokens() {
    for (content_type, body) in [
        (
            FORM,
            "access_token=a%2Bb&scope=repo%2Cgist&token_type=bearer&expires_in=60",
        ),
        (
            "application/x-www-form-urlencoded; charset=utf-8",
            "token_type=bearer&expires_in=60&scope=repo+gist&access_token=a%2Bb",
        ),
        ("text/plain", "access_token=a%2Bb&expires=60&scope=repo%20gist"),
        (
            "text/html; charset=utf-8",
            "access_token=a%2Bb&expires=60&scope=repo%20gist\n",
        ),
        ("", "access_token=x&access_token=a%2Bb&expires=60&scope=repo%20gist"),
        (JSON, "access_token=a%2Bb&expires=60&scope=repo%20gist"),
    ] {
        let token = read(content_type, body)
            .await
            .unwrap_or_else(|error| panic!("{body}: {error}"));
        assert_eq!(token.access_token.expose(), "a+b", "{body}");
        assert_eq!(token.scopes, ["repo", "gist"], "{body}");
        assert_eq!(token.expires_in, Some(Duration::from_secs(60)), "{body}");
        assert!(token.token_type.eq_ignore_ascii_case("bearer") && token.refresh_token.is_none());
    }
}

#[tokio::test]
async fn a_response_without_a_token_names_the_field() {
    for body in [
        "{}",
        r#"{"token_type": "Bearer", "expires_in": 60}"#,
        r#"{"access_token": null}"#,
        r#"{"access_token": ""}"#,
        r#"{"access_token": " "}"#,
        r#"{"access_token": 123456789}"#,
        r#"{"access_token": {"token": "123456789"}}"#,
        r#"{"access_token": ["123456789"]}"#,
        r#"{"accessToken": "123456789"}"#,
    ] {
        let error = read(JSON, body).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::Protocol, Some("access_token")),
            "{body}: {error}"
        );
        assert_eq!((error.status(), error.send_state()), (Some(200), SendState::Sent));
        assert_eq!(error.get(context::HOST), Some("id.test"));
        assert!(!shown(&error).contains("123456789"), "{error:?}");
        assert!(!error.retryability().is_retryable());
    }
    assert_eq!(
        read(FORM, "token=123456789").await.unwrap_err().field(),
        Some("access_token")
    );
    let told = read(JSON, r#"{"message": "try the other endpoint"}"#)
        .await
        .unwrap_err();
    assert_eq!(told.get(context::DESCRIPTION), Some("try the other endpoint"));

    for (content_type, body) in [
        (JSON, ""),
        (JSON, "null"),
        (JSON, "\"123456789\""),
        (JSON, "[\"123456789\"]"),
        (JSON, r#"{"access_token": "123456789""#),
        (JSON, r#"{"access_token": "123456789"} trailing"#),
        ("text/plain", "123456789"),
        ("text/html", "<html><body>123456789</body></html>"),
    ] {
        let error = read(content_type, body).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Protocol, "{body}");
        assert!(!shown(&error).contains("123456789"), "{error:?}");
        assert_eq!(error.get(context::CONTENT_TYPE), Some(content_type));
    }
}

/// What the server said: code, description, URI.
fn said(error: &NetworkError) -> [Option<&str>; 3] {
    [context::ERROR, context::DESCRIPTION, context::ERROR_URI].map(|key| error.get(key))
}

#[tokio::test]
async fn what_the_server_says_is_in_the_error() {
    let standard =
        r#"{"error": "invalid_grant", "error_description": "It is used.", "error_uri": "https://id.test/e"}"#;
    let all = [Some("invalid_grant"), Some("It is used."), Some("https://id.test/e")];
    let form = "error=invalid_grant&error_description=It+is+used.&error_uri=https%3A%2F%2Fid.test%2Fe";
    let code = [Some("invalid_grant"), None, None];
    let text = [None, Some("It is used."), None];
    let facebook = r#"{"error": {"message": "It is used.", "type": "OAuthException", "code": 100, "fbtrace_id": "x"}}"#;
    let google = r#"{"error": {"code": 400, "message": "It is used.", "status": "INVALID_ARGUMENT"}}"#;
    let html =
        "<html><head><title>It is</title><style>b {}</style></head>\n<body><script>x()</script><b>used.</b></body>";
    for (status, content_type, body, expected) in [
        (400, JSON, standard, all),
        (401, "text/html", standard, all),
        (200, JSON, standard, all),
        (201, JSON, standard, all),
        (400, FORM, form, all),
        (200, "text/plain", form, all),
        (
            400,
            JSON,
            r#"{"error": "invalid_grant", "error_description": null, "error_uri": ""}"#,
            code,
        ),
        (
            400,
            JSON,
            r#"{"error": "invalid_grant", "error": "invalid_grant"}"#,
            code,
        ),
        (
            200,
            JSON,
            r#"{"ok": false, "error": "invalid_code"}"#,
            [Some("invalid_code"), None, None],
        ),
        (200, JSON, r#"{"ok": false}"#, [None; 3]),
        (
            200,
            JSON,
            r#"{"errcode": 40029, "errmsg": "It is used."}"#,
            [Some("40029"), Some("It is used."), None],
        ),
        (200, JSON, r#"{"error": true, "error_message": "It is used."}"#, text),
        (400, JSON, facebook, [Some("OAuthException"), Some("It is used."), None]),
        (400, JSON, google, [Some("INVALID_ARGUMENT"), Some("It is used."), None]),
        (400, JSON, r#"{"error": 7}"#, [Some("7"), None, None]),
        (
            400,
            JSON,
            r#"{"error": ["It is", "used."]}"#,
            [None, Some("It is; used."), None],
        ),
        (
            400,
            JSON,
            r#"{"error": "x", "error_description": ["It is", "used."]}"#,
            [Some("x"), Some("It is; used."), None],
        ),
        (
            400,
            JSON,
            r#"{"error": "x", "error_description": {"a": "b"}}"#,
            [Some("x"), Some(r#"{"a":"b"}"#), None],
        ),
        (
            400,
            JSON,
            r#"{"errorCode": "AUTH-008", "developerMessage": "It is used."}"#,
            [Some("AUTH-008"), Some("It is used."), None],
        ),
        (
            400,
            "application/problem+json",
            r#"{"title": "Bad", "detail": "It is used."}"#,
            text,
        ),
        (400, JSON, r#"{"fault": {"faultstring": "It is used."}}"#, text),
        (400, JSON, r#"{"errors": [{"message": "It is used."}]}"#, text),
        (
            400,
            JSON,
            r#"{"strange": "It is used."}"#,
            [None, Some(r#"{"strange":"It is used."}"#), None],
        ),
        (400, "text/plain", "It is\r\n used.", text),
        (400, "", "It is used.", text),
        (400, JSON, "It is used.", text),
        (500, "text/html", html, text),
        (403, "text/html", "<h1>It is used.", text),
        (400, "text/plain; charset=iso-8859-1", "It is used.", text),
        (503, JSON, standard, all),
        (429, JSON, standard, all),
        (404, FORM, form, all),
        (400, JSON, "", [None; 3]),
    ] {
        let error = ask_with(request(), reply(status, content_type, body))
            .await
            .unwrap_err();
        assert_eq!(said(&error), expected, "{status} {body}: {error}");
        assert_eq!(
            (error.status(), error.send_state()),
            (Some(status), SendState::Sent),
            "{body}"
        );
    }
    let challenged = reply(401, "", "")
        .with_header(
            "www-authenticate",
            r#"Basic realm="x", error="invalid_client", error_description="It is used.""#,
        )
        .unwrap();
    let error = ask_with(request(), challenged).await.unwrap_err();
    assert_eq!(said(&error), [Some("invalid_client"), Some("It is used."), None]);

    let other_script = r#"{"error": "無効", "error_description": "コードは使用済み"}"#;
    let error = ask_with(request(), reply(400, JSON, other_script)).await.unwrap_err();
    assert_eq!(error.get(context::DESCRIPTION), Some("コードは使用済み"));
    let long = format!(
        r#"{{"error": "{0}", "error_description": "{0}", "error_uri": "{0}"}}"#,
        "x".repeat(5_000)
    );
    let error = ask_with(request(), reply(400, JSON, long)).await.unwrap_err();
    assert!(
        said(&error)
            .iter()
            .all(|text| text.is_some_and(|text| text.len() <= 510)),
        "{error}"
    );
}

#[tokio::test]
async fn kinds_follow_the_status_and_the_code() {
    let refusal = r#"{"error": "invalid_client"}"#;
    let page = r#"{"status": 404, "error": "Not Found", "path": "/token"}"#;
    let now = Retryability::Now;
    let after = |seconds| Retryability::After(Duration::from_secs(seconds));
    for (status, body, retry_after, kind, retry) in [
        (400, refusal, "", ErrorKind::Authentication, Retryability::Never),
        (401, refusal, "", ErrorKind::Authentication, Retryability::Never),
        (403, refusal, "", ErrorKind::Authentication, Retryability::Never),
        (422, refusal, "", ErrorKind::Authentication, Retryability::Never),
        (200, refusal, "7", ErrorKind::Authentication, Retryability::Never),
        (400, "no", "", ErrorKind::Status, Retryability::Never),
        (403, "no", "", ErrorKind::PermissionDenied, Retryability::Never),
        (404, page, "", ErrorKind::NotFound, Retryability::Never),
        (429, refusal, "7", ErrorKind::RateLimited, after(7)),
        (429, "", "", ErrorKind::RateLimited, now),
        (503, refusal, "7", ErrorKind::Status, after(7)),
        (
            503,
            "down",
            "Sun, 06 Nov 1994 08:50:07 GMT",
            ErrorKind::Status,
            after(30),
        ),
        (503, "down", "Sun, 06 Nov 1994 08:49:00 GMT", ErrorKind::Status, now),
        (503, "down", "soon", ErrorKind::Status, now),
        (500, refusal, "", ErrorKind::Status, now),
    ] {
        let mut reply = reply(status, JSON, body)
            .with_header("date", "Sun, 06 Nov 1994 08:49:37 GMT")
            .unwrap();
        if !retry_after.is_empty() {
            reply = reply.with_header("retry-after", retry_after).unwrap();
        }
        let error = ask_with(request(), reply).await.unwrap_err();
        assert_eq!(error.kind(), kind, "{status} {body}: {error}");
        if status != 500 {
            assert_eq!(error.retryability(), retry, "{status} {retry_after}: {error}");
        }
    }
}

#[tokio::test]
async fn no_error_repeats_a_secret() {
    let encoded = "s3cr3t+%26+m%22re";
    let basic = "dGhlK2NsaWVudDpzM2NyM3QrJTI2K20lMjJyZQ==";
    for text in [
        SECRET.to_owned(),
        format!("Basic {basic}"),
        format!("client_secret={encoded}&x"),
        format!("client_secret={}", encoded.replace('+', "%20")),
    ] {
        let member = serde_json::to_string(&text).unwrap();
        let page = text.replace('&', "&amp;").replace('"', "&quot;");
        for (status, content_type, body) in [
            (
                400,
                JSON,
                format!(r#"{{"error": {member}, "error_description": {member}, "error_uri": {member}}}"#),
            ),
            (400, JSON, format!(r#"{{"error": {{"message": {member}}}}}"#)),
            (400, JSON, format!(r#"{{"strange": {member}}}"#)),
            (500, "text/plain", text.clone()),
            (500, "text/html", format!("<p>{page}</p>")),
            (200, "text/plain", text.clone()),
            (200, text.as_str(), "x".to_owned()),
        ] {
            let error = ask_with(request(), reply(status, content_type, &body))
                .await
                .unwrap_err();
            let shown = shown(&error);
            for secret in [SECRET, encoded, basic, "s3cr3t"] {
                assert!(!shown.contains(secret), "{body}: {shown}");
            }
        }
    }
    let told = format!(
        r#"{{"error": "invalid_client", "error_description": "{} is wrong"}}"#,
        "s3cr3t & m\\\"re"
    );
    let error = ask_with(request(), reply(400, JSON, told)).await.unwrap_err();
    assert_eq!(
        error.get(context::DESCRIPTION),
        Some("[redacted] is wrong"),
        "the rest of the text is kept"
    );
}
