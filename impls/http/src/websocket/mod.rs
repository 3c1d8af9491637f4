//! WebSocket connections over tokio-tungstenite and rustls.

mod connect;
mod connection;
mod error;
mod keepalive;
mod listener;
mod reconnect;
mod wire;

use std::fmt;
use std::sync::{Arc, OnceLock};

use networking_spi::error::ResultExt;
use networking_spi::http::{HeaderMap, header};
use networking_spi::validate::{self, Validate};
use networking_spi::websocket::{WebSocketConnection, WebSocketRequest};
use networking_spi::{NetworkError, Phase, Result};
use url::Url;

use self::connection::Connection;
use crate::connect::config::TransportConfig;
use crate::connect::connector::Connector;
use crate::connect::dns::{DnsResolver, SystemResolver};
use crate::connect::resolution::Setup;
use crate::connect::tls::client_config;

pub use listener::WebSocketListener;
pub use reconnect::{OpenHook, ReconnectEvent, ReconnectPolicy, ReconnectingWebSocket, ReconnectingWebSocketBuilder};

const OPERATION: &str = "http.websocket_connect";
const SEND: &str = "websocket.send";
const RECEIVE: &str = "websocket.receive";

/// Opens WebSocket connections with the resolver, guard, proxy, certificates and user agent of a [`TransportConfig`].
///
/// It supports `ws` and `wss` (rustls), and proxies with credentials: HTTP and HTTPS proxies with CONNECT, also for `ws`, and
/// SOCKS 5. The client's credentials are not added: put them into the request's headers. User information in the URL becomes a
/// Basic `Authorization` header. A status other than 101, including a redirect, is an error with that status.
///
/// A background task of each connection buffers up to 16 messages until they are received. It answers pings, sends a ping when
/// nothing arrives for [`ping_interval`](networking_spi::websocket::WebSocketOptions::ping_interval), and ends the connection if
/// nothing arrives within the `pong_timeout` after it. Every received byte counts as activity, also within a long message.
/// Dropping the connection drops the socket. A cancelled `send` sends its message completely or not at all; a message may stay in
/// the write buffer until the next one is sent.
///
/// Clones share the TLS configuration. It is created, and certificates are read, for the first connection that needs it.
///
/// ```no_run
/// use networking_http::HttpClientBuilder;
/// use networking_spi::prelude::*;
/// use networking_spi::websocket::WebSocketRequest;
///
/// # async fn example() -> Result<(), NetworkError> {
/// let http = HttpClientBuilder::new().build()?;
/// let connection = http.websocket_connect(WebSocketRequest::new("wss://echo.example.com/")?).await?;
/// connection.send_text("hello").await?;
/// println!("{:?}", connection.next_data().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct WebSocketConnector(Arc<Inner>);

struct Inner {
    setup: Setup,
    /// For connections that use TLS, to the server or to the proxy.
    secure: OnceLock<Connector>,
    /// For connections without TLS.
    plain: OnceLock<Connector>,
}

impl WebSocketConnector {
    /// A connector with this configuration. Only its TCP timeouts apply; the others are set per request.
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
        Ok(Self(Arc::new(Inner {
            setup: Setup::new(config, resolver)?,
            secure: OnceLock::new(),
            plain: OnceLock::new(),
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

    /// The connector for this URL.
    fn sockets(&self, url: &Url) -> Result<&Connector> {
        let proxy = self.0.setup.config.proxy.as_ref();
        let secure = url.scheme() == "wss" || proxy.is_some_and(|proxy| proxy.url.scheme() == "https");
        let made = if secure { &self.0.secure } else { &self.0.plain };
        if let Some(made) = made.get() {
            return Ok(made);
        }
        let config = &self.0.setup.config;
        let tls = if secure {
            client_config(config, config.verify_tls, &[b"http/1.1"])?
        } else {
            None
        };
        let connector = Connector::new(&self.0.setup, tls, proxy);
        Ok(made.get_or_init(|| connector))
    }

    fn user_agent(&self) -> Option<&str> {
        self.0.setup.config.user_agent.as_deref()
    }
}

impl fmt::Debug for WebSocketConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketConnector")
            .field("config", &self.0.setup.config)
            .finish_non_exhaustive()
    }
}

fn check(request: &WebSocketRequest) -> Result<()> {
    let known = matches!(request.url.scheme(), "ws" | "wss") && request.url.has_host();
    validate::ensure(known, "url", "must be a ws or wss URL")?;
    request.options.validate().in_field("options")?;
    for (index, protocol) in request.protocols.iter().enumerate() {
        let token = !protocol.is_empty()
            && protocol
                .bytes()
                .all(|byte| byte.is_ascii_graphic() && !b"()<>@,;:\\\"/[]?={}".contains(&byte));
        let first = !request.protocols[..index].contains(protocol);
        validate::ensure(token && first, "protocols", "must be distinct tokens")?;
    }
    check_headers(&request.headers)
}

/// Fails for headers that the handshake sets.
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
