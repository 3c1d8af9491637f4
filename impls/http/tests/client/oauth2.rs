//! Token requests, and credentials that renew their token.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use networking_http::layer::Credentials;
use networking_http::oauth2::OAuth2Credentials;
use networking_http::{HttpClientBuilder, MemoryHttpClient, ReceivedRequest, Reply, Responder, StandardHttpClient};
use networking_spi::http::{
    HttpBody, HttpClientExt, HttpExtended, HttpResponse, Method, OAuth2Grant, OAuth2Request, OAuth2Token, RetryPolicy,
    StatusCode, TokenExchange,
};
use networking_spi::secret::Secret;
use networking_spi::{ErrorKind, NetworkError, SendState};
use serde_json::{Value, json};
use tokio::sync::Notify;
use url::form_urlencoded;

const TOKEN_URL: &str = "https://id.test/token";
const SECRET: &str = "s3cr3t & more";
/// RFC 7636, appendix B.
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";

fn request() -> OAuth2Request {
    OAuth2Request::client_credentials(TOKEN_URL.parse().unwrap(), "the client", SECRET)
}

fn code_request() -> OAuth2Request {
    let mut request = request().with_grant(OAuth2Grant::AuthorizationCode {
        code: "c0de".into(),
        redirect_uri: "https://app.test/back?x=1".parse().unwrap(),
        pkce_verifier: Some(VERIFIER.into()),
    });
    request.client_secret = None;
    request
}

fn refresh_request() -> OAuth2Request {
    request().with_grant(OAuth2Grant::RefreshToken {
        refresh_token: "r0".into(),
    })
}

fn token(access: &str) -> Reply {
    Reply::ok()
        .with_json(&json!({"access_token": access, "token_type": "Bearer", "expires_in": 300}))
        .unwrap()
}

fn refusal(code: &str) -> Reply {
    Reply::new(StatusCode::BAD_REQUEST)
        .with_json(&json!({"error": code}))
        .unwrap()
}

fn form(request: &ReceivedRequest) -> Vec<(String, String)> {
    form_urlencoded::parse(&request.body).into_owned().collect()
}

fn field(request: &ReceivedRequest, name: &str) -> Option<String> {
    form(request)
        .into_iter()
        .find(|(key, _)| key == name)
        .map(|(_, value)| value)
}

async fn ask(
    request: OAuth2Request,
    reply: Reply,
) -> (
    Result<networking_spi::http::OAuth2Token, NetworkError>,
    MemoryHttpClient,
) {
    let memory = MemoryHttpClient::new();
    memory.route(Method::POST, TOKEN_URL, reply).unwrap();
    let client = HttpClientBuilder::over(memory.clone())
        .credentials(Credentials::bearer("of the client").unwrap())
        .retry(RetryPolicy::new(5))
        .build()
        .unwrap();
    (client.authenticate_oauth2(request).await, memory)
}

