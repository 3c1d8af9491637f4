//! Composing the standard client.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::clock::Clock;
use networking_spi::http::{HttpCircuitOptions, HttpClient, Interceptor, ProxyConfig, RetryPolicy};
use networking_spi::validate::{self, Validate};
use networking_spi::{NetworkError, Result, redact};
use url::Url;

#[cfg(feature = "http-cache")]
use super::cache::HttpCache;
#[cfg(feature = "jwt")]
use super::jwt::{JwksResolver, JwtPolicy, JwtVerifier, KeySource};
use super::layer::{
    AttemptTimeoutLayer, AuthLayer, CircuitBreakerLayer, ClientDefaults, ConcurrencyLayer, ConcurrencyLimit,
    Credentials, DecompressionLayer, DefaultsLayer, Edge, HedgeLayer, HedgePolicy, HttpCounters, InterceptorLayer,
    MetricsLayer, RateLimit, RateLimitLayer, RedirectLayer, RedirectPolicy, RetryLayer, TotalTimeoutLayer,
    TraceContextSource, TraceLayer,
};
use super::standard::{Extras, StandardHttpClient};
#[cfg(feature = "websocket")]
use super::websocket::WebSocketConnector;
use super::{
    DnsResolver, HyperTransport, PoolStatsSource, ReqwestTransport, SsrfGuard, SystemResolver, TransportConfig,
};
use crate::clock::TokioClock;

/// The largest response body taken unless told otherwise.
const DEFAULT_MAX_RESPONSE_SIZE: u64 = 64 << 20;

/// The transport of clients that do not ask for a certain one.
pub type DefaultTransport = HyperTransport;

/// Composes the [standard stack](super::layer) over the [`DefaultTransport`] ([`new`](Self::new)), over a certain one
/// ([`hyper`](HttpClientBuilder::hyper), [`reqwest`](HttpClientBuilder::reqwest)), or over any other
/// ([`over`](HttpClientBuilder::over)).
///
/// Outermost first: defaults (base URL, headers, `raise_for_status`) - metrics and tracing - cache (feature
/// `http-cache`) - rate limit - total timeout - retry - hedging - limit of requests in flight per host - circuit breaker -
/// trace - attempt timeout - interceptors - auth - redirects - auth that depends on the URL - cookies (feature `cookies`) -
/// decompression and size limit - transport.
///
/// | setting | default |
/// |---|---|
/// | timeouts | none of a whole call or an attempt; the transport's own (10 s to connect, 60 s of silence) bound every wait |
/// | retries, circuit breaker, rate limits, limit of requests in flight, hedging | off; the first two can be configured later on the client |
/// | redirects | up to 10 |
/// | cookies | none kept |
/// | decompression | on |
/// | largest response body | 64 MiB; `stream_request` is not limited |
/// | error statuses | responses, not errors |
///
/// A mistake in any setting shows when the client is built.
///
/// ```
/// use std::time::Duration;
/// use networking_impls::http::HttpClientBuilder;
/// use networking_spi::http::RetryPolicy;
///
/// let http = HttpClientBuilder::new()
///     .base_url("https://api.example.com/v1")
///     .default_header("x-team", "payments")
///     .timeout(Duration::from_secs(30))
///     .attempt_timeout(Duration::from_secs(5))
///     .retry(RetryPolicy::new(4))
///     .build()?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct HttpClientBuilder<S = Configured<DefaultTransport>> {
    transport: S,
    pool: Option<Arc<dyn PoolStatsSource>>,
    defaults: ClientDefaults,
    timeout: Option<Duration>,
    attempt_timeout: Option<Duration>,
    retry: RetryPolicy,
    breaker: Option<(Arc<dyn CircuitBreaker>, HttpCircuitOptions)>,
    rate_limit: Option<RateLimit>,
    rate_limit_per_host: Option<RateLimit>,
    concurrency_limit: Option<ConcurrencyLimit>,
    hedging: Option<HedgePolicy>,
    traces: Option<Arc<dyn TraceContextSource>>,
    #[cfg(feature = "metrics")]
    recorded: bool,
    interceptors: Vec<Arc<dyn Interceptor>>,
    credentials: Option<Credentials>,
    redirects: RedirectPolicy,
    decompression: bool,
    max_response_size: Option<u64>,
    #[cfg(feature = "cookies")]
    cookies: Option<super::CookieJar>,
    clock: Option<Arc<dyn Clock>>,
    #[cfg(feature = "http-cache")]
    cache: Option<HttpCache>,
    #[cfg(feature = "websocket")]
    websocket: Option<WebSocketConnector>,
    #[cfg(feature = "jwt")]
    jwt: Option<(KeySource, JwtPolicy)>,
    /// The first mistake.
    mistake: Option<NetworkError>,
}

