//! Cookies of each hop.

use http::{HeaderValue, header};
use networking_spi::Result;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RequestTarget};
use url::Url;

use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::cookies::CookieJar;
use crate::marks::WithoutCredentials;

/// Sends the cookies of a [`CookieJar`], and stores the cookies of responses in it.
///
/// A `Cookie` header of the request is kept. The jar's cookies are appended to it, except those whose names it already contains.
/// Requests marked [`WithoutCredentials`] neither send nor store cookies. A rejected cookie does not affect the response.
///
/// # Order
///
/// Right: inside [`RedirectClient`](super::RedirectClient), so that each hop sends the cookies of its host, and the cookies of
/// redirects are stored.
///
/// ```
/// # use networking_http::{CookieJar, MemoryHttpClient, layer::{CookieClient, RedirectClient, RedirectPolicy}};
/// # let transport = MemoryHttpClient::new();
/// let client = RedirectClient::new(CookieClient::new(transport, Some(CookieJar::new())), RedirectPolicy::default());
/// ```
///
/// Wrong: outside `RedirectClient`, or over a transport that follows redirects. The cookies of redirects would not be stored, and
/// the cookies of the first host would be sent to the target of the redirect.
#[derive(Debug)]
pub struct CookieClient<C> {
    inner: C,
    jar: Option<CookieJar>,
}

inner_access!(CookieClient, "Other clones of the jar keep the cookies.");

impl<C> CookieClient<C> {
    /// Uses `jar` for requests to `inner`; `None` ignores cookies.
    pub const fn new(inner: C, jar: Option<CookieJar>) -> Self {
        Self { inner, jar }
    }
}

impl<C: HttpClient> Wrapper for CookieClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let (Some(jar), RequestTarget::Absolute(url)) = (&self.jar, &request.target) else {
            return next.send(request).await;
        };
        if request.extensions.get::<WithoutCredentials>().is_some() {
            return next.send(request).await;
        }
        let url = Box::new(url.clone());
        send(jar, &url, &mut request);
        let response = next.send(request).await?;
        take(jar, &url, &response);
        Ok(response)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for CookieClient<C> {
    pass_on!(
        request,
        capabilities,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

fn send(jar: &CookieJar, url: &Url, request: &mut HttpRequest) {
    let own: Vec<&[u8]> = request
        .headers
        .get_all(header::COOKIE)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    let own = (!own.is_empty()).then(|| own.join(&b"; "[..]));
    if let Some(value) = jar.merged_header(url, own.as_deref()) {
        request.headers.insert(header::COOKIE, value);
    }
}

fn take(jar: &CookieJar, url: &Url, response: &HttpResponse) {
    for value in response.headers.get_all(header::SET_COOKIE) {
        if let Err(reason) = jar.set(url, value) {
            let reason = reason.to_string();
            tracing::debug!(host = url.host_str(), reason, "a cookie was refused");
        }
    }
}
