//! The configuration of consumers that [`KafkaReading`](super::KafkaReading) creates.

use std::collections::BTreeSet;

use crate::error::Result;
use crate::kafka::{ConsumerConfig, TopicPartition, validate_topic_name};
use crate::names::named_enum;
use crate::validate::{self, Validate};

/// The longest pattern, in bytes.
const MAX_PATTERN: usize = 1024;

named_enum! {
    "assignment_strategy",
    /// How the members of a group of the classic protocol divide the partitions. All members of a group use the same one.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum AssignmentStrategy {
        /// Consecutive partitions of each topic. Every rebalance takes all partitions of all members.
        Range => "range",
        /// All partitions in turn. Every rebalance takes all partitions of all members.
        RoundRobin => "roundrobin",
        /// Balanced, and a rebalance takes only the partitions that move to another member (KIP-429).
        CooperativeSticky => "cooperative-sticky",
    }
}

named_enum! {
    "group_protocol",
    /// The protocol of a group.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum GroupProtocol {
        /// A member of the group computes the assignment.
        Classic => "classic",
        /// The broker computes the assignment (KIP-848).
        Consumer => "consumer",
    }
}

/// What a consumer reads.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Subscription {
    /// The [`topics`](ConsumerConfig::topics) of the configuration, as a member of the group.
    #[default]
    Topics,
    /// All topics whose whole name matches a regular expression, as a member of the group. Topics that are created later join,
    /// and are read from their first record; deleted ones leave. Internal topics of the cluster never match.
    ///
    /// Every implementation has literals, `.`, classes (`[a-z]`), `*`, `+`, `?`, `|` and groups; `\.` is a dot. Requires the
    /// capability `patterns`.
    Pattern(String),
    /// These partitions. The consumer is not a member of the group: other consumers may read the same partitions. It starts at
    /// the committed offsets of the group, and commits for it as long as the group has no members. Requires the capability
    /// `partitions`.
    Partitions(Vec<TopicPartition>),
}

/// The configuration of a consumer that [`KafkaReading::create_reader`](super::KafkaReading::create_reader) creates.
///
/// ```
/// use networking_spi::kafka::{ConsumerConfig, ReaderConfig, TopicPartition};
/// use networking_spi::validate::Validate;
///
/// let pattern = ReaderConfig::pattern("orders-.*", "billing");
/// pattern.validate().unwrap();
/// let partitions = ReaderConfig::partitions([TopicPartition::new("orders", 3)], "repair");
/// partitions.validate().unwrap();
/// assert!(ReaderConfig::topics(ConsumerConfig::new("billing", [""])).validate().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReaderConfig {
    /// What the consumer reads.
    pub subscription: Subscription,
    /// Everything else. [`topics`](ConsumerConfig::topics) is empty, except for [`Subscription::Topics`].
    pub consumer: ConsumerConfig,
    /// How the members divide the partitions. `None`: the default of the backend. Must be one of the capability
    /// `assignment_strategies`. Only for members of a group of the classic protocol.
    pub assignment_strategy: Option<AssignmentStrategy>,
    /// The protocol of the group. `None`: the default of the backend. Must be one of the capability `group_protocols`. Only for
    /// members of a group.
    pub group_protocol: Option<GroupProtocol>,
}

impl ReaderConfig {
    /// A consumer of the topics of `consumer`.
    pub fn topics(consumer: ConsumerConfig) -> Self {
        Self {
            subscription: Subscription::Topics,
            consumer,
            assignment_strategy: None,
            group_protocol: None,
        }
    }

    /// A member of `group` that reads all topics whose whole name matches a regular expression.
    pub fn pattern(pattern: impl Into<String>, group: impl Into<String>) -> Self {
        Self::without_topics(Subscription::Pattern(pattern.into()), group)
    }

    /// A consumer of these partitions that starts at the committed offsets of `group`.
    pub fn partitions(partitions: impl IntoIterator<Item = TopicPartition>, group: impl Into<String>) -> Self {
        Self::without_topics(Subscription::Partitions(partitions.into_iter().collect()), group)
    }

    fn without_topics(subscription: Subscription, group: impl Into<String>) -> Self {
        Self {
            subscription,
            ..Self::topics(ConsumerConfig::new::<String>(group, []))
        }
    }

    /// Changes the configuration of the consumer.
    pub fn with_consumer(mut self, change: impl FnOnce(ConsumerConfig) -> ConsumerConfig) -> Self {
        self.consumer = change(self.consumer);
        self
    }

