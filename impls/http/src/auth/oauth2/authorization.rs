//! The part of the authorization code grant that runs through the user's browser (RFC 6749, section 4.1, and RFC 7636).

use std::collections::BTreeMap;
use std::fmt;

use networking_spi::error::context;
use networking_spi::redact;
use networking_spi::secret::Secret;
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::OPERATION;
use super::refusal::Refusal;
use super::secrets::Secrets;

/// What an authorization asks for. `Debug` shows only the names of the `extra` parameters.
#[derive(Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct AuthorizationOptions {
    /// The requested scopes.
    pub scopes: Vec<String>,
    /// Further parameters of the authorization request, such as `prompt` and `nonce`.
    pub extra: BTreeMap<String, String>,
}

impl AuthorizationOptions {
    /// Asks for no scope and without further parameters.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a scope.
    pub fn with_scope(mut self, scope: impl Into<String>) -> Self {
        self.scopes.push(scope.into());
        self
    }

    /// Sets a further parameter of the authorization request.
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.extra.insert(name.into(), value.into());
        self
    }
}

impl fmt::Debug for AuthorizationOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthorizationOptions")
            .field("scopes", &self.scopes)
            .field("extra", &self.extra.keys())
            .finish()
    }
}

/// An authorization that waits for the user. Made by [`OAuth2Client::authorize`](super::OAuth2Client::authorize).
///
/// Send the user's browser to `url`, and keep the value until the browser comes back to the redirect URI. A web server
/// keeps it in the user's session: it can be serialized, then with its secrets. `Debug` does not show them.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PendingAuthorization {
    /// The page of the authorization server, with all parameters.
    pub url: Url,
    /// The redirect URI of the request.
    pub redirect_uri: Url,
    /// The value that ties the response to the user's session (RFC 6749, section 10.12).
    pub state: Secret,
    /// The PKCE verifier (RFC 7636, section 4.1). The URL has its SHA-256 hash.
    pub pkce_verifier: Secret,
    /// The requested scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
}

impl fmt::Debug for PendingAuthorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut page = self.url.clone();
        page.set_query(None);
        f.debug_struct("PendingAuthorization")
            .field("url", &format_args!("{}", redact::url(&page)))
            .field("redirect_uri", &format_args!("{}", redact::url(&self.redirect_uri)))
            .field("state", &self.state)
            .field("pkce_verifier", &self.pkce_verifier)
            .field("scopes", &self.scopes)
            .finish()
    }
}

/// The parameters with which the browser comes back to the redirect URI (RFC 6749, sections 4.1.2 and 4.1.2.1). `Debug`
/// shows only their names.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthorizationResponse(Vec<(String, String)>);

impl AuthorizationResponse {
    /// From the URL that the browser requested.
    pub fn from_url(url: &Url) -> Self {
        Self::from_query(url.query().unwrap_or_default())
    }

    /// From the query of the request, with or without `?`, or from its body if the server uses the response mode
    /// `form_post`.
    ///
    /// ```
    /// use networking_http::oauth2::AuthorizationResponse;
    ///
    /// let response = AuthorizationResponse::from_query("code=SplxlOBeZQQYbYS6WxSbIA&state=xyz");
    /// let url = "https://app.example.com/back?code=SplxlOBeZQQYbYS6WxSbIA&state=xyz".parse().unwrap();
    /// assert_eq!(response, AuthorizationResponse::from_url(&url));
    /// ```
    pub fn from_query(query: &str) -> Self {
        let query = query.strip_prefix('?').unwrap_or(query);
        Self(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The code, after the checks of `state` and of the issuer.
    pub(super) fn code(&self, pending: &PendingAuthorization, issuer: Option<&str>) -> Result<Secret> {
        let state = self.parameter("state")?.unwrap_or_default();
        if pending.state.is_empty() || !same(state, pending.state.expose()) {
            return Err(self.refused("the response belongs to another authorization request", Some("state")));
        }
        // RFC 9207, section 2.4.
        if let Some(issuer) = issuer
            && self.parameter("iss")? != Some(issuer)
        {
            return Err(self.refused("the response is from another authorization server", Some("iss")));
        }
        if self.parameter("error")?.is_some_and(|code| !code.is_empty()) {
            return Err(self.refused("the authorization was refused", None));
        }
        match self.parameter("code")? {
            Some(code) if !code.trim().is_empty() => Ok(Secret::new(code)),
            _ => Err(
                failed(ErrorKind::Protocol, "a required parameter of the response is missing")
                    .with_context(context::FIELD, "code"),
            ),
        }
    }

    /// A parameter, which must not be repeated (RFC 6749, section 3.1).
    fn parameter(&self, name: &'static str) -> Result<Option<&str>> {
        let mut values = self
            .0
            .iter()
            .filter(|(key, _)| key == name)
            .map(|(_, value)| value.as_str());
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(failed(ErrorKind::Protocol, "a parameter of the response is repeated")
                .with_context(context::FIELD, name)),
        }
    }

    fn refused(&self, message: &'static str, field: Option<&'static str>) -> NetworkError {
        let mut error = failed(ErrorKind::Authentication, message);
        if let Some(field) = field {
            error = error.with_context(context::FIELD, field);
            // What another party says is not repeated. Some servers omit the state from errors.
            if field != "state" || self.0.iter().any(|(name, _)| name == field) {
                return error;
            }
        }
        let is_error = |name: &str| name == "error" || name.starts_with("error_");
        let members: Map<String, Value> = self
            .0
            .iter()
            .filter(|(name, _)| is_error(name))
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        let secret = |(name, value): &(String, String)| (!is_error(name)).then(|| value.clone());
        let secrets = Secrets::from_values(self.0.iter().filter_map(secret).filter(|value| value.len() >= 4));
        match Refusal::of_members(&members) {
            Some(refusal) => refusal.describe(error, &secrets),
            None => error,
        }
    }
}

impl fmt::Debug for AuthorizationResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// No token request was sent.
fn failed(kind: ErrorKind, message: &'static str) -> NetworkError {
    NetworkError::new(kind, OPERATION, message).with_send_state(SendState::NotSent)
}

/// Compares in a time that does not depend on the texts.
fn same(one: &str, other: &str) -> bool {
    let differences = one.bytes().zip(other.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    one.len() == other.len() && differences == 0
}
