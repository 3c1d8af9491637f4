//! WebSocket connections over tokio-tungstenite and rustls.

mod connection;
#[cfg(feature = "websocket-compression")]
mod deflate;
mod error;
mod extension;
mod frames;
mod handshake;
mod inbox;
mod keepalive;
mod listener;
mod memory;
mod reader;
mod reconnect;
mod wire;

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::Result;
use networking_spi::http::HttpClient;
use networking_spi::websocket::{WebSocketCapabilities, WebSocketClient, WebSocketConnection, WebSocketRequest};

use self::connection::Connection;

pub use listener::WebSocketListener;
pub use memory::{MemoryWebSocketClient, MemoryWebSocketServer};
pub use reconnect::{
    OpenHook, ReconnectEvent, ReconnectPolicy, ReconnectingWebSocket, ReconnectingWebSocketBuilder,
    ReconnectingWebSocketClient,
};

const OPERATION: &str = "websocket.connect";
const SEND: &str = "websocket.send";
const RECEIVE: &str = "websocket.receive";

/// Whether this build can compress messages.
pub(crate) const CAPABILITIES: WebSocketCapabilities = {
    let mut capabilities = WebSocketCapabilities::none();
    capabilities.compression = extension::IS_BUILT;
    capabilities
};

/// Opens WebSocket connections with an HTTP client: the opening handshake is a request of that client.
///
/// For a [`StandardHttpClient`](crate::StandardHttpClient), which is an `HttpExtended`, use
/// [`HttpWebSocketClient`](networking_spi::websocket::HttpWebSocketClient); this connector is for transports and other clients. The
/// URLs that interceptors and errors show are those of the handshake, `http` and `https`.
///
/// So it has the client's credentials, cookies, default headers and interceptors, and goes through its resolver, SSRF guard,
/// proxy and TLS configuration. Redirects are followed, refusals are retried, and the rate limit and the circuit breaker apply, as
/// the client is configured; a handshake is neither hedged nor answered by the cache. User information in the URL becomes a Basic
/// `Authorization` header. The client's transport must be a [`HyperTransport`](crate::HyperTransport) or a
/// `ReqwestTransport`, directly or inside wrappers; others are `Unsupported`.
///
/// Each WebSocket connection opens a TCP connection, for HTTP/1.1, which the limits and statistics of the pool do not count. Proxies
/// give a tunnel (CONNECT, SOCKS 5), also for `ws`.
///
/// A background task of each connection reads. It answers pings, sends a ping when nothing arrives for
/// [`ping_interval`](networking_spi::websocket::WebSocketOptions::ping_interval), and ends the connection if nothing arrives within
/// the `pong_timeout` after it, whether or not the application receives. Every received byte counts as activity, also within a long
/// message. What the application has not received yet is bounded by
/// [`max_unread`](networking_spi::websocket::WebSocketOptions::max_unread). Dropping the connection drops the socket. A cancelled
/// `send` sends its message completely or not at all; a message may stay in the write buffer until the next one is sent.
///
/// [Compression](networking_spi::websocket::WebSocketCompression) needs the cargo feature `websocket-compression`.
///
/// ```no_run
/// use std::sync::Arc;
/// use networking_http::HyperTransport;
/// use networking_http::websocket::WebSocketConnector;
/// use networking_spi::prelude::*;
/// use networking_spi::websocket::WebSocketRequest;
///
/// # async fn example() -> Result<(), NetworkError> {
/// let http = HyperTransport::new(Default::default())?;
/// let client = WebSocketConnector::new(Arc::new(http));
/// let connection = client.connect(WebSocketRequest::new("wss://echo.example.com/")?).await?;
/// connection.send_text("hello").await?;
/// println!("{:?}", connection.next().await?);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct WebSocketConnector {
    http: Arc<dyn HttpClient>,
}

impl WebSocketConnector {
    /// Opens connections with this client.
    pub fn new(http: Arc<dyn HttpClient>) -> Self {
        Self { http }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl WebSocketClient for WebSocketConnector {
    async fn connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        connect(&*self.http, request).await
    }

    fn capabilities(&self) -> WebSocketCapabilities {
        CAPABILITIES
    }
}

/// Opens a connection with this client.
pub(crate) async fn connect(http: &dyn HttpClient, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
    handshake::check(&request)?;
    let agreed = handshake::perform(http, &request).await?;
    Ok(Arc::new(Connection::start(agreed, request.options).await))
}
