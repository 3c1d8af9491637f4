//! The configuration of a circuit.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use super::{CircuitBreakerCapabilities, CircuitMode, ErrorClassifier, default_classifier};
use crate::backoff::{Backoff, Jitter};
use crate::error::Result;
use crate::validate::{self, Validate};

/// When a closed circuit opens.
///
/// Serialized as `{"consecutive_failures": {"failures": 5}}` or
/// `{"count_window": {"size": 100, "rates": {"failure_rate": 0.5}}}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
#[non_exhaustive]
pub enum TripPolicy {
    /// After `failures` consecutive failures.
    ConsecutiveFailures {
        /// The number of consecutive failures, at least 1.
        failures: u32,
    },
    /// When the failure rate or slow-call rate of the last `size` calls reaches its threshold.
    CountWindow {
        /// The number of calls in the window, 1 ..= 65 536.
        size: u32,
        /// The thresholds.
        #[serde(default)]
        rates: RateThresholds,
    },
    /// When the failure rate or slow-call rate of the calls in the last `length` reaches its threshold. The window has a
    /// fixed number of buckets, so memory and cost do not depend on the call rate.
    TimeWindow {
        /// The length of the window, at least 10 ms.
        #[serde(with = "humantime_serde")]
        length: Duration,
        /// The thresholds.
        #[serde(default)]
        rates: RateThresholds,
    },
}

impl TripPolicy {
    /// Opens after `failures` consecutive failures.
    pub const fn consecutive(failures: u32) -> Self {
        Self::ConsecutiveFailures { failures }
    }

    /// Opens by the rates of the last `size` calls.
    pub const fn count_window(size: u32, rates: RateThresholds) -> Self {
        Self::CountWindow { size, rates }
    }

    /// Opens by the rates of the calls in the last `length`.
    pub const fn time_window(length: Duration, rates: RateThresholds) -> Self {
        Self::TimeWindow { length, rates }
    }
}

impl Validate for TripPolicy {
    fn validate(&self) -> Result<()> {
        match self {
            Self::ConsecutiveFailures { failures } => validate::ensure(*failures > 0, "failures", "must be at least 1"),
            Self::CountWindow { size, rates } => {
                validate::ensure((1..=65_536).contains(size), "size", "must be between 1 and 65536")?;
                rates.validate()?;
                validate::ensure(
                    rates.minimum_calls <= *size,
                    "minimum_calls",
                    "must not exceed the window size",
                )
            }
            Self::TimeWindow { length, rates } => {
                validate::ensure(*length >= Duration::from_millis(10), "length", "must be at least 10 ms")?;
                rates.validate()
            }
        }
    }
}

/// Thresholds over a window of calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RateThresholds {
    /// The share of failed calls at which the circuit opens, above 0.0 and at most 1.0.
    pub failure_rate: f64,
    /// The number of calls in the window below which the rates are not evaluated, at least 1.
    pub minimum_calls: u32,
    /// A call that takes at least this long is slow. `None`: calls are not timed, which is cheaper.
    #[serde(with = "humantime_serde")]
    pub slow_call_duration: Option<Duration>,
    /// The share of slow calls at which the circuit opens, above 0.0 and at most 1.0.
    pub slow_call_rate: f64,
}

impl Default for RateThresholds {
    /// Opens when half of at least 10 calls have failed. Calls are not timed.
    fn default() -> Self {
        Self {
            failure_rate: 0.5,
            minimum_calls: 10,
            slow_call_duration: None,
            slow_call_rate: 1.0,
        }
    }
}

impl RateThresholds {
    /// Opens when the share of failed calls reaches `failure_rate`, with at least `minimum_calls` calls in the window.
    pub fn new(failure_rate: f64, minimum_calls: u32) -> Self {
        Self {
            failure_rate,
            minimum_calls,
            ..Self::default()
        }
    }

    /// Also opens when the share of calls that take at least `duration` reaches `rate`.
    pub fn with_slow_calls(mut self, duration: Duration, rate: f64) -> Self {
        self.slow_call_duration = Some(duration);
        self.slow_call_rate = rate;
        self
    }
}

impl Validate for RateThresholds {
    fn validate(&self) -> Result<()> {
        validate::share(self.failure_rate, "failure_rate")?;
        validate::ensure(self.failure_rate > 0.0, "failure_rate", "must be above 0.0")?;
        validate::ensure(self.minimum_calls > 0, "minimum_calls", "must be at least 1")?;
        validate::share(self.slow_call_rate, "slow_call_rate")?;
        validate::ensure(self.slow_call_rate > 0.0, "slow_call_rate", "must be above 0.0")?;
        match self.slow_call_duration {
            Some(duration) => validate::positive(duration, "slow_call_duration"),
            None => Ok(()),
        }
    }
}

