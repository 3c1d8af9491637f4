//! The host of a URL: its name in errors, and whether it is this machine.

#[cfg(any(feature = "cookies", feature = "jwt", feature = "oauth2"))]
use url::Host;
use url::{Position, Url};

/// Host and port as in the URL, without user information.
pub(crate) fn of(url: &Url) -> &str {
    &url[Position::BeforeHost..Position::AfterPort]
}

/// Whether the host is this machine, so that what is sent does not leave it.
#[cfg(any(feature = "cookies", feature = "jwt", feature = "oauth2"))]
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}
