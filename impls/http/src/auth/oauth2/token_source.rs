//! Access tokens for requests, renewed before they expire.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use networking_spi::clock::Clock;
use networking_spi::error::ResultExt;
use networking_spi::http::{HttpClient, OAuth2Grant, OAuth2Request, OAuth2Token};
use networking_spi::secret::Secret;
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, SendState};
use parking_lot::Mutex;

use super::{DEFAULT_TIMEOUT, OPERATION, check, exchange, is_invalid_grant, is_pending};
#[cfg(feature = "jwt")]
use crate::auth::jwt::SignedJwt;
use networking_runtime::single_flight::SingleFlight;

/// The wait after a failed renewal before the next early renewal.
const RENEWAL_PAUSE: Duration = Duration::from_secs(5);

/// The minimum time between two renewals that are caused by refused tokens.
const REFUSAL_PAUSE: Duration = Duration::from_secs(30);

/// How access tokens are requested, and when they are renewed.
///
/// With the client-credentials grant, a renewal requests a new token. With other grants it uses the refresh token, if
/// the server issued one. A new refresh token from the server replaces the old one together with the access token.
///
/// ```
/// use networking_http::HttpClientBuilder;
/// use networking_http::layer::Credentials;
/// use networking_http::oauth2::OAuth2Credentials;
/// use networking_spi::http::OAuth2Request;
///
/// let request = OAuth2Request::client_credentials("https://id.example.com/token".parse().unwrap(), "id", "secret");
/// let http = HttpClientBuilder::new()
///     .base_url("https://api.example.com")
///     .credentials(Credentials::oauth2(OAuth2Credentials::new(request.with_scope("orders")))?)
///     .build()?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct OAuth2Credentials {
    /// The request for the first token.
    pub request: OAuth2Request,
    /// A token that was obtained before. It is used until it must be renewed, with its refresh token if it has one. Its
    /// lifetime counts from when the client is made. A code in the request is not sent then.
    pub token: Option<OAuth2Token>,
    /// A token is renewed this long before it expires, but not before half of its lifetime has passed.
    pub skew: Duration,
    /// The maximum of the random time that is added to `skew`, so that many clients do not renew at the same time.
    pub jitter: Duration,
    /// Time limit of a request for a token.
    pub timeout: Duration,
    /// A signed token in each request for an access token, instead of the client's secret or of the grant.
    #[cfg(feature = "jwt")]
    pub assertion: Option<Assertion>,
}

/// A token that the client signs for each request for an access token (RFC 7523). Its audience is the token endpoint,
/// unless one is set.
#[cfg(feature = "jwt")]
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Assertion {
    /// Replaces the client's secret (section 2.2, `private_key_jwt`). The default issuer and subject are the client's
    /// id.
    OfClient(SignedJwt),
    /// Replaces the request's grant (section 2.1).
    OfGrant(SignedJwt),
}

impl OAuth2Credentials {
    /// Renews tokens 60 s to 70 s before they expire. The time limit of a request is 30 s.
    pub fn new(request: OAuth2Request) -> Self {
        Self {
            request,
            token: None,
            skew: Duration::from_secs(60),
            jitter: Duration::from_secs(10),
            timeout: DEFAULT_TIMEOUT,
            #[cfg(feature = "jwt")]
            assertion: None,
        }
    }

    /// Signs each request for a token.
    #[cfg(feature = "jwt")]
    pub fn with_assertion(mut self, assertion: Assertion) -> Self {
        self.assertion = Some(assertion);
        self
    }

    /// Starts with a token that was obtained before, such as one of
    /// [`DeviceAuthorization::token`](super::DeviceAuthorization::token).
    pub fn with_token(mut self, token: OAuth2Token) -> Self {
        self.token = Some(token);
        self
    }

    /// Sets how long before its expiry a token is renewed, and the maximum of the random time that is added to it.
    pub fn with_renewal(mut self, skew: Duration, jitter: Duration) -> Self {
        self.skew = skew;
        self.jitter = jitter;
        self
    }

    /// Sets the time limit of a request for a token.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl Validate for OAuth2Credentials {
    fn validate(&self) -> Result<()> {
        check(&self.request).in_field("request")?;
        #[cfg(feature = "jwt")]
        match &self.assertion {
            Some(Assertion::OfClient(_)) if self.request.client_secret.is_some() => {
                return Err(NetworkError::invalid_input(
                    "request.client_secret",
                    "must not be set together with a client assertion",
                ));
            }
            Some(Assertion::OfClient(jwt) | Assertion::OfGrant(jwt)) => {
                jwt.validate().in_field("assertion")?;
            }
            None => {}
        }
        if let Some(token) = &self.token {
            let usable = header(token).is_ok();
            validate::ensure(usable, "token", "must be a bearer token that fits into a header")?;
        }
        validate::positive(self.timeout, "timeout")
    }
}

/// Provides and renews tokens. At most one request runs at a time, in a background task that all waiting callers share.
pub(crate) struct TokenSource {
    http: Arc<dyn HttpClient>,
    config: OAuth2Credentials,
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    flight: SingleFlight<Arc<Issued>>,
}

