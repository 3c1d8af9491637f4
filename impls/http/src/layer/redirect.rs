//! Following redirects.

use std::borrow::Cow;
use std::mem;

use http::{HeaderMap, Method, StatusCode, header};
use networking_spi::error::context;
use networking_spi::http::{HttpBody, HttpCapabilities, HttpClient, HttpRequest, HttpResponse};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result, SendState, redact};
use percent_encoding::{AsciiSet, percent_encode};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::connect::basic;
use crate::marks::{Handshake, LeftOrigin, same_origin, use_http_scheme};

/// Whether redirects are followed, and how many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RedirectPolicy {
    /// Whether redirects are followed. A request can override this.
    pub follow: bool,
    /// The largest number of redirects per attempt, at most 50.
    pub limit: u32,
}

impl Default for RedirectPolicy {
    /// Up to 10 redirects.
    fn default() -> Self {
        Self {
            follow: true,
            limit: 10,
        }
    }
}

impl RedirectPolicy {
    /// Up to `limit` redirects.
    pub const fn limited(limit: u32) -> Self {
        Self { follow: true, limit }
    }

    /// Follows no redirects: a 3xx is the response. A request can override this.
    pub const fn none() -> Self {
        Self {
            follow: false,
            limit: 10,
        }
    }
}

impl Validate for RedirectPolicy {
    fn validate(&self) -> Result<()> {
        validate::ensure(self.limit <= 50, "limit", "must be at most 50")
    }
}

/// Follows redirects (RFC 9110, section 15.4) for transports that do not.
///
/// * 301 and 302 turn a POST into a GET, and 303 turns every method except HEAD into a GET. 307 and 308 keep method and body.
/// * Secret headers are not sent to another origin (scheme, host and port). A header is secret if its name is that of a secret
///   (`Authorization`, `Cookie`, `X-Api-Key`, ...) or its value is marked sensitive.
/// * User information in the URL of the request is an `Authorization` header, and follows the same rule. User information in a
///   `Location` is ignored: the server that redirects must not choose the credentials for another request.
/// * Only `http` and `https` targets are followed.
///
/// If the transport can follow redirects, it does so, provided that [`follow`](RedirectPolicy::follow) is set; the
/// [`limit`](RedirectPolicy::limit) does not apply.
///
/// # Order
///
/// Right: close to the transport, inside everything that adds credentials.
///
/// ```
/// # use networking_http::{MemoryHttpClient, layer::{AuthClient, Credentials, RedirectClient, RedirectPolicy}};
/// # let transport = MemoryHttpClient::new();
/// let redirecting = RedirectClient::new(transport, RedirectPolicy::limited(3));
/// let client = AuthClient::new(redirecting, Some(Credentials::bearer("token")?));
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: outside [`AuthClient`](super::AuthClient). Each hop would get the credentials, regardless of its host.
#[derive(Debug)]
pub struct RedirectClient<C> {
    inner: C,
    policy: RedirectPolicy,
}

inner_access!(RedirectClient);

impl<C> RedirectClient<C> {
    /// Follows redirects of `inner` according to `policy`.
    pub const fn new(inner: C, policy: RedirectPolicy) -> Self {
        Self { inner, policy }
    }
}

