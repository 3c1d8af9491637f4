//! The contract `KafkaReading`: where and what a consumer reads.

mod config;
mod events;

use std::fmt;
use std::sync::Arc;
use std::time::SystemTime;

use async_trait::async_trait;

pub use self::config::{AssignmentStrategy, GroupProtocol, ReaderConfig, Subscription};
pub use self::events::{RebalanceEvent, RebalanceEvents, RebalanceKind};
use super::{ConsumerId, PartitionOffset, TopicPartition};
use crate::capabilities::capabilities;
use crate::error::Result;

capabilities! {
    /// What a [`KafkaReading`] supports.
    pub struct KafkaReadingCapabilities {
        /// [`Subscription::Pattern`].
        patterns: bool,
        /// [`Subscription::Partitions`].
        partitions: bool,
        /// [`KafkaReading::seek`].
        seek: bool,
        /// [`OffsetSpec::Time`].
        times: bool,
        /// [`KafkaReading::pause`] and [`KafkaReading::resume`].
        pause: bool,
        /// [`KafkaReading::list_offsets`].
        list_offsets: bool,
        /// [`KafkaReading::take_rebalance_events`].
        rebalance_events: bool,
        /// The assignment strategies that can be chosen.
        assignment_strategies: Vec<AssignmentStrategy>,
        /// The group protocols that can be chosen.
        group_protocols: Vec<GroupProtocol>,
    }
}

impl KafkaReadingCapabilities {
    /// Everything, with every strategy and protocol.
    pub fn all() -> Self {
        Self {
            patterns: true,
            partitions: true,
            seek: true,
            times: true,
            pause: true,
            list_offsets: true,
            rebalance_events: true,
            assignment_strategies: AssignmentStrategy::ALL.to_vec(),
            group_protocols: GroupProtocol::ALL.to_vec(),
        }
    }

    /// For implementers: checks that a configuration needs no capability that is not declared. The fields of
    /// [`ReaderConfig::consumer`] are those of [`KafkaCapabilities`](super::KafkaCapabilities).
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming the capability.
    pub fn check_reader(&self, operation: &'static str, config: &ReaderConfig) -> Result<()> {
        match &config.subscription {
            Subscription::Topics => {}
            Subscription::Pattern(_) => self.require(operation, "patterns")?,
            Subscription::Partitions(_) => self.require(operation, "partitions")?,
        }
        let unsupported = |name| Err(crate::NetworkError::unsupported(operation, name));
        if let Some(strategy) = &config.assignment_strategy
            && !self.assignment_strategies.contains(strategy)
        {
            return unsupported("assignment_strategies");
        }
        match &config.group_protocol {
            Some(protocol) if !self.group_protocols.contains(protocol) => unsupported("group_protocols"),
            _ => Ok(()),
        }
    }

    /// For implementers: checks that a target of [`KafkaReading::seek`] needs no capability that is not declared.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming the capability,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field `offset` for a negative offset.
    pub fn check_seek(&self, operation: &'static str, target: SeekTarget) -> Result<()> {
        self.require(operation, "seek")?;
        match target {
            SeekTarget::Offset(offset) => crate::validate::ensure(offset >= 0, "offset", "must not be negative"),
            SeekTarget::At(OffsetSpec::Time(_)) => self.require(operation, "times"),
            SeekTarget::At(_) => Ok(()),
        }
    }
}

/// A place in a partition that the cluster resolves to an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OffsetSpec {
    /// The first retained record.
    Beginning,
    /// After the last record.
    End,
    /// The first record whose timestamp is this time or later, in whole milliseconds. Requires the capability `times`.
    Time(SystemTime),
}

/// Where a consumer continues after [`KafkaReading::seek`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SeekTarget {
    /// At this offset. If it is outside of the partition, the consumer's [`offset_reset`](super::ConsumerConfig::offset_reset)
    /// decides when it reads.
    Offset(i64),
    /// At this place. A time after the last record is the end.
    At(OffsetSpec),
}

