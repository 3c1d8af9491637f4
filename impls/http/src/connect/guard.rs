//! A guard against server-side request forgery.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result};
use serde::{Deserialize, Serialize};
use url::{Host, Url};

use super::dns::normal;

/// Denies destinations that an untrusted URL must not reach.
///
/// Set in [`TransportConfig::ssrf_guard`](super::config::TransportConfig::ssrf_guard), it allows only public unicast addresses.
/// It denies private, loopback, link-local (cloud metadata), unique-local, shared (CGNAT), multicast, documentation, benchmarking
/// and reserved addresses, and IPv6 addresses that embed such an IPv4 address (mapped, 6to4, NAT64).
///
/// * Names are checked after resolution, and connections are opened only to checked addresses, so that DNS rebinding has no
///   effect. If only some addresses of a name are permitted, those are used.
/// * Addresses in URLs are checked directly.
/// * Each redirect is a separate request to the transport, so every hop is checked.
/// * A pooled connection was checked when it was opened.
///
/// A denied request fails with [`DestinationDenied`](ErrorKind::DestinationDenied), which is never retried.
///
/// # With a proxy
///
/// The proxy connects to the destination, so the proxy must enforce its own rules. Addresses in URLs are checked before the
/// request. Names are resolved by the client first and refused if *any* of their addresses is denied, unless
/// [`resolve_before_proxy`](Self::resolve_before_proxy) is off; the proxy resolves them again, and may get other addresses. The
/// address of the proxy is not checked, because it comes from the configuration: do not build
/// [`ProxyConfig`](networking_spi::http::ProxyConfig)s from untrusted input.
///
/// ```
/// use networking_http::{HttpClientBuilder, SsrfGuard};
///
/// let guard = SsrfGuard::new().with_allowed_host("metrics.internal").with_allowed_network("10.20.0.0/16".parse().unwrap());
/// let http = HttpClientBuilder::new().ssrf_guard(guard).build()?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct SsrfGuard {
    /// Networks that are allowed although they are not public.
    pub allowed_networks: Vec<IpNet>,
    /// Hosts whose addresses are not checked: names, or addresses without brackets.
    pub allowed_hosts: Vec<String>,
    /// Additional networks that are denied. They take precedence over `allowed_networks`.
    pub denied_networks: Vec<IpNet>,
    /// Whether the client resolves and checks names before it sends a request to a proxy. Turn it off if only the proxy can
    /// resolve names and if it enforces its own rules.
    pub resolve_before_proxy: bool,
}

impl Default for SsrfGuard {
    fn default() -> Self {
        Self {
            allowed_networks: Vec::new(),
            allowed_hosts: Vec::new(),
            denied_networks: Vec::new(),
            resolve_before_proxy: true,
        }
    }
}

impl SsrfGuard {
    /// Allows public addresses only.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows a network although it is not public.
    pub fn with_allowed_network(mut self, network: IpNet) -> Self {
        self.allowed_networks.push(network);
        self
    }

    /// Allows a host with any address.
    pub fn with_allowed_host(mut self, host: impl Into<String>) -> Self {
        self.allowed_hosts.push(host.into());
        self
    }

    /// Denies an additional network.
    pub fn with_denied_network(mut self, network: IpNet) -> Self {
        self.denied_networks.push(network);
        self
    }

    /// Sets whether the client resolves and checks names before it sends a request to a proxy.
    pub fn with_resolve_before_proxy(mut self, resolve: bool) -> Self {
        self.resolve_before_proxy = resolve;
        self
    }

    /// Whether an address is allowed.
    ///
    /// ```
    /// use networking_http::SsrfGuard;
    /// let guard = SsrfGuard::new();
    /// assert!(guard.permits("93.184.215.14".parse().unwrap()));
    /// assert!(!guard.permits("169.254.169.254".parse().unwrap()), "cloud metadata");
    /// assert!(!guard.permits("::ffff:10.0.0.1".parse().unwrap()), "a private address in disguise");
    /// ```
    pub fn permits(&self, address: IpAddr) -> bool {
        let carried = carried(address);
        let within = |networks: &[IpNet]| {
            networks
                .iter()
                .any(|network| network.contains(&address) || carried.is_some_and(|inner| network.contains(&inner)))
        };
        if within(&self.denied_networks) {
            return false;
        }
        within(&self.allowed_networks) || is_public(carried.unwrap_or(address))
    }

    /// Returns the permitted addresses of a name. Fails if there are none.
    pub(crate) fn permitted(&self, host: &str, mut addresses: Vec<IpAddr>) -> Result<Vec<IpAddr>> {
        if self.allows_host(host) {
            return Ok(addresses);
        }
        addresses.retain(|address| self.permits(*address));
        if addresses.is_empty() {
            return Err(denied());
        }
        Ok(addresses)
    }

    /// Checks the address in a URL. Names are not checked here, but after resolution.
    pub(crate) fn check_url(&self, url: &Url) -> Result<()> {
        let address: IpAddr = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) | None => return Ok(()),
        };
        if self.permits(address) || self.allows_host(&address.to_string()) {
            return Ok(());
        }
        Err(denied())
    }

    pub(super) fn allows_host(&self, host: &str) -> bool {
        !self.allowed_hosts.is_empty() && {
            let host = normal(host);
            self.allowed_hosts.iter().any(|allowed| normal(allowed) == host)
        }
    }
}