/// A transport that the builder makes.
pub struct Configured<T> {
    config: TransportConfig,
    resolver: Arc<dyn DnsResolver>,
    transport: PhantomData<fn() -> T>,
}

/// A transport that a builder can make from its configuration: [`HyperTransport`] and [`ReqwestTransport`].
pub trait ConfiguredTransport: HttpClient + PoolStatsSource + Clone + sealed::Sealed {
    /// The transport.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field.
    fn from_config(config: TransportConfig, resolver: Arc<dyn DnsResolver>) -> Result<Self>
    where
        Self: Sized;
}

impl ConfiguredTransport for HyperTransport {
    fn from_config(config: TransportConfig, resolver: Arc<dyn DnsResolver>) -> Result<Self> {
        Self::with_resolver(config, resolver)
    }
}

impl ConfiguredTransport for ReqwestTransport {
    fn from_config(config: TransportConfig, resolver: Arc<dyn DnsResolver>) -> Result<Self> {
        Self::with_resolver(config, resolver)
    }
}

mod sealed {
    pub trait Sealed {}
    impl Sealed for super::HyperTransport {}
    impl Sealed for super::ReqwestTransport {}
}

impl HttpClientBuilder {
    /// A client over the [`DefaultTransport`].
    pub fn new() -> Self {
        Self::configured()
    }
}

impl HttpClientBuilder<Configured<HyperTransport>> {
    /// A client directly over hyper.
    pub fn hyper() -> Self {
        Self::configured()
    }
}

impl HttpClientBuilder<Configured<ReqwestTransport>> {
    /// A client over reqwest.
    pub fn reqwest() -> Self {
        Self::configured()
    }
}

impl<T: ConfiguredTransport> HttpClientBuilder<Configured<T>> {
    pub(super) fn configured() -> Self {
        Self::from_source(Configured {
            config: TransportConfig::default(),
            resolver: Arc::new(SystemResolver),
            transport: PhantomData,
        })
    }

    /// Sets how connections are made, in place of what [`ssrf_guard`](Self::ssrf_guard), [`proxy`](Self::proxy),
    /// [`user_agent`](Self::user_agent) and [`connect_timeout`](Self::connect_timeout) set before.
    pub fn transport(mut self, config: TransportConfig) -> Self {
        self.transport.config = config;
        self
    }

    /// Sets how names are resolved.
    pub fn resolver(mut self, resolver: Arc<dyn DnsResolver>) -> Self {
        self.transport.resolver = resolver;
        self
    }

    /// Sets where requests may go.
    pub fn ssrf_guard(mut self, guard: SsrfGuard) -> Self {
        self.transport.config.ssrf_guard = Some(guard);
        self
    }

    /// Sends every request through this proxy.
    pub fn proxy(mut self, proxy: ProxyConfig) -> Self {
        self.transport.config.proxy = Some(proxy);
        self
    }

    /// Sets the `User-Agent`.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.transport.config.user_agent = Some(user_agent.into());
        self
    }

    /// Sets the time limit of opening a connection.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.transport.config.connect_timeout = timeout;
        self
    }

    /// The client.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the first setting that is wrong.
    pub fn build(self) -> Result<StandardHttpClient<T>> {
        let Configured { config, resolver, .. } = &self.transport;
        #[cfg(feature = "websocket")]
        let connector = WebSocketConnector::with_resolver(config.clone(), Arc::clone(resolver))
            .map_err(|error| error.in_field("transport"))?;
        let transport =
            T::from_config(config.clone(), Arc::clone(resolver)).map_err(|error| error.in_field("transport"))?;
        let pool: Arc<dyn PoolStatsSource> = Arc::new(transport.clone());
        let over = self.replace(Transport(transport)).pool_stats(pool);
        #[cfg(feature = "websocket")]
        let over = HttpClientBuilder {
            websocket: over.websocket.or(Some(connector)),
            ..over
        };
        over.build()
    }
}

impl Default for HttpClientBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> fmt::Debug for Configured<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Configured")
            .field("config", &self.config)
            .field("resolver", &self.resolver)
            .finish_non_exhaustive()
    }
}

