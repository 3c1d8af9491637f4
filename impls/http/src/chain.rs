//! How the layers of a stack call each other.
//!
//! [`HttpClient::request`] returns a boxed future, which is what makes `Arc<dyn HttpClient>` possible. A stack of twelve
//! layers that called each other through it would box twelve futures for each request. Layers call each other through
//! [`Next`] instead: its futures have types of their own, are parts of each other, and are boxed once, as a whole, by the
//! client that owns the stack.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use networking_spi::Result;
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::http::{
    HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpRequest, HttpResponse, RetryPolicy,
};

/// What is inside of a layer: another layer, or the transport at the [`Terminal`].
///
/// Private to the crate, because its shape serves speed and may change with it; the contract is [`HttpClient`].
pub(crate) trait Next: Send + Sync {
    /// Sends the request through everything that is inside. Request and response are some hundred bytes each: they are
    /// boxed, so that handing them from layer to layer does not copy them.
    fn send(&self, request: Box<HttpRequest>) -> impl Future<Output = Result<Box<HttpResponse>>> + Send;
}

/// What one layer does around whatever is inside of it. The [module](super) says how to write one.
pub(crate) trait Wrapper: HttpClient {
    /// What it is around.
    type Inner: HttpClient;

    /// What it is around.
    fn inner(&self) -> &Self::Inner;

    /// Does what the layer is for, and sends requests on to `next`, which is its [`inner`](Self::inner).
    fn call(
        &self,
        request: Box<HttpRequest>,
        next: &impl Next,
    ) -> impl Future<Output = Result<Box<HttpResponse>>> + Send;
}

/// A layer around another one, in one stack.
impl<L: Wrapper> Next for L
where
    L::Inner: Next,
{
    fn send(&self, request: Box<HttpRequest>) -> impl Future<Output = Result<Box<HttpResponse>>> + Send {
        self.call(request, self.inner())
    }
}

/// [`HttpClient::request`] of a layer that stands on its own, around any client.
pub(crate) fn request_through<L: Wrapper>(layer: &L, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse>> {
    Box::pin(async move {
        let response = layer.call(Box::new(request), &Client(layer.inner())).await?;
        Ok(*response)
    })
}

/// Any client as what is inside of a layer.
struct Client<'c, C>(&'c C);

impl<C: HttpClient> Next for Client<'_, C> {
    async fn send(&self, request: Box<HttpRequest>) -> Result<Box<HttpResponse>> {
        self.0.request(*request).await.map(Box::new)
    }
}

/// Where a stack ends and the transport begins: the transport's boxed future is the second one of a request, and the last.
pub(crate) struct Terminal<T>(pub(crate) T);

impl<T: HttpClient> Next for Terminal<T> {
    async fn send(&self, request: Box<HttpRequest>) -> Result<Box<HttpResponse>> {
        self.0.request(*request).await.map(Box::new)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<T: HttpClient> HttpClient for Terminal<T> {
    fn request<'s, 'f>(&'s self, request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse>>
    where
        's: 'f,
        Self: 'f,
    {
        self.0.request(request)
    }

    fn capabilities(&self) -> HttpCapabilities {
        self.0.capabilities()
    }

    fn client_metrics(&self) -> Result<HttpClientMetrics> {
        self.0.client_metrics()
    }

    fn configure_retry_policy(&self, policy: RetryPolicy) -> Result<()> {
        self.0.configure_retry_policy(policy)
    }

    fn configure_circuit_breaker(&self, breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Result<()> {
        self.0.configure_circuit_breaker(breaker, options)
    }
}

/// As if the transport stood there itself.
impl<T: fmt::Debug> fmt::Debug for Terminal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The methods of `HttpClient` that a layer does not write itself: `request` goes through its `Wrapper::call`, the others to
/// `self.inner` unchanged.
macro_rules! pass_on {
    ($($method:ident),+) => { $(pass_on!(@ $method);)+ };
    (@ request) => {
        fn request<'s, 'f>(
            &'s self,
            request: ::networking_spi::http::HttpRequest,
        ) -> ::futures_core::future::BoxFuture<'f, ::networking_spi::Result<::networking_spi::http::HttpResponse>>
        where
            's: 'f,
            Self: 'f,
        {
            crate::chain::request_through(self, request)
        }
    };
    (@ client_metrics) => {
        fn client_metrics(&self) -> ::networking_spi::Result<::networking_spi::http::HttpClientMetrics> {
            self.inner.client_metrics()
        }
    };
    (@ configure_retry_policy) => {
        fn configure_retry_policy(&self, policy: ::networking_spi::http::RetryPolicy) -> ::networking_spi::Result<()> {
            self.inner.configure_retry_policy(policy)
        }
    };
    (@ configure_circuit_breaker) => {
        fn configure_circuit_breaker(
            &self,
            breaker: std::sync::Arc<dyn ::networking_spi::circuit_breaker::CircuitBreaker>,
            options: ::networking_spi::http::HttpCircuitOptions,
        ) -> ::networking_spi::Result<()> {
            self.inner.configure_circuit_breaker(breaker, options)
        }
    };
}

pub(crate) use pass_on;
