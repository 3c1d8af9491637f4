//! Layers: each is an [`HttpClient`](networking_spi::http::HttpClient) around another one and adds one thing to it.
//!
//! A layer obeys the per-request options that are its own and takes them out of the request before it passes it on; what
//! is still set when the request reaches the transport must be obeyed there, or is refused. A layer that has nothing to do
//! for a request hands it on as it is, at no cost.
//!
//! A layer of your own is an `HttpClient` around an `HttpClient`, and goes anywhere between or around these.
//!
//! [`HttpClientBuilder`](super::HttpClientBuilder) composes the standard stack. Outermost first:
//!
//! | layer | why there |
//! |---|---|
//! | [`DefaultsLayer`] | all others see whole URLs; a status that is raised as an error is still a response for all others |
//! | [`MetricsLayer`] | counts calls, with everything they waited for |
//! | `CacheLayer` (feature `http-cache`) | what it answers costs nothing further in, and what fails further in it may answer |
//! | [`RateLimitLayer`] | a call waits once, however often it is retried |
//! | [`TotalTimeoutLayer`] | bounds all attempts and the waits between them |
//! | [`RetryLayer`] | repeats everything below |
//! | [`HedgeLayer`] | each of its attempts is one for everything below |
//! | [`ConcurrencyLayer`] | a request that waits for its turn is not a slow peer, and one that waits to be retried has none |
//! | [`CircuitBreakerLayer`] | sees every attempt, and its rejections can be retried |
//! | [`TraceLayer`] | each attempt that is sent is a span of its own in the trace |
//! | [`AttemptTimeoutLayer`] | inside the breaker, so that a timeout counts as a failure |
//! | [`InterceptorLayer`] | sees every attempt, before credentials are added |
//! | [`AuthLayer`] | adds credentials to each attempt, invisible to everything above |
//! | [`RedirectLayer`] | secrets stay with their origin on the way to another one |
//! | [`AuthLayer`] again | credentials that depend on the URL: digests, and keys in the query |
//! | `CookieLayer` | each hop has the cookies of its host |
//! | [`DecompressionLayer`] | everything above sees plain bodies, and the size limit is on those |
//!
//! # Writing a layer in this crate
//!
//! The layers of the standard stack do not call each other through [`HttpClient::request`], which boxes a future for each,
//! but through `chain::Next`, so that one box holds the futures of all. A layer says what it does in `chain::Layer`, and
//! is a client through `pass_on!(request, ..)`:
//!
//! ```text
//! pub struct StampLayer<C> {
//!     inner: C,
//!     stamp: Option<HeaderValue>,
//! }
//!
//! impl<C: HttpClient> Layer for StampLayer<C> {
//!     type Inner = C;
//!
//!     fn inner(&self) -> &C {
//!         &self.inner
//!     }
//!
//!     async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
//!         if let Some(stamp) = &self.stamp {
//!             request.headers.insert("x-stamp", stamp.clone());
//!         }
//!         next.send(request).await // not `self.inner.request(..)`, which would box the rest of the stack again
//!     }
//! }
//!
//! #[deny(clippy::missing_trait_methods)]
//! impl<C: HttpClient> HttpClient for StampLayer<C> {
//!     fn capabilities(&self) -> HttpCapabilities {
//!         self.inner.capabilities()
//!     }
//!
//!     pass_on!(request, client_metrics, configure_retry_policy, configure_circuit_breaker);
//! }
//! ```
//!
//! The future of a stack is as large as those of its layers together. What a layer keeps across `next.send(..)` should be
//! small; what it needs only on a rare path goes into a box of its own. A test bounds the sum.
//!
//! [`HttpClient::request`]: networking_spi::http::HttpClient::request

mod attempts;
mod auth;
#[cfg(feature = "http-cache")]
mod cache;
mod chain;
mod circuit_breaker;
mod concurrency;
#[cfg(feature = "cookies")]
mod cookies;
mod counters;
mod decompression;
mod defaults;
#[cfg(feature = "digest-auth")]
mod digest;
mod hedge;
mod idempotency_key;
mod interceptor;
mod latency;
mod metrics;
mod origin;
mod rate_limit;
#[cfg(feature = "metrics")]
mod recorder;
mod redirect;
mod retry;
mod retry_after;
#[cfg(feature = "jwt")]
mod signed_token;
mod timeout;
mod trace;
mod trace_context;

#[cfg(test)]
pub(in crate::http) use chain::Layer;
pub(in crate::http) use chain::{Edge, Next};
#[cfg(feature = "http-cache")]
pub(in crate::http) use origin::same_origin;

pub use attempts::Attempts;
pub use auth::{AuthLayer, Credentials, WithoutCredentials};
#[cfg(feature = "http-cache")]
pub use cache::CacheLayer;
pub use circuit_breaker::CircuitBreakerLayer;
pub use concurrency::{ConcurrencyLayer, ConcurrencyLimit};
#[cfg(feature = "cookies")]
pub use cookies::CookieLayer;
pub use counters::HttpCounters;
pub use decompression::DecompressionLayer;
pub use defaults::{ClientDefaults, DefaultsLayer};
pub use hedge::{HedgeDelay, HedgeLayer, HedgePolicy};
pub use interceptor::InterceptorLayer;
pub use metrics::MetricsLayer;
pub use rate_limit::{RateLimit, RateLimitLayer};
pub use redirect::{RedirectLayer, RedirectPolicy};
pub use retry::RetryLayer;
pub(super) use retry::delay as retry_delay;
pub(super) use retry_after::retry_after;
pub use timeout::{AttemptTimeoutLayer, TotalTimeoutLayer};
pub use trace::{TraceContextSource, TraceLayer};
pub use trace_context::TraceContext;

/// The methods of `HttpClient` that a layer does not write itself: `request` goes through its `Layer::call`, the others to
/// `self.inner` unchanged.
macro_rules! pass_on {
    ($($method:ident),+) => { $(pass_on!(@ $method);)+ };
    (@ request) => {
        fn request<'s, 'f>(
            &'s self,
            request: networking_spi::http::HttpRequest,
        ) -> futures_core::future::BoxFuture<'f, networking_spi::Result<networking_spi::http::HttpResponse>>
        where
            's: 'f,
            Self: 'f,
        {
            super::chain::request_through(self, request)
        }
    };
    (@ client_metrics) => {
        fn client_metrics(&self) -> networking_spi::Result<networking_spi::http::HttpClientMetrics> {
            self.inner.client_metrics()
        }
    };
    (@ configure_retry_policy) => {
        fn configure_retry_policy(&self, policy: networking_spi::http::RetryPolicy) -> networking_spi::Result<()> {
            self.inner.configure_retry_policy(policy)
        }
    };
    (@ configure_circuit_breaker) => {
        fn configure_circuit_breaker(
            &self,
            breaker: std::sync::Arc<dyn networking_spi::circuit_breaker::CircuitBreaker>,
            options: networking_spi::http::HttpCircuitOptions,
        ) -> networking_spi::Result<()> {
            self.inner.configure_circuit_breaker(breaker, options)
        }
    };
}

use pass_on;
