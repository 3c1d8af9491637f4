//! Messages.

use bytes::Bytes;

use super::CloseFrame;

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

impl WebSocketMessage {
    /// A text message.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(data: impl Into<Bytes>) -> Self {
        Self::Binary(data.into())
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
