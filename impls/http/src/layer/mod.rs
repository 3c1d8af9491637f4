//! Layers: each is an [`HttpClient`](networking_spi::http::HttpClient) around another one and adds one thing to it.
//!
//! A layer obeys the per-request options that are its own and takes them out of the request before it passes it on; what
//! is still set when the request reaches the transport must be obeyed there, or is refused. A layer that has nothing to do
//! for a request hands it on as it is, at no cost.
//!
//! A layer of your own is an `HttpClient` around an `HttpClient`, and goes anywhere between or around these.
//!
//! [`HttpClientBuilder`](crate::client::HttpClientBuilder) composes the standard stack. Outermost first:
//!
//! | layer | why there |
//! |---|---|
//! | [`DefaultsClient`] | all others see whole URLs; a status that is raised as an error is still a response for all others |
//! | [`MetricsClient`] | counts calls, with everything they waited for |
//! | `CacheClient` (feature `cache`) | what it answers costs nothing further in, and what fails further in it may answer |
//! | [`RateLimitClient`] | a call waits once, however often it is retried |
//! | [`TotalTimeoutClient`] | bounds all attempts and the waits between them |
//! | [`RetryClient`] | repeats everything below |
//! | [`HedgeClient`] | each of its attempts is one for everything below |
//! | [`ConcurrencyClient`] | a request that waits for its turn is not a slow peer, and one that waits to be retried has none |
//! | [`CircuitBreakerClient`] | sees every attempt, and its rejections can be retried |
//! | [`TraceClient`] | each attempt that is sent is a span of its own in the trace |
//! | [`AttemptTimeoutClient`] | inside the breaker, so that a timeout counts as a failure |
//! | [`InterceptorClient`] | sees every attempt, before credentials are added |
//! | [`AuthClient`] | adds credentials to each attempt, invisible to everything above |
//! | [`RedirectClient`] | secrets stay with their origin on the way to another one |
//! | [`AuthClient`] again | credentials that depend on the URL: digests, and keys in the query |
//! | `CookieClient` | each hop has the cookies of its host |
//! | [`DecompressionClient`] | everything above sees plain bodies, and the size limit is on those |
//!
//! # Writing a layer in this crate
//!
//! The layers of the standard stack do not call each other through [`HttpClient::request`], which boxes a future for each,
//! but through `chain::Next`, so that one box holds the futures of all. A layer says what it does in `chain::Wrapper`, and
//! is a client through `pass_on!(request, ..)`:
//!
//! ```text
//! pub struct StampLayer<C> {
//!     inner: C,
//!     stamp: Option<HeaderValue>,
//! }
//!
//! impl<C: HttpClient> Wrapper for StampLayer<C> {
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

#[cfg(feature = "cache")]
mod cache;
mod circuit_breaker;
mod concurrency;
#[cfg(feature = "cookies")]
mod cookies;
mod counters;
mod decompression;
mod defaults;
mod hedge;
mod idempotency_key;
mod interceptor;
mod latency;
mod metrics;
mod per_origin;
mod rate_limit;
#[cfg(feature = "metrics")]
mod recorder;
mod redirect;
mod retry;
mod retry_after;
mod timeout;
mod trace;
mod trace_context;

#[cfg(feature = "cache")]
pub use cache::CacheClient;
pub use circuit_breaker::CircuitBreakerClient;
pub use concurrency::{ConcurrencyClient, ConcurrencyLimit};
#[cfg(feature = "cookies")]
pub use cookies::CookieClient;
pub use counters::HttpCounters;
pub use decompression::DecompressionClient;
pub use defaults::{ClientDefaults, DefaultsClient};
pub use hedge::{HedgeClient, HedgeDelay, HedgePolicy};
pub use interceptor::InterceptorClient;
pub use metrics::MetricsClient;
pub use rate_limit::{RateLimit, RateLimitClient};
pub use redirect::{RedirectClient, RedirectPolicy};
pub use retry::RetryClient;
pub(crate) use retry_after::retry_after;
pub use timeout::{AttemptTimeoutClient, TotalTimeoutClient};
pub use trace::{TraceClient, TraceContextSource};
pub use trace_context::TraceContext;

pub use crate::auth::{AuthClient, Credentials};
pub use crate::marks::{Attempts, WithoutCredentials};
