//! SOCKS 5 (RFC 1928, RFC 1929), with the cargo feature `socks`.

use std::net::SocketAddr;

use networking_spi::http::ProxyConfig;
use networking_spi::{NetworkError, Result};

/// The destination that a SOCKS proxy is asked to connect to.
#[cfg_attr(not(feature = "socks"), allow(dead_code, reason = "read only with the feature"))]
pub(super) enum Target {
    Address(SocketAddr),
    /// A host name that the proxy resolves, and a port.
    Name(String, u16),
}

/// Fails for a SOCKS proxy in a build without SOCKS.
pub(crate) fn check_available(proxy: &ProxyConfig) -> Result<()> {
    if cfg!(feature = "socks") || !proxy.url.scheme().starts_with("socks") {
        Ok(())
    } else {
        Err(not_built())
    }
}

fn not_built() -> NetworkError {
    NetworkError::not_built("http.request", "socks", "socks")
}

#[cfg(not(feature = "socks"))]
#[allow(clippy::unused_async, reason = "has the signature of the function with the feature")]
pub(super) async fn connect<S>(_stream: S, _target: Target, _credentials: Option<&(String, String)>) -> Result<S> {
    Err(not_built())
}

#[cfg(feature = "socks")]
pub(super) use client::connect;

#[cfg(feature = "socks")]
mod client {
    use networking_spi::{ErrorKind, Result};
    use tokio::io::{AsyncRead, AsyncWrite};
    use tokio_socks::tcp::Socks5Stream;
    use tokio_socks::{Error as SocksError, TargetAddr};

    use super::Target;
    use crate::connect::diagnosis::Diagnosis;
    use crate::connect::proxy::{SOCKS, unauthenticated, unsent};

    /// Asks a SOCKS proxy for a connection to `target`.
    pub(in crate::connect) async fn connect<S>(
        stream: S,
        target: Target,
        credentials: Option<&(String, String)>,
    ) -> Result<S>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let target = match target {
            Target::Address(address) => TargetAddr::Ip(address),
            Target::Name(host, port) => TargetAddr::Domain(host.into(), port),
        };
        let opened = match credentials {
            Some((username, password)) => {
                Socks5Stream::connect_with_password_and_socket(stream, target, username, password).await
            }
            None => Socks5Stream::connect_with_socket(stream, target).await,
        };
        opened
            .map(Socks5Stream::into_inner)
            .map_err(|error| unsent(diagnose(&error)).with_source(error))
    }

    fn diagnose(error: &SocksError) -> Diagnosis {
        let message = match error {
            SocksError::NoAcceptableAuthMethods
            | SocksError::AuthorizationRequired
            | SocksError::PasswordAuthFailure(_) => return unauthenticated(),
            SocksError::Io(_) => "the connection to the SOCKS proxy failed",
            SocksError::InvalidResponseVersion
            | SocksError::InvalidReservedByte
            | SocksError::UnknownAddressType
            | SocksError::UnknownAuthMethod => "the proxy does not speak SOCKS 5",
            SocksError::InvalidTargetAddress(_) | SocksError::InvalidAuthValues(_) => {
                return Diagnosis::new(
                    ErrorKind::InvalidInput,
                    "a host name, user name or password is empty or too long for SOCKS",
                );
            }
            SocksError::ConnectionNotAllowedByRuleset => "the SOCKS proxy does not allow the connection",
            SocksError::NetworkUnreachable
            | SocksError::HostUnreachable
            | SocksError::ConnectionRefused
            | SocksError::TtlExpired => "the SOCKS proxy cannot reach the destination",
            _ => "the SOCKS proxy did not connect",
        };
        Diagnosis::because(ErrorKind::Proxy, SOCKS, message)
    }
}
