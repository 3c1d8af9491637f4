//! Flows with several steps: authorization code, device authorization, introspection, revocation, and the crate `oauth2` itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use networking_http::oauth2::{
    AuthorizationOptions, AuthorizationResponse, ClientAuthentication, DeviceAuthorization, OAuth2Client,
    OAuth2ClientConfig, OAuth2HttpClient, PendingAuthorization, TokenKind,
};
use networking_http::{HyperTransport, MemoryHttpClient, Reply, Responder, TransportConfig};
use networking_spi::error::context;
use networking_spi::http::{Method, OAuth2Grant, StatusCode, TokenExchange};
use networking_spi::secret::Secret;
use networking_spi::{ErrorKind, NetworkError, SendState};
use oauth2::basic::{BasicClient, BasicTokenType};
use oauth2::{RequestTokenError, TokenIntrospectionResponse, TokenResponse};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{Instant, timeout};
use url::{Url, form_urlencoded};

use crate::raw::RawServer;

const SECRET: &str = "s3cr3t";
const ISSUER: &str = "https://id.test";

fn url(path: &str) -> Url {
    format!("https://id.test/{path}").parse().unwrap()
}

fn config() -> OAuth2ClientConfig {
    OAuth2ClientConfig::new("app")
        .with_authorization_url(url("authorize?tenant=1"), "https://app.test/back?x=1".parse().unwrap())
        .with_token_url(url("token"))
        .with_device_authorization_url(url("device"))
        .with_introspection_url(url("introspect"))
        .with_revocation_url(url("revoke"))
}

fn client(server: &MemoryHttpClient, config: OAuth2ClientConfig) -> OAuth2Client {
    OAuth2Client::new(Arc::new(server.clone()), config).unwrap()
}

fn server(path: &str, replies: impl Into<Responder>) -> MemoryHttpClient {
    let server = MemoryHttpClient::new();
    server.route(Method::POST, url(path).as_str(), replies).unwrap();
    server
}

fn reply(status: u16, body: &Value) -> Reply {
    Reply::new(StatusCode::from_u16(status).unwrap())
        .with_json(body)
        .unwrap()
}

fn token() -> Reply {
    reply(200, &json!({"access_token": "a"}))
}

fn refused(code: &str) -> Reply {
    reply(400, &json!({"error": code}))
}

fn forms(server: &MemoryHttpClient) -> Vec<HashMap<String, String>> {
    let received = server.received();
    let form = |body: &[u8]| form_urlencoded::parse(body).into_owned().collect();
    received.iter().map(|request| form(&request.body)).collect()
}

fn query(url: &Url) -> HashMap<String, String> {
    url.query_pairs().into_owned().collect()
}

fn response(pending: &PendingAuthorization, more: &str) -> AuthorizationResponse {
    AuthorizationResponse::from_query(&format!("?state={}{more}", pending.state.expose()))
}

