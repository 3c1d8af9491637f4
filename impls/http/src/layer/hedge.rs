//! A second attempt while a slow first one is in flight.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::StatusCode;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RetryBudget};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::HttpCounters;
use super::retry_budget::Bucket;
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::marks::is_handshake;

/// How long a request may take before a second attempt starts.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum HedgeDelay {
    /// A fixed time.
    Fixed(#[serde(with = "humantime_serde")] Duration),
    /// A percentile of the latencies of the last 512 hedgeable requests with a good response.
    Percentile {
        /// The percentile as a share, above 0.0 and below 1.0.
        share: f64,
        /// The delay until 32 latencies have been measured, and the upper limit of the delay after that.
        #[serde(with = "humantime_serde")]
        at_most: Duration,
    },
}

/// When requests are hedged, and how often.
///
/// ```
/// use std::time::Duration;
/// use networking_http::layer::HedgePolicy;
///
/// // Hedge the slowest 5 % of requests.
/// let policy = HedgePolicy::after_percentile(0.95, Duration::from_millis(500)).with_budget(0.1, 10);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HedgePolicy {
    /// The time from one attempt to the next.
    pub delay: HedgeDelay,
    /// Attempts in addition to the first one, 1 to 5. Defaults to 1.
    #[serde(default = "HedgePolicy::default_hedges")]
    pub max_hedges: u32,
    /// The largest long-term share of hedges among requests, above 0.0 and up to 0.5. It limits the additional load on a server
    /// that is slow for all requests. Defaults to 0.1.
    #[serde(default = "HedgePolicy::default_share")]
    pub share: f64,
    /// The largest number of hedges in a burst, at least 1. Defaults to 10.
    #[serde(default = "HedgePolicy::default_burst")]
    pub burst: u32,
}

impl HedgePolicy {
    /// One hedge after `delay`; for at most 10 % of requests, in bursts of up to 10.
    pub const fn after(delay: Duration) -> Self {
        Self::new(HedgeDelay::Fixed(delay))
    }

    /// One hedge when a request takes longer than the percentile `share` of recent requests, or longer than `at_most`; for at
    /// most 10 % of requests, in bursts of up to 10.
    pub const fn after_percentile(share: f64, at_most: Duration) -> Self {
        Self::new(HedgeDelay::Percentile { share, at_most })
    }

    const fn new(delay: HedgeDelay) -> Self {
        Self {
            delay,
            max_hedges: Self::default_hedges(),
            share: Self::default_share(),
            burst: Self::default_burst(),
        }
    }

    const fn default_hedges() -> u32 {
        1
    }

    const fn default_share() -> f64 {
        0.1
    }

    const fn default_burst() -> u32 {
        10
    }

    /// Sets how many attempts may be made in addition to the first one.
    pub const fn with_max_hedges(mut self, hedges: u32) -> Self {
        self.max_hedges = hedges;
        self
    }

    /// Sets the largest long-term share of hedges, and the largest burst.
    pub const fn with_budget(mut self, share: f64, burst: u32) -> Self {
        self.share = share;
        self.burst = burst;
        self
    }
}

impl Validate for HedgePolicy {
    fn validate(&self) -> Result<()> {
        match self.delay {
            HedgeDelay::Fixed(delay) => validate::positive(delay, "delay.fixed")?,
            HedgeDelay::Percentile { share, at_most } => {
                validate::ensure(
                    share > 0.0 && share < 1.0,
                    "delay.percentile.share",
                    "must be above 0.0 and below 1.0",
                )?;
                validate::positive(at_most, "delay.percentile.at_most")?;
            }
        }
        validate::ensure(
            (1..=5).contains(&self.max_hedges),
            "max_hedges",
            "must be between 1 and 5",
        )?;
        validate::ensure(
            self.share > 0.0 && self.share <= 0.5,
            "share",
            "must be above 0.0 and up to 0.5",
        )?;
        validate::ensure(self.burst > 0, "burst", "must be at least 1")
    }
}

