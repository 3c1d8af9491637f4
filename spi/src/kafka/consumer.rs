//! Consumers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{KafkaMessage, TopicPartition};
use crate::error::Result;
use crate::names::named_enum;
use crate::validate::{self, Validate};

named_enum! {
    "offset_reset",
    /// Where a group starts to read a partition for which it has no committed offset.
    ///
    /// Exhaustive on purpose: Kafka defines these three cases.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub enum OffsetReset {
        /// At the first retained record.
        Earliest => "earliest",
        /// At the end: it reads only new records.
        #[default]
        Latest => "latest",
        /// Nowhere: consuming fails with [`NotFound`](crate::ErrorKind::NotFound).
        Fail => "fail",
    }
}

named_enum! {
    "isolation_level",
    /// Whether records of open or aborted transactions are read (KIP-98).
    ///
    /// Exhaustive on purpose: Kafka's protocol has these two levels.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub enum IsolationLevel {
        /// All records are read.
        ReadUncommitted => "read_uncommitted",
        /// Only records of committed transactions, and records without a transaction, are read. Requires the capability
        /// `read_committed`.
        #[default]
        ReadCommitted => "read_committed",
    }
}

/// The configuration of a consumer.
///
/// A consumer always belongs to a group. Only
/// [`KafkaClient::commit_offsets`](super::KafkaClient::commit_offsets) commits offsets; there is no automatic commit. An
/// application that commits messages after it has processed them gets at-least-once processing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConsumerConfig {
    /// The id of the group. Without the capability `groups`, only a name.
    pub group: String,
    /// The topics, at least one.
    pub topics: Vec<String>,
    /// The client id in the broker's logs and metrics. `None`: the default of the backend. Requires the capability
    /// `client_ids`.
    #[serde(default)]
    pub client_id: Option<String>,
    /// The instance id of a static member: a restart within the session timeout causes no rebalance (KIP-345). Requires the
    /// capability `static_membership`.
    #[serde(default)]
    pub group_instance_id: Option<String>,
    /// Where to start if there is no committed offset.
    #[serde(default)]
    pub offset_reset: OffsetReset,
    /// Whether records of open and aborted transactions are read. `None`: they are not, if the client has the capability
    /// `read_committed`; otherwise they are.
    #[serde(default)]
    pub isolation_level: Option<IsolationLevel>,
    /// A member that sends no heartbeat for this time is removed from the group. Requires the capability `session_timeouts`,
    /// unless it is the default.
    #[serde(default = "default_session_timeout", with = "humantime_serde")]
    pub session_timeout: Duration,
    /// A member that does not call [`consume_messages`](super::KafkaClient::consume_messages) for this time is removed from
    /// the group. Requires the capability `groups`, unless it is the default.
    #[serde(default = "default_max_poll_interval", with = "humantime_serde")]
    pub max_poll_interval: Duration,
    /// Settings under the backend's own names. They override the fields above. A name that the backend does not know fails
    /// with [`InvalidInput`](crate::ErrorKind::InvalidInput) naming it.
    #[serde(default)]
    pub backend: BTreeMap<String, String>,
}

const fn default_session_timeout() -> Duration {
    Duration::from_secs(45)
}

const fn default_max_poll_interval() -> Duration {
    Duration::from_secs(300)
}

impl ConsumerConfig {
    /// A consumer of `topics` in `group`.
    pub fn new<T: Into<String>>(group: impl Into<String>, topics: impl IntoIterator<Item = T>) -> Self {
        Self {
            group: group.into(),
            topics: topics.into_iter().map(Into::into).collect(),
            client_id: None,
            group_instance_id: None,
            offset_reset: OffsetReset::default(),
            isolation_level: None,
            session_timeout: default_session_timeout(),
            max_poll_interval: default_max_poll_interval(),
            backend: BTreeMap::new(),
        }
    }

    /// Sets where to start if there is no committed offset.
    pub fn with_offset_reset(mut self, reset: OffsetReset) -> Self {
        self.offset_reset = reset;
        self
    }

    /// Sets the client id.
    pub fn with_client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Sets the instance id, which makes the consumer a static member.
    pub fn with_group_instance_id(mut self, id: impl Into<String>) -> Self {
        self.group_instance_id = Some(id.into());
        self
    }