impl<C: HttpClient> Wrapper for RedirectClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        if self.inner.capabilities().redirect_control {
            // The policy takes precedence over the transport's default.
            request.options.follow_redirects.get_or_insert(self.policy.follow);
            return next.send(request).await;
        }
        if !request.options.follow_redirects.take().unwrap_or(self.policy.follow) {
            return next.send(request).await;
        }
        request.take_user_information()?;
        let mut followed = Vec::new();
        for _ in 0..=self.policy.limit {
            let mut hop = NextHop::of(&request)?;
            let mut response = next.send(request).await.map_err(|error| {
                // The redirecting server has received the request and may have processed it. A failure of a later hop must not
                // make the request look unsent.
                if followed.is_empty() {
                    error
                } else {
                    error.with_send_state(SendState::Sent)
                }
            })?;
            let Some(target) = location(&response, &hop)? else {
                response.url.get_or_insert(hop.url);
                return Ok(response);
            };
            hop.adapt(response.status, same_origin(&hop.url, &target))?;
            followed.push(mem::replace(&mut hop.url, target));
            request = Box::new(hop.into_request());
        }
        // A repeated URL is an error only at the limit: a cookie may have been set in between.
        let error = if followed.contains(request.target.url()?) {
            refused("loop", "the redirects form a loop")
        } else {
            refused("too_many", "too many redirects")
        };
        Err(error.with_context(context::LIMIT, self.policy.limit.to_string()))
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for RedirectClient<C> {
    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.redirect_control = true;
        capabilities
    }

    pass_on!(
        request,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

/// The parts of a request that the next hop is made from.
struct NextHop {
    url: Url,
    method: Method,
    headers: HeaderMap,
    /// `None`: the body can be sent only once.
    body: Option<HttpBody>,
    options: networking_spi::http::RequestOptions,
    extensions: http::Extensions,
}

impl NextHop {
    /// Boxed, because it is part of the call's future while the response is awaited.
    fn of(request: &HttpRequest) -> Result<Box<Self>> {
        Ok(Box::new(Self {
            url: request.target.url()?.clone(),
            method: request.method.clone(),
            headers: request.headers.clone(),
            body: request.body.try_clone(),
            options: request.options.clone(),
            extensions: request.extensions.clone(),
        }))
    }

    fn adapt(&mut self, status: StatusCode, same_origin: bool) -> Result<()> {
        let becomes_get = match status {
            StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND => self.method == Method::POST,
            StatusCode::SEE_OTHER => self.method != Method::HEAD,
            _ => false,
        };
        if becomes_get {
            self.method = Method::GET;
            self.body = Some(HttpBody::empty());
            for name in [
                header::CONTENT_TYPE,
                header::CONTENT_LENGTH,
                header::CONTENT_ENCODING,
                header::CONTENT_LANGUAGE,
                header::CONTENT_LOCATION,
                header::TRANSFER_ENCODING,
                // A request without content must not expect a 100 (RFC 9110, section 10.1.1).
                header::EXPECT,
            ] {
                self.headers.remove(name);
            }
        }
        if self.body.is_none() {
            return Err(refused(
                "body_not_repeatable",
                "the redirect requires the body to be sent again, but it can be sent only once",
            ));
        }
        if !same_origin {
            // The header names the host of the previous hop.
            self.headers.remove(header::HOST);
            self.drop_secrets();
        }
        Ok(())
    }

    fn drop_secrets(&mut self) {
        let secret: Vec<_> = self
            .headers
            .iter()
            .filter(|(name, value)| value.is_sensitive() || redact::is_secret_header(name))
            .map(|(name, _)| name.clone())
            .collect();
        for name in secret {
            self.headers.remove(name);
        }
        self.extensions.insert(LeftOrigin);
    }

    fn into_request(self) -> HttpRequest {
        let mut request = HttpRequest::new(self.method, self.url);
        request.headers = self.headers;
        request.body = self.body.unwrap_or_default();
        request.options = self.options;
        request.extensions = self.extensions;
        request
    }
}

/// Encodes nothing of ASCII; other bytes are always encoded.
const NOT_ASCII: &AsciiSet = &AsciiSet::EMPTY;

/// The target of a redirect; `None` for other responses.
fn location(response: &HttpResponse, hop: &NextHop) -> Result<Option<Url>> {
    let url = &hop.url;
    if !matches!(
        response.status,
        StatusCode::MOVED_PERMANENTLY
            | StatusCode::FOUND
            | StatusCode::SEE_OTHER
            | StatusCode::TEMPORARY_REDIRECT
            | StatusCode::PERMANENT_REDIRECT
    ) {
        return Ok(None);
    }
    let Some(location) = response.headers.get(header::LOCATION) else {
        return Ok(None);
    };
    // Bytes that are not UTF-8 are percent-encoded, as other clients do.
    let location = match std::str::from_utf8(location.as_bytes()) {
        Ok(location) => Cow::Borrowed(location),
        Err(_) => Cow::from(percent_encode(location.as_bytes(), NOT_ASCII)),
    };
    let Ok(mut target) = url.join(&location) else {
        return Err(refused("bad_location", "the location is not a URL"));
    };
    if hop.extensions.get::<Handshake>().is_some() {
        // Servers write the location either way.
        use_http_scheme(&mut target);
    }
    if !matches!(target.scheme(), "http" | "https") {
        return Err(refused("bad_location", "the location is not an http or https URL"));
    }
    basic::remove_from_url(&mut target);
    if target.fragment().is_none() {
        target.set_fragment(url.fragment());
    }
    Ok(Some(target))
}

fn refused(reason: &'static str, message: &'static str) -> NetworkError {
    NetworkError::new(ErrorKind::Redirect, "http.request", message)
        .with_send_state(SendState::Sent)
        .with_context(context::REASON, reason)
}
