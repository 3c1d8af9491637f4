//! WebSocket connections (RFC 6455).

#[cfg_attr(
    any(test, feature = "mock"),
    allow(clippy::struct_field_names, reason = "the mock's fields are named after its methods")
)]
mod handler;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::error::{NetworkError, Result};
use crate::redact;
use crate::validate::{self, Validate};

#[cfg(any(test, feature = "mock"))]
pub use handler::MockWebSocketHandler;
pub use handler::{WebSocketCallbacks, WebSocketHandler};

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

/// The code and reason with which a connection is closed.
///
/// Exhaustive on purpose: RFC 6455 defines these two values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CloseFrame {
    /// The status code, RFC 6455 section 7.4.
    pub code: u16,
    /// A short text, at most [`MAX_REASON`](Self::MAX_REASON) bytes.
    pub reason: String,
}

impl CloseFrame {
    /// 1000: normal closure.
    pub const NORMAL: u16 = 1000;
    /// 1001: the endpoint is going away (a server shuts down, a page is left).
    pub const GOING_AWAY: u16 = 1001;
    /// 1002: a protocol error.
    pub const PROTOCOL_ERROR: u16 = 1002;
    /// 1003: a message of a type that the endpoint does not accept.
    pub const UNSUPPORTED_DATA: u16 = 1003;
    /// 1007: a text message was not UTF-8.
    pub const INVALID_DATA: u16 = 1007;
    /// 1008: a message violated the endpoint's policy.
    pub const POLICY_VIOLATION: u16 = 1008;
    /// 1009: a message was too big.
    pub const TOO_BIG: u16 = 1009;
    /// 1011: an internal error of the endpoint.
    pub const INTERNAL_ERROR: u16 = 1011;
    /// 1012: the service restarts; the peer may reconnect.
    pub const SERVICE_RESTART: u16 = 1012;
    /// 1013: the endpoint is overloaded; the peer may reconnect later.
    pub const TRY_AGAIN_LATER: u16 = 1013;
    /// The maximum length of [`reason`](Self::reason), in bytes.
    pub const MAX_REASON: usize = 123;

    /// A close frame.
    pub fn new(code: u16, reason: impl Into<String>) -> Self {
        Self {
            code,
            reason: reason.into(),
        }
    }
}

impl Validate for CloseFrame {
    /// Codes 1000 to 1003, 1007 to 1013, and 3000 to 4999 may be sent.
    fn validate(&self) -> Result<()> {
        validate::ensure(
            matches!(self.code, 1000..=1003 | 1007..=1013 | 3000..=4999),
            "code",
            "must be 1000 to 1003, 1007 to 1013, or 3000 to 4999",
        )?;
        validate::ensure(
            self.reason.len() <= Self::MAX_REASON,
            "reason",
            "must have at most 123 bytes",
        )
    }
}

/// The request of an opening handshake.
#[derive(Clone)]
#[must_use = "a request does nothing until a client connects with it"]
#[non_exhaustive]
pub struct WebSocketRequest {
    /// `ws://` or `wss://`.
    pub url: Url,
    /// Additional headers.
    pub headers: HeaderMap,
    /// The offered sub-protocols, in order of preference.
    pub protocols: Vec<String>,
    /// Limits and timeouts.
    pub options: WebSocketOptions,
}

impl WebSocketRequest {
    /// A request to `url` with default options.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if `url` is not a `ws` or `wss` URL.
    pub fn new(url: &str) -> Result<Self> {
        let url: Url = url
            .parse()
            .map_err(|error| NetworkError::invalid_input("url", "is not a URL").with_source(error))?;
        validate::ensure(matches!(url.scheme(), "ws" | "wss"), "url", "must be a ws or wss URL")?;
        Ok(Self {
            url,
            headers: HeaderMap::new(),
            protocols: Vec::new(),
            options: WebSocketOptions::default(),
        })
    }

    /// Adds a header.
    pub fn with_header(mut self, name: http::HeaderName, value: http::HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Offers a sub-protocol.
    pub fn with_protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocols.push(protocol.into());
        self
    }

    /// Sets limits and timeouts.
    pub fn with_options(mut self, options: WebSocketOptions) -> Self {
        self.options = options;
        self
    }
}

impl fmt::Debug for WebSocketRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketRequest")
            .field("url", &format_args!("{}", redact::url(&self.url)))
            .field("headers", &redact::Headers(&self.headers))
            .field("protocols", &self.protocols)
            .field("options", &self.options)
            .finish()
    }
}

