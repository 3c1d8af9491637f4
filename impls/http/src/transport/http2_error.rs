//! What HTTP/2 errors say about an exchange (RFC 9113, sections 6.8, 7 and 8.7).

use h2::Reason;
use networking_spi::error::context;
use networking_spi::{ErrorKind, NetworkError, SendState};

use crate::connect::diagnosis::{Diagnosis, Stage, short_body};

/// Maps an error of an HTTP/2 stream or connection. `None` for an I/O error.
///
/// `missing`: bytes of the announced length of the response are missing.
pub(crate) fn diagnose(error: &h2::Error, stage: Stage, missing: bool) -> Option<NetworkError> {
    let reason = error.reason()?;
    let (diagnosis, sent) = match stage {
        Stage::Head if is_unprocessed(error, reason) => (
            Diagnosis::new(ErrorKind::ConnectionClosed, "the peer did not process the request"),
            SendState::NotSent,
        ),
        Stage::Head if is_aborted(error, reason) => (
            Diagnosis::new(
                ErrorKind::ConnectionClosed,
                "the peer ended the exchange without a response",
            ),
            SendState::MaybeSent,
        ),
        Stage::Head => (
            Diagnosis::new(ErrorKind::Protocol, "an error of the HTTP/2 protocol"),
            SendState::MaybeSent,
        ),
        // Of a stream that ends too early, h2 says that the peer violated the protocol.
        Stage::Body if missing && error.is_library() && error.is_reset() => (short_body(), SendState::Sent),
        Stage::Body if is_aborted(error, reason) || is_remote_end(error) => (
            Diagnosis::new(ErrorKind::TruncatedBody, "the peer ended the exchange within the body"),
            SendState::Sent,
        ),
        Stage::Body => (
            Diagnosis::new(ErrorKind::Protocol, "an error of the HTTP/2 protocol"),
            SendState::Sent,
        ),
    };
    let error = diagnosis.into_error().with_send_state(sent);
    Some(error.with_context(context::HTTP2_ERROR, format!("{reason:?}")))
}

/// Whether the peer asks for HTTP/1.1 (RFC 9113, section 7).
pub(crate) fn asks_for_http1(error: &h2::Error) -> bool {
    error.is_remote() && error.reason() == Some(Reason::HTTP_1_1_REQUIRED)
}

/// The peer refused the stream, or it is above the last stream of a `GOAWAY`: only those get the error of the `GOAWAY`.
fn is_unprocessed(error: &h2::Error, reason: Reason) -> bool {
    is_remote_end(error) || error.is_remote() && matches!(reason, Reason::REFUSED_STREAM | Reason::HTTP_1_1_REQUIRED)
}

fn is_remote_end(error: &h2::Error) -> bool {
    error.is_remote() && error.is_go_away()
}

/// Whether the peer reset the stream for a reason that does not blame this side.
fn is_aborted(error: &h2::Error, reason: Reason) -> bool {
    error.is_remote()
        && matches!(
            reason,
            Reason::NO_ERROR
                | Reason::INTERNAL_ERROR
                | Reason::REFUSED_STREAM
                | Reason::STREAM_CLOSED
                | Reason::CANCEL
                | Reason::CONNECT_ERROR
                | Reason::ENHANCE_YOUR_CALM
        )
}
