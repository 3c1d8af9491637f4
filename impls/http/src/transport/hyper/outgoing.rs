//! Requests as hyper wants them, but for what depends on the connection.

use http::{HeaderMap, HeaderValue, Method, Request, header};
use networking_spi::{NetworkError, Result};
use url::Url;

use super::upload::Upload;
use crate::connect::basic;
use crate::connect::config::TransportConfig;

const ANYTHING: HeaderValue = HeaderValue::from_static("*/*");

/// What is the same for all requests.
pub(super) struct Outgoing {
    user_agent: Option<HeaderValue>,
}

/// Fails for what no connection could take.
pub(super) fn check(method: &Method, url: &Url) -> Result<()> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(NetworkError::invalid_input("url", "must be an http or https URL"));
    }
    if method == Method::CONNECT {
        return Err(NetworkError::invalid_input(
            "method",
            "CONNECT is between the transport and a proxy",
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

    /// The request, without its target and what goes with that.
    pub(super) fn request(&self, method: Method, url: &Url, mut headers: HeaderMap, body: Upload) -> Request<Upload> {
        // These, and the host.
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