/// Starts a second attempt when the first one is slow, and returns the first good response. This reduces the latency of the
/// slowest requests at the cost of additional load.
///
/// * Only idempotent requests whose body can be sent again are hedged.
/// * A response is good if its status is below 500 and neither 408 nor 429. A bad outcome is returned only when no other
///   attempt is in flight. If all outcomes are bad, a response is preferred to an error, and an earlier one to a later one.
/// * The other attempts are cancelled when a good response arrives.
/// * A [budget](HedgePolicy::with_budget) limits the share of hedges, so that an overloaded server does not get twice the load.
/// * A hedge does not wait for a permit of a [`ConcurrencyClient`](super::ConcurrencyClient): if none is free, it is skipped.
/// * If the first attempt fails before the delay has passed, its failure is the outcome: hedging does not retry. Use
///   [`RetryClient`](super::RetryClient) for retries.
///
/// # Order
///
/// Right: inside the retries, and outside the circuit breaker and the attempt timeout, so that these apply to each attempt.
///
/// ```
/// # use std::time::Duration;
/// # use networking_http::{MemoryHttpClient, layer::{CircuitBreakerClient, HedgeClient, HedgePolicy, RetryClient}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let policy = HedgePolicy::after(Duration::from_millis(200));
/// let hedging = HedgeClient::new(CircuitBreakerClient::new(transport), Some(policy))?;
/// let client = RetryClient::new(hedging, RetryPolicy::default())?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside a [`CircuitBreakerClient`](super::CircuitBreakerClient) or
/// [`ConcurrencyClient`](super::ConcurrencyClient). They would see one request where the peer gets two. Also wrong: inside an
/// [`AttemptTimeoutClient`](super::AttemptTimeoutClient), whose limit would end the hedge together with the first attempt.
#[derive(Debug)]
pub struct HedgeClient<C> {
    inner: C,
    hedging: Option<Hedging>,
    counters: Option<Arc<HttpCounters>>,
}

inner_access!(
    HedgeClient,
    "The budget and the measured latencies are dropped with the wrapper."
);

#[derive(Debug)]
struct Hedging {
    policy: HedgePolicy,
    budget: Bucket,
    latencies: Option<Latencies>,
}

impl<C> HedgeClient<C> {
    /// Hedges requests to `inner`; `None` hedges none.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field.
    pub fn new(inner: C, policy: Option<HedgePolicy>) -> Result<Self> {
        let hedging = policy.map(|policy| {
            policy.validate()?;
            Ok::<_, NetworkError>(Hedging {
                policy,
                budget: Bucket::new(RetryBudget::new(policy.burst, policy.share)),
                latencies: match policy.delay {
                    HedgeDelay::Fixed(_) => None,
                    HedgeDelay::Percentile { share, at_most } => Some(Latencies::new(share, at_most)),
                },
            })
        });
        Ok(Self {
            inner,
            hedging: hedging.transpose()?,
            counters: None,
        })
    }

    /// Counts hedges into `counters`.
    pub fn with_counters(mut self, counters: Arc<HttpCounters>) -> Self {
        self.counters = Some(counters);
        self
    }
}

impl<C: HttpClient> Wrapper for HedgeClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let hedging = self
            .hedging
            .as_ref()
            .filter(|_| request.is_idempotent() && !is_handshake(&request));
        let Some((hedging, template)) = hedging.and_then(|hedging| Some((hedging, Box::new(request.try_clone()?))))
        else {
            return next.send(request).await;
        };
        hedging.budget.refill();
        let started = Instant::now();
        // Boxed, so that the futures of clients that do not hedge stay small.
        let result = Box::pin(self.race(hedging, next, request, template)).await;
        if let (Some(latencies), Ok(response)) = (&hedging.latencies, &result)
            && is_good(response.status)
        {
            latencies.record(started.elapsed());
        }
        result
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for HedgeClient<C> {
    pass_on!(
        request,
        capabilities,
        client_metrics,
        configure_retry_policy,
        configure_circuit_breaker
    );
}

