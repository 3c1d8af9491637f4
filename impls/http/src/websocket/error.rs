//! The errors of connections, and those of tungstenite.

use std::io;

use networking_spi::error::context;
use networking_spi::websocket::{CloseFrame, WebSocketMessage};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use tokio_tungstenite::tungstenite::error::{CapacityError, Error, ProtocolError};

use super::{RECEIVE, SEND};

/// Maps an error of an open connection.
pub(super) fn established(error: Error, operation: &'static str) -> NetworkError {
    let (kind, message) = match &error {
        Error::Io(error) => return io(error, operation),
        Error::ConnectionClosed | Error::AlreadyClosed => (ErrorKind::Closed, "the connection is closed"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return lost(operation).with_source(error),
        Error::Protocol(ProtocolError::SendAfterClosing) => (ErrorKind::Closed, "the connection is closing"),
        Error::Utf8(_) => (ErrorKind::Decode, "a text message is not UTF-8"),
        Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
            return received_too_large(*max_size, operation).with_source(error);
        }
        Error::Capacity(_) => (ErrorKind::TooLarge, "the message or its frame is larger than the limit"),
        Error::WriteBufferFull(_) => (ErrorKind::Exhausted, "the write buffer is full"),
        Error::Tls(_) => (ErrorKind::Tls, "the TLS connection failed"),
        _ => (ErrorKind::Protocol, "the peer broke the protocol"),
    };
    NetworkError::new(kind, operation, message).with_source(error)
}

/// Fails for a message that is too long to be sent (control frames: RFC 6455, section 5.5).
pub(super) fn check_size(message: &WebSocketMessage, max_message_size: usize) -> Result<()> {
    let limit = if matches!(message, WebSocketMessage::Ping(_) | WebSocketMessage::Pong(_)) {
        MAX_CONTROL
    } else {
        max_message_size
    };
    if message.len() > limit {
        return Err(too_large(limit));
    }
    Ok(())
}

/// A message or a frame is longer than the limit. tungstenite uses one error for both.
fn received_too_large(limit: usize, operation: &'static str) -> NetworkError {
    let message = format!(
        "a message or frame is longer than {limit} bytes: raise `max_message_size` and `max_frame_size` of the `WebSocketOptions`"
    );
    NetworkError::new(ErrorKind::TooLarge, operation, message)
        .with_context(context::LIMIT, limit.to_string())
        .with_context(context::SETTING, "max_message_size")
}

/// The longest payload of a control frame (RFC 6455, section 5.5).
const MAX_CONTROL: usize = 125;

fn too_large(limit: usize) -> NetworkError {
    let message = if limit == MAX_CONTROL {
        format!("a ping or pong has at most {MAX_CONTROL} bytes")
    } else {
        format!("the message is longer than {limit} bytes: raise `max_message_size` of the `WebSocketOptions`")
    };
    NetworkError::new(ErrorKind::TooLarge, SEND, message)
        .with_context(context::LIMIT, limit.to_string())
        .with_context(context::SETTING, "max_message_size")
        .with_send_state(SendState::NotSent)
}

/// The application did not receive ([`UnreadPolicy::Close`](networking_spi::websocket::UnreadPolicy::Close)).
pub(super) fn unread(limit: usize) -> NetworkError {
    NetworkError::new(
        ErrorKind::Exhausted,
        RECEIVE,
        "the application did not receive, and the limit of unread messages is reached",
    )
    .with_context(context::LIMIT, limit.to_string())
}

/// The close frame for the peer of such an application.
pub(super) fn unread_close() -> CloseFrame {
    CloseFrame::new(CloseFrame::POLICY_VIOLATION, "too much is unread")
}

/// The connection was lost.
pub(super) fn lost(operation: &'static str) -> NetworkError {
    NetworkError::new(
        ErrorKind::ConnectionClosed,
        operation,
        "the connection ended without a closing handshake",
    )
}

fn io(error: &io::Error, operation: &'static str) -> NetworkError {
    let tls = error
        .get_ref()
        .is_some_and(<dyn std::error::Error + Send + Sync>::is::<rustls::Error>);
    let (kind, message) = if tls {
        (ErrorKind::Tls, "the TLS connection failed")
    } else {
        (ErrorKind::ConnectionClosed, "the connection broke")
    };
    NetworkError::new(kind, operation, message).with_source(copy(error))
}

/// A copy of an I/O error, which is not `Clone`: its kind and text.
fn copy(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}
