//! The contract `HttpClient`, and its extension trait.

use std::fmt;
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_core::future::BoxFuture;
use http::{HeaderName, HeaderValue, Method};
use serde::Serialize;

use super::{
    HttpBody, HttpCircuitOptions, HttpClientMetrics, HttpRequest, HttpResponse, IntoHeaders, Multipart, ProxyConfig,
    RequestOptions, RequestTarget, RetryPolicy, UploadProgress,
};
use crate::capabilities::capabilities;
use crate::circuit_breaker::CircuitBreaker;
use crate::error::{NetworkError, Result};

capabilities! {
    /// What an [`HttpClient`] supports, with all its layers. Without capabilities, a client only sends requests and returns
    /// responses.
    pub struct HttpCapabilities {
        /// Resolves relative targets against a base URL.
        base_url,
        /// [`RequestOptions::timeout`].
        timeout,
        /// [`RequestOptions::attempt_timeout`].
        attempt_timeout,
        /// [`RequestOptions::total_timeout`].
        total_timeout,
        /// [`HttpClient::configure_retry_policy`], [`RequestOptions::retry`], `retries` and `retry_backoff`.
        retry,
        /// [`HttpClient::configure_circuit_breaker`] and [`RequestOptions::circuit`].
        circuit_breaker,
        /// [`HttpClient::client_metrics`].
        metrics,
        /// Sends stream bodies without collecting them in memory.
        streaming_upload,
        /// Returns response bodies as they arrive, without collecting them in memory.
        streaming_download,
        /// Follows redirects, unless [`RequestOptions::follow_redirects`] is `false`.
        redirect_control,
        /// [`RequestOptions::max_response_size`].
        response_size_limit,
        /// [`RequestOptions::raise_for_status`].
        raise_for_status,
        /// Decodes the `Content-Encoding` of responses.
        decompression,
        /// [`RequestOptions::proxy`].
        per_request_proxy,
        /// [`RequestOptions::verify_tls`].
        per_request_tls,
        /// Uses HTTP/2 if the peer supports it.
        http2,
        /// Returns the trailers of responses: [`HttpResponse::trailers`].
        trailers,
    }
}

/// A client that sends HTTP requests.
///
/// # Behaviour of every implementation
///
/// * A response with any status is `Ok`, unless [`RequestOptions::raise_for_status`] (or the client's default) is `true`.
/// * A request with an option that the client does not support fails with
///   [`Unsupported`](crate::ErrorKind::Unsupported). The option is never ignored. See [`HttpCapabilities`].
/// * Clones of the `Arc` share connections, counters and configuration. Requests run concurrently.
/// * Errors and `Debug` output never show credentials.
///
/// # Wrappers
///
/// A wrapper implements this trait over another client. Its [`capabilities`](Self::capabilities) are those of the inner
/// client, plus what it adds, minus what it removes. `Arc<C>` and `Box<C>` are also clients.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait HttpClient: fmt::Debug + Send + Sync + 'static {
    /// Sends a request, and returns the response when its head has arrived. The body is received while it is read.
    ///
    /// Cancel safety: dropping the future aborts the request; the peer may have processed it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for an option that the capabilities do not declare,
    /// [`Connection`](crate::ErrorKind::Connection) and the kinds that belong to it,
    /// [`Timeout`](crate::ErrorKind::Timeout) with its phase, [`Redirect`](crate::ErrorKind::Redirect),
    /// [`Protocol`](crate::ErrorKind::Protocol), [`CircuitOpen`](crate::ErrorKind::CircuitOpen),
    /// [`RateLimited`](crate::ErrorKind::RateLimited), and with `raise_for_status` the errors of
    /// [`HttpResponse::error_for_status`].
    async fn request(&self, request: HttpRequest) -> Result<HttpResponse>;

    /// What this client supports.
    fn capabilities(&self) -> HttpCapabilities;

    /// Returns a snapshot of the counters.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `metrics`.
    fn client_metrics(&self) -> Result<HttpClientMetrics>;

    /// Replaces the retry policy. It applies to requests that are started afterwards.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `retry`.
    fn configure_retry_policy(&self, policy: RetryPolicy) -> Result<()>;

    /// Sets the circuit breaker, of any implementation, that guards every attempt that is started afterwards. Statuses
    /// 5xx, 408 and 429 count as failures, other statuses as successes. The circuit's classifier decides about errors;
    /// by default, connection errors and timeouts are failures.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `circuit_breaker`.
    fn configure_circuit_breaker(&self, breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Result<()>;
}

