//! Application hooks around each attempt.

use std::sync::Arc;

use futures_core::future::BoxFuture;
use networking_spi::Result;
use networking_spi::http::{
    HttpCapabilities, HttpClient, HttpRequest, HttpResponse, Intercepted, Interceptor, RequestHead,
};
use networking_spi::{ErrorKind, NetworkError};

use super::pass_on;

/// Runs [`Interceptor`]s around each attempt: the first one's `before` runs first and its `after` last.
///
/// A hook that ends the attempt, with a response or an error, is seen by the hooks outside of it and not by itself. What
/// `after` and `on_error` are told of the request is its method and URL as the interceptor's own `before` was given them.
///
/// # Order
///
/// Right: inside the retries, so that every attempt is seen, and outside of the credentials.
///
/// ```
/// # use std::sync::Arc;
/// # use networking_impls::http::{MemoryHttpClient, layer::{AuthLayer, Credentials, InterceptorLayer}};
/// # let transport = MemoryHttpClient::new();
/// let client = InterceptorLayer::new(AuthLayer::new(transport, Some(Credentials::bearer("token")?)), Vec::new());
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside of [`AuthLayer`](super::AuthLayer), unless the interceptor is trusted with the credentials.
#[derive(Debug)]
pub struct InterceptorLayer<C> {
    inner: C,
    interceptors: Vec<Arc<dyn Interceptor>>,
}

impl<C> InterceptorLayer<C> {
    /// Runs `interceptors`, the outermost first, around calls to `inner`.
    pub const fn new(inner: C, interceptors: Vec<Arc<dyn Interceptor>>) -> Self {
        Self { inner, interceptors }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for InterceptorLayer<C> {
    fn request<'s, 'f>(&'s self, request: HttpRequest) -> BoxFuture<'f, Result<HttpResponse>>
    where
        's: 'f,
        Self: 'f,
    {
        if self.interceptors.is_empty() {
            return self.inner.request(request);
        }
        Box::pin(async move {
            // The hooks that have to be run on the way back, the outermost first.
            let mut entered = Vec::with_capacity(self.interceptors.len());
            let mut result = self.enter(request, &mut entered).await;
            while let Some((interceptor, head)) = entered.pop() {
                result = match result {
                    Ok(response) => interceptor.after(&head, response).await,
                    Err(error) => interceptor.on_error(&head, error).await,
                };
            }
            result
        })
    }

    fn capabilities(&self) -> HttpCapabilities {
        self.inner.capabilities()
    }

    pass_on!(client_metrics, configure_retry_policy, configure_circuit_breaker);
}

impl<C: HttpClient> InterceptorLayer<C> {
    async fn enter<'s>(
        &'s self,
        mut request: HttpRequest,
        entered: &mut Vec<(&'s dyn Interceptor, RequestHead)>,
    ) -> Result<HttpResponse> {
        for interceptor in &self.interceptors {
            let head = RequestHead::new(request.method.clone(), request.target.url()?.clone());
            match interceptor.before(request).await? {
                Intercepted::Continue(changed) => request = changed,
                Intercepted::Respond(response) => return Ok(response),
                _ => {
                    return Err(NetworkError::new(
                        ErrorKind::Unsupported,
                        "http.request",
                        "this client does not know what the interceptor wants",
                    ));
                }
            }
            entered.push((&**interceptor, head));
        }
        self.inner.request(request).await
    }
}
