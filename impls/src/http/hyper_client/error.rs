//! What an error of hyper means.

use std::error::Error as StdError;
use std::io;

use networking_spi::{ErrorKind, NetworkError, Phase, Retryability, SendState};

const OPERATION: &str = "http.request";

/// Where the exchange was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Opening the connection: HTTP/2 has a handshake of its own.
    Handshake,
    /// Before the response head, and nothing of the request was sent.
    Unsent,
    /// Before the response head.
    Head,
    /// While reading the body.
    Body,
}

pub(super) fn classify(error: hyper::Error, stage: Stage) -> NetworkError {
    let causes = Causes::of(&error);
    let (kind, message) = causes.kind(&error, stage);
    let sent = match stage {
        Stage::Handshake | Stage::Unsent => SendState::NotSent,
        Stage::Head => SendState::MaybeSent,
        Stage::Body => SendState::Sent,
    };
    let mut mapped = NetworkError::new(kind, OPERATION, message).with_send_state(sent);
    if causes.own.is_some_and(|own| own.retryability() == Retryability::Never) {
        mapped = mapped.with_retryability(Retryability::Never);
    }
    mapped.with_source(error)
}

/// The peer was silent for too long.
pub(super) fn silent(sent: SendState) -> NetworkError {
    NetworkError::new(ErrorKind::Timeout, OPERATION, "no data from the peer in time")
        .with_phase(Phase::Read)
        .with_send_state(sent)
}

struct Causes<'e> {
    /// An error of the request body's own stream.
    own: Option<&'e NetworkError>,
    /// The kind of the innermost I/O error.
    io: Option<io::ErrorKind>,
    tls: bool,
}

impl<'e> Causes<'e> {
    fn of(error: &'e hyper::Error) -> Self {
        let mut causes = Self {
            own: None,
            io: None,
            tls: false,
        };
        let mut next = error.source();
        while let Some(cause) = next {
            if let Some(own) = cause.downcast_ref::<NetworkError>() {
                causes.own = Some(own);
                break;
            }
            next = cause.source();
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                causes.io = Some(io.kind());
                // `source()` of an I/O error skips the error inside.
                if let Some(inner) = io.get_ref() {
                    causes.tls |= inner.is::<rustls::Error>();
                    next = Some(inner);
                }
            }
        }
        causes
    }

    /// The order matters: the most specific cause comes first.
    fn kind(&self, error: &hyper::Error, stage: Stage) -> (ErrorKind, &'static str) {
        if let Some(own) = self.own {
            return (own.kind(), "the request body failed");
        }
        if self.tls {
            return (ErrorKind::Tls, "TLS failed");
        }
        if error.is_parse() {
            return (ErrorKind::Protocol, "the peer broke the protocol");
        }
        if stage == Stage::Handshake {
            return (ErrorKind::Connection, "no connection to the peer");
        }
        let eof = error.is_incomplete_message() || self.io == Some(io::ErrorKind::UnexpectedEof);
        match (stage, eof, self.io) {
            (Stage::Body, true, _) => (ErrorKind::TruncatedBody, "the body ended before its announced length"),
            (_, true, _) => (
                ErrorKind::ConnectionClosed,
                "the peer closed the connection without an answer",
            ),
            (
                _,
                _,
                Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe),
            ) => (ErrorKind::ConnectionClosed, "the connection broke"),
            _ if error.is_canceled() || error.is_closed() => (
                ErrorKind::ConnectionClosed,
                "the connection was closed before the request was sent",
            ),
            (Stage::Body, ..) => (ErrorKind::Protocol, "the body cannot be read"),
            _ => (ErrorKind::Connection, "the exchange failed"),
        }
    }
}
