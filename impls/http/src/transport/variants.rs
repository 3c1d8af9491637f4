//! One client per combination of proxy and TLS verification.
//!
//! Requests with different proxies, or with and without verification, must not share a connection, so they do not share a pool.

use networking_spi::Result;
use networking_spi::http::{ProxyConfig, RequestOptions};
use networking_spi::validate::Validate;
use parking_lot::Mutex;

use crate::connect::config::TransportConfig;
use crate::connect::socks::check_available;

/// The maximum number of clients in addition to the configured one. When it is reached, the least recently used one is dropped.
const MAX_VARIANTS: usize = 16;

/// Clients of type `C`, which is cheap to clone.
pub(crate) struct Variants<C> {
    default: C,
    /// Ordered by last use, the most recent at the end.
    others: Mutex<Vec<(Variant, C)>>,
}

/// Not `Debug`: it contains credentials.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Variant {
    pub(crate) proxy: Option<ProxyConfig>,
    pub(crate) verify_tls: bool,
}

impl<C: Clone> Variants<C> {
    pub(crate) fn new(config: &TransportConfig, build: impl FnOnce(&Variant) -> Result<C>) -> Result<Self> {
        let variant = Variant {
            proxy: config.proxy.clone(),
            verify_tls: config.verify_tls,
        };
        Ok(Self {
            default: build(&variant)?,
            others: Mutex::new(Vec::new()),
        })
    }

    /// The client for a request, and whether it goes through a proxy.
    pub(crate) fn select(
        &self,
        config: &TransportConfig,
        options: &RequestOptions,
        build: impl FnOnce(&Variant) -> Result<C>,
    ) -> Result<(C, bool)> {
        if options.proxy.is_none() && options.verify_tls.is_none() {
            return Ok((self.default.clone(), config.proxy.is_some()));
        }
        let variant = Variant {
            proxy: options.proxy.as_deref().or(config.proxy.as_ref()).cloned(),
            verify_tls: options.verify_tls.unwrap_or(config.verify_tls),
        };
        let proxied = variant.proxy.is_some();
        if variant.proxy == config.proxy && variant.verify_tls == config.verify_tls {
            return Ok((self.default.clone(), proxied));
        }
        if let Some(client) = self.take_up(&variant) {
            return Ok((client, proxied));
        }
        if let Some(proxy) = &variant.proxy {
            proxy.validate()?;
            check_available(proxy)?;
        }
        // Built without holding the lock, because reading certificates is slow. Two concurrent calls may build the same client.
        let client = build(&variant)?;
        let mut others = self.others.lock();
        if others.len() >= MAX_VARIANTS {
            others.remove(0);
        }
        others.push((variant, client.clone()));
        Ok((client, proxied))
    }

    fn take_up(&self, variant: &Variant) -> Option<C> {
        let mut others = self.others.lock();
        let index = others.iter().position(|(other, _)| other == variant)?;
        let entry = others.remove(index);
        let client = entry.1.clone();
        others.push(entry);
        Some(client)
    }
}
