//! Credentials on each request.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "oauth2")]
use http::StatusCode;
use http::{HeaderName, HeaderValue, header};
use networking_spi::clock::Clock;
#[cfg(any(feature = "jwt", feature = "oauth2"))]
use networking_spi::error::ResultExt;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RequestTarget};
use networking_spi::secret::Secret;
use networking_spi::validate;
#[cfg(any(feature = "jwt", feature = "oauth2"))]
use networking_spi::validate::Validate;
use networking_spi::{NetworkError, Result, redact};
use url::Url;

#[cfg(feature = "digest-auth")]
use super::digest;
#[cfg(feature = "jwt")]
use super::jwt::SignedJwt;
#[cfg(feature = "oauth2")]
use super::oauth2::{OAuth2Credentials, TokenSource};
#[cfg(feature = "jwt")]
use super::signed_token::SignedTokens;
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::connect::basic;
use crate::marks::{LeftOrigin, WithoutCredentials, same_origin};
use networking_runtime::clock::TokioClock;

/// Credentials of a client: a fixed header or query parameter, a token that the client renews, or responses to challenges.
/// `Debug` shows names only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials(Kind);

#[derive(Clone, PartialEq, Eq)]
enum Kind {
    Header {
        name: HeaderName,
        value: HeaderValue,
    },
    Query {
        name: String,
        value: Secret,
    },
    #[cfg(feature = "digest-auth")]
    Digest(digest::User),
    #[cfg(feature = "jwt")]
    SignedJwt(Box<SignedJwt>),
    #[cfg(feature = "oauth2")]
    OAuth2(Box<OAuth2Credentials>),
}

impl Credentials {
    /// User name and password (RFC 7617), in UTF-8.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for a user name with a colon or control characters, or a
    /// password with control characters.
    pub fn basic(username: &str, password: &str) -> Result<Self> {
        if username.contains(':') || username.chars().any(char::is_control) {
            return Err(NetworkError::invalid_input(
                "username",
                "must not have colons or control characters",
            ));
        }
        if password.chars().any(char::is_control) {
            return Err(NetworkError::invalid_input(
                "password",
                "must not have control characters",
            ));
        }
        Ok(Self(Kind::Header {
            name: header::AUTHORIZATION,
            value: basic::credentials(username, password),
        }))
    }

    /// A bearer token (RFC 6750).
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for a token that is empty or not a valid header value.
    pub fn bearer(token: &str) -> Result<Self> {
        if token.is_empty() {
            return Err(NetworkError::invalid_input("token", "must not be empty"));
        }
        Self::header(header::AUTHORIZATION, &format!("Bearer {token}"), "token")
    }

    /// An API key in a header of this name.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for a name or key that HTTP does not allow.
    pub fn api_key(header: &str, key: &str) -> Result<Self> {
        let name =
            HeaderName::try_from(header).map_err(|_| NetworkError::invalid_input("header", "is not a header name"))?;
        Self::header(name, key, "key")
    }

    /// An API key in a query parameter of this name. Prefer a header if the server accepts one: URLs are written to logs, also by
    /// proxies between client and origin. The key is removed from the URL in the response.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for a name or key that is empty.
    pub fn api_key_in_query(parameter: &str, key: impl Into<Secret>) -> Result<Self> {
        let value = key.into();
        validate::not_blank(parameter, "parameter")?;
        validate::not_blank(value.expose(), "key")?;
        Ok(Self(Kind::Query {
            name: parameter.to_owned(),
            value,
        }))
    }

    /// User name and password for digest authentication (RFC 7616): the algorithms MD5, SHA-256 and SHA-512-256 and their
    /// `-sess` variants, the `qop` values `auth` and, for bodies in memory, `auth-int`, and `userhash`. If the server challenges
    /// a request whose body can be sent again, the request is sent once more with a response to the challenge. Later requests
    /// respond to the same challenge in advance, until the server sends another one.
    ///
    /// Of several challenges, the client chooses the one with the strongest algorithm. The password is not sent, but MD5 protects
    /// it poorly: use TLS.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for a user name that is empty or has control characters.
    #[cfg(feature = "digest-auth")]
    pub fn digest(username: &str, password: impl Into<Secret>) -> Result<Self> {
        validate::name(username, 1_024, "username")?;
        Ok(Self(Kind::Digest(digest::User {
            name: username.to_owned(),
            password: password.into(),
        })))
    }

    /// A JSON Web Token that the client signs and sends as a bearer token. There is one token per audience; each is replaced
    /// after 80 % of its lifetime.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field.
    #[cfg(feature = "jwt")]
    pub fn signed_jwt(jwt: SignedJwt) -> Result<Self> {
        jwt.validate().in_field("jwt")?;
        Ok(Self(Kind::SignedJwt(Box::new(jwt))))
    }

    /// Whether the credentials depend on the URL, so that each hop of a redirect within an origin needs its own.
    pub(crate) fn depend_on_url(&self) -> bool {
        match &self.0 {
            Kind::Query { .. } => true,
            #[cfg(feature = "digest-auth")]
            Kind::Digest(_) => true,
            _ => false,
        }
    }

