//! Time limits: of a whole call, and of one attempt.

use std::mem;
use std::pin::pin;
use std::time::Duration;

use networking_spi::http::{HttpCapabilities, HttpClient, HttpRequest, HttpResponse};
use networking_spi::{NetworkError, Phase, Result, SendState};
use tokio::time::Instant;

use crate::body;
use crate::body::deadline;
use crate::chain::{Next, Wrapper, inner_access, pass_on};

/// In the extensions of a request: how long a rate limit has delayed it.
#[derive(Debug, Clone, Copy)]
pub(super) struct QueuedFor(pub(super) Duration);

/// The time limit of a whole call: the wait for the rate limit, all attempts, the waits between them, and reading the body.
///
/// # Order
///
/// Right: outside [`RetryClient`](super::RetryClient).
///
/// ```
/// # use std::time::Duration;
/// # use networking_http::{MemoryHttpClient, layer::{RetryClient, TotalTimeoutClient}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let retrying = RetryClient::new(transport, RetryPolicy::default())?;
/// let client = TotalTimeoutClient::new(retrying, Some(Duration::from_secs(30)));
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside a `RetryClient`. The limit would apply to each attempt, and three attempts could take three times the limit. Use
/// [`AttemptTimeoutClient`] to limit attempts.
#[derive(Debug)]
pub struct TotalTimeoutClient<C> {
    inner: C,
    default: Option<Duration>,
}

inner_access!(TotalTimeoutClient);

impl<C> TotalTimeoutClient<C> {
    /// Limits calls to `inner` to `default`, unless a request sets another limit.
    pub const fn new(inner: C, default: Option<Duration>) -> Self {
        Self { inner, default }
    }
}

impl<C: HttpClient> Wrapper for TotalTimeoutClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let Some(limit) = request.options.timeout.take().or(self.default) else {
            return next.send(request).await;
        };
        let queued = request
            .extensions
            .remove::<QueuedFor>()
            .map_or(Duration::ZERO, |queued| queued.0);
        let Some(deadline) = Instant::now().checked_add(limit.saturating_sub(queued)) else {
            // The deadline exceeds the range of the clock: no limit.
            return next.send(request).await;
        };
        let sent = pin!(next.send(request));
        let Ok(result) = deadline::by(deadline, sent).await else {
            return Err(NetworkError::timeout("http.request", Phase::Total, limit));
        };
        let mut response = result?;
        response.body = body::until(mem::take(&mut response.body), deadline, limit);
        Ok(response)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for TotalTimeoutClient<C> {
    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.timeout = true;
        capabilities
    }

    pass_on!(
        request,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

/// The time limit of one attempt, up to the response head.
///
/// # Order
///
/// Right: inside [`RetryClient`](super::RetryClient) and [`CircuitBreakerClient`](super::CircuitBreakerClient), so that a timeout
/// counts as a failure of the peer and can be retried.
///
/// ```
/// # use std::time::Duration;
/// # use networking_http::{MemoryHttpClient, layer::{AttemptTimeoutClient, RetryClient}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let timed = AttemptTimeoutClient::new(transport, Some(Duration::from_secs(5)));
/// let client = RetryClient::new(timed, RetryPolicy::default())?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: outside the circuit breaker. The breaker would record a timeout as a cancelled call, not as a failure of the peer.
#[derive(Debug)]
pub struct AttemptTimeoutClient<C> {
    inner: C,
    default: Option<Duration>,
}

inner_access!(AttemptTimeoutClient);

impl<C> AttemptTimeoutClient<C> {
    /// Limits attempts of `inner` to `default`, unless a request sets another limit.
    pub const fn new(inner: C, default: Option<Duration>) -> Self {
        Self { inner, default }
    }
}

impl<C: HttpClient> Wrapper for AttemptTimeoutClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let Some(limit) = request.options.attempt_timeout.take().or(self.default) else {
            return next.send(request).await;
        };
        let Some(deadline) = Instant::now().checked_add(limit) else {
            // The deadline exceeds the range of the clock: no limit.
            return next.send(request).await;
        };
        let sent = pin!(next.send(request));
        deadline::by(deadline, sent).await.unwrap_or_else(|_| {
            Err(NetworkError::timeout("http.request", Phase::Attempt, limit).with_send_state(SendState::MaybeSent))
        })
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for AttemptTimeoutClient<C> {
    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.attempt_timeout = true;
        capabilities
    }

    pass_on!(
        request,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}