/// Limits and timeouts of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct WebSocketOptions {
    /// Time limit of the opening handshake, including connecting.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// Time limit of the closing handshake. After it, the connection is dropped.
    #[serde(with = "humantime_serde")]
    pub close_timeout: Duration,
    /// The time without a byte from the peer after which a ping is sent. `None`: no pings.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Option<Duration>,
    /// How long to wait for any byte from the peer after a ping. After that, the connection ends with
    /// [`Timeout`](crate::ErrorKind::Timeout).
    #[serde(with = "humantime_serde")]
    pub pong_timeout: Duration,
    /// The largest message that is received or sent, in bytes.
    pub max_message_size: usize,
    /// The largest frame that is received, in bytes. It does not apply to sent messages: each is sent as one frame, and only
    /// `max_message_size` applies.
    pub max_frame_size: usize,
}

impl WebSocketOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the time limit of the opening handshake.
    pub fn with_handshake_timeout(mut self, timeout: Duration) -> Self {
        self.handshake_timeout = timeout;
        self
    }

    /// Sets the time limit of the closing handshake.
    pub fn with_close_timeout(mut self, timeout: Duration) -> Self {
        self.close_timeout = timeout;
        self
    }

    /// Sends a ping after `interval` without a byte from the peer. The connection ends with
    /// [`Timeout`](crate::ErrorKind::Timeout) if no byte arrives within `timeout` after the ping.
    pub fn with_keepalive(mut self, interval: Duration, timeout: Duration) -> Self {
        self.ping_interval = Some(interval);
        self.pong_timeout = timeout;
        self
    }

    /// Sends no pings. A lost connection may then be detected only when something is sent.
    pub fn without_keepalive(mut self) -> Self {
        self.ping_interval = None;
        self
    }

    /// Sets the largest message and the largest frame, in bytes.
    pub fn with_max_size(mut self, message: usize, frame: usize) -> Self {
        self.max_message_size = message;
        self.max_frame_size = frame;
        self
    }
}

impl Default for WebSocketOptions {
    /// 10 s for the opening handshake, 5 s for the closing handshake; a ping after 30 s, and 10 s for its answer; messages
    /// up to 16 MiB, frames up to 4 MiB.
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            ping_interval: Some(Duration::from_secs(30)),
            pong_timeout: Duration::from_secs(10),
            max_message_size: 16 << 20,
            max_frame_size: 4 << 20,
        }
    }
}

impl Validate for WebSocketOptions {
    fn validate(&self) -> Result<()> {
        validate::positive(self.handshake_timeout, "handshake_timeout")?;
        validate::positive(self.close_timeout, "close_timeout")?;
        validate::positive(self.pong_timeout, "pong_timeout")?;
        if let Some(interval) = self.ping_interval {
            validate::positive(interval, "ping_interval")?;
        }
        validate::ensure(self.max_frame_size > 0, "max_frame_size", "must be at least 1")?;
        validate::ensure(
            self.max_message_size >= self.max_frame_size,
            "max_message_size",
            "must not be smaller than max_frame_size",
        )
    }
}

/// An open connection. It can send and receive concurrently, from different tasks.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait WebSocketConnection: fmt::Debug + Send + Sync + 'static {
    /// Sends a message. Waits if the peer reads more slowly than this side sends.
    ///
    /// Cancel safety: not cancel safe. If the future is dropped after a part of the message was sent, the connection is
    /// closed.
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
    /// [`Decode`](crate::ErrorKind::Decode) for text that is not UTF-8, [`Timeout`](crate::ErrorKind::Timeout) if a ping is
    /// not answered.
    async fn receive(&self) -> Result<Option<WebSocketMessage>>;

    /// Starts the closing handshake and waits for its end. Closing twice is not an error.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an invalid frame: the connection stays open.
    /// [`Timeout`](crate::ErrorKind::Timeout) if the peer does not answer: the connection is dropped anyway.
    async fn close(&self, frame: CloseFrame) -> Result<()>;

    /// The sub-protocol that the peer chose, if any.
    fn protocol(&self) -> Option<String>;

    /// Whether messages can still be sent.
    fn is_open(&self) -> bool;
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

    /// Returns the next text or binary message, and skips pings and pongs. `None` after a close frame or the closing
    /// handshake.
    ///
    /// # Errors
    /// Same as [`WebSocketConnection::receive`].
    fn next_data(&self) -> impl Future<Output = Result<Option<WebSocketMessage>>> + Send {
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

            async fn close(&self, frame: CloseFrame) -> Result<()> {
                (**self).close(frame).await
            }

            fn protocol(&self) -> Option<String> {
                (**self).protocol()
            }

            fn is_open(&self) -> bool {
                (**self).is_open()
            }
        }
    )+};
}

delegate!(Arc, Box);
