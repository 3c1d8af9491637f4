//! The configuration of transports.

use std::ffi::OsStr;
use std::time::Duration;

use networking_spi::Result;
use networking_spi::error::ResultExt;
use networking_spi::http::ProxyConfig;
use networking_spi::validate::{self, Validate};
use serde::{Deserialize, Serialize};

use super::environment::Environment;
use super::guard::SsrfGuard;
use super::identity::ClientIdentity;
use super::no_proxy::NoProxy;
use super::socks::check_available;

/// The configuration of a transport: [`HyperTransport`](crate::transport::HyperTransport) or `ReqwestTransport`. Every wait has a
/// limit.
///
/// Proxies from the environment (`HTTP_PROXY`, ...) are used only with [`proxy_from_env`](Self::proxy_from_env).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct TransportConfig {
    /// The time limit for opening a connection: name resolution, TCP and TLS.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// The maximum time in which nothing moves while the transport waits for a response, or for a part of its body.
    ///
    /// With `HyperTransport`, an upload that advances is no silence. Over HTTP/1.1, nor is any other byte in either direction: a slow
    /// head, interim responses. Over HTTP/2, nor are interim responses on the stream of the request; the bytes of other streams do not
    /// count, and those of a response head and of a `DATA` frame count when the whole of it has arrived.
    ///
    /// With `ReqwestTransport`, it is the time from the start of the request, or from the latest chunk that was taken of a streaming
    /// upload, to the response head, whatever else moves.
    ///
    /// The body of an event stream (`text/event-stream`) may be silent for as long as it likes. The default of 60 s does not end an
    /// attempt whose `timeout` or `attempt_timeout` was set to a longer time.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// How long an idle connection is kept.
    #[serde(with = "humantime_serde")]
    pub pool_idle_timeout: Duration,
    /// The maximum number of idle connections per host; 0 keeps none.
    pub pool_max_idle_per_host: usize,
    /// The largest number of connections per host, open and being opened, at least 1. Further requests wait for at most
    /// `pool_timeout`. `None`: no limit. Not used by `ReqwestTransport`.
    pub max_connections_per_host: Option<usize>,
    /// The longest wait for a connection while the limit of connections or of HTTP/2 streams is reached. Not used by
    /// `ReqwestTransport`.
    #[serde(with = "humantime_serde")]
    pub pool_timeout: Duration,
    /// The largest response head, in bytes, between 8,192 and 67,108,864. Trailers have the same limit; with
    /// `ReqwestTransport`, HTTP/1.1 trailers have one of 16,384 bytes.
    pub max_response_head: u32,
    /// The idle time before TCP keep-alive probes are sent. `None`: no probes.
    #[serde(with = "humantime_serde")]
    pub tcp_keepalive: Option<Duration>,
    /// The `User-Agent` of requests that have none. `None`: no header is sent.
    pub user_agent: Option<String>,
    /// A proxy for every request. A request with its own proxy
    /// ([`RequestOptions::proxy`](networking_spi::http::RequestOptions::proxy)) uses none of the proxies here.
    pub proxy: Option<ProxyConfig>,
    /// A proxy for requests to `http` and `ws` URLs, in place of `proxy`.
    pub http_proxy: Option<ProxyConfig>,
    /// A proxy for requests to `https` and `wss` URLs, in place of `proxy`.
    pub https_proxy: Option<ProxyConfig>,
    /// The hosts that are reached without these proxies. Each hop of a redirect is decided anew.
    pub no_proxy: NoProxy,
    /// Whether the proxies are those of the environment when the transport is created: see
    /// [`with_proxies_of`](Self::with_proxies_of).
    pub proxy_from_env: bool,
    /// `false` accepts every certificate: only for tests.
    pub verify_tls: bool,
    /// Additional trusted root certificates, in PEM.
    pub root_certificates: Vec<String>,
    /// Whether the machine's root certificates are trusted as well. `false` trusts only `root_certificates`.
    pub system_roots: bool,
    /// The certificate presented to servers that request one.
    pub client_identity: Option<ClientIdentity>,
    /// Limits the destinations of requests. `None`: no limit.
    pub ssrf_guard: Option<SsrfGuard>,
    /// The HTTP versions that are used.
    pub version: HttpVersion,
    /// Settings of HTTP/2 connections.
    pub http2: Http2Config,
}

