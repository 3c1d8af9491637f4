//! How a bridge behaves.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::backoff::Backoff;
use crate::error::Result;
use crate::validate::{self, Validate};

/// The longest source text of a routing condition, in bytes.
pub const MAX_CONDITION_LENGTH: usize = 2048;

/// The most rules of a bridge.
pub const MAX_RULES: usize = 1000;

/// What a rule does with messages that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case")]
#[non_exhaustive]
pub enum RouteAction {
    /// Deliver to this target.
    Deliver {
        /// The target, as the sink understands it: a topic, a path.
        target: String,
    },
    /// Acknowledge without delivering.
    Drop,
    /// Deliver to the dead-letter target.
    DeadLetter,
}

/// A routing rule: the first whose condition holds decides.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RouteRule {
    /// Its name, unique within the bridge.
    pub name: String,
    /// The condition, a [CEL](https://cel.dev) expression that gives a boolean. It sees `payload` (the parsed JSON
    /// payload, or null), `headers` (a map of the first value of each name, in lower case), `key`, `content_type`,
    /// `origin` and `size` (of the payload in bytes). `key` and `content_type` are null where the message has none; a key or
    /// header that is not UTF-8 is bytes.
    pub condition: String,
    /// What happens to messages that match.
    #[serde(flatten)]
    pub action: RouteAction,
}

impl RouteRule {
    /// Delivers messages for which `condition` holds to `target`.
    pub fn to(name: impl Into<String>, condition: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            condition: condition.into(),
            action: RouteAction::Deliver { target: target.into() },
        }
    }

    /// Does `action` with messages for which `condition` holds.
    pub fn new(name: impl Into<String>, condition: impl Into<String>, action: RouteAction) -> Self {
        Self {
            name: name.into(),
            condition: condition.into(),
            action,
        }
    }
}

/// What happens when a condition cannot be evaluated (a missing field, a type that does not fit).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorAction {
    /// The rule does not match; the error is counted.
    #[default]
    NoMatch,
    /// The message goes to the dead-letter target.
    DeadLetter,
}

/// Where messages go.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct RoutingConfig {
    /// Rules, tried in order.
    pub rules: Vec<RouteRule>,
    /// Where messages go that match no rule. `None`: to the dead-letter target.
    pub default_target: Option<String>,
    /// What happens when a condition cannot be evaluated.
    pub on_error: ErrorAction,
}

impl RoutingConfig {
    /// No rules.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a rule.
    pub fn with_rule(mut self, rule: RouteRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sets where messages go that match no rule.
    pub fn with_default_target(mut self, target: impl Into<String>) -> Self {
        self.default_target = Some(target.into());
        self
    }

    /// Sets what happens when a condition cannot be evaluated.
    pub fn with_on_error(mut self, action: ErrorAction) -> Self {
        self.on_error = action;
        self
    }
}

impl Validate for RoutingConfig {
    fn validate(&self) -> Result<()> {
        validate::ensure(self.rules.len() <= MAX_RULES, "rules", "are too many")?;
        let mut names = std::collections::HashSet::new();
        for (index, rule) in self.rules.iter().enumerate() {
            let field = |name: &str| format!("rules[{index}].{name}");
            validate::name(&rule.name, 128, &field("name"))?;
            validate::ensure(
                names.insert(rule.name.as_str()),
                &field("name"),
                "is used by another rule",
            )?;
            validate::not_blank(&rule.condition, &field("condition"))?;
            validate::ensure(
                rule.condition.len() <= MAX_CONDITION_LENGTH,
                &field("condition"),
                "is too long",
            )?;
            if let RouteAction::Deliver { target } = &rule.action {
                validate::name(target, 512, &field("target"))?;
            }
        }
        match &self.default_target {
            Some(target) => validate::name(target, 512, "default_target"),
            None => Ok(()),
        }
    }
}

/// How often and how fast the sink is tried again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct DeliveryRetry {
    /// Attempts in all, the first included, 1 ..= 100.
    pub max_attempts: u32,
    /// The wait before each further attempt. If the sink asks for a wait longer than `maximum`, the bridge stops retrying at
    /// once; the error that the source gets has the wait that the sink asked for.
    #[serde(deserialize_with = "delivery_backoff")]
    pub backoff: Backoff,
}

const DEFAULT_DELIVERY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));

fn delivery_backoff<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Backoff, D::Error> {
    Backoff::deserialize_over(DEFAULT_DELIVERY, deserializer)
}

impl Default for DeliveryRetry {
    /// 5 attempts, 100 ms doubling up to 5 s, with full jitter.
    fn default() -> Self {
        Self {
            max_attempts: 5,
            backoff: DEFAULT_DELIVERY,
        }
    }
}

