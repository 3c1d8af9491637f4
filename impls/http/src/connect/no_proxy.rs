//! The hosts that are reached without a proxy.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use networking_spi::{NetworkError, Result};
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use url::{Host, Url};

/// The hosts that are reached without a proxy, in the notation of the variable `NO_PROXY`: entries between commas or spaces.
///
/// | entry | matches |
/// |---|---|
/// | `*` | every host |
/// | `example.com`, `.example.com` | the host and all its subdomains |
/// | `*.example.com` | the subdomains only |
/// | `192.0.2.1`, `2001:db8::1`, `[2001:db8::1]` | URLs with this address |
/// | `10.0.0.0/8`, `10/8`, `fd00::/8` | URLs with an address of this network |
/// | any of these except networks, with `:8080` | the same, if the URL has this port, explicitly or by its scheme |
///
/// Letter case and the dot at the end of a host name have no meaning. Names are not resolved: an address matches only URLs that
/// have an address in place of a name. Nothing is matched by default, not even `localhost`.
///
/// In a configuration, it is one string or a list of entries.
///
/// ```
/// use networking_http::NoProxy;
///
/// let direct: NoProxy = "localhost, .corp.example, 10.0.0.0/8, registry.example:5000".parse()?;
/// assert!(direct.matches(&"https://build.corp.example/".parse().unwrap()));
/// assert!(direct.matches(&"http://10.1.2.3:8080/".parse().unwrap()));
/// assert!(!direct.matches(&"http://registry.example/".parse().unwrap()));
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NoProxy(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Hosts {
    All,
    /// A network, or one address.
    Network(IpNet),
    /// In lower case and ASCII, without dots at its ends.
    Domain {
        name: String,
        only_subdomains: bool,
    },
}

impl NoProxy {
    /// No hosts.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Whether no host is in the list.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the host of this URL is reached without a proxy.
    pub fn matches(&self, url: &Url) -> bool {
        let (host, port) = (url.host(), url.port_or_known_default());
        self.0.iter().any(|entry| {
            let hosts = &entry.hosts;
            (entry.port.is_none() || entry.port == port) && host.as_ref().is_some_and(|host| hosts.contains(host))
        })
    }

    /// Adds the entries of another list.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}

impl Hosts {
    fn contains(&self, host: &Host<&str>) -> bool {
        let address: IpAddr = match host {
            Host::Ipv4(address) => (*address).into(),
            Host::Ipv6(address) => (*address).into(),
            Host::Domain(host) => return self.contains_name(host),
        };
        match self {
            Self::All => true,
            Self::Network(network) => network.contains(&address) || network.contains(&address.to_canonical()),
            Self::Domain { .. } => false,
        }
    }

    fn contains_name(&self, host: &str) -> bool {
        match self {
            Self::All => true,
            Self::Network(_) => false,
            Self::Domain { name, only_subdomains } => {
                let host = host.strip_suffix('.').unwrap_or(host);
                match host.len().checked_sub(name.len()) {
                    Some(0) => !only_subdomains && host.eq_ignore_ascii_case(name),
                    Some(rest) => {
                        let host = host.as_bytes();
                        host[rest - 1] == b'.' && host[rest..].eq_ignore_ascii_case(name.as_bytes())
                    }
                    None => false,
                }
            }
        }
    }
}

impl FromStr for NoProxy {
    type Err = NetworkError;

    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming `no_proxy` and the entry.
    fn from_str(text: &str) -> Result<Self> {
        text.split(|char: char| char == ',' || char.is_whitespace())
            .filter(|entry| !entry.is_empty())
            .map(Entry::parse)
            .collect::<Result<_>>()
            .map(Self)
    }
}

impl Entry {
    fn parse(text: &str) -> Result<Self> {
        Self::read(text).map_err(|reason| {
            // A user may write a URL with credentials in place of a host.
            let shown = if text.contains('@') { "an entry that" } else { text };
            NetworkError::invalid_input("no_proxy", format!("{shown} {reason}"))
        })
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        if text.contains("://") {
            return Err("is a URL: write the host, or host:port");
        }
        if let Some((address, bits)) = text.split_once('/') {
            // Apple's lists leave out zeros at the end: `169.254/16`.
            let missing = if address.contains(':') {
                0
            } else {
                3_usize.saturating_sub(address.matches('.').count())
            };
            let full = format!("{address}{}/{bits}", ".0".repeat(missing));
            let network: IpNet = full.parse().map_err(|_| "is not a network: write address/bits")?;
            return Ok(Hosts::Network(network.trunc()).at(None));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Hosts::Network(address.into()).at(None));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
            _ => (text, None),
        };
        let port = match port {
            Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
                Some(port.parse().map_err(|_| "has no port between 0 and 65535")?)
            }
            Some(_) => return Err("has no port between 0 and 65535"),
            None => None,
        };
        Ok(Hosts::read(host)?.at(port))
    }
}

