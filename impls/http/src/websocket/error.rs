//! Maps errors of tungstenite.

use std::io;

use networking_spi::{ErrorKind, NetworkError};
use tokio_tungstenite::tungstenite::error::{Error, ProtocolError};

/// Maps an error of an open connection.
pub(super) fn established(error: Error, operation: &'static str) -> NetworkError {
    let (kind, message) = match &error {
        Error::Io(error) => return io(error, operation),
        Error::ConnectionClosed | Error::AlreadyClosed => (ErrorKind::Closed, "the connection is closed"),
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => (
            ErrorKind::ConnectionClosed,
            "the connection ended without a closing handshake",
        ),
        Error::Protocol(ProtocolError::SendAfterClosing) => (ErrorKind::Closed, "the connection is closing"),
        Error::Utf8(_) => (ErrorKind::Decode, "a text message is not UTF-8"),
        Error::Capacity(_) => (ErrorKind::TooLarge, "a message is longer than the limit"),
        Error::WriteBufferFull(_) => (ErrorKind::Exhausted, "the write buffer is full"),
        Error::Tls(_) => (ErrorKind::Tls, "the TLS connection failed"),
        _ => (ErrorKind::Protocol, "the peer broke the protocol"),
    };
    NetworkError::new(kind, operation, message).with_source(error)
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
