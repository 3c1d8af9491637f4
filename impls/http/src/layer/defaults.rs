//! Defaults of the requests of a client.

use std::sync::Arc;
use std::time::Duration;

use http::header::Entry;
use http::{HeaderMap, StatusCode};
use networking_spi::clock::Clock;
use networking_spi::http::{ErrorResponse, HttpCapabilities, HttpClient, HttpRequest, HttpResponse, RequestTarget};
use networking_spi::{NetworkError, Result, Retryability, redact};
use tokio::time::timeout;
use tracing::Span;
use url::Url;

use super::conventions::{method_name, report_failure};
use super::retry_after::retry_after;
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::marks::WithoutCredentials;
use crate::marks::same_origin;
use networking_runtime::clock::TokioClock;

/// How long a response with an error status waits for the start of its body.
const READ_AHEAD_TIME: Duration = Duration::from_secs(1);

/// Defaults of the requests of a client.
#[derive(Clone, Default)]
#[non_exhaustive]
pub struct ClientDefaults {
    /// The URL that relative targets are resolved against (RFC 3986, section 5). A slash is appended to a path that does not end
    /// in one: with `https://api.test/v1`, `users` is `https://api.test/v1/users`, and `/users` is `https://api.test/users`. A
    /// relative target must stay on the origin of this URL.
    pub base_url: Option<Url>,
    /// Added to requests that do not have the header. With a base URL, secret headers are added only to requests to its origin.
    pub headers: HeaderMap,
    /// Whether a 4xx or 5xx status is an error. A request can override this.
    pub raise_for_status: bool,
}

impl ClientDefaults {
    /// No defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the base URL.
    pub fn with_base_url(mut self, url: Url) -> Self {
        self.base_url = Some(url);
        self
    }

    /// Adds headers.
    pub fn with_headers(mut self, headers: HeaderMap) -> Self {
        self.headers.extend(headers);
        self
    }

    /// Sets whether a 4xx or 5xx status is an error.
    pub fn with_raise_for_status(mut self, raise: bool) -> Self {
        self.raise_for_status = raise;
        self
    }
}

/// Resolves targets against a base URL, adds default headers, and turns error statuses into errors if that is enabled.
///
/// Of a response with an error status, the start of the body is read before the response is returned: up to
/// [`ErrorResponse::MAX_BODY`] bytes, for at most one second. So [`HttpResponse::error_for_status`] and `raise_for_status` return
/// errors with it ([`NetworkError::response`], [`NetworkError::problem`]). It stays a part of the body.
///
/// User information in a URL (`https://user:password@host/`) becomes an `Authorization` header, so that no other wrapper sees it.
/// Of several credentials for this header, the `Authorization` header of the request takes precedence, then the user information of
/// its URL, then the default headers, then the client's [`Credentials`](super::Credentials).
///
/// # Order
///
/// Right: outermost. Every other wrapper then sees absolute URLs, and sees a 503 as a response, not as an error.
///
/// ```
/// # use networking_http::{MemoryHttpClient, layer::{ClientDefaults, DefaultsClient, RetryClient}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let client = DefaultsClient::new(RetryClient::new(transport, RetryPolicy::default())?, ClientDefaults::default())?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside a [`RetryClient`](super::RetryClient) or [`MetricsClient`](super::MetricsClient). With `raise_for_status` they
/// would see errors in place of responses: the statuses of the retry policy would not apply, and the metrics would not count
/// statuses.
pub struct DefaultsClient<C> {
    inner: C,
    defaults: ClientDefaults,
    clock: Arc<dyn Clock>,
}

inner_access!(DefaultsClient);

impl<C> DefaultsClient<C> {
    /// Applies `defaults` to requests to `inner`.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) for a base URL that is not `http` or `https`, or that has a query or
    /// fragment.
    pub fn new(inner: C, mut defaults: ClientDefaults) -> Result<Self> {
        if let Some(base) = &mut defaults.base_url {
            if !matches!(base.scheme(), "http" | "https") {
                return Err(NetworkError::invalid_input("base_url", "must be an http or https URL"));
            }
            if base.query().is_some() || base.fragment().is_some() {
                return Err(NetworkError::invalid_input(
                    "base_url",
                    "must not have a query or fragment: relative targets would not have them (RFC 3986, section 5.2.2)",
                ));
            }
            if !base.path().ends_with('/') {
                let path = format!("{}/", base.path());
                base.set_path(&path);
            }
        }
        for (name, value) in &mut defaults.headers {
            if redact::is_secret_header(name) {
                value.set_sensitive(true);
            }
        }
        Ok(Self {
            inner,
            defaults,
            clock: Arc::new(TokioClock::new()),
        })
    }