impl Hosts {
    fn at(self, port: Option<u16>) -> Entry {
        Entry { hosts: self, port }
    }

    fn read(text: &str) -> Result<Self, &'static str> {
        if text == "*" {
            return Ok(Self::All);
        }
        let (name, only_subdomains) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text.strip_prefix('.').unwrap_or(text), false),
        };
        if name.contains('*') {
            return Err("has a wildcard that is neither alone nor in front of a dot: write a suffix or address/bits");
        }
        let name = name.strip_suffix('.').unwrap_or(name);
        match Host::parse(name) {
            Ok(Host::Ipv4(address)) => Ok(Self::Network(IpAddr::from(address).into())),
            Ok(Host::Ipv6(address)) => Ok(Self::Network(IpAddr::from(address).into())),
            Ok(Host::Domain(name)) if !name.is_empty() && !name.starts_with('.') && name.bytes().all(is_of_name) => {
                Ok(Self::Domain { name, only_subdomains })
            }
            Ok(Host::Domain(_)) | Err(_) => Err("is not a host"),
        }
    }
}

/// Whether names of hosts have this byte. Others, such as quotes and `;`, match nothing, and are mistakes.
const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.')
}

impl fmt::Display for NoProxy {
    /// The entries, between commas.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, entry) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(",")?;
            }
            write!(f, "{entry}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::All => f.write_str("*")?,
            Hosts::Network(network) if network.prefix_len() < network.max_prefix_len() => write!(f, "{network}")?,
            Hosts::Network(IpNet::V6(network)) if self.port.is_some() => write!(f, "[{}]", network.addr())?,
            Hosts::Network(network) => write!(f, "{}", network.addr())?,
            Hosts::Domain { name, only_subdomains } => {
                f.write_str(if *only_subdomains { "*." } else { "" })?;
                f.write_str(name)?;
            }
        }
        match self.port {
            Some(port) => write!(f, ":{port}"),
            None => Ok(()),
        }
    }
}

impl Serialize for NoProxy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(ToString::to_string))
    }
}

