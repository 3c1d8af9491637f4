//! The builder of the standard client.

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue};
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::clock::Clock;
use networking_spi::error::ResultExt;
use networking_spi::http::{HttpCircuitOptions, HttpClient, Interceptor, IntoHeaders, ProxyConfig, RetryPolicy};
#[cfg(feature = "websocket")]
use networking_spi::websocket::WebSocketClient;
use networking_spi::{NetworkError, Result, redact};
use url::Url;

use super::settings::Settings;
#[cfg(feature = "websocket")]
use super::settings::WebSockets;
use super::stack;
use super::standard::StandardHttpClient;
#[cfg(feature = "jwt")]
use crate::auth::jwt::{JwtPolicy, KeySource};
#[cfg(feature = "cache")]
use crate::cache::HttpCache;
use crate::connect::{DnsResolver, SsrfGuard, SystemResolver, TransportConfig};
use crate::layer::{ConcurrencyLimit, Credentials, HedgePolicy, RateLimit, RedirectPolicy, TraceContextSource};
#[cfg(feature = "reqwest")]
use crate::transport::ReqwestTransport;
use crate::transport::{HyperTransport, PoolStatsSource};

/// The default transport.
pub type DefaultTransport = HyperTransport;

/// Composes the [standard stack](crate::layer) over the [`DefaultTransport`] ([`new`](Self::new)), over a named one
/// ([`hyper`](HttpClientBuilder::hyper), [`reqwest`](HttpClientBuilder::reqwest)), or over any transport
/// ([`over`](HttpClientBuilder::over)).
///
/// Outermost first: defaults (base URL, headers, `raise_for_status`) - metrics and tracing - cache (feature `cache`) -
/// total timeout - rate limit of calls - retry - hedging - rate limit of attempts - limit of requests in flight per host -
/// circuit breaker - trace -
/// attempt timeout - interceptors - auth - redirects - auth that depends on the URL - cookies (feature `cookies`) -
/// decompression and size limit - transport.
///
/// | setting | default | to change it | to switch it off |
/// |---|---|---|---|
/// | time limit of each attempt, until the response head | 30s | `attempt_timeout(d)`, or `timeout(d)`, which includes the body | `no_timeout()` |
/// | time limit of the whole call | off | `total_timeout(d)` | `no_timeout()` |
/// | time limit to connect | 10s | `connect_timeout(d)` | |
/// | longest silence of the peer | 60s | `transport(config)` | |
/// | retries of idempotent requests | 3 | `retries(n)`, `retry(policy)` | `retries(0)` |
/// | delay before a retry | 1s, doubling up to 30s, full jitter | `retry(policy)` | |
/// | statuses that are retried | 408, 425, 429, 500, 502, 503, 504 | `retry(policy)` | |
/// | longest `Retry-After` that is waited for | 60s | `retry(policy)` | |
/// | retry budget of each host | 100, and 0.2 per success | `retry(policy)` | `retry(policy)` |
/// | circuit breaker | off | `circuit_breaker(breaker, options)` | |
/// | rate limits | off | `rate_limit(limit)`, `rate_limit_per_host(limit)` | |
/// | limit of requests in flight per host | off | `concurrency_limit(limit)` | |
/// | hedging | off | `hedging(policy)` | |
/// | redirects that are followed | 10 | `redirects(policy)` | `redirects(RedirectPolicy::none())` |
/// | cookies | off | `cookies(jar)` | |
/// | decoding of compressed responses | on | `decompression(on)` | `decompression(false)` |
/// | largest response body; `stream_request` is not limited | 64 MiB | `max_response_size(Some(bytes))` | `max_response_size(None)` |
/// | errors for statuses 4xx and 5xx | off | `raise_for_status(true)` | `raise_for_status(false)` |
///
/// Time limits, retries, redirects, sizes and errors for statuses can be set for one request, too: see
/// [`RequestOptions`](networking_spi::http::RequestOptions). A response body may take longer than the default limit of an attempt, as long as the peer is not silent for longer than the transport's read timeout.
///
/// `build` fails with the first invalid setting.
///
/// ```
/// use std::time::Duration;
/// use networking_http::HttpClientBuilder;
/// use networking_spi::http::RetryPolicy;
///
/// let http = HttpClientBuilder::new()
///     .base_url("https://api.example.com/v1")
///     .default_header("x-team", "payments")
///     .timeout(Duration::from_secs(5))
///     .total_timeout(Duration::from_secs(30))
///     .retry(RetryPolicy::fixed(5, Duration::from_millis(500)))
///     .build()?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[must_use = "a builder does nothing until it is built"]
pub struct HttpClientBuilder<S = Configured<DefaultTransport>> {
    pub(super) transport: S,
    pub(super) settings: Settings,
}