impl Validate for SsrfGuard {
    fn validate(&self) -> Result<()> {
        self.allowed_hosts
            .iter()
            .try_for_each(|host| validate::not_blank(host, "allowed_hosts"))
    }
}

/// Omits the address, so that a caller cannot probe internal names.
pub(super) fn denied() -> NetworkError {
    NetworkError::new(
        ErrorKind::DestinationDenied,
        "http.request",
        "requests to this destination are not allowed",
    )
}

/// IPv4 networks that are not public (IANA special-purpose registry), and one public address of an internal cloud service.
static DENIED_V4: LazyLock<Vec<Ipv4Net>> = LazyLock::new(|| {
    parsed(&[
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
        // The platform channel of Azure virtual machines.
        "168.63.129.16/32",
    ])
});

/// Networks within `2000::/3` that are not public. No address outside `2000::/3` is.
static DENIED_V6: LazyLock<Vec<Ipv6Net>> = LazyLock::new(|| parsed(&["2001::/23", "2001:db8::/32", "3fff::/20"]));

static GLOBAL_UNICAST_V6: LazyLock<Ipv6Net> =
    LazyLock::new(|| Ipv6Net::new_assert(Ipv6Addr::new(0x2000, 0, 0, 0, 0, 0, 0, 0), 3));

fn parsed<N: std::str::FromStr<Err: std::fmt::Debug>>(networks: &[&str]) -> Vec<N> {
    networks
        .iter()
        .map(|network| network.parse().expect("the table has networks"))
        .collect()
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => !DENIED_V4.iter().any(|network| network.contains(&address)),
        IpAddr::V6(address) => {
            GLOBAL_UNICAST_V6.contains(&address) && !DENIED_V6.iter().any(|network| network.contains(&address))
        }
    }
}

/// The IPv4 address that is embedded in an IPv6 address: mapped, 6to4, or with the well-known prefix of NAT64.
fn carried(address: IpAddr) -> Option<IpAddr> {
    let IpAddr::V6(address) = address else {
        return None;
    };
    let inner = match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Ipv4Addr::from((u32::from(high) << 16) | u32::from(low))
        }
        _ => return None,
    };
    Some(inner.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_public_addresses_are_permitted() {
        let guard = SsrfGuard::new();
        for denied in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.100.100.200",
            "127.0.0.1",
            "127.255.255.254",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.192",
            "192.168.1.1",
            "198.18.0.1",
            "203.0.113.9",
            "224.0.0.1",
            "239.255.255.255",
            "240.0.0.1",
            "255.255.255.255",
            "168.63.129.16",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:192.168.0.1",
            "64:ff9b::10.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b:1::1",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "3fff::1",
            "5f00::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!guard.permits(denied.parse().unwrap()), "{denied}");
        }
        for public in [
            "1.1.1.1",
            "8.8.8.8",
            "100.63.255.255",
            "100.128.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "223.255.255.255",
            "2606:4700::1111",
            "::ffff:8.8.8.8",
            "64:ff9b::8.8.8.8",
            "2002:808:808::1",
        ] {
            assert!(guard.permits(public.parse().unwrap()), "{public}");
        }
    }

    #[test]
    fn networks_can_be_allowed_and_denied() {
        let guard = SsrfGuard::new()
            .with_allowed_network("10.0.0.0/8".parse().unwrap())
            .with_denied_network("10.9.0.0/16".parse().unwrap())
            .with_denied_network("8.8.8.0/24".parse().unwrap());
        for (address, permitted) in [
            ("10.1.0.1", true),
            ("::ffff:10.1.0.1", true),
            ("10.9.0.1", false),
            ("::ffff:10.9.0.1", false),
            ("8.8.8.8", false),
            ("8.8.9.8", true),
            ("192.168.0.1", false),
        ] {
            assert_eq!(guard.permits(address.parse().unwrap()), permitted, "{address}");
        }
    }

    #[test]
    fn a_name_keeps_its_permitted_addresses() {
        let guard = SsrfGuard::new().with_allowed_host("Inside.test");
        let addresses = || vec!["10.0.0.1".parse().unwrap(), "8.8.8.8".parse().unwrap()];
        assert_eq!(guard.permitted("mixed.test", addresses()).unwrap(), addresses()[1..]);
        assert_eq!(guard.permitted("inside.test.", addresses()).unwrap(), addresses());
        let error = guard.permitted("private.test", addresses()[..1].to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::DestinationDenied);
        assert!(!error.retryability().is_retryable());
        assert!(!error.to_string().contains("10.0.0.1"), "{error}");
    }

    #[test]
    fn addresses_in_urls_are_checked_in_every_spelling() {
        let guard = SsrfGuard::new();
        for url in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://0177.0.0.1/",
            "http://127.1/",
            "http://[::1]/",
            "http://[::ffff:7f00:1]/",
            "http://１２７.0.0.1/",
        ] {
            let url = Url::parse(url).unwrap();
            assert_eq!(
                guard.check_url(&url).unwrap_err().kind(),
                ErrorKind::DestinationDenied,
                "{url}"
            );
        }
        guard.check_url(&Url::parse("http://8.8.8.8/").unwrap()).unwrap();
        let named = SsrfGuard::new().with_allowed_host("::1");
        named.check_url(&Url::parse("http://[::1]/").unwrap()).unwrap();
    }
}
