//! Which configured proxy a request uses.

use networking_spi::http::ProxyConfig;
use url::Url;

use super::config::TransportConfig;
use super::no_proxy::NoProxy;

/// The proxies of a configuration, and the rule that chooses one for a URL.
pub(crate) struct Proxies {
    /// Different from each other. `None`: without a proxy.
    choices: Vec<Option<ProxyConfig>>,
    /// Indices into `choices`.
    http: usize,
    https: usize,
    direct: usize,
    no_proxy: NoProxy,
}

impl Proxies {
    pub(crate) fn new(config: &TransportConfig) -> Self {
        let mut choices = Vec::new();
        let mut index = |choice: Option<&ProxyConfig>| {
            let choice = choice.cloned();
            choices.iter().position(|other| *other == choice).unwrap_or_else(|| {
                choices.push(choice);
                choices.len() - 1
            })
        };
        let https = index(config.https_proxy.as_ref().or(config.proxy.as_ref()));
        let http = index(config.http_proxy.as_ref().or(config.proxy.as_ref()));
        let direct = if config.no_proxy.is_empty() { https } else { index(None) };
        Self {
            choices,
            http,
            https,
            direct,
            no_proxy: config.no_proxy.clone(),
        }
    }

    pub(crate) fn choices(&self) -> &[Option<ProxyConfig>] {
        &self.choices
    }

    /// The index of the choice for a URL. A WebSocket has the proxy of the HTTP request that opens it.
    pub(crate) fn choose(&self, url: &Url) -> usize {
        match url.scheme() {
            _ if self.choices.len() == 1 => 0,
            _ if self.no_proxy.matches(url) => self.direct,
            "https" | "wss" => self.https,
            _ => self.http,
        }
    }
}