/// A builder that creates its transport from a [`TransportConfig`].
pub struct Configured<T> {
    config: TransportConfig,
    /// Single fields, which are set in the configuration when the transport is created.
    changes: Vec<Change>,
    resolver: Arc<dyn DnsResolver>,
    transport: PhantomData<fn() -> T>,
}

type Change = Box<dyn Fn(&mut TransportConfig) + Send + Sync>;

impl<T> Configured<T> {
    fn config(&self) -> TransportConfig {
        let mut config = self.config.clone();
        self.changes.iter().for_each(|change| change(&mut config));
        config
    }
}

/// A transport that a builder can create from its configuration: [`HyperTransport`] and `ReqwestTransport` (feature `reqwest`).
/// Sealed.
pub trait ConfiguredTransport: HttpClient + PoolStatsSource + Clone + sealed::Sealed {
    /// Creates the transport.
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

#[cfg(feature = "reqwest")]
impl ConfiguredTransport for ReqwestTransport {
    fn from_config(config: TransportConfig, resolver: Arc<dyn DnsResolver>) -> Result<Self> {
        Self::with_resolver(config, resolver)
    }
}

mod sealed {
    pub trait Sealed {}

    impl Sealed for crate::transport::HyperTransport {}
    #[cfg(feature = "reqwest")]
    impl Sealed for crate::transport::ReqwestTransport {}
}

impl HttpClientBuilder {
    /// A client over the [`DefaultTransport`].
    pub fn new() -> Self {
        Self::configured()
    }
}

impl HttpClientBuilder<Configured<HyperTransport>> {
    /// A client over hyper.
    pub fn hyper() -> Self {
        Self::configured()
    }
}

#[cfg(feature = "reqwest")]
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
            changes: Vec::new(),
            resolver: Arc::new(SystemResolver),
            transport: PhantomData,
        })
    }

    /// Sets the configuration of the transport. What the setters of single fields have set ([`ssrf_guard`](Self::ssrf_guard),
    /// [`proxy`](Self::proxy), [`no_proxy`](Self::no_proxy), [`proxy_from_env`](Self::proxy_from_env),
    /// [`user_agent`](Self::user_agent), [`connect_timeout`](Self::connect_timeout), [`verify_tls`](Self::verify_tls),
    /// [`root_certificate`](Self::root_certificate)) applies on top of it, whichever is called first.
    pub fn transport(mut self, config: TransportConfig) -> Self {
        self.transport.config = config;
        self
    }

    /// Sets a field of the configuration of the transport.
    pub(super) fn change(mut self, change: impl Fn(&mut TransportConfig) + Send + Sync + 'static) -> Self {
        self.transport.changes.push(Box::new(change));
        self
    }

    /// Sets the resolver of host names.
    pub fn resolver(mut self, resolver: Arc<dyn DnsResolver>) -> Self {
        self.transport.resolver = resolver;
        self
    }

    /// Limits the destinations of requests.
    pub fn ssrf_guard(self, guard: SsrfGuard) -> Self {
        self.change(move |config| config.ssrf_guard = Some(guard.clone()))
    }

    /// Sends every request through this proxy, except those to hosts of [`no_proxy`](Self::no_proxy).
    pub fn proxy(self, proxy: ProxyConfig) -> Self {
        self.change(move |config| config.proxy = Some(proxy.clone()))
    }

    /// Sets the `User-Agent`.
    pub fn user_agent(self, user_agent: impl Into<String>) -> Self {
        let user_agent = user_agent.into();
        self.change(move |config| config.user_agent = Some(user_agent.clone()))
    }

    /// Sets the time limit for opening a connection: name resolution, TCP and TLS.
    pub fn connect_timeout(self, timeout: Duration) -> Self {
        self.change(move |config| config.connect_timeout = timeout)
    }

    /// Builds the client.
    ///
    /// # Errors
    /// * [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the first invalid setting.
    /// * [`Unsupported`](networking_spi::ErrorKind::Unsupported) naming the cargo feature that a setting needs: `socks` for a SOCKS
    ///   proxy.
    pub fn build(self) -> Result<StandardHttpClient<T>> {
        // The errors name variables, which are not fields of the configuration.
        let config = self.transport.config().in_environment()?;
        let transport = T::from_config(config, self.transport.resolver).in_field("transport")?;
        let pool: Arc<dyn PoolStatsSource> = Arc::new(transport.clone());
        let mut settings = self.settings;
        settings.pool = Some(pool);
        #[cfg(feature = "websocket")]
        if matches!(settings.websocket, WebSockets::Unsupported) {
            settings.websocket = WebSockets::Own;
        }
        let (stack, extras) = stack::assemble(transport, settings)?;
        Ok(StandardHttpClient::new(stack, extras))
    }
}

