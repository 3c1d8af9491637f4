//! What an error of reqwest means.
//!
//! reqwest's own predicates tell apart less than callers need, and one walk along `source()` is not enough:
//! `io::Error::source()` skips the error inside, which is where rustls's are.

use std::error::Error as StdError;
use std::io;

use networking_spi::{ErrorKind, NetworkError, Phase, Retryability, SendState};

/// What the transport knew when the error came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Before the response head.
    Head,
    /// While reading the body.
    Body,
}

/// Maps an error of a request. `proxied` says whether the request went through a proxy: the error itself cannot.
pub(super) fn classify(error: reqwest::Error, stage: Stage, proxied: bool, host: &str) -> NetworkError {
    // The URL may hold credentials, and the caller knows it anyway.
    let error = error.without_url();
    let facts = Facts::of(&error);
    let finding = facts.finding(&error, stage, proxied);

    let sent = match stage {
        Stage::Body => SendState::Sent,
        Stage::Head if error.is_connect() || error.is_builder() || facts.canceled => SendState::NotSent,
        Stage::Head => SendState::MaybeSent,
    };
    let mut mapped = NetworkError::new(finding.kind, "http.request", finding.message).with_send_state(sent);
    if finding.kind == ErrorKind::Timeout {
        mapped = mapped.with_phase(if error.is_connect() {
            Phase::Connect
        } else {
            Phase::Read
        });
    }
    if let Some(own) = facts.own {
        mapped = mapped.with_retryability(own.retryability());
    } else if finding.kind == ErrorKind::Proxy && finding.reason != Some(PROXY_AUTHENTICATION) {
        // Like a refused connection: nothing was sent, and the proxy may be back soon.
        mapped = mapped.with_retryability(Retryability::Now);
    }
    if let Some(reason) = finding.reason {
        mapped = mapped.with_context("reason", reason);
    }
    mapped.with_context("host", host).with_source(error)
}

/// The error of a request without TLS that the proxy did not pass on because it wants credentials. With TLS it does not
/// open the tunnel, and both are one kind.
pub(super) fn proxy_authentication(host: &str) -> NetworkError {
    NetworkError::new(ErrorKind::Proxy, "http.request", WANTS_CREDENTIALS)
        .with_status(407)
        .with_send_state(SendState::Sent)
        .with_context("reason", PROXY_AUTHENTICATION)
        .with_context("host", host)
}

const PROXY_AUTHENTICATION: &str = "proxy_authentication";
const WANTS_CREDENTIALS: &str = "the proxy wants credentials";

/// A kind, a message for people, and what tells this failure apart from others of its kind.
struct Finding {
    kind: ErrorKind,
    message: &'static str,
    reason: Option<&'static str>,
}

impl Finding {
    const fn new(kind: ErrorKind, message: &'static str) -> Self {
        Self {
            kind,
            message,
            reason: None,
        }
    }

    const fn because(kind: ErrorKind, reason: &'static str, message: &'static str) -> Self {
        Self {
            kind,
            message,
            reason: Some(reason),
        }
    }
}

/// What the chain of causes has in it.
#[derive(Default)]
struct Facts<'e> {
    /// An error of the request body's own stream.
    own: Option<&'e NetworkError>,
    tls: Option<&'e rustls::Error>,
    /// The kind of the innermost I/O error.
    io: Option<io::ErrorKind>,
    incomplete: bool,
    /// The connection was closed before the request was written to it.
    canceled: bool,
    parse: bool,
    too_large: bool,
    tunnel: bool,
    socks: bool,
    proxy_auth: bool,
}

impl<'e> Facts<'e> {
    fn of(error: &'e reqwest::Error) -> Self {
        let mut facts = Self::default();
        facts.walk(error, 0);
        facts
    }

