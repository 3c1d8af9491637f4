//! The contract `WebSocketClient`, and the adapter that makes one of an HTTP client.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

use super::{WebSocketConnection, WebSocketRequest};
use crate::capabilities::capabilities;
use crate::error::Result;
use crate::http::HttpExtended;

capabilities! {
    /// What a [`WebSocketClient`] supports.
    pub struct WebSocketCapabilities {
        /// [`WebSocketOptions::compression`](super::WebSocketOptions::compression).
        compression,
    }
}

/// Opens WebSocket connections.
///
/// ```
/// use networking_spi::prelude::*;
/// use networking_spi::websocket::WebSocketRequest;
///
/// async fn greet(client: &dyn WebSocketClient) -> Result<(), NetworkError> {
///     let connection = client.connect(WebSocketRequest::new("wss://chat.example.com/")?).await?;
///     connection.send_text("hello").await?;
///     while let Some(message) = connection.next().await? {
///         println!("{message:?}");
///     }
///     Ok(())
/// }
/// ```
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait WebSocketClient: fmt::Debug + Send + Sync + 'static {
    /// Opens a connection.
    ///
    /// Cancel safety: dropping the future drops the connection.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field, connection errors,
    /// [`Timeout`](crate::ErrorKind::Timeout) after
    /// [`handshake_timeout`](super::WebSocketOptions::handshake_timeout), [`Protocol`](crate::ErrorKind::Protocol) for an
    /// answer that RFC 6455 does not allow, and [`Status`](crate::ErrorKind::Status), or the kind for that status, if the
    /// peer refuses the handshake. [`NetworkError::response`](crate::NetworkError::response) of such an error is the answer
    /// of the peer.
    async fn connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>>;

    /// What this implementation supports.
    fn capabilities(&self) -> WebSocketCapabilities;
}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<C: WebSocketClient + ?Sized> WebSocketClient for $pointer<C> {
            async fn connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
                (**self).connect(request).await
            }

            fn capabilities(&self) -> WebSocketCapabilities {
                (**self).capabilities()
            }
        }
    )+};
}

delegate!(Arc, Box);

/// The [`WebSocketClient`] of an HTTP client: it calls [`HttpExtended::websocket_connect`].
///
/// ```
/// use std::sync::Arc;
/// use networking_spi::prelude::*;
/// use networking_spi::websocket::HttpWebSocketClient;
///
/// fn sockets(http: Arc<dyn HttpExtended>) -> Arc<dyn WebSocketClient> {
///     Arc::new(HttpWebSocketClient::new(http))
/// }
/// ```
#[derive(Debug, Clone)]
pub struct HttpWebSocketClient<C>(C);

impl<C: HttpExtended> HttpWebSocketClient<C> {
    /// Opens connections with `http`.
    pub const fn new(http: C) -> Self {
        Self(http)
    }

    /// The HTTP client.
    pub const fn get_ref(&self) -> &C {
        &self.0
    }

    /// Returns the HTTP client.
    pub fn into_inner(self) -> C {
        self.0
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<C: HttpExtended> WebSocketClient for HttpWebSocketClient<C> {
    async fn connect(&self, request: WebSocketRequest) -> Result<Arc<dyn WebSocketConnection>> {
        self.0.websocket_connect(request).await
    }

    fn capabilities(&self) -> WebSocketCapabilities {
        let http = self.0.extended_capabilities();
        WebSocketCapabilities {
            compression: http.websocket_compression,
        }
    }
}
