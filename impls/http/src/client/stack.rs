//! The standard stack: the order of its wrappers, and how it is assembled from settings.

use std::sync::Arc;

use networking_spi::Result;
use networking_spi::clock::Clock;
use networking_spi::error::ResultExt;
use networking_spi::http::HttpClient;
use networking_spi::validate::{self, Validate};

use super::settings::Settings;
#[cfg(feature = "jwt")]
use crate::auth::jwt::{JwksResolver, JwtPolicy, JwtVerifier, KeySource};
use crate::chain::Terminal;
use crate::layer::{
    AttemptTimeoutClient, AuthClient, CircuitBreakerClient, ConcurrencyClient, DecompressionClient, DefaultsClient,
    HedgeClient, HttpCounters, InterceptorClient, MetricsClient, RateLimit, RateLimitClient, RedirectClient,
    RetryClient, TotalTimeoutClient, TraceClient,
};
use crate::transport::PoolStatsSource;
use networking_runtime::clock::TokioClock;

pub(super) type Stack<T> =
    DefaultsClient<MetricsClient<Cached<TotalTimeoutClient<RateLimitClient<RetryClient<HedgeClient<PerAttempt<T>>>>>>>>;

#[cfg(feature = "cache")]
pub(super) type Cached<C> = crate::layer::CacheClient<C>;
#[cfg(not(feature = "cache"))]
pub(super) type Cached<C> = C;

/// The wrappers that run once per attempt.
pub(super) type PerAttempt<T> = RateLimitClient<
    ConcurrencyClient<
        CircuitBreakerClient<
            TraceClient<AttemptTimeoutClient<InterceptorClient<AuthClient<RedirectClient<AuthClient<PerHop<T>>>>>>>,
        >,
    >,
>;

/// The wrappers that run once per hop of an attempt.
#[cfg(feature = "cookies")]
pub(super) type PerHop<T> = crate::layer::CookieClient<DecompressionClient<Terminal<T>>>;
#[cfg(not(feature = "cookies"))]
pub(super) type PerHop<T> = DecompressionClient<Terminal<T>>;

/// What the extended operations need in addition to the stack.
pub(super) struct Extras {
    pub(super) pool: Option<Arc<dyn PoolStatsSource>>,
    pub(super) max_decompressed_size: usize,
    #[cfg(feature = "websocket")]
    pub(super) websocket: super::settings::WebSockets,
    #[cfg(feature = "jwt")]
    pub(super) jwt: Option<crate::auth::jwt::JwtVerifier>,
}

