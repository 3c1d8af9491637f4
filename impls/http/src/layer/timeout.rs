//! Time limits: of a whole call, and of one attempt.

use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use networking_spi::http::{HttpCapabilities, HttpClient, HttpRequest, HttpResponse};
use networking_spi::{NetworkError, Phase, Result, SendState, validate};
use tokio::time::Instant;

use crate::body;
use crate::body::deadline;
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::connect::TransportConfig;
use crate::marks::{Deadline, LongBody, Patience, given_up};

/// The time limit of a whole call: the wait for the rate limit, all attempts, the waits between them, and reading the body.
///
/// A wait for the rate limit or for a retry that would end after the limit does not start: the call fails immediately, with the
/// error of the rate limit or with the outcome of its last attempt.
///
/// # Order
///
/// Right: outside [`RetryClient`](super::RetryClient) and [`RateLimitClient`](super::RateLimitClient).
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
        let own = request.options.total_timeout.take();
        own.map_or(Ok(()), |limit| validate::positive(limit, "total_timeout"))?;
        let Some((deadline, limit)) = own.or(self.default).and_then(from_now) else {
            return next.send(request).await;
        };
        let covers_body = own.is_some() || request.extensions.get::<LongBody>().is_none();
        let attempts = Arc::new(AtomicU32::new(1));
        request.extensions.insert(Deadline {
            at: deadline,
            attempts: Arc::clone(&attempts),
        });
        let sent = pin!(next.send(request));
        let Ok(result) = deadline::by(deadline, sent).await else {
            let error = NetworkError::timeout("http.request", Phase::Total, limit);
            return Err(given_up(error, attempts.load(Relaxed)));
        };
        let mut response = result?;
        if covers_body {
            response.body = body::until(mem::take(&mut response.body), deadline, Phase::Total, limit);
        }
        Ok(response)
    }
}

/// The end of a time limit that starts now, and the limit. `None` if the end exceeds the range of the clock: there is no limit then.
fn from_now(limit: Duration) -> Option<(Instant, Duration)> {
    Instant::now().checked_add(limit).map(|deadline| (deadline, limit))
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for TotalTimeoutClient<C> {
    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.total_timeout = true;
        capabilities
    }

    pass_on!(
        request,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

/// The time limits of each attempt: until the response head, and until its body has been read.
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
    head: Option<Duration>,
    whole: Option<Duration>,
    fallback: Option<Duration>,
}

inner_access!(AttemptTimeoutClient);

impl<C> AttemptTimeoutClient<C> {
    /// Limits attempts of `inner` to `head` until the response head, unless a request sets another limit.
    pub const fn new(inner: C, head: Option<Duration>) -> Self {
        Self {
            inner,
            head,
            whole: None,
            fallback: None,
        }
    }

    /// Limits attempts until their body has been read, unless a request sets another limit.
    #[must_use]
    pub const fn with_body(mut self, whole: Option<Duration>) -> Self {
        self.whole = whole;
        self
    }

    /// Limits attempts until the response head if neither the client nor the request sets a limit.
    #[must_use]
    pub const fn with_fallback(mut self, fallback: Option<Duration>) -> Self {
        self.fallback = fallback;
        self
    }
}

impl<C: HttpClient> Wrapper for AttemptTimeoutClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let own = request.options.timeout.take();
        let own_head = request.options.attempt_timeout.take();
        for (limit, field) in [(own, "timeout"), (own_head, "attempt_timeout")] {
            limit.map_or(Ok(()), |limit| validate::positive(limit, field))?;
        }
        let whole = own.or(self.whole);
        let head = own_head.or(self.head);
        // An explicit limit, even a longer one, replaces the fallback.
        let head = head.or(if whole.is_none() { self.fallback } else { None });
        let shorter = match (head, whole) {
            (Some(head), Some(whole)) => Some(head.min(whole)),
            (head, whole) => head.or(whole),
        };
        let Some((deadline, limit)) = shorter.and_then(from_now) else {
            return next.send(request).await;
        };
        let covers_body = own.is_some() || request.extensions.get::<LongBody>().is_none();
        // Boxed, because the future of an attempt must stay small. `deadline - limit` is the start of the attempt.
        let of_body = whole
            .filter(|_| covers_body)
            .and_then(|whole| Some(Box::new(((deadline - limit).checked_add(whole)?, whole))));
        if limit > TransportConfig::DEFAULT_READ_TIMEOUT {
            request.extensions.insert(Patience {
                head: limit,
                body: of_body.as_ref().map_or(Duration::ZERO, |body| body.1),
            });
        }
        let sent = pin!(next.send(request));
        let Ok(result) = deadline::by(deadline, sent).await else {
            return Err(
                NetworkError::timeout("http.request", Phase::Attempt, limit).with_send_state(SendState::MaybeSent)
            );
        };
        let mut response = result?;
        if let Some((end, whole)) = of_body.map(|limit| *limit) {
            response.body = body::until(mem::take(&mut response.body), end, Phase::Attempt, whole);
        }
        Ok(response)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for AttemptTimeoutClient<C> {
    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.timeout = true;
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
