//! Maps errors of reqwest.
//!
//! reqwest's predicates do not distinguish enough cases, and following `source()` is not enough: `io::Error::source()` skips its
//! inner error, which may be an error of rustls.

use std::error::Error as StdError;
use std::io;

use networking_spi::error::context;
use networking_spi::{ErrorKind, NetworkError, Phase, SendState};

pub(super) use crate::connect::diagnosis::Stage;
use crate::connect::diagnosis::{self, Broken, Diagnosis, PROXY_AUTHENTICATION, WANTS_CREDENTIALS};
use crate::transport::http2_error;

/// Maps an error of a request. `proxied`: the request was sent through a proxy, which the error does not show.
///
/// `missing`: bytes of the announced length of the response are missing.
pub(super) fn classify(error: reqwest::Error, stage: Stage, proxied: bool, missing: bool, host: &str) -> NetworkError {
    // The URL may contain credentials, and the caller knows it.
    let error = error.without_url();
    let facts = Facts::of(&error);
    let http2 = facts.http2.filter(|_| facts.own.is_none());
    if let Some(mapped) = http2.and_then(|http2| http2_error::diagnose(http2, stage, missing)) {
        return mapped.with_context(context::HOST, host).with_source(error);
    }
    let diagnosis = facts.diagnose(&error, stage, proxied);

    let sent = match stage {
        Stage::Body => SendState::Sent,
        Stage::Head if error.is_connect() || error.is_builder() || facts.canceled => SendState::NotSent,
        Stage::Head => SendState::MaybeSent,
    };
    let timeout = diagnosis.kind == ErrorKind::Timeout;
    let mut mapped = diagnosis.into_error().with_send_state(sent);
    if timeout {
        mapped = mapped.with_phase(if error.is_connect() {
            Phase::Connect
        } else {
            Phase::Read
        });
    }
    if let Some(own) = facts.own {
        mapped = mapped.with_retryability(own.retryability());
    }
    mapped.with_context(context::HOST, host).with_source(error)
}

/// The facts in the chain of causes.
#[derive(Default)]
struct Facts<'e> {
    /// An error of the request body's stream.
    own: Option<&'e NetworkError>,
    tls: Option<&'e rustls::Error>,
    http2: Option<&'e h2::Error>,
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
            // The source of an I/O error is that of its inner error, which this walk visits.
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
        } else if let Some(http2) = error.downcast_ref::<h2::Error>() {
            self.http2 = Some(http2);
            // h2 does not give its I/O error as its source.
            self.io = http2.get_io().map(io::Error::kind).or(self.io);
        } else {
            // The tunnel errors of the connectors are private types, so their texts are compared. Tests cover them.
            let text = error.to_string();
            self.tunnel |= text.starts_with("tunnel error");
            self.socks |= text.contains("socks proxy") || text.starts_with("SOCKS error");
            self.proxy_auth |= text.contains("proxy authorization required")
                || text.starts_with("SOCKS error: credentials not accepted")
                || text.starts_with("SOCKS error: server does not support user/pass");
        }
    }

    /// The order matters: the most specific cause is checked first.
    fn diagnose(&self, error: &reqwest::Error, stage: Stage, proxied: bool) -> Diagnosis {
        if let Some(own) = self.own.filter(|_| !proxied || !error.is_connect()) {
            return if error.is_connect() {
                diagnosis::resolution(own)
            } else {
                Diagnosis::new(own.kind(), "the request body failed")
            };
        }
        if error.is_builder() {
            return Diagnosis::new(ErrorKind::InvalidInput, "the request cannot be built");
        }
        if error.is_timeout() {
            return Diagnosis::new(
                ErrorKind::Timeout,
                if error.is_connect() {
                    "the connect timeout passed"
                } else {
                    "the peer sent no data within the read timeout"
                },
            );
        }
        if self.proxy_auth {
            return Diagnosis::because(ErrorKind::Proxy, PROXY_AUTHENTICATION, WANTS_CREDENTIALS);
        }
        if let Some(tls) = self.tls {
            return diagnosis::tls(tls);
        }
        if error.is_connect() {
            return self.diagnose_connect(proxied);
        }
        diagnosis::exchange(
            stage,
            Broken {
                io: self.io,
                incomplete: self.incomplete,
                canceled: self.canceled,
                parse: self.parse,
                too_large: self.too_large,
                unanswered_ping: false,
            },
        )
    }

    /// Maps a failure to connect. Most failures of a connection through a proxy cannot be distinguished.
    fn diagnose_connect(&self, proxied: bool) -> Diagnosis {
        match self.io {
            _ if self.socks => Diagnosis::because(
                ErrorKind::Proxy,
                "socks",
                "the SOCKS proxy cannot be reached, or did not connect",
            ),
            // The proxy refused the tunnel. With an I/O error, the proxy could not be reached.
            None if self.tunnel => Diagnosis::because(ErrorKind::Proxy, "tunnel", "the proxy did not open a tunnel"),
            // The end of the stream in a TLS handshake, which the peer ended through the tunnel.
            Some(io::ErrorKind::UnexpectedEof) if proxied => diagnosis::connect(self.io),
            _ if proxied => Diagnosis::because(ErrorKind::Proxy, "unreachable", "the proxy cannot be reached"),
            cause => diagnosis::connect(cause),
        }
    }
}
