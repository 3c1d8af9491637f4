//! The answer of a peer that refuses an opening handshake.

use std::error::Error;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};

use crate::redact;

/// The answer of a peer that did not switch protocols. It is the source of the error of
/// [`WebSocketClient::connect`](super::WebSocketClient::connect).
///
/// ```
/// use networking_spi::NetworkError;
/// use networking_spi::websocket::HandshakeRefusal;
///
/// fn explanation(error: &NetworkError) -> Option<String> {
///     let refusal = HandshakeRefusal::of(error)?;
///     Some(String::from_utf8_lossy(&refusal.body).into_owned())
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct HandshakeRefusal {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The start of the body, up to [`MAX_BODY`](Self::MAX_BODY) bytes.
    pub body: Bytes,
}

impl HandshakeRefusal {
    /// The largest number of bytes that are kept of the body.
    pub const MAX_BODY: usize = 64 << 10;

    /// A refusal.
    pub const fn new(status: StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        Self { status, headers, body }
    }

    /// The refusal that is a source of this error, if there is one.
    pub fn of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(current) = cause {
            if let Some(refusal) = current.downcast_ref() {
                return Some(refusal);
            }
            cause = current.source();
        }
        None
    }
}

impl fmt::Display for HandshakeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the peer answered {}", self.status)
    }
}

impl fmt::Debug for HandshakeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HandshakeRefusal")
            .field("status", &self.status)
            .field("headers", &redact::Headers(&self.headers))
            .field("body_length", &self.body.len())
            .finish()
    }
}

impl Error for HandshakeRefusal {}