    /// A bearer token from a token endpoint. It is requested through the wrappers inside [`AuthClient`] when the first request
    /// needs it, and renewed before it expires. After a 401 the request is sent once more with a new token, if its body can be
    /// sent again.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field.
    #[cfg(feature = "oauth2")]
    pub fn oauth2(credentials: OAuth2Credentials) -> Result<Self> {
        credentials.validate().in_field("oauth2")?;
        Ok(Self(Kind::OAuth2(Box::new(credentials))))
    }

    fn header(name: HeaderName, value: &str, field: &str) -> Result<Self> {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| NetworkError::invalid_input(field, "has characters that a header cannot have"))?;
        value.set_sensitive(true);
        Ok(Self(Kind::Header { name, value }))
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Kind::Header { name, .. } => f
                .debug_tuple("Credentials")
                .field(name)
                .field(&redact::REDACTED)
                .finish(),
            Kind::Query { name, .. } => f
                .debug_tuple("Credentials")
                .field(name)
                .field(&redact::REDACTED)
                .finish(),
            #[cfg(feature = "digest-auth")]
            Kind::Digest(user) => f
                .debug_tuple("Credentials")
                .field(&user.name)
                .field(&redact::REDACTED)
                .finish(),
            #[cfg(feature = "jwt")]
            Kind::SignedJwt(jwt) => f.debug_tuple("Credentials").field(jwt).finish(),
            #[cfg(feature = "oauth2")]
            Kind::OAuth2(credentials) => f.debug_tuple("Credentials").field(credentials).finish(),
        }
    }
}

/// Adds [`Credentials`] to requests, unless they already have that header or query parameter or are marked
/// [`WithoutCredentials`]. User information in the URL counts as an `Authorization` header.
///
/// # Order
///
/// Right: around the wrapper that follows redirects and inside all others, so that no other wrapper sees the credentials and each
/// attempt has them.
///
/// ```
/// # use networking_http::{MemoryHttpClient, layer::{AuthClient, Credentials, RedirectClient, RedirectPolicy}};
/// # let transport = MemoryHttpClient::new();
/// let redirecting = RedirectClient::new(transport, RedirectPolicy::default());
/// let client = AuthClient::new(redirecting, Some(Credentials::basic("ada", "secret")?));
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside [`RedirectClient`](crate::layer::RedirectClient). A redirect to another origin and back would arrive without
/// credentials.
///
/// [`Credentials::digest`](Credentials) and [`Credentials::api_key_in_query`] depend on the URL: for them the right place is
/// inside `RedirectClient`, so that each hop within the origin gets its own. Hops to other origins get none.
pub struct AuthClient<C> {
    inner: Arc<C>,
    credentials: Option<Credentials>,
    #[cfg(feature = "digest-auth")]
    digester: Option<digest::Digester>,
    #[cfg(feature = "jwt")]
    signed: Option<SignedTokens>,
    #[cfg(feature = "oauth2")]
    tokens: Option<Arc<TokenSource>>,
    only_for: Option<Url>,
}

inner_access!(
    shared AuthClient,
    "The inner client is in an `Arc`, because a background task that renews a token may still use it. The current token and the \
     challenges of servers are dropped with the wrapper."
);

impl<C: HttpClient> AuthClient<C> {
    /// Adds `credentials` to requests to `inner`; `None` adds nothing.
    pub fn new(inner: C, credentials: Option<Credentials>) -> Self {
        Self::with_clock(inner, credentials, Arc::new(TokioClock::new()))
    }

    /// Adds `credentials` to requests to `inner`; the expiry of tokens is measured by `clock`.
    #[allow(
        clippy::needless_pass_by_value,
        reason = "which credentials keep it depends on the features"
    )]
    pub fn with_clock(inner: C, credentials: Option<Credentials>, clock: Arc<dyn Clock>) -> Self {
        let inner = Arc::new(inner);
        #[cfg(feature = "digest-auth")]
        let digester = match &credentials {
            Some(Credentials(Kind::Digest(user))) => Some(digest::Digester::new(user.clone())),
            _ => None,
        };
        #[cfg(feature = "jwt")]
        let signed = match &credentials {
            Some(Credentials(Kind::SignedJwt(jwt))) => Some(SignedTokens::new((**jwt).clone(), Arc::clone(&clock))),
            _ => None,
        };
        #[cfg(feature = "oauth2")]
        let tokens = match &credentials {
            Some(Credentials(Kind::OAuth2(config))) => Some(Arc::new(TokenSource::new(
                Arc::clone(&inner) as _,
                (**config).clone(),
                Arc::clone(&clock),
            ))),
            _ => None,
        };
        #[cfg(not(any(feature = "jwt", feature = "oauth2")))]
        let _ = clock;
        Self {
            inner,
            credentials,
            #[cfg(feature = "digest-auth")]
            digester,
            #[cfg(feature = "jwt")]
            signed,
            #[cfg(feature = "oauth2")]
            tokens,
            only_for: None,
        }
    }

    /// Adds the credentials only to requests to the origin (scheme, host and port) of this URL.
    pub fn only_for(mut self, url: Url) -> Self {
        self.only_for = Some(url);
        self
    }
}

