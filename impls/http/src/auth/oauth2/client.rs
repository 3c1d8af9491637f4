//! A client of an authorization server.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use futures_core::future::BoxFuture;
use networking_runtime::clock::TokioClock;
use networking_spi::clock::Clock;
use networking_spi::http::{HttpClient, OAuth2Grant, OAuth2Request, OAuth2Token};
use networking_spi::secret::Secret;
use networking_spi::validate::{self, Validate};
use networking_spi::{NetworkError, Result};
use oauth2::basic::BasicClient;
use oauth2::{AuthUrl, ClientId, CsrfToken, PkceCodeChallenge, RedirectUrl, Scope};
use url::Url;

use super::answer::Answer;
use super::authorization::{AuthorizationOptions, AuthorizationResponse, PendingAuthorization};
use super::device::DeviceAuthorization;
use super::forms::{self, Party};
use super::introspection::TokenIntrospection;
use super::{ClientAuthentication, DEFAULT_TIMEOUT, OPERATION, TokenKind, check, exchange, wire};
use crate::marks::host;

/// Parameters of the authorization request that the client sets.
const OWN_PARAMETERS: [&str; 7] = [
    "client_id",
    "code_challenge",
    "code_challenge_method",
    "redirect_uri",
    "response_type",
    "scope",
    "state",
];

/// A client at an authorization server, and the server's endpoints. Only the endpoints that are used must be set.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OAuth2ClientConfig {
    /// The client id.
    pub client_id: String,
    /// The client secret; `None` for a public client.
    pub client_secret: Option<Secret>,
    /// How the client sends its secret.
    pub authentication: ClientAuthentication,
    /// The authorization endpoint, to which the user's browser is sent.
    pub authorization_url: Option<Url>,
    /// The token endpoint.
    pub token_url: Option<Url>,
    /// The device authorization endpoint (RFC 8628).
    pub device_authorization_url: Option<Url>,
    /// The introspection endpoint (RFC 7662).
    pub introspection_url: Option<Url>,
    /// The revocation endpoint (RFC 7009): `https`, or `http` to this machine.
    pub revocation_url: Option<Url>,
    /// The redirect URI of the authorization code grant.
    pub redirect_uri: Option<Url>,
    /// The issuer that the parameter `iss` of authorization responses must name (RFC 9207). Set it for servers whose
    /// metadata has `authorization_response_iss_parameter_supported`: then a response without `iss` is refused. `None`
    /// does not check it.
    pub issuer: Option<String>,
    /// Time limit of each request.
    pub timeout: Duration,
}

impl OAuth2ClientConfig {
    /// A public client without endpoints. The time limit of a request is 30 s.
    pub fn new(client_id: impl Into<String>) -> Self {
        Self {
            client_id: client_id.into(),
            client_secret: None,
            authentication: ClientAuthentication::Basic,
            authorization_url: None,
            token_url: None,
            device_authorization_url: None,
            introspection_url: None,
            revocation_url: None,
            redirect_uri: None,
            issuer: None,
            timeout: DEFAULT_TIMEOUT,
        }
    }

    /// Sets the client secret.
    pub fn with_client_secret(mut self, secret: impl Into<Secret>) -> Self {
        self.client_secret = Some(secret.into());
        self
    }

    /// Sets how the client sends its secret.
    pub fn with_authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// Sets the authorization endpoint, and the redirect URI.
    pub fn with_authorization_url(mut self, url: Url, redirect_uri: Url) -> Self {
        self.authorization_url = Some(url);
        self.redirect_uri = Some(redirect_uri);
        self
    }

    /// Sets the token endpoint.
    pub fn with_token_url(mut self, url: Url) -> Self {
        self.token_url = Some(url);
        self
    }

    /// Sets the device authorization endpoint.
    pub fn with_device_authorization_url(mut self, url: Url) -> Self {
        self.device_authorization_url = Some(url);
        self
    }

    /// Sets the introspection endpoint.
    pub fn with_introspection_url(mut self, url: Url) -> Self {
        self.introspection_url = Some(url);
        self
    }

    /// Sets the revocation endpoint.
    pub fn with_revocation_url(mut self, url: Url) -> Self {
        self.revocation_url = Some(url);
        self
    }