/// How a half-open circuit tests whether the dependency has recovered.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct HalfOpenPolicy {
    /// The maximum number of probes in flight, at least 1. `None`: one, or every call if the breaker does not declare the
    /// capability [`probe_limits`](super::CircuitBreakerCapabilities::probe_limits). A number needs that capability.
    pub max_concurrent_probes: Option<u32>,
    /// The number of successful probes after which the circuit closes, at least 1. One failed probe opens the circuit again.
    /// If the trip policy times calls, a slow probe also does. A number above 1 needs the capability
    /// [`probe_limits`](super::CircuitBreakerCapabilities::probe_limits).
    pub success_threshold: u32,
    /// How long a probe may hold its slot. After that, the slot is free, and a late result of the probe does not count.
    /// `None`: the initial open time, or the call timeout if that is longer; forever, if the breaker does not declare the
    /// capability [`probe_leases`](super::CircuitBreakerCapabilities::probe_leases). A time needs that capability.
    #[serde(with = "humantime_serde")]
    pub probe_lease: Option<Duration>,
}

impl Default for HalfOpenPolicy {
    /// One probe at a time, if the breaker can limit them; one success closes the circuit.
    fn default() -> Self {
        Self {
            max_concurrent_probes: None,
            success_threshold: 1,
            probe_lease: None,
        }
    }
}

impl HalfOpenPolicy {
    /// Admits at most `max_concurrent_probes` at a time, and closes the circuit after `success_threshold` successful probes.
    pub const fn new(max_concurrent_probes: u32, success_threshold: u32) -> Self {
        Self {
            max_concurrent_probes: Some(max_concurrent_probes),
            success_threshold,
            probe_lease: None,
        }
    }

    /// For breakers with the capability `probe_limits`: the maximum number of probes in flight, 1 if none is set.
    pub const fn concurrent_probes(&self) -> u32 {
        match self.max_concurrent_probes {
            Some(limit) => limit,
            None => 1,
        }
    }

    /// Sets how long a probe may hold its slot.
    pub const fn with_probe_lease(mut self, lease: Duration) -> Self {
        self.probe_lease = Some(lease);
        self
    }
}

impl Validate for HalfOpenPolicy {
    fn validate(&self) -> Result<()> {
        validate::ensure(
            self.concurrent_probes() > 0,
            "max_concurrent_probes",
            "must be at least 1",
        )?;
        validate::ensure(self.success_threshold > 0, "success_threshold", "must be at least 1")?;
        match self.probe_lease {
            Some(lease) => validate::positive(lease, "probe_lease"),
            None => Ok(()),
        }
    }
}

/// How long a circuit stays open.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct OpenPolicy {
    /// The open time: `initial` for the first opening, and longer for each further opening until the circuit has closed.
    /// `maximum` also limits the open time that a `Retry-After` can cause.
    #[serde(deserialize_with = "open_backoff")]
    pub backoff: Backoff,
}

const DEFAULT_OPEN: Backoff =
    Backoff::new(Duration::from_secs(30), Duration::from_secs(300)).with_jitter(Jitter::Proportional(0.1));

fn open_backoff<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Backoff, D::Error> {
    Backoff::deserialize_over(DEFAULT_OPEN, deserializer)
}

impl Default for OpenPolicy {
    /// 30 s, doubling up to 5 minutes, plus or minus 10 %.
    fn default() -> Self {
        Self { backoff: DEFAULT_OPEN }
    }
}

impl OpenPolicy {
    /// A policy with this backoff.
    pub const fn new(backoff: Backoff) -> Self {
        Self { backoff }
    }

    /// Always open for exactly `duration`.
    pub const fn fixed(duration: Duration) -> Self {
        Self::new(Backoff::fixed(duration))
    }

    /// Open for `duration` at first, and twice as long for each further opening until the circuit has closed, up to
    /// `max_duration`. No jitter.
    pub const fn exponential(duration: Duration, max_duration: Duration) -> Self {
        Self::new(Backoff::new(duration, max_duration).with_jitter(Jitter::None))
    }

    /// Sets the factor by which each opening lengthens the next one.
    pub const fn with_multiplier(mut self, multiplier: f64) -> Self {
        self.backoff.multiplier = multiplier;
        self
    }

    /// Sets the longest open time. It also limits the open time that a `Retry-After` can cause.
    pub const fn with_max_duration(mut self, duration: Duration) -> Self {
        self.backoff.maximum = duration;
        self
    }

    /// Sets proportional jitter, with a share of 0.0 ..= 1.0: 0.1 gives 90 % to 110 % of the open time.
    pub const fn with_jitter(mut self, share: f64) -> Self {
        self.backoff.jitter = Jitter::Proportional(share);
        self
    }
}

impl Validate for OpenPolicy {
    fn validate(&self) -> Result<()> {
        validate::positive(self.backoff.initial, "backoff.initial")?;
        validate::nested(&self.backoff, "backoff")
    }
}

/// What a cancelled call counts as: its future, or its permit, was dropped without a record.
///
/// Exhaustive on purpose: a circuit handles each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelPolicy {
    /// Ignored: a cancellation does not show whether the dependency works.
    #[default]
    Ignore,
    /// Failure: for callers that cancel when an outer timeout expires.
    Failure,
}

