//! Messages.

use bytes::Bytes;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::CloseFrame;
use crate::error::{ErrorKind, NetworkError, Result};
use crate::json;

/// A message.
///
/// Exhaustive on purpose: these are the data frames and control frames of RFC 6455.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WebSocketMessage {
    /// UTF-8 text.
    Text(String),
    /// Bytes.
    Binary(Bytes),
    /// A ping. The connection answers a received ping itself.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// A close frame: the peer starts or answers the closing handshake. No message follows.
    Close(Option<CloseFrame>),
}

const OPERATION: &str = "websocket.receive";

impl WebSocketMessage {
    /// A text message.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(data: impl Into<Bytes>) -> Self {
        Self::Binary(data.into())
    }

    /// A text message with a value as JSON.
    ///
    /// # Errors
    /// [`Encode`](ErrorKind::Encode) if the value cannot be encoded as JSON.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let json = json::encode(value, "websocket.send", "the message")?;
        Ok(Self::Text(String::from_utf8(json).expect("JSON is UTF-8")))
    }

    /// Decodes a text or binary message from JSON.
    ///
    /// ```
    /// use networking_spi::websocket::WebSocketMessage;
    ///
    /// let message = WebSocketMessage::json(&[1, 2])?;
    /// assert_eq!(message, WebSocketMessage::text("[1,2]"));
    /// assert_eq!(message.to_json::<Vec<u8>>()?, [1, 2]);
    /// # Ok::<(), networking_spi::NetworkError>(())
    /// ```
    ///
    /// # Errors
    /// [`Decode`](ErrorKind::Decode) if it is not JSON for `T`, and for control frames.
    pub fn to_json<T: DeserializeOwned>(&self) -> Result<T> {
        match self {
            Self::Text(text) => json::decode(text.as_bytes(), OPERATION, "the message"),
            Self::Binary(data) => json::decode(data, OPERATION, "the message"),
            Self::Ping(_) | Self::Pong(_) | Self::Close(_) => Err(NetworkError::new(
                ErrorKind::Decode,
                OPERATION,
                "a control frame has no JSON",
            )),
        }
    }

    /// The text of a text message.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it carries application data.
    pub const fn is_data(&self) -> bool {
        matches!(self, Self::Text(_) | Self::Binary(_))
    }

    /// The length of the payload in bytes; for a close frame, that of the reason.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(data) | Self::Ping(data) | Self::Pong(data) => data.len(),
            Self::Close(frame) => frame.as_ref().map_or(0, |frame| frame.reason.len()),
        }
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
