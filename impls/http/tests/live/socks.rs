//! microsocks: a SOCKS5 proxy.

use std::sync::Arc;

use networking_conformance::{CaseResult, check, check_eq, check_error};
use networking_spi::http::{HttpClientExt, ProxyConfig, Version};
use networking_spi::{ErrorKind, Result};
use serde_json::Value;

use super::backend::{Client, Live};

pub(crate) async fn requests_go_through_it(live: Arc<Live>) -> CaseResult {
    let client = through(&live, ProxyConfig::new(live.servers().socks.clone()))?;
    let target = live.servers().httpbin.join("/anything").expect("a path");
    for number in 0..3 {
        let echo: Value = client
            .post(target.as_str())
            .body(format!("{number}"))
            .await?
            .json()
            .await?;
        check_eq!(echo["data"], number.to_string(), "the body");
    }
    Ok(())
}

pub(crate) async fn tls_goes_through_it(live: Arc<Live>) -> CaseResult {
    let client = through(&live, ProxyConfig::new(live.servers().socks.clone()))?;
    let response = client.get(live.servers().nginx.as_str()).await?;
    check_eq!(
        (response.status.as_u16(), response.version),
        (200, Version::HTTP_2),
        "ALPN behind the proxy"
    );
    Ok(())
}

pub(crate) async fn names_can_be_resolved_by_it(live: Arc<Live>) -> CaseResult {
    let mut proxy = live.servers().socks.clone();
    // Neither scheme is a special one, so `Url` allows the change.
    proxy.set_scheme("socks5h").expect("a scheme like the old one");
    let client = through(&live, ProxyConfig::new(proxy))?;
    check_eq!(
        client.get(live.servers().nginx.as_str()).await?.status,
        200,
        "localhost"
    );
    // The proxy cannot resolve this name, and reports that.
    let unknown = client.get("http://origin.invalid/").await;
    check_error!(unknown, ErrorKind::Proxy, "a name that does not exist");
    Ok(())
}

pub(crate) async fn credentials_are_sent(live: Arc<Live>) -> CaseResult {
    let client = through(&live, guarded(&live, &live.servers().password))?;
    for target in [&live.servers().httpbin, &live.servers().nginx] {
        check_eq!(client.get(target.as_str()).await?.status, 200, "{target}");
    }
    Ok(())
}

pub(crate) async fn wrong_credentials_are_a_proxy_error(live: Arc<Live>) -> CaseResult {
    for proxy in [
        guarded(&live, "wrong"),
        ProxyConfig::new(live.servers().socks_auth.clone()),
    ] {
        let client = through(&live, proxy)?;
        for target in [&live.servers().httpbin, &live.servers().nginx] {
            let error = check_error!(client.get(target.as_str()).await, ErrorKind::Proxy, "{target}");
            check!(!format!("{error:?}").contains("wrong"), "the password is in {error:?}");
        }
    }
    Ok(())
}

pub(crate) async fn a_target_that_is_not_there_is_a_proxy_error(live: Arc<Live>) -> CaseResult {
    let client = through(&live, ProxyConfig::new(live.servers().socks.clone()))?;
    check_error!(
        client.get(live.servers().closed.as_str()).await,
        ErrorKind::Proxy,
        "the proxy cannot connect"
    );
    Ok(())
}

fn guarded(live: &Live, password: &str) -> ProxyConfig {
    ProxyConfig::new(live.servers().socks_auth.clone()).with_credentials(live.servers().user.clone(), password)
}

fn through(live: &Live, proxy: ProxyConfig) -> Result<Client> {
    live.builder_of(live.config().with_proxy(proxy))?.build()
}
