//! Application hooks around each attempt.

use std::sync::Arc;

use networking_spi::Result;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, Intercepted, Interceptor, RequestHead};
use networking_spi::{ErrorKind, NetworkError, SendState};

use crate::chain::{Next, Wrapper, inner_access, pass_on};

/// Runs [`Interceptor`]s around each attempt: the first one's `before` runs first and its `after` last.
///
/// When a `before` hook ends the attempt with a response or an error, only the interceptors outside it get that outcome.
/// `after` and `on_error` get the method and URL of the request as they were passed to `before` of the same interceptor.
///
/// The [send state](NetworkError::send_state) of an error from a hook is replaced by that of the attempt: a hook cannot change
/// whether the request may be repeated.
///
/// # Order
///
/// Right: inside the retries, so that interceptors see every attempt, and outside [`AuthClient`](super::AuthClient), so that they
/// do not see the credentials.
///
/// ```
/// # use std::sync::Arc;
/// # use networking_http::{MemoryHttpClient, layer::{AuthClient, Credentials, InterceptorClient}};
/// # let transport = MemoryHttpClient::new();
/// let client = InterceptorClient::new(AuthClient::new(transport, Some(Credentials::bearer("token")?)), Vec::new());
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside [`AuthClient`](super::AuthClient), unless the interceptor may see the credentials.
#[derive(Debug)]
pub struct InterceptorClient<C> {
    inner: C,
    interceptors: Vec<Arc<dyn Interceptor>>,
}

inner_access!(InterceptorClient);

impl<C> InterceptorClient<C> {
    /// Runs `interceptors`, the outermost first, around calls to `inner`.
    pub const fn new(inner: C, interceptors: Vec<Arc<dyn Interceptor>>) -> Self {
        Self { inner, interceptors }
    }
}

impl<C: HttpClient> Wrapper for InterceptorClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        if self.interceptors.is_empty() {
            return next.send(request).await;
        }
        let mut entered = Entered::default();
        let mut result = self.enter(request, next, &mut entered).await;
        for index in (0..entered.count).rev() {
            let (interceptor, head) = (&self.interceptors[index], entered.head(index));
            result = match result {
                Ok(response) => interceptor
                    .after(head, *response)
                    .await
                    .map_err(|error| error.with_send_state(SendState::Sent)),
                Err(error) => {
                    let state = error.send_state();
                    interceptor
                        .on_error(head, error)
                        .await
                        .map_err(|error| error.with_send_state(state))
                }
            }
            .map(Box::new);
        }
        result
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for InterceptorClient<C> {
    pass_on!(
        request,
        capabilities,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

impl<C> InterceptorClient<C> {
    async fn enter(
        &self,
        mut request: Box<HttpRequest>,
        next: &impl Next,
        entered: &mut Entered,
    ) -> Result<Box<HttpResponse>> {
        for interceptor in &self.interceptors {
            entered.note(&request)?;
            let decision = interceptor
                .before(*request)
                .await
                .map_err(|error| error.with_send_state(SendState::NotSent))?;
            match decision {
                Intercepted::Continue(changed) => request = Box::new(changed),
                Intercepted::Respond(response) => return Ok(Box::new(response)),
                _ => {
                    return Err(NetworkError::new(
                        ErrorKind::Unsupported,
                        "http.request",
                        "this client does not support the interceptor's decision",
                    ));
                }
            }
            entered.count += 1;
        }
        next.send(request).await
    }
}

/// The interceptors whose `before` ran, and the request heads they were given.
#[derive(Default)]
struct Entered {
    count: usize,
    /// Each distinct head, with the index of the first interceptor that was given it. There is usually one, because interceptors
    /// rarely change method or URL.
    heads: Vec<(usize, RequestHead)>,
}

impl Entered {
    /// Stores the head for the next interceptor.
    fn note(&mut self, request: &HttpRequest) -> Result<()> {
        let url = request.target.url()?;
        let same = |(_, last): &(usize, RequestHead)| last.method == request.method && last.url == *url;
        if !self.heads.last().is_some_and(same) {
            self.heads.reserve_exact(1);
            self.heads
                .push((self.count, RequestHead::new(request.method.clone(), url.clone())));
        }
        Ok(())
    }

    /// The head that the interceptor with this index was given.
    fn head(&self, index: usize) -> &RequestHead {
        let later = self.heads.partition_point(|(since, _)| *since <= index);
        &self.heads[later - 1].1
    }
}
