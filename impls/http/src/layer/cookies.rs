//! Cookies on each hop.

use http::header;
use networking_spi::Result;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RequestTarget};
use url::Url;

use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::cookies::CookieJar;
use crate::marks::WithoutCredentials;

/// Sends the cookies of a [`CookieJar`], and takes those that responses set.
///
/// A `Cookie` header of the request stays as it is; the jar's cookies come after it, but for those whose names it has.
/// Requests [`WithoutCredentials`] neither send nor set cookies. A cookie that is refused changes nothing else.
///
/// # Order
///
/// Right: inside of [`RedirectClient`](super::RedirectClient), so that each hop has the cookies of its own host, and those
/// that a redirect sets are taken.
///
/// ```
/// # use networking_http::{CookieJar, MemoryHttpClient, layer::{CookieClient, RedirectClient, RedirectPolicy}};
/// # let transport = MemoryHttpClient::new();
/// let client = RedirectClient::new(CookieClient::new(transport, Some(CookieJar::new())), RedirectPolicy::default());
/// ```
///
/// Wrong: outside of it, or over a transport that follows redirects itself. A login that sets its cookie on a redirect
/// would be lost, and the cookies of the first host would go where the redirect leads.
#[derive(Debug)]
pub struct CookieClient<C> {
    inner: C,
    jar: Option<CookieJar>,
}

inner_access!(CookieClient, "Other clones of the jar keep the cookies.");

impl<C> CookieClient<C> {
    /// Keeps the cookies of `inner` in `jar`; `None` keeps none.
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
    let own: Option<Vec<&str>> = request
        .headers
        .get_all(header::COOKIE)
        .iter()
        .map(|value| value.to_str().ok())
        .collect();
    // What is not text cannot be merged with, and stays.
    let Some(own) = own else { return };
    let own = (!own.is_empty()).then(|| own.join("; "));
    if let Some(value) = jar.merged_header(url, own.as_deref()) {
        request.headers.insert(header::COOKIE, value);
    }
}

fn take(jar: &CookieJar, url: &Url, response: &HttpResponse) {
    for value in response.headers.get_all(header::SET_COOKIE) {
        let taken = match std::str::from_utf8(value.as_bytes()) {
            Ok(text) => jar.set(url, text).map_err(|error| error.to_string()),
            Err(_) => Err("it is not text".to_owned()),
        };
        if let Err(reason) = taken {
            tracing::debug!(host = url.host_str(), reason, "a cookie was refused");
        }
    }
}