/// Where and what a consumer reads: by pattern, without a group protocol, from another offset, with pauses.
///
/// A client that has it implements it beside [`KafkaClient`](super::KafkaClient), with the same ids of consumers: every consumer
/// of the client can be moved and paused, and the client consumes from, commits for and closes the consumers that
/// [`create_reader`](Self::create_reader) creates.
///
/// # Behavior of every implementation
///
/// * Partitions that are named in a call and are not assigned to the consumer fail the call with
///   [`Conflict`](crate::ErrorKind::Conflict) before it has an effect. They are assigned during
///   [`consume_messages`](super::KafkaClient::consume_messages), except for those of [`Subscription::Partitions`], which are
///   assigned from the start.
/// * An operation with the id of a closed consumer, or with an id of another client, fails with
///   [`NotFound`](crate::ErrorKind::NotFound).
/// * What the capabilities do not declare fails with [`Unsupported`](crate::ErrorKind::Unsupported).
/// * Operations may run while another task consumes. Messages that the client has fetched and not returned are dropped by a seek
///   and kept by a pause.
///
/// Cancel safety: dropping a call may leave its effect done or not done, for each partition.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait KafkaReading: fmt::Debug + Send + Sync + 'static {
    /// Creates a consumer. [`KafkaClient`](super::KafkaClient) consumes from it, and closes it.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field, `pattern` for a regular expression that is not valid,
    /// [`NotFound`](crate::ErrorKind::NotFound) for a topic or partition that does not exist,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) for a field that needs a capability that is not declared, and connection
    /// errors.
    async fn create_reader(&self, config: ReaderConfig) -> Result<ConsumerId>;

    /// Moves a consumer: the next message of each of these partitions is the one at `target`. All of them get another epoch in
    /// the [assignment](super::ConsumerAssignment), so that a caller that processes messages later knows which ones it had
    /// fetched before. Commits nothing, and changes no pause.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a consumer that does not exist,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field `offset` for a negative offset,
    /// [`Conflict`](crate::ErrorKind::Conflict) for a partition that is not assigned to the consumer,
    /// [`Timeout`](crate::ErrorKind::Timeout) if the consumer does not begin to read in time, and connection errors.
    async fn seek(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>, target: SeekTarget) -> Result<()>;

    /// Returns no more messages of these partitions until they are resumed. Pausing a paused partition changes nothing. A
    /// partition that is revoked or lost and assigned again is not paused.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a consumer that does not exist,
    /// [`Conflict`](crate::ErrorKind::Conflict) for a partition that is not assigned to the consumer.
    async fn pause(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<()>;

    /// Continues after the last message that was returned. Resuming a partition that is not paused changes nothing.
    ///
    /// # Errors
    /// Same as [`pause`](Self::pause).
    async fn resume(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<()>;

    /// The paused partitions of a consumer, in order.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a consumer that does not exist.
    async fn paused(&self, consumer: &ConsumerId) -> Result<Vec<TopicPartition>>;

    /// The next offset to read in each assigned partition, in order, as far as it is known: after the first message that was
    /// returned, and after a seek. Does not ask the cluster.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a consumer that does not exist.
    async fn positions(&self, consumer: &ConsumerId) -> Result<Vec<PartitionOffset>>;

    /// The offset at a place in each of these partitions, in the order of the partitions. `None`: the partition has no record
    /// at or after the [time](OffsetSpec::Time).
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a topic or partition that does not exist,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field, and connection errors.
    async fn list_offsets(&self, partitions: Vec<TopicPartition>, spec: OffsetSpec) -> Result<Vec<Option<i64>>>;

    /// The rebalances since the last call. They happen only during [`consume_messages`](super::KafkaClient::consume_messages),
    /// and when a consumer is created. A seek is none.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a consumer that does not exist.
    async fn take_rebalance_events(&self, consumer: &ConsumerId) -> Result<RebalanceEvents>;

    /// What this client supports.
    fn reading_capabilities(&self) -> KafkaReadingCapabilities;
}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<C: KafkaReading + ?Sized> KafkaReading for $pointer<C> {
            async fn create_reader(&self, config: ReaderConfig) -> Result<ConsumerId> {
                (**self).create_reader(config).await
            }

            async fn seek(
                &self,
                consumer: &ConsumerId,
                partitions: Vec<TopicPartition>,
                target: SeekTarget,
            ) -> Result<()> {
                (**self).seek(consumer, partitions, target).await
            }

            async fn pause(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<()> {
                (**self).pause(consumer, partitions).await
            }

            async fn resume(&self, consumer: &ConsumerId, partitions: Vec<TopicPartition>) -> Result<()> {
                (**self).resume(consumer, partitions).await
            }

            async fn paused(&self, consumer: &ConsumerId) -> Result<Vec<TopicPartition>> {
                (**self).paused(consumer).await
            }

            async fn positions(&self, consumer: &ConsumerId) -> Result<Vec<PartitionOffset>> {
                (**self).positions(consumer).await
            }

            async fn list_offsets(&self, partitions: Vec<TopicPartition>, spec: OffsetSpec) -> Result<Vec<Option<i64>>> {
                (**self).list_offsets(partitions, spec).await
            }

            async fn take_rebalance_events(&self, consumer: &ConsumerId) -> Result<RebalanceEvents> {
                (**self).take_rebalance_events(consumer).await
            }

            fn reading_capabilities(&self) -> KafkaReadingCapabilities {
                (**self).reading_capabilities()
            }
        }
    )+};
}

delegate!(Arc, Box);
