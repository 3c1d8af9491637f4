//! Topics, partitions and groups.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::TopicName;
use crate::error::Result;
use crate::names::named_enum;
use crate::validate::{self, Validate};

/// Checks a topic name by Kafka's rules: 1 to 249 characters of `a-z A-Z 0-9 . _ -`, and neither `.` nor `..`.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `field`.
pub fn validate_topic_name(name: &str, field: &str) -> Result<()> {
    validate::ensure(!name.is_empty(), field, "must not be empty")?;
    validate::ensure(name.len() <= 249, field, "must not be longer than 249 characters")?;
    validate::ensure(name != "." && name != "..", field, "must not be . or ..")?;
    validate::ensure(
        name.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-')),
        field,
        "may only contain letters, digits, '.', '_' and '-'",
    )
}

/// A partition of a topic.
///
/// Exhaustive on purpose: Kafka identifies a partition by these two values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic.
    pub topic: TopicName,
    /// The number of the partition.
    pub partition: i32,
}

impl TopicPartition {
    /// A partition of a topic.
    pub fn new(topic: impl Into<TopicName>, partition: i32) -> Self {
        Self {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}[{}]", self.topic, self.partition)
    }
}

/// A topic to be created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct NewTopic {
    /// The name.
    pub name: String,
    /// The number of partitions, 1 ..= 10 000.
    pub partitions: i32,
    /// The number of replicas of each partition. `None`: the broker's default.
    #[serde(default)]
    pub replication_factor: Option<i16>,
    /// Topic configuration (`retention.ms`, `cleanup.policy`, ...).
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

impl NewTopic {
    /// A topic with this number of partitions, and the broker's defaults for everything else.
    pub fn new(name: impl Into<String>, partitions: i32) -> Self {
        Self {
            name: name.into(),
            partitions,
            replication_factor: None,
            config: BTreeMap::new(),
        }
    }

    /// Sets the replication factor.
    pub fn with_replication_factor(mut self, factor: i16) -> Self {
        self.replication_factor = Some(factor);
        self
    }

    /// Sets a value of the topic configuration.
    pub fn with_config(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.config.insert(name.into(), value.into());
        self
    }
}

impl Validate for NewTopic {
    fn validate(&self) -> Result<()> {
        validate_topic_name(&self.name, "name")?;
        validate::ensure(
            (1..=10_000).contains(&self.partitions),
            "partitions",
            "must be between 1 and 10000",
        )?;
        validate::ensure(
            self.replication_factor.is_none_or(|factor| factor > 0),
            "replication_factor",
            "must be at least 1",
        )
    }
}

/// The metadata of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicMetadata {
    /// The name.
    pub name: String,
    /// The partitions, ordered by number.
    pub partitions: Vec<PartitionMetadata>,
}

impl TopicMetadata {
    /// The metadata of a topic.
    pub fn new(name: impl Into<String>, partitions: Vec<PartitionMetadata>) -> Self {
        Self {
            name: name.into(),
            partitions,
        }
    }
}

/// The metadata of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartitionMetadata {
    /// The number of the partition.
    pub partition: i32,
    /// The id of the broker that leads the partition; `None` while there is no leader, and without the capability `leaders`.
    pub leader: Option<i32>,
    /// The ids of the brokers with a replica; empty without the capability `leaders`.
    pub replicas: Vec<i32>,
    /// The ids of the brokers whose replica is in sync; empty without the capability `leaders`.
    pub in_sync_replicas: Vec<i32>,
    /// The first offset that can be read; -1 while there is no leader.
    pub earliest_offset: i64,
    /// The offset of the next record that is written; -1 while there is no leader.
    pub latest_offset: i64,
}

impl PartitionMetadata {
    /// A partition whose only replica is on `broker`.
    pub fn new(partition: i32, broker: i32, earliest_offset: i64, latest_offset: i64) -> Self {
        Self {
            partition,
            leader: Some(broker),
            replicas: vec![broker],
            in_sync_replicas: vec![broker],
            earliest_offset,
            latest_offset,
        }
    }

    /// A partition of a client without the capability `leaders`.
    pub fn without_leader(partition: i32, earliest_offset: i64, latest_offset: i64) -> Self {
        Self {
            partition,
            leader: None,
            replicas: Vec::new(),
            in_sync_replicas: Vec::new(),
            earliest_offset,
            latest_offset,
        }
    }
}

named_enum! {
    "group_state",
    /// The state of a consumer group.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum GroupState {
        /// The group has no members. Its committed offsets are kept.
        #[default]
        Empty => "empty",
        /// Members are joining.
        PreparingRebalance => "preparing_rebalance",
        /// The new assignment is being distributed.
        CompletingRebalance => "completing_rebalance",
        /// The partitions are assigned to the members.
        Stable => "stable",
        /// The group is being removed.
        Dead => "dead",
        /// The broker reported a state that this version of the crate does not know.
        Unknown => "unknown",
    }
}

/// State, members and offsets of a consumer group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConsumerGroupInfo {
    /// The id of the group.
    pub group: String,
    /// The state.
    pub state: GroupState,
    /// The members.
    pub members: Vec<GroupMember>,
    /// The committed offset and the lag of each partition.
    pub offsets: Vec<GroupOffset>,
}

impl ConsumerGroupInfo {
    /// The information about a group.
    pub fn new(
        group: impl Into<String>,
        state: GroupState,
        members: Vec<GroupMember>,
        offsets: Vec<GroupOffset>,
    ) -> Self {
        Self {
            group: group.into(),
            state,
            members,
            offsets,
        }
    }

    /// The sum of all known lags, in records.
    pub fn total_lag(&self) -> i64 {
        self.offsets.iter().filter_map(|offset| offset.lag).sum()
    }
}

/// A member of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupMember {
    /// The member id, which the group coordinator assigned.
    pub member_id: String,
    /// Its `client.id`.
    pub client_id: String,
    /// The host from which it connects; empty if unknown.
    pub host: String,
    /// The partitions that are assigned to it.
    pub assignment: Vec<TopicPartition>,
}

impl GroupMember {
    /// A member.
    pub fn new(
        member_id: impl Into<String>,
        client_id: impl Into<String>,
        host: impl Into<String>,
        assignment: Vec<TopicPartition>,
    ) -> Self {
        Self {
            member_id: member_id.into(),
            client_id: client_id.into(),
            host: host.into(),
            assignment,
        }
    }
}

/// The committed offset and the lag of a group in a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupOffset {
    /// The partition.
    pub partition: TopicPartition,
    /// The committed offset, which is the next one to read; `None` if nothing was committed.
    pub committed: Option<i64>,
    /// The offset of the next record that is written.
    pub latest: i64,
    /// The number of records after the committed offset, never negative; `None` if nothing was committed.
    pub lag: Option<i64>,
}

impl GroupOffset {
    /// Computes the lag from the two offsets.
    pub fn new(partition: TopicPartition, committed: Option<i64>, latest: i64) -> Self {
        Self {
            partition,
            committed,
            latest,
            lag: committed.map(|offset| (latest - offset).max(0)),
        }
    }
}
