//! An interceptor made of closures.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use futures_core::future::BoxFuture;

use super::{HttpRequest, HttpResponse, Intercepted, Interceptor, RequestHead};
use crate::error::{NetworkError, Result};

type Before = Arc<dyn Fn(HttpRequest) -> BoxFuture<'static, Result<Intercepted>> + Send + Sync>;
type After = Arc<dyn Fn(RequestHead, HttpResponse) -> BoxFuture<'static, Result<HttpResponse>> + Send + Sync>;
type OnError = Arc<dyn Fn(RequestHead, NetworkError) -> BoxFuture<'static, Result<HttpResponse>> + Send + Sync>;

/// An [`Interceptor`] made of closures. Hooks without a closure change nothing. Clones share the closures.
///
/// ```
/// use networking_spi::http::{HeaderValue, InterceptorFn};
///
/// let interceptor = InterceptorFn::new()
///     .before(|mut request| async move {
///         request.headers.insert("x-app", HeaderValue::from_static("shop"));
///         Ok(request)
///     })
///     .after(|request, response| async move {
///         println!("{} {}: {}", request.method, request.url.path(), response.status);
///         Ok(response)
///     });
/// # drop(interceptor);
/// ```
#[derive(Clone, Default)]
pub struct InterceptorFn {
    before: Option<Before>,
    after: Option<After>,
    on_error: Option<OnError>,
}

impl InterceptorFn {
    /// No closures.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the closure for [`Interceptor::before`]. It returns the request to send, or a response or an [`Intercepted`].
    pub fn before<R, F>(mut self, hook: impl Fn(HttpRequest) -> F + Send + Sync + 'static) -> Self
    where
        R: Into<Intercepted>,
        F: Future<Output = Result<R>> + Send + 'static,
    {
        self.before = Some(Arc::new(move |request| {
            let decision = hook(request);
            Box::pin(async move { decision.await.map(Into::into) })
        }));
        self
    }

    /// Sets the closure for [`Interceptor::after`].
    pub fn after<F>(mut self, hook: impl Fn(RequestHead, HttpResponse) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        self.after = Some(Arc::new(move |request, response| Box::pin(hook(request, response))));
        self
    }

    /// Sets the closure for [`Interceptor::on_error`].
    pub fn on_error<F>(mut self, hook: impl Fn(RequestHead, NetworkError) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<HttpResponse>> + Send + 'static,
    {
        self.on_error = Some(Arc::new(move |request, error| Box::pin(hook(request, error))));
        self
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Interceptor for InterceptorFn {
    async fn before(&self, request: HttpRequest) -> Result<Intercepted> {
        match &self.before {
            Some(hook) => hook(request).await,
            None => Ok(Intercepted::Continue(request)),
        }
    }

    async fn after(&self, request: &RequestHead, response: HttpResponse) -> Result<HttpResponse> {
        match &self.after {
            Some(hook) => hook(request.clone(), response).await,
            None => Ok(response),
        }
    }

    async fn on_error(&self, request: &RequestHead, error: NetworkError) -> Result<HttpResponse> {
        match &self.on_error {
            Some(hook) => hook(request.clone(), error).await,
            None => Err(error),
        }
    }
}

impl fmt::Debug for InterceptorFn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InterceptorFn")
            .field("before", &self.before.is_some())
            .field("after", &self.after.is_some())
            .field("on_error", &self.on_error.is_some())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Method, StatusCode};

    use super::*;
    use crate::error::ErrorKind;

    fn head() -> RequestHead {
        RequestHead::new(Method::GET, "https://example.com/".parse().expect("a URL"))
    }

    #[tokio::test]
    async fn hooks_without_a_closure_change_nothing() {
        let interceptor: Arc<dyn Interceptor> = Arc::new(InterceptorFn::new());
        let request = HttpRequest::new(Method::GET, "https://example.com/");
        assert!(matches!(
            interceptor.before(request).await,
            Ok(Intercepted::Continue(_))
        ));
        let response = interceptor.after(&head(), HttpResponse::new(StatusCode::CREATED)).await;
        assert_eq!(response.unwrap().status, StatusCode::CREATED);
        let error = NetworkError::new(ErrorKind::Dns, "test", "no such host");
        assert_eq!(
            interceptor.on_error(&head(), error).await.unwrap_err().kind(),
            ErrorKind::Dns
        );
    }

    #[tokio::test]
    async fn closures_change_requests_responses_and_errors() {
        let closures = InterceptorFn::new()
            .before(|mut request| async move {
                request.headers.insert("x-app", HeaderValue::from_static("shop"));
                Ok(request)
            })
            .after(|head, response| async move { response.with_header("x-method", head.method.as_str()) })
            .on_error(|_, _| async { Ok(HttpResponse::new(StatusCode::ACCEPTED)) });
        let interceptor: Arc<dyn Interceptor> = Arc::new(closures);
        let request = HttpRequest::new(Method::GET, "https://example.com/");
        let Intercepted::Continue(request) = interceptor.before(request).await.unwrap() else {
            panic!("the request is sent");
        };
        assert_eq!(request.headers["x-app"], "shop");
        let response = interceptor
            .after(&head(), HttpResponse::new(StatusCode::OK))
            .await
            .unwrap();
        assert_eq!(response.headers["x-method"], "GET");
        let error = NetworkError::new(ErrorKind::Dns, "test", "no such host");
        assert_eq!(
            interceptor.on_error(&head(), error).await.unwrap().status,
            StatusCode::ACCEPTED
        );

        let responding = InterceptorFn::new().before(|_| async { Ok(HttpResponse::new(StatusCode::OK)) });
        let responding: Arc<dyn Interceptor> = Arc::new(responding);
        let request = HttpRequest::new(Method::GET, "https://example.com/");
        assert!(matches!(responding.before(request).await, Ok(Intercepted::Respond(_))));
    }
}
