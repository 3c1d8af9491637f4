//! The retry policy of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};

use super::{HttpRequest, status};
use crate::backoff::{Backoff, Jitter};
use crate::error::{NetworkError, Result};
use crate::validate::{self, Validate};

/// Limits the share of retries among the requests to each host, so that retries do not overload a failing peer.
///
/// The budget is a token bucket per scheme, host and port: each retry takes one token, and each success returns `refill` tokens.
/// While the bucket of a host is empty, requests to it are sent but not retried.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryBudget {
    /// The initial and the maximum number of tokens, at least 1.
    pub capacity: u32,
    /// The number of tokens that a success returns, above 0.0 and at most 1.0.
    pub refill: f64,
}

impl Default for RetryBudget {
    /// 100 retries in a burst, then one per five successes.
    fn default() -> Self {
        Self {
            capacity: 100,
            refill: 0.2,
        }
    }
}

impl RetryBudget {
    /// A bucket of `capacity` tokens, to which each success returns `refill` tokens.
    pub const fn new(capacity: u32, refill: f64) -> Self {
        Self { capacity, refill }
    }
}

impl Validate for RetryBudget {
    fn validate(&self) -> Result<()> {
        validate::ensure(self.capacity > 0, "capacity", "must be at least 1")?;
        validate::share(self.refill, "refill")?;
        validate::ensure(self.refill > 0.0, "refill", "must be above 0.0")
    }
}

/// Overrides the rules of a [`RetryPolicy`] for some statuses or errors.
pub trait RetryPredicate: fmt::Debug + Send + Sync + 'static {
    /// Whether to retry after a response with this status. `None`: the policy decides.
    fn on_status(&self, status: StatusCode) -> Option<bool>;

    /// Whether to retry after this error. `None`: the policy decides.
    fn on_error(&self, error: &NetworkError) -> Option<bool>;
}

/// The number of attempts of a call, in the [extensions](super::HttpResponse::extensions) of its response. A response without it
/// took one attempt, and was not to be retried. Exhaustive on purpose: it is one number.
///
/// On a response with a transient status it means that the client gave up retrying: another immediate retry would multiply the
/// attempts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempts(pub u32);

/// A retry that is about to happen, for the observer of a [`RetryPolicy`].
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct RetryEvent<'r> {
    /// The number of the attempt that failed, counted from 1.
    pub attempt: u32,
    /// The wait before the next attempt.
    pub delay: Duration,
    /// Why the attempt failed.
    pub reason: RetryReason<'r>,
    /// The request of the next attempt.
    pub request: &'r HttpRequest,
}

impl<'r> RetryEvent<'r> {
    /// For clients that retry.
    pub const fn new(attempt: u32, delay: Duration, reason: RetryReason<'r>, request: &'r HttpRequest) -> Self {
        Self {
            attempt,
            delay,
            reason,
            request,
        }
    }
}

/// Why an attempt is retried.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum RetryReason<'r> {
    /// The response had this status.
    Status(StatusCode),
    /// The attempt failed with this error.
    Error(&'r NetworkError),
}

impl fmt::Display for RetryReason<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Status(status) => write!(f, "status {status}"),
            Self::Error(error) => error.fmt(f),
        }
    }
}

/// A function that is called before the wait of each retry.
pub type RetryObserver = Arc<dyn Fn(&RetryEvent<'_>) + Send + Sync>;

/// When requests are retried, and after which delay.
///
/// [`Backoff`] computes the delay before each retry. A `Retry-After` of the peer is a lower bound of the delay; a
/// `Retry-After` above `max_retry_after` ends the call. A request that is not idempotent is retried only if it was not sent
/// ([`SendState::NotSent`](crate::SendState::NotSent)).
///
/// ```
/// use std::time::Duration;
/// use networking_spi::http::RetryPolicy;
/// use networking_spi::validate::Validate;
///
/// let policy = RetryPolicy::new(4).with_delays(Duration::from_millis(50), Duration::from_secs(2));
/// policy.validate().unwrap();
/// assert_eq!(RetryPolicy::disabled().max_attempts, 1);
///
/// // Two retries, each after exactly five seconds.
/// let policy = RetryPolicy::fixed(2, Duration::from_secs(5))
///     .on_retry(|retry| eprintln!("attempt {}: {}, next in {:?}", retry.attempt, retry.reason, retry.delay));
/// assert_eq!(policy.max_attempts, 3);
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// The maximum number of attempts, including the first, 1 ..= 100. 1 means no retries.
    pub max_attempts: u32,
    /// The delay before each retry.
    #[serde(deserialize_with = "backoff")]
    pub backoff: Backoff,
    /// Statuses that are retried.
    pub statuses: Vec<u16>,
    /// The longest `Retry-After`, or other delay that an error asks for, after which a request is retried. A longer one ends
    /// the call, which returns the response or error.
    #[serde(with = "humantime_serde")]
    pub max_retry_after: Duration,
    /// Whether requests that are not idempotent are also retried. The peer may then process them twice.
    pub retry_non_idempotent: bool,
    /// Whether each POST and PATCH without an `Idempotency-Key` gets one, the same for all attempts, and is retried like an
    /// idempotent request. For peers that process requests with the same key only once; other peers may process them twice.
    /// A request with [`idempotent`](super::RequestOptions::idempotent) set gets no key. Keys are also sent if `max_attempts` is 1,
    /// because the caller may retry.
    pub idempotency_keys: bool,
    /// The limit on the share of retries, which all requests of a client to one host share. `None`: no limit.
    pub budget: Option<RetryBudget>,
    /// Overrides the rules above for statuses and errors. The idempotency of the request, `max_attempts` and the budget
    /// still apply. Not serialized.
    #[serde(skip)]
    pub predicate: Option<Arc<dyn RetryPredicate>>,
    /// Called before the wait of each retry; it must not block. Not serialized.
    #[serde(skip)]
    pub observer: Option<RetryObserver>,
}

