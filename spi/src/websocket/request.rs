//! The request of an opening handshake.

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};
use url::{ParseError, Url};

use super::WebSocketOptions;
use crate::error::Result;
use crate::http::{RequestTarget, headers, invalid_url};
use crate::redact;
use crate::validate;

/// The request of an opening handshake.
#[derive(Clone)]
#[must_use = "a request does nothing until a client connects with it"]
#[non_exhaustive]
pub struct WebSocketRequest {
    /// `ws://` or `wss://`.
    pub url: Url,
    /// Additional headers.
    pub headers: HeaderMap,
    /// The offered sub-protocols, in order of preference.
    pub protocols: Vec<String>,
    /// Limits and timeouts.
    pub options: WebSocketOptions,
}

impl WebSocketRequest {
    /// A request to `url`, which is text or a [`Url`], with default options.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if `url` is not a `ws` or `wss` URL. The message says what
    /// is wrong with it.
    pub fn new(url: impl Into<RequestTarget>) -> Result<Self> {
        let url = match url.into() {
            RequestTarget::Absolute(url) => url,
            RequestTarget::Relative(text) => {
                let error = Url::parse(&text).err().unwrap_or(ParseError::RelativeUrlWithoutBase);
                return Err(invalid_url(&text, error));
            }
        };
        validate::ensure(matches!(url.scheme(), "ws" | "wss"), "url", "must be a ws or wss URL")?;
        Ok(Self {
            url,
            headers: HeaderMap::new(),
            protocols: Vec::new(),
            options: WebSocketOptions::default(),
        })
    }

    /// Sets a header of the handshake, and replaces its previous values.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name or value that HTTP does not allow.
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Result<Self>
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let (name, value) = headers::pair(name, value)?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Offers a sub-protocol.
    pub fn with_protocol(mut self, protocol: impl Into<String>) -> Self {
        self.protocols.push(protocol.into());
        self
    }

    /// Sets limits and timeouts.
    pub fn with_options(mut self, options: WebSocketOptions) -> Self {
        self.options = options;
        self
    }
}

impl fmt::Debug for WebSocketRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocketRequest")
            .field("url", &format_args!("{}", redact::url(&self.url)))
            .field("headers", &redact::Headers(&self.headers))
            .field("protocols", &self.protocols)
            .field("options", &self.options)
            .finish()
    }
}
