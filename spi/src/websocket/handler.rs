//! Callbacks for the messages of a connection.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::future::BoxFuture;

use super::{CloseFrame, WebSocketMessage};
use crate::error::NetworkError;

/// Callbacks of a connection, for applications that do not call [`receive`](super::WebSocketConnection::receive)
/// themselves. The implementation crates call them by these rules:
///
/// * Callbacks are called one at a time, in the order of arrival. Nothing more is received while a callback runs, so a slow
///   callback slows the peer down.
/// * [`on_message`](Self::on_message) is called for text and binary messages, not for pings and pongs.
/// * [`on_error`](Self::on_error) is called at most once, if the connection ends without a closing handshake.
/// * [`on_close`](Self::on_close) is called exactly once, and last.
/// * If a callback panics, the connection is closed with code 1011, and `on_error` is called with an error of the kind
///   [`Internal`](crate::ErrorKind::Internal), unless `on_error` itself panicked.
///
/// For closures, use [`WebSocketCallbacks`].
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait WebSocketHandler: fmt::Debug + Send + Sync + 'static {
    /// Is called when a text or binary message has arrived.
    async fn on_message(&self, message: WebSocketMessage);

    /// Is called when the connection has ended without a closing handshake.
    async fn on_error(&self, error: NetworkError) {
        let _ = error;
    }

    /// Is called when the connection has ended. `frame` is the peer's close frame, if it sent one with a code.
    async fn on_close(&self, frame: Option<CloseFrame>) {
        let _ = frame;
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<H: WebSocketHandler + ?Sized> WebSocketHandler for Arc<H> {
    async fn on_message(&self, message: WebSocketMessage) {
        (**self).on_message(message).await;
    }

    async fn on_error(&self, error: NetworkError) {
        (**self).on_error(error).await;
    }

    async fn on_close(&self, frame: Option<CloseFrame>) {
        (**self).on_close(frame).await;
    }
}

type Callback<T> = Arc<dyn Fn(T) -> BoxFuture<'static, ()> + Send + Sync>;

/// A [`WebSocketHandler`] made of closures. Events without a closure are ignored. Clones share the closures.
///
/// ```
/// use networking_spi::websocket::{WebSocketCallbacks, WebSocketMessage};
///
/// let callbacks = WebSocketCallbacks::new()
///     .on_message(|message| async move {
///         if let WebSocketMessage::Text(text) = message {
///             println!("{text}");
///         }
///     })
///     .on_error(|error| async move { eprintln!("{error}") })
///     .on_close(|frame| async move { println!("closed: {frame:?}") });
/// # drop(callbacks);
/// ```
#[derive(Clone, Default)]
pub struct WebSocketCallbacks {
    message: Option<Callback<WebSocketMessage>>,
    error: Option<Callback<NetworkError>>,
    close: Option<Callback<Option<CloseFrame>>>,
}

impl WebSocketCallbacks {
    /// No callbacks.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the callback for messages.
    pub fn on_message<F: Future<Output = ()> + Send + 'static>(
        mut self,
        callback: impl Fn(WebSocketMessage) -> F + Send + Sync + 'static,
    ) -> Self {
        self.message = Some(boxed(callback));
        self
    }

    /// Sets the callback for a connection that ends without a closing handshake.
    pub fn on_error<F: Future<Output = ()> + Send + 'static>(
        mut self,
        callback: impl Fn(NetworkError) -> F + Send + Sync + 'static,
    ) -> Self {
        self.error = Some(boxed(callback));
        self
    }

    /// Sets the callback for the end of the connection.
    pub fn on_close<F: Future<Output = ()> + Send + 'static>(
        mut self,
        callback: impl Fn(Option<CloseFrame>) -> F + Send + Sync + 'static,
    ) -> Self {
        self.close = Some(boxed(callback));
        self
    }
}

fn boxed<T: 'static, F: Future<Output = ()> + Send + 'static>(
    callback: impl Fn(T) -> F + Send + Sync + 'static,
) -> Callback<T> {
    Arc::new(move |value| Box::pin(callback(value)))
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl WebSocketHandler for WebSocketCallbacks {
    async fn on_message(&self, message: WebSocketMessage) {
        if let Some(callback) = &self.message {
            callback(message).await;
        }
    }

    async fn on_error(&self, error: NetworkError) {
        if let Some(callback) = &self.error {
            callback(error).await;
        }
    }

    async fn on_close(&self, frame: Option<CloseFrame>) {
        if let Some(callback) = &self.close {
            callback(frame).await;
        }
    }
}

impl fmt::Debug for WebSocketCallbacks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketCallbacks")
            .field("on_message", &self.message.is_some())
            .field("on_error", &self.error.is_some())
            .field("on_close", &self.close.is_some())
            .finish()
    }
}
