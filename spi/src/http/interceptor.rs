//! Hooks around each attempt of a request.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::Method;
use url::Url;

use super::{HttpRequest, HttpResponse};
use crate::error::{NetworkError, Result};
use crate::redact;

/// The result of [`Interceptor::before`].
#[derive(Debug)]
#[non_exhaustive]
pub enum Intercepted {
    /// Send this request, which may be changed.
    Continue(HttpRequest),
    /// Do not send the request, and return this response. Outer interceptors still process it.
    Respond(HttpResponse),
}

impl From<HttpRequest> for Intercepted {
    fn from(request: HttpRequest) -> Self {
        Self::Continue(request)
    }
}

impl From<HttpResponse> for Intercepted {
    fn from(response: HttpResponse) -> Self {
        Self::Respond(response)
    }
}

/// The part of a request that hooks receive after the request was sent.
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

/// A hook around each attempt. The first interceptor added is the outermost: its `before` runs first, and its `after` last.
///
/// Unlike the contracts, this trait has default bodies, which change nothing: applications write interceptors, and
/// implement only the hooks that they need. [`InterceptorFn`](super::InterceptorFn) is an interceptor made of closures.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait Interceptor: fmt::Debug + Send + Sync + 'static {
    /// Runs before the request is sent.
    ///
    /// # Errors
    /// An error ends the attempt. Outer interceptors receive it in [`on_error`](Self::on_error).
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        Ok(Intercepted::Continue(request))
    }

    /// Runs after a response with any status.
    ///
    /// # Errors
    /// An error replaces the response.
    async fn after(&self, request: &RequestHead, response: HttpResponse) -> Result<HttpResponse> {
        let _ = request;
        Ok(response)
    }

    /// Runs after an error. May return a response in place of the error.
    ///
    /// # Errors
    /// The same error, or one that replaces it.
    async fn on_error(&self, request: &RequestHead, error: NetworkError) -> Result<HttpResponse> {
        let _ = request;
        Err(error)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<I: Interceptor + ?Sized> Interceptor for Arc<I> {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        (**self).before(request).await
    }

    async fn after(&self, request: &RequestHead, response: HttpResponse) -> Result<HttpResponse> {
        (**self).after(request, response).await
    }

    async fn on_error(&self, request: &RequestHead, error: NetworkError) -> Result<HttpResponse> {
        (**self).on_error(request, error).await
    }
}
