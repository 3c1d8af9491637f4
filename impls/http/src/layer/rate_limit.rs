//! A limit on the rate of calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::StatusCode;
use networking_spi::clock::Clock;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RequestTarget};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, Retryability, SendState};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::HttpCounters;
use super::per_origin::{Evictable, PerOrigin};
use super::retry_after::retry_after;
use super::timeout::QueuedFor;
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use networking_runtime::clock::TokioClock;

/// At most `calls` calls per `period`.
///
/// ```
/// use std::time::Duration;
/// use networking_http::layer::RateLimit;
///
/// let limit = RateLimit::per_second(50).with_burst(10).with_max_wait(Duration::from_millis(500));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RateLimit {
    /// Calls in each `period`, at least 1.
    pub calls: u32,
    /// The period that `calls` refers to, at most a day.
    #[serde(with = "humantime_serde")]
    pub period: Duration,
    /// The largest number of calls without a wait after an idle time, at least 1.
    pub burst: u32,
    /// The longest wait of a call; a call that would wait longer fails immediately.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
    /// The longest pause after a 429 or 503 with `Retry-After`, at most a day. No call is sent for the time in the header, up to
    /// this limit. Defaults to zero: no pause.
    #[serde(with = "humantime_serde", default)]
    pub max_pause: Duration,
}

impl RateLimit {
    /// `calls` per `period`, evenly spaced, with a wait of at most 1 s.
    pub const fn new(calls: u32, period: Duration) -> Self {
        Self {
            calls,
            period,
            burst: 1,
            max_wait: Duration::from_secs(1),
            max_pause: Duration::ZERO,
        }
    }

    /// `calls` per minute.
    pub const fn per_minute(calls: u32) -> Self {
        Self::new(calls, Duration::from_secs(60))
    }

    /// `calls` per second.
    pub const fn per_second(calls: u32) -> Self {
        Self::new(calls, Duration::from_secs(1))
    }

    /// Sets the largest number of calls without a wait after an idle time.
    pub const fn with_burst(mut self, burst: u32) -> Self {
        self.burst = burst;
        self
    }

    /// Sets the longest wait of a call.
    pub const fn with_max_wait(mut self, max_wait: Duration) -> Self {
        self.max_wait = max_wait;
        self
    }

    /// Pauses calls for the time in the `Retry-After` of a 429 or 503, for at most `max_pause`.
    pub const fn with_max_pause(mut self, max_pause: Duration) -> Self {
        self.max_pause = max_pause;
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
            "must be at most one per nanosecond",
        )?;
        validate::ensure(self.burst > 0, "burst", "must be at least 1")?;
        validate::ensure(
            self.max_pause <= Duration::from_secs(86_400),
            "max_pause",
            "must not be longer than a day",
        )
    }
}

/// Limits the rate of calls (generic cell rate algorithm): of all calls, of the calls to each host (scheme, host and port), or of
/// both. Waiting calls are sent in order of arrival.
///
/// A call that would wait longer than [`RateLimit::max_wait`] or its timeout fails immediately with `RateLimited`; the error
/// contains the wait. A call that is dropped while it waits still counts.
///
/// A [pause](RateLimit::with_max_pause) starts with the response of a call. Responses that are retried further inside do not
/// start a pause.
///
/// At most 1,000 hosts have separate limits. When there are more, idle hosts are removed; if none is idle, further hosts share
/// one limit.
///
/// # Order
///
/// Right: outside [`RetryClient`](super::RetryClient), so that a call waits once.
///
/// ```
/// # use networking_http::{MemoryHttpClient, layer::{RateLimit, RateLimitClient, RetryClient}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let client = RateLimitClient::new(RetryClient::new(transport, RetryPolicy::default())?, Some(RateLimit::per_second(20)))?
///     .per_host(Some(RateLimit::per_minute(60)))?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside an [`AttemptTimeoutClient`](super::AttemptTimeoutClient). The wait would look like a slow peer, and could open
/// its circuit.
#[derive(Debug)]
pub struct RateLimitClient<C> {
    inner: C,
    gate: Option<Gate>,
    hosts: Option<Hosts>,
    clock: Arc<dyn Clock>,
    counters: Option<Arc<HttpCounters>>,
}

inner_access!(
    RateLimitClient,
    "The schedule is dropped with the wrapper: a new one starts with a full burst."
);

/// The largest number of hosts with separate limits.
const MAX_HOSTS: usize = 1_000;

#[derive(Debug)]
struct Hosts {
    limit: RateLimit,
    gates: PerOrigin<Gate>,
}

impl<C> RateLimitClient<C> {
    /// Limits the rate of calls to `inner`; `None` sets no limit.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn new(inner: C, limit: Option<RateLimit>) -> Result<Self> {
        Ok(Self {
            inner,
            gate: limit.map(Gate::checked).transpose()?,
            hosts: None,
            clock: Arc::new(TokioClock::new()),
            counters: None,
        })
    }

    /// Sets an additional limit per host.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) naming the field.
    pub fn per_host(mut self, limit: Option<RateLimit>) -> Result<Self> {
        let hosts = limit.map(|limit| {
            let others = Gate::checked(limit)?;
            let gates = PerOrigin::new(MAX_HOSTS, others);
            Ok::<_, NetworkError>(Hosts { limit, gates })
        });
        self.hosts = hosts.transpose()?;
        Ok(self)
    }

    /// Sets the clock that dates in `Retry-After` are compared with.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Counts throttled calls into `counters`.
    pub fn with_counters(mut self, counters: Arc<HttpCounters>) -> Self {
        self.counters = Some(counters);
        self
    }

    /// The gate of the request's host. A relative target has none, and is refused by the transport.
    fn host(&self, request: &HttpRequest) -> Option<Arc<Gate>> {
        match (&self.hosts, &request.target) {
            (Some(hosts), RequestTarget::Absolute(url)) => Some(hosts.gates.get(url, || Gate::new(hosts.limit))),
            _ => None,
        }
    }
}

