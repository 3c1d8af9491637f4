//! One client per combination of proxy and TLS verification.
//!
//! Requests with different proxies, or with and without verification, must not share a connection, so they do not share a pool.

use networking_spi::Result;
use networking_spi::http::{ProxyConfig, RequestOptions};
use networking_spi::validate;
use parking_lot::Mutex;
use url::Url;

use crate::connect::config::TransportConfig;
use crate::connect::proxies::Proxies;
use crate::connect::socks::check_available;

/// The maximum number of clients in addition to the configured ones. When it is reached, the least recently used one is dropped.
const MAX_VARIANTS: usize = 16;

/// Clients of type `C`, which is cheap to clone.
pub(crate) struct Variants<C> {
    proxies: Proxies,
    verify_tls: bool,
    /// One for each choice of `proxies`.
    configured: Vec<C>,
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
    pub(crate) fn new(config: &TransportConfig, build: impl Fn(&Variant) -> Result<C>) -> Result<Self> {
        let proxies = Proxies::new(config);
        let verify_tls = config.verify_tls;
        let build = |proxy: &Option<ProxyConfig>| {
            build(&Variant {
                proxy: proxy.clone(),
                verify_tls,
            })
        };
        Ok(Self {
            configured: proxies.choices().iter().map(build).collect::<Result<_>>()?,
            proxies,
            verify_tls,
            others: Mutex::new(Vec::new()),
        })
    }

    /// The client for a request to `url`, and whether it goes through a proxy.
    pub(crate) fn select(
        &self,
        url: &Url,
        options: &RequestOptions,
        build: impl FnOnce(&Variant) -> Result<C>,
    ) -> Result<(C, bool)> {
        let choices = self.proxies.choices();
        let index = match &options.proxy {
            Some(proxy) => choices.iter().position(|choice| choice.as_ref() == Some(&**proxy)),
            None => Some(self.proxies.choose(url)),
        };
        let verify_tls = options.verify_tls.unwrap_or(self.verify_tls);
        if let (Some(index), true) = (index, verify_tls == self.verify_tls) {
            return Ok((self.configured[index].clone(), choices[index].is_some()));
        }
        let variant = Variant {
            proxy: match index {
                Some(index) => choices[index].clone(),
                None => options.proxy.as_deref().cloned(),
            },
            verify_tls,
        };
        let proxied = variant.proxy.is_some();
        if let Some(client) = self.take_up(&variant) {
            return Ok((client, proxied));
        }
        if let Some(proxy) = &variant.proxy {
            validate::nested(proxy, "proxy")?;
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
