//! A limit of requests in flight per host.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use futures_util::future::Either;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RequestTarget};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::hedge::Hedge;
use super::per_origin::{Evictable, PerOrigin};
use crate::body;
use crate::chain::{Next, Wrapper, inner_access, pass_on};

/// The largest number of requests in flight to one host (scheme, host and port), and the size of the queue.
///
/// ```
/// use std::time::Duration;
/// use networking_http::layer::ConcurrencyLimit;
///
/// let limit = ConcurrencyLimit::per_host(8).with_max_queue(100).with_max_wait(Duration::from_secs(2));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConcurrencyLimit {
    /// Requests in flight to one host, at least 1.
    pub max_in_flight: u32,
    /// Requests that may wait per host; further ones fail immediately. Defaults to 1,000.
    #[serde(default = "ConcurrencyLimit::default_queue")]
    pub max_queue: u32,
    /// The longest wait for a permit. Defaults to 30 s.
    #[serde(with = "humantime_serde", default = "ConcurrencyLimit::default_wait")]
    pub max_wait: Duration,
    /// The largest number of hosts with separate limits, at least 1. Further hosts share one limit until another host is idle.
    /// Defaults to 1,000.
    #[serde(default = "ConcurrencyLimit::default_hosts")]
    pub max_hosts: u32,
}

impl ConcurrencyLimit {
    /// `max_in_flight` requests per host; 1,000 may wait per host, for 30 s; 1,000 hosts.
    pub const fn per_host(max_in_flight: u32) -> Self {
        Self {
            max_in_flight,
            max_queue: Self::default_queue(),
            max_wait: Self::default_wait(),
            max_hosts: Self::default_hosts(),
        }
    }

    const fn default_queue() -> u32 {
        1_000
    }

    const fn default_wait() -> Duration {
        Duration::from_secs(30)
    }

    const fn default_hosts() -> u32 {
        1_000
    }

    /// Sets how many requests may wait per host.
    pub const fn with_max_queue(mut self, requests: u32) -> Self {
        self.max_queue = requests;
        self
    }

    /// Sets the longest wait for a permit.
    pub const fn with_max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }

    /// Sets the largest number of hosts with separate limits.
    pub const fn with_max_hosts(mut self, hosts: u32) -> Self {
        self.max_hosts = hosts;
        self
    }
}

impl Validate for ConcurrencyLimit {
    fn validate(&self) -> Result<()> {
        validate::ensure(
            self.max_in_flight > 0 && self.max_in_flight <= 1_000_000,
            "max_in_flight",
            "must be between 1 and 1000000",
        )?;
        validate::ensure(self.max_hosts > 0, "max_hosts", "must be at least 1")?;
        validate::ensure(
            self.max_queue == 0 || !self.max_wait.is_zero(),
            "max_wait",
            "must be positive if requests may wait",
        )
    }
}

/// Limits the requests in flight per host. A request is in flight until the body of its response has been read to its end or
/// dropped. Waiting requests are served in order of arrival.
///
/// A request fails immediately with `Exhausted` if the queue is full, and with a `Timeout` in the phase `Queue` after it has
/// waited for [`max_wait`](ConcurrencyLimit::max_wait). In both cases nothing was sent, and the request may be retried. Dropping
/// a waiting call removes it from the queue.
///
/// Hedges of a [`HedgeClient`](super::HedgeClient) do not wait: the permit that they wait for could be that of their first
/// attempt.
///
/// A redirect to another host counts for the host of the original request.
///
/// # Order
///
/// Right: inside the retries, so that no request holds a permit while it waits for a retry, and outside the circuit breaker and
/// the attempt timeout.
///
/// ```
/// # use networking_http::{MemoryHttpClient, layer::{CircuitBreakerClient, ConcurrencyClient, ConcurrencyLimit, RetryClient}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let limited = ConcurrencyClient::new(CircuitBreakerClient::new(transport), Some(ConcurrencyLimit::per_host(8)))?;
/// let client = RetryClient::new(limited, RetryPolicy::default())?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside an [`AttemptTimeoutClient`](super::AttemptTimeoutClient) or a
/// [`CircuitBreakerClient`](super::CircuitBreakerClient). Waiting for a permit would look like a slow peer, and could open its
/// circuit.
#[derive(Debug)]
pub struct ConcurrencyClient<C> {
    inner: C,
    limiter: Option<Limiter>,
}

