//! The configuration of transports.

use std::time::Duration;

use networking_spi::Result;
use networking_spi::error::ResultExt;
use networking_spi::http::ProxyConfig;
use networking_spi::validate::{self, Validate};
use serde::{Deserialize, Serialize};

use super::guard::SsrfGuard;
use super::identity::ClientIdentity;
use super::socks::check_available;

/// The configuration of a transport: [`HyperTransport`](crate::transport::HyperTransport) or `ReqwestTransport`. Every wait has a
/// limit.
///
/// Proxies from the environment (`HTTP_PROXY`, ...) are not used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TransportConfig {
    /// The time limit for opening a connection: name resolution, TCP and TLS.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// The maximum time without data from the peer while the transport waits for a response or its body.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// How long an idle connection is kept.
    #[serde(with = "humantime_serde")]
    pub pool_idle_timeout: Duration,
    /// The maximum number of idle connections per host; 0 keeps none.
    pub pool_max_idle_per_host: usize,
    /// The idle time before TCP keep-alive probes are sent. `None`: no probes.
    #[serde(with = "humantime_serde")]
    pub tcp_keepalive: Option<Duration>,
    /// The `User-Agent` of requests that have none. `None`: no header is sent.
    pub user_agent: Option<String>,
    /// A proxy for every request.
    pub proxy: Option<ProxyConfig>,
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

impl Default for TransportConfig {
    /// A connect timeout of 10 s, a read timeout of 60 s, at most 256 idle connections per host for 90 s each, TCP keep-alive
    /// probes after 60 s, verified TLS, and no proxy.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_secs(60),
            pool_idle_timeout: Duration::from_secs(90),
            pool_max_idle_per_host: 256,
            tcp_keepalive: Some(Duration::from_secs(60)),
            user_agent: Some(concat!("networking-impls/", env!("CARGO_PKG_VERSION")).to_owned()),
            proxy: None,
            verify_tls: true,
            root_certificates: Vec::new(),
            system_roots: true,
            client_identity: None,
            ssrf_guard: None,
            version: HttpVersion::Negotiated,
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
}

/// About 34 years. Longer times could overflow when they are added to an instant.
pub(crate) const FOREVER: Duration = Duration::from_secs(1 << 30);

impl TransportConfig {
    /// The validated configuration, with times that can be added to any instant.
    pub(crate) fn checked(mut self) -> Result<Self> {
        self.validate()?;
        for time in [
            &mut self.connect_timeout,
            &mut self.read_timeout,
            &mut self.pool_idle_timeout,
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
        match &self.proxy {
            Some(proxy) => {
                proxy.validate()?;
                check_available(proxy)
            }
            None => Ok(()),
        }
    }
}
