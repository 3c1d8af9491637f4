//! The client contract and its conveniences.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;

use super::{
    HttpBody, HttpCircuitOptions, HttpClientMetrics, HttpRequest, HttpResponse, Multipart, RequestOptions,
    RequestTarget, RetryPolicy, UploadProgress,
};
use crate::capabilities::capabilities;
use crate::circuit_breaker::CircuitBreaker;
use crate::error::Result;

capabilities! {
    /// What a client, with all its layers, can do. A client without capabilities sends requests and returns responses.
    pub struct HttpCapabilities {
        /// Resolves relative targets against a base URL.
        base_url,
        /// Obeys [`RequestOptions::timeout`].
        timeout,
        /// Obeys [`RequestOptions::attempt_timeout`].
        attempt_timeout,
        /// [`HttpClient::configure_retry_policy`] and [`RequestOptions::retry`].
        retry,
        /// [`HttpClient::configure_circuit_breaker`].
        circuit_breaker,
        /// [`HttpClient::client_metrics`].
        metrics,
        /// Sends stream bodies without holding them in memory.
        streaming_upload,
        /// Returns response bodies as they arrive, without holding them in memory.
        streaming_download,
        /// Follows redirects, unless [`RequestOptions::follow_redirects`] is `false`.
        redirect_control,
        /// Obeys [`RequestOptions::max_response_size`].
        response_size_limit,
        /// Obeys [`RequestOptions::raise_for_status`].
        raise_for_status,
        /// Decodes `Content-Encoding` of responses.
        decompression,
        /// Obeys [`RequestOptions::proxy`].
        per_request_proxy,
        /// Obeys [`RequestOptions::verify_tls`].
        per_request_tls,
        /// Uses HTTP/2 if the peer supports it.
        http2,
    }
}

/// A client that sends HTTP requests.
///
/// # Behaviour of every implementation
///
/// * A response of any status is `Ok`, unless [`RequestOptions::raise_for_status`] (or the client's default) says
///   otherwise.
/// * An option that the client does not support is [`Unsupported`](crate::ErrorKind::Unsupported), never ignored: see
///   [`HttpCapabilities`].
/// * Clones of the `Arc` share connections, counters and configuration. Requests run concurrently.
/// * Errors and `Debug` output never show credentials.
///
/// # Wrappers
///
/// A wrapper implements this trait around another client, and changes the [`capabilities`](Self::capabilities) of that
/// client by what it adds or takes away. `Arc<C>` and `Box<C>` are clients too.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait HttpClient: fmt::Debug + Send + Sync + 'static {
    /// Sends a request, and returns when the head of the response has arrived. The body is received while it is read.
    ///
    /// Cancel safety: dropping the future aborts the request; the peer may have processed it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for an option that the capabilities do not declare,
    /// [`Connection`](crate::ErrorKind::Connection) and the kinds under it, [`Timeout`](crate::ErrorKind::Timeout) with
    /// its phase, [`Redirect`](crate::ErrorKind::Redirect), [`Protocol`](crate::ErrorKind::Protocol),
    /// [`CircuitOpen`](crate::ErrorKind::CircuitOpen), [`RateLimited`](crate::ErrorKind::RateLimited), and with
    /// `raise_for_status` those of [`HttpResponse::error_for_status`].
    async fn request(&self, request: HttpRequest) -> Result<HttpResponse>;

    /// What this client can do.
    fn capabilities(&self) -> HttpCapabilities;

    /// A snapshot of the counters.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `metrics`.
    fn client_metrics(&self) -> Result<HttpClientMetrics>;

    /// Replaces the retry policy for requests that start from now on.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `retry`.
    fn configure_retry_policy(&self, policy: RetryPolicy) -> Result<()>;

    /// Puts a circuit breaker, of any implementation, before every attempt that starts from now on. Statuses 5xx, 408 and
    /// 429, connection errors and timeouts are failures; other statuses are successes.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `circuit_breaker`.
    fn configure_circuit_breaker(&self, breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Result<()>;
}

/// Verbs and request building for every [`HttpClient`]. Do not implement it.
///
/// Each verb returns a [`RequestBuilder`] that is awaited:
///
/// ```
/// # use networking_spi::prelude::*;
/// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
/// let created = http
///     .post("https://api.example.com/orders")
///     .header("x-request-id", "42")
///     .json(&serde_json::json!({"item": 7}))
///     .await?
///     .error_for_status()?;
/// # Ok(()) }
/// ```
pub trait HttpClientExt: HttpClient {
    /// Starts a request of any method. A wrong URL is an error when the builder is awaited.
    fn build(&self, method: Method, target: impl Into<RequestTarget>) -> RequestBuilder<'_, Self> {
        RequestBuilder {
            client: self,
            request: Ok(HttpRequest::new(method, target)),
        }
    }

    /// Starts a GET request.
    fn get(&self, url: &str) -> RequestBuilder<'_, Self> {
        self.build(Method::GET, url)
    }

    /// Starts a POST request.
    fn post(&self, url: &str) -> RequestBuilder<'_, Self> {
        self.build(Method::POST, url)
    }

    /// Starts a PUT request.
    fn put(&self, url: &str) -> RequestBuilder<'_, Self> {
        self.build(Method::PUT, url)
    }

    /// Starts a DELETE request.
    fn delete(&self, url: &str) -> RequestBuilder<'_, Self> {
        self.build(Method::DELETE, url)
    }

    /// Starts a PATCH request.
    fn patch(&self, url: &str) -> RequestBuilder<'_, Self> {
        self.build(Method::PATCH, url)
    }

    /// Starts a HEAD request.
    fn head(&self, url: &str) -> RequestBuilder<'_, Self> {
        self.build(Method::HEAD, url)
    }

    /// Starts an OPTIONS request.
    fn options(&self, url: &str) -> RequestBuilder<'_, Self> {
        self.build(Method::OPTIONS, url)
    }
}