impl<'de> Deserialize<'de> for NoProxy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Clone, Copy)]
        struct Entries;

        impl<'de> Visitor<'de> for Entries {
            type Value = NoProxy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("hosts between commas, or a list of hosts")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<NoProxy, E> {
                text.parse().map_err(|error: NetworkError| E::custom(error.message()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<NoProxy, A::Error> {
                let mut entries = NoProxy::new();
                while let Some(text) = list.next_element::<String>()? {
                    entries.extend(self.visit_str(&text)?);
                }
                Ok(entries)
            }
        }

        deserializer.deserialize_any(Entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_an_entry_matches_what_it_says() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            ("*", &["http://a.test/", "https://192.0.2.1/", "http://[::1]/"], &[]),
            (
                "example.com",
                &[
                    "http://example.com/",
                    "https://a.b.example.com:8443/",
                    "http://EXAMPLE.com./",
                ],
                &["http://badexample.com/", "http://example.com.evil.test/", "http://com/"],
            ),
            (
                ".example.com",
                &["http://example.com/", "http://a.example.com/"],
                &["http://badexample.com/"],
            ),
            ("*.example.com", &["http://a.example.com/"], &["http://example.com/"]),
            ("EXAMPLE.com.", &["http://a.example.com/"], &["http://example.org/"]),
            (
                "example.com:8080",
                &["http://example.com:8080/", "http://a.example.com:8080/"],
                &["http://example.com/", "https://example.com/"],
            ),
            ("example.com:443", &["https://example.com/"], &["http://example.com/"]),
            ("*:8080", &["http://a.test:8080/"], &["http://a.test/"]),
            (
                "localhost",
                &["http://localhost:3000/", "http://app.localhost/"],
                &["http://127.0.0.1/"],
            ),
            (
                "192.0.2.1",
                &["http://192.0.2.1:81/", "http://[::ffff:192.0.2.1]/"],
                &["http://192.0.2.11/"],
            ),
            ("192.0.2.1:80", &["http://192.0.2.1/"], &["https://192.0.2.1/"]),
            (
                "::1",
                &["http://[::1]/", "http://[0:0:0:0:0:0:0:1]:81/"],
                &["http://127.0.0.1/"],
            ),
            ("[::1]", &["http://[::1]/"], &["http://[::2]/"]),
            ("[::1]:81", &["http://[::1]:81/"], &["http://[::1]/"]),
            (
                "10.0.0.0/8",
                &["http://10.200.3.4/"],
                &["http://11.0.0.1/", "http://10.test/"],
            ),
            ("10.1.2.3/8", &["http://10.200.3.4/"], &[]),
            ("169.254/16", &["http://169.254.169.254/"], &["http://169.253.0.1/"]),
            ("fd00::/8", &["http://[fd12::1]/"], &["http://[fe80::1]/"]),
            (
                "bücher.example",
                &["http://xn--bcher-kva.example/", "http://BÜCHER.example/"],
                &[],
            ),
            ("a_b.test", &["http://a_b.test/"], &[]),
            ("", &[], &["http://a.test/"]),
            (" , ,", &[], &["http://a.test/"]),
        ];
        for (text, direct, proxied) in rows {
            let list: NoProxy = text.parse().unwrap();
            for url in *direct {
                assert!(list.matches(&url.parse().unwrap()), "{text} {url}");
            }
            for url in *proxied {
                assert!(!list.matches(&url.parse().unwrap()), "{text} {url}");
            }
            let again: NoProxy = list.to_string().parse().unwrap();
            assert_eq!(again, list, "{text}");
        }
    }

    #[test]
    fn entries_stand_between_commas_and_spaces() {
        let list: NoProxy = " a.test,b.test c.test\t, [::1]:81 ,10.0.0.0/8".parse().unwrap();
        assert_eq!(list.to_string(), "a.test,b.test,c.test,[::1]:81,10.0.0.0/8");
    }

    #[test]
    fn a_wrong_entry_is_named() {
        for (text, expected) in [
            ("a.test,10.0.0.0/33", "10.0.0.0/33 is not a network"),
            ("/8", "/8 is not a network"),
            ("a.test/8", "a.test/8 is not a network"),
            ("192.168.*", "192.168.* has a wildcard"),
            ("a*.test", "a*.test has a wildcard"),
            ("http://a.test", "http://a.test is a URL"),
            ("http://bob:hunter2@a.test", "an entry that is a URL"),
            ("a.test:http", "a.test:http has no port"),
            ("a.test:", "a.test: has no port"),
            ("a.test:99999", "a.test:99999 has no port"),
            ("[::1", "[::1 "),
            (".", ". is not a host"),
            ("..a", "..a is not a host"),
            ("*.", "*. is not a host"),
            ("<local>", "<local> is not a host"),
            ("a.test;b.test", "a.test;b.test is not a host"),
            ("\"a.test\"", "\"a.test\" is not a host"),
            ("'a.test'", "'a.test' is not a host"),
        ] {
            let error = text.parse::<NoProxy>().unwrap_err();
            assert_eq!(error.field(), Some("no_proxy"), "{text}");
            assert!(error.message().starts_with(expected), "{text}: {error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