/// Settings of HTTP/2 connections (RFC 9113).
///
/// A response that is not read occupies its stream window. Other requests on the connection do not wait for it as long as
/// `connection_window` is at least `stream_window` times the number of responses that are not read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct Http2Config {
    /// The bytes of a response body that the peer may send before they are read, between 65,535 and 2,147,483,647.
    pub stream_window: u32,
    /// The same for all responses of a connection together.
    pub connection_window: u32,
    /// The time between pings on a connection with open streams. `None`: no pings.
    #[serde(with = "humantime_serde")]
    pub keepalive_interval: Option<Duration>,
    /// How long the peer may take to answer a ping before the connection is closed.
    #[serde(with = "humantime_serde")]
    pub keepalive_timeout: Duration,
}

impl Default for Http2Config {
    /// Windows of 2 MiB per stream and 1 GiB per connection; no pings, and 20 s to answer one.
    fn default() -> Self {
        Self {
            stream_window: 2 << 20,
            connection_window: 1 << 30,
            keepalive_interval: None,
            keepalive_timeout: Duration::from_secs(20),
        }
    }
}

impl Http2Config {
    /// Sets the windows of a stream and of a connection, in bytes.
    #[must_use]
    pub const fn with_windows(mut self, stream: u32, connection: u32) -> Self {
        self.stream_window = stream;
        self.connection_window = connection;
        self
    }

    /// Sends pings, `interval` apart, and closes the connection if the peer takes longer than `timeout` to answer one.
    #[must_use]
    pub const fn with_keepalive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.keepalive_interval = Some(interval);
        self.keepalive_timeout = timeout;
        self
    }
}

impl Validate for Http2Config {
    fn validate(&self) -> Result<()> {
        for (window, field) in [
            (self.stream_window, "stream_window"),
            (self.connection_window, "connection_window"),
        ] {
            validate::ensure(
                (65_535..=(1 << 31) - 1).contains(&window),
                field,
                "must be between 65535 and 2147483647",
            )?;
        }
        if let Some(interval) = self.keepalive_interval {
            validate::positive(interval, "keepalive_interval")?;
        }
        validate::positive(self.keepalive_timeout, "keepalive_timeout")
    }
}

/// The HTTP versions that are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/2 if TLS negotiates it, HTTP/1.1 otherwise.
    #[default]
    Negotiated,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only, even without TLS (with prior knowledge).
    Http2,
}

impl HttpVersion {
    /// The protocols offered in the TLS handshake (ALPN).
    pub(crate) const fn alpn_protocols(self) -> &'static [&'static [u8]] {
        match self {
            Self::Negotiated => &[b"h2", b"http/1.1"],
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
        }
    }
}

impl TransportConfig {
    /// The default of [`read_timeout`](Self::read_timeout).
    pub(crate) const DEFAULT_READ_TIMEOUT: Duration = Duration::from_secs(60);
}

impl Default for TransportConfig {
    /// 10 s to connect, 60 s without data, 90 s idle, at most 256 idle connections per host and any number of open ones, 30 s to
    /// wait for a connection, response heads of 256 KiB, TCP keep-alive after 60 s, verified TLS, no proxy, `User-Agent: networking-http/<version>`.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Self::DEFAULT_READ_TIMEOUT,
            pool_idle_timeout: Duration::from_secs(90),
            pool_max_idle_per_host: 256,
            max_connections_per_host: None,
            pool_timeout: Duration::from_secs(30),
            max_response_head: 256 << 10,
            tcp_keepalive: Some(Duration::from_secs(60)),
            user_agent: Some(concat!("networking-http/", env!("CARGO_PKG_VERSION")).to_owned()),
            proxy: None,
            http_proxy: None,
            https_proxy: None,
            no_proxy: NoProxy::new(),
            proxy_from_env: false,
            verify_tls: true,
            root_certificates: Vec::new(),
            system_roots: true,
            client_identity: None,
            ssrf_guard: None,
            version: HttpVersion::Negotiated,
            http2: Http2Config::default(),
        }
    }
}