inner_access!(
    ConcurrencyClient,
    "The limit is dropped with the wrapper. Responses that are still being read no longer count against any limit."
);

impl<C> ConcurrencyClient<C> {
    /// Limits requests to `inner`; `None` sets no limit.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn new(inner: C, limit: Option<ConcurrencyLimit>) -> Result<Self> {
        let limiter = limit.map(Limiter::new).transpose()?;
        Ok(Self { inner, limiter })
    }
}

impl<C: HttpClient> Wrapper for ConcurrencyClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    /// Without a limit, the future is that of the inner client, so that the futures of attempts stay small.
    fn call(
        &self,
        request: Box<HttpRequest>,
        next: &impl Next,
    ) -> impl Future<Output = Result<Box<HttpResponse>>> + Send {
        match &self.limiter {
            None => Either::Left(next.send(request)),
            Some(limiter) => Either::Right(Box::pin(limiter.send(request, next))),
        }
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for ConcurrencyClient<C> {
    pass_on!(
        request,
        capabilities,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

#[derive(Debug)]
struct Limiter {
    limit: ConcurrencyLimit,
    hosts: PerOrigin<Host>,
}

impl Limiter {
    fn new(limit: ConcurrencyLimit) -> Result<Self> {
        limit.validate()?;
        let most = usize::try_from(limit.max_hosts).unwrap_or(usize::MAX);
        Ok(Self {
            limit,
            hosts: PerOrigin::new(most, Host::new(limit)),
        })
    }
}

impl Limiter {
    async fn send(&self, request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        // A relative target is refused by the transport.
        let RequestTarget::Absolute(url) = &request.target else {
            return next.send(request).await;
        };
        let host = self.hosts.get(url, || Host::new(self.limit));
        let mut limit = self.limit;
        if request.extensions.get::<Hedge>().is_some() {
            limit.max_queue = 0;
        }
        let turn = host.turn(limit).await?;
        let mut response = next.send(request).await?;
        response.body = body::holding(response.body, turn);
        Ok(response)
    }
}

#[derive(Debug)]
struct Host {
    turns: Arc<Semaphore>,
    max_in_flight: usize,
    waiting: AtomicU32,
}

impl Host {
    fn new(limit: ConcurrencyLimit) -> Self {
        let max_in_flight = usize::try_from(limit.max_in_flight).unwrap_or(Semaphore::MAX_PERMITS);
        Self {
            turns: Arc::new(Semaphore::new(max_in_flight)),
            max_in_flight,
            waiting: AtomicU32::new(0),
        }
    }

    async fn turn(&self, limit: ConcurrencyLimit) -> Result<OwnedSemaphorePermit> {
        // Succeeds only if no request waits: the semaphore passes a returned permit to the first waiting request.
        if let Ok(turn) = Arc::clone(&self.turns).try_acquire_owned() {
            return Ok(turn);
        }
        // Boxed, so that the futures of calls that need not wait stay small.
        Box::pin(self.wait_for_turn(limit)).await
    }

    async fn wait_for_turn(&self, limit: ConcurrencyLimit) -> Result<OwnedSemaphorePermit> {
        let _place = Place::take(&self.waiting, limit.max_queue)?;
        match tokio::time::timeout(limit.max_wait, Arc::clone(&self.turns).acquire_owned()).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(closed)) => {
                Err(NetworkError::new(ErrorKind::Internal, "http.request", "the limit was closed").with_source(closed))
            }
            Err(_) => {
                Err(NetworkError::timeout("http.request", Phase::Queue, limit.max_wait)
                    .with_send_state(SendState::NotSent))
            }
        }
    }
}

impl Evictable for Host {
    fn is_idle(&self) -> bool {
        self.turns.available_permits() == self.max_in_flight
    }
}

/// A place in the queue.
struct Place<'w>(&'w AtomicU32);

impl<'w> Place<'w> {
    fn take(waiting: &'w AtomicU32, most: u32) -> Result<Self> {
        let taken = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < most).then(|| waiting + 1)
        });
        match taken {
            Ok(_) => Ok(Self(waiting)),
            Err(_) => Err(NetworkError::new(
                ErrorKind::Exhausted,
                "http.request",
                "too many requests are waiting for the host",
            )
            .with_phase(Phase::Queue)
            .with_context("max_queue", most.to_string())),
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