/// The stack over `transport`, and what the extended operations need.
pub(super) fn assemble<T: HttpClient>(transport: T, settings: Settings) -> Result<(Arc<Stack<T>>, Extras)> {
    if let Some(mistake) = settings.mistake {
        return Err(mistake);
    }
    for (limit, field) in [
        (settings.timeout, "timeout"),
        (settings.attempt_timeout, "attempt_timeout"),
        (settings.total_timeout, "total_timeout"),
    ] {
        limit.map_or(Ok(()), |limit| validate::positive(limit, field))?;
    }
    settings.redirects.validate().in_field("redirects")?;
    let counters = Arc::new(HttpCounters::new());
    let clock = settings.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
    let limits = [settings.rate_limit, settings.rate_limit_per_host];
    let of_calls = limits.map(|limit| limit.filter(|limit| !limit.count_attempts));
    let of_attempts = limits.map(|limit| limit.filter(|limit| limit.count_attempts));

    let decoding = DecompressionClient::new(Terminal(transport), settings.decompression, settings.max_response_size);
    #[cfg(feature = "cookies")]
    let decoding = crate::layer::CookieClient::new(decoding, settings.cookies);
    let (per_hop, per_attempt) = match settings.credentials {
        Some(credentials) if credentials.depend_on_url() => (Some(credentials), None),
        credentials => (None, credentials),
    };
    let mut answering = AuthClient::with_clock(decoding, per_hop, Arc::clone(&clock));
    if let Some(base) = &settings.defaults.base_url {
        answering = answering.only_for(base.clone());
    }
    let redirecting = RedirectClient::new(answering, settings.redirects);
    let mut authenticated = AuthClient::with_clock(redirecting, per_attempt, Arc::clone(&clock));
    if let Some(base) = &settings.defaults.base_url {
        authenticated = authenticated.only_for(base.clone());
    }
    let intercepted = InterceptorClient::new(authenticated, settings.interceptors);
    let attempt = AttemptTimeoutClient::new(intercepted, settings.attempt_timeout)
        .with_body(settings.timeout)
        .with_fallback(settings.fallback_timeout);
    let traced = TraceClient::new(attempt, settings.traces);
    let guarded = CircuitBreakerClient::new(traced)
        .with_clock(Arc::clone(&clock))
        .with_counters(Arc::clone(&counters));
    if let Some((breaker, options)) = settings.breaker {
        guarded
            .configure_circuit_breaker(breaker, options)
            .in_field("circuit_breaker")?;
    }
    let in_turn = ConcurrencyClient::new(guarded, settings.concurrency_limit).in_field("concurrency_limit")?;
    let in_rate = rate_limited(in_turn, of_attempts, &clock, &counters)?;
    let hedging = HedgeClient::new(in_rate, settings.hedging)
        .in_field("hedging")?
        .with_counters(Arc::clone(&counters));
    let retrying = RetryClient::new(hedging, settings.retry)
        .in_field("retry")?
        .with_clock(Arc::clone(&clock))
        .with_counters(Arc::clone(&counters));
    let limited = rate_limited(retrying, of_calls, &clock, &counters)?;
    let timed = TotalTimeoutClient::new(limited, settings.total_timeout);
    #[cfg(feature = "cache")]
    let timed = crate::layer::CacheClient::new(timed, settings.cache).with_clock(Arc::clone(&clock));
    let counted = MetricsClient::with_counters(timed, counters);
    #[cfg(feature = "metrics")]
    let counted = if settings.recorded { counted.recorded() } else { counted };
    let stack = Arc::new(DefaultsClient::new(counted, settings.defaults)?.with_clock(Arc::clone(&clock)));

    let max_decompressed_size = usize::try_from(settings.max_response_size.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
    let extras = Extras {
        pool: settings.pool,
        max_decompressed_size,
        #[cfg(feature = "websocket")]
        websocket: settings.websocket,
        #[cfg(feature = "jwt")]
        jwt: match settings.jwt {
            Some((source, policy)) => Some(verifier(source, policy, Arc::clone(&stack) as _, clock)?),
            None => None,
        },
    };
    Ok((stack, extras))
}

/// Limits the rate of all requests to `inner`, and of those to each host.
fn rate_limited<C: HttpClient>(
    inner: C,
    [all, per_host]: [Option<RateLimit>; 2],
    clock: &Arc<dyn Clock>,
    counters: &Arc<HttpCounters>,
) -> Result<RateLimitClient<C>> {
    Ok(RateLimitClient::new(inner, all)
        .in_field("rate_limit")?
        .per_host(per_host)
        .in_field("rate_limit_per_host")?
        .with_clock(Arc::clone(clock))
        .with_counters(Arc::clone(counters)))
}

#[cfg(feature = "jwt")]
fn verifier(
    source: KeySource,
    policy: JwtPolicy,
    http: Arc<dyn HttpClient>,
    clock: Arc<dyn Clock>,
) -> Result<JwtVerifier> {
    let verifier = match source {
        KeySource::Static(keys) => JwtVerifier::with_keys(keys, policy),
        KeySource::Jwks(config) => JwksResolver::with_clock(http, config, Arc::clone(&clock))
            .and_then(|resolver| JwtVerifier::new(Arc::new(resolver), policy)),
        KeySource::Custom(resolver) => JwtVerifier::new(resolver, policy),
    };
    Ok(verifier.in_field("jwt")?.with_clock(clock))
}