impl<C> HedgeClient<C> {
    async fn race(
        &self,
        hedging: &Hedging,
        next: &impl Next,
        first: Box<HttpRequest>,
        template: Box<HttpRequest>,
    ) -> Result<Box<HttpResponse>> {
        let mut attempts = FuturesUnordered::new();
        attempts.push(next.send(first));
        let mut hedges_left = hedging.policy.max_hedges;
        let mut bad: Option<Result<Box<HttpResponse>>> = None;
        loop {
            let ended = if hedges_left > 0 {
                tokio::select! {
                    biased;
                    ended = attempts.next() => ended,
                    () = sleep(hedging.delay()) => {
                        match template.try_clone().filter(|_| hedging.budget.take()) {
                            Some(mut hedge) => {
                                hedges_left -= 1;
                                hedge.extensions.insert(Hedge);
                                if let Some(counters) = &self.counters {
                                    counters.hedges.fetch_add(1, Relaxed);
                                }
                                attempts.push(next.send(Box::new(hedge)));
                            }
                            None => hedges_left = 0,
                        }
                        continue;
                    }
                }
            } else {
                attempts.next().await
            };
            let Some(result) = ended else {
                unreachable!("the last attempt returns");
            };
            if result.as_ref().is_ok_and(|response| is_good(response.status)) {
                return result;
            }
            // After a failed attempt no further hedge starts: hedges are for slow attempts.
            hedges_left = 0;
            if !attempts.is_empty() && result.as_ref().is_err_and(found_no_turn) {
                continue;
            }
            let worst = match bad.take() {
                Some(earlier) if earlier.is_ok() || result.is_err() => earlier,
                _ => result,
            };
            if attempts.is_empty() {
                return worst;
            }
            bad = Some(worst);
        }
    }
}

/// In the extensions of a hedge: it must not wait for a permit, which the first attempt may hold until the hedge has ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Hedge;

/// Whether an attempt was skipped because no permit was free.
fn found_no_turn(error: &NetworkError) -> bool {
    error.kind() == ErrorKind::Exhausted && error.phase() == Some(Phase::Queue)
}

fn is_good(status: StatusCode) -> bool {
    !(status.is_server_error() || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS))
}

impl Hedging {
    fn delay(&self) -> Duration {
        match (self.policy.delay, &self.latencies) {
            (HedgeDelay::Fixed(delay), _) | (HedgeDelay::Percentile { at_most: delay, .. }, None) => delay,
            (HedgeDelay::Percentile { .. }, Some(latencies)) => latencies.percentile(),
        }
    }
}

/// The latencies of the last requests.
#[derive(Debug)]
struct Latencies {
    share: f64,
    at_most: Duration,
    latest: Mutex<Latest>,
    /// Nanoseconds.
    percentile: AtomicU64,
}

#[derive(Debug)]
struct Latest {
    ring: Vec<Duration>,
    next: usize,
}

/// The number of latencies that are kept.
const KEPT: usize = 512;

/// The percentile is computed after each batch of this many latencies, and not before the first one.
const STEP: usize = 32;

impl Latencies {
    fn new(share: f64, at_most: Duration) -> Self {
        Self {
            share,
            at_most,
            latest: Mutex::new(Latest {
                ring: Vec::new(),
                next: 0,
            }),
            percentile: AtomicU64::new(u64::try_from(at_most.as_nanos()).unwrap_or(u64::MAX)),
        }
    }

    fn percentile(&self) -> Duration {
        Duration::from_nanos(self.percentile.load(Relaxed))
    }

    fn record(&self, latency: Duration) {
        let mut latest = self.latest.lock();
        let next = latest.next;
        if latest.ring.len() < KEPT {
            latest.ring.push(latency);
        } else {
            latest.ring[next] = latency;
        }
        latest.next = (next + 1) % KEPT;
        if !latest.next.is_multiple_of(STEP) {
            return;
        }
        let mut sorted = latest.ring.clone();
        drop(latest);
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "validated to be above 0.0 and below 1.0"
        )]
        let index = ((sorted.len() as f64 * self.share) as usize).min(sorted.len() - 1);
        let (_, percentile, _) = sorted.select_nth_unstable(index);
        let nanos = u64::try_from((*percentile).min(self.at_most).as_nanos()).unwrap_or(u64::MAX);
        self.percentile.store(nanos, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_percentile_is_of_the_latest_requests_and_bounded() {
        let latencies = Latencies::new(0.9, Duration::from_millis(500));
        for millis in 0..31 {
            latencies.record(Duration::from_millis(millis));
        }
        assert_eq!(latencies.percentile(), Duration::from_millis(500), "too few latencies");
        latencies.record(Duration::from_millis(31));
        assert_eq!(latencies.percentile(), Duration::from_millis(28));
        for _ in 0..KEPT {
            latencies.record(Duration::from_millis(7));
        }
        assert_eq!(
            latencies.percentile(),
            Duration::from_millis(7),
            "old latencies are dropped"
        );
        for _ in 0..KEPT {
            latencies.record(Duration::from_secs(7));
        }
        assert_eq!(latencies.percentile(), Duration::from_millis(500));
        assert_eq!(latencies.latest.lock().ring.len(), KEPT);
    }
}