#[tokio::test]
async fn each_grant_sends_its_form() {
    let reply = Reply::ok()
        .with_json(
            &json!({"access_token": "a", "token_type": "bearer", "expires_in": "3600",
            "refresh_token": "r", "scope": "read write", "id_token": "i", "more": [1]}),
        )
        .unwrap();
    let (result, memory) = ask(
        request().with_scope("read").with_scope("write").with_audience("orders"),
        reply,
    )
    .await;
    let granted = result.unwrap();
    assert_eq!(granted.access_token.expose(), "a");
    assert_eq!(granted.expires_in, Some(Duration::from_secs(3600)));
    assert_eq!(granted.refresh_token.as_ref().map(Secret::expose), Some("r"));
    assert_eq!(granted.id_token.as_ref().map(Secret::expose), Some("i"));
    assert_eq!(granted.scopes, ["read", "write"]);
    let received = &memory.received()[0];
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    assert_eq!(
        form(received),
        [
            pair("grant_type", "client_credentials"),
            pair("scope", "read write"),
            pair("audience", "orders")
        ]
    );
    // base64 of `the+client:s3cr3t+%26+more`.
    assert_eq!(
        received.header("authorization"),
        Some("Basic dGhlK2NsaWVudDpzM2NyM3QrJTI2K21vcmU=")
    );
    assert!(received.headers["authorization"].is_sensitive());

    let (result, memory) = ask(code_request(), token("a")).await;
    result.unwrap();
    let received = &memory.received()[0];
    assert_eq!(
        received.header("authorization"),
        None,
        "a public client does not authenticate, and the credentials of the HTTP client are not sent"
    );
    assert_eq!(
        form(received),
        [
            pair("grant_type", "authorization_code"),
            pair("code", "c0de"),
            pair("code_verifier", VERIFIER),
            pair("client_id", "the client"),
            pair("redirect_uri", "https://app.test/back?x=1")
        ]
    );

    let (result, memory) = ask(refresh_request(), token("a")).await;
    result.unwrap();
    assert_eq!(
        form(&memory.received()[0]),
        [pair("grant_type", "refresh_token"), pair("refresh_token", "r0")]
    );

    let exchange = TokenExchange::new("s")
        .with_actor("act", TokenExchange::JWT)
        .with_requested_token_type(TokenExchange::ID_TOKEN);
    let urn = |name: &str| format!("urn:ietf:params:oauth:{name}");
    for (grant, expected) in [
        (
            OAuth2Grant::Password {
                username: "ada".to_owned(),
                password: "p w".into(),
            },
            vec![
                pair("grant_type", "password"),
                pair("username", "ada"),
                pair("password", "p w"),
            ],
        ),
        (
            OAuth2Grant::DeviceCode {
                device_code: "d&".into(),
            },
            vec![
                pair("grant_type", &urn("grant-type:device_code")),
                pair("device_code", "d&"),
            ],
        ),
        (
            OAuth2Grant::JwtBearer { assertion: "j".into() },
            vec![
                pair("grant_type", &urn("grant-type:jwt-bearer")),
                pair("assertion", "j"),
            ],
        ),
        (
            OAuth2Grant::TokenExchange(exchange),
            vec![
                pair("grant_type", &urn("grant-type:token-exchange")),
                pair("subject_token", "s"),
                pair("subject_token_type", &urn("token-type:access_token")),
                pair("actor_token", "act"),
                pair("actor_token_type", &urn("token-type:jwt")),
                pair("requested_token_type", &urn("token-type:id_token")),
            ],
        ),
    ] {
        let (result, memory) = ask(request().with_grant(grant), token("a")).await;
        result.unwrap();
        let received = &memory.received()[0];
        assert_eq!(form(received), expected);
        assert!(
            received
                .header("authorization")
                .is_some_and(|value| value.starts_with("Basic "))
        );
    }
}