/// Absent fields are those of the default policy, not those of [`Backoff::default`].
fn backoff<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Backoff, D::Error> {
    Backoff::deserialize_over(RetryPolicy::DEFAULT_BACKOFF, deserializer)
}

impl Default for RetryPolicy {
    /// 3 retries (4 attempts); delays of 1 s doubling up to 30 s, with full jitter; the statuses of
    /// [`TRANSIENT`](super::status::TRANSIENT); `Retry-After` up to 60 s; a budget of 100 retries per host, and one more per five
    /// successes.
    fn default() -> Self {
        Self {
            max_attempts: Self::DEFAULT_RETRIES + 1,
            backoff: Self::DEFAULT_BACKOFF,
            statuses: status::TRANSIENT.to_vec(),
            max_retry_after: Duration::from_secs(60),
            retry_non_idempotent: false,
            idempotency_keys: false,
            budget: Some(RetryBudget::default()),
            predicate: None,
            observer: None,
        }
    }
}

impl RetryPolicy {
    /// The retries of the default policy, in addition to the first attempt.
    pub const DEFAULT_RETRIES: u32 = 3;

    /// The delays of the default policy.
    pub const DEFAULT_BACKOFF: Backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));

    /// The largest number of retries: attempts include the first one, and are at most 100.
    pub const MAX_RETRIES: u32 = 99;

    /// The defaults with at most `max_attempts` attempts.
    pub fn new(max_attempts: u32) -> Self {
        Self {
            max_attempts,
            ..Self::default()
        }
    }

    /// The defaults with `retries` retries, each after exactly `delay`, without jitter.
    pub fn fixed(retries: u32, delay: Duration) -> Self {
        Self::default()
            .with_retries(retries)
            .with_backoff(Backoff::fixed(delay))
    }

    /// One attempt, no retries.
    pub fn disabled() -> Self {
        Self::new(1)
    }

    /// Sets the number of retries: one less than `max_attempts`.
    pub fn with_retries(mut self, retries: u32) -> Self {
        self.max_attempts = retries.saturating_add(1);
        self
    }

    /// Sets the delay before each retry.
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets the initial and the maximum delay.
    pub fn with_delays(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff = self.backoff.with_initial(initial).with_maximum(max);
        self
    }

    /// Sets the jitter.
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.backoff.jitter = jitter;
        self
    }

    /// Sets the factor by which each retry lengthens the delay.
    pub fn with_multiplier(mut self, multiplier: f64) -> Self {
        self.backoff.multiplier = multiplier;
        self
    }

    /// Sets the statuses that are retried.
    pub fn with_statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// Sets the longest `Retry-After` after which a request is retried.
    pub fn with_max_retry_after(mut self, max: Duration) -> Self {
        self.max_retry_after = max;
        self
    }

    /// Sets whether requests that are not idempotent are also retried.
    pub fn with_retry_non_idempotent(mut self, retry: bool) -> Self {
        self.retry_non_idempotent = retry;
        self
    }

    /// Sets whether each POST and PATCH gets an `Idempotency-Key`.
    pub fn with_idempotency_keys(mut self, keys: bool) -> Self {
        self.idempotency_keys = keys;
        self
    }

    /// Sets or removes the budget.
    pub fn with_budget(mut self, budget: Option<RetryBudget>) -> Self {
        self.budget = budget;
        self
    }

    /// Sets the predicate.
    pub fn with_predicate(mut self, predicate: Arc<dyn RetryPredicate>) -> Self {
        self.predicate = Some(predicate);
        self
    }

    /// Calls `observer` before the wait of each retry. It must not block.
    pub fn on_retry(mut self, observer: impl Fn(&RetryEvent<'_>) + Send + Sync + 'static) -> Self {
        self.observer = Some(Arc::new(observer));
        self
    }
}

impl Validate for RetryPolicy {
    fn validate(&self) -> Result<()> {
        validate::ensure(
            (1..=100).contains(&self.max_attempts),
            "max_attempts",
            "must be between 1 and 100",
        )?;
        validate::nested(&self.backoff, "backoff")?;
        validate::ensure(
            self.statuses.iter().all(|status| (100..1000).contains(status)),
            "statuses",
            "must be HTTP status codes",
        )?;
        if let Some(budget) = &self.budget {
            validate::nested(budget, "budget")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("max_attempts", &self.max_attempts)
            .field("backoff", &self.backoff)
            .field("statuses", &self.statuses)
            .field("max_retry_after", &self.max_retry_after)
            .field("retry_non_idempotent", &self.retry_non_idempotent)
            .field("idempotency_keys", &self.idempotency_keys)
            .field("budget", &self.budget)
            .field("predicate", &self.predicate)
            .field("observed", &self.observer.is_some())
            .finish()
    }
}
