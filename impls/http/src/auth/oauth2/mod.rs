//! Requests to token endpoints (RFC 6749), and the renewal of tokens.

mod token_source;

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use networking_spi::error::ResultExt;
use networking_spi::http::{HttpClient, HttpRequest, Method, OAuth2Grant, OAuth2Request, OAuth2Token};
use networking_spi::secret::Secret;
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use serde::Deserialize;
use serde_json::Value;
use url::form_urlencoded::byte_serialize;

#[cfg(feature = "jwt")]
pub use self::token_source::Assertion;
pub use self::token_source::OAuth2Credentials;
pub(super) use self::token_source::TokenSource;
use crate::connect::basic;
use crate::marks::WithoutCredentials;

pub(super) const OPERATION: &str = "http.authenticate_oauth2";

/// The largest accepted response of a token endpoint, in bytes.
const MAX_ANSWER: usize = 256 << 10;

/// Time limit of a request to a token endpoint.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);

/// The context key for the error code of RFC 6749, section 5.2.
const ERROR_CODE: &str = "error";

/// Parameters that are set by fields of the request.
const OWN_PARAMETERS: [&str; 9] = [
    "assertion",
    "grant_type",
    "client_id",
    "scope",
    "audience",
    "refresh_token",
    "code",
    "redirect_uri",
    "code_verifier",
];

/// Sends one token request. Redirects are not followed, because the request contains secrets. A request that the server may have
/// received is not retried, because its grant may be valid only once.
pub(crate) async fn exchange(http: &dyn HttpClient, request: &OAuth2Request, limit: Duration) -> Result<OAuth2Token> {
    check(request)?;
    let outgoing = to_http(request, http.capabilities().response_size_limit)?;
    let exchanged = tokio::time::timeout(limit, async {
        let response = http.request(outgoing).await?;
        let (status, status_error) = (response.status, response.status_error());
        match response.body.collect(MAX_ANSWER).await {
            Ok(body) => read(status, status_error, &body, request),
            // If the body of an error response cannot be read, its status is the error.
            Err(error) => Err(status_error.unwrap_or(error)),
        }
    });
    exchanged
        .await
        .unwrap_or_else(|_| Err(NetworkError::timeout(OPERATION, Phase::Total, limit)))
        .in_operation(OPERATION)
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
        _ => Err(NetworkError::unsupported(OPERATION, "grant")),
    }
}

fn to_http(request: &OAuth2Request, limit_size: bool) -> Result<HttpRequest> {
    let mut form: Vec<(&str, &str)> = Vec::new();
    match &request.grant {
        OAuth2Grant::RefreshToken { refresh_token } => {
            form.push(("grant_type", "refresh_token"));
            form.push(("refresh_token", refresh_token.expose()));
        }
        OAuth2Grant::AuthorizationCode {
            code,
            redirect_uri,
            pkce_verifier,
        } => {
            form.push(("grant_type", "authorization_code"));
            form.push(("code", code.expose()));
            form.push(("redirect_uri", redirect_uri.as_str()));
            if let Some(verifier) = pkce_verifier {
                form.push(("code_verifier", verifier.expose()));
            }
        }
        OAuth2Grant::JwtBearer { assertion } => {
            form.push(("grant_type", "urn:ietf:params:oauth:grant-type:jwt-bearer"));
            form.push(("assertion", assertion.expose()));
        }
        _ => form.push(("grant_type", "client_credentials")),
    }
    let scope = request.scopes.join(" ");
    if !scope.is_empty() {
        form.push(("scope", &scope));
    }
    if let Some(audience) = &request.audience {
        form.push(("audience", audience));
    }
    form.extend(
        request
            .extra
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    );
    if request.client_secret.is_none() {
        form.push(("client_id", &request.client_id));
    }

    let mut outgoing = HttpRequest::new(Method::POST, request.token_url.clone())
        .with_form(form)
        .with_header(header::ACCEPT, "application/json")?;
    if let Some(secret) = &request.client_secret {
        outgoing
            .headers
            .insert(header::AUTHORIZATION, basic(&request.client_id, secret));
    }
    outgoing.options.follow_redirects = Some(false);
    outgoing.options.raise_for_status = Some(false);
    outgoing.options.idempotent = Some(false);
    outgoing.options.max_response_size = limit_size.then_some(MAX_ANSWER as u64);
    outgoing.extensions.insert(WithoutCredentials);
    Ok(outgoing)
}