impl<T: ConfiguredTransport> StandardHttpClient<T> {
    /// A client with the defaults of [`HttpClientBuilder`].
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) if the transport cannot be set up on this machine.
    pub fn with_defaults() -> Result<Self> {
        HttpClientBuilder::<Configured<T>>::configured().build()
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
            .field("config", &self.config())
            .field("resolver", &self.resolver)
            .finish_non_exhaustive()
    }
}

/// A builder over an existing transport.
#[derive(Debug)]
pub struct Transport<T>(T);

impl<T: HttpClient> HttpClientBuilder<Transport<T>> {
    /// A client over `transport`. The transport only has to send requests: the wrappers implement the other features.
    ///
    /// ```
    /// use networking_http::{HttpClientBuilder, MemoryHttpClient};
    /// use networking_spi::http::RetryPolicy;
    ///
    /// let http = HttpClientBuilder::over(MemoryHttpClient::new()).retry(RetryPolicy::default()).build()?;
    /// # Ok::<(), networking_spi::NetworkError>(())
    /// ```
    pub fn over(transport: T) -> Self {
        Self::from_source(Transport(transport))
    }

    /// Sets the source of
    /// [`connection_pool_stats`](networking_spi::http::HttpExtended::connection_pool_stats).
    pub fn pool_stats(mut self, source: Arc<dyn PoolStatsSource>) -> Self {
        self.settings.pool = Some(source);
        self
    }

    /// Builds the client.
    ///
    /// # Errors
    /// * [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the first invalid setting.
    /// * [`Unsupported`](networking_spi::ErrorKind::Unsupported) naming the cargo feature that a setting needs: `socks` for a SOCKS
    ///   proxy.
    pub fn build(self) -> Result<StandardHttpClient<T>> {
        let (stack, extras) = stack::assemble(self.transport.0, self.settings)?;
        Ok(StandardHttpClient::new(stack, extras))
    }
}

impl<S> HttpClientBuilder<S> {
    fn from_source(transport: S) -> Self {
        Self {
            transport,
            settings: Settings::default(),
        }
    }

    pub(super) fn note<V>(&mut self, result: Result<V>) -> Option<V> {
        match result {
            Ok(value) => Some(value),
            Err(error) => {
                self.settings.mistake.get_or_insert(error);
                None
            }
        }
    }

    /// Resolves relative targets against this URL. A slash is appended to a path that does not end in one. Credentials and secret
    /// default headers are then sent only to the origin of this URL.
    pub fn base_url(mut self, url: impl AsRef<str>) -> Self {
        let parsed = Url::parse(url.as_ref()).map_err(|error| {
            let problem = NetworkError::from(error).message().to_owned();
            NetworkError::invalid_input("base_url", problem).with_source(error)
        });
        self.settings.defaults.base_url = self.note(parsed);
        self
    }

