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
pub(super) fn classify(error: reqwest::Error, stage: Stage, proxied: bool) -> NetworkError {
    // The URL may hold credentials, and the caller knows it anyway.
    let error = error.without_url();
    let facts = Facts::of(&error);
    let (kind, message) = facts.kind(&error, stage, proxied);

    let sent = match stage {
        Stage::Body => SendState::Sent,
        Stage::Head if error.is_connect() || error.is_builder() || facts.canceled => SendState::NotSent,
        Stage::Head => SendState::MaybeSent,
    };
    let mut mapped = NetworkError::new(kind, "http.request", message).with_send_state(sent);
    if kind == ErrorKind::Timeout {
        mapped = mapped.with_phase(if error.is_connect() {
            Phase::Connect
        } else {
            Phase::Read
        });
    }
    if facts.own.is_some_and(|own| own.retryability() == Retryability::Never) {
        mapped = mapped.with_retryability(Retryability::Never);
    }
    mapped.with_source(error)
}

/// What the chain of causes has in it.
#[derive(Default)]
struct Facts<'e> {
    /// An error of the request body's own stream.
    own: Option<&'e NetworkError>,
    tls: bool,
    /// The kind of the innermost I/O error.
    io: Option<io::ErrorKind>,
    incomplete: bool,
    /// The connection was closed before the request was written to it.
    canceled: bool,
    parse: bool,
    proxy: bool,
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
        } else if error.is::<rustls::Error>() {
            self.tls = true;
        } else {
            // The connectors' tunnel errors are private types: their texts are all there is, and tests pin them.
            let text = error.to_string();
            self.proxy |=
                text.starts_with("tunnel error") || text.contains("socks proxy") || text.starts_with("SOCKS error");
            self.proxy_auth |= text.contains("proxy authorization required");
        }
    }

    /// The order matters: the most specific cause comes first.
    fn kind(&self, error: &reqwest::Error, stage: Stage, proxied: bool) -> (ErrorKind, &'static str) {
        if let Some(own) = self.own {
            // The resolver's, or that of the request body's stream.
            let message = match own.kind() {
                ErrorKind::Dns if error.is_connect() => "the name cannot be resolved",
                ErrorKind::DestinationDenied if error.is_connect() => {
                    "the destination is not one that requests may go to"
                }
                _ if error.is_connect() => "the resolver failed",
                _ => "the request body failed",
            };
            if !(proxied && error.is_connect()) {
                return (own.kind(), message);
            }
        }
        if error.is_builder() {
            return (ErrorKind::InvalidInput, "the request cannot be built");
        }
        if error.is_timeout() {
            let message = if error.is_connect() {
                "no connection in time"
            } else {
                "no data from the peer in time"
            };
            return (ErrorKind::Timeout, message);
        }
        if self.proxy_auth {
            return (ErrorKind::Proxy, "the proxy wants credentials");
        }
        if self.proxy {
            return (ErrorKind::Proxy, "the proxy did not open a tunnel");
        }
        if self.tls {
            return (ErrorKind::Tls, "the TLS handshake failed");
        }
        if error.is_connect() && proxied {
            return (ErrorKind::Proxy, "the proxy cannot be reached");
        }
        if error.is_dns() {
            return (ErrorKind::Dns, "the name cannot be resolved");
        }
        if error.is_connect() {
            return match self.io {
                Some(io::ErrorKind::ConnectionRefused) => {
                    (ErrorKind::ConnectionRefused, "the peer refused the connection")
                }
                Some(io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable) => {
                    (ErrorKind::ConnectionRefused, "no route to the peer")
                }
                _ => (ErrorKind::Connection, "no connection to the peer"),
            };
        }
        if self.parse {
            return (ErrorKind::Protocol, "the peer broke the protocol");
        }
        let eof = self.incomplete || self.io == Some(io::ErrorKind::UnexpectedEof);
        match (stage, eof, self.io) {
            (Stage::Body, true, _) => (ErrorKind::TruncatedBody, "the body ended before its announced length"),
            (Stage::Head, true, _) => (
                ErrorKind::ConnectionClosed,
                "the peer closed the connection without an answer",
            ),
            (
                _,
                _,
                Some(io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe),
            ) => (ErrorKind::ConnectionClosed, "the connection broke"),
            _ if self.canceled => (
                ErrorKind::ConnectionClosed,
                "the connection was closed before the request was sent",
            ),
            (Stage::Body, false, _) => (ErrorKind::Protocol, "the body cannot be read"),
            (Stage::Head, false, _) => (ErrorKind::Connection, "the exchange failed"),
        }
    }
}
