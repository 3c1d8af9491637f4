//! Retries.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_core::future::BoxFuture;
use http::{HeaderName, Method};
use networking_spi::backoff::Backoff;
use networking_spi::clock::Clock;
use networking_spi::error::context;
use networking_spi::http::{
    HttpCapabilities, HttpClient, HttpRequest, HttpResponse, Jitter, RequestOptions, RequestTarget, RetryBudget,
    RetryEvent, RetryObserver, RetryPolicy, RetryReason,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use tokio::time::{Instant, sleep};

use super::HttpCounters;
use super::conventions::{method_name, server_of};
use super::idempotency_key::KeyMaker;
use super::per_origin::PerOrigin;
use super::retry_after::retry_after;
use super::retry_budget::Bucket;
use crate::chain::{Next, Wrapper, inner_access, pass_on};
use crate::marks::{Attempts, Deadline, OpenCircuit, ResendCount};
use networking_runtime::clock::TokioClock;

/// The largest body of a discarded response that is read, in bytes, so that its connection can be reused.
const MAX_DRAIN: usize = 64 << 10;

/// The largest number of hosts with separate budgets.
const MAX_HOSTS: usize = 1_000;

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
/// * A retry that would start after the call's total timeout is not waited for: the call ends immediately. So does a call whose
///   circuit is open for longer than the delays of its remaining retries, because they could only be rejected.
/// * A failure that was retried in vain is [`Exhausted`](networking_spi::Retryability::Exhausted), and no `RetryClient` outside
///   this one retries it: attempts do not multiply.
/// * [`RequestOptions::retry`] replaces the policy for one request, [`retries`](RequestOptions::retries) and
///   [`retry_backoff`](RequestOptions::retry_backoff) change the number and the delays and keep the rest. The budget of a host is
///   always the client's; a policy with `budget: None` does not use it. The client's observer also sees the retries of requests whose
///   policy has none.
///
/// At most 1,000 hosts have separate budgets. When there are more, unused ones are removed; if none is unused, further hosts share
/// one budget.
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
/// not stop the attempts of a call. Also wrong: two `RetryClient`s in one stack. The outer one only retries what the inner one does
/// not.
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
    budgets: Option<Budgets>,
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
        let state = self.state.load_full();
        let own = own_policy(&mut request.options, &state.policy)?;
        let policy = own.as_deref().unwrap_or(&state.policy);
        if policy.idempotency_keys
            && request.options.idempotent.is_none()
            && matches!(request.method, Method::POST | Method::PATCH)
        {
            // All attempts of a call have the same key.
            let key = request.headers.entry(IDEMPOTENCY_KEY);
            key.or_insert_with(|| self.keys.make());
        }
        if policy.max_attempts == 1 {
            return attempt_once(next, request).await;
        }
        let budgets = state.budgets.as_ref().filter(|_| policy.budget.is_some());
        let mut bucket = budgets.and_then(|budgets| budgets.used(&request.target));
        let may_repeat = request.is_idempotent() || policy.retry_non_idempotent;

        let mut following = Some(request);
        let mut attempt = 0;
        while let Some(mut request) = following.take() {
            attempt += 1;
            if attempt > 1 {
                request.extensions.insert(ResendCount(attempt - 1));
                if let Some(deadline) = request.extensions.get::<Deadline>() {
                    deadline.attempts.store(attempt, Relaxed);
                }
            }
            if attempt < policy.max_attempts {
                following = request.try_clone().map(Box::new);
            }
            let result = attempt_once(next, request).await;

            let verdict = match &result {
                Ok(response) => self.judge_response(policy, response, may_repeat),
                Err(error) => judge_error(policy, error, may_repeat),
            };
            let asked = match verdict {
                Verdict::Good => {
                    if let Some(bucket) = bucket {
                        bucket.refill();
                    }
                    return finish(result, attempt, false);
                }
                Verdict::Final => return finish(result, attempt, attempt > 1),
                Verdict::Retry(asked) => asked.unwrap_or_default(),
            };
            let Some(next_request) = &following else {
                return finish(result, attempt, attempt > 1);
            };
            let Some(wait) = wait(policy, attempt, asked, &result, next_request) else {
                return finish(result, attempt, true);
            };
            if let Some(budgets) = budgets
                && !bucket.get_or_insert_with(|| budgets.of(&next_request.target)).take()
            {
                return finish(result, attempt, true);
            }
            if let Some(counters) = &self.counters {
                counters.retries.fetch_add(1, Relaxed);
            }
            let observer = policy.observer.as_ref().or(state.policy.observer.as_ref());
            report(observer, attempt, wait, &result, next_request);
            // Boxed, so that the futures of calls that succeed immediately stay small.
            Box::pin(pause(result, wait)).await;
        }
        unreachable!("the last attempt returns")
    }
}

/// Logs a retry, and tells the observer.
#[cold]
fn report(
    observer: Option<&RetryObserver>,
    attempt: u32,
    delay: Duration,
    result: &Result<Box<HttpResponse>>,
    request: &HttpRequest,
) {
    let method = method_name(&request.method);
    let (host, _) = server_of(request);
    let reason = match result {
        Ok(response) => {
            let status = response.status.as_u16();
            tracing::warn!(method, host, attempt, ?delay, status, "a request is retried");
            RetryReason::Status(response.status)
        }
        Err(error) => {
            tracing::warn!(method, host, attempt, ?delay, %error, "a request is retried");
            RetryReason::Error(error)
        }
    };
    if let Some(observer) = observer {
        observer(&RetryEvent::new(attempt, delay, reason, request));
    }
}