#[tokio::test]
async fn error_responses_become_errors_without_secrets() {
    let json = |status: u16, body: Value| {
        Reply::new(StatusCode::from_u16(status).unwrap())
            .with_json(&body)
            .unwrap()
    };
    let told = format!("{SECRET} is wrong");
    for (reply, kind, code) in [
        (
            json(401, json!({"error": "invalid_client"})),
            ErrorKind::Authentication,
            Some("invalid_client"),
        ),
        (
            json(400, json!({"error": "invalid_scope", "error_description": told})),
            ErrorKind::Authentication,
            Some("invalid_scope"),
        ),
        (
            json(400, json!({"error": told})),
            ErrorKind::Authentication,
            Some("[redacted] is wrong"),
        ),
        (
            json(200, json!({"error": "bad_verification_code\n\""})),
            ErrorKind::Authentication,
            Some("bad_verification_code"),
        ),
        (
            json(503, json!({"error": "temporarily_unavailable"})),
            ErrorKind::Status,
            Some("temporarily_unavailable"),
        ),
        (
            json(429, json!({"error": "slow_down"})),
            ErrorKind::RateLimited,
            Some("slow_down"),
        ),
        (json(403, json!({})), ErrorKind::PermissionDenied, None),
        (
            json(200, json!({"access_token": "", "token_type": "Bearer"})),
            ErrorKind::Protocol,
            None,
        ),
        (json(200, json!({"token": SECRET})), ErrorKind::Protocol, None),
        (Reply::ok().with_body(SECRET), ErrorKind::Protocol, None),
        (
            Reply::ok().with_body(vec![b'x'; (256 << 10) + 1]),
            ErrorKind::TooLarge,
            None,
        ),
        (
            Reply::new(StatusCode::TEMPORARY_REDIRECT)
                .with_header("location", "https://eve.test/")
                .unwrap(),
            ErrorKind::Redirect,
            None,
        ),
        (
            Reply::error(ErrorKind::ConnectionClosed),
            ErrorKind::ConnectionClosed,
            None,
        ),
    ] {
        let (result, memory) = ask(request(), reply).await;
        let error = result.unwrap_err();
        assert_eq!(
            (error.kind(), error.operation()),
            (kind, "http.authenticate_oauth2"),
            "{error}"
        );
        assert_eq!(
            error.context().find(|(key, _)| *key == "error").map(|(_, value)| value),
            code
        );
        assert!(!format!("{error} {error:?}").contains(SECRET), "{error:?}");
        assert_eq!(memory.received().len(), 1, "sent once, and not redirected: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_silent_server_is_a_timeout() {
    let (result, _memory) = ask(request(), Reply::hang()).await;
    assert_eq!(result.unwrap_err().kind(), ErrorKind::Timeout);
}

#[tokio::test]
async fn invalid_requests_name_their_field_and_are_not_sent() {
    let mut own = request();
    own.extra.insert("grant_type".to_owned(), "password".to_owned());
    let mut verifier = code_request();
    if let OAuth2Grant::AuthorizationCode { pkce_verifier, .. } = &mut verifier.grant {
        *pkce_verifier = Some("short".into());
    }
    let mut scheme = request();
    scheme.token_url = "ftp://id.test/".parse().unwrap();
    let empty = request().with_grant(OAuth2Grant::RefreshToken {
        refresh_token: "".into(),
    });
    for (request, field) in [
        (own, "extra.grant_type"),
        (verifier, "grant.pkce_verifier"),
        (scheme, "token_url"),
        (empty, "grant.refresh_token"),
    ] {
        let credentials = Credentials::oauth2(OAuth2Credentials::new(request.clone())).unwrap_err();
        assert_eq!(credentials.field(), Some(format!("oauth2.request.{field}").as_str()));
        let (result, memory) = ask(request, token("a")).await;
        let error = result.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
        assert!(memory.received().is_empty());
    }
}

#[test]
fn no_secret_is_shown() {
    let mut request = request();
    request.token_url = format!("https://me:{VERIFIER}@id.test/token?api_key={VERIFIER}")
        .parse()
        .unwrap();
    request.extra.insert("client_secret".to_owned(), VERIFIER.to_owned());
    for request in [request, code_request(), refresh_request()] {
        let shown = format!("{:?}", OAuth2Credentials::new(request));
        for secret in [VERIFIER, SECRET, "c0de", "\"r0\""] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

/// An API that can be restricted to one token, and a client with OAuth 2.0 credentials.
struct Api {
    memory: MemoryHttpClient,
    client: StandardHttpClient<MemoryHttpClient>,
}

impl Api {
    fn new(credentials: OAuth2Request, tokens: impl Into<Responder>) -> Self {
        let credentials = OAuth2Credentials::new(credentials);
        Self::with_credentials(
            credentials.with_renewal(Duration::from_secs(60), Duration::ZERO),
            tokens,
        )
    }

    fn with_credentials(credentials: OAuth2Credentials, tokens: impl Into<Responder>) -> Self {
        let memory = MemoryHttpClient::new();
        memory.route(Method::POST, TOKEN_URL, tokens).unwrap();
        for method in [Method::GET, Method::POST] {
            memory.route(method, "https://api.test/{*any}", Reply::ok()).unwrap();
        }
        let client = HttpClientBuilder::over(memory.clone())
            .base_url("https://api.test")
            .credentials(Credentials::oauth2(credentials).unwrap())
            .retries(0)
            .build()
            .unwrap();
        Self { memory, client }
    }

    /// Makes the API accept only this token.
    fn accept_only(&self, token: &'static str) {
        let wanted = format!("Bearer {token}");
        let check = Responder::from_fn(move |request: ReceivedRequest| {
            let good = request.header("authorization") == Some(&wanted);
            async move {
                Ok(HttpResponse::new(if good {
                    StatusCode::OK
                } else {
                    StatusCode::UNAUTHORIZED
                }))
            }
        });
        self.memory
            .route(Method::GET, "https://api.test/{*any}", check)
            .unwrap();
    }

    async fn get(&self) -> Result<StatusCode, NetworkError> {
        Ok(self.client.get("/orders").await?.status)
    }

    fn token_requests(&self) -> Vec<ReceivedRequest> {
        let mut received = self.memory.received();
        received.retain(|request| request.url.as_str() == TOKEN_URL);
        received
    }

    /// The `Authorization` headers that the API has received.
    fn sent(&self) -> Vec<String> {
        let received = self.memory.received();
        let to_api = received
            .iter()
            .filter(|request| request.url.host_str() == Some("api.test"));
        to_api
            .map(|request| request.header("authorization").unwrap_or_default().to_owned())
            .collect()
    }
}

/// Lets background tasks finish.
async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_in_the_background_before_it_expires() {
    let api = Api::new(request(), [token("1"), token("2"), token("3")]);
    api.get().await.unwrap();
    tokio::time::advance(Duration::from_secs(239)).await;
    api.get().await.unwrap();
    tokio::time::advance(Duration::from_secs(1)).await;
    api.get().await.unwrap();
    settle().await;
    api.get().await.unwrap();
    tokio::time::advance(Duration::from_secs(300)).await;
    api.get().await.unwrap();
    assert_eq!(api.sent(), ["Bearer 1", "Bearer 1", "Bearer 1", "Bearer 2", "Bearer 3"]);
    assert_eq!(api.token_requests().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_failed_early_renewal_does_not_fail_calls() {
    let api = Api::new(request(), [token("1"), Reply::new(StatusCode::BAD_GATEWAY), token("2")]);
    api.get().await.unwrap();
    tokio::time::advance(Duration::from_secs(240)).await;
    for _ in 0..3 {
        api.get().await.unwrap();
        settle().await;
    }
    assert_eq!(api.token_requests().len(), 2, "not repeated immediately");
    tokio::time::advance(Duration::from_secs(5)).await;
    api.get().await.unwrap();
    settle().await;
    api.get().await.unwrap();
    assert_eq!(api.sent().last().unwrap(), "Bearer 2");
}

#[tokio::test(start_paused = true)]
async fn credentials_are_sent_only_to_the_base_url() {
    let api = Api::new(request(), token("1"));
    api.memory
        .route(Method::GET, "https://other.test/", Reply::ok())
        .unwrap();
    api.client.get("https://other.test/").await.unwrap();
    api.client.get("/own").header("authorization", "mine").await.unwrap();
    assert_eq!(api.token_requests().len(), 0);
    assert_eq!(api.sent(), ["mine"]);
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_is_replaced_once() {
    let api = Api::new(request(), [token("1"), token("2"), token("3"), token("4")]);
    api.accept_only("2");
    assert_eq!(api.get().await.unwrap(), StatusCode::OK);
    assert_eq!(api.sent(), ["Bearer 1", "Bearer 2"]);

    tokio::time::advance(Duration::from_secs(30)).await;
    api.accept_only("nothing");
    for _ in 0..3 {
        assert_eq!(api.get().await.unwrap(), StatusCode::UNAUTHORIZED);
    }
    assert_eq!(api.token_requests().len(), 3, "only one more token");
}

#[tokio::test(start_paused = true)]
async fn calls_with_the_same_refused_token_share_one_renewal() {
    let api = Arc::new(Api::new(request(), [token("1"), token("2")]));
    api.get().await.unwrap();
    api.accept_only("2");
    let calls = (0..10).map(|_| {
        let api = Arc::clone(&api);
        tokio::spawn(async move { api.get().await.unwrap() })
    });
    for call in calls.collect::<Vec<_>>() {
        assert_eq!(call.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(api.token_requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_repeated_is_sent_once() {
    let api = Api::new(request(), [token("1"), token("2")]);
    api.memory
        .route(
            Method::POST,
            "https://api.test/{*any}",
            Reply::new(StatusCode::UNAUTHORIZED),
        )
        .unwrap();
    let stream = HttpBody::stream(Box::pin(futures_util::stream::once(async { Ok("x".into()) })), None);
    let response = api.client.post("/orders").body(stream).await.unwrap();
    assert_eq!(response.status, StatusCode::UNAUTHORIZED);
    assert_eq!(api.sent(), ["Bearer 1"]);
    api.get().await.unwrap();
    assert_eq!(api.sent(), ["Bearer 1", "Bearer 2"], "the next call has a new token");
}

#[tokio::test(start_paused = true)]
async fn concurrent_calls_share_one_token_request_and_cannot_cancel_it() {
    let (gate, asked) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
    let (at_server, counted) = (Arc::clone(&gate), Arc::clone(&asked));
    let tokens = Responder::from_fn(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&at_server);
        async move {
            gate.notified().await;
            HttpResponse::new(StatusCode::OK).with_json(&json!({"access_token": "1", "token_type": "Bearer"}))
        }
    });
    let api = Arc::new(Api::new(request(), tokens));
    let mut calls: Vec<_> = (0..10)
        .map(|_| {
            let api = Arc::clone(&api);
            tokio::spawn(async move { api.get().await.unwrap() })
        })
        .collect();
    settle().await;
    let first = calls.remove(0);
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.notify_one();
    for call in calls {
        assert_eq!(call.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

fn rotated(access: &str, refresh: &str) -> Reply {
    Reply::ok()
        .with_json(
            &json!({"access_token": access, "token_type": "Bearer", "expires_in": 100, "refresh_token": refresh}),
        )
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_code_is_used_once_and_refresh_tokens_after_it() {
    let api = Api::new(
        code_request(),
        [rotated("1", "r1"), rotated("2", "r2"), token("3"), token("4")],
    );
    for _ in 0..4 {
        api.get().await.unwrap();
        tokio::time::advance(Duration::from_secs(300)).await;
    }
    let requests = api.token_requests();
    assert_eq!(field(&requests[0], "code").as_deref(), Some("c0de"));
    let refresh: Vec<_> = requests[1..]
        .iter()
        .map(|request| field(request, "refresh_token").unwrap())
        .collect();
    assert_eq!(
        refresh,
        ["r1", "r2", "r2"],
        "the latest refresh token, also after a response without one"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_grant_fails_permanently() {
    let api = Api::new(refresh_request(), [refusal("invalid_grant"), token("1")]);
    for _ in 0..3 {
        let error = api.get().await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Authentication);
        assert!(!error.retryability().is_retryable());
    }
    assert_eq!(api.token_requests().len(), 1);

    let api = Api::new(code_request(), [token("1")]);
    api.get().await.unwrap();
    tokio::time::advance(Duration::from_secs(300)).await;
    assert_eq!(api.get().await.unwrap_err().kind(), ErrorKind::Authentication);
    assert_eq!(
        api.token_requests().len(),
        1,
        "without a refresh token there is nothing to send"
    );
}

#[tokio::test(start_paused = true)]
async fn a_refused_token_that_cannot_be_replaced_is_still_sent() {
    for (credentials, tokens) in [
        (code_request(), vec![token("1")]),
        (refresh_request(), vec![rotated("1", "r1"), refusal("invalid_grant")]),
    ] {
        let requests = tokens.len();
        let api = Api::new(credentials, tokens);
        api.get().await.unwrap();
        // The early renewal of the second case fails permanently.
        tokio::time::advance(Duration::from_secs(60)).await;
        api.get().await.unwrap();
        settle().await;
        api.accept_only("nothing");
        for _ in 0..2 {
            assert_eq!(api.get().await.unwrap(), StatusCode::UNAUTHORIZED);
        }
        api.accept_only("1");
        assert_eq!(
            api.get().await.unwrap(),
            StatusCode::OK,
            "the token is still sent after a refusal"
        );
        assert_eq!(api.token_requests().len(), requests);
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_is_renewed_at_half_of_its_lifetime_at_the_earliest() {
    let credentials = OAuth2Credentials::new(request()).with_renewal(Duration::MAX, Duration::MAX);
    let api = Api::with_credentials(credentials, [token("1"), token("2")]);
    api.get().await.unwrap();
    tokio::time::advance(Duration::from_secs(149)).await;
    api.get().await.unwrap();
    settle().await;
    assert_eq!(api.token_requests().len(), 1, "not before half of its lifetime");
    tokio::time::advance(Duration::from_secs(1)).await;
    api.get().await.unwrap();
    settle().await;
    assert_eq!(api.token_requests().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn single_use_grants_that_may_have_been_used_are_not_sent_again() {
    let unsure = || Reply::error(ErrorKind::ConnectionClosed);
    let unsent = || Reply::error_with(|| NetworkError::new(ErrorKind::ConnectionRefused, "http.request", "refused"));

    let api = Api::new(code_request(), [unsent(), unsure(), token("1")]);
    assert_eq!(api.get().await.unwrap_err().send_state(), SendState::NotSent);
    assert_eq!(api.get().await.unwrap_err().kind(), ErrorKind::ConnectionClosed);
    assert_eq!(api.get().await.unwrap_err().kind(), ErrorKind::ConnectionClosed);
    assert_eq!(api.token_requests().len(), 2, "a code that may have arrived");

    let api = Api::new(refresh_request(), [rotated("1", "r1"), unsure(), token("2")]);
    api.get().await.unwrap();
    tokio::time::advance(Duration::from_secs(300)).await;
    for _ in 0..2 {
        assert_eq!(api.get().await.unwrap_err().kind(), ErrorKind::ConnectionClosed);
    }
    assert_eq!(
        api.token_requests().len(),
        2,
        "a rotated refresh token that may have arrived"
    );

    let api = Api::new(refresh_request(), [unsure(), token("1")]);
    assert_eq!(api.get().await.unwrap_err().kind(), ErrorKind::ConnectionClosed);
    api.get()
        .await
        .expect("a refresh token that is not rotated is sent again");
}

#[tokio::test(start_paused = true)]
async fn credentials_can_start_with_a_token() {
    let mut first = OAuth2Token::bearer("0");
    first.expires_in = Some(Duration::from_secs(100));
    first.refresh_token = Some("r0".into());
    for (request, grant) in [
        (code_request(), "refresh_token"),
        (refresh_request(), "refresh_token"),
        (request(), "client_credentials"),
    ] {
        let credentials = OAuth2Credentials::new(request).with_token(first.clone());
        let api = Api::with_credentials(credentials, token("1"));
        api.get().await.unwrap();
        assert!(api.token_requests().is_empty());
        tokio::time::advance(Duration::from_secs(100)).await;
        api.get().await.unwrap();
        assert_eq!(api.sent(), ["Bearer 0", "Bearer 1"]);
        assert_eq!(field(&api.token_requests()[0], "grant_type").as_deref(), Some(grant));
    }
    let credentials = OAuth2Credentials::new(request()).with_token(OAuth2Token::bearer("a\nb"));
    let error = Credentials::oauth2(credentials).unwrap_err();
    assert_eq!(error.field(), Some("oauth2.token"));
}

#[tokio::test(start_paused = true)]
async fn a_device_code_is_sent_until_the_user_has_decided() {
    let request = code_request().with_grant(OAuth2Grant::DeviceCode {
        device_code: "d".into(),
    });
    let api = Api::new(
        request,
        [
            refusal("authorization_pending"),
            refusal("slow_down"),
            token("1"),
            token("2"),
        ],
    );
    for code in ["authorization_pending", "slow_down"] {
        let error = api.get().await.unwrap_err();
        assert_eq!(error.get(networking_spi::error::context::ERROR), Some(code));
    }
    api.get().await.unwrap();
    tokio::time::advance(Duration::from_secs(300)).await;
    assert_eq!(api.get().await.unwrap_err().kind(), ErrorKind::Authentication);
    assert_eq!(api.token_requests().len(), 3, "it is used up");
}

#[tokio::test(start_paused = true)]
async fn only_bearer_tokens_are_sent() {
    let reply = Reply::ok()
        .with_json(&json!({"access_token": "x", "token_type": "mac"}))
        .unwrap();
    let api = Api::new(request(), reply);
    assert_eq!(api.get().await.unwrap_err().kind(), ErrorKind::Protocol);
    assert!(api.sent().is_empty());
    let shown = format!("{:?}", api.client);
    assert!(!shown.contains(SECRET) && shown.contains("the client"), "{shown}");
}