/// The configuration of one circuit.
///
/// ```
/// use std::time::Duration;
/// use networking_spi::circuit_breaker::{CircuitBreakerConfig, OpenPolicy, TripPolicy};
/// use networking_spi::validate::Validate;
///
/// let config = CircuitBreakerConfig::new()
///     .with_trip(TripPolicy::consecutive(3))
///     .with_open(OpenPolicy::fixed(Duration::from_secs(5)))
///     .with_call_timeout(Duration::from_secs(1));
/// config.validate().unwrap();
/// ```
#[derive(Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct CircuitBreakerConfig {
    /// When the circuit opens. Defaults to 5 consecutive failures.
    pub trip: TripPolicy,
    /// How long it stays open.
    pub open: OpenPolicy,
    /// How it tests whether the dependency has recovered.
    pub half_open: HalfOpenPolicy,
    /// The default timeout of a call. The circuit applies it, so that a timeout counts as a failure. `None`: no timeout.
    #[serde(with = "humantime_serde")]
    pub call_timeout: Option<Duration>,
    /// What cancelled calls count as.
    pub on_cancel: CancelPolicy,
    /// The mode in which the circuit starts. A forced state (`force_circuit_open`, `force_circuit_closed`) overrides it
    /// until the circuit is reset or forced otherwise.
    pub mode: CircuitMode,
    /// Decides what errors count as. Not serialized: a deserialized configuration has the default classifier.
    #[serde(skip, default = "default_classifier")]
    pub classifier: Arc<dyn ErrorClassifier>,
}

impl Default for CircuitBreakerConfig {
    fn default() -> Self {
        Self {
            trip: TripPolicy::consecutive(5),
            open: OpenPolicy::default(),
            half_open: HalfOpenPolicy::default(),
            call_timeout: None,
            on_cancel: CancelPolicy::default(),
            mode: CircuitMode::default(),
            classifier: default_classifier(),
        }
    }
}

impl CircuitBreakerConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets when the circuit opens.
    pub fn with_trip(mut self, trip: TripPolicy) -> Self {
        self.trip = trip;
        self
    }

    /// Sets how long it stays open.
    pub fn with_open(mut self, open: OpenPolicy) -> Self {
        self.open = open;
        self
    }

    /// Sets how it tests whether the dependency has recovered.
    pub fn with_half_open(mut self, half_open: HalfOpenPolicy) -> Self {
        self.half_open = half_open;
        self
    }

    /// Sets the default timeout of a call.
    pub fn with_call_timeout(mut self, timeout: Duration) -> Self {
        self.call_timeout = Some(timeout);
        self
    }

    /// Sets what cancelled calls count as.
    pub fn with_on_cancel(mut self, policy: CancelPolicy) -> Self {
        self.on_cancel = policy;
        self
    }

    /// Sets the mode.
    pub fn with_mode(mut self, mode: CircuitMode) -> Self {
        self.mode = mode;
        self
    }

    /// Sets the classifier of errors.
    pub fn with_classifier(mut self, classifier: Arc<dyn ErrorClassifier>) -> Self {
        self.classifier = classifier;
        self
    }
}

impl CircuitBreakerConfig {
    /// For implementers: fails with an error of `operation` if this configuration needs a capability that `declared` does
    /// not have. [`validate`](Validate::validate) it first.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming the capability.
    pub fn require(&self, declared: &CircuitBreakerCapabilities, operation: &'static str) -> Result<()> {
        let rates = match &self.trip {
            TripPolicy::ConsecutiveFailures { .. } => None,
            TripPolicy::CountWindow { rates, .. } => {
                declared.require(operation, "count_window")?;
                Some(rates)
            }
            TripPolicy::TimeWindow { rates, .. } => {
                declared.require(operation, "time_window")?;
                Some(rates)
            }
        };
        for (needed, capability) in [
            (
                rates.is_some_and(|rates| rates.slow_call_duration.is_some()),
                "slow_call_rate",
            ),
            (
                self.half_open.max_concurrent_probes.is_some() || self.half_open.success_threshold > 1,
                "probe_limits",
            ),
            (self.half_open.probe_lease.is_some(), "probe_leases"),
            (self.mode == CircuitMode::MetricsOnly, "metrics_only"),
            (
                matches!(self.mode, CircuitMode::ForcedOpen | CircuitMode::ForcedClosed),
                "overrides",
            ),
        ] {
            if needed {
                declared.require(operation, capability)?;
            }
        }
        Ok(())
    }
}

impl Validate for CircuitBreakerConfig {
    fn validate(&self) -> Result<()> {
        validate::nested(&self.trip, "trip")?;
        validate::nested(&self.open, "open")?;
        validate::nested(&self.half_open, "half_open")?;
        match self.call_timeout {
            Some(timeout) => validate::positive(timeout, "call_timeout"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for CircuitBreakerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CircuitBreakerConfig")
            .field("trip", &self.trip)
            .field("open", &self.open)
            .field("half_open", &self.half_open)
            .field("call_timeout", &self.call_timeout)
            .field("on_cancel", &self.on_cancel)
            .field("mode", &self.mode)
            .field("classifier", &self.classifier)
            .finish()
    }
}
