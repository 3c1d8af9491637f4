//! WebSocket connections over tokio-tungstenite and rustls.

mod connect;
mod connection;
mod error;
mod tls;

use std::fmt;
use std::sync::{Arc, OnceLock};

use networking_spi::http::{HeaderMap, ProxyConfig, header};
use networking_spi::validate::{self, Validate};
use networking_spi::websocket::{WebSocketConnection, WebSocketRequest};
use networking_spi::{NetworkError, Phase, Result};
use tokio_rustls::TlsConnector;

use self::connection::Connection;
use super::transport::dns::Resolution;
use super::{DnsResolver, SystemResolver, TransportConfig};

const OPERATION: &str = "http.websocket_connect";

/// Opens WebSocket connections with the certificates, proxy, guard and user agent of a [`TransportConfig`].
///
/// `ws` and `wss` (rustls); proxies of the scheme `http`, through CONNECT. Other proxies are `Unsupported`, never passed by.
/// Credentials of a client are not added: put them into the request's headers. User information in the URL becomes a Basic
/// `Authorization` header. Redirects and refusals are errors with their status.
///
/// A connection reads ahead of its receiver, 16 messages at most, and a task of its own answers pings, sends them when nothing
/// arrives for [`ping_interval`](networking_spi::websocket::WebSocketOptions::ping_interval), and notices a peer that is gone.
/// Dropping the connection drops the socket. A send that is cancelled sends its message whole or not at all.
///
/// Clones share the TLS configuration, which is made (certificates are read) for the first `wss` connection.
#[derive(Clone)]
pub struct WebSocketConnector(Arc<Inner>);

struct Inner {
    config: TransportConfig,
    resolution: Resolution,
    tls: OnceLock<TlsConnector>,
}

impl WebSocketConnector {
    /// A connector of this configuration. Of its times only those of TCP are used: a request has its own.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field.
    pub fn new(config: TransportConfig) -> Result<Self> {
        Self::with_resolver(config, Arc::new(SystemResolver))
    }

    /// A connector that resolves names with `resolver`.
    ///
    /// # Errors
    /// Those of [`new`](Self::new).
    pub fn with_resolver(config: TransportConfig, resolver: Arc<dyn DnsResolver>) -> Result<Self> {
        config.validate()?;
        Ok(Self(Arc::new(Inner {
            resolution: Resolution {
                resolver,
                guard: config.ssrf_guard.clone().map(Arc::new),
            },
            config,
            tls: OnceLock::new(),
        })))
    }

    /// Opens a connection.
    ///
    /// Cancel safety: dropping the future drops the socket.
    ///
    /// # Errors
    /// Those of [`HttpExtended::websocket_connect`](networking_spi::http::HttpExtended::websocket_connect).
    pub async fn connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        check(&request)?;
        let limit = request.options.handshake_timeout;
        let opening = connect::open(self, &request);
        let (stream, protocol) = tokio::time::timeout(limit, opening)
            .await
            .unwrap_or_else(|_| Err(NetworkError::timeout(OPERATION, Phase::Connect, limit)))?;
        Ok(Arc::new(Connection::start(stream, protocol, request.options)))
    }

    fn tls(&self) -> Result<&TlsConnector> {
        if let Some(tls) = self.0.tls.get() {
            return Ok(tls);
        }
        let made = tls::connector(&self.0.config)?;
        Ok(self.0.tls.get_or_init(|| made))
    }

    fn resolution(&self) -> &Resolution {
        &self.0.resolution
    }

    fn proxy(&self) -> Option<&ProxyConfig> {
        self.0.config.proxy.as_ref()
    }
}

impl fmt::Debug for WebSocketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketConnector")
            .field("config", &self.0.config)
            .finish_non_exhaustive()
    }
}

fn check(request: &WebSocketRequest) -> Result<()> {
    let known = matches!(request.url.scheme(), "ws" | "wss") && request.url.has_host();
    validate::ensure(known, "url", "must be a ws or wss URL")?;
    request.options.validate().map_err(|error| error.in_field("options"))?;
    for (index, protocol) in request.protocols.iter().enumerate() {
        let token = !protocol.is_empty()
            && protocol
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte));
        let first = !request.protocols[..index].contains(protocol);
        validate::ensure(token && first, "protocols", "must be different tokens")?;
    }
    check_headers(&request.headers)
}

/// Headers of the handshake itself cannot be set.
fn check_headers(headers: &HeaderMap) -> Result<()> {
    let own = |name: &header::HeaderName| {
        matches!(*name, header::CONNECTION | header::UPGRADE | header::HOST)
            || name.as_str().starts_with("sec-websocket-")
    };
    match headers.keys().find(|name| own(name)) {
        Some(name) => Err(NetworkError::invalid_input(
            format!("headers.{name}"),
            "is set by the handshake",
        )),
        None => Ok(()),
    }
}