/// A transport that is there already, as opposed to one that the builder makes.
#[derive(Debug)]
pub struct Transport<T>(T);

impl<T: HttpClient> HttpClientBuilder<Transport<T>> {
    /// A client over `transport`, which only has to send requests: the layers do everything else.
    ///
    /// ```
    /// use networking_impls::http::{HttpClientBuilder, MemoryHttpClient};
    /// use networking_spi::http::RetryPolicy;
    ///
    /// let http = HttpClientBuilder::over(MemoryHttpClient::new()).retry(RetryPolicy::default()).build()?;
    /// # Ok::<(), networking_spi::NetworkError>(())
    /// ```
    pub fn over(transport: T) -> Self {
        Self::from_source(Transport(transport))
    }

    /// Says who knows about the transport's connections.
    pub fn pool_stats(mut self, source: Arc<dyn PoolStatsSource>) -> Self {
        self.pool = Some(source);
        self
    }

    /// The client.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the first setting that is wrong.
    pub fn build(self) -> Result<StandardHttpClient<T>> {
        if let Some(mistake) = self.mistake {
            return Err(mistake);
        }
        for (limit, field) in [(self.timeout, "timeout"), (self.attempt_timeout, "attempt_timeout")] {
            limit.map_or(Ok(()), |limit| validate::positive(limit, field))?;
        }
        self.redirects.validate().map_err(|error| error.in_field("redirects"))?;
        let counters = Arc::new(HttpCounters::new());
        let clock = self.clock.unwrap_or_else(|| Arc::new(TokioClock::new()));
        // Waiting for a turn beyond the time limit of the call would be for nothing.
        let in_time = |limit: RateLimit| {
            let max_wait = self
                .timeout
                .map_or(limit.max_wait, |timeout| timeout.min(limit.max_wait));
            limit.with_max_wait(max_wait)
        };
        let (rate_limit, rate_limit_per_host) = (self.rate_limit.map(in_time), self.rate_limit_per_host.map(in_time));

        let decoding = DecompressionLayer::new(Edge(self.transport.0), self.decompression, self.max_response_size);
        #[cfg(feature = "cookies")]
        let decoding = super::layer::CookieLayer::new(decoding, self.cookies);
        let (per_hop, per_attempt) = match self.credentials {
            Some(credentials) if credentials.depend_on_url() => (Some(credentials), None),
            credentials => (None, credentials),
        };
        let mut answering = AuthLayer::with_clock(decoding, per_hop, Arc::clone(&clock));
        if let Some(base) = &self.defaults.base_url {
            answering = answering.only_for(base.clone());
        }
        let redirecting = RedirectLayer::new(answering, self.redirects);
        let mut authenticated = AuthLayer::with_clock(redirecting, per_attempt, Arc::clone(&clock));
        if let Some(base) = &self.defaults.base_url {
            authenticated = authenticated.only_for(base.clone());
        }
        let intercepted = InterceptorLayer::new(authenticated, self.interceptors);
        let attempt = AttemptTimeoutLayer::new(intercepted, self.attempt_timeout);
        let traced = TraceLayer::new(attempt, self.traces);
        let guarded = CircuitBreakerLayer::new(traced)
            .with_clock(Arc::clone(&clock))
            .with_counters(Arc::clone(&counters));
        if let Some((breaker, options)) = self.breaker {
            guarded
                .configure_circuit_breaker(breaker, options)
                .map_err(|error| error.in_field("circuit_breaker"))?;
        }
        let in_turn = ConcurrencyLayer::new(guarded, self.concurrency_limit)
            .map_err(|error| error.in_field("concurrency_limit"))?;
        let hedging = HedgeLayer::new(in_turn, self.hedging)
            .map_err(|error| error.in_field("hedging"))?
            .with_counters(Arc::clone(&counters));
        let retrying = RetryLayer::new(hedging, self.retry)
            .map_err(|error| error.in_field("retry"))?
            .with_clock(Arc::clone(&clock))
            .with_counters(Arc::clone(&counters));
        let timed = TotalTimeoutLayer::new(retrying, self.timeout);
        let limited = RateLimitLayer::new(timed, rate_limit)
            .map_err(|error| error.in_field("rate_limit"))?
            .per_host(rate_limit_per_host)
            .map_err(|error| error.in_field("rate_limit_per_host"))?
            .with_clock(Arc::clone(&clock))
            .with_counters(Arc::clone(&counters));
        #[cfg(feature = "http-cache")]
        let limited = super::layer::CacheLayer::new(limited, self.cache).with_clock(Arc::clone(&clock));
        let counted = MetricsLayer::with_counters(limited, counters);
        #[cfg(feature = "metrics")]
        let counted = if self.recorded { counted.recorded() } else { counted };
        let stack = Arc::new(DefaultsLayer::new(counted, self.defaults)?.with_clock(Arc::clone(&clock)));

        let max_decompressed_size = usize::try_from(self.max_response_size.unwrap_or(u64::MAX)).unwrap_or(usize::MAX);
        let extras = Extras {
            pool: self.pool,
            max_decompressed_size,
            #[cfg(feature = "websocket")]
            websocket: self.websocket,
            #[cfg(feature = "jwt")]
            jwt: match self.jwt {
                Some((source, policy)) => Some(verifier(source, policy, Arc::clone(&stack) as _, clock)?),
                None => None,
            },
        };
        Ok(StandardHttpClient::new(stack, extras))
    }
}

