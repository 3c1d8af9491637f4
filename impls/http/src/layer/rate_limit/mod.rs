//! A limit on the rate of calls or attempts.

mod gate;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::Either;
use http::StatusCode;
use networking_spi::clock::Clock;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RequestTarget};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, Retryability, SendState};
use serde::{Deserialize, Serialize};

use self::gate::{Gate, Gates};
use super::HttpCounters;
use super::per_origin::PerOrigin;
use super::retry_after::retry_after;
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::marks::Deadline;
use networking_runtime::clock::TokioClock;

/// At most `calls` calls per `period`. Further calls wait for their turn.
///
/// ```
/// use std::time::Duration;
/// use networking_http::layer::RateLimit;
///
/// let limit = RateLimit::per_second(50).with_burst(10).with_max_wait(Duration::from_millis(500));
/// // The peer gets at most 50 requests per second, retries included.
/// let strict = RateLimit::per_second(50).with_attempts_counted(true);
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
    /// The largest number of calls without a wait after an idle time, at least 1. Defaults to 1.
    #[serde(default = "RateLimit::default_burst")]
    pub burst: u32,
    /// The longest wait of a call; a call that would wait longer fails immediately. `None`: a call waits until its total timeout,
    /// if it has one.
    #[serde(with = "humantime_serde", default)]
    pub max_wait: Option<Duration>,
    /// The longest pause after a 429 or 503 with `Retry-After`, at most a day. No call is sent for the time in the header, up to
    /// this limit. Defaults to zero: no pause.
    #[serde(with = "humantime_serde", default)]
    pub max_pause: Duration,
    /// Whether each attempt counts, so that retries and hedges stay within the rate. Otherwise each call counts once, however
    /// many attempts it makes. Redirects never count.
    #[serde(default)]
    pub count_attempts: bool,
}

impl RateLimit {
    /// `calls` per `period`, evenly spaced. Calls wait for their turn until their total timeout.
    pub const fn new(calls: u32, period: Duration) -> Self {
        Self {
            calls,
            period,
            burst: Self::default_burst(),
            max_wait: None,
            max_pause: Duration::ZERO,
            count_attempts: false,
        }
    }

    const fn default_burst() -> u32 {
        1
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
        self.max_wait = Some(max_wait);
        self
    }

    /// Sets whether each attempt counts, instead of each call.
    pub const fn with_attempts_counted(mut self, counted: bool) -> Self {
        self.count_attempts = counted;
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
/// both. A call takes its turn at both limits at the same moment. Waiting calls are sent in order of arrival; a call that waits for
/// its host does not delay calls to other hosts.
///
/// A call waits at most until its total timeout, and at most [`RateLimit::max_wait`]. A call that is expected to wait longer fails
/// immediately with `RateLimited`; the error contains the wait. A call that is refused or dropped does not count, and delays no other.
/// The wait is no part of an attempt: `timeout` and `attempt_timeout` start after it.
///
/// A [pause](RateLimit::with_max_pause) starts with the response of a call, if calls are counted, or of an attempt, if attempts
/// are counted.
///
/// At most 1,000 hosts have separate limits. When there are more, idle hosts are removed; if none is idle, further hosts share
/// one limit.
///
/// # Order
///
/// Right: outside [`RetryClient`](super::RetryClient) to count calls, or inside it to count attempts; inside
/// [`TotalTimeoutClient`](super::TotalTimeoutClient), so that the wait has the limit of the call.
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

    /// Without a limit, the future is that of the inner client, so that the futures of attempts stay small.
    fn call(
        &self,
        request: Box<HttpRequest>,
        next: &impl Next,
    ) -> impl Future<Output = Result<Box<HttpResponse>>> + Send {
        if self.gate.is_none() && self.hosts.is_none() {
            Either::Left(next.send(request))
        } else {
            Either::Right(Box::pin(self.in_turn(request, next)))
        }
    }
}

impl<C: HttpClient> RateLimitClient<C> {
    async fn in_turn(&self, request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let gates = Gates {
            all: self.gate.as_ref(),
            host: self.host(&request),
        };
        if !gates.pass() {
            let deadline = request.extensions.get::<Deadline>().map(|deadline| deadline.at);
            let waited = gates.wait(deadline).await.map_err(rate_limited)?;
            if let Some(counters) = &self.counters
                && !waited.is_zero()
            {
                counters.throttled.fetch_add(1, Ordering::Relaxed);
            }
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