/// Verbs and a request builder for every [`HttpClient`]. Do not implement it.
///
/// Each verb takes text, a [`Url`](url::Url), or a reference to one, and returns a [`RequestBuilder`]. Awaiting it sends the
/// request:
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
    /// Starts a request with any method. An invalid URL is reported when the builder is awaited.
    fn build(&self, method: Method, target: impl Into<RequestTarget>) -> RequestBuilder<'_, Self> {
        RequestBuilder {
            client: self,
            request: Ok(HttpRequest::new(method, target)),
        }
    }

    /// Starts a GET request.
    fn get(&self, url: impl Into<RequestTarget>) -> RequestBuilder<'_, Self> {
        self.build(Method::GET, url)
    }

    /// Starts a POST request.
    fn post(&self, url: impl Into<RequestTarget>) -> RequestBuilder<'_, Self> {
        self.build(Method::POST, url)
    }

    /// Starts a PUT request.
    fn put(&self, url: impl Into<RequestTarget>) -> RequestBuilder<'_, Self> {
        self.build(Method::PUT, url)
    }

    /// Starts a DELETE request.
    fn delete(&self, url: impl Into<RequestTarget>) -> RequestBuilder<'_, Self> {
        self.build(Method::DELETE, url)
    }

    /// Starts a PATCH request.
    fn patch(&self, url: impl Into<RequestTarget>) -> RequestBuilder<'_, Self> {
        self.build(Method::PATCH, url)
    }

    /// Starts a HEAD request.
    fn head(&self, url: impl Into<RequestTarget>) -> RequestBuilder<'_, Self> {
        self.build(Method::HEAD, url)
    }

    /// Starts an OPTIONS request.
    fn options(&self, url: impl Into<RequestTarget>) -> RequestBuilder<'_, Self> {
        self.build(Method::OPTIONS, url)
    }
}

impl<C: HttpClient + ?Sized> HttpClientExt for C {}

