//! Maps errors of hyper.

use std::error::Error as StdError;
use std::io;

use networking_spi::{ErrorKind, NetworkError, Phase, SendState};

use crate::connect::diagnosis::{self, Broken, Diagnosis, Stage};

/// Maps the error of an exchange.
pub(super) fn classify(error: hyper::Error, stage: Stage, sent: SendState) -> NetworkError {
    let causes = Causes::of(&error);
    let diagnosis = match (causes.own, causes.tls) {
        (Some(own), _) => Diagnosis::new(own.kind(), "the request body failed"),
        (None, Some(tls)) => diagnosis::tls(tls),
        (None, None) => diagnosis::exchange(
            stage,
            Broken {
                io: causes.io,
                incomplete: error.is_incomplete_message(),
                canceled: error.is_canceled() || error.is_closed(),
                parse: error.is_parse(),
                too_large: error.is_parse_too_large(),
            },
        ),
    };
    let mut mapped = diagnosis.into_error().with_send_state(sent);
    if let Some(own) = causes.own {
        mapped = mapped.with_retryability(own.retryability());
    }
    mapped.with_source(error)
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

/// The peer sent nothing within the read timeout.
pub(super) fn read_timeout(sent: SendState) -> NetworkError {
    NetworkError::new(
        ErrorKind::Timeout,
        "http.request",
        "the peer sent no data within the read timeout",
    )
    .with_phase(Phase::Read)
    .with_send_state(sent)
}

#[derive(Default)]
struct Causes<'e> {
    /// An error of the request body's stream.
    own: Option<&'e NetworkError>,
    tls: Option<&'e rustls::Error>,
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
            next = cause.source();
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                causes.io = Some(io.kind());
                // `source()` of an I/O error skips the error inside.
                next = io.get_ref().map(|inner| inner as _);
            }
        }
        causes
    }
}
