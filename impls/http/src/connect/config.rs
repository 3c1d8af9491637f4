//! Configuration of the transports.

use std::time::Duration;

use networking_spi::Result;
use networking_spi::http::ProxyConfig;
use networking_spi::validate::{self, Validate};
use serde::{Deserialize, Serialize};

use super::guard::SsrfGuard;
use super::identity::ClientIdentity;
use super::socks::check_available;

/// How a transport connects: [`HyperTransport`](crate::transport::HyperTransport) or
/// [`ReqwestTransport`](crate::transport::ReqwestTransport). Everything that waits is bounded.
///
/// Proxies named by the environment (`HTTP_PROXY`, ...) are not used: what a program does should not depend on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct TransportConfig {
    /// Time limit of opening a connection: name resolution, TCP and TLS.
    #[serde(with = "humantime_serde")]
    pub connect_timeout: Duration,
    /// The longest silence of the peer while a response or its body is awaited.
    #[serde(with = "humantime_serde")]
    pub read_timeout: Duration,
    /// Idle connections are closed after so long.
    #[serde(with = "humantime_serde")]
    pub pool_idle_timeout: Duration,
    /// The most idle connections kept per host; 0 keeps none.
    pub pool_max_idle_per_host: usize,
    /// TCP keep-alive probes after so long. `None`: none.
    #[serde(with = "humantime_serde")]
    pub tcp_keepalive: Option<Duration>,
    /// Sent as `User-Agent` where a request has none. `None`: nothing is sent.
    pub user_agent: Option<String>,
    /// A proxy for every request.
    pub proxy: Option<ProxyConfig>,
    /// `false` accepts any certificate: for tests against servers of your own.
    pub verify_tls: bool,
    /// Further trusted root certificates, PEM.
    pub root_certificates: Vec<String>,
    /// Whether the machine's root certificates are trusted too. `false` trusts `root_certificates` alone.
    pub system_roots: bool,
    /// The certificate shown to servers that ask for one.
    pub client_identity: Option<ClientIdentity>,
    /// Where requests may go. `None`: everywhere.
    pub ssrf_guard: Option<SsrfGuard>,
    /// Which protocol versions are spoken.
    pub version: HttpVersion,
}

/// Which protocol versions are spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum HttpVersion {
    /// HTTP/2 where TLS negotiates it, HTTP/1.1 otherwise.
    #[default]
    Negotiated,
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only, also without TLS.
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
    /// 10 s to connect, 60 s of silence, 90 s idle, 256 idle connections per host, 60 s to the first keep-alive probe, verified TLS, no proxy.
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
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time limit of opening a connection.
    pub fn with_connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Sets the longest silence of the peer.
    pub fn with_read_timeout(mut self, timeout: Duration) -> Self {
        self.read_timeout = timeout;
        self
    }

    /// Sets how long and how many idle connections are kept.
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

    /// Trusts a further root certificate.
    pub fn with_root_certificate(mut self, pem: impl Into<String>) -> Self {
        self.root_certificates.push(pem.into());
        self
    }

    /// Sets whether the machine's root certificates are trusted.
    pub fn with_system_roots(mut self, trust: bool) -> Self {
        self.system_roots = trust;
        self
    }

    /// Sets the certificate shown to servers that ask for one.
    pub fn with_client_identity(mut self, identity: ClientIdentity) -> Self {
        self.client_identity = Some(identity);
        self
    }

    /// Sets where requests may go.
    pub fn with_ssrf_guard(mut self, guard: SsrfGuard) -> Self {
        self.ssrf_guard = Some(guard);
        self
    }

    /// Sets which protocol versions are spoken.
    pub fn with_version(mut self, version: HttpVersion) -> Self {
        self.version = version;
        self
    }
}

/// About thirty years. Longer times would reach beyond what the clock can count.
pub(crate) const FOREVER: Duration = Duration::from_secs(1 << 30);

impl TransportConfig {
    /// Checked, and with times that can be added to any moment.
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
            identity.validate().map_err(|error| error.in_field("client_identity"))?;
        }
        if let Some(guard) = &self.ssrf_guard {
            guard.validate().map_err(|error| error.in_field("ssrf_guard"))?;
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
