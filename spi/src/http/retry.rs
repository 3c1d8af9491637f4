//! When and how requests are sent again.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::error::{NetworkError, Result};
use crate::validate::{self, Validate};

/// How the wait before a retry is randomised, so that clients do not retry in step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// Uniform between zero and the computed delay.
    #[default]
    Full,
    /// Uniform between half the computed delay and the whole.
    Equal,
    /// The computed delay exactly. For tests.
    None,
}

/// A bound on the share of requests that are retries, so that retries cannot multiply an outage.
///
/// A token bucket: each retry takes one token, each success gives `refill` of one back. An empty bucket stops retries,
/// not requests.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RetryBudget {
    /// Tokens at the start and at most, at least 1.
    pub capacity: u32,
    /// Tokens that a success gives back, above 0.0 and up to 1.0.
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

/// Decides about retries where the policy's rules do not fit.
pub trait RetryPredicate: fmt::Debug + Send + Sync + 'static {
    /// Whether to retry after a response of this status. `None` leaves it to the policy.
    fn on_status(&self, status: StatusCode) -> Option<bool>;

    /// Whether to retry after this error. `None` leaves it to the policy.
    fn on_error(&self, error: &NetworkError) -> Option<bool>;
}

/// When and how requests are sent again.
///
/// The wait before retry *n* is drawn from `initial_delay * multiplier^(n-1)`, at most `max_delay`, by [`Jitter`]. A
/// `Retry-After` of the peer is a lower bound of the wait; one above `max_retry_after` ends the call. Requests that are
/// not idempotent are retried only where it is certain that they were not processed.
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
    /// The delay the first retry is drawn from.
    #[serde(with = "humantime_serde")]
    pub initial_delay: Duration,
    /// The longest computed delay.
    #[serde(with = "humantime_serde")]
    pub max_delay: Duration,
    /// Growth per retry, at least 1.0.
    pub multiplier: f64,
    /// How delays are randomised.
    pub jitter: Jitter,
    /// Statuses that are retried.
    pub statuses: Vec<u16>,
    /// The longest `Retry-After` that is obeyed; a longer one ends the call with the response as it is.
    #[serde(with = "humantime_serde")]
    pub max_retry_after: Duration,
    /// Retry requests that are not idempotent too. The peer may then process them twice.
    pub retry_non_idempotent: bool,
    /// Give each POST and PATCH an `Idempotency-Key` that has none, the same one for all attempts, and retry them as idempotent. For
    /// peers that process requests of the same key once; others process them twice. Requests that say themselves whether
    /// they are idempotent get none.
    pub idempotency_keys: bool,
    /// Bound on the share of retries, shared by all requests of a client. `None`: no bound.
    pub budget: Option<RetryBudget>,
    /// Decides about statuses and errors before the rules above. Whether a request may be repeated at all, the number of
    /// attempts and the budget are not its to decide. Not serialized.
    #[serde(skip)]
    pub predicate: Option<Arc<dyn RetryPredicate>>,
}

impl Default for RetryPolicy {
    /// 3 attempts, 100 ms doubling up to 10 s with full jitter, on 408, 425, 429, 500, 502, 503 and 504; `Retry-After` up to 60 s;
    /// a budget of 100 retries and one per five successes.
    fn default() -> Self {
        Self {
            max_attempts: 3,
            initial_delay: Duration::from_millis(100),
            max_delay: Duration::from_secs(10),
            multiplier: 2.0,
            jitter: Jitter::Full,
            statuses: vec![408, 425, 429, 500, 502, 503, 504],
            max_retry_after: Duration::from_secs(60),
            retry_non_idempotent: false,
            idempotency_keys: false,
            budget: Some(RetryBudget::default()),
            predicate: None,
        }
    }
}

impl RetryPolicy {
    /// The defaults with so many attempts.
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

    /// Sets the first and the longest delay.
    pub fn with_delays(mut self, initial: Duration, max: Duration) -> Self {
        self.initial_delay = initial;
        self.max_delay = max;
        self
    }

    /// Sets the jitter.
    pub fn with_jitter(mut self, jitter: Jitter) -> Self {
        self.jitter = jitter;
        self
    }

    /// Sets the growth per retry.
    pub fn with_multiplier(mut self, multiplier: f64) -> Self {
        self.multiplier = multiplier;
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

    /// Retries requests that are not idempotent too.
    pub fn with_retry_non_idempotent(mut self, retry: bool) -> Self {
        self.retry_non_idempotent = retry;
        self
    }

    /// Gives each POST and PATCH a key by which the peer knows it.
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
        validate::ensure(
            self.max_delay >= self.initial_delay,
            "max_delay",
            "must not be shorter than initial_delay",
        )?;
        validate::ensure(
            self.multiplier.is_finite() && self.multiplier >= 1.0,
            "multiplier",
            "must be at least 1.0",
        )?;
        validate::ensure(
            self.statuses.iter().all(|status| (100..1000).contains(status)),
            "statuses",
            "must be HTTP status codes",
        )?;
        if let Some(budget) = &self.budget {
            validate::ensure(budget.capacity > 0, "budget.capacity", "must be at least 1")?;
            validate::share(budget.refill, "budget.refill")?;
            validate::ensure(budget.refill > 0.0, "budget.refill", "must be above 0.0")?;
        }
        Ok(())
    }
}

impl fmt::Debug for RetryPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RetryPolicy")
            .field("max_attempts", &self.max_attempts)
            .field("initial_delay", &self.initial_delay)
            .field("max_delay", &self.max_delay)
            .field("multiplier", &self.multiplier)
            .field("jitter", &self.jitter)
            .field("statuses", &self.statuses)
            .field("max_retry_after", &self.max_retry_after)
            .field("retry_non_idempotent", &self.retry_non_idempotent)
            .field("idempotency_keys", &self.idempotency_keys)
            .field("budget", &self.budget)
            .field("predicate", &self.predicate)
            .finish()
    }
}
