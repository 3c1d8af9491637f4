//! The settings of a standard client, except its transport.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::NetworkError;
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::clock::Clock;
use networking_spi::http::{HttpCircuitOptions, Interceptor, RetryPolicy};

use super::defaults;
#[cfg(feature = "jwt")]
use crate::auth::jwt::{JwtPolicy, KeySource};
#[cfg(feature = "cache")]
use crate::cache::HttpCache;
#[cfg(feature = "cookies")]
use crate::cookies::CookieJar;
use crate::layer::{
    ClientDefaults, ConcurrencyLimit, Credentials, HedgePolicy, RateLimit, RedirectPolicy, TraceContextSource,
};
use crate::transport::PoolStatsSource;

/// What opens WebSocket connections.
#[cfg(feature = "websocket")]
#[derive(Default)]
pub(super) enum WebSockets {
    /// Nothing: the transport may be unable to.
    #[default]
    Unsupported,
    /// The client itself.
    Own,
    Other(Arc<dyn networking_spi::websocket::WebSocketClient>),
}

pub(super) struct Settings {
    pub(super) pool: Option<Arc<dyn PoolStatsSource>>,
    pub(super) defaults: ClientDefaults,
    pub(super) timeout: Option<Duration>,
    pub(super) attempt_timeout: Option<Duration>,
    pub(super) total_timeout: Option<Duration>,
    /// The limit of attempts until the response head for which neither the client nor the request sets one.
    pub(super) fallback_timeout: Option<Duration>,
    pub(super) retry: RetryPolicy,
    pub(super) breaker: Option<(Arc<dyn CircuitBreaker>, HttpCircuitOptions)>,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) rate_limit_per_host: Option<RateLimit>,
    pub(super) concurrency_limit: Option<ConcurrencyLimit>,
    pub(super) hedging: Option<HedgePolicy>,
    pub(super) traces: Option<Arc<dyn TraceContextSource>>,
    #[cfg(feature = "metrics")]
    pub(super) recorded: bool,
    pub(super) interceptors: Vec<Arc<dyn Interceptor>>,
    pub(super) credentials: Option<Credentials>,
    pub(super) redirects: RedirectPolicy,
    pub(super) decompression: bool,
    pub(super) max_response_size: Option<u64>,
    #[cfg(feature = "cookies")]
    pub(super) cookies: Option<CookieJar>,
    pub(super) clock: Option<Arc<dyn Clock>>,
    #[cfg(feature = "cache")]
    pub(super) cache: Option<HttpCache>,
    #[cfg(feature = "websocket")]
    pub(super) websocket: WebSockets,
    #[cfg(feature = "jwt")]
    pub(super) jwt: Option<(KeySource, JwtPolicy)>,
    /// The first invalid setting, which `build` reports.
    pub(super) mistake: Option<NetworkError>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            pool: None,
            defaults: ClientDefaults::default(),
            timeout: None,
            attempt_timeout: None,
            total_timeout: None,
            fallback_timeout: Some(defaults::ATTEMPT_TIMEOUT),
            retry: RetryPolicy::default(),
            breaker: None,
            rate_limit: None,
            rate_limit_per_host: None,
            concurrency_limit: None,
            hedging: None,
            traces: None,
            #[cfg(feature = "metrics")]
            recorded: false,
            interceptors: Vec::new(),
            credentials: None,
            redirects: RedirectPolicy::default(),
            decompression: true,
            max_response_size: Some(defaults::MAX_RESPONSE_SIZE),
            #[cfg(feature = "cookies")]
            cookies: None,
            clock: None,
            #[cfg(feature = "cache")]
            cache: None,
            #[cfg(feature = "websocket")]
            websocket: WebSockets::default(),
            #[cfg(feature = "jwt")]
            jwt: None,
            mistake: None,
        }
    }
}