    /// Sets how the members of the group divide the partitions.
    pub fn with_assignment_strategy(mut self, strategy: AssignmentStrategy) -> Self {
        self.assignment_strategy = Some(strategy);
        self
    }

    /// Sets the protocol of the group.
    pub fn with_group_protocol(mut self, protocol: GroupProtocol) -> Self {
        self.group_protocol = Some(protocol);
        self
    }
}

impl Validate for ReaderConfig {
    fn validate(&self) -> Result<()> {
        let is_member = match &self.subscription {
            Subscription::Topics => {
                self.consumer.validate()?;
                true
            }
            Subscription::Pattern(pattern) => {
                self.validate_without_topics()?;
                validate::not_blank(pattern, "pattern")?;
                validate::ensure(
                    pattern.len() <= MAX_PATTERN,
                    "pattern",
                    "must not be longer than 1024 bytes",
                )?;
                true
            }
            Subscription::Partitions(partitions) => {
                self.validate_without_topics()?;
                validate::ensure(!partitions.is_empty(), "partitions", "must not be empty")?;
                let different = partitions.iter().collect::<BTreeSet<_>>().len();
                validate::ensure(
                    different == partitions.len(),
                    "partitions",
                    "must not contain a partition twice",
                )?;
                for partition in partitions {
                    validate_topic_name(&partition.topic, "partitions")?;
                    validate::ensure(
                        partition.partition >= 0,
                        "partitions",
                        "must not have a negative number",
                    )?;
                }
                let instance = self.consumer.group_instance_id.is_some();
                validate::ensure(
                    !instance,
                    "group_instance_id",
                    "the consumer is not a member of a group",
                )?;
                false
            }
        };
        let strategy = self.assignment_strategy.is_some();
        validate::ensure(
            !strategy || is_member,
            "assignment_strategy",
            "the consumer is not a member of a group",
        )?;
        validate::ensure(
            self.group_protocol.is_none() || is_member,
            "group_protocol",
            "the consumer is not a member of a group",
        )?;
        validate::ensure(
            !strategy || self.group_protocol != Some(GroupProtocol::Consumer),
            "assignment_strategy",
            "with the group protocol `consumer`, the broker computes the assignment",
        )
    }
}

impl ReaderConfig {
    fn validate_without_topics(&self) -> Result<()> {
        validate::ensure(
            self.consumer.topics.is_empty(),
            "topics",
            "must be empty: the subscription names what is read",
        )?;
        let mut consumer = self.consumer.clone();
        consumer.topics.push("placeholder".to_owned());
        consumer.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bad_field_is_named() {
        let partition = || TopicPartition::new("t", 0);
        let strategy = AssignmentStrategy::Range;
        let bad = [
            (ReaderConfig::topics(ConsumerConfig::new::<String>("g", [])), "topics"),
            (ReaderConfig::pattern(" ", "g"), "pattern"),
            (ReaderConfig::pattern("x".repeat(1025), "g"), "pattern"),
            (ReaderConfig::pattern("x", ""), "group"),
            (ReaderConfig::partitions([], "g"), "partitions"),
            (ReaderConfig::partitions([partition(), partition()], "g"), "partitions"),
            (
                ReaderConfig::partitions([TopicPartition::new("t", -1)], "g"),
                "partitions",
            ),
            (
                ReaderConfig::partitions([TopicPartition::new("a b", 0)], "g"),
                "partitions",
            ),
            (
                ReaderConfig::partitions([partition()], "g")
                    .with_consumer(|consumer| consumer.with_group_instance_id("i")),
                "group_instance_id",
            ),
            (
                ReaderConfig::partitions([partition()], "g").with_assignment_strategy(strategy),
                "assignment_strategy",
            ),
            (
                ReaderConfig::partitions([partition()], "g").with_group_protocol(GroupProtocol::Classic),
                "group_protocol",
            ),
            (
                ReaderConfig::pattern("x", "g")
                    .with_assignment_strategy(strategy)
                    .with_group_protocol(GroupProtocol::Consumer),
                "assignment_strategy",
            ),
            (
                ReaderConfig {
                    subscription: Subscription::Pattern("x".to_owned()),
                    ..ReaderConfig::topics(ConsumerConfig::new("g", ["t"]))
                },
                "topics",
            ),
        ];
        for (config, field) in bad {
            let error = config.validate().unwrap_err();
            assert_eq!(error.field(), Some(field), "{config:?}");
        }
    }
}
