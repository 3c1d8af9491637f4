//! Name resolution together with the guard.

use std::net::IpAddr;
use std::sync::Arc;

use networking_spi::Result;
use url::{Host, Url};

use super::config::TransportConfig;
use super::dns::{DnsResolver, unresolved};
use super::guard::{SsrfGuard, denied};

/// A validated configuration and its name resolution. Every transport is built from one.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) config: TransportConfig,
    pub(crate) resolution: Resolution,
}

impl Setup {
    /// Reads the proxies of the environment, if they are wanted, and validates the configuration.
    ///
    /// # Errors
    /// `InvalidInput` naming the field of the configuration, or `Unsupported` for a SOCKS proxy in a build without SOCKS.
    pub(crate) fn new(config: TransportConfig, resolver: Arc<dyn DnsResolver>) -> Result<Self> {
        let config = config.in_environment()?.checked()?;
        let resolution = Resolution {
            resolver,
            guard: config.ssrf_guard.clone().map(Arc::new),
        };
        Ok(Self { config, resolution })
    }
}

/// Resolves names and then applies the guard, so that connections are opened only to addresses that were checked.
#[derive(Debug, Clone)]
pub(crate) struct Resolution {
    resolver: Arc<dyn DnsResolver>,
    pub(crate) guard: Option<Arc<SsrfGuard>>,
}

impl Resolution {
    /// Returns the addresses of `host` that the guard permits; at least one.
    pub(crate) async fn resolve(&self, host: &str) -> Result<Vec<IpAddr>> {
        let addresses = self.resolver.resolve(host).await?;
        if addresses.is_empty() {
            return Err(unresolved(host));
        }
        match &self.guard {
            Some(guard) => guard.permitted(host, addresses),
            None => Ok(addresses),
        }
    }

    /// The same without the guard, for the names of proxies, which come from the configuration.
    pub(crate) fn unguarded(&self) -> Self {
        Self {
            resolver: Arc::clone(&self.resolver),
            guard: None,
        }
    }

    /// Checks the destination of a request that a proxy will connect to.
    pub(crate) async fn check_before_proxy(&self, url: &Url) -> Result<()> {
        let Some(guard) = &self.guard else {
            return Ok(());
        };
        guard.check_url(url)?;
        let Some(Host::Domain(host)) = url.host() else {
            return Ok(());
        };
        if !guard.resolve_before_proxy || guard.allows_host(host) {
            return Ok(());
        }
        let addresses = self.unguarded().resolve(host).await?;
        if addresses.iter().all(|address| guard.permits(*address)) {
            Ok(())
        } else {
            Err(denied())
        }
    }
}
