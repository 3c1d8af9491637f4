//! How the wrappers of a stack call each other.
//!
//! [`HttpClient::request`] returns a boxed future, which makes `Arc<dyn HttpClient>` possible. A stack of twelve wrappers
//! that called each other through it would allocate twelve boxes per request. Wrappers call each other through [`Next`]
//! instead: its futures are nested by value, and the client that owns the stack boxes the outermost one.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures_core::future::BoxFuture;
use networking_spi::Result;
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::http::{
    HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpRequest, HttpResponse, RetryPolicy,
};

/// The client inside a wrapper: another wrapper, or the transport in a [`Terminal`].
///
/// Private to the crate, because it exists for speed and may change; the contract is [`HttpClient`].
pub(crate) trait Next: Send + Sync {
    /// Sends the request through the inner client. Request and response are several hundred bytes each. They are boxed, so
    /// that passing them from wrapper to wrapper does not copy them.
    fn send(&self, request: Box<HttpRequest>) -> impl Future<Output = Result<Box<HttpResponse>>> + Send;
}

/// What a wrapper adds to its inner client. The docs of `layer` show how to write one.
pub(crate) trait Wrapper: HttpClient {
    /// The type of the inner client.
    type Inner: HttpClient;

    /// The inner client.
    fn inner(&self) -> &Self::Inner;

    /// Handles a request. `next` is the [`inner`](Self::inner) client.
    fn call(
        &self,
        request: Box<HttpRequest>,
        next: &impl Next,
    ) -> impl Future<Output = Result<Box<HttpResponse>>> + Send;
}

/// A wrapper inside another wrapper of the same stack.
impl<W: Wrapper> Next for W
where
    W::Inner: Next,
{
    fn send(&self, request: Box<HttpRequest>) -> impl Future<Output = Result<Box<HttpResponse>>> + Send {
        self.call(request, self.inner())
    }
}

/// [`HttpClient::request`] of a wrapper that is used outside a stack, around any client.
pub(crate) fn request_through<W: Wrapper>(wrapper: &W, request: HttpRequest) -> BoxFuture<'_, Result<HttpResponse>> {
    Box::pin(async move {
        let response = wrapper.call(Box::new(request), &Client(wrapper.inner())).await?;
        Ok(*response)
    })
}

/// Any client as the inner client of a wrapper.
struct Client<'c, C>(&'c C);

impl<C: HttpClient> Next for Client<'_, C> {
    async fn send(&self, request: Box<HttpRequest>) -> Result<Box<HttpResponse>> {
        self.0.request(*request).await.map(Box::new)
    }
}

/// The innermost part of a stack: calls the transport through [`HttpClient::request`], which allocates the second and last box
/// of a request.
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

/// Prints the transport: the terminal is an implementation detail.
impl<T: fmt::Debug> fmt::Debug for Terminal<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Implements the listed methods of `HttpClient` for a wrapper: `request` calls its `Wrapper::call`, the others call the same
/// method of `self.inner`.
macro_rules! pass_on {
    ($($method:ident),+ $(,)?) => { $(pass_on!(@ $method);)+ };
    (@ capabilities) => {
        fn capabilities(&self) -> ::networking_spi::http::HttpCapabilities {
            self.inner.capabilities()
        }
    };
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

/// Defines `get_ref` and `into_inner` for a wrapper. The text after the name is added to the docs of `into_inner` and says which
/// state is dropped with the wrapper. `shared` is for wrappers whose inner client is in an `Arc`, because their background tasks
/// may use it.
macro_rules! inner_access {
    ($wrapper:ident $(, $lost:literal)?) => {
        impl<C> $wrapper<C> {
            /// The inner client.
            pub const fn get_ref(&self) -> &C {
                &self.inner
            }

            /// Removes the wrapper and returns the inner client.
            $(#[doc = ""] #[doc = $lost])?
            pub fn into_inner(self) -> C {
                self.inner
            }
        }
    };
    (shared $wrapper:ident, $lost:literal) => {
        impl<C> $wrapper<C> {
            /// The inner client.
            pub fn get_ref(&self) -> &C {
                &self.inner
            }

            /// Removes the wrapper and returns the inner client.
            #[doc = ""]
            #[doc = $lost]
            pub fn into_inner(self) -> ::std::sync::Arc<C> {
                self.inner
            }
        }
    };
}

pub(crate) use inner_access;
