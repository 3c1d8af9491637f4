//! Received requests.

use std::collections::BTreeMap;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, Method};
use networking_spi::redact;
use url::Url;

/// A request that a [`MemoryHttpClient`](super::MemoryHttpClient) received.
#[derive(Clone)]
#[non_exhaustive]
pub struct ReceivedRequest {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Url,
    /// The headers, including those that wrappers added.
    pub headers: HeaderMap,
    /// The whole body.
    pub body: Bytes,
    pub(super) params: BTreeMap<String, String>,
}

impl ReceivedRequest {
    pub(super) fn new(method: Method, url: Url, headers: HeaderMap, body: Bytes) -> Self {
        Self {
            method,
            url,
            headers,
            body,
            params: BTreeMap::new(),
        }
    }

    /// The value of a parameter `{name}` of the route's pattern, percent-encoded as in the URL.
    pub fn param(&self, name: &str) -> Option<&str> {
        self.params.get(name).map(String::as_str)
    }

    /// The first value of a header, if it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

impl fmt::Display for ReceivedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.method, redact::url(&self.url))
    }
}

impl fmt::Debug for ReceivedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReceivedRequest")
            .field("method", &self.method)
            .field("url", &redact::url(&self.url))
            .field("headers", &redact::Headers(&self.headers))
            .field("body_bytes", &self.body.len())
            .finish_non_exhaustive()
    }
}