impl TransportConfig {
    /// The default configuration.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time limit for opening a connection.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the maximum time without data from the peer.
    pub fn with_read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sets the maximum number of idle connections per host, and how long each is kept.
    pub fn with_pool(mut self, max_idle_per_host: usize, idle_timeout: Duration) -> Self {
        self.pool_max_idle_per_host = max_idle_per_host;
        self.pool_idle_timeout = idle_timeout;
        self
    }

    /// Sets the largest number of connections per host.
    pub fn with_max_connections_per_host(mut self, connections: usize) -> Self {
        self.max_connections_per_host = Some(connections);
        self
    }

    /// Sets the longest wait for a connection.
    pub fn with_pool_timeout(mut self, timeout: Duration) -> Self {
        self.pool_timeout = timeout;
        self
    }

    /// Sets the largest response head, in bytes.
    pub fn with_max_response_head(mut self, bytes: u32) -> Self {
        self.max_response_head = bytes;
        self
    }

    /// Sets the `User-Agent`.
    pub fn with_user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = Some(user_agent.into());
        self
    }

    /// Sets the proxy.
    pub fn with_proxy(mut self, proxy: ProxyConfig) -> Self {
        self.proxy = Some(proxy);
        self
    }

    /// Sets the proxy for requests to `http` and `ws` URLs.
    pub fn with_http_proxy(mut self, proxy: ProxyConfig) -> Self {
        self.http_proxy = Some(proxy);
        self
    }

    /// Sets the proxy for requests to `https` and `wss` URLs.
    pub fn with_https_proxy(mut self, proxy: ProxyConfig) -> Self {
        self.https_proxy = Some(proxy);
        self
    }

    /// Sets the hosts that are reached without a proxy.
    pub fn with_no_proxy(mut self, hosts: NoProxy) -> Self {
        self.no_proxy = hosts;
        self
    }

    /// Sets whether the proxies are those of the environment when the transport is created.
    pub fn with_proxy_from_env(mut self, read: bool) -> Self {
        self.proxy_from_env = read;
        self
    }

    /// Sets the proxies of these environment variables, usually [`std::env::vars_os`]. If the configuration has a proxy,
    /// nothing changes.
    ///
    /// | variable | field |
    /// |---|---|
    /// | `http_proxy`, `HTTP_PROXY` | `http_proxy`. The second one is ignored in CGI programs, where the peer can set it |
    /// | `https_proxy`, `HTTPS_PROXY` | `https_proxy` |
    /// | `all_proxy`, `ALL_PROXY` | `proxy` |
    /// | `no_proxy`, `NO_PROXY` | `no_proxy`, in addition to the hosts that it has |
    ///
    /// The first variable that is not blank applies. A proxy is a URL, with credentials if it needs any, or `host:port` for an
    /// HTTP proxy.
    ///
    /// ```
    /// use networking_http::TransportConfig;
    ///
    /// let variables = [("HTTPS_PROXY", "http://bob:secret@proxy.corp.example:3128"), ("NO_PROXY", "localhost,.corp.example")];
    /// let config = TransportConfig::new().with_proxies_of(variables)?;
    /// assert_eq!(config.https_proxy.unwrap().url.as_str(), "http://proxy.corp.example:3128/");
    /// # Ok::<(), networking_spi::NetworkError>(())
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) whose field is the name of the variable with a malformed value. It
    /// does not show the value of a proxy.
    pub fn with_proxies_of<N, V>(mut self, variables: impl IntoIterator<Item = (N, V)>) -> Result<Self>
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        self.proxy_from_env = false;
        if self.proxy.is_none() && self.http_proxy.is_none() && self.https_proxy.is_none() {
            let read = Environment::read(variables)?;
            (self.proxy, self.http_proxy, self.https_proxy) = (read.all, read.http, read.https);
            self.no_proxy.extend(read.no_proxy);
        }
        Ok(self)
    }

    /// Sets whether certificates are verified.
    pub fn with_verify_tls(mut self, verify: bool) -> Self {
        self.verify_tls = verify;
        self
    }

    /// Adds a trusted root certificate, in PEM.
    pub fn with_root_certificate(mut self, pem: impl Into<String>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Sets whether the machine's root certificates are trusted.
    pub fn with_system_roots(mut self, trust: bool) -> Self {
        self.system_roots = trust;
        self
    }

    /// Sets the certificate presented to servers that request one.
    pub fn with_client_identity(mut self, identity: ClientIdentity) -> Self {
        self.client_identity = Some(identity);
        self
    }

    /// Limits the destinations of requests.
    pub fn with_ssrf_guard(mut self, guard: SsrfGuard) -> Self {
        self.ssrf_guard = Some(guard);
        self
    }

    /// Sets the HTTP versions that are used.
    pub fn with_version(mut self, version: HttpVersion) -> Self {
        self.version = version;
        self
    }

    /// Sets the settings of HTTP/2 connections.
    pub fn with_http2(mut self, http2: Http2Config) -> Self {
        self.http2 = http2;
        self
    }
}