/// RFC 6749, section 2.3.1: both parts are form-encoded before they are put into Basic credentials.
fn basic(client_id: &str, secret: &Secret) -> HeaderValue {
    let encode = |text: &str| byte_serialize(text.as_bytes()).collect::<String>();
    basic::credentials(&encode(client_id), &encode(secret.expose()))
}

#[derive(Deserialize)]
struct Granted {
    access_token: Secret,
    token_type: String,
    expires_in: Option<Value>,
    refresh_token: Option<Secret>,
    scope: Option<String>,
    id_token: Option<Secret>,
}

#[derive(Deserialize)]
struct Refused {
    error: String,
    error_description: Option<String>,
}

fn read(
    status: StatusCode,
    status_error: Option<NetworkError>,
    body: &[u8],
    request: &OAuth2Request,
) -> Result<OAuth2Token> {
    // Some servers report errors with status 200.
    if !status.is_server_error()
        && status != StatusCode::TOO_MANY_REQUESTS
        && let Ok(refused) = serde_json::from_slice::<Refused>(body)
    {
        return Err(refusal(status, &refused, request));
    }
    if let Some(error) = status_error {
        return Err(error);
    }
    let failed = |kind, message| {
        NetworkError::new(kind, OPERATION, message)
            .with_status(status.as_u16())
            .with_send_state(SendState::Sent)
    };
    if status.is_redirection() {
        return Err(failed(
            ErrorKind::Redirect,
            "the token endpoint responded with a redirect",
        ));
    }
    // The cause is omitted, because it would contain a part of the token.
    let granted: Granted = serde_json::from_slice(body)
        .map_err(|_| failed(ErrorKind::Protocol, "the response of the token endpoint is not a token"))?;
    if granted.access_token.is_empty() || granted.token_type.is_empty() {
        return Err(failed(ErrorKind::Protocol, "the token is empty"));
    }
    let mut token = OAuth2Token::bearer(granted.access_token);
    token.token_type = granted.token_type;
    token.expires_in = granted.expires_in.as_ref().and_then(seconds);
    token.refresh_token = granted.refresh_token.filter(|token| !token.is_empty());
    token.scopes = granted.scope.map_or_else(Vec::new, |scope| {
        scope
            .split(' ')
            .filter(|one| !one.is_empty())
            .map(str::to_owned)
            .collect()
    });
    token.id_token = granted.id_token;
    Ok(token)
}

/// Seconds as a number, or as a string, which some servers send.
fn seconds(value: &Value) -> Option<Duration> {
    let seconds = match value {
        Value::String(text) => text.parse().ok(),
        other => other.as_f64(),
    };
    seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
}

fn refusal(status: StatusCode, refused: &Refused, request: &OAuth2Request) -> NetworkError {
    // The characters that RFC 6749, section 5.2, allows.
    let shown = |text: &str| -> String {
        let allowed = |c: &char| (' '..='~').contains(c) && !matches!(c, '"' | '\\');
        text.chars().filter(allowed).take(200).collect()
    };
    let mut error = NetworkError::new(
        ErrorKind::Authentication,
        OPERATION,
        "the token endpoint refused the request",
    )
    .with_status(status.as_u16())
    .with_send_state(SendState::Sent)
    .with_context(
        ERROR_CODE,
        if echoes(&refused.error, request) {
            String::new()
        } else {
            shown(&refused.error)
        },
    );
    if let Some(description) = refused
        .error_description
        .as_deref()
        .filter(|text| !echoes(text, request))
    {
        error = error.with_context("description", shown(description));
    }
    error
}

/// Whether a text from the server repeats a secret of the request.
fn echoes(text: &str, request: &OAuth2Request) -> bool {
    let of_grant = match &request.grant {
        OAuth2Grant::RefreshToken { refresh_token } => [Some(refresh_token), None],
        OAuth2Grant::AuthorizationCode {
            code, pkce_verifier, ..
        } => [Some(code), pkce_verifier.as_ref()],
        OAuth2Grant::JwtBearer { assertion } => [Some(assertion), None],
        _ => [None, None],
    };
    of_grant
        .into_iter()
        .chain([request.client_secret.as_ref()])
        .flatten()
        .any(|secret| !secret.is_empty() && text.contains(secret.expose()))
        || request
            .extra
            .values()
            .any(|value| !value.is_empty() && text.contains(value.as_str()))
}

/// Whether the server reported that the grant is invalid, expired or used.
fn is_invalid_grant(error: &NetworkError) -> bool {
    error.kind() == ErrorKind::Authentication
        && error
            .context()
            .any(|(key, value)| key == ERROR_CODE && value == "invalid_grant")
}