    /// Sets the issuer that authorization responses must name.
    pub fn with_issuer(mut self, issuer: impl Into<String>) -> Self {
        self.issuer = Some(issuer.into());
        self
    }

    /// Sets the time limit of each request.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Validate for OAuth2ClientConfig {
    fn validate(&self) -> Result<()> {
        validate::not_blank(&self.client_id, "client_id")?;
        validate::positive(self.timeout, "timeout")?;
        for (url, field) in [
            (&self.authorization_url, "authorization_url"),
            (&self.token_url, "token_url"),
            (&self.device_authorization_url, "device_authorization_url"),
            (&self.introspection_url, "introspection_url"),
            (&self.revocation_url, "revocation_url"),
        ] {
            let is_http = url.as_ref().is_none_or(|url| matches!(url.scheme(), "http" | "https"));
            validate::ensure(is_http, field, "must be an http or https URL")?;
        }
        // RFC 7009, section 2.
        let is_safe = |url: &Url| url.scheme() == "https" || host::is_loopback(url);
        validate::ensure(
            self.revocation_url.as_ref().is_none_or(is_safe),
            "revocation_url",
            "must be an https URL",
        )?;
        if let Some(issuer) = &self.issuer {
            validate::not_blank(issuer, "issuer")?;
        }
        Ok(())
    }
}

impl fmt::Debug for OAuth2ClientConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |url: &Option<Url>| url.as_ref().map(networking_spi::redact::url);
        f.debug_struct("OAuth2ClientConfig")
            .field("client_id", &self.client_id)
            .field("client_secret", &self.client_secret)
            .field("authentication", &self.authentication)
            .field("authorization_url", &shown(&self.authorization_url))
            .field("token_url", &shown(&self.token_url))
            .field("device_authorization_url", &shown(&self.device_authorization_url))
            .field("introspection_url", &shown(&self.introspection_url))
            .field("revocation_url", &shown(&self.revocation_url))
            .field("redirect_uri", &shown(&self.redirect_uri))
            .field("issuer", &self.issuer)
            .field("timeout", &self.timeout)
            .finish()
    }
}

/// A client of an authorization server, over any [`HttpClient`]. The examples of [this module](super) show its use.
/// Clones share everything.
///
/// The requests have none of the [`HttpClient`]'s credentials. Redirects are not followed, and a request that the
/// server may have received is not sent again. Errors have the server's error code, description and URI in their
/// context ([`ERROR`](networking_spi::error::context::ERROR),
/// [`DESCRIPTION`](networking_spi::error::context::DESCRIPTION),
/// [`ERROR_URI`](networking_spi::error::context::ERROR_URI)), without the secrets of the request.
#[derive(Clone)]
pub struct OAuth2Client {
    pub(super) http: Arc<dyn HttpClient>,
    pub(super) clock: Arc<dyn Clock>,
    config: Arc<OAuth2ClientConfig>,
}

impl OAuth2Client {
    /// A client that sends its requests with `http`.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field of the configuration.
    pub fn new(http: Arc<dyn HttpClient>, config: OAuth2ClientConfig) -> Result<Self> {
        config.validate()?;
        Ok(Self {
            http,
            clock: Arc::new(TokioClock::new()),
            config: Arc::new(config),
        })
    }

    /// Sets the clock that measures the lifetime of device codes.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The configuration.
    pub fn config(&self) -> &OAuth2ClientConfig {
        &self.config
    }

    /// Starts the authorization code grant: a URL with a random `state` and the S256 challenge of a random PKCE
    /// verifier (RFC 6749, section 4.1.1, and RFC 7636, section 4.3). Nothing is sent.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) if `authorization_url` or `redirect_uri` is not
    /// configured, and for an extra parameter that the client sets.
    pub fn authorize(&self, options: &AuthorizationOptions) -> Result<PendingAuthorization> {
        if let Some(name) = OWN_PARAMETERS.iter().find(|name| options.extra.contains_key(**name)) {
            return Err(NetworkError::invalid_input(
                format!("extra.{name}"),
                "is set by the client",
            ));
        }
        let page = endpoint(self.config.authorization_url.as_ref(), "authorization_url")?;
        let redirect_uri = endpoint(self.config.redirect_uri.as_ref(), "redirect_uri")?;
        let (challenge, verifier) = PkceCodeChallenge::new_random_sha256();
        let client = BasicClient::new(ClientId::new(self.config.client_id.clone()))
            .set_auth_uri(AuthUrl::from_url(page.clone()))
            .set_redirect_uri(RedirectUrl::from_url(redirect_uri.clone()));
        let mut request = client
            .authorize_url(CsrfToken::new_random)
            .set_pkce_challenge(challenge)
            .add_scopes(options.scopes.iter().cloned().map(Scope::new));
        for (name, value) in &options.extra {
            request = request.add_extra_param(name, value);
        }
        let (url, state) = request.url();
        Ok(PendingAuthorization {
            url,
            redirect_uri: redirect_uri.clone(),
            state: Secret::new(state.into_secret()),
            pkce_verifier: Secret::new(verifier.into_secret()),
            scopes: options.scopes.clone(),
        })
    }

