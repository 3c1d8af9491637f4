//! The retry policy of a client.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::status;
use crate::backoff::{Backoff, Jitter};
use crate::error::{NetworkError, Result};
use crate::validate::{self, Validate};

/// A bound on the share of requests that are retries, so that retries do not add to the load of an outage.
///
/// A token bucket: each retry takes one token, each success returns `refill` tokens. An empty bucket stops retries, not
/// requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RetryBudget {
    /// Tokens at the start, and the most that the bucket holds; at least 1.
    pub capacity: u32,
    /// Tokens that a success returns, above 0.0 and up to 1.0.
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
    /// A bucket of `capacity` tokens.
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

/// Decides about retries where the rules of the policy do not fit.
pub trait RetryPredicate: fmt::Debug + Send + Sync + 'static {
    /// Whether to retry after a response of this status. `None` leaves it to the policy.
    fn on_status(&self, status: StatusCode) -> Option<bool>;

    /// Whether to retry after this error. `None` leaves it to the policy.
    fn on_error(&self, error: &NetworkError) -> Option<bool>;
}

/// When requests are sent again, and after which wait.
///
/// [`Backoff`] gives the wait before each retry. A `Retry-After` of the peer is a lower bound of the wait; one above
/// `max_retry_after` ends the call. A request that is not idempotent is retried only if it was certainly not processed.
///
/// ```
/// use std::time::Duration;
/// use networking_spi::http::RetryPolicy;
/// use networking_spi::validate::Validate;
///
/// let policy = RetryPolicy::new(4).with_delays(Duration::from_millis(50), Duration::from_secs(2));
/// policy.validate().unwrap();
/// assert_eq!(RetryPolicy::disabled().max_attempts, 1);
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// Attempts in all, the first included; 1 means no retries. At most 100.
    pub max_attempts: u32,
    /// The wait before each retry.
    pub backoff: Backoff,
    /// Statuses that are retried.
    pub statuses: Vec<u16>,
    /// The longest `Retry-After` that is obeyed. A longer one ends the call, which returns the response as it is.
    #[serde(with = "humantime_serde")]
    pub max_retry_after: Duration,
    /// Also retry requests that are not idempotent. The peer may then process them twice.
    pub retry_non_idempotent: bool,
    /// Add an `Idempotency-Key` to each POST and PATCH that has none, the same key for all attempts, and retry these
    /// requests as idempotent ones. For peers that process requests with the same key once; other peers may process them
    /// twice. A request with [`idempotent`](super::RequestOptions::idempotent) set gets no key.
    pub idempotency_keys: bool,
    /// Bound on the share of retries, common to all requests of a client. `None`: no bound.
    pub budget: Option<RetryBudget>,
    /// Decides about statuses and errors before the rules above. It cannot allow more than the idempotency of the request,
    /// `max_attempts` and the budget allow. Not serialized.
    #[serde(skip)]
    pub predicate: Option<Arc<dyn RetryPredicate>>,
}

impl Default for RetryPolicy {
    /// 3 attempts; 100 ms doubling up to 10 s with full jitter; the statuses of [`TRANSIENT`](super::status::TRANSIENT);
    /// `Retry-After` up to 60 s; a budget of 100 retries and one more per five successes.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            backoff: Backoff::new(Duration::from_millis(100), Duration::from_secs(10)),
            statuses: status::TRANSIENT.to_vec(),
            max_retry_after: Duration::from_secs(60),
            retry_non_idempotent: false,
            idempotency_keys: false,
            budget: Some(RetryBudget::default()),
            predicate: None,
        }
    }
}

impl RetryPolicy {
    /// The defaults with at most `max_attempts` attempts.
    pub fn new(max_attempts: u32) -> Self {
        Self {
            max_attempts,
            ..Self::default()
        }
    }

    /// One attempt, no retries.
    pub fn disabled() -> Self {
        Self::new(1)
    }

    /// Sets the wait before each retry.
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Sets the first and the longest delay.
    pub fn with_delays(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff = self.backoff.with_initial(initial).with_maximum(max);
        self
    }

    /// Sets the jitter.
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.backoff.jitter = jitter;
        self
    }

    /// Sets the growth per retry.
    pub fn with_multiplier(mut self, multiplier: f64) -> Self {
        self.backoff.multiplier = multiplier;
        self
    }

    /// Sets the statuses that are retried.
    pub fn with_statuses(mut self, statuses: impl IntoIterator<Item = u16>) -> Self {
        self.statuses = statuses.into_iter().collect();
        self
    }

    /// Sets the longest `Retry-After` that is obeyed.
    pub fn with_max_retry_after(mut self, max: Duration) -> Self {
        self.max_retry_after = max;
        self
    }

    /// Sets whether requests that are not idempotent are retried too.
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
            .finish()
    }
}
