//! The configuration of a bridge.

use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize};

use crate::backoff::Backoff;
use crate::error::Result;
use crate::validate::{self, Validate};

/// The maximum length of a routing condition, in bytes.
pub const MAX_CONDITION_LENGTH: usize = 2048;

/// The maximum number of rules of a bridge.
pub const MAX_RULES: usize = 1000;

/// The action of a rule for messages that match.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", try_from = "GivenAction")]
#[non_exhaustive]
pub enum RouteAction {
    /// Deliver to this target.
    Deliver {
        /// The target, in the notation of the sink: for example a topic or a path.
        target: String,
    },
    /// Acknowledge without delivering.
    Drop,
    /// Deliver to the dead-letter target.
    DeadLetter,
}

/// A routing rule. The first rule whose condition is true applies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GivenRule")]
#[non_exhaustive]
pub struct RouteRule {
    /// The name, unique within the bridge.
    pub name: String,
    /// The condition, a [CEL](https://cel.dev) expression with a boolean result. Its variables are `payload` (the parsed
    /// JSON payload, or null), `headers` (a map from each name, in lower case, to its first value), `key`,
    /// `content_type`, `origin` and `size` (of the payload, in bytes). `key` and `content_type` are null if the message
    /// has none. A key or header value that is not UTF-8 has the type `bytes`.
    pub condition: String,
    /// The action for messages that match.
    #[serde(flatten)]
    pub action: RouteAction,
}

impl RouteRule {
    /// Delivers messages for which `condition` is true to `target`.
    pub fn to(name: impl Into<String>, condition: impl Into<String>, target: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            condition: condition.into(),
            action: RouteAction::Deliver { target: target.into() },
        }
    }

    /// Applies `action` to messages for which `condition` is true.
    pub fn new(name: impl Into<String>, condition: impl Into<String>, action: RouteAction) -> Self {
        Self {
            name: name.into(),
            condition: condition.into(),
            action,
        }
    }
}

/// An action as a configuration spells it. serde ignores unknown keys beside a tag, and those of a struct with a flattened
/// field, so the keys are read here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "RouteAction")]
struct GivenAction {
    action: ActionName,
    target: Option<String>,
}

/// A rule as a configuration spells it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "RouteRule")]
struct GivenRule {
    name: String,
    condition: String,
    action: ActionName,
    target: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum ActionName {
    Deliver,
    Drop,
    DeadLetter,
}

impl TryFrom<GivenAction> for RouteAction {
    type Error = &'static str;

    fn try_from(given: GivenAction) -> Result<Self, Self::Error> {
        match (given.action, given.target) {
            (ActionName::Deliver, Some(target)) => Ok(Self::Deliver { target }),
            (ActionName::Deliver, None) => Err("missing field `target` of the action `deliver`"),
            (ActionName::Drop, None) => Ok(Self::Drop),
            (ActionName::DeadLetter, None) => Ok(Self::DeadLetter),
            (ActionName::Drop | ActionName::DeadLetter, Some(_)) => {
                Err("the field `target` belongs to the action `deliver` only")
            }
        }
    }
}

impl TryFrom<GivenRule> for RouteRule {
    type Error = &'static str;

    fn try_from(given: GivenRule) -> Result<Self, Self::Error> {
        let GivenRule {
            name,
            condition,
            action,
            target,
        } = given;
        let action = RouteAction::try_from(GivenAction { action, target })?;
        Ok(Self {
            name,
            condition,
            action,
        })
    }
}

/// The action for a condition that cannot be evaluated (a missing field, a wrong type).
///
/// Exhaustive on purpose: a bridge handles each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorAction {
    /// The rule does not match; the error is counted.
    #[default]
    NoMatch,
    /// The message is delivered to the dead-letter target.
    DeadLetter,
}

/// The routing of a bridge: its rules and its default target.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct RoutingConfig {
    /// The rules, evaluated in order.
    pub rules: Vec<RouteRule>,
    /// The target of messages that match no rule. `None`: the dead-letter target.
    pub default_target: Option<String>,
    /// The action for a condition that cannot be evaluated.
    pub on_error: ErrorAction,
}

