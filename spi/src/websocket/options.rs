//! Limits, timeouts and compression of a connection.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::validate::{self, Validate};

/// Limits and timeouts of a connection.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WebSocketOptions {
    /// Time limit of the opening handshake, including connecting. The body of a refusal is read for at most one second more.
    #[serde(with = "humantime_serde")]
    pub handshake_timeout: Duration,
    /// Time limit of the closing handshake. After it, the connection is dropped.
    #[serde(with = "humantime_serde")]
    pub close_timeout: Duration,
    /// The time without a byte from the peer after which a ping is sent. `None`: no pings.
    #[serde(with = "humantime_serde")]
    pub ping_interval: Option<Duration>,
    /// How long to wait for any byte from the peer after a ping. After that, the connection ends with
    /// [`Timeout`](crate::ErrorKind::Timeout). A ping behind a long message arrives only when the peer has read what the
    /// buffers of both sides hold, which can be some megabytes.
    #[serde(with = "humantime_serde")]
    pub pong_timeout: Duration,
    /// The largest message that is received or sent, in bytes; of a compressed message, its size before compression.
    pub max_message_size: usize,
    /// The largest frame that is received, in bytes. It does not apply to sent messages: each is sent as one frame, and only
    /// `max_message_size` applies.
    pub max_frame_size: usize,
    /// How much is kept for the application, in bytes: when received messages that it has not taken yet reach this size,
    /// [`unread_policy`](Self::unread_policy) applies. A message counts as its payload and 64 bytes. Pings, pongs and the
    /// close frame do not count; of pings and pongs, at most 64 are kept, and further ones are answered but not returned.
    pub max_unread: usize,
    /// What happens at [`max_unread`](Self::max_unread).
    pub unread_policy: UnreadPolicy,
    /// Offers compression of messages to the peer. `None`: none is offered.
    pub compression: Option<WebSocketCompression>,
}

/// What a connection does when the application does not receive what has arrived.
///
/// Exhaustive on purpose: the choice is between the two sides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnreadPolicy {
    /// It reads no more until the application has received, which slows the peer down. In this time, pings of the peer are
    /// not answered, no pings are sent, and the end of the connection is not noticed.
    #[default]
    Wait,
    /// It closes the connection with code 1008. After the messages that are kept, `receive` fails with
    /// [`Exhausted`](crate::ErrorKind::Exhausted).
    Close,
}

/// The offer of the extension permessage-deflate (RFC 7692). The peer may decline it: then messages are not compressed.
///
/// Each direction needs memory: 32 KiB and more for the window of its last messages, or 2 to the power of its window bits.
/// Compressing a secret together with text that an attacker chooses can reveal the secret by the size of messages
/// (section 8); [`client_no_context_takeover`](Self::client_no_context_takeover) limits this to one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct WebSocketCompression {
    /// This side compresses each message on its own.
    pub client_no_context_takeover: bool,
    /// Asks the peer to compress each message on its own.
    pub server_no_context_takeover: bool,
    /// The largest window with which this side compresses, as a power of two: 9 to 15. The peer may ask for a smaller one.
    pub client_max_window_bits: u8,
    /// The largest window with which the peer may compress, as a power of two: 8 to 15.
    pub server_max_window_bits: u8,
    /// Messages with fewer bytes are sent without compression.
    pub min_size: usize,
}

impl WebSocketCompression {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Both sides compress each message on its own, which takes less memory and compresses worse.
    pub const fn without_context_takeover(mut self) -> Self {
        self.client_no_context_takeover = true;
        self.server_no_context_takeover = true;
        self
    }

    /// Sets the largest windows, as powers of two: of this side (9 to 15) and of the peer (8 to 15).
    pub const fn with_window_bits(mut self, client: u8, server: u8) -> Self {
        self.client_max_window_bits = client;
        self.server_max_window_bits = server;
        self
    }

    /// Sets the size in bytes from which messages are compressed.
    pub const fn with_min_size(mut self, bytes: usize) -> Self {
        self.min_size = bytes;
        self
    }
}

impl Default for WebSocketCompression {
    /// Windows of 32 KiB that are kept from message to message; messages of 64 bytes and more are compressed.
    fn default() -> Self {
        Self {
            client_no_context_takeover: false,
            server_no_context_takeover: false,
            client_max_window_bits: 15,
            server_max_window_bits: 15,
            min_size: 64,
        }
    }
}

impl Validate for WebSocketCompression {
    fn validate(&self) -> Result<()> {
        validate::ensure(
            matches!(self.client_max_window_bits, 9..=15),
            "client_max_window_bits",
            "must be 9 to 15",
        )?;
        validate::ensure(
            matches!(self.server_max_window_bits, 8..=15),
            "server_max_window_bits",
            "must be 8 to 15",
        )
    }
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

    /// Sets how many bytes are kept for an application that does not receive, and what happens then.
    pub fn with_unread(mut self, max: usize, policy: UnreadPolicy) -> Self {
        self.max_unread = max;
        self.unread_policy = policy;
        self
    }

    /// Offers compression of messages. Clients without the capability `compression` refuse the request.
    pub fn with_compression(mut self, compression: WebSocketCompression) -> Self {
        self.compression = Some(compression);
        self
    }
}

impl Default for WebSocketOptions {
    /// 10 s for the opening handshake, 5 s for the closing handshake; a ping after 30 s, and 10 s for its answer; messages
    /// and frames up to 16 MiB, and as much unread; no compression.
    fn default() -> Self {
        Self {
            handshake_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            ping_interval: Some(Duration::from_secs(30)),
            pong_timeout: Duration::from_secs(10),
            max_message_size: 16 << 20,
            max_frame_size: 16 << 20,
            max_unread: 16 << 20,
            unread_policy: UnreadPolicy::Wait,
            compression: None,
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
        )?;
        validate::ensure(self.max_unread > 0, "max_unread", "must be at least 1")?;
        self.compression
            .as_ref()
            .map_or(Ok(()), |compression| validate::nested(compression, "compression"))
    }
}