    /// Adds a header to requests that do not have it. A second call with the same name replaces the value.
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
            self.settings.defaults.headers.insert(name, value);
        }
        self
    }

    /// Adds several headers, like [`default_header`](Self::default_header): a [`HeaderMap`](http::HeaderMap), a list of pairs, or
    /// a map.
    pub fn default_headers(mut self, headers: impl IntoHeaders) -> Self {
        if let Some(headers) = self.note(headers.into_headers().in_field("default_headers")) {
            self.settings.defaults.headers.extend(headers);
        }
        self
    }

    /// Sets whether 4xx and 5xx statuses are errors. A request can override this.
    pub fn raise_for_status(mut self, raise: bool) -> Self {
        self.settings.defaults.raise_for_status = raise;
        self
    }

    /// Sets the time limit of each attempt, from its start until its body has been read. An attempt that has no response head by
    /// then is retried. Waits between attempts and for a rate limit do not count. It also replaces the default of
    /// [`attempt_timeout`](Self::attempt_timeout).
    ///
    /// Event streams of [`EventSource`](crate::EventSource) and downloads of [`Download`](crate::Download) are limited until the
    /// response head.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.settings.timeout = Some(timeout);
        self
    }

    /// Sets the time limit of a whole call: the wait for a rate limit, all attempts, the waits between them, and reading the
    /// body, except that of an [`EventSource`](crate::EventSource) or [`Download`](crate::Download).
    pub fn total_timeout(mut self, timeout: Duration) -> Self {
        self.settings.total_timeout = Some(timeout);
        self
    }

    /// Removes all time limits of calls and attempts, including the default one. Those of the transport still apply: see
    /// [`TransportConfig`].
    pub fn no_timeout(mut self) -> Self {
        self.settings.timeout = None;
        self.settings.attempt_timeout = None;
        self.settings.total_timeout = None;
        self.settings.fallback_timeout = None;
        self
    }

    /// Sets the time limit of each attempt, up to the response head. A body may take longer, as long as data arrives within the
    /// transport's read timeout.
    pub fn attempt_timeout(mut self, timeout: Duration) -> Self {
        self.settings.attempt_timeout = Some(timeout);
        self
    }

    /// Sets the retry policy.
    pub fn retry(mut self, policy: RetryPolicy) -> Self {
        self.settings.retry = policy;
        self
    }

    /// Sets the number of retries, at most 99, and keeps the rest of the policy. 0 switches retries off.
    pub fn retries(mut self, retries: u32) -> Self {
        self.settings.retry = self.settings.retry.with_retries(retries);
        self
    }

    /// Guards every attempt with a circuit of `breaker`.
    pub fn circuit_breaker(mut self, breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Self {
        self.settings.breaker = Some((breaker, options));
        self
    }

    /// Limits the rate of calls.
    pub fn rate_limit(mut self, limit: RateLimit) -> Self {
        self.settings.rate_limit = Some(limit);
        self
    }

    /// Limits the rate of calls to each host (scheme, host and port), in addition to [`rate_limit`](Self::rate_limit).
    pub fn rate_limit_per_host(mut self, limit: RateLimit) -> Self {
        self.settings.rate_limit_per_host = Some(limit);
        self
    }

    /// Sends the trace context of this source (`traceparent`) with requests that have no
    /// [`TraceContext`](crate::layer::TraceContext) in their extensions.
    pub fn trace_contexts(mut self, source: Arc<dyn TraceContextSource>) -> Self {
        self.settings.traces = Some(source);
        self
    }

    /// Writes measurements of calls to the recorder of the crate `metrics`
    /// ([names](crate::layer::MetricsClient::recorded)).
    #[cfg(feature = "metrics")]
    pub fn recorded(mut self) -> Self {
        self.settings.recorded = true;
        self
    }

    /// Starts a second attempt while a slow one is in flight.
    pub fn hedging(mut self, policy: HedgePolicy) -> Self {
        self.settings.hedging = Some(policy);
        self
    }

    /// Limits the requests in flight to each host.
    pub fn concurrency_limit(mut self, limit: ConcurrencyLimit) -> Self {
        self.settings.concurrency_limit = Some(limit);
        self
    }

    /// Adds an interceptor, inside those that were added earlier. For closures, use
    /// [`InterceptorFn`](networking_spi::http::InterceptorFn).
    pub fn interceptor(mut self, interceptor: impl Interceptor) -> Self {
        self.settings.interceptors.push(Arc::new(interceptor));
        self
    }

    /// Adds credentials to requests that have none; with a base URL, only to requests to its origin.
    pub fn credentials(mut self, credentials: Credentials) -> Self {
        self.settings.credentials = Some(credentials);
        self
    }

    /// Stores the cookies of responses in this jar, and sends its cookies with requests. Without a jar, cookies are ignored.
    #[cfg(feature = "cookies")]
    pub fn cookies(mut self, jar: crate::cookies::CookieJar) -> Self {
        self.settings.cookies = Some(jar);
        self
    }

    /// Sets the redirect policy.
    pub fn redirects(mut self, policy: RedirectPolicy) -> Self {
        self.settings.redirects = policy;
        self
    }

    /// Sets whether compressed responses are requested and decoded.
    pub fn decompression(mut self, decode: bool) -> Self {
        self.settings.decompression = decode;
        self
    }

    /// Sets the largest size of a decoded response body, in bytes. It also limits `decompress_response`. `None`: no limit.
    pub fn max_response_size(mut self, bytes: Option<u64>) -> Self {
        self.settings.max_response_size = bytes;
        self
    }

    /// Answers requests from this cache where RFC 9111 allows it, and stores responses in it: see
    /// [`CacheClient`](crate::layer::CacheClient).
    #[cfg(feature = "cache")]
    pub fn cache(mut self, cache: HttpCache) -> Self {
        self.settings.cache = Some(cache);
        self
    }

    /// Sets the client that [`websocket_connect`](networking_spi::http::HttpExtended::websocket_connect) uses. By default, the built
    /// client [opens connections itself](crate::websocket::WebSocketConnector). [Over](HttpClientBuilder::over) an existing
    /// transport there is no default: `websocket_connect` is `Unsupported` without this call.
    #[cfg(feature = "websocket")]
    pub fn websocket(mut self, client: Arc<dyn WebSocketClient>) -> Self {
        self.settings.websocket = WebSockets::Other(client);
        self
    }

    /// Sets the keys and the policy of [`authenticate_jwt`](networking_spi::http::HttpExtended::authenticate_jwt).
    #[cfg(feature = "jwt")]
    pub fn jwt(mut self, keys: KeySource, policy: JwtPolicy) -> Self {
        self.settings.jwt = Some((keys, policy));
        self
    }

    /// Sets the clock for dates in `Retry-After`, the validity of tokens, and the age of cached responses.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.settings.clock = Some(clock);
        self
    }
}

impl<S: fmt::Debug> fmt::Debug for HttpClientBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClientBuilder")
            .field("transport", &self.transport)
            .field("base_url", &self.settings.defaults.base_url.as_ref().map(redact::url))
            .field("default_headers", &redact::Headers(&self.settings.defaults.headers))
            .field("timeout", &self.settings.timeout)
            .field("attempt_timeout", &self.settings.attempt_timeout)
            .field("total_timeout", &self.settings.total_timeout)
            .field("retry", &self.settings.retry)
            .field("rate_limit", &self.settings.rate_limit)
            .field("rate_limit_per_host", &self.settings.rate_limit_per_host)
            .field("concurrency_limit", &self.settings.concurrency_limit)
            .field("hedging", &self.settings.hedging)
            .field("credentials", &self.settings.credentials)
            .field("redirects", &self.settings.redirects)
            .finish_non_exhaustive()
    }
}