/// The policy of a request that has its own, or changes the client's.
fn own_policy(options: &mut RequestOptions, client: &RetryPolicy) -> Result<Option<Box<RetryPolicy>>> {
    let (own, retries, backoff) = (
        options.retry.take(),
        options.retries.take(),
        options.retry_backoff.take(),
    );
    if own.is_none() && retries.is_none() && backoff.is_none() {
        return Ok(None);
    }
    let mut policy = own.unwrap_or_else(|| Box::new(client.clone()));
    validate::nested(&*policy, "retry")?;
    if let Some(retries) = retries {
        validate::ensure(retries <= RetryPolicy::MAX_RETRIES, "retries", "must be at most 99")?;
        *policy = policy.with_retries(retries);
    }
    if let Some(backoff) = backoff {
        validate::nested(&*backoff, "retry_backoff")?;
        policy.backoff = *backoff;
    }
    Ok(Some(policy))
}

/// The wait before the next attempt. `None` if that attempt could not succeed: its circuit will be open, or the call will be over.
fn wait(
    policy: &RetryPolicy,
    attempt: u32,
    asked: Duration,
    result: &Result<Box<HttpResponse>>,
    next_request: &HttpRequest,
) -> Option<Duration> {
    let mut wait = policy.backoff.delay(attempt, fastrand::f64()).max(asked);
    if let Some(open) = open_for(result) {
        if open > wait && !closes_in_time(policy, attempt, open) {
            return None;
        }
        wait = wait.max(open);
    }
    let over = next_request.extensions.get::<Deadline>().is_some_and(|deadline| {
        Instant::now()
            .checked_add(wait)
            .is_none_or(|start| start >= deadline.at)
    });
    (!over).then_some(wait)
}

/// Whether the circuit admits calls again within the delays of the remaining retries. Otherwise all of them would be rejected.
fn closes_in_time(policy: &RetryPolicy, attempt: u32, open: Duration) -> bool {
    let mut delays = Duration::ZERO;
    (attempt..policy.max_attempts).any(|attempt| {
        delays = delays.saturating_add(longest(&policy.backoff, attempt));
        delays >= open
    })
}

/// How long the circuit of the attempt remains open, if it is.
fn open_for(result: &Result<Box<HttpResponse>>) -> Option<Duration> {
    match result {
        Ok(response) => response.extensions.get::<OpenCircuit>().map(|open| open.0),
        Err(error) => {
            error.get(context::CIRCUIT)?;
            error.retryability().delay()
        }
    }
}

/// The longest delay that the jitter allows.
fn longest(backoff: &Backoff, attempt: u32) -> Duration {
    match backoff.jitter {
        Jitter::Proportional(_) => backoff.delay(attempt, 1.0),
        _ => backoff.with_jitter(Jitter::None).delay(attempt, 0.0),
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
        if response.extensions.get::<Attempts>().is_some() {
            // A client inside this one has given up.
            return Verdict::Final;
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
    if !asked.unwrap_or_else(|| error.retryability().is_retryable() && !is_own_limit(error)) {
        return Verdict::Final;
    }
    let delay = error.retryability().delay();
    let safe = may_repeat || error.send_state() == SendState::NotSent;
    if !safe {
        return Verdict::Final;
    }
    // The open time of a circuit is compared with the delays of the policy.
    match delay.filter(|_| error.get(context::CIRCUIT).is_none()) {
        Some(delay) if delay > policy.max_retry_after => Verdict::Final,
        delay => Verdict::Retry(delay),
    }
}

/// Whether the client's rate limit refused the call because it would have to wait too long.
fn is_own_limit(error: &NetworkError) -> bool {
    error.kind() == ErrorKind::RateLimited && error.phase() == Some(Phase::Queue)
}

/// `gave_up`: the client has retried in vain, or could not retry what should be retried.
fn finish(result: Result<Box<HttpResponse>>, attempts: u32, gave_up: bool) -> Result<Box<HttpResponse>> {
    match result {
        Ok(mut response) => {
            if attempts > 1 || gave_up {
                // With a client inside that also retries, the attempts of both count.
                let inner = response.extensions.get::<Attempts>().map_or(1, |inner| inner.0);
                response.extensions.insert(Attempts(attempts - 1 + inner));
            }
            Ok(response)
        }
        Err(error) => {
            let attempts = attempts - 1 + error.attempts();
            let retryability = error.retryability();
            let error = error.with_attempts(attempts);
            Err(if gave_up {
                error.with_retryability(retryability.exhausted())
            } else {
                error
            })
        }
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
        let budgets = policy.budget.map(|budget| Budgets {
            budget,
            hosts: PerOrigin::new(MAX_HOSTS, Bucket::new(budget)),
        });
        Ok(Self { policy, budgets })
    }
}

/// The budget of each host that had a retry.
struct Budgets {
    budget: RetryBudget,
    hosts: PerOrigin<Bucket>,
}

impl Budgets {
    /// The budget of the target's host, if it had a retry.
    fn used(&self, target: &RequestTarget) -> Option<Arc<Bucket>> {
        match target {
            RequestTarget::Absolute(url) => self.hosts.find(url),
            RequestTarget::Relative(_) => None,
        }
    }

    /// The budget of the target's host. Relative targets share one.
    fn of(&self, target: &RequestTarget) -> Arc<Bucket> {
        match target {
            RequestTarget::Absolute(url) => self.hosts.get(url, || Bucket::new(self.budget)),
            RequestTarget::Relative(_) => self.hosts.others(),
        }
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
}