impl<C> AuthClient<C> {
    /// Whether a request may have the credentials.
    fn is_for(&self, request: &HttpRequest) -> bool {
        let trusted = match (&self.only_for, &request.target) {
            (Some(origin), RequestTarget::Absolute(url)) => same_origin(origin, url),
            _ => true,
        };
        trusted
            && request.extensions.get::<WithoutCredentials>().is_none()
            && request.extensions.get::<LeftOrigin>().is_none()
    }
}

impl<C: HttpClient> Wrapper for AuthClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        request.take_user_information()?;
        match &self.credentials {
            Some(Credentials(Kind::Header { name, value })) if self.is_for(&request) => {
                request.headers.entry(name).or_insert_with(|| value.clone());
            }
            Some(Credentials(Kind::Query { name, value })) if self.is_for(&request) => {
                if let Some(plain) = ensure_in_query(&mut request.target, name, value) {
                    return Box::pin(without_key(next, request, plain)).await;
                }
            }
            #[cfg(feature = "digest-auth")]
            Some(Credentials(Kind::Digest(_)))
                if self.is_for(&request) && !request.headers.contains_key(header::AUTHORIZATION) =>
            {
                if let Some(digester) = &self.digester {
                    return Box::pin(digester.send(next, request)).await;
                }
            }
            #[cfg(feature = "jwt")]
            Some(Credentials(Kind::SignedJwt(_)))
                if self.is_for(&request) && !request.headers.contains_key(header::AUTHORIZATION) =>
            {
                if let (Some(signed), RequestTarget::Absolute(url)) = (&self.signed, &request.target) {
                    request.headers.insert(header::AUTHORIZATION, signed.header(url)?);
                }
            }
            #[cfg(feature = "oauth2")]
            Some(Credentials(Kind::OAuth2(_)))
                if self.is_for(&request) && !request.headers.contains_key(header::AUTHORIZATION) =>
            {
                if let Some(tokens) = &self.tokens {
                    // Boxed, so that the futures of other calls stay small.
                    return Box::pin(with_token(next, tokens, request)).await;
                }
            }
            _ => {}
        }
        next.send(request).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for AuthClient<C> {
    pass_on!(
        request,
        capabilities,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

/// Adds the parameter to the URL unless the URL already has it, and returns the URL without it. Returns `None` if the URL has the
/// parameter with another value.
fn ensure_in_query(target: &mut RequestTarget, name: &str, value: &Secret) -> Option<Url> {
    let RequestTarget::Absolute(url) = target else {
        return None;
    };
    let known = url.query_pairs().find(|(known, _)| known == name);
    match known.map(|(_, known)| known == value.expose()) {
        None => {
            let plain = url.clone();
            url.query_pairs_mut().append_pair(name, value.expose());
            Some(plain)
        }
        // A redirect often repeats the query.
        Some(true) => Some(without_parameter(url, name)),
        Some(false) => None,
    }
}

fn without_parameter(url: &Url, name: &str) -> Url {
    let others: Vec<&str> = url
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .filter(|pair| {
            let pair = url::form_urlencoded::parse(pair.as_bytes()).next();
            pair.is_none_or(|(known, _)| known != name)
        })
        .collect();
    let mut plain = url.clone();
    plain.set_query((!others.is_empty()).then(|| others.join("&")).as_deref());
    plain
}

/// Sends the request, and removes the key from the URL of the response.
async fn without_key(next: &impl Next, request: Box<HttpRequest>, plain: Url) -> Result<Box<HttpResponse>> {
    let sent = request.target.url().ok().cloned();
    let mut response = next.send(request).await?;
    if response.url.is_some() && response.url == sent {
        response.url = Some(plain);
    }
    Ok(response)
}

#[cfg(feature = "oauth2")]
async fn with_token(
    next: &impl Next,
    tokens: &Arc<TokenSource>,
    mut request: Box<HttpRequest>,
) -> Result<Box<HttpResponse>> {
    let token = tokens.token().await?;
    let second = request.try_clone();
    request.headers.insert(header::AUTHORIZATION, token.header.clone());
    let response = next.send(request).await?;
    if response.status != StatusCode::UNAUTHORIZED || !tokens.refused(&token) {
        return Ok(response);
    }
    let Some(mut second) = second else {
        return Ok(response);
    };
    // Without a new token the first response is the result.
    let Ok(token) = tokens.token().await else {
        return Ok(response);
    };
    second.headers.insert(header::AUTHORIZATION, token.header.clone());
    next.send(Box::new(second)).await
}

impl<C: fmt::Debug> fmt::Debug for AuthClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthClient")
            .field("inner", &self.inner)
            .field("credentials", &self.credentials)
            .field("only_for", &self.only_for.as_ref().map(redact::url))
            .finish_non_exhaustive()
    }
}
