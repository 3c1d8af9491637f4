//! Maps failures of all transports to errors, according to the error table of the contract.

use std::io;

use networking_spi::error::context;
use networking_spi::{ErrorKind, NetworkError, Phase, Retryability, SendState};

pub(crate) const PROXY_AUTHENTICATION: &str = "proxy_authentication";
pub(crate) const WANTS_CREDENTIALS: &str = "the proxy requires credentials";

/// A kind, a message, and a reason that distinguishes this failure from others of its kind.
pub(crate) struct Diagnosis {
    pub(crate) kind: ErrorKind,
    message: &'static str,
    reason: Option<&'static str>,
}

impl Diagnosis {
    pub(crate) const fn new(kind: ErrorKind, message: &'static str) -> Self {
        Self {
            kind,
            message,
            reason: None,
        }
    }

    pub(crate) const fn because(kind: ErrorKind, reason: &'static str, message: &'static str) -> Self {
        Self {
            kind,
            message,
            reason: Some(reason),
        }
    }

    pub(crate) fn into_error(self) -> NetworkError {
        let mut error = NetworkError::new(self.kind, "http.request", self.message);
        if self.kind == ErrorKind::Proxy && self.reason != Some(PROXY_AUTHENTICATION) {
            // As with a refused connection, nothing was sent, and the failure may be transient.
            error = error.with_retryability(Retryability::Now);
        }
        match self.reason {
            Some(reason) => error.with_context(context::REASON, reason),
            None => error,
        }
    }
}

/// The connect timeout passed.
pub(crate) fn no_connection_in_time() -> NetworkError {
    NetworkError::new(ErrorKind::Timeout, "http.request", "the connect timeout passed")
        .with_phase(Phase::Connect)
        .with_send_state(SendState::NotSent)
}

/// The error of a plain HTTP request that the proxy answered with 407. A tunnel that is refused with 407 has the same kind and
/// reason.
pub(crate) fn proxy_authentication(host: &str) -> NetworkError {
    Diagnosis::because(ErrorKind::Proxy, PROXY_AUTHENTICATION, WANTS_CREDENTIALS)
        .into_error()
        .with_status(407)
        .with_send_state(SendState::Sent)
        .with_context(context::HOST, host)
}

/// Maps an error of the resolver.
pub(crate) fn resolution(error: &NetworkError) -> Diagnosis {
    let message = match error.kind() {
        ErrorKind::Dns => "the name cannot be resolved",
        ErrorKind::DestinationDenied => "requests to this destination are not allowed",
        _ => "the resolver failed",
    };
    Diagnosis::new(error.kind(), message)
}

/// Maps a failure to connect; `cause` is the kind of the innermost I/O error.
pub(crate) fn connect(cause: Option<io::ErrorKind>) -> Diagnosis {
    let refused = |message| Diagnosis::new(ErrorKind::ConnectionRefused, message);
    match cause {
        Some(io::ErrorKind::ConnectionRefused) => refused("the peer refused the connection"),
        Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => refused("no route to the peer"),
        Some(io::ErrorKind::UnexpectedEof) => Diagnosis::new(
            ErrorKind::ConnectionClosed,
            "the peer closed the connection in the handshake",
        ),
        _ if broke(cause) => Diagnosis::new(ErrorKind::ConnectionClosed, "the connection broke in the handshake"),
        _ => Diagnosis::new(ErrorKind::Connection, "the connection could not be opened"),
    }
}

/// The stage of an exchange that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before the response head.
    Head,
    /// While reading the body.
    Body,
}

/// The facts about a failed exchange.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broken {
    /// The kind of the innermost I/O error.
    pub(crate) io: Option<io::ErrorKind>,
    pub(crate) incomplete: bool,
    /// The connection was closed before the request was written to it.
    pub(crate) canceled: bool,
    pub(crate) parse: bool,
    pub(crate) too_large: bool,
    /// The peer did not answer a keep-alive ping of HTTP/2.
    pub(crate) unanswered_ping: bool,
}

/// The head of a response is above the limit.
pub(crate) fn large_head() -> Diagnosis {
    Diagnosis::new(
        ErrorKind::TooLarge,
        "the head of the response, or its trailers, are too large: raise `max_response_head` of the transport",
    )
}

/// A body ended before its announced length, its last chunk, or the end of its stream.
pub(crate) fn short_body() -> Diagnosis {
    Diagnosis::new(ErrorKind::TruncatedBody, "the body ended before its announced end")
}

pub(crate) fn exchange(stage: Stage, broken: Broken) -> Diagnosis {
    if broken.too_large {
        return large_head();
    }
    if broken.unanswered_ping {
        return Diagnosis::new(ErrorKind::ConnectionClosed, "the peer did not answer a keep-alive ping");
    }
    if broken.parse {
        return Diagnosis::new(ErrorKind::Protocol, "the peer violated the protocol");
    }
    let eof = broken.incomplete || broken.io == Some(io::ErrorKind::UnexpectedEof);
    match stage {
        Stage::Body if eof => short_body(),
        Stage::Head if eof => Diagnosis::new(
            ErrorKind::ConnectionClosed,
            "the peer closed the connection without a response",
        ),
        _ if broke(broken.io) => Diagnosis::new(ErrorKind::ConnectionClosed, "the connection broke"),
        Stage::Head if broken.io == Some(io::ErrorKind::InvalidData) => {
            Diagnosis::new(ErrorKind::Protocol, "the peer answered HTTP/2 in another protocol")
        }
        _ if broken.canceled => Diagnosis::new(
            ErrorKind::ConnectionClosed,
            "the connection was closed before the request was sent",
        ),
        Stage::Body => Diagnosis::new(ErrorKind::Protocol, "the body cannot be read"),
        Stage::Head => Diagnosis::new(ErrorKind::Connection, "the exchange failed"),
    }
}

fn broke(io: Option<io::ErrorKind>) -> bool {
    matches!(
        io,
        Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe)
    )
}

pub(crate) fn tls(error: &rustls::Error) -> Diagnosis {
    use rustls::CertificateError as Certificate;
    use rustls::Error as Tls;

    let (reason, message) = match error {
        // A bad signature means that the certificate names a trusted issuer that did not sign it.
        Tls::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => (
            "untrusted",
            "the peer's certificate was not issued by a trusted authority",
        ),
        Tls::InvalidCertificate(Certificate::NotValidForName | Certificate::NotValidForNameContext { .. }) => {
            ("wrong_name", "the peer's certificate is for another name")
        }
        Tls::InvalidCertificate(Certificate::Expired | Certificate::ExpiredContext { .. }) => {
            ("expired", "the peer's certificate has expired")
        }
        Tls::InvalidCertificate(Certificate::NotValidYet | Certificate::NotValidYetContext { .. }) => {
            ("not_yet_valid", "the peer's certificate is not valid yet")
        }
        Tls::InvalidCertificate(Certificate::Revoked) => ("revoked", "the peer's certificate is revoked"),
        Tls::InvalidCertificate(_) => ("bad_certificate", "the peer's certificate cannot be accepted"),
        Tls::InvalidMessage(_) => ("not_tls", "the peer does not speak TLS"),
        Tls::PeerIncompatible(_) => ("incompatible", "the peer supports no common TLS version or cipher"),
        Tls::AlertReceived(_) => ("alert", "the peer aborted the TLS connection"),
        _ => ("handshake", "the TLS connection failed"),
    };
    Diagnosis::because(ErrorKind::Tls, reason, message)
}
