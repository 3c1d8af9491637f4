//! Retries.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_core::future::BoxFuture;
use http::{HeaderName, Method};
use networking_spi::clock::Clock;
use networking_spi::error::ResultExt;
use networking_spi::http::{HttpCapabilities, HttpClient, HttpRequest, HttpResponse, RetryBudget, RetryPolicy};
use networking_spi::validate::Validate;
use networking_spi::{NetworkError, Result, SendState};
use tokio::time::sleep;

use super::HttpCounters;
use super::idempotency_key::KeyMaker;
use super::retry_after::retry_after;
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::marks::Attempts;
use crate::marks::ResendCount;
use networking_runtime::clock::TokioClock;

/// The largest body of a discarded response that is read, in bytes, so that its connection can be reused.
const MAX_DRAIN: usize = 64 << 10;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Retries requests after transient failures, according to a [`RetryPolicy`].
///
/// * The statuses of the policy are retried, and errors whose [retryability](NetworkError::retryability) allows it, including
///   rejections by a circuit that is not forced open. The policy's predicate takes precedence.
/// * Idempotent requests are retried, and requests of any method that did not reach the peer. The body must be one that can be
///   sent again. With [`idempotency_keys`](RetryPolicy::idempotency_keys), a POST or PATCH gets a key by which the server
///   recognizes a repetition, and is retried like an idempotent request.
/// * Only failures before the response head are retried. A body that fails while it is read is an error for its reader.
/// * The call returns the response or error of the last attempt. The number of attempts is in the error's `attempts`, or in the
///   response's extensions as [`Attempts`].
/// * [`RequestOptions::retry`](networking_spi::http::RequestOptions::retry) replaces the policy for one request. The budget is
///   always the client's; a policy with `budget: None` does not use it.
///
/// Each attempt, except the last possible one, copies the head of the request.
///
/// # Order
///
/// Right: outside the circuit breaker, so that the breaker sees every attempt.
///
/// ```
/// # use networking_http::{MemoryHttpClient, layer::{CircuitBreakerClient, RetryClient}};
/// # use networking_spi::http::RetryPolicy;
/// # let transport = MemoryHttpClient::new();
/// let client = RetryClient::new(CircuitBreakerClient::new(transport), RetryPolicy::default())?;
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
///
/// Wrong: inside the circuit breaker. The breaker would count two failed attempts and a successful one as one success, and could
/// not stop the attempts of a call. Also wrong: two `RetryClient`s in one stack, whose numbers of attempts multiply.
pub struct RetryClient<C> {
    inner: C,
    state: ArcSwap<State>,
    clock: Arc<dyn Clock>,
    counters: Option<Arc<HttpCounters>>,
    keys: KeyMaker,
}

inner_access!(
    RetryClient,
    "The retry budget is dropped with the wrapper: a new one starts full."
);

struct State {
    policy: RetryPolicy,
    budget: Option<Bucket>,
}

impl<C> RetryClient<C> {
    /// Retries requests to `inner` according to `policy`.
    ///
    /// # Errors
    /// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) naming the field.
    pub fn new(inner: C, policy: RetryPolicy) -> Result<Self> {
        let state = ArcSwap::from_pointee(State::new(policy)?);
        Ok(Self {
            inner,
            state,
            clock: Arc::new(TokioClock::new()),
            counters: None,
            keys: KeyMaker::new(),
        })
    }

    /// Sets the clock that dates in `Retry-After` are compared with.
    pub fn with_clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Counts retries into `counters`.
    pub fn with_counters(mut self, counters: Arc<HttpCounters>) -> Self {
        self.counters = Some(counters);
        self
    }
}

impl<C: HttpClient> Wrapper for RetryClient<C> {
    type Inner = C;

    fn inner(&self) -> &C {
        &self.inner
    }

