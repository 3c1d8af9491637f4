//! One reqwest client per combination of proxy and TLS verification.
//!
//! reqwest decides both per client, and its pool does not key connections by proxy: requests with different proxies must
//! not share a client.

use std::error::Error as StdError;

use networking_spi::http::{ProxyConfig, RequestOptions};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use reqwest::redirect;

use super::config::{HttpVersion, ReqwestConfig};

/// The most clients kept besides the configured one; the one unused for longest makes room.
const MAX_VARIANTS: usize = 16;

pub(super) struct Variants {
    default: reqwest::Client,
    /// The latest used last.
    others: Mutex<Vec<(Key, reqwest::Client)>>,
}

/// Holds credentials: never print it.
#[derive(Clone, PartialEq, Eq)]
struct Key {
    proxy: Option<ProxyConfig>,
    verify_tls: bool,
}

impl Variants {
    pub(super) fn new(config: &ReqwestConfig) -> Result<Self> {
        let key = Key {
            proxy: config.proxy.clone(),
            verify_tls: config.verify_tls,
        };
        Ok(Self {
            default: build(config, &key)?,
            others: Mutex::new(Vec::new()),
        })
    }

    /// The client for a request, and whether it goes through a proxy.
    pub(super) fn select(&self, config: &ReqwestConfig, options: &RequestOptions) -> Result<(reqwest::Client, bool)> {
        if options.proxy.is_none() && options.verify_tls.is_none() {
            return Ok((self.default.clone(), config.proxy.is_some()));
        }
        let key = Key {
            proxy: options.proxy.as_deref().or(config.proxy.as_ref()).cloned(),
            verify_tls: options.verify_tls.unwrap_or(config.verify_tls),
        };
        let proxied = key.proxy.is_some();
        if key.proxy == config.proxy && key.verify_tls == config.verify_tls {
            return Ok((self.default.clone(), proxied));
        }
        if let Some(client) = self.take_up(&key) {
            return Ok((client, proxied));
        }
        if let Some(proxy) = &key.proxy {
            proxy.validate()?;
        }
        // Built without the lock: reading certificates takes a while. Two at once cost a client, nothing else.
        let client = build(config, &key)?;
        let mut others = self.others.lock();
        if others.len() >= MAX_VARIANTS {
            others.remove(0);
        }
        others.push((key, client.clone()));
        Ok((client, proxied))
    }

    fn take_up(&self, key: &Key) -> Option<reqwest::Client> {
        let mut others = self.others.lock();
        let index = others.iter().position(|(other, _)| other == key)?;
        let entry = others.remove(index);
        let client = entry.1.clone();
        others.push(entry);
        Some(client)
    }
}

fn build(config: &ReqwestConfig, key: &Key) -> Result<reqwest::Client> {
    let mut certificates = Vec::new();
    for pem in &config.root_certificates {
        let parsed = reqwest::Certificate::from_pem_bundle(pem.as_bytes())
            .map_err(|error| NetworkError::invalid_input("root_certificates", "is not PEM").with_source(error))?;
        if parsed.is_empty() {
            return Err(NetworkError::invalid_input(
                "root_certificates",
                "has no certificate in it",
            ));
        }
        certificates.extend(parsed);
    }
    match assemble(config, key)?.tls_certs_merge(certificates.clone()).build() {
        Ok(client) => Ok(client),
        // A machine without CA certificates: plain HTTP must work there, and TLS fails when it is used.
        Err(error) if certificates.is_empty() => {
            tracing::warn!(reason = %causes(&error), "no CA certificates are trusted");
            assemble(config, key)?.tls_certs_only([]).build().map_err(not_built)
        }
        Err(error) => Err(not_built(error)),
    }
}

fn assemble(config: &ReqwestConfig, key: &Key) -> Result<reqwest::ClientBuilder> {
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .connect_timeout(config.connect_timeout)
        .read_timeout(config.read_timeout)
        .pool_idle_timeout(config.pool_idle_timeout)
        .pool_max_idle_per_host(config.pool_max_idle_per_host)
        .tcp_keepalive(config.tcp_keepalive)
        .tcp_nodelay(true)
        .tls_danger_accept_invalid_certs(!key.verify_tls);
    if let Some(user_agent) = &config.user_agent {
        builder = builder.user_agent(user_agent);
    }
    builder = match config.version {
        HttpVersion::Negotiated => builder,
        HttpVersion::Http1 => builder.http1_only(),
        HttpVersion::Http2 => builder.http2_prior_knowledge(),
    };
    if let Some(proxy) = &key.proxy {
        builder = builder.proxy(to_reqwest(proxy)?);
    }
    Ok(builder)
}

fn to_reqwest(proxy: &ProxyConfig) -> Result<reqwest::Proxy> {
    let mut result = reqwest::Proxy::all(proxy.url.clone()).map_err(|error| {
        NetworkError::invalid_input("proxy.url", "is not a proxy URL").with_source(error.without_url())
    })?;
    if let Some(username) = &proxy.username {
        let password = proxy.password.as_ref().map_or("", |password| password.expose());
        result = result.basic_auth(username, password);
    }
    Ok(result)
}

fn not_built(error: reqwest::Error) -> NetworkError {
    NetworkError::new(ErrorKind::InvalidInput, "http.build", "the transport cannot be built").with_source(error)
}

fn causes(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
