//! Name resolution.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::error::context;
use networking_spi::{ErrorKind, NetworkError, Result};

const OPERATION: &str = "http.resolve";

/// Resolves the host names that a transport connects to. IP addresses in URLs are not resolved.
///
/// The transport waits at most its connect timeout. It tries the addresses in the order in which they are returned, and both IP
/// versions in parallel (happy eyeballs, RFC 8305). A name is resolved per connection, not per request.
///
/// ```
/// use std::net::IpAddr;
/// use async_trait::async_trait;
/// use networking_http::DnsResolver;
/// use networking_spi::{ErrorKind, NetworkError};
///
/// #[derive(Debug)]
/// struct OnlyLoopback;
///
/// #[async_trait]
/// impl DnsResolver for OnlyLoopback {
///     async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>, NetworkError> {
///         match host {
///             "service.test" => Ok(vec![[127, 0, 0, 1].into()]),
///             _ => Err(NetworkError::new(ErrorKind::Dns, "dns.resolve", "no such name")),
///         }
///     }
/// }
/// ```
#[async_trait]
pub trait DnsResolver: fmt::Debug + Send + Sync + 'static {
    /// Returns the addresses of `host` (lower case, without brackets), the preferred one first.
    ///
    /// Cancel safety: the transport drops the future when its connect timeout passes.
    ///
    /// # Errors
    /// [`Dns`](ErrorKind::Dns) if the name cannot be resolved; an empty list is treated in the same way. The request fails with
    /// the kind and retryability of this error.
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>>;
}

/// The operating system's resolver (`getaddrinfo`). The default.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemResolver;

#[async_trait]
impl DnsResolver for SystemResolver {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>> {
        match tokio::net::lookup_host((host, 0)).await {
            Ok(addresses) => Ok(addresses.map(|address| address.ip()).collect()),
            Err(error) => Err(unresolved(host).with_source(error)),
        }
    }
}

/// Fixed addresses for some names, and another resolver for all others.
///
/// ```
/// use std::sync::Arc;
/// use networking_http::{DnsOverrides, HttpClientBuilder};
///
/// let overrides = DnsOverrides::new().with("api.example.com", [[127, 0, 0, 1]]);
/// let http = HttpClientBuilder::new().resolver(Arc::new(overrides)).build()?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Clone)]
pub struct DnsOverrides {
    hosts: HashMap<String, Vec<IpAddr>>,
    otherwise: Arc<dyn DnsResolver>,
}

impl DnsOverrides {
    /// A resolver without overrides, around the operating system's resolver.
    pub fn new() -> Self {
        Self::over(Arc::new(SystemResolver))
    }

    /// A resolver without overrides, around `otherwise`.
    pub fn over(otherwise: Arc<dyn DnsResolver>) -> Self {
        Self {
            hosts: HashMap::new(),
            otherwise,
        }
    }

    /// Sets the addresses of `host`, the preferred one first. With an empty list the name fails to resolve.
    pub fn with<A: Into<IpAddr>>(mut self, host: &str, addresses: impl IntoIterator<Item = A>) -> Self {
        self.hosts
            .insert(normal(host), addresses.into_iter().map(Into::into).collect());
        self
    }
}

impl Default for DnsOverrides {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl DnsResolver for DnsOverrides {
    async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>> {
        match self.hosts.get(&normal(host)) {
            Some(addresses) => Ok(addresses.clone()),
            None => self.otherwise.resolve(host).await,
        }
    }
}

/// The name in lower case, without the final dot of the root.
pub(crate) fn normal(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase()
}

pub(super) fn unresolved(host: &str) -> NetworkError {
    NetworkError::new(ErrorKind::Dns, OPERATION, "the name cannot be resolved").with_context(context::HOST, host)
}