    async fn call(&self, mut request: Box<HttpRequest>, next: &impl Next) -> Result<Box<HttpResponse>> {
        let own = request.options.retry.take();
        let state = self.state.load_full();
        let policy = own.as_deref().unwrap_or(&state.policy);
        if policy.max_attempts == 1 {
            return attempt_once(next, request).await;
        }
        if let Some(own) = &own {
            own.validate().in_field("retry")?;
        }
        let budget = if policy.budget.is_some() {
            state.budget.as_ref()
        } else {
            None
        };
        if policy.idempotency_keys
            && request.options.idempotent.is_none()
            && matches!(request.method, Method::POST | Method::PATCH)
        {
            // All attempts of a call have the same key.
            let key = request.headers.entry(IDEMPOTENCY_KEY);
            key.or_insert_with(|| self.keys.make());
        }
        let may_repeat = request.is_idempotent() || policy.retry_non_idempotent;

        let mut following = Some(request);
        let mut attempt = 0;
        while let Some(mut request) = following.take() {
            attempt += 1;
            if attempt > 1 {
                request.extensions.insert(ResendCount(attempt - 1));
            }
            if attempt < policy.max_attempts {
                following = request.try_clone().map(Box::new);
            }
            let result = attempt_once(next, request).await;

            let verdict = match &result {
                Ok(response) => self.judge_response(policy, response, may_repeat),
                Err(error) => judge_error(policy, error, may_repeat),
            };
            let wait = match verdict {
                Verdict::Good => {
                    if let Some(budget) = budget {
                        budget.refill();
                    }
                    return finish(result, attempt);
                }
                Verdict::Final => return finish(result, attempt),
                Verdict::Retry(wait) => wait
                    .unwrap_or_default()
                    .max(policy.backoff.delay(attempt, fastrand::f64())),
            };
            if following.is_none() || !budget.is_none_or(Bucket::take) {
                return finish(result, attempt);
            }
            if let Some(counters) = &self.counters {
                counters.retries.fetch_add(1, Relaxed);
            }
            // Boxed, so that the futures of calls that succeed immediately stay small.
            Box::pin(pause(result, wait)).await;
        }
        unreachable!("the last attempt returns")
    }
}

#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for RetryClient<C> {
    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.retry = true;
        capabilities
    }

    fn configure_retry_policy(&self, policy: RetryPolicy) -> Result<()> {
        self.state.store(Arc::new(State::new(policy)?));
        Ok(())
    }

    pass_on!(request, client_metrics, configure_circuit_breaker);
}

impl<C> RetryClient<C> {
    fn judge_response(&self, policy: &RetryPolicy, response: &HttpResponse, may_repeat: bool) -> Verdict {
        let status = response.status;
        let listed = || policy.statuses.contains(&status.as_u16());
        if !policy
            .predicate
            .as_ref()
            .and_then(|predicate| predicate.on_status(status))
            .unwrap_or_else(listed)
        {
            return if status.is_server_error() {
                Verdict::Final
            } else {
                Verdict::Good
            };
        }
        let wait = retry_after(&response.headers, &*self.clock);
        if may_repeat && wait.is_none_or(|wait| wait <= policy.max_retry_after) {
            Verdict::Retry(wait)
        } else {
            Verdict::Final
        }
    }
}

/// Boxes an attempt, so that its future and that of the call stay small: allocators have fast paths for small blocks.
fn attempt_once(next: &impl Next, request: Box<HttpRequest>) -> BoxFuture<'_, Result<Box<HttpResponse>>> {
    Box::pin(next.send(request))
}

enum Verdict {
    /// A success. It refills the budget.
    Good,
    /// A failure that is not retried.
    Final,
    /// Retry after at least this time.
    Retry(Option<Duration>),
}

fn judge_error(policy: &RetryPolicy, error: &NetworkError, may_repeat: bool) -> Verdict {
    let asked = policy
        .predicate
        .as_ref()
        .and_then(|predicate| predicate.on_error(error));
    if !asked.unwrap_or_else(|| error.retryability().is_retryable()) {
        return Verdict::Final;
    }
    let wait = error.retryability().delay();
    let safe = may_repeat || error.send_state() == SendState::NotSent;
    if safe && wait.is_none_or(|wait| wait <= policy.max_retry_after) {
        Verdict::Retry(wait)
    } else {
        Verdict::Final
    }
}

fn finish(result: Result<Box<HttpResponse>>, attempts: u32) -> Result<Box<HttpResponse>> {
    match result {
        Ok(mut response) => {
            if attempts > 1 {
                response.extensions.insert(Attempts(attempts));
            }
            Ok(response)
        }
        Err(error) => Err(error.with_attempts(attempts)),
    }
}

