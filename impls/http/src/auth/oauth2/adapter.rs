//! Any [`HttpClient`] as a client of the crate `oauth2`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use http::{HeaderValue, StatusCode, header};
use networking_spi::http::HttpClient;
use networking_spi::{NetworkError, Result};
use serde_json::{Map, Value};
use url::Url;

use super::answer::{Answer, Content, lifetime, number_of_seconds, scopes, seconds, text};
use super::device::DEFAULT_LIFETIME;
use super::{DEFAULT_TIMEOUT, OPERATION, wire};

/// An HTTP client for the crate [`oauth2`], over any [`HttpClient`]. With it, every request of that crate can be sent.
///
/// * Redirects are not followed and requests are not retried. The credentials of the [`HttpClient`] are not added. Responses are
///   limited to 256 KiB.
/// * Deviations of servers are corrected, so that the crate can read the responses: `scope` as a list, a missing `token_type`,
///   numbers as strings, `null`, byte order marks, forms, errors with status 200, and the others that
///   [this module](super#responses) names.
/// * The error is a [`NetworkError`]: connection errors, and statuses that are not a refusal, such as 429 and 503. The crate
///   returns it as `RequestTokenError::Request`. A refusal is the crate's `RequestTokenError::ServerResponse`, without the secrets
///   of the request.
///
/// ```
/// use std::sync::Arc;
///
/// use networking_http::oauth2::OAuth2HttpClient;
/// use networking_http::{MemoryHttpClient, Reply};
/// use networking_spi::http::Method;
/// use oauth2::basic::BasicClient;
/// use oauth2::{AuthorizationCode, ClientId, TokenResponse, TokenUrl};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let server = MemoryHttpClient::new();
/// let token = serde_json::json!({"access_token": "a", "scope": ["read", "write"]});
/// server.route(Method::POST, "https://id.example.com/token", Reply::ok().with_json(&token)?)?;
///
/// let http = OAuth2HttpClient::new(Arc::new(server));
/// let client = BasicClient::new(ClientId::new("app".to_owned()))
///     .set_token_uri(TokenUrl::new("https://id.example.com/token".to_owned())?);
/// let token = client.exchange_code(AuthorizationCode::new("code".to_owned())).request_async(&http).await?;
/// assert_eq!(token.scopes().map(Vec::len), Some(2));
/// # Ok(()) }
/// ```
///
/// Cancel safety: dropping the future aborts the request; the server may have processed it.
#[derive(Clone)]
pub struct OAuth2HttpClient<C = Arc<dyn HttpClient>> {
    http: C,
    timeout: Duration,
}

impl<C: HttpClient> OAuth2HttpClient<C> {
    /// Sends requests with `http`, each within 30 s.
    pub fn new(http: C) -> Self {
        Self {
            http,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Sets the time limit of a request with its response.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    async fn send(&self, request: oauth2::HttpRequest) -> Result<oauth2::HttpResponse> {
        let url: Url = request
            .uri()
            .to_string()
            .parse()
            .map_err(|_| NetworkError::invalid_input("url", "is not a URL"))?;
        wire::send(&self.http, &url, request, self.timeout, OPERATION)
            .await?
            .into_standard()
    }
}

impl<'c, C: HttpClient> oauth2::AsyncHttpClient<'c> for OAuth2HttpClient<C> {
    type Error = NetworkError;
    type Future = BoxFuture<'c, Result<oauth2::HttpResponse>>;

    fn call(&'c self, request: oauth2::HttpRequest) -> Self::Future {
        Box::pin(self.send(request))
    }
}

impl<C: fmt::Debug> fmt::Debug for OAuth2HttpClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2HttpClient")
            .field("http", &self.http)
            .field("timeout", &self.timeout)
            .finish()
    }
}

impl Answer {
    /// The response as the specifications require it.
    fn into_standard(self) -> Result<oauth2::HttpResponse> {
        let refusal = self.refusal();
        if let Some(error) = self.error() {
            let refused = refusal.filter(|refusal| self.failure.is_none() || refusal.is_refusal(self.status));
            let status = if self.failure.is_some() {
                self.status
            } else {
                StatusCode::BAD_REQUEST
            };
            return match refused.and_then(|refusal| refusal.to_standard(&self.secrets)) {
                Some(members) if !self.status.is_redirection() => Ok(json(status, members)),
                _ => Err(error),
            };
        }
        Ok(match self.content {
            Content::Members(members) => json(StatusCode::OK, standard(members)),
            // A response without content, such as that to a revocation.
            Content::Text(text) => {
                let mut response = http::Response::new(text.into_bytes());
                *response.status_mut() = StatusCode::OK;
                response
            }
        })
    }
}

fn json(status: StatusCode, members: Map<String, Value>) -> oauth2::HttpResponse {
    let mut response = http::Response::new(Value::Object(members).to_string().into_bytes());
    *response.status_mut() = status;
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// The members of a success, with the names and types of RFC 6749, section 5.1, RFC 7662, section 2.2, and RFC 8628, section 3.2.
fn standard(mut members: Map<String, Value>) -> Map<String, Value> {
    let life = lifetime(&members).map(|life| life.as_secs());
    let life = life.or_else(|| {
        members
            .contains_key("device_code")
            .then_some(DEFAULT_LIFETIME.as_secs())
    });
    set(&mut members, "expires_in", life.map(Value::from));

    let interval = members.get("interval").and_then(seconds);
    set(
        &mut members,
        "interval",
        interval.map(|wait| wait.as_secs().max(1).into()),
    );

    for name in ["exp", "iat", "nbf"] {
        let at = members.get(name).and_then(number_of_seconds);
        set(&mut members, name, at.map(Value::from));
    }
    let joined = scopes(members.get("scope"), &[]).join(" ");
    set(&mut members, "scope", (!joined.is_empty()).then(|| joined.into()));

    let token_type = text(&members, "token_type").map(str::to_owned);
    let default = || members.contains_key("access_token").then(|| "bearer".to_owned());
    let token_type = token_type.or_else(default);
    set(&mut members, "token_type", token_type.map(Value::from));

    for name in ["refresh_token", "id_token", "verification_uri_complete"] {
        if text(&members, name).is_none() {
            members.remove(name);
        }
    }
    if let Some(active) = members.get("active").and_then(super::introspection::flag) {
        set(&mut members, "active", Some(active.into()));
    }
    members.retain(|_, value| !value.is_null());
    members
}

fn set(members: &mut Map<String, Value>, name: &str, value: Option<Value>) {
    match value {
        Some(value) => {
            members.insert(name.to_owned(), value);
        }
        None => {
            members.remove(name);
        }
    }
}
