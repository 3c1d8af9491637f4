//! Layers: each is an [`HttpClient`](networking_spi::http::HttpClient) around another one and adds one thing to it.
//!
//! A layer obeys the per-request options that are its own and takes them out of the request before it passes it on; what
//! is still set when the request reaches the transport must be obeyed there, or is refused. A layer that has nothing to do
//! for a request hands it on as it is, at no cost.
//!
//! [`HttpClientBuilder`](super::HttpClientBuilder) composes the standard stack. Outermost first:
//!
//! | layer | why there |
//! |---|---|
//! | [`DefaultsLayer`] | all others see whole URLs; a status that is raised as an error is still a response for all others |
//! | [`MetricsLayer`] | counts calls, with everything they waited for |
//! | [`RateLimitLayer`] | a call waits once, however often it is retried |
//! | [`TotalTimeoutLayer`] | bounds all attempts and the waits between them |
//! | [`RetryLayer`] | repeats everything below |
//! | [`HedgeLayer`] | each of its attempts is one for everything below |
//! | [`ConcurrencyLayer`] | a request that waits for its turn is not a slow peer, and one that waits to be retried has none |
//! | [`CircuitBreakerLayer`] | sees every attempt, and its rejections can be retried |
//! | [`AttemptTimeoutLayer`] | inside the breaker, so that a timeout counts as a failure |
//! | [`InterceptorLayer`] | sees every attempt, before credentials are added |
//! | [`AuthLayer`] | adds credentials to each attempt, invisible to everything above |
//! | [`RedirectLayer`] | secrets stay with their origin on the way to another one |
//! | [`AuthLayer`] again | credentials that depend on the URL: digests, and keys in the query |
//! | `CookieLayer` | each hop has the cookies of its host |
//! | [`DecompressionLayer`] | everything above sees plain bodies, and the size limit is on those |

mod attempts;
mod auth;
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
mod interceptor;
mod latency;
mod metrics;
mod origin;
mod rate_limit;
mod redirect;
mod retry;
mod retry_after;
#[cfg(feature = "jwt")]
mod signed_token;
mod timeout;

pub use attempts::Attempts;
pub use auth::{AuthLayer, Credentials, WithoutCredentials};
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
pub use timeout::{AttemptTimeoutLayer, TotalTimeoutLayer};

/// The methods that a layer passes on to `self.inner` unchanged.
macro_rules! pass_on {
    ($($method:ident),+) => { $(pass_on!(@ $method);)+ };
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