impl RoutingConfig {
    /// Routing without rules and without a default target.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a rule.
    pub fn with_rule(mut self, rule: RouteRule) -> Self {
        self.rules.push(rule);
        self
    }

    /// Sets the target of messages that match no rule.
    pub fn with_default_target(mut self, target: impl Into<String>) -> Self {
        self.default_target = Some(target.into());
        self
    }

    /// Sets the action for a condition that cannot be evaluated.
    pub fn with_on_error(mut self, action: ErrorAction) -> Self {
        self.on_error = action;
        self
    }
}

impl Validate for RoutingConfig {
    fn validate(&self) -> Result<()> {
        validate::ensure(self.rules.len() <= MAX_RULES, "rules", "must have at most 1000 rules")?;
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

/// How often, and with which delays, a delivery is retried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct DeliveryRetry {
    /// The maximum number of attempts, including the first, 1 ..= 100.
    pub max_attempts: u32,
    /// The delay before each retry. If the sink's error asks for a delay above `maximum`, the bridge does not retry; the
    /// error of the rejection then has the delay that the sink asked for.
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
    /// At most `max_attempts` attempts. The delay starts with `initial_delay` and doubles up to `max_delay`, with full
    /// jitter.
    pub const fn new(max_attempts: u32, initial_delay: Duration, max_delay: Duration) -> Self {
        Self {
            max_attempts,
            backoff: Backoff::new(initial_delay, max_delay),
        }
    }

    /// Sets the delay before each retry.
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

/// The configuration of a bridge.
///
/// A message whose last attempt fails, or for which there is neither a matching rule nor a default target, is delivered to
/// the dead-letter target with [header fields](super::dead_letter_headers) that give the reason. Without a dead-letter
/// target, the message is rejected with the error, and the peer of the source keeps it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct BridgeConfig {
    /// The routing.
    pub routing: RoutingConfig,
    /// The target of messages that cannot be delivered or routed.
    pub dead_letter_target: Option<String>,
    /// How often, and with which delays, a delivery is retried.
    pub retry: DeliveryRetry,
    /// The maximum number of messages in flight, 1 ..= 100 000. At the limit, no message is received from the source.
    pub max_in_flight: usize,
    /// The largest payload, in bytes. A message with a larger one is delivered to the dead-letter target, or, without a
    /// dead-letter target, rejected with [`TooLarge`](crate::ErrorKind::TooLarge).
    pub max_payload_size: usize,
    /// Time limit of one delivery attempt.
    #[serde(with = "humantime_serde")]
    pub delivery_timeout: Duration,
    /// How long destroying a bridge waits at most for messages in flight.
    #[serde(with = "humantime_serde")]
    pub drain_timeout: Duration,
}

impl Default for BridgeConfig {
    /// No rules, no dead-letter target, 5 attempts, 256 messages in flight, payloads up to 25 MiB (GitHub's limit for
    /// webhooks), 30 s per attempt, 30 s to drain.
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

    /// Sets the routing.
    pub fn with_routing(mut self, routing: RoutingConfig) -> Self {
        self.routing = routing;
        self
    }

    /// Sets the target of messages that cannot be delivered or routed.
    pub fn with_dead_letter_target(mut self, target: impl Into<String>) -> Self {
        self.dead_letter_target = Some(target.into());
        self
    }

    /// Sets how a delivery is retried.
    pub fn with_retry(mut self, retry: DeliveryRetry) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the maximum number of messages in flight.
    pub fn with_max_in_flight(mut self, messages: usize) -> Self {
        self.max_in_flight = messages;
        self
    }

    /// Sets the largest payload, in bytes.
    pub fn with_max_payload_size(mut self, bytes: usize) -> Self {
        self.max_payload_size = bytes;
        self
    }

    /// Sets the time limit of one delivery attempt.
    pub fn with_delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// Sets how long destroying the bridge waits at most for messages in flight.
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
            "is required by a rule or by on_error",
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