/// A token and the header in which it is sent.
pub(crate) struct Issued {
    pub(crate) header: HeaderValue,
    generation: u64,
    renew_at: Option<Duration>,
    expires_at: Option<Duration>,
}

#[derive(Default)]
struct State {
    current: Option<Arc<Issued>>,
    generation: u64,
    /// Whether a peer refused the current token.
    refused: bool,
    /// When a token was last renewed because a peer refused it.
    renewed_for_refusal: Option<Duration>,
    refresh_token: Option<Secret>,
    /// Whether the server rotates refresh tokens: one that may have been used must not be sent again.
    rotates: bool,
    code_sent: bool,
    /// No early renewal starts before this time.
    pause_until: Duration,
    /// The final error: no further token can be obtained.
    ended: Option<NetworkError>,
}

enum Lookup {
    Use(Arc<Issued>),
    /// The token is valid, but must be renewed in the background.
    Renew(Arc<Issued>),
    Fetch,
}

impl TokenSource {
    pub(crate) fn new(http: Arc<dyn HttpClient>, config: OAuth2Credentials, clock: Arc<dyn Clock>) -> Self {
        let refresh_token = match &config.request.grant {
            OAuth2Grant::RefreshToken { refresh_token } => Some(refresh_token.clone()),
            _ => None,
        };
        let mut state = State {
            refresh_token,
            ..State::default()
        };
        if let Some(token) = config.token.clone()
            && let Ok(header) = header(&token)
        {
            state.code_sent = is_single_use(&config.request.grant);
            keep(&mut state, &config, header, token, clock.elapsed());
        }
        Self {
            http,
            config,
            clock,
            state: Mutex::new(state),
            flight: SingleFlight::new(OPERATION),
        }
    }

    /// A valid token. Cancel safe: a request for a token continues when its callers are dropped.
    pub(crate) async fn token(self: &Arc<Self>) -> Result<Arc<Issued>> {
        let run = || {
            let source = Arc::clone(self);
            Box::pin(async move { source.renew().await }) as _
        };
        match self.look_up() {
            Lookup::Use(token) => Ok(token),
            Lookup::Renew(token) => {
                self.flight.start_unless_running(run);
                Ok(token)
            }
            Lookup::Fetch => {
                let ready = || match self.look_up() {
                    Lookup::Use(token) | Lookup::Renew(token) => Some(token),
                    Lookup::Fetch => None,
                };
                self.flight.join(ready, run).await
            }
        }
    }

    /// Records that a peer refused `token`. Returns whether to request another one.
    pub(crate) fn refused(&self, token: &Issued) -> bool {
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        if state.generation != token.generation || state.refused {
            return true;
        }
        // No other token can be obtained. Later calls use this one and get the peer's response.
        if state.ended.is_some() || (state.refresh_token.is_none() && state.code_sent) {
            return false;
        }
        let just_renewed = state
            .renewed_for_refusal
            .is_some_and(|renewed| now < renewed + REFUSAL_PAUSE);
        if !just_renewed {
            state.refused = true;
            state.renewed_for_refusal = Some(now);
        }
        !just_renewed
    }

    fn look_up(&self) -> Lookup {
        let now = self.clock.elapsed();
        let state = self.state.lock();
        match &state.current {
            Some(token) if !state.refused && token.expires_at.is_none_or(|end| now < end) => {
                let due = token.renew_at.is_some_and(|due| now >= due);
                if due && now >= state.pause_until && state.ended.is_none() {
                    Lookup::Renew(Arc::clone(token))
                } else {
                    Lookup::Use(Arc::clone(token))
                }
            }
            _ => Lookup::Fetch,
        }
    }

    async fn renew(&self) -> Result<Arc<Issued>> {
        let (grant, only_once) = self.next_grant()?;
        let uses_code = is_single_use(&grant);
        let request = self.config.request.clone().with_grant(grant);
        // If it fails, nothing was sent, and a code can still be used.
        #[cfg(feature = "jwt")]
        let request = self.signed(request)?;
        self.state.lock().code_sent |= uses_code;
        let answer = exchange(&*self.http, &request, self.config.timeout).await;
        let now = self.clock.elapsed();
        let mut state = self.state.lock();
        match answer.and_then(|token| Ok((header(&token)?, token))) {
            Ok((header, token)) => Ok(keep(&mut state, &self.config, header, token, now)),
            Err(error) => {
                state.pause_until = now + RENEWAL_PAUSE;
                // The code of a device is not used up while the user has not decided.
                let unsent = error.send_state() == SendState::NotSent || is_pending(&error);
                state.code_sent &= !unsent;
                let unsure = only_once && !unsent;
                if !is_invalid_grant(&error) && !unsure {
                    return Err(error);
                }
                let error = error.with_retryability(Retryability::Never);
                state.ended = Some(error.clone());
                Err(error)
            }
        }
    }

