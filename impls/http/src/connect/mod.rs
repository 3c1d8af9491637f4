//! Opening streams to URLs: configuration, name resolution, the SSRF guard, TLS, proxies.

pub(crate) mod basic;
pub(crate) mod config;
pub(crate) mod connector;
pub(crate) mod diagnosis;
pub(crate) mod dns;
mod environment;
pub(crate) mod guard;
mod identity;
mod no_proxy;
pub(crate) mod proxies;
mod proxy;
pub(crate) mod resolution;
pub(crate) mod socks;
pub(crate) mod stream;
pub(crate) mod tls;

pub use config::{Http2Config, HttpVersion, TransportConfig};
pub use dns::{DnsOverrides, DnsResolver, SystemResolver};
pub use guard::SsrfGuard;
pub use identity::ClientIdentity;
pub use no_proxy::NoProxy;
