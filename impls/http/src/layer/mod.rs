//! The wrappers of the standard stack. Each is an [`HttpClient`](networking_spi::http::HttpClient) around another one and
//! adds one behaviour.
//!
//! A wrapper handles the per-request options that it implements and removes them before it passes the request on. The
//! transport obeys the options that are left, or refuses the request. A wrapper that has nothing to do for a request passes
//! it on unchanged.
//!
//! A wrapper of another crate is an `HttpClient` around an `HttpClient`, and can be placed between or around these. `get_ref`
//! returns the inner client of a wrapper, and `into_inner` removes the wrapper.
//!
//! [`HttpClientBuilder`](crate::client::HttpClientBuilder) composes the standard stack. Outermost first:
//!
//! | wrapper | reason for its position |
//! |---|---|
//! | [`DefaultsClient`] | all others see absolute URLs, and see responses where `raise_for_status` returns errors |
//! | [`MetricsClient`] | counts calls, including all their waits |
//! | `CacheClient` (feature `cache`) | a hit skips all wrappers below; a stale response can replace a failure of all of them |
//! | [`TotalTimeoutClient`] | limits the wait for the rate limit, all attempts and the waits between them |
//! | [`RateLimitClient`] | limits that count calls: a call waits once, even when it is retried |
//! | [`RetryClient`] | repeats everything below |
//! | [`HedgeClient`] | each hedge is a separate attempt for everything below |
//! | [`RateLimitClient`] again | limits that count attempts: retries and hedges wait for their turn |
//! | [`ConcurrencyClient`] | a wait for a permit does not count as a slow peer; the wait before a retry holds no permit |
//! | [`CircuitBreakerClient`] | sees every attempt, and its rejections can be retried |
//! | [`TraceClient`] | each attempt that is sent has its own span |
//! | [`AttemptTimeoutClient`] | inside the breaker, so that a timeout counts as a failure |
//! | [`InterceptorClient`] | sees every attempt, before credentials are added |
//! | [`AuthClient`] | adds credentials to each attempt; nothing above sees them |
//! | [`RedirectClient`] | removes secrets when a redirect leads to another origin |
//! | [`AuthClient`] again | credentials that depend on the URL: digests, and keys in the query |
//! | `CookieClient` (feature `cookies`) | each hop sends the cookies of its host |
//! | [`DecompressionClient`] | everything above sees decoded bodies, and the size limit applies to decoded bodies |
//!
//! # Writing a wrapper in this crate
//!
//! The wrappers of the standard stack do not call each other through [`HttpClient::request`], which boxes a future per call, but
//! through `chain::Next`, so that one box holds the futures of all wrappers. A wrapper implements `chain::Wrapper`, gets its
//! `HttpClient` methods from `pass_on!`, and gets `get_ref` and `into_inner` from `inner_access!`:
//!
//! ```text
//! pub struct StampClient<C> {
//!     inner: C,
//!     stamp: Option<HeaderValue>,
//! }
//!
//! inner_access!(StampClient);
//!
//! impl<C: HttpClient> Wrapper for StampClient<C> {
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
//! impl<C: HttpClient> HttpClient for StampClient<C> {
//!     pass_on!(request, capabilities, client_metrics, configure_retry_policy, configure_circuit_breaker);
//! }
//! ```
//!
//! The size of a stack's future is the sum of the sizes of its wrappers' futures. A wrapper should hold little state across
//! `next.send(..)`, and box the futures of rare code paths. A test limits the sum.
//!
//! [`HttpClient::request`]: networking_spi::http::HttpClient::request

#[cfg(feature = "cache")]
mod cache;
mod circuit_breaker;
mod concurrency;
mod conventions;
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
mod retry_budget;
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
