//! The contract of an open connection.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use futures_util::stream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{CloseFrame, WebSocketMessage};
use crate::error::Result;

/// An open connection. It can send and receive concurrently, from different tasks.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait WebSocketConnection: fmt::Debug + Send + Sync + 'static {
    /// Sends a message. Waits if the peer reads more slowly than this side sends.
    ///
    /// Cancel safety: not cancel safe. If the future is dropped after a part of the message was sent, the connection is
    /// closed. Implementations may promise more.
    ///
    /// # Errors
    /// [`Closed`](crate::ErrorKind::Closed) after the closing handshake has begun, [`TooLarge`](crate::ErrorKind::TooLarge)
    /// for a message above the limit, and connection errors.
    async fn send(&self, message: WebSocketMessage) -> Result<()>;

    /// Returns the next message; `None` after the closing handshake.
    ///
    /// Cancel safety: if the future is dropped, no message is lost. A later call returns it.
    ///
    /// # Errors
    /// [`ConnectionClosed`](crate::ErrorKind::ConnectionClosed) if the connection ends without a closing handshake,
    /// [`TooLarge`](crate::ErrorKind::TooLarge) for a message or frame above the limits,
    /// [`Decode`](crate::ErrorKind::Decode) for text that is not UTF-8 or data that cannot be decompressed,
    /// [`Protocol`](crate::ErrorKind::Protocol) for frames that RFC 6455 does not allow,
    /// [`Timeout`](crate::ErrorKind::Timeout) if a ping is not answered, [`Exhausted`](crate::ErrorKind::Exhausted) at
    /// [`UnreadPolicy::Close`](super::UnreadPolicy::Close). Later calls return the same error.
    async fn receive(&self) -> Result<Option<WebSocketMessage>>;

    /// Starts the closing handshake with `frame` and waits for its end. Closing twice is not an error.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an invalid frame: the connection stays open.
    /// [`Timeout`](crate::ErrorKind::Timeout) if the peer does not answer: the connection is dropped anyway.
    async fn close_with(&self, frame: CloseFrame) -> Result<()>;

    /// The sub-protocol that the peer chose, if any.
    fn protocol(&self) -> Option<String>;

    /// Whether messages can still be sent.
    fn is_open(&self) -> bool;

    /// Whether the peer accepted the offer of [`compression`](super::WebSocketOptions::compression). The default
    /// implementation returns `false`.
    fn is_compressed(&self) -> bool {
        false
    }
}

/// Conveniences for every [`WebSocketConnection`]. Do not implement it.
pub trait WebSocketConnectionExt: WebSocketConnection {
    /// Sends a text message.
    ///
    /// # Errors
    /// Same as [`WebSocketConnection::send`].
    fn send_text(&self, text: impl Into<String> + Send) -> impl Future<Output = Result<()>> + Send {
        let message = WebSocketMessage::text(text);
        async move { self.send(message).await }
    }

    /// Sends a binary message.
    ///
    /// # Errors
    /// Same as [`WebSocketConnection::send`].
    fn send_binary(&self, data: impl Into<Bytes> + Send) -> impl Future<Output = Result<()>> + Send {
        let message = WebSocketMessage::binary(data);
        async move { self.send(message).await }
    }

    /// Sends a value as JSON, in a text message.
    ///
    /// ```
    /// use networking_spi::prelude::*;
    ///
    /// async fn subscribe(connection: &dyn WebSocketConnection) -> Result<Option<f64>, NetworkError> {
    ///     connection.send_json(&serde_json::json!({"subscribe": "ticker"})).await?;
    ///     connection.receive_json().await
    /// }
    /// ```
    ///
    /// # Errors
    /// [`Encode`](crate::ErrorKind::Encode) if the value cannot be encoded as JSON, and the errors of
    /// [`WebSocketConnection::send`].
    fn send_json<T: Serialize + ?Sized>(&self, value: &T) -> impl Future<Output = Result<()>> + Send {
        let message = WebSocketMessage::json(value);
        async move { self.send(message?).await }
    }

    /// Returns the JSON of the [next](Self::next) text or binary message; `None` after a close frame or the closing handshake.
    ///
    /// Cancel safety: if the future is dropped, no message is lost.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) if the message is not JSON for `T`: the message is lost, and the connection stays
    /// open. The errors of [`WebSocketConnection::receive`].
    fn receive_json<T: DeserializeOwned>(&self) -> impl Future<Output = Result<Option<T>>> + Send {
        async move {
            match self.next().await? {
                Some(message) => message.to_json().map(Some),
                None => Ok(None),
            }
        }
    }

    /// Returns the next text or binary message, and skips pings and pongs. `None` after a close frame or the closing
    /// handshake. [`messages`](Self::messages) is a stream of them.
    ///
    /// Cancel safety: if the future is dropped, no message is lost.
    ///
    /// # Errors
    /// Same as [`WebSocketConnection::receive`].
    fn next(&self) -> impl Future<Output = Result<Option<WebSocketMessage>>> + Send {
        async move {
            loop {
                match self.receive().await? {
                    Some(message) if message.is_data() => return Ok(Some(message)),
                    Some(WebSocketMessage::Close(_)) | None => return Ok(None),
                    Some(_) => {}
                }
            }
        }
    }

    /// Closes the connection with code 1000: starts the closing handshake and waits for its end. Closing twice is not an error.
    /// [`close_with`](WebSocketConnection::close_with) sends another code.
    ///
    /// # Errors
    /// Same as [`WebSocketConnection::close_with`].
    fn close(&self) -> impl Future<Output = Result<()>> + Send {
        async move { self.close_with(CloseFrame::normal()).await }
    }

    /// The text and binary messages as a stream. It ends with the connection, or after its first error. Dropping the stream
    /// loses no message: [`receive`](WebSocketConnection::receive) returns the next one.
    ///
    /// ```
    /// use futures_util::TryStreamExt;
    /// use networking_spi::prelude::*;
    ///
    /// async fn lengths(connection: &dyn WebSocketConnection) -> Result<Vec<usize>, NetworkError> {
    ///     connection.messages().map_ok(|message| message.len()).try_collect().await
    /// }
    /// ```
    fn messages(&self) -> impl Stream<Item = Result<WebSocketMessage>> + Send {
        stream::unfold(Some(self), |connection| async move {
            let connection = connection?;
            match connection.next().await {
                Ok(Some(message)) => Some((Ok(message), Some(connection))),
                Ok(None) => None,
                Err(error) => Some((Err(error), None)),
            }
        })
    }
}

impl<C: WebSocketConnection + ?Sized> WebSocketConnectionExt for C {}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<C: WebSocketConnection + ?Sized> WebSocketConnection for $pointer<C> {
            async fn send(&self, message: WebSocketMessage) -> Result<()> {
                (**self).send(message).await
            }

            async fn receive(&self) -> Result<Option<WebSocketMessage>> {
                (**self).receive().await
            }

            async fn close_with(&self, frame: CloseFrame) -> Result<()> {
                (**self).close_with(frame).await
            }

            fn protocol(&self) -> Option<String> {
                (**self).protocol()
            }

            fn is_open(&self) -> bool {
                (**self).is_open()
            }

            fn is_compressed(&self) -> bool {
                (**self).is_compressed()
            }
        }
    )+};
}

delegate!(Arc, Box);