    fn walk(&mut self, error: &'e (dyn StdError + 'static), depth: usize) {
        if depth > 32 {
            return;
        }
        self.note(error);
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            // `source()` of an I/O error is its inner error's source: this walk covers it.
            self.walk(inner, depth + 1);
        } else if let Some(source) = error.source() {
            self.walk(source, depth + 1);
        }
    }

    fn note(&mut self, error: &'e (dyn StdError + 'static)) {
        if let Some(own) = error.downcast_ref::<NetworkError>() {
            self.own.get_or_insert(own);
        } else if let Some(io) = error.downcast_ref::<io::Error>() {
            self.io = Some(io.kind());
        } else if let Some(hyper) = error.downcast_ref::<hyper::Error>() {
            self.incomplete |= hyper.is_incomplete_message();
            self.canceled |= hyper.is_canceled();
            self.parse |= hyper.is_parse();
            self.too_large |= hyper.is_parse_too_large();
        } else if let Some(tls) = error.downcast_ref::<rustls::Error>() {
            self.tls = Some(tls);
        } else {
            // The connectors' tunnel errors are private types: their texts are all there is, and tests pin them.
            let text = error.to_string();
            self.tunnel |= text.starts_with("tunnel error");
            self.socks |= text.contains("socks proxy") || text.starts_with("SOCKS error");
            self.proxy_auth |= text.contains("proxy authorization required")
                || text.starts_with("SOCKS error: credentials not accepted")
                || text.starts_with("SOCKS error: server does not support user/pass");
        }
    }

    /// The order matters: the most specific cause comes first.
    fn finding(&self, error: &reqwest::Error, stage: Stage, proxied: bool) -> Finding {
        if let Some(own) = self.own {
            return Finding::new(own.kind(), "the request body failed");
        }
        if error.is_builder() {
            return Finding::new(ErrorKind::InvalidInput, "the request cannot be built");
        }
        if error.is_timeout() {
            return Finding::new(
                ErrorKind::Timeout,
                if error.is_connect() {
                    "no connection in time"
                } else {
                    "no data from the peer in time"
                },
            );
        }
        if self.proxy_auth {
            return Finding::because(ErrorKind::Proxy, PROXY_AUTHENTICATION, WANTS_CREDENTIALS);
        }
        if let Some(tls) = self.tls {
            return tls_finding(tls);
        }
        if error.is_connect() {
            return self.connect_finding(error, proxied);
        }
        if self.too_large {
            return Finding::new(ErrorKind::TooLarge, "the head of the response is too large");
        }
        if self.parse {
            return Finding::new(ErrorKind::Protocol, "the peer broke the protocol");
        }
        let eof = self.incomplete || self.io == Some(io::ErrorKind::UnexpectedEof);
        match stage {
            Stage::Body if eof => Finding::new(ErrorKind::TruncatedBody, "the body ended before its announced length"),
            Stage::Head if eof => Finding::new(
                ErrorKind::ConnectionClosed,
                "the peer closed the connection without an answer",
            ),
            _ if self.broken() => Finding::new(ErrorKind::ConnectionClosed, "the connection broke"),
            _ if self.canceled => Finding::new(
                ErrorKind::ConnectionClosed,
                "the connection was closed before the request was sent",
            ),
            Stage::Body => Finding::new(ErrorKind::Protocol, "the body cannot be read"),
            Stage::Head => Finding::new(ErrorKind::Connection, "the exchange failed"),
        }
    }

    /// There is no connection. Of what happened behind a proxy little is known.
    fn connect_finding(&self, error: &reqwest::Error, proxied: bool) -> Finding {
        let refused = |message| Finding::new(ErrorKind::ConnectionRefused, message);
        match self.io {
            _ if self.socks => Finding::because(
                ErrorKind::Proxy,
                "socks",
                "the SOCKS proxy cannot be reached, or did not connect",
            ),
            // A tunnel that failed for a reason of its own, as opposed to one whose proxy was not there.
            None if self.tunnel => Finding::because(ErrorKind::Proxy, "tunnel", "the proxy did not open a tunnel"),
            _ if proxied => Finding::because(ErrorKind::Proxy, "unreachable", "the proxy cannot be reached"),
            _ if error.is_dns() => Finding::new(ErrorKind::Dns, "the name cannot be resolved"),
            Some(io::ErrorKind::ConnectionRefused) => refused("the peer refused the connection"),
            Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => refused("no route to the peer"),
            Some(io::ErrorKind::UnexpectedEof) => Finding::new(
                ErrorKind::ConnectionClosed,
                "the peer closed the connection in the handshake",
            ),
            _ if self.broken() => Finding::new(ErrorKind::ConnectionClosed, "the connection broke in the handshake"),
            _ => Finding::new(ErrorKind::Connection, "no connection to the peer"),
        }
    }

    fn broken(&self) -> bool {
        matches!(
            self.io,
            Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe)
        )
    }
}

fn tls_finding(error: &rustls::Error) -> Finding {
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
    Finding::because(ErrorKind::Tls, reason, message)
}