impl<S> HttpClientBuilder<S> {
    fn from_source(transport: S) -> Self {
        Self {
            transport,
            pool: None,
            defaults: ClientDefaults::default(),
            timeout: None,
            attempt_timeout: None,
            retry: RetryPolicy::disabled(),
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
            max_response_size: Some(DEFAULT_MAX_RESPONSE_SIZE),
            #[cfg(feature = "cookies")]
            cookies: None,
            clock: None,
            #[cfg(feature = "http-cache")]
            cache: None,
            #[cfg(feature = "websocket")]
            websocket: None,
            #[cfg(feature = "jwt")]
            jwt: None,
            mistake: None,
        }
    }

    fn replace<O>(self, transport: O) -> HttpClientBuilder<O> {
        HttpClientBuilder {
            transport,
            pool: self.pool,
            defaults: self.defaults,
            timeout: self.timeout,
            attempt_timeout: self.attempt_timeout,
            retry: self.retry,
            breaker: self.breaker,
            rate_limit: self.rate_limit,
            rate_limit_per_host: self.rate_limit_per_host,
            concurrency_limit: self.concurrency_limit,
            hedging: self.hedging,
            traces: self.traces,
            #[cfg(feature = "metrics")]
            recorded: self.recorded,
            interceptors: self.interceptors,
            credentials: self.credentials,
            redirects: self.redirects,
            decompression: self.decompression,
            max_response_size: self.max_response_size,
            #[cfg(feature = "cookies")]
            cookies: self.cookies,
            clock: self.clock,
            #[cfg(feature = "http-cache")]
            cache: self.cache,
            #[cfg(feature = "websocket")]
            websocket: self.websocket,
            #[cfg(feature = "jwt")]
            jwt: self.jwt,
            mistake: self.mistake,
        }
    }