    #[cfg(feature = "jwt")]
    fn signed(&self, mut request: OAuth2Request) -> Result<OAuth2Request> {
        let sign = |jwt: &SignedJwt| jwt.sign(self.config.request.token_url.as_str(), self.clock.now());
        match &self.config.assertion {
            Some(Assertion::OfClient(jwt)) => {
                let mut jwt = jwt.clone();
                jwt.issuer.get_or_insert_with(|| request.client_id.clone());
                jwt.subject.get_or_insert_with(|| request.client_id.clone());
                let assertion = sign(&jwt)?;
                for (name, value) in [
                    (
                        "client_assertion_type",
                        "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
                    ),
                    ("client_assertion", assertion.expose()),
                ] {
                    request.extra.insert(name.to_owned(), value.to_owned());
                }
            }
            // A refresh token from the last response is preferred.
            Some(Assertion::OfGrant(jwt)) if !matches!(request.grant, OAuth2Grant::RefreshToken { .. }) => {
                request.grant = OAuth2Grant::JwtBearer { assertion: sign(jwt)? };
            }
            _ => {}
        }
        Ok(request)
    }

    /// The grant to use, and whether it may be sent only once.
    fn next_grant(&self) -> Result<(OAuth2Grant, bool)> {
        let state = self.state.lock();
        if let Some(ended) = &state.ended {
            return Err(ended.clone());
        }
        if let Some(refresh_token) = state.refresh_token.clone() {
            return Ok((OAuth2Grant::RefreshToken { refresh_token }, state.rotates));
        }
        let code = is_single_use(&self.config.request.grant);
        if code && state.code_sent {
            return Err(NetworkError::new(
                ErrorKind::Authentication,
                OPERATION,
                "the token has expired, and the server sent no refresh token",
            ));
        }
        Ok((self.config.request.grant.clone(), code))
    }
}

/// Whether the grant can be sent only once, because the server uses it up.
fn is_single_use(grant: &OAuth2Grant) -> bool {
    matches!(
        grant,
        OAuth2Grant::AuthorizationCode { .. } | OAuth2Grant::DeviceCode { .. }
    )
}

fn keep(
    state: &mut State,
    config: &OAuth2Credentials,
    header: HeaderValue,
    token: OAuth2Token,
    now: Duration,
) -> Arc<Issued> {
    let renewable = !matches!(config.request.grant, OAuth2Grant::ClientCredentials);
    if let Some(new) = token.refresh_token.filter(|_| renewable) {
        state.rotates |= state.refresh_token.as_ref().is_some_and(|old| *old != new);
        state.refresh_token = Some(new);
    }
    let life = token.expires_in;
    let early = config.skew.saturating_add(config.jitter.mul_f64(fastrand::f64()));
    state.generation += 1;
    let issued = Arc::new(Issued {
        header,
        generation: state.generation,
        renew_at: life.map(|life| now.saturating_add(life.saturating_sub(early).max(life / 2))),
        expires_at: life.map(|life| now.saturating_add(life)),
    });
    state.current = Some(Arc::clone(&issued));
    state.refused = false;
    issued
}

fn header(token: &OAuth2Token) -> Result<HeaderValue> {
    let broken = |message| NetworkError::new(ErrorKind::Protocol, OPERATION, message);
    // Apigee calls it `BearerToken`.
    let is_bearer = |name| token.token_type.trim().eq_ignore_ascii_case(name);
    if !is_bearer("bearer") && !is_bearer("BearerToken") {
        return Err(broken("the token is not a bearer token"));
    }
    let mut value = HeaderValue::from_str(&format!("Bearer {}", token.access_token.expose()))
        .map_err(|_| broken("the token cannot be a header"))?;
    value.set_sensitive(true);
    Ok(value)
}

impl fmt::Debug for TokenSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenSource")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, feature = "jwt"))]
mod tests {
    use networking_runtime::clock::TokioClock;
    use networking_spi::http::Method;

    use super::*;
    use crate::auth::jwt::JwtSigningKey;
    use crate::{MemoryHttpClient, Reply};

    #[tokio::test]
    async fn a_code_is_not_sent_if_the_assertion_cannot_be_signed() {
        let http = MemoryHttpClient::new();
        let url = "https://id.test/token";
        http.route(Method::POST, url, Reply::ok()).unwrap();
        let grant = OAuth2Grant::AuthorizationCode {
            code: "c0de".into(),
            redirect_uri: "https://app.test/back".parse().unwrap(),
            pkce_verifier: None,
        };
        let request = OAuth2Request::new(url.parse().unwrap(), "id", grant);
        let credentials = OAuth2Credentials::new(request)
            .with_assertion(Assertion::OfClient(SignedJwt::new(JwtSigningKey::unusable())));
        let source = TokenSource::new(Arc::new(http.clone()), credentials, Arc::new(TokioClock::new()));
        for _ in 0..2 {
            let error = source.renew().await.err().unwrap();
            assert_eq!(error.kind(), ErrorKind::Internal, "not that the code was sent: {error}");
        }
        assert!(!source.state.lock().code_sent);
        assert!(http.received().is_empty());
    }
}
