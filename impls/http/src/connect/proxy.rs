//! Proxies, and the tunnel through an HTTP proxy.

use http::{HeaderValue, StatusCode};
use networking_spi::http::{ProxyConfig, status};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, SendState};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use url::Url;

use super::basic;
use super::diagnosis::{Diagnosis, PROXY_AUTHENTICATION, WANTS_CREDENTIALS};

/// The largest accepted head of a response to CONNECT, in bytes.
const MAX_HEAD: usize = 16 << 10;

pub(super) const SOCKS: &str = "socks";

pub(crate) struct Proxy {
    pub(crate) url: Url,
    pub(crate) kind: ProxyKind,
}

pub(crate) enum ProxyKind {
    /// Forwards `http` requests, and tunnels everything else.
    Http { authorization: Option<HeaderValue> },
    Socks {
        credentials: Option<(String, String)>,
        /// `socks5h`: the proxy resolves names.
        resolves: bool,
    },
}

impl Proxy {
    pub(crate) fn new(config: &ProxyConfig) -> Self {
        let credentials = basic::of_proxy(config);
        let kind = match config.url.scheme() {
            scheme @ ("socks5" | "socks5h") => ProxyKind::Socks {
                credentials,
                resolves: scheme == "socks5h",
            },
            _ => ProxyKind::Http {
                authorization: credentials.map(|(username, password)| basic::credentials(&username, &password)),
            },
        };
        Self {
            url: config.url.clone(),
            kind,
        }
    }

    /// Maps a failure to connect to the proxy to the kind `Proxy`. A timeout stays a timeout.
    pub(crate) fn unreachable(&self, cause: NetworkError) -> NetworkError {
        if cause.kind() == ErrorKind::Timeout {
            return cause;
        }
        let diagnosis = match self.kind {
            ProxyKind::Socks { .. } => Diagnosis::because(ErrorKind::Proxy, SOCKS, "the SOCKS proxy cannot be reached"),
            ProxyKind::Http { .. } => {
                Diagnosis::because(ErrorKind::Proxy, "unreachable", "the proxy cannot be reached")
            }
        };
        unsent(diagnosis).with_source(cause)
    }

    pub(crate) fn port(&self) -> u16 {
        self.url.port_or_known_default().unwrap_or(1080)
    }
}

/// Asks an HTTP proxy for a tunnel (RFC 9110, section 9.3.6).
pub(crate) async fn tunnel<S>(mut stream: S, target: &str, authorization: Option<&HeaderValue>) -> Result<S>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
    if let Some(authorization) = authorization {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(authorization.as_bytes());
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    let broken = |cause| tunnel_failed("the connection to the proxy failed").with_source(cause);
    stream.write_all(&request).await.map_err(broken)?;

    let mut answer = Vec::with_capacity(512);
    let end = loop {
        if let Some(end) = answer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if answer.len() >= MAX_HEAD {
            return Err(tunnel_failed("the proxy's response is too long"));
        }
        if stream.read_buf(&mut answer).await.map_err(broken)? == 0 {
            return Err(tunnel_failed("the proxy closed the connection without a response"));
        }
    };
    let status = std::str::from_utf8(&answer[..end])
        .ok()
        .and_then(|head| head.strip_prefix("HTTP/1."))
        .and_then(|rest| rest.get(2..5)?.parse::<u16>().ok());
    match status {
        // The origin sends nothing before the client does: bytes after the head come from the proxy.
        Some(200..=299) if end < answer.len() => Err(tunnel_failed("the proxy sent data after its response")),
        Some(200..=299) => Ok(stream),
        Some(407) => Err(unsent(unauthenticated())),
        Some(status) => Err(no_tunnel(status)),
        None => Err(tunnel_failed("the proxy does not speak HTTP")),
    }
}

pub(super) fn unauthenticated() -> Diagnosis {
    Diagnosis::because(ErrorKind::Proxy, PROXY_AUTHENTICATION, WANTS_CREDENTIALS)
}

/// The error for a status of the proxy. A 4xx, except transient ones, is not retryable.
fn no_tunnel(status: u16) -> NetworkError {
    let error = tunnel_failed("the proxy did not open a tunnel").with_context("proxy_status", status.to_string());
    let transient = StatusCode::from_u16(status).is_ok_and(status::is_transient);
    if (400..500).contains(&status) && !transient {
        error.with_retryability(Retryability::Never)
    } else {
        error
    }
}

fn tunnel_failed(message: &'static str) -> NetworkError {
    unsent(Diagnosis::because(ErrorKind::Proxy, "tunnel", message))
}

/// An error before the request was sent.
pub(super) fn unsent(diagnosis: Diagnosis) -> NetworkError {
    diagnosis.into_error().with_send_state(SendState::NotSent)
}
