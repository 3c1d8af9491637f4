//! Hooks around the sending of a request.

use std::fmt;

use async_trait::async_trait;
use http::Method;
use url::Url;

use super::{HttpRequest, HttpResponse};
use crate::error::{NetworkError, Result};
use crate::redact;

/// The decision of an interceptor about a request.
#[derive(Debug)]
#[non_exhaustive]
pub enum Intercepted {
    /// Send it, possibly changed.
    Continue(HttpRequest),
    /// Send nothing, and return this response. Outer interceptors still process it.
    Respond(HttpResponse),
}

/// The part of a request that hooks get after it was sent.
#[derive(Clone)]
#[non_exhaustive]
pub struct RequestHead {
    /// The method.
    pub method: Method,
    /// The URL.
    pub url: Url,
}

impl RequestHead {
    /// The head of a request.
    pub const fn new(method: Method, url: Url) -> Self {
        Self { method, url }
    }
}

impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestHead")
            .field("method", &self.method)
            .field("url", &redact::url(&self.url))
            .finish()
    }
}

/// A hook around each attempt. The first one added is the outermost: its `before` runs first and its `after` last.
///
/// Unlike the contracts, this trait has default bodies, which change nothing: applications write interceptors, and
/// implement only the hooks that they need.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Interceptor: fmt::Debug + Send + Sync + 'static {
    /// Before the request is sent.
    ///
    /// # Errors
    /// An error ends the attempt; outer interceptors get it in [`on_error`](Self::on_error).
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        Ok(Intercepted::Continue(request))
    }

    /// After a response, of any status.
    ///
    /// # Errors
    /// An error replaces the response.
    async fn after(&self, request: &RequestHead, response: HttpResponse) -> Result<HttpResponse> {
        let _ = request;
        Ok(response)
    }

    /// After an error. It may return a response in place of the error.
    ///
    /// # Errors
    /// The same error, or one that replaces it.
    async fn on_error(&self, request: &RequestHead, error: NetworkError) -> Result<HttpResponse> {
        let _ = request;
        Err(error)
    }
}