/// Waits, and reads the rest of a small response during the wait, so that the next attempt can reuse its connection.
async fn pause(given_up: Result<Box<HttpResponse>>, wait: Duration) {
    let mut over = pin!(sleep(wait));
    if let Ok(HttpResponse { body, .. }) = given_up.map(|response| *response)
        && body.length().is_some_and(|length| length <= MAX_DRAIN as u64)
    {
        // After an error or a timeout, the connection is closed.
        tokio::select! {
            biased;
            _ = body.collect(MAX_DRAIN) => {}
            () = &mut over => return,
        }
    }
    over.await;
}

impl State {
    fn new(policy: RetryPolicy) -> Result<Self> {
        policy.validate()?;
        let budget = policy.budget.map(Bucket::new);
        Ok(Self { policy, budget })
    }
}

/// A token bucket that counts in thousandths of a token.
#[derive(Debug)]
pub(super) struct Bucket {
    capacity: u64,
    refill: u64,
    tokens: AtomicU64,
}

const TOKEN: u64 = 1_000;

impl Bucket {
    pub(super) fn new(budget: RetryBudget) -> Self {
        let capacity = u64::from(budget.capacity) * TOKEN;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "validated to be above 0.0 and at most 1.0"
        )]
        let refill = ((budget.refill * TOKEN as f64) as u64).max(1);
        Self {
            capacity,
            refill,
            tokens: AtomicU64::new(capacity),
        }
    }

    pub(super) fn take(&self) -> bool {
        self.tokens
            .fetch_update(Relaxed, Relaxed, |tokens| tokens.checked_sub(TOKEN))
            .is_ok()
    }

    pub(super) fn refill(&self) {
        // A full bucket, the usual case, is not written.
        let _ = self.tokens.fetch_update(Relaxed, Relaxed, |tokens| {
            (tokens < self.capacity).then(|| (tokens + self.refill).min(self.capacity))
        });
    }
}

impl<C: fmt::Debug> fmt::Debug for RetryClient<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryClient")
            .field("inner", &self.inner)
            .field("policy", &self.state.load().policy)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use networking_spi::http::Jitter;

    use super::*;

    #[test]
    fn delays_grow_and_stop_growing() {
        let policy = RetryPolicy::new(100)
            .with_delays(Duration::from_millis(100), Duration::from_secs(1))
            .with_jitter(Jitter::None);
        let delays: Vec<u128> = (1..=6)
            .map(|attempt| policy.backoff.delay(attempt, fastrand::f64()).as_millis())
            .collect();
        assert_eq!(delays, [100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(
            policy.with_multiplier(1e300).backoff.delay(99, 0.5),
            Duration::from_secs(1),
            "no overflow"
        );
    }

    #[test]
    fn jitter_covers_its_range() {
        let policy = |jitter| {
            RetryPolicy::new(2)
                .with_delays(Duration::from_secs(1), Duration::from_secs(1))
                .with_jitter(jitter)
        };
        for (jitter, low) in [(Jitter::Full, 0.0), (Jitter::Equal, 0.5)] {
            let drawn: Vec<f64> = (0..2_000)
                .map(|_| policy(jitter).backoff.delay(1, fastrand::f64()).as_secs_f64())
                .collect();
            assert!(drawn.iter().all(|seconds| (low..=1.0).contains(seconds)), "{jitter:?}");
            assert!(
                drawn.iter().any(|seconds| *seconds < low + 0.1),
                "{jitter:?} reaches the low end"
            );
            assert!(
                drawn.iter().any(|seconds| *seconds > 0.9),
                "{jitter:?} reaches the high end"
            );
        }
    }

    #[test]
    fn the_bucket_empties_and_refills_to_its_capacity() {
        let bucket = Bucket::new(RetryBudget::new(2, 0.5));
        bucket.refill();
        assert!(bucket.take() && bucket.take());
        assert!(!bucket.take());
        bucket.refill();
        assert!(!bucket.take(), "half a token");
        bucket.refill();
        assert!(bucket.take());
    }
}
