//! Maps errors of hyper.

use std::error::Error as StdError;
use std::io;

use networking_spi::{ErrorKind, NetworkError, SendState};

use crate::connect::diagnosis::{self, Broken, Diagnosis, Stage};
use crate::transport::http2_error;

/// Maps the error of an exchange. `sent` is the state of the request, unless the error says more.
///
/// `missing`: bytes of the announced length of the response are missing.
pub(super) fn classify(error: hyper::Error, stage: Stage, sent: SendState, missing: bool) -> NetworkError {
    let causes = Causes::of(&error);
    let mapped = if let Some(own) = causes.own {
        failed_upload(own, sent)
    } else if let Some(tls) = causes.tls {
        diagnosis::tls(tls).into_error().with_send_state(sent)
    } else if let Some(mapped) = causes
        .http2
        .and_then(|http2| http2_error::diagnose(http2, stage, missing))
    {
        mapped
    } else {
        let broken = Broken {
            io: causes.io,
            incomplete: error.is_incomplete_message(),
            canceled: error.is_canceled() || error.is_closed(),
            parse: error.is_parse(),
            too_large: error.is_parse_too_large(),
            unanswered_ping: error.is_timeout(),
        };
        diagnosis::exchange(stage, broken).into_error().with_send_state(sent)
    };
    mapped.with_source(error)
}

/// The request body failed with `own`.
pub(super) fn failed_upload(own: &NetworkError, sent: SendState) -> NetworkError {
    Diagnosis::new(own.kind(), "the request body failed")
        .into_error()
        .with_send_state(sent)
        .with_retryability(own.retryability())
}

/// Whether the peer asks for HTTP/1.1.
pub(super) fn asks_for_http1(error: &hyper::Error) -> bool {
    Causes::of(error).http2.is_some_and(http2_error::asks_for_http1)
}

/// Maps an error of the HTTP handshake.
pub(super) fn handshake(error: hyper::Error) -> NetworkError {
    let causes = Causes::of(&error);
    let diagnosis = match causes.tls {
        Some(tls) => diagnosis::tls(tls),
        None => diagnosis::connect(causes.io),
    };
    diagnosis
        .into_error()
        .with_send_state(SendState::NotSent)
        .with_source(error)
}

/// The peer sent more interim responses than are read.
pub(super) fn interim_flood() -> NetworkError {
    NetworkError::new(
        ErrorKind::Protocol,
        "http.request",
        "the peer sent too many interim responses",
    )
    .with_send_state(SendState::MaybeSent)
}

#[derive(Default)]
struct Causes<'e> {
    /// An error of the request body's stream.
    own: Option<&'e NetworkError>,
    tls: Option<&'e rustls::Error>,
    http2: Option<&'e h2::Error>,
    /// The kind of the innermost I/O error.
    io: Option<io::ErrorKind>,
}

impl<'e> Causes<'e> {
    fn of(error: &'e hyper::Error) -> Self {
        let mut causes = Self::default();
        let mut next = error.source();
        while let Some(cause) = next {
            if let Some(own) = cause.downcast_ref::<NetworkError>() {
                causes.own = Some(own);
                break;
            }
            causes.tls = causes.tls.or(cause.downcast_ref());
            causes.http2 = causes.http2.or(cause.downcast_ref());
            next = cause.source();
            // h2 does not give its I/O error as its source.
            let io = cause.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
            if let Some(io) = io.or(cause.downcast_ref()) {
                causes.io = Some(io.kind());
                // `source()` of an I/O error skips the error inside.
                next = io.get_ref().map(|inner| inner as _);
            }
        }
        causes
    }
}