#[tokio::test]
async fn a_code_is_exchanged_with_its_verifier() {
    let server = server("token", token());
    let client = client(&server, config().with_client_secret(SECRET));
    let options = AuthorizationOptions::new()
        .with_scope("read")
        .with_scope("write")
        .with_parameter("prompt", "consent");
    let pending = client.authorize(&options).unwrap();
    let sent = query(&pending.url);
    assert!(pending.url.as_str().starts_with("https://id.test/authorize?tenant=1&"));
    for (name, value) in [
        ("tenant", "1"),
        ("response_type", "code"),
        ("client_id", "app"),
        ("redirect_uri", "https://app.test/back?x=1"),
        ("scope", "read write"),
        ("prompt", "consent"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(sent.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert_eq!(sent["state"], pending.state.expose());
    let verifier = pending.pkce_verifier.expose();
    assert_eq!(sent["code_challenge"], URL_SAFE_NO_PAD.encode(Sha256::digest(verifier)));
    assert!(verifier.len() >= 43 && !pending.url.as_str().contains(verifier));
    let other = client.authorize(&options).unwrap();
    assert!(other.state != pending.state && other.pkce_verifier != pending.pkce_verifier);

    // A web server keeps it in the session.
    let pending: PendingAuthorization = serde_json::from_str(&serde_json::to_string(&pending).unwrap()).unwrap();
    let granted = client
        .exchange_code(&pending, &response(&pending, "&code=c%2B1"))
        .await
        .unwrap();
    assert_eq!(granted.access_token.expose(), "a");
    let form = &forms(&server)[0];
    for (name, value) in [
        ("grant_type", "authorization_code"),
        ("code", "c+1"),
        ("redirect_uri", "https://app.test/back?x=1"),
        ("code_verifier", pending.pkce_verifier.expose()),
    ] {
        assert_eq!(form.get(name).map(String::as_str), Some(value), "{name}");
    }
    assert!(server.received()[0].headers["authorization"].is_sensitive());
    let shown = format!("{pending:?} {:?} {client:?}", response(&pending, "&code=c0de"));
    for secret in [pending.state.expose(), pending.pkce_verifier.expose(), SECRET, "c0de"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[tokio::test]
async fn a_response_of_another_request_sends_nothing() {
    let server = server("token", token());
    let plain = client(&server, config());
    let strict = client(&server, config().with_issuer(ISSUER));
    let pending = plain.authorize(&AuthorizationOptions::new()).unwrap();
    let state = pending.state.expose().to_owned();
    let iss = "iss=https%3A%2F%2Fid.test";
    for (client, query, kind, field) in [
        (&plain, "code=c0de".to_owned(), ErrorKind::Authentication, Some("state")),
        (
            &plain,
            "code=c0de&state=".to_owned(),
            ErrorKind::Authentication,
            Some("state"),
        ),
        (
            &plain,
            format!("code=c0de&state={state}x"),
            ErrorKind::Authentication,
            Some("state"),
        ),
        (
            &plain,
            format!("code=c0de&state={state}&state={state}"),
            ErrorKind::Protocol,
            Some("state"),
        ),
        (
            &plain,
            format!("code=c0de&code=c&state={state}"),
            ErrorKind::Protocol,
            Some("code"),
        ),
        (&plain, format!("state={state}"), ErrorKind::Protocol, Some("code")),
        (
            &plain,
            format!("state={state}&code="),
            ErrorKind::Protocol,
            Some("code"),
        ),
        (
            &strict,
            format!("code=c0de&state={state}"),
            ErrorKind::Authentication,
            Some("iss"),
        ),
        (
            &strict,
            format!("code=c0de&state={state}&{iss}%2F"),
            ErrorKind::Authentication,
            Some("iss"),
        ),
        (
            &strict,
            format!("error=x&state={state}&iss=https%3A%2F%2Feve.test"),
            ErrorKind::Authentication,
            Some("iss"),
        ),
        (
            &plain,
            format!("state={state}&error=access_denied"),
            ErrorKind::Authentication,
            None,
        ),
        (
            &strict,
            format!("state={state}&{iss}&error=access_denied"),
            ErrorKind::Authentication,
            None,
        ),
    ] {
        let response = AuthorizationResponse::from_query(&query);
        let error = client.exchange_code(&pending, &response).await.unwrap_err();
        assert_eq!((error.kind(), error.field()), (kind, field), "{query}: {error}");
        assert_eq!(error.send_state(), SendState::NotSent);
        assert!(!format!("{error} {error:?}").contains("c0de"), "{error}");
    }
    let denied = response(
        &pending,
        "&error=access_denied&error_description=Not%0Anow&error_uri=https://id.test/e",
    );
    let error = plain.exchange_code(&pending, &denied).await.unwrap_err();
    assert_eq!(error.get(context::ERROR), Some("access_denied"));
    assert_eq!(error.get(context::DESCRIPTION), Some("Not now"));
    assert_eq!(error.get(context::ERROR_URI), Some("https://id.test/e"));
    let foreign = AuthorizationResponse::from_query("state=x&error=access_denied&error_description=trust+me");
    let error = plain.exchange_code(&pending, &foreign).await.unwrap_err();
    assert_eq!(
        error.get(context::DESCRIPTION),
        None,
        "what another server says is not repeated"
    );
    let stateless = AuthorizationResponse::from_query("error=access_denied");
    let error = plain.exchange_code(&pending, &stateless).await.unwrap_err();
    assert_eq!(
        (error.field(), error.get(context::ERROR)),
        (Some("state"), Some("access_denied"))
    );
    assert!(server.received().is_empty());

    let good = AuthorizationResponse::from_query(&format!("code=c&state={state}&{iss}"));
    strict.exchange_code(&pending, &good).await.unwrap();
}

#[tokio::test]
async fn what_is_not_configured_or_invalid_is_named() {
    let server = MemoryHttpClient::new();
    let bare = client(&server, OAuth2ClientConfig::new("app"));
    let token = Secret::new("t");
    let field = |error: NetworkError| {
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        error.field().unwrap_or_default().to_owned()
    };
    let options = AuthorizationOptions::new();
    assert_eq!(field(bare.authorize(&options).unwrap_err()), "authorization_url");
    assert_eq!(
        field(bare.request(OAuth2Grant::ClientCredentials).unwrap_err()),
        "token_url"
    );
    assert_eq!(field(bare.start_device(["a"]).await.unwrap_err()), "token_url");
    assert_eq!(
        field(bare.introspect(&token, TokenKind::Access).await.unwrap_err()),
        "introspection_url"
    );
    assert_eq!(
        field(bare.revoke(&token, TokenKind::Access).await.unwrap_err()),
        "revocation_url"
    );
    let full = client(&server, config());
    let own = AuthorizationOptions::new().with_parameter("state", "mine");
    assert_eq!(field(full.authorize(&own).unwrap_err()), "extra.state");
    assert_eq!(
        field(full.revoke(&"".into(), TokenKind::Access).await.unwrap_err()),
        "token"
    );
    let exchange = OAuth2Grant::TokenExchange(TokenExchange::new(""));
    let request = full.request(exchange).unwrap();
    assert_eq!(field(full.exchange(&request).await.unwrap_err()), "grant.subject_token");

    let made = |config| field(OAuth2Client::new(Arc::new(MemoryHttpClient::new()), config).unwrap_err());
    assert_eq!(made(OAuth2ClientConfig::new(" ")), "client_id");
    assert_eq!(
        made(config().with_token_url("ftp://id.test".parse().unwrap())),
        "token_url"
    );
    assert_eq!(
        made(config().with_revocation_url("http://id.test".parse().unwrap())),
        "revocation_url"
    );
    assert_eq!(made(config().with_timeout(Duration::ZERO)), "timeout");
    assert!(server.received().is_empty());
}

#[tokio::test]
async fn a_secret_can_be_sent_in_the_form() {
    let server = server("token", token());
    let config = config()
        .with_client_secret(SECRET)
        .with_authentication(ClientAuthentication::Form);
    let client = client(&server, config);
    let request = client.request(OAuth2Grant::ClientCredentials).unwrap();
    client.exchange(&request).await.unwrap();
    let form = &forms(&server)[0];
    assert_eq!(
        (form["client_id"].as_str(), form["client_secret"].as_str()),
        ("app", SECRET)
    );
    assert_eq!(server.received()[0].header("authorization"), None);
}

fn device(server: &MemoryHttpClient, members: &Value) {
    server
        .route(Method::POST, url("device").as_str(), reply(200, members))
        .unwrap();
}

async fn start(tokens: impl Into<Responder>, members: &Value) -> (DeviceAuthorization, MemoryHttpClient) {
    let server = server("token", tokens);
    device(&server, members);
    let device = client(&server, config()).start_device(["read", "write"]).await.unwrap();
    (device, server)
}

fn codes() -> Value {
    json!({"device_code": "d3vice", "user_code": "WDJB-MJHT", "verification_uri": "https://id.test/enter",
        "verification_uri_complete": "https://id.test/enter?c=WDJB-MJHT", "expires_in": 1800, "interval": 5})
}

#[tokio::test(start_paused = true)]
async fn a_device_waits_for_the_user() {
    let replies = [
        refused("authorization_pending"),
        refused("slow_down"),
        reply(200, &json!({"error": "authorization_pending"})),
        reply(503, &json!({})).with_header("retry-after", "100").unwrap(),
        Reply::error(ErrorKind::ConnectionClosed),
        token(),
    ];
    let (mut device, server) = start(replies, &codes()).await;
    assert_eq!(device.user_code, "WDJB-MJHT");
    assert_eq!(device.verification_uri.as_str(), "https://id.test/enter");
    assert_eq!(
        device.verification_uri_complete.as_ref().unwrap().query(),
        Some("c=WDJB-MJHT")
    );
    assert_eq!(
        (device.expires_in, device.interval),
        (Duration::from_secs(1800), Duration::from_secs(5))
    );
    let shown = format!("{device:?}");
    assert!(!shown.contains("d3vice") && !shown.contains("WDJB"), "{shown}");

    let started = Instant::now();
    assert_eq!(device.token().await.unwrap().access_token.expose(), "a");
    // 5 before the first; 5; 10 after `slow_down`; 10; 100 as asked for; 40 after the second failure.
    assert_eq!(started.elapsed().as_secs(), 5 + 5 + 10 + 10 + 100 + 40);
    let forms = forms(&server);
    assert_eq!(forms[0]["scope"], "read write");
    assert_eq!(forms[0]["client_id"], "app");
    assert_eq!(forms[1]["grant_type"], "urn:ietf:params:oauth:grant-type:device_code");
    assert_eq!(forms[1]["device_code"], "d3vice");
    assert_eq!(forms.len(), 7);
    assert_eq!(device.token().await.unwrap_err().kind(), ErrorKind::Closed);
    assert_eq!(server.received().len(), 7, "the code is used up");
}

#[tokio::test(start_paused = true)]
async fn a_device_stops_when_there_is_a_decision() {
    for code in [
        "access_denied",
        "expired_token",
        "invalid_grant",
        "invalid_client",
        "other",
    ] {
        let (mut device, server) = start([refused("authorization_pending"), refused(code), token()], &codes()).await;
        for _ in 0..2 {
            let error = device.token().await.unwrap_err();
            assert_eq!(
                (error.kind(), error.get(context::ERROR)),
                (ErrorKind::Authentication, Some(code))
            );
            assert!(!format!("{error} {error:?}").contains("d3vice"));
        }
        assert_eq!(server.received().len(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_device_does_not_wait_longer_than_its_code() {
    for (replies, most) in [
        (refused("authorization_pending"), 11),
        (refused("slow_down"), 11),
        (Reply::error(ErrorKind::ConnectionRefused), 11),
        (reply(429, &json!({})).with_header("retry-after", "100000").unwrap(), 1),
    ] {
        let mut members = codes();
        members["expires_in"] = json!("60");
        let (mut device, server) = start(replies, &members).await;
        let started = Instant::now();
        let error = device.token().await.unwrap_err();
        assert_eq!(error.get(context::ERROR), Some("expired_token"));
        assert_eq!(started.elapsed(), Duration::from_secs(60));
        assert!(
            (1..=most).contains(&(server.received().len() - 1)),
            "{}",
            server.received().len()
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_dropped_wait_loses_no_token() {
    let (mut device, server) = start(
        [token().with_delay(Duration::from_secs(20)), refused("invalid_grant")],
        &codes(),
    )
    .await;
    for _ in 0..5 {
        assert!(timeout(Duration::from_secs(4), device.token()).await.is_err());
    }
    let task = tokio::spawn(async move { device.token().await });
    assert_eq!(task.await.unwrap().unwrap().access_token.expose(), "a");
    assert_eq!(server.received().len(), 2, "one token request");
}

#[tokio::test(start_paused = true)]
async fn codes_of_a_device_are_read_as_servers_send_them() {
    let base = json!({"device_code": "d", "user_code": "U", "verification_url": "/enter"});
    for (name, value, life, interval) in [
        ("x", json!(1), 600, 5),
        ("interval", json!(null), 600, 5),
        ("interval", json!("7"), 600, 7),
        ("interval", json!(7.9), 600, 7),
        ("interval", json!(0), 600, 5),
        ("interval", json!(0.001), 600, 1),
        ("interval", json!(1e9), 600, 5),
        ("interval", json!(5_000), 600, 5),
        ("interval", json!(500), 600, 500),
        ("expires_in", json!("900"), 900, 5),
        ("expires_in", json!(-1), 600, 5),
        ("expires_in", json!(1e18), 86_400, 5),
    ] {
        let mut members = base.clone();
        members[name] = value.clone();
        let (device, _server) = start(token(), &members).await;
        let found = (device.expires_in.as_secs(), device.interval.as_secs());
        assert_eq!(found, (life, interval), "{name}: {value}");
        assert_eq!(device.verification_uri.as_str(), "https://id.test/enter");
        assert_eq!(device.verification_uri_complete, None);
    }
    for (field, value) in [
        ("device_code", json!(null)),
        ("device_code", json!(1)),
        ("user_code", json!("")),
        ("verification_uri", json!("javascript:alert(1)")),
        ("verification_uri", json!(7)),
        ("verification_uri", json!(null)),
    ] {
        let mut members = codes();
        members[field] = value.clone();
        let server = MemoryHttpClient::new();
        device(&server, &members);
        let error = client(&server, config()).start_device([""; 0]).await.unwrap_err();
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::Protocol, Some(field)),
            "{value}"
        );
        assert_eq!(error.operation(), "http.authorize_device");
    }
}

#[tokio::test]
async fn tokens_are_introspected() {
    let at = |seconds| Some(UNIX_EPOCH + Duration::from_secs(seconds));
    let members = json!({"active": true, "scope": ["read", "write"], "client_id": "app", "username": "ada",
        "token_type": "bearer", "exp": "1790000000", "iat": 1_780_000_000.5, "nbf": null, "sub": "7", "aud": "orders",
        "iss": ISSUER, "jti": "1", "tenant": {"id": 5}});
    let server = server("introspect", reply(200, &members));
    let client = client(&server, config().with_client_secret(SECRET));
    let found = client.introspect(&"t0ken".into(), TokenKind::Access).await.unwrap();
    assert!(found.active);
    assert_eq!(found.scopes, ["read", "write"]);
    assert_eq!(found.client_id.as_deref(), Some("app"));
    assert_eq!(found.username.as_deref(), Some("ada"));
    assert_eq!((found.expires_at, found.not_before), (at(1_790_000_000), None));
    assert!(found.issued_at >= at(1_780_000_000));
    assert_eq!(
        (found.subject.as_deref(), found.issuer.as_deref()),
        (Some("7"), Some(ISSUER))
    );
    assert_eq!(
        (found.audience.as_slice(), found.id.as_deref()),
        (&["orders".to_owned()][..], Some("1"))
    );
    assert_eq!(found.members["tenant"]["id"], 5);
    let form = &forms(&server)[0];
    assert_eq!(
        (form["token"].as_str(), form["token_type_hint"].as_str()),
        ("t0ken", "access_token")
    );
    assert!(server.received()[0].header("authorization").is_some());

    let read = async |reply: Reply| {
        server.route(Method::POST, url("introspect").as_str(), reply).unwrap();
        client.introspect(&"t0ken".into(), TokenKind::Refresh).await
    };
    for (active, expected) in [
        (json!(false), Some(false)),
        (json!("true"), Some(true)),
        (json!("FALSE"), Some(false)),
        (json!(null), None),
        (json!(1), None),
        (json!("yes"), None),
    ] {
        let found = read(reply(200, &json!({"active": active, "aud": ["a", "b"]}))).await;
        match (found, expected) {
            (Ok(found), Some(expected)) => assert_eq!(found.active, expected),
            (Err(error), None) => assert_eq!((error.kind(), error.field()), (ErrorKind::Protocol, Some("active"))),
            (found, _) => panic!("{active}: {found:?}"),
        }
    }
    let error = read(reply(
        401,
        &json!({"error": "invalid_client", "error_description": "t0ken?"}),
    ))
    .await
    .unwrap_err();
    assert_eq!(
        (error.kind(), error.operation()),
        (ErrorKind::Authentication, "http.introspect_token")
    );
    assert_eq!(error.get(context::DESCRIPTION), Some("[redacted]?"));
}

#[tokio::test]
async fn tokens_are_revoked() {
    let server = MemoryHttpClient::new();
    let client = client(&server, config().with_client_secret(SECRET));
    let revoke = async |reply: Reply| {
        server.route(Method::POST, url("revoke").as_str(), reply).unwrap();
        client.revoke(&"t0ken".into(), TokenKind::Refresh).await
    };
    // The content of a success has no meaning: RFC 7009, section 2.2.
    for body in ["", "{}", "ok", "<p>revoked</p>", "\u{0}\u{1}", "null"] {
        revoke(Reply::ok().with_body(body))
            .await
            .unwrap_or_else(|error| panic!("{body}: {error}"));
    }
    revoke(reply(204, &json!({}))).await.unwrap();
    let form = &forms(&server)[0];
    assert_eq!(
        (form["token"].as_str(), form["token_type_hint"].as_str()),
        ("t0ken", "refresh_token")
    );

    for (reply, kind, code) in [
        (
            refused("unsupported_token_type"),
            ErrorKind::Authentication,
            Some("unsupported_token_type"),
        ),
        (
            reply(401, &json!({"error": "invalid_client"})),
            ErrorKind::Authentication,
            Some("invalid_client"),
        ),
        (
            reply(200, &json!({"ok": false, "error": "not_authed"})),
            ErrorKind::Authentication,
            Some("not_authed"),
        ),
        (reply(503, &json!({})), ErrorKind::Status, None),
        (Reply::new(StatusCode::FOUND), ErrorKind::Redirect, None),
    ] {
        let error = revoke(reply).await.unwrap_err();
        assert_eq!((error.kind(), error.get(context::ERROR)), (kind, code));
        assert_eq!(error.operation(), "http.revoke_token");
        assert!(!format!("{error} {error:?}").contains("t0ken"));
    }
}

#[tokio::test]
async fn a_server_of_this_machine_needs_no_tls() {
    let (seen, mut requests) = tokio::sync::mpsc::unbounded_channel();
    let answer = "HTTP/1.1 200 OK\r\nContent-Length: 23\r\nConnection: close\r\n\r\n\u{feff}{\"access_token\":\"a\"}";
    let server = RawServer::answering(answer, seen).await;
    let at = |path: &str| server.url(path).parse().unwrap();
    let config = OAuth2ClientConfig::new("app")
        .with_token_url(at("/token"))
        .with_revocation_url(at("/revoke?x=1"));
    let http = HyperTransport::new(TransportConfig::default()).unwrap();
    let client = OAuth2Client::new(Arc::new(http), config).unwrap();
    client.revoke(&"t".into(), TokenKind::Access).await.unwrap();
    let request = client.request(OAuth2Grant::ClientCredentials).unwrap();
    assert_eq!(client.exchange(&request).await.unwrap().access_token.expose(), "a");
    for line in ["POST /revoke?x=1 HTTP/1.1", "POST /token HTTP/1.1"] {
        let head = requests.recv().await.unwrap();
        assert!(head.starts_with(line), "{head}");
        assert!(
            head.to_ascii_lowercase()
                .contains("content-type: application/x-www-form-urlencoded"),
            "{head}"
        );
    }
}

#[tokio::test]
async fn a_token_is_exchanged() {
    let granted = json!({"access_token": "n", "token_type": "N_A",
        "issued_token_type": "urn:ietf:params:oauth:token-type:id_token", "expires_in": 60});
    let server = server("token", reply(200, &granted));
    let client = client(&server, config().with_client_secret(SECRET));
    let exchange = TokenExchange::new("subj3ct").with_requested_token_type(TokenExchange::ID_TOKEN);
    let mut request = client
        .request(OAuth2Grant::TokenExchange(exchange))
        .unwrap()
        .with_audience("orders");
    request
        .extra
        .insert("resource".to_owned(), "https://api.test".to_owned());
    let token = client.exchange(&request).await.unwrap();
    assert_eq!(token.issued_token_type.as_deref(), Some(TokenExchange::ID_TOKEN));
    assert_eq!(token.token_type, "N_A");
    let form = &forms(&server)[0];
    assert_eq!(
        (form["audience"].as_str(), form["resource"].as_str()),
        ("orders", "https://api.test")
    );
    assert!(!format!("{request:?}").contains("subj3ct"));
}

/// A client of the crate, with our HTTP client under it.
#[tokio::test]
async fn the_crate_reads_what_servers_send() {
    let server = MemoryHttpClient::new();
    let http = OAuth2HttpClient::new(server.clone());
    let id = || oauth2::ClientId::new("app".to_owned());
    let base = BasicClient::new(id())
        .set_client_secret(oauth2::ClientSecret::new(SECRET.to_owned()))
        .set_token_uri(oauth2::TokenUrl::from_url(url("token")))
        .set_device_authorization_url(oauth2::DeviceAuthorizationUrl::from_url(url("device")))
        .set_introspection_url(oauth2::IntrospectionUrl::from_url(url("introspect")))
        .set_revocation_url(oauth2::RevocationUrl::from_url(url("revoke")));
    let on = |path: &str, reply: Reply| server.route(Method::POST, url(path).as_str(), reply).unwrap();

    for body in [
        r#"{"access_token": "a", "scope": ["read", "write"], "expires_in": "60", "refresh_token": false}"#,
        "\u{feff}{\"access_token\": \"a\", \"scope\": \"read write\", \"expires_in\": 60.0, \"token_type\": null}",
        "access_token=a&scope=read+write&expires_in=60&token_type=Bearer",
    ] {
        on(
            "token",
            Reply::new(StatusCode::CREATED)
                .with_body(body)
                .with_header("content-type", "text/html")
                .unwrap(),
        );
        let token = base.exchange_client_credentials().request_async(&http).await.unwrap();
        assert_eq!(token.access_token().secret(), "a", "{body}");
        assert_eq!(*token.token_type(), BasicTokenType::Bearer);
        assert_eq!(token.scopes().map(Vec::len), Some(2));
        assert_eq!(token.expires_in(), Some(Duration::from_secs(60)));
        assert!(token.refresh_token().is_none());
    }
    let refused = async || {
        base.exchange_client_credentials()
            .request_async(&http)
            .await
            .unwrap_err()
    };
    for reply in [
        Reply::ok().with_body("error=invalid_grant&error_description=s3cr3t"),
        reply(400, &json!({"error": "invalid_grant", "error_description": ["s3cr3t"]})),
    ] {
        on("token", reply);
        let error = refused().await;
        let RequestTokenError::ServerResponse(refusal) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(refusal.error().as_ref(), "invalid_grant");
        assert_eq!(refusal.error_description().map(String::as_str), Some("[redacted]"));
    }
    for (reply, kind) in [
        (reply(503, &json!({"error": "x"})), ErrorKind::Status),
        (reply(429, &json!({})), ErrorKind::RateLimited),
        (Reply::new(StatusCode::FOUND), ErrorKind::Redirect),
        (Reply::error(ErrorKind::ConnectionRefused), ErrorKind::ConnectionRefused),
        (Reply::ok().with_body(vec![b'x'; (256 << 10) + 1]), ErrorKind::TooLarge),
    ] {
        on("token", reply);
        let error = refused().await;
        let RequestTokenError::Request(ours) = &error else {
            panic!("{error:?}");
        };
        assert_eq!(ours.kind(), kind);
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<NetworkError>());
        assert_eq!(source.map(NetworkError::kind), Some(kind));
    }

    on(
        "device",
        reply(
            200,
            &json!({"device_code": "d", "user_code": "u", "verification_url": "https://id.test", "interval": "1"}),
        ),
    );
    let codes: oauth2::StandardDeviceAuthorizationResponse =
        base.exchange_device_code().request_async(&http).await.unwrap();
    assert_eq!((codes.interval().as_secs(), codes.expires_in().as_secs()), (1, 600));
    on(
        "introspect",
        reply(
            200,
            &json!({"active": "true", "exp": "1790000000", "scope": ["a"], "aud": null}),
        ),
    );
    let access = oauth2::AccessToken::new("t".to_owned());
    assert!(base.introspect(&access).request_async(&http).await.unwrap().active());
    on("revoke", Reply::new(StatusCode::NO_CONTENT));
    base.revoke_token((&access).into())
        .unwrap()
        .request_async(&http)
        .await
        .unwrap();
}