    /// Finishes the authorization code grant: checks `state` and, if an issuer is configured, `iss`, and requests the
    /// token (RFC 6749, section 4.1.3).
    ///
    /// Cancel safety: dropping the future aborts the request. The server may have used up the code; then the user must
    /// authorize again.
    ///
    /// # Errors
    /// [`Authentication`](networking_spi::ErrorKind::Authentication) naming the field `state` or `iss` if the response
    /// does not belong to this authorization, and with the server's error code if the user or the server refused.
    /// [`Protocol`](networking_spi::ErrorKind::Protocol) naming the parameter that is missing or repeated. Nothing was
    /// sent then: [`send_state`](NetworkError::send_state) is `NotSent`. Otherwise the errors of
    /// [`exchange`](Self::exchange).
    pub async fn exchange_code(
        &self,
        pending: &PendingAuthorization,
        response: &AuthorizationResponse,
    ) -> Result<OAuth2Token> {
        let request = self.request_with_code(pending, response)?;
        let read = self.send_token_request(&request).await?;
        read.token(&pending.scopes)
    }

    /// The token request of [`exchange_code`](Self::exchange_code), after its checks. For
    /// [`OAuth2Credentials::new`](super::OAuth2Credentials::new), which sends it and renews the token.
    ///
    /// # Errors
    /// Those of `exchange_code` that are found before the request is sent.
    pub fn request_with_code(
        &self,
        pending: &PendingAuthorization,
        response: &AuthorizationResponse,
    ) -> Result<OAuth2Request> {
        let code = response.code(pending, self.config.issuer.as_deref())?;
        self.request(OAuth2Grant::AuthorizationCode {
            code,
            redirect_uri: pending.redirect_uri.clone(),
            pkce_verifier: Some(pending.pkce_verifier.clone()),
        })
    }

    /// A token request with this client's id and secret, to be completed with scopes and an audience. For
    /// [`exchange`](Self::exchange), or for [`OAuth2Credentials::new`](super::OAuth2Credentials::new), which renews the
    /// token.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) if `token_url` is not configured.
    pub fn request(&self, grant: OAuth2Grant) -> Result<OAuth2Request> {
        let url = endpoint(self.config.token_url.as_ref(), "token_url")?;
        let mut request = OAuth2Request::new(url.clone(), &self.config.client_id, grant);
        match (&self.config.client_secret, self.config.authentication) {
            (Some(secret), ClientAuthentication::Form) => {
                let secret = secret.expose().to_owned();
                request.extra.insert("client_secret".to_owned(), secret);
            }
            (secret, _) => request.client_secret.clone_from(secret),
        }
        Ok(request)
    }

    /// Sends one token request:
    /// [`HttpExtended::authenticate_oauth2`](networking_spi::http::HttpExtended::authenticate_oauth2) over this
    /// client's [`HttpClient`].
    ///
    /// Cancel safety: dropping the future aborts the request. If the server has already rotated the refresh token, the
    /// new token is lost.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field,
    /// [`Authentication`](networking_spi::ErrorKind::Authentication) if the server refuses the request,
    /// [`Protocol`](networking_spi::ErrorKind::Protocol) naming the member that is missing,
    /// [`Timeout`](networking_spi::ErrorKind::Timeout), and the errors of [`HttpClient::request`], also for other
    /// statuses.
    pub async fn exchange(&self, request: &OAuth2Request) -> Result<OAuth2Token> {
        exchange(&*self.http, request, self.config.timeout).await
    }

