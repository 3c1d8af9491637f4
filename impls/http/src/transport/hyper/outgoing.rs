//! Conversion of requests for hyper, except the parts that depend on the connection.

use http::{HeaderMap, HeaderValue, Method, Request, header};
use networking_spi::{NetworkError, Result};
use url::Url;

use super::upload::Upload;
use crate::connect::basic;
use crate::connect::config::TransportConfig;

const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// The parts that all requests have in common.
pub(super) struct Outgoing {
    user_agent: Option<HeaderValue>,
}

/// Fails for requests that cannot be sent on any connection.
pub(super) fn check(method: &Method, url: &Url) -> Result<()> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NetworkError::invalid_input("url", "must be an http or https URL"));
    }
    if method == Method::CONNECT {
        return Err(NetworkError::invalid_input(
            "method",
            "CONNECT is used only by the transport",
        ));
    }
    Ok(())
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
    pub(super) fn request(&self, method: Method, url: &Url, mut headers: HeaderMap, body: Upload) -> Request<Upload> {
        // For `Accept`, `User-Agent` and `Host`.
        headers.reserve(3);
        headers.entry(header::ACCEPT).or_insert(ANYTHING);
        if let Some(user_agent) = &self.user_agent {
            headers.entry(header::USER_AGENT).or_insert_with(|| user_agent.clone());
        }
        if let Some(credentials) = basic::of_url(url) {
            headers.entry(header::AUTHORIZATION).or_insert(credentials);
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        request
    }
}
