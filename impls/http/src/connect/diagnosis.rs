//! What the errors of transports say, whatever the library underneath: the table of errors in the contract.

use std::io;

use networking_spi::{ErrorKind, NetworkError, Phase, Retryability, SendState};

pub(crate) const PROXY_AUTHENTICATION: &str = "proxy_authentication";
pub(crate) const WANTS_CREDENTIALS: &str = "the proxy wants credentials";

/// A kind, a message for people, and what tells this failure apart from others of its kind.
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
            // Like a refused connection: nothing was sent, and the proxy may be back soon.
            error = error.with_retryability(Retryability::Now);
        }
        match self.reason {
            Some(reason) => error.with_context("reason", reason),
            None => error,
        }
    }
}

/// The connect timeout passed.
pub(crate) fn no_connection_in_time() -> NetworkError {
    NetworkError::new(ErrorKind::Timeout, "http.request", "no connection in time")
        .with_phase(Phase::Connect)
        .with_send_state(SendState::NotSent)
}

/// The error of a request without TLS that the proxy did not pass on because it wants credentials. With TLS it does not
/// open the tunnel, and both are one kind.
pub(crate) fn proxy_authentication(host: &str) -> NetworkError {
    Diagnosis::because(ErrorKind::Proxy, PROXY_AUTHENTICATION, WANTS_CREDENTIALS)
        .into_error()
        .with_status(407)
        .with_send_state(SendState::Sent)
        .with_context("host", host)
}

/// The resolver's own error.
pub(crate) fn resolution(error: &NetworkError) -> Diagnosis {
    let message = match error.kind() {
        ErrorKind::Dns => "the name cannot be resolved",
        ErrorKind::DestinationDenied => "the destination is not one that requests may go to",
        _ => "the resolver failed",
    };
    Diagnosis::new(error.kind(), message)
}

/// There is no connection; `cause` is the kind of the innermost I/O error.
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
        _ => Diagnosis::new(ErrorKind::Connection, "no connection to the peer"),
    }
}

/// Where an exchange was when it broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Before the response head.
    Head,
    /// While reading the body.
    Body,
}

/// What is known of an exchange that broke.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Broken {
    /// The kind of the innermost I/O error.
    pub(crate) io: Option<io::ErrorKind>,
    pub(crate) incomplete: bool,
    /// The connection was closed before the request was written to it.
    pub(crate) canceled: bool,
    pub(crate) parse: bool,
    pub(crate) too_large: bool,
}

pub(crate) fn exchange(stage: Stage, broken: Broken) -> Diagnosis {
    if broken.too_large {
        return Diagnosis::new(ErrorKind::TooLarge, "the head of the response is too large");
    }
    if broken.parse {
        return Diagnosis::new(ErrorKind::Protocol, "the peer broke the protocol");
    }
    let eof = broken.incomplete || broken.io == Some(io::ErrorKind::UnexpectedEof);
    match stage {
        Stage::Body if eof => Diagnosis::new(ErrorKind::TruncatedBody, "the body ended before its announced length"),
        Stage::Head if eof => Diagnosis::new(
            ErrorKind::ConnectionClosed,
            "the peer closed the connection without an answer",
        ),
        _ if broke(broken.io) => Diagnosis::new(ErrorKind::ConnectionClosed, "the connection broke"),
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
        // A bad signature: somebody uses the name of an issuer that is trusted.
        Tls::InvalidCertificate(Certificate::UnknownIssuer | Certificate::BadSignature) => {
            ("untrusted", "nobody trusted has issued the peer's certificate")
        }
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
        Tls::PeerIncompatible(_) => ("incompatible", "the peer has no version or cipher of TLS in common"),
        Tls::AlertReceived(_) => ("alert", "the peer broke the TLS connection off"),
        _ => ("handshake", "the TLS connection failed"),
    };
    Diagnosis::because(ErrorKind::Tls, reason, message)
}
