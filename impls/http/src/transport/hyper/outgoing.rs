//! Conversion of requests for hyper, except the parts that depend on the connection.

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, header};
use http_body::Body;
use networking_spi::{NetworkError, Result};
use url::{Position, Url};

use super::upload::Upload;
use crate::connect::config::TransportConfig;
use crate::marks::host;

const NOTHING: HeaderValue = HeaderValue::from_static("0");
const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// The parts that all requests have in common.
pub(super) struct Outgoing {
    user_agent: Option<HeaderValue>,
}

/// The same request for another connection.
pub(super) fn again(method: Method, headers: HeaderMap, body: Upload) -> Request<Upload> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    request
}

/// The path and query, as a request names its target.
pub(super) fn target(url: &Url) -> Result<PathAndQuery> {
    let target = &url[Position::BeforePath..Position::AfterQuery];
    PathAndQuery::from_maybe_shared(Bytes::copy_from_slice(target.as_bytes()))
        .map_err(|error| NetworkError::invalid_input("url", "is not a URI").with_source(error))
}

/// The value of `Host`.
pub(super) fn host(url: &Url) -> Result<HeaderValue> {
    HeaderValue::from_str(host::of(url)).map_err(|error| unusable_host().with_source(error))
}

pub(super) fn unusable_host() -> NetworkError {
    NetworkError::invalid_input("url", "has a host that cannot be sent")
}

impl Outgoing {
    pub(super) fn new(config: &TransportConfig) -> Self {
        let user_agent = config.user_agent.as_deref().map(HeaderValue::from_str);
        Self {
            // Validated with the configuration.
            user_agent: user_agent.and_then(Result::ok),
        }
    }

    /// The request without its target and the headers that depend on the connection.
    pub(super) fn request(&self, method: Method, mut headers: HeaderMap, body: Upload) -> Request<Upload> {
        // For `Accept`, `User-Agent` and `Host`.
        headers.reserve(3);
        headers.entry(header::ACCEPT).or_insert(ANYTHING);
        if let Some(user_agent) = &self.user_agent {
            headers.entry(header::USER_AGENT).or_insert_with(|| user_agent.clone());
        }
        // RFC 9110, section 8.6: a method that gives a body a meaning, and no body.
        if body.is_end_stream() && matches!(method, Method::POST | Method::PUT | Method::PATCH) {
            headers.entry(header::CONTENT_LENGTH).or_insert(NOTHING);
        }
        again(method, headers, body)
    }
}