/// A request that is being built. Awaiting it sends the request, or returns the first error of the building methods.
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

    fn option(self, set: impl FnOnce(&mut RequestOptions)) -> Self {
        self.try_map(|mut request| {
            set(&mut request.options);
            Ok(request)
        })
    }

    /// Sets a header, and replaces its previous values.
    pub fn header<N, V>(self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.try_map(|request| request.with_header(name, value))
    }

    /// Sets several headers: a [`HeaderMap`](http::HeaderMap), a list of pairs, or a map. Replaces the previous values of their
    /// names.
    pub fn headers(self, headers: impl IntoHeaders) -> Self {
        self.try_map(|request| request.with_headers(headers))
    }

    /// Appends query parameters: a slice of pairs, a map, or a struct whose fields are the parameters. See
    /// [`HttpRequest::with_query`].
    ///
    /// ```
    /// # use networking_spi::prelude::*;
    /// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
    /// let page = http.get("https://api.example.com/items").query([("page", "2"), ("sort", "name")]).await?;
    /// # Ok(()) }
    /// ```
    pub fn query(self, parameters: impl Serialize) -> Self {
        self.try_map(|request| request.with_query(parameters))
    }

    /// Appends a query parameter.
    pub fn query_pair(self, name: &str, value: impl ToString) -> Self {
        self.try_map(|request| Ok(request.with_query_pair(name, value)))
    }

    /// Sets the body.
    pub fn body(self, body: impl Into<HttpBody>) -> Self {
        self.try_map(|request| Ok(request.with_body(body)))
    }

    /// Sets a JSON body.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.try_map(|request| request.with_json(value))
    }

    /// Sets a URL-encoded form body: the fields of a struct, a map, or a slice of pairs. See [`HttpRequest::with_form`].
    pub fn form(self, fields: impl Serialize) -> Self {
        self.try_map(|request| request.with_form(fields))
    }

    /// Sets a `multipart/form-data` body.
    pub fn multipart(self, form: Multipart) -> Self {
        self.try_map(|request| request.with_multipart(form))
    }

    /// Reports the progress of the upload to `observer`. Set the body first.
    pub fn upload_progress(self, observer: impl Fn(UploadProgress) + Send + Sync + 'static) -> Self {
        self.try_map(|request| Ok(request.with_upload_progress(observer)))
    }

    /// Sets the user name and password of the Basic scheme (RFC 7617).
    pub fn basic(self, username: &str, password: &str) -> Self {
        self.try_map(|request| request.with_basic(username, password))
    }

    /// Sets a bearer token.
    pub fn bearer(self, token: &str) -> Self {
        self.try_map(|request| request.with_bearer(token))
    }

    fn change(self, change: impl FnOnce(RequestOptions) -> RequestOptions) -> Self {
        self.try_map(|mut request| {
            request.options = change(std::mem::take(&mut request.options));
            Ok(request)
        })
    }

    /// Sets the time limit of each attempt, from its start until its body has been read. Waits between attempts and for a rate
    /// limit do not count.
    pub fn timeout(self, timeout: Duration) -> Self {
        self.change(|options| options.with_timeout(timeout))
    }

    /// Sets the time limit of the whole call: waits, all attempts, and reading the body. Requires the capability
    /// `total_timeout`.
    pub fn total_timeout(self, timeout: Duration) -> Self {
        self.change(|options| options.with_total_timeout(timeout))
    }

    /// Removes the time limits of the call and its attempts, also those of the client.
    pub fn no_timeout(self) -> Self {
        self.change(RequestOptions::without_timeout)
    }

    /// Sets the number of retries of this request, and keeps the rest of the client's policy. 0: no retries. Requires the
    /// capability `retry`.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use networking_spi::prelude::*;
    /// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
    /// let report = http.get("https://api.example.com/report").retries(5).retry_delay(Duration::from_secs(2)).await?;
    /// # Ok(()) }
    /// ```
    pub fn retries(self, retries: u32) -> Self {
        self.change(|options| options.with_retries(retries))
    }

    /// Waits exactly `delay` before each retry of this request, and keeps the rest of the client's policy. Requires the
    /// capability `retry`.
    pub fn retry_delay(self, delay: Duration) -> Self {
        self.change(|options| options.with_retry_delay(delay))
    }

    /// Sets the time limit of each attempt, until the response head. Requires the capability `attempt_timeout`.
    pub fn attempt_timeout(self, timeout: Duration) -> Self {
        self.option(|options| options.attempt_timeout = Some(timeout))
    }

    /// Sets whether the request is idempotent, and may be sent again after an error. Without this, its method and its
    /// `Idempotency-Key` decide: [`HttpRequest::is_idempotent`].
    pub fn idempotent(self, idempotent: bool) -> Self {
        self.option(|options| options.idempotent = Some(idempotent))
    }

    /// Sets the proxy of this request: a URL, or a [`ProxyConfig`]. Requires the capability `per_request_proxy`.
    ///
    /// ```
    /// # use networking_spi::prelude::*;
    /// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
    /// let response = http.get("https://example.com/").proxy("http://proxy.example.com:8080").await?;
    /// # Ok(()) }
    /// ```
    pub fn proxy<P>(self, proxy: P) -> Self
    where
        P: TryInto<ProxyConfig>,
        P::Error: Into<NetworkError>,
    {
        self.try_map(|mut request| {
            request.options.proxy = Some(Box::new(proxy.try_into().map_err(Into::into)?));
            Ok(request)
        })
    }

    /// Sets whether certificates are verified. `false` accepts any certificate, so that anybody on the network can read and
    /// change the exchange. It requires the capability `per_request_tls`.
    pub fn verify_tls(self, verify: bool) -> Self {
        self.option(|options| options.verify_tls = Some(verify))
    }

    /// Sets whether redirects are followed. `true` requires the capability `redirect_control`.
    pub fn follow_redirects(self, follow: bool) -> Self {
        self.option(|options| options.follow_redirects = Some(follow))
    }

    /// Sets the largest response body, in bytes after decoding. Requires the capability `response_size_limit`.
    pub fn max_response_size(self, bytes: u64) -> Self {
        self.option(|options| options.max_response_size = Some(bytes))
    }

    /// Sets the name of the circuit. Requires the capability `circuit_breaker`.
    pub fn circuit(self, name: impl Into<String>) -> Self {
        self.option(|options| options.circuit = Some(name.into()))
    }

    /// Adds a typed value for layers; it is not sent.
    pub fn extension<T: Clone + Send + Sync + 'static>(self, value: T) -> Self {
        self.try_map(|mut request| {
            request.extensions.insert(value);
            Ok(request)
        })
    }

    /// Sets the retry policy of this request, in place of the client's. Requires the capability `retry`.
    pub fn retry(self, policy: RetryPolicy) -> Self {
        self.try_map(|mut request| {
            request.options.retry = Some(Box::new(policy));
            Ok(request)
        })
    }

    /// Sets whether a 4xx or 5xx status is an error. Requires the capability `raise_for_status`.
    pub fn raise_for_status(self, raise: bool) -> Self {
        self.option(|options| options.raise_for_status = Some(raise))
    }

    /// Sets the options that `options` sets. What earlier methods have set otherwise is kept.
    pub fn options(self, options: RequestOptions) -> Self {
        self.try_map(|request| Ok(request.with_options(options)))
    }

    /// Returns the request without sending it.
    ///
    /// # Errors
    /// The first error of the building methods.
    pub fn into_request(self) -> Result<HttpRequest> {
        self.request
    }
}

impl<'c, C: HttpClient + ?Sized> RequestBuilder<'c, C> {
    /// Sends the request: the same as awaiting the builder.
    ///
    /// # Errors
    /// The first error of the building methods, and the errors of [`HttpClient::request`].
    pub fn send(self) -> BoxFuture<'c, Result<HttpResponse>> {
        self.into_future()
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