impl DeliveryRetry {
    /// At most `max_attempts` attempts; waits from `initial_delay`, doubling up to `max_delay`, with full jitter.
    pub const fn new(max_attempts: u32, initial_delay: Duration, max_delay: Duration) -> Self {
        Self {
            max_attempts,
            backoff: Backoff::new(initial_delay, max_delay),
        }
    }

    /// Sets the wait before each further attempt.
    pub const fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}

impl Validate for DeliveryRetry {
    fn validate(&self) -> Result<()> {
        validate::ensure(
            (1..=100).contains(&self.max_attempts),
            "max_attempts",
            "must be between 1 and 100",
        )?;
        validate::nested(&self.backoff, "backoff")
    }
}

/// How a bridge behaves.
///
/// A message whose delivery fails for good, and one that no rule and no default target wants, goes to the dead-letter
/// target with [header fields](super::dead_letter_headers) that say why. Without a dead-letter target the source is told of the failure, so that its
/// peer still has the message.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
#[non_exhaustive]
pub struct BridgeConfig {
    /// Where messages go.
    pub routing: RoutingConfig,
    /// Where messages go that cannot be delivered or routed.
    pub dead_letter_target: Option<String>,
    /// How often and how fast the sink is tried again.
    pub retry: DeliveryRetry,
    /// Messages in work at once, 1 ..= 100 000. Above it the source is not asked for more.
    pub max_in_flight: usize,
    /// Largest payload delivered, in bytes. A larger one goes to the dead-letter target; without one it is rejected as
    /// [`TooLarge`](crate::ErrorKind::TooLarge).
    pub max_payload_size: usize,
    /// Time limit of one attempt to deliver.
    #[serde(with = "humantime_serde")]
    pub delivery_timeout: Duration,
    /// How long destroying a bridge waits for messages in work.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

impl Default for BridgeConfig {
    /// No rules, no dead letters, 5 attempts, 256 in flight, 25 MiB payloads (GitHub's own limit for webhooks), 30 s per
    /// attempt, 30 s to drain.
    fn default() -> Self {
        Self {
            routing: RoutingConfig::default(),
            dead_letter_target: None,
            retry: DeliveryRetry::default(),
            max_in_flight: 256,
            max_payload_size: 25 << 20,
            delivery_timeout: Duration::from_secs(30),
            drain_timeout: Duration::from_secs(30),
        }
    }
}

impl BridgeConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets where messages go.
    pub fn with_routing(mut self, routing: RoutingConfig) -> Self {
        self.routing = routing;
        self
    }

    /// Sets where messages go that cannot be delivered or routed.
    pub fn with_dead_letter_target(mut self, target: impl Into<String>) -> Self {
        self.dead_letter_target = Some(target.into());
        self
    }

    /// Sets how the sink is tried again.
    pub fn with_retry(mut self, retry: DeliveryRetry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets how many messages are in work at once.
    pub fn with_max_in_flight(mut self, messages: usize) -> Self {
        self.max_in_flight = messages;
        self
    }

    /// Sets the largest payload in bytes.
    pub fn with_max_payload_size(mut self, bytes: usize) -> Self {
        self.max_payload_size = bytes;
        self
    }

    /// Sets the time limit of one attempt.
    pub fn with_delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// Sets how long destroying waits.
    pub fn with_drain_timeout(mut self, timeout: Duration) -> Self {
        self.drain_timeout = timeout;
        self
    }
}

impl Validate for BridgeConfig {
    fn validate(&self) -> Result<()> {
        validate::nested(&self.routing, "routing")?;
        if let Some(target) = &self.dead_letter_target {
            validate::name(target, 512, "dead_letter_target")?;
        }
        validate::ensure(
            self.dead_letter_target.is_some()
                || (self.routing.on_error != ErrorAction::DeadLetter
                    && self
                        .routing
                        .rules
                        .iter()
                        .all(|rule| rule.action != RouteAction::DeadLetter)),
            "dead_letter_target",
            "is needed by a rule or by on_error",
        )?;
        validate::nested(&self.retry, "retry")?;
        validate::ensure(
            (1..=100_000).contains(&self.max_in_flight),
            "max_in_flight",
            "must be between 1 and 100000",
        )?;
        validate::ensure(self.max_payload_size > 0, "max_payload_size", "must be at least 1")?;
        validate::positive(self.delivery_timeout, "delivery_timeout")?;
        validate::positive(self.drain_timeout, "drain_timeout")
    }
}