    /// Sets the clock that dates in `Retry-After` are compared with.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    fn apply(&self, request: &mut HttpRequest) -> Result<()> {
        if let (Some(base), RequestTarget::Relative(reference)) = (&self.defaults.base_url, &request.target) {
            let target = RequestTarget::Relative(reference.clone()).resolve(base)?;
            // `//other.test/x` and `https:other` are valid references; credentials must not be sent to other hosts.
            if !target.url().is_ok_and(|url| same_origin(url, base)) {
                return Err(NetworkError::invalid_input(
                    "url",
                    "a relative target must stay on the host of the base URL",
                ));
            }
            request.target = target;
        }
        request.take_user_information()?;
        if self.defaults.headers.is_empty() {
            return Ok(());
        }
        let trusted = match (&self.defaults.base_url, &request.target) {
            (Some(base), RequestTarget::Absolute(url)) => same_origin(url, base),
            _ => true,
        } && request.extensions.get::<WithoutCredentials>().is_none();
        for name in self.defaults.headers.keys() {
            if let Entry::Vacant(vacant) = request.headers.entry(name) {
                let mut values = self
                    .defaults
                    .headers
                    .get_all(name)
                    .iter()
                    .filter(|value| trusted || !value.is_sensitive());
                if let Some(first) = values.next() {
                    let mut entry = vacant.insert_entry(first.clone());
                    for value in values {
                        entry.append(value.clone());
                    }
                }
            }
        }
        Ok(())
    }
}

impl<C: HttpClient> Wrapper for DefaultsClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let method = method_name(&request.method);
        self.apply(&mut request)
            .inspect_err(|error| report_failure(&Span::current(), method, error))?;
        let raise = request
            .options
            .raise_for_status
            .take()
            .unwrap_or(self.defaults.raise_for_status);
        let mut response = next.send(request).await?;
        if is_error(response.status) && !response.body.is_empty() {
            Box::pin(read_ahead(&mut response)).await;
        }
        if !raise {
            return Ok(response);
        }
        let Some(error) = response.status_error() else {
            return Ok(response);
        };
        // `status_error` has no clock, so dates in `Retry-After` are handled here.
        let wait = retry_after(&response.headers, &*self.clock);
        let error = match (error.retryability(), wait) {
            (Retryability::Now | Retryability::After(_), Some(wait)) => {
                error.with_retryability(Retryability::After(wait))
            }
            (Retryability::Exhausted(_), wait @ Some(_)) => error.with_retryability(Retryability::Exhausted(wait)),
            _ => error,
        };
        // The wrapper that logs other failures has seen a response.
        report_failure(&Span::current(), method, &error);
        Err(error)
    }
}

fn is_error(status: StatusCode) -> bool {
    status.is_client_error() || status.is_server_error()
}

/// Reads the start of an error response, so that its error has it. A body that does not arrive must not delay the response.
async fn read_ahead(response: &mut HttpResponse) {
    let _ = timeout(READ_AHEAD_TIME, response.body.read_ahead(ErrorResponse::MAX_BODY)).await;
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for DefaultsClient<C> {
    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.base_url |= self.defaults.base_url.is_some();
        capabilities.raise_for_status = true;
        capabilities
    }

    pass_on!(
        request,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

impl<C: std::fmt::Debug> std::fmt::Debug for DefaultsClient<C> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DefaultsClient")
            .field("inner", &self.inner)
            .field("defaults", &self.defaults)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for ClientDefaults {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClientDefaults")
            .field("base_url", &self.base_url.as_ref().map(redact::url))
            .field("headers", &redact::Headers(&self.headers))
            .field("raise_for_status", &self.raise_for_status)
            .finish()
    }
}
