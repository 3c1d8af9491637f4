//! OAuth 2: tokens for this application, for its users and for other services, over any [`HttpClient`].
//!
//! | to | use |
//! |---|---|
//! | send requests with a token that is renewed automatically | [`OAuth2Credentials`] |
//! | sign in a user in a browser (authorization code with PKCE, RFC 6749 and 7636) | [`OAuth2Client::authorize`] |
//! | sign in a user on another device (RFC 8628) | [`OAuth2Client::start_device`] |
//! | exchange a token for another one (RFC 8693) | [`OAuth2Client::exchange`] with [`OAuth2Grant::TokenExchange`] |
//! | ask about a token (RFC 7662), or revoke it (RFC 7009) | [`OAuth2Client::introspect`], [`OAuth2Client::revoke`] |
//! | send one token request with a client that is only a `dyn HttpExtended` | [`HttpExtended::authenticate_oauth2`] |
//! | use the crate `oauth2` directly | [`OAuth2HttpClient`] |
//!
//! [`HttpExtended::authenticate_oauth2`]: networking_spi::http::HttpExtended::authenticate_oauth2
//!
//! # A user signs in in a browser
//!
//! ```
//! use std::sync::Arc;
//!
//! use networking_http::oauth2::{AuthorizationOptions, AuthorizationResponse, OAuth2Client, OAuth2ClientConfig};
//! use networking_http::{MemoryHttpClient, Reply};
//! use networking_spi::http::Method;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let http = MemoryHttpClient::new();
//! # let token = serde_json::json!({"access_token": "a", "token_type": "Bearer", "expires_in": 3600});
//! # http.route(Method::POST, "https://id.example.com/token", Reply::ok().with_json(&token)?)?;
//! let config = OAuth2ClientConfig::new("app")
//!     .with_authorization_url("https://id.example.com/authorize".parse()?, "https://app.example.com/back".parse()?)
//!     .with_token_url("https://id.example.com/token".parse()?);
//! let client = OAuth2Client::new(Arc::new(http), config)?;
//!
//! // Send the browser to `pending.url`, and keep `pending` in the user's session.
//! let pending = client.authorize(&AuthorizationOptions::new().with_scope("orders"))?;
//!
//! // The browser comes back to the redirect URI with `code` and `state`.
//! # let query = format!("?code=c&state={}", pending.state.expose());
//! let response = AuthorizationResponse::from_query(&query);
//! let token = client.exchange_code(&pending, &response).await?;
//! # assert_eq!(token.access_token.expose(), "a");
//! # Ok(()) }
//! ```
//!
//! For a client that uses the token and renews it, give [`OAuth2Client::request_with_code`] to
//! [`OAuth2Credentials::new`] instead. For a user who has signed in before, give it the stored refresh token with
//! [`OAuth2Client::request`].
//!
//! # A user signs in on another device
//!
//! ```no_run
//! # async fn example(client: networking_http::oauth2::OAuth2Client) -> Result<(), networking_spi::NetworkError> {
//! let mut device = client.start_device(["orders"]).await?;
//! println!("Open {} and enter {}", device.verification_uri, device.user_code);
//! let token = device.token().await?;
//! # Ok(()) }
//! ```
//!
//! # Responses
//!
//! Responses are read as real servers send them:
//!
//! * JSON or a form, with any content type, also with a byte order mark or in UTF-16; status 200 or another 2xx. Of
//!   members with the same name the last one counts; unknown members are ignored.
//! * `token_type` is `Bearer` if it is missing or `null`. `scope` is a string, with spaces or commas, or a list.
//!   `expires_in` is a number or a string; zero, negative and other values mean that the lifetime is not known, and at
//!   most 100 years are used.
//!   `refresh_token` and `id_token` that are `null`, `false` or empty do not exist.
//! * A response without `access_token` is [`Protocol`](ErrorKind::Protocol) naming the field.
//! * An error is an error with any status. The server's code, description and URI are in the context of the error: from
//!   JSON or a form, also in the names that other servers use, from `WWW-Authenticate`, and from the text of a page in
//!   plain text or HTML. They are shortened, and the secrets of the request are replaced.
//! * 400 to 403 with an error code is [`Authentication`](ErrorKind::Authentication), as is 200 with one. Other statuses
//!   keep their kind: 429 is [`RateLimited`](ErrorKind::RateLimited), 5xx is [`Status`](ErrorKind::Status), both with
//!   the `Retry-After`.

mod adapter;
mod answer;
mod authorization;
mod client;
mod device;
mod forms;
mod introspection;
mod refusal;
mod secrets;
mod token_source;
mod wire;