impl<C: HttpClient + ?Sized> HttpClientExt for C {}

/// A request that is being built. Awaiting it sends it, or returns the first error made while building.
#[must_use = "a request is sent when it is awaited"]
pub struct RequestBuilder<'c, C: ?Sized> {
    client: &'c C,
    request: Result<HttpRequest>,
}

impl<C: HttpClient + ?Sized> RequestBuilder<'_, C> {
    fn try_map(mut self, change: impl FnOnce(HttpRequest) -> Result<HttpRequest>) -> Self {
        self.request = self.request.and_then(change);
        self
    }

    /// Sets a header, replacing its former values.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.try_map(|request| request.with_header(name, value))
    }

    /// Appends a query parameter.
    pub fn query(self, name: &str, value: &str) -> Self {
        self.try_map(|request| request.with_query(name, value))
    }

    /// Appends several query parameters.
    pub fn queries<N: AsRef<str>, V: AsRef<str>>(self, parameters: impl IntoIterator<Item = (N, V)>) -> Self {
        self.try_map(|request| request.with_queries(parameters))
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<HttpBody>) -> Self {
        self.try_map(|request| Ok(request.with_body(body)))
    }

    /// Sets a JSON body.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.try_map(|request| request.with_json(value))
    }

    /// Sets a URL-encoded form body.
    pub fn form<N: AsRef<str>, V: AsRef<str>>(self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        self.try_map(|request| Ok(request.with_form(fields)))
    }

    /// Sets a `multipart/form-data` body.
    pub fn multipart(self, form: Multipart) -> Self {
        self.try_map(|request| request.with_multipart(form))
    }

    /// Reports the progress of the upload to `observer`. Set the body first.
    pub fn upload_progress(self, observer: impl Fn(UploadProgress) + Send + Sync + 'static) -> Self {
        self.try_map(|request| Ok(request.with_upload_progress(observer)))
    }

    /// Sets a bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.try_map(|request| request.with_bearer(token))
    }

    /// Sets the time limit of the whole call.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.try_map(|request| Ok(request.with_timeout(timeout)))
    }

    /// Sets the retry policy of this request. Requires the capability `retry`.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.try_map(|mut request| {
            request.options.retry = Some(Box::new(policy));
            Ok(request)
        })
    }

    /// Sets whether a 4xx or 5xx status is an error. Requires the capability `raise_for_status`.
    pub fn raise_for_status(self, raise: bool) -> Self {
        self.try_map(|mut request| {
            request.options.raise_for_status = Some(raise);
            Ok(request)
        })
    }

    /// Sets the options, in place of all that were set before.
    pub fn options(self, options: RequestOptions) -> Self {
        self.try_map(|request| Ok(request.with_options(options)))
    }

    /// The request, without sending it.
    ///
    /// # Errors
    /// The first error made while building.
    pub fn into_request(self) -> Result<HttpRequest> {
        self.request
    }
}

impl<'c, C: HttpClient + ?Sized> IntoFuture for RequestBuilder<'c, C> {
    type Output = Result<HttpResponse>;
    type IntoFuture = BoxFuture<'c, Result<HttpResponse>>;

    fn into_future(self) -> Self::IntoFuture {
        match self.request {
            Ok(request) => self.client.request(request),
            Err(error) => Box::pin(async { Err(error) }),
        }
    }
}

impl<C: ?Sized> fmt::Debug for RequestBuilder<'_, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("request", &self.request)
            .finish_non_exhaustive()
    }
}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<C: HttpClient + ?Sized> HttpClient for $pointer<C> {
            async fn request(&self, request: HttpRequest) -> Result<HttpResponse> {
                (**self).request(request).await
            }

            fn capabilities(&self) -> HttpCapabilities {
                (**self).capabilities()
            }

            fn client_metrics(&self) -> Result<HttpClientMetrics> {
                (**self).client_metrics()
            }

            fn configure_retry_policy(&self, policy: RetryPolicy) -> Result<()> {
                (**self).configure_retry_policy(policy)
            }

            fn configure_circuit_breaker(
                &self,
                breaker: Arc<dyn CircuitBreaker>,
                options: HttpCircuitOptions,
            ) -> Result<()> {
                (**self).configure_circuit_breaker(breaker, options)
            }
        }
    )+};
}

delegate!(Arc, Box);