/// The largest number of fields in a response head of HTTP/1.1. The parser reserves space for all of them.
pub(crate) const MAX_HEADERS: usize = 1_024;

/// About 34 years. Longer times could overflow when they are added to an instant.
pub(crate) const FOREVER: Duration = Duration::from_secs(1 << 30);

impl TransportConfig {
    /// The limit of a response head that is announced to peers of HTTP/2. It is 16 times `max_response_head`, because h2 reports a
    /// head above it as a violation of the protocol; the transport checks `max_response_head` itself.
    pub(crate) fn http2_header_list_size(&self) -> u32 {
        self.max_response_head.saturating_mul(16)
    }

    /// The configuration with the proxies of the environment, if they are wanted.
    pub(crate) fn in_environment(self) -> Result<Self> {
        if self.proxy_from_env {
            self.with_proxies_of(std::env::vars_os())
        } else {
            Ok(self)
        }
    }

    /// The validated configuration, with times that can be added to any instant.
    pub(crate) fn checked(mut self) -> Result<Self> {
        self.validate()?;
        for time in [
            &mut self.connect_timeout,
            &mut self.read_timeout,
            &mut self.pool_idle_timeout,
            &mut self.pool_timeout,
        ] {
            *time = (*time).min(FOREVER);
        }
        Ok(self)
    }
}

impl Validate for TransportConfig {
    fn validate(&self) -> Result<()> {
        validate::positive(self.connect_timeout, "connect_timeout")?;
        validate::positive(self.read_timeout, "read_timeout")?;
        validate::positive(self.pool_idle_timeout, "pool_idle_timeout")?;
        validate::positive(self.pool_timeout, "pool_timeout")?;
        validate::ensure(
            self.max_connections_per_host != Some(0),
            "max_connections_per_host",
            "must be at least 1",
        )?;
        validate::ensure(
            (8_192..=64 << 20).contains(&self.max_response_head),
            "max_response_head",
            "must be between 8192 and 67108864",
        )?;
        validate::nested(&self.http2, "http2")?;
        if let Some(keepalive) = self.tcp_keepalive {
            validate::positive(keepalive, "tcp_keepalive")?;
        }
        if let Some(user_agent) = &self.user_agent {
            validate::not_blank(user_agent, "user_agent")?;
            validate::ensure(
                http::HeaderValue::from_str(user_agent).is_ok(),
                "user_agent",
                "is not a header value",
            )?;
        }
        if let Some(identity) = &self.client_identity {
            identity.validate().in_field("client_identity")?;
        }
        if let Some(guard) = &self.ssrf_guard {
            guard.validate().in_field("ssrf_guard")?;
        }
        for (proxy, field) in [
            (&self.proxy, "proxy"),
            (&self.http_proxy, "http_proxy"),
            (&self.https_proxy, "https_proxy"),
        ] {
            if let Some(proxy) = proxy {
                validate::nested(proxy, field)?;
                check_available(proxy)?;
            }
        }
        Ok(())
    }
}