use std::time::Duration;

use networking_spi::error::{ResultExt, context};
use networking_spi::http::{HttpClient, OAuth2Grant, OAuth2Request, OAuth2Token};
use networking_spi::secret::Secret;
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result};

pub use self::adapter::OAuth2HttpClient;
pub use self::authorization::{AuthorizationOptions, AuthorizationResponse, PendingAuthorization};
pub use self::client::{OAuth2Client, OAuth2ClientConfig};
pub use self::device::DeviceAuthorization;
pub use self::introspection::TokenIntrospection;
#[cfg(feature = "jwt")]
pub use self::token_source::Assertion;
pub use self::token_source::OAuth2Credentials;
pub(super) use self::token_source::TokenSource;

pub(super) const OPERATION: &str = "http.authenticate_oauth2";

/// Time limit of a request to a token endpoint.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// Parameters that are set by fields of the request.
const OWN_PARAMETERS: [&str; 17] = [
    "assertion",
    "grant_type",
    "client_id",
    "scope",
    "audience",
    "refresh_token",
    "code",
    "redirect_uri",
    "code_verifier",
    "username",
    "password",
    "device_code",
    "subject_token",
    "subject_token_type",
    "actor_token",
    "actor_token_type",
    "requested_token_type",
];

/// How a client sends its secret (RFC 6749, section 2.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// In the header `Authorization`, which every server supports (`client_secret_basic`).
    #[default]
    Basic,
    /// In the form, for servers that do not obey the specification (`client_secret_post`).
    Form,
}

/// The kind of a token, as a hint for the server (RFC 7009, section 2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(clippy::exhaustive_enums, reason = "the two kinds that the specification knows")]
pub enum TokenKind {
    /// An access token.
    Access,
    /// A refresh token.
    Refresh,
}

impl TokenKind {
    fn hint(self) -> &'static str {
        match self {
            Self::Access => "access_token",
            Self::Refresh => "refresh_token",
        }
    }
}

/// Sends one token request.
pub(crate) async fn exchange(http: &dyn HttpClient, request: &OAuth2Request, limit: Duration) -> Result<OAuth2Token> {
    let exchanged = async {
        check(request)?;
        let built = forms::token(request)?;
        let answer = wire::send(http, &request.token_url, built, limit, OPERATION).await?;
        answer.token(&request.scopes)
    };
    exchanged.await.in_operation(OPERATION)
}

fn check(request: &OAuth2Request) -> Result<()> {
    request.validate()?;
    if let Some(name) = request
        .extra
        .keys()
        .find(|name| OWN_PARAMETERS.contains(&name.as_str()))
    {
        return Err(NetworkError::invalid_input(
            format!("extra.{name}"),
            "is set by a field of the request",
        ));
    }
    match &request.grant {
        OAuth2Grant::ClientCredentials => Ok(()),
        OAuth2Grant::RefreshToken { refresh_token } => {
            validate::not_blank(refresh_token.expose(), "grant.refresh_token")
        }
        OAuth2Grant::AuthorizationCode {
            code, pkce_verifier, ..
        } => {
            validate::not_blank(code.expose(), "grant.code")?;
            // RFC 7636, section 4.1.
            let verifier = pkce_verifier.as_ref().map(Secret::expose);
            let fits = verifier.is_none_or(|verifier| {
                (43..=128).contains(&verifier.len())
                    && verifier
                        .bytes()
                        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte))
            });
            validate::ensure(
                fits,
                "grant.pkce_verifier",
                "must have 43 to 128 letters, digits, or one of - . _ ~",
            )
        }
        OAuth2Grant::JwtBearer { assertion } => validate::not_blank(assertion.expose(), "grant.assertion"),
        OAuth2Grant::Password { username, .. } => validate::not_blank(username, "grant.username"),
        OAuth2Grant::DeviceCode { device_code } => validate::not_blank(device_code.expose(), "grant.device_code"),
        OAuth2Grant::TokenExchange(exchange) => validate::nested(exchange, "grant"),
        _ => Err(NetworkError::unsupported(OPERATION, "grant")),
    }
}

/// Whether the server reported that the grant is invalid, expired or used.
fn is_invalid_grant(error: &NetworkError) -> bool {
    error.kind() == ErrorKind::Authentication && error.get(context::ERROR) == Some("invalid_grant")
}

/// Whether the server waits for the decision of the user of a device.
fn is_pending(error: &NetworkError) -> bool {
    matches!(error.get(context::ERROR), Some("authorization_pending" | "slow_down"))
}