    /// Sets whether records of open and aborted transactions are read.
    pub fn with_isolation_level(mut self, level: IsolationLevel) -> Self {
        self.isolation_level = Some(level);
        self
    }

    /// Sets the session timeout.
    pub fn with_session_timeout(mut self, timeout: Duration) -> Self {
        self.session_timeout = timeout;
        self
    }

    /// Sets the longest time between two calls of
    /// [`consume_messages`](super::KafkaClient::consume_messages).
    pub fn with_max_poll_interval(mut self, interval: Duration) -> Self {
        self.max_poll_interval = interval;
        self
    }

    /// Sets a setting under the backend's own name.
    pub fn with_backend_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.backend.insert(name.into(), value.into());
        self
    }
}

impl Validate for ConsumerConfig {
    fn validate(&self) -> Result<()> {
        validate::name(&self.group, 255, "group")?;
        validate::ensure(!self.topics.is_empty(), "topics", "must not be empty")?;
        for topic in &self.topics {
            super::validate_topic_name(topic, "topics")?;
        }
        if let Some(id) = &self.client_id {
            validate::name(id, 255, "client_id")?;
        }
        if let Some(id) = &self.group_instance_id {
            validate::name(id, 249, "group_instance_id")?;
        }
        validate::positive(self.session_timeout, "session_timeout")?;
        validate::ensure(
            self.max_poll_interval >= self.session_timeout,
            "max_poll_interval",
            "must not be shorter than session_timeout",
        )
    }
}

/// How many messages one call of [`consume_messages`](super::KafkaClient::consume_messages) returns, and how long it waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ConsumeOptions {
    /// The maximum number of messages, at least 1.
    pub max_messages: usize,
    /// How long to wait at most for the first message. With zero, only messages that are already available are returned.
    #[serde(with = "humantime_serde")]
    pub max_wait: Duration,
}

impl Default for ConsumeOptions {
    /// 500 messages, 1 s.
    fn default() -> Self {
        Self {
            max_messages: 500,
            max_wait: Duration::from_secs(1),
        }
    }
}

impl ConsumeOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the maximum number of messages.
    pub fn with_max_messages(mut self, messages: usize) -> Self {
        self.max_messages = messages;
        self
    }

    /// Sets how long to wait at most for the first message.
    pub fn with_max_wait(mut self, wait: Duration) -> Self {
        self.max_wait = wait;
        self
    }
}

impl Validate for ConsumeOptions {
    fn validate(&self) -> Result<()> {
        validate::ensure(self.max_messages > 0, "max_messages", "must be at least 1")
    }
}

/// An offset of a partition, which is the next one to read.
///
/// Exhaustive on purpose: it is a pair of values, which backends destructure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The next offset to read.
    pub offset: i64,
}

impl PartitionOffset {
    /// An offset of a partition.
    pub fn new(partition: TopicPartition, offset: i64) -> Self {
        Self { partition, offset }
    }
}

/// What to commit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitOffsets {
    /// All messages that the consumer has returned.
    Consumed,
    /// These offsets, each the next one to read.
    Exact(Vec<PartitionOffset>),
}

impl CommitOffsets {
    /// The highest [`next_offset`](KafkaMessage::next_offset) of these messages in each partition.
    ///
    /// ```
    /// use networking_spi::kafka::{CommitOffsets, KafkaMessage, PartitionOffset, TopicPartition};
    /// let messages = [KafkaMessage::new("t", 0, 4), KafkaMessage::new("t", 0, 5)];
    /// let expected = PartitionOffset::new(TopicPartition::new("t", 0), 6);
    /// assert_eq!(CommitOffsets::of(&messages), CommitOffsets::Exact(vec![expected]));
    /// ```
    pub fn of<'m>(messages: impl IntoIterator<Item = &'m KafkaMessage>) -> Self {
        let mut highest = BTreeMap::<TopicPartition, i64>::new();
        for message in messages {
            let next = highest.entry(message.topic_partition()).or_default();
            *next = (*next).max(message.next_offset());
        }
        Self::Exact(
            highest
                .into_iter()
                .map(|(partition, offset)| PartitionOffset::new(partition, offset))
                .collect(),
        )
    }
}