impl<C: HttpClient> Wrapper for RateLimitClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let gates = Gates {
            all: self.gate.as_ref(),
            host: self.host(&request),
        };
        let wait = gates.take_turn(request.options.timeout).map_err(rate_limited)?;
        if !wait.is_zero() {
            if let Some(counters) = &self.counters {
                counters.throttled.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(wait).await;
            // The time limit of the call includes the wait.
            request.extensions.insert(QueuedFor(wait));
        }
        let response = next.send(request).await?;
        if matches!(
            response.status,
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE
        ) && let Some(asked) = retry_after(&response.headers, &*self.clock)
        {
            gates.pause(asked);
        }
        Ok(response)
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for RateLimitClient<C> {
    pass_on!(
        request,
        capabilities,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

fn rate_limited(wait: Duration) -> NetworkError {
    NetworkError::new(
        ErrorKind::RateLimited,
        "http.request",
        "the wait for the client's rate limit is too long",
    )
    .with_phase(Phase::Queue)
    .with_send_state(SendState::NotSent)
    .with_retryability(Retryability::After(wait))
    .with_context("wait", format!("{wait:?}"))
}

/// The gates that a call has to pass.
struct Gates<'g> {
    all: Option<&'g Gate>,
    host: Option<Arc<Gate>>,
}

impl Gates<'_> {
    fn iter(&self) -> impl Iterator<Item = &Gate> {
        self.all.into_iter().chain(self.host.as_deref())
    }

    /// Reserves a call at each gate, or at none. Returns the longest wait; the error is the wait that is too long.
    fn take_turn(&self, timeout: Option<Duration>) -> Result<Duration, Duration> {
        if let (Some(all), Some(host)) = (self.all, &self.host) {
            // Both are checked first, so that a call that one gate refuses does not count at the other.
            all.peek(timeout)?;
            host.peek(timeout)?;
        }
        self.iter()
            .try_fold(Duration::ZERO, |wait, gate| Ok(wait.max(gate.take_turn(timeout)?)))
    }

    /// Pauses the gate of the host, or, without limits per host, the gate of all calls.
    fn pause(&self, asked: Duration) {
        if let Some(gate) = self.host.as_deref().or(self.all) {
            gate.pause(asked);
        }
    }
}

#[derive(Debug)]
struct Gate {
    origin: Instant,
    /// Nanoseconds between calls.
    interval: u64,
    /// The longest time that a call may be ahead of the schedule, in nanoseconds.
    tolerance: u64,
    max_wait: Duration,
    max_pause: Duration,
    /// When the next call of the schedule is due, in nanoseconds after `origin`.
    due: AtomicU64,
}

impl Gate {
    fn checked(limit: RateLimit) -> Result<Self> {
        limit.validate()?;
        Ok(Self::new(limit))
    }

    fn new(limit: RateLimit) -> Self {
        let nanos = limit.period.as_nanos() / u128::from(limit.calls);
        let interval = u64::try_from(nanos).unwrap_or(u64::MAX).max(1);
        let tolerance = interval.saturating_mul(u64::from(limit.burst) - 1);
        Self {
            origin: Instant::now(),
            interval,
            tolerance,
            max_wait: limit.max_wait,
            max_pause: limit.max_pause,
            due: AtomicU64::new(0),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Reserves a call. Returns its wait; the error is the wait that is too long.
    fn take_turn(&self, timeout: Option<Duration>) -> Result<Duration, Duration> {
        let now = self.now();
        let mut due = self.due.load(Ordering::Relaxed);
        loop {
            let wait = self.wait(due, now, timeout)?;
            let next = due.max(now).saturating_add(self.interval);
            match self
                .due
                .compare_exchange_weak(due, next, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return Ok(wait),
                Err(current) => due = current,
            }
        }
    }

    /// Like `take_turn`, without reserving the call.
    fn peek(&self, timeout: Option<Duration>) -> Result<Duration, Duration> {
        self.wait(self.due.load(Ordering::Relaxed), self.now(), timeout)
    }

    fn wait(&self, due: u64, now: u64, timeout: Option<Duration>) -> Result<Duration, Duration> {
        let longest = timeout.map_or(self.max_wait, |timeout| timeout.min(self.max_wait));
        let wait = Duration::from_nanos(due.max(now).saturating_sub(self.tolerance).saturating_sub(now));
        if wait > longest { Err(wait) } else { Ok(wait) }
    }

    /// Schedules no call before the end of the pause. Reserved calls are not affected.
    fn pause(&self, asked: Duration) {
        let pause = u64::try_from(asked.min(self.max_pause).as_nanos()).unwrap_or(u64::MAX);
        if pause > 0 {
            let over = self.now().saturating_add(pause).saturating_add(self.tolerance);
            self.due.fetch_max(over, Ordering::Relaxed);
        }
    }
}

impl Evictable for Gate {
    fn is_idle(&self) -> bool {
        self.due.load(Ordering::Relaxed) <= self.now()
    }
}
