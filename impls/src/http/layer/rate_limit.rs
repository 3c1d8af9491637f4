//! A limit on the rate of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use networking_spi::http::{HttpCapabilities, HttpClient, HttpRequest, HttpResponse};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, Retryability, SendState};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::chain::{Layer, Next};
use super::timeout::QueuedFor;
use super::{HttpCounters, pass_on};

/// So many calls in so much time.
///
/// ```
/// use std::time::Duration;
/// use networking_impls::http::layer::RateLimit;
///
/// let limit = RateLimit::per_second(50).with_burst(10).with_max_wait(Duration::from_millis(500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RateLimit {
    /// Calls in each `period`, at least 1.
    pub calls: u32,
    /// The time in which `calls` are let through.
    #[serde(with = "humantime_serde")]
    pub period: Duration,
    /// Calls that may come at once after a pause, at least 1.
    pub burst: u32,
    /// The longest wait for a call's turn; a call that would wait longer fails at once.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
}

impl RateLimit {
    /// `calls` in each `period`, evenly spaced, with a wait of at most one second.
    pub const fn new(calls: u32, period: Duration) -> Self {
        Self {
            calls,
            period,
            burst: 1,
            max_wait: Duration::from_secs(1),
        }
    }

    /// `calls` a second.
    pub const fn per_second(calls: u32) -> Self {
        Self::new(calls, Duration::from_secs(1))
    }

    /// Sets how many calls may come at once after a pause.
    pub const fn with_burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// Sets the longest wait for a call's turn.
    pub const fn with_max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }
}

impl Validate for RateLimit {
    fn validate(&self) -> Result<()> {
        validate::ensure(self.calls > 0, "calls", "must be at least 1")?;
        validate::positive(self.period, "period")?;
        validate::ensure(
            self.period <= Duration::from_secs(86_400),
            "period",
            "must not be longer than a day",
        )?;
        validate::ensure(
            self.period.as_nanos() >= u128::from(self.calls),
            "calls",
            "must not be above one in a nanosecond",
        )?;
        validate::ensure(self.burst > 0, "burst", "must be at least 1")
    }
}

/// Spaces calls out (generic cell rate algorithm). Calls wait for their turn in the order in which they came.
///
/// A call that would wait longer than [`RateLimit::max_wait`], or than its own timeout, fails at once with `RateLimited`
/// and the wait. A call that is dropped while it waits has used up its turn.
///
/// # Order
///
/// Right: outside of [`RetryLayer`](super::RetryLayer), so that a call waits once.
///
/// ```
/// # use networking_impls::http::{MemoryHttpClient, layer::{RateLimit, RateLimitLayer, RetryLayer}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let client = RateLimitLayer::new(RetryLayer::new(transport, RetryPolicy::default())?, Some(RateLimit::per_second(20)))?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside an [`AttemptTimeoutLayer`](super::AttemptTimeoutLayer). Waiting for a turn would look like a slow peer, and count against its circuit.
#[derive(Debug)]
pub struct RateLimitLayer<C> {
    inner: C,
    gate: Option<Gate>,
    counters: Option<Arc<HttpCounters>>,
}

impl<C> RateLimitLayer<C> {
    /// Limits the calls to `inner`; `None` lets all through.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn new(inner: C, limit: Option<RateLimit>) -> Result<Self> {
        Ok(Self {
            inner,
            gate: limit.map(Gate::new).transpose()?,
            counters: None,
        })
    }

    /// Counts throttled calls into `counters`.
    pub fn with_counters(mut self, counters: Arc<HttpCounters>) -> Self {
        self.counters = Some(counters);
        self
    }
}

impl<C: HttpClient> Layer for RateLimitLayer<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let Some(gate) = &self.gate else {
            return next.send(request).await;
        };
        let wait = gate.take_turn(request.options.timeout).map_err(rate_limited)?;
        if wait > Duration::ZERO {
            if let Some(counters) = &self.counters {
                counters.throttled.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(wait).await;
            // The time limit of the call includes the wait.
            request.extensions.insert(QueuedFor(wait));
        }
        next.send(request).await
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for RateLimitLayer<C> {
    fn capabilities(&self) -> HttpCapabilities {
        self.inner.capabilities()
    }

    pass_on!(
        request,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

fn rate_limited(wait: Duration) -> NetworkError {
    NetworkError::new(
        ErrorKind::RateLimited,
        "http.request",
        "the client's rate limit has no turn in time",
    )
    .with_phase(Phase::Queue)
    .with_send_state(SendState::NotSent)
    .with_retryability(Retryability::After(wait))
    .with_context("wait", format!("{wait:?}"))
}

#[derive(Debug)]
struct Gate {
    origin: Instant,
    /// Between calls.
    interval: u64,
    /// How far ahead of schedule a call may be.
    tolerance: u64,
    max_wait: Duration,
    /// When the schedule's next call is due, in nanoseconds after `origin`.
    due: AtomicU64,
}

impl Gate {
    fn new(limit: RateLimit) -> Result<Self> {
        limit.validate()?;
        let nanos = limit.period.as_nanos() / u128::from(limit.calls);
        let interval = u64::try_from(nanos).unwrap_or(u64::MAX).max(1);
        let tolerance = interval.saturating_mul(u64::from(limit.burst) - 1);
        Ok(Self {
            origin: Instant::now(),
            interval,
            tolerance,
            max_wait: limit.max_wait,
            due: AtomicU64::new(0),
        })
    }

    /// How long to wait for the turn that was taken, or would be to wait if that is too long.
    fn take_turn(&self, timeout: Option<Duration>) -> Result<Duration, Duration> {
        let longest = timeout.map_or(self.max_wait, |timeout| timeout.min(self.max_wait));
        let now = u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let mut due = self.due.load(Ordering::Relaxed);
        loop {
            let scheduled = due.max(now);
            let wait = Duration::from_nanos(scheduled.saturating_sub(self.tolerance).saturating_sub(now));
            if wait > longest {
                return Err(wait);
            }
            let next = scheduled.saturating_add(self.interval);
            match self
                .due
                .compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(wait),
                Err(current) => due = current,
            }
        }
    }
}
