//! Builds a reqwest client from the configuration.

use std::net::SocketAddr;

use networking_spi::http::ProxyConfig;
use networking_spi::{ErrorKind, NetworkError, Result};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::redirect;
use rustls::ClientConfig;

use crate::connect::config::{HttpVersion, MAX_HEADERS};
use crate::connect::resolution::{Resolution, Setup};
use crate::connect::tls;
use crate::transport::variants::Variant;

pub(super) fn client(setup: &Setup, variant: &Variant) -> Result<reqwest::Client> {
    let Setup { config, resolution } = setup;
    let protocols = config.version.alpn_protocols();
    let tls = tls::client_config(config, variant.verify_tls, protocols)?.ok_or_else(tls::not_built)?;
    // With a proxy, reqwest resolves only the proxy's name.
    let names = match variant.proxy {
        Some(_) => resolution.unguarded(),
        None => resolution.clone(),
    };
    let mut builder = reqwest::Client::builder()
        .no_proxy()
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(config.connect_timeout)
        .pool_idle_timeout(config.pool_idle_timeout)
        .pool_max_idle_per_host(config.pool_max_idle_per_host)
        .tcp_keepalive(config.tcp_keepalive)
        .tcp_nodelay(true)
        .http1_max_headers(MAX_HEADERS)
        .http1_allow_obsolete_multiline_headers_in_responses(true)
        .http2_max_header_list_size(config.http2_header_list_size())
        .http2_initial_stream_window_size(config.http2.stream_window)
        .http2_initial_connection_window_size(config.http2.connection_window)
        .http2_keep_alive_interval(config.http2.keepalive_interval)
        .http2_keep_alive_timeout(config.http2.keepalive_timeout)
        .dns_resolver(Names(names))
        .tls_backend_preconfigured(ClientConfig::clone(&tls));
    if let Some(user_agent) = &config.user_agent {
        builder = builder.user_agent(user_agent);
    }
    builder = match config.version {
        HttpVersion::Negotiated => builder,
        HttpVersion::Http1 => builder.http1_only(),
        HttpVersion::Http2 => builder.http2_prior_knowledge(),
    };
    if let Some(proxy) = &variant.proxy {
        builder = builder.proxy(to_reqwest(proxy)?);
    }
    builder.build().map_err(|error| {
        NetworkError::new(ErrorKind::InvalidInput, "http.build", "the transport cannot be built").with_source(error)
    })
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

/// Adapts [`Resolution`] to reqwest.
struct Names(Resolution);

impl Resolve for Names {
    fn resolve(&self, name: Name) -> Resolving {
        let resolution = self.0.clone();
        Box::pin(async move {
            let addresses = resolution.resolve(name.as_str()).await?;
            // reqwest replaces port 0 with the port of the URL.
            let addresses = addresses.into_iter().map(|address| SocketAddr::new(address, 0));
            Ok(Box::new(addresses) as Addrs)
        })
    }
}
