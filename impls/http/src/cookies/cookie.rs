//! A stored cookie, and the requests that it belongs to.

use time::OffsetDateTime;
use url::{Host, Url};

use super::set_cookie::{Prefix, SetCookie};
use super::suffixes;
use crate::marks::host;

/// A cookie in the jar. Name, value and path are bytes, because they need not be text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Cookie {
    /// Empty for a cookie without a name.
    pub(super) name: Box<[u8]>,
    pub(super) value: Box<[u8]>,
    pub(super) domain: Domain,
    pub(super) path: Path,
    /// `None`: a session cookie.
    pub(super) expires: Option<OffsetDateTime>,
    pub(super) secure: bool,
    pub(super) http_only: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Domain {
    /// Only this host.
    Host(Box<str>),
    /// This host and the hosts below it.
    Suffix(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) bytes: Box<[u8]>,
    /// Whether an attribute set it.
    pub(super) explicit: bool,
}

impl Cookie {
    /// The cookie that a response from `url` sets (RFC 6265bis, section 5.7), without its expiry.
    ///
    /// # Errors
    /// The reason why the cookie is refused.
    pub(super) fn new(set: &SetCookie<'_>, url: &Url) -> Result<Self, &'static str> {
        if set.secure && !is_secure(url) {
            return Err("is Secure, but was set over an insecure connection");
        }
        let cookie = Self {
            name: set.name.into(),
            value: set.value.into(),
            domain: domain(set.domain, url)?,
            path: match set.path {
                Some(path) => Path {
                    bytes: path.into(),
                    explicit: true,
                },
                None => Path {
                    bytes: default_path(url).as_bytes().into(),
                    explicit: false,
                },
            },
            expires: None,
            secure: set.secure,
            http_only: set.http_only,
        };
        cookie.check_prefix(set)?;
        Ok(cookie)
    }

    /// Checks the conditions of a name prefix (RFC 6265bis, section 4.1.3).
    pub(super) fn check_prefix(&self, set: &SetCookie<'_>) -> Result<(), &'static str> {
        let Some(prefix) = set.prefix() else {
            return Ok(());
        };
        if set.name.is_empty() {
            return Err("has no name, and its value begins with a name prefix");
        }
        if !self.secure {
            return Err("has a name prefix that requires Secure");
        }
        let for_root_of_host =
            matches!(self.domain, Domain::Host(_)) && self.path.explicit && *self.path.bytes == *b"/";
        if prefix == Prefix::Host && !for_root_of_host {
            return Err("has a name prefix that requires Secure, the path / and no domain");
        }
        Ok(())
    }

    /// Whether requests to `url` send the cookie.
    pub(super) fn matches(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let here = match &self.domain {
            Domain::Host(own) => **own == *host,
            Domain::Suffix(domain) => domain_matches(host, domain),
        };
        here && is_path_within(url.path().as_bytes(), &self.path.bytes) && (!self.secure || is_secure(url))
    }

    pub(super) fn has_expired(&self, now: OffsetDateTime) -> bool {
        self.expires.is_some_and(|end| end <= now)
    }

    /// Whether the cookies cannot both be in a jar.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name && self.domain == other.domain && self.path.bytes == other.path.bytes
    }

    /// Whether `self`, from an insecure connection, would replace or hide the `Secure` cookie `known`, for all or for some of its
    /// hosts and paths.
    pub(super) fn shadows(&self, known: &Self) -> bool {
        let (new, old) = (self.domain.name(), known.domain.name());
        known.secure
            && known.name == self.name
            && (is_within(new, old) || is_within(old, new))
            && is_path_within(&self.path.bytes, &known.path.bytes)
    }

    /// The cookie in a `Cookie` header.
    pub(super) fn write_to(&self, header: &mut Vec<u8>) {
        if !self.name.is_empty() {
            header.extend_from_slice(&self.name);
            header.push(b'=');
        }
        header.extend_from_slice(&self.value);
    }

    /// The number of bytes that [`write_to`](Self::write_to) writes.
    pub(super) fn len(&self) -> usize {
        self.name.len() + usize::from(!self.name.is_empty()) + self.value.len()
    }
}

impl Domain {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Host(name) | Self::Suffix(name) => name,
        }
    }
}

/// The domain of a cookie from `url` with this `Domain` attribute.
fn domain(attribute: &[u8], url: &Url) -> Result<Domain, &'static str> {
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("has no host")?;
    let this_host = || Domain::Host(host.into());
    if attribute.is_empty() {
        return Ok(this_host());
    }
    let domain = std::str::from_utf8(attribute)
        .ok()
        .filter(|domain| domain.is_ascii())
        .ok_or("has a domain that is not ASCII")?
        .to_ascii_lowercase();
    if suffixes::is_public(&domain) {
        return if domain == host {
            Ok(this_host())
        } else {
            Err("is for a public suffix")
        };
    }
    if !domain_matches(host, &domain) {
        return Err("is for another domain");
    }
    Ok(Domain::Suffix(domain.into()))
}

/// Whether `host` is `domain`, or a name below it (RFC 6265bis, section 5.1.3).
fn domain_matches(host: &str, domain: &str) -> bool {
    host == domain || (is_within(host, domain) && matches!(Host::parse(host), Ok(Host::Domain(_))))
}

/// Whether `host` is `domain` or a subdomain of it.
fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain)
        .is_some_and(|below| below.is_empty() || below.ends_with('.'))
}

/// Whether `path` is `of` or below it.
fn is_path_within(path: &[u8], of: &[u8]) -> bool {
    path.strip_prefix(of)
        .is_some_and(|below| below.is_empty() || below.starts_with(b"/") || of.ends_with(b"/"))
}

/// The path of a cookie without `Path`: the directory of the URL (RFC 6265bis, section 5.1.4).
fn default_path(url: &Url) -> &str {
    let path = url.path();
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => &path[..end],
    }
}

/// Whether requests to `url` are protected against attackers on the network.
pub(super) fn is_secure(url: &Url) -> bool {
    url.scheme() == "https" || host::is_loopback(url)
}
