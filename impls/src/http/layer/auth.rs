//! Fixed credentials on each request.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_core::future::BoxFuture;
use http::{HeaderName, HeaderValue, header};
use networking_spi::http::{HttpCapabilities, HttpClient, HttpRequest, HttpResponse, RequestTarget};
use networking_spi::{NetworkError, Result, redact};
use url::Url;

use super::origin::same_origin;
use super::pass_on;

/// Credentials that are a header of fixed value. `Debug` shows the header's name only.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    name: HeaderName,
    value: HeaderValue,
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
        let pair = STANDARD.encode(format!("{username}:{password}"));
        Self::header(header::AUTHORIZATION, &format!("Basic {pair}"), "password")
    }

    /// A bearer token (RFC 6750).
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for a token that is empty or not a header value.
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

    fn header(name: HeaderName, value: &str, field: &str) -> Result<Self> {
        let mut value = HeaderValue::from_str(value)
            .map_err(|_| NetworkError::invalid_input(field, "has characters that a header cannot have"))?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Credentials")
            .field(&self.name)
            .field(&redact::REDACTED)
            .finish()
    }
}

/// In the extensions of a request: neither the client's credentials nor its secret default headers are added to it. For
/// requests to other parties that a client makes on its own account, such as for keys and tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WithoutCredentials;

/// Adds [`Credentials`] to requests that do not have that header, and are not [`WithoutCredentials`].
///
/// # Order
///
/// Right: innermost but for what follows redirects, so that no other layer sees the credentials and each attempt has them.
///
/// ```
/// # use networking_impls::http::{MemoryHttpClient, layer::{AuthLayer, Credentials, RedirectLayer, RedirectPolicy}};
/// # let transport = MemoryHttpClient::new();
/// let redirecting = RedirectLayer::new(transport, RedirectPolicy::default());
/// let client = AuthLayer::new(redirecting, Some(Credentials::basic("ada", "secret")?));
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside of [`RedirectLayer`](super::RedirectLayer). Every host that a redirect names would get the credentials.
pub struct AuthLayer<C> {
    inner: C,
    credentials: Option<Credentials>,
    only_for: Option<Url>,
}

impl<C> AuthLayer<C> {
    /// Adds `credentials` to requests to `inner`.
    pub const fn new(inner: C, credentials: Option<Credentials>) -> Self {
        Self {
            inner,
            credentials,
            only_for: None,
        }
    }

    /// Adds them only to requests to the origin (scheme, host and port) of this URL.
    pub fn only_for(mut self, url: Url) -> Self {
        self.only_for = Some(url);
        self
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for AuthLayer<C> {
    fn request<'s, 'f>(&'s self, mut request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse>>
    where
        's: 'f,
        Self: 'f,
    {
        if let Some(credentials) = &self.credentials {
            let wanted = request.extensions.get::<WithoutCredentials>().is_none();
            let trusted = match (&self.only_for, &request.target) {
                (Some(origin), RequestTarget::Absolute(url)) => wanted && same_origin(origin, url),
                _ => wanted,
            };
            if trusted {
                request
                    .headers
                    .entry(&credentials.name)
                    .or_insert_with(|| credentials.value.clone());
            }
        }
        self.inner.request(request)
    }

    fn capabilities(&self) -> HttpCapabilities {
        self.inner.capabilities()
    }

    pass_on!(client_metrics, configure_retry_policy, configure_circuit_breaker);
}

impl<C: fmt::Debug> fmt::Debug for AuthLayer<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthLayer")
            .field("inner", &self.inner)
            .field("credentials", &self.credentials)
            .field("only_for", &self.only_for.as_ref().map(redact::url))
            .finish()
    }
}