    /// Starts to sign in a user on another device (RFC 8628). Show the user what the result has, and await its
    /// [`token`](DeviceAuthorization::token).
    ///
    /// Cancel safety: safe; an abandoned code expires.
    ///
    /// # Errors
    /// Those of [`exchange`](Self::exchange), and `InvalidInput` if `device_authorization_url` or `token_url` is not
    /// configured.
    pub async fn start_device<S: Into<String>>(
        &self,
        scopes: impl IntoIterator<Item = S>,
    ) -> Result<DeviceAuthorization> {
        const OPERATION: &str = "http.authorize_device";
        endpoint(self.config.token_url.as_ref(), "token_url")?;
        let url = endpoint(
            self.config.device_authorization_url.as_ref(),
            "device_authorization_url",
        )?;
        let scopes: Vec<String> = scopes.into_iter().map(Into::into).collect();
        let mut parameters = Vec::new();
        if !scopes.is_empty() {
            parameters.push(("scope".to_owned(), scopes.join(" ")));
        }
        let request = forms::device(&self.party(), url, parameters)?;
        let answer = self.send(url, request, OPERATION).await?;
        DeviceAuthorization::read(&answer, url, scopes, self.clone()).map_err(|error| error.with_operation(OPERATION))
    }

    /// Asks the server about a token (RFC 7662). `kind` is a hint. The server says about an unknown token, and about a
    /// token of another client, that it is not active.
    ///
    /// Cancel safety: safe.
    ///
    /// # Errors
    /// Those of [`exchange`](Self::exchange), and `InvalidInput` if `introspection_url` is not configured.
    pub async fn introspect(&self, token: &Secret, kind: TokenKind) -> Result<TokenIntrospection> {
        const OPERATION: &str = "http.introspect_token";
        validate::not_blank(token.expose(), "token")?;
        let url = endpoint(self.config.introspection_url.as_ref(), "introspection_url")?;
        let request = forms::introspection(&self.party(), url, token, kind)?;
        let answer = self.send(url, request, OPERATION).await?;
        TokenIntrospection::read(&answer).map_err(|error| error.with_operation(OPERATION))
    }

    /// Revokes a token (RFC 7009). `kind` is a hint. It succeeds also if the server does not know the token. Servers
    /// that revoke only one kind of token refuse the other one with the code `unsupported_token_type`.
    ///
    /// Cancel safety: dropping the future aborts the request; the token may have been revoked. The call can be
    /// repeated.
    ///
    /// # Errors
    /// Those of [`exchange`](Self::exchange), and `InvalidInput` if `revocation_url` is not configured. After a status
    /// 5xx or 429, the token must be assumed to be valid still.
    pub async fn revoke(&self, token: &Secret, kind: TokenKind) -> Result<()> {
        const OPERATION: &str = "http.revoke_token";
        validate::not_blank(token.expose(), "token")?;
        let url = endpoint(self.config.revocation_url.as_ref(), "revocation_url")?;
        let request = forms::revocation(&self.party(), url, token, kind)?;
        let answer = self.send(url, request, OPERATION).await?;
        match answer.error() {
            Some(error) => Err(error.with_operation(OPERATION)),
            None => Ok(()),
        }
    }

    /// One request for the token of a device.
    pub(super) fn poll_device(self, device_code: Secret) -> BoxFuture<'static, Result<Answer>> {
        Box::pin(async move {
            let request = self.request(OAuth2Grant::DeviceCode { device_code })?;
            self.send_token_request(&request).await
        })
    }

    async fn send_token_request(&self, request: &OAuth2Request) -> Result<Answer> {
        check(request)?;
        self.send(&request.token_url, forms::token(request)?, OPERATION).await
    }

    async fn send(&self, url: &Url, request: oauth2::HttpRequest, operation: &'static str) -> Result<Answer> {
        wire::send(&*self.http, url, request, self.config.timeout, operation).await
    }

    fn party(&self) -> Party<'_> {
        Party {
            id: &self.config.client_id,
            secret: self.config.client_secret.as_ref(),
            authentication: self.config.authentication,
        }
    }
}

fn endpoint<'u>(url: Option<&'u Url>, field: &'static str) -> Result<&'u Url> {
    url.ok_or_else(|| NetworkError::invalid_input(field, "is not configured"))
}

impl fmt::Debug for OAuth2Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OAuth2Client")
            .field("http", &self.http)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