    fn note<V>(&mut self, result: Result<V>) -> Option<V> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.mistake.get_or_insert(error);
                None
            }
        }
    }

    /// Resolves relative targets against this URL; a path without a slash at its end gets one. Credentials and secret
    /// default headers are then sent to its origin only.
    pub fn base_url(mut self, url: impl AsRef<str>) -> Self {
        let parsed = Url::parse(url.as_ref())
            .map_err(|error| NetworkError::invalid_input("base_url", "is not a URL").with_source(error));
        self.defaults.base_url = self.note(parsed);
        self
    }

    /// Adds a header to requests that do not have it. Called again with the same name, it replaces the value.
    pub fn default_header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let header = name
            .try_into()
            .map_err(|_| NetworkError::invalid_input("default_header", "is not a header name"))
            .and_then(|name| match value.try_into() {
                Ok(value) => Ok((name, value)),
                Err(_) => Err(NetworkError::invalid_input(
                    format!("default_header.{name}"),
                    "has characters that a header value cannot have",
                )),
            });
        if let Some((name, value)) = self.note(header) {
            self.defaults.headers.insert(name, value);
        }
        self
    }

    /// Sets whether 4xx and 5xx statuses are errors. Requests can say otherwise.
    pub fn raise_for_status(mut self, raise: bool) -> Self {
        self.defaults.raise_for_status = raise;
        self
    }

    /// Sets the time limit of a whole call: waits, all attempts, and reading the body.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Sets the time limit of one attempt, up to the response head.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.attempt_timeout = Some(timeout);
        self
    }

    /// Sets when and how requests are sent again.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.retry = policy;
        self
    }

    /// Asks a circuit of `breaker` before every attempt.
    pub fn circuit_breaker(mut self, breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Self {
        self.breaker = Some((breaker, options));
        self
    }

    /// Spaces calls out.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.rate_limit = Some(limit);
        self
    }

    /// Spaces calls to each host (scheme, host and port) out, besides [`rate_limit`](Self::rate_limit).
    pub fn rate_limit_per_host(mut self, limit: RateLimit) -> Self {
        self.rate_limit_per_host = Some(limit);
        self
    }

    /// Sends the traces of this source along (`traceparent`) with requests that have no
    /// [`TraceContext`](super::layer::TraceContext) of their own.
    pub fn trace_contexts(mut self, source: Arc<dyn TraceContextSource>) -> Self {
        self.traces = Some(source);
        self
    }

    /// Writes what calls take to the recorder that is installed with the crate `metrics`
    /// ([names](MetricsLayer::recorded)).
    #[cfg(feature = "metrics")]
    pub fn recorded(mut self) -> Self {
        self.recorded = true;
        self
    }

    /// Makes a second attempt beside a slow one.
    pub fn hedging(mut self, policy: HedgePolicy) -> Self {
        self.hedging = Some(policy);
        self
    }

    /// Limits the requests in flight to each host.
    pub fn concurrency_limit(mut self, limit: ConcurrencyLimit) -> Self {
        self.concurrency_limit = Some(limit);
        self
    }

    /// Adds an interceptor inside those added before.
    pub fn interceptor(mut self, interceptor: Arc<dyn Interceptor>) -> Self {
        self.interceptors.push(interceptor);
        self
    }

    /// Adds credentials to requests that have none; with a base URL, to those to its origin.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.credentials = Some(credentials);
        self
    }

    /// Keeps cookies in this jar, and sends them. Without a jar, none are kept.
    #[cfg(feature = "cookies")]
    pub fn cookies(mut self, jar: super::CookieJar) -> Self {
        self.cookies = Some(jar);
        self
    }

    /// Sets whether and how far redirects are followed.
    pub fn redirects(mut self, policy: RedirectPolicy) -> Self {
        self.redirects = policy;
        self
    }

    /// Sets whether compressed responses are asked for and decoded.
    pub fn decompression(mut self, decode: bool) -> Self {
        self.decompression = decode;
        self
    }

    /// Sets the largest response body in bytes, after decoding; also of `decompress_response`. `None`: no limit.
    pub fn max_response_size(mut self, bytes: Option<u64>) -> Self {
        self.max_response_size = bytes;
        self
    }

    /// Answers requests from this cache where that is allowed, and stores responses there: see
    /// [`CacheLayer`](super::layer::CacheLayer).
    #[cfg(feature = "http-cache")]
    pub fn cache(mut self, cache: HttpCache) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Sets how [`websocket_connect`](networking_spi::http::HttpExtended::websocket_connect) connects. Over the
    /// transports that the builder makes that is their configuration; over other transports there are no such connections without this.
    #[cfg(feature = "websocket")]
    pub fn websocket(mut self, connector: WebSocketConnector) -> Self {
        self.websocket = Some(connector);
        self
    }

    /// Sets the keys and the policy of [`authenticate_jwt`](networking_spi::http::HttpExtended::authenticate_jwt).
    #[cfg(feature = "jwt")]
    pub fn jwt(mut self, keys: KeySource, policy: JwtPolicy) -> Self {
        self.jwt = Some((keys, policy));
        self
    }

    /// Sets the clock that dates in `Retry-After`, times in tokens and their ages are read against.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }
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
    Ok(verifier.map_err(|error| error.in_field("jwt"))?.with_clock(clock))
}

impl<S: fmt::Debug> fmt::Debug for HttpClientBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClientBuilder")
            .field("transport", &self.transport)
            .field("base_url", &self.defaults.base_url.as_ref().map(redact::url))
            .field("default_headers", &redact::Headers(&self.defaults.headers))
            .field("timeout", &self.timeout)
            .field("attempt_timeout", &self.attempt_timeout)
            .field("retry", &self.retry)
            .field("rate_limit", &self.rate_limit)
            .field("rate_limit_per_host", &self.rate_limit_per_host)
            .field("concurrency_limit", &self.concurrency_limit)
            .field("hedging", &self.hedging)
            .field("credentials", &self.credentials)
            .field("redirects", &self.redirects)
            .finish_non_exhaustive()
    }
}
