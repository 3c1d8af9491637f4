//! The contract `KafkaAdmin`: administration of a cluster.

mod cluster;
mod config;
mod group;

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;

pub use self::cluster::{BrokerInfo, ClusterDescription, TopicListing};
pub use self::config::{ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ConfigSource, validate_changes};
pub use self::group::{GroupDescription, GroupKind, GroupListing, OffsetTarget};
use super::{PartitionOffset, TopicMetadata, TopicPartition};
use crate::capabilities::capabilities;
use crate::error::{NetworkError, Result};

capabilities! {
    /// What a [`KafkaAdmin`] supports. A call that needs a capability which is not declared fails with
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming it, and has no effect.
    pub struct KafkaAdminCapabilities {
        /// [`list_topics`](super::KafkaAdmin::list_topics) and [`describe_topics`](super::KafkaAdmin::describe_topics).
        topics,
        /// [`create_partitions`](super::KafkaAdmin::create_partitions).
        partitions,
        /// [`describe_config`](super::KafkaAdmin::describe_config) and [`alter_config`](super::KafkaAdmin::alter_config).
        configs,
        /// [`delete_records`](super::KafkaAdmin::delete_records).
        delete_records,
        /// [`list_groups`](super::KafkaAdmin::list_groups), [`describe_group`](super::KafkaAdmin::describe_group) and
        /// [`delete_group`](super::KafkaAdmin::delete_group).
        groups,
        /// [`reset_group_offsets`](super::KafkaAdmin::reset_group_offsets).
        group_offsets,
        /// [`describe_cluster`](super::KafkaAdmin::describe_cluster).
        cluster,
    }
}

/// Administration of a Kafka cluster: topics, settings, records, groups and brokers.
///
/// Topics are created and deleted with [`KafkaClient`](super::KafkaClient), which also has the committed offsets and the lag of
/// a group ([`consumer_group_info`](super::KafkaClient::consumer_group_info)).
///
/// # Behaviour of every implementation
///
/// * Bad arguments fail with [`InvalidInput`](crate::ErrorKind::InvalidInput), which names the field. If a broker has refused
///   them, its reason is the message.
/// * A change that fails with `InvalidInput`, `NotFound` or `Conflict` has no effect.
/// * Other errors of every operation: connection errors, [`Timeout`](crate::ErrorKind::Timeout),
///   [`PermissionDenied`](crate::ErrorKind::PermissionDenied) if the cluster does not allow it, and
///   [`Unsupported`](crate::ErrorKind::Unsupported) without the capability.
///
/// # Cancel safety
/// Dropping a call that only reads has no effect. Dropping one that changes something does not cancel the request: the change
/// may take effect or not.
///
/// ```
/// use networking_spi::kafka::{KafkaAdmin, OffsetTarget};
///
/// /// Lets a group read all topics again that it has read. It must have no members.
/// async fn replay(admin: &dyn KafkaAdmin, group: &str, topics: &[String]) -> networking_spi::Result<()> {
///     let all = admin.describe_topics().await?;
///     let chosen = all.iter().filter(|topic| topics.contains(&topic.name));
///     let partitions = chosen.flat_map(|topic| topic.topic_partitions()).collect();
///     admin.reset_group_offsets(group, partitions, OffsetTarget::Earliest).await?;
///     Ok(())
/// }
/// ```
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait KafkaAdmin: fmt::Debug + Send + Sync + 'static {
    /// The topics of the cluster, ordered by name, with the internal ones.
    ///
    /// # Errors
    /// See the [trait](Self).
    async fn list_topics(&self) -> Result<Vec<TopicListing>>;

    /// The metadata of all topics, ordered by name, with the internal ones. It costs requests about every partition;
    /// [`list_topics`](Self::list_topics) does not.
    ///
    /// # Errors
    /// See the [trait](Self).
    async fn describe_topics(&self) -> Result<Vec<TopicMetadata>>;

    /// Increases the number of partitions of a topic to `total`, and waits until the added ones can be written to. Records
    /// with a key may go to another partition afterwards.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a topic that does not exist,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `topic`, or `total` if it is not more than the topic has, or more
    /// than 10 000.
    async fn create_partitions(&self, topic: &str, total: i32) -> Result<()>;

    /// All settings of a topic or a broker, ordered by name.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a topic or a broker that does not exist,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `resource`.
    async fn describe_config(&self, resource: ConfigResource) -> Result<Vec<ConfigEntry>>;

    /// Changes settings of a topic or a broker, and leaves all others as they are (KIP-339). All changes take effect, or none.
    /// A broker may need a moment to obey them.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a topic or a broker that does not exist,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `resource`, `changes`, or `changes.<setting>` for a setting that
    /// does not exist, cannot be changed or does not accept the value.
    async fn alter_config(&self, resource: ConfigResource, changes: Vec<ConfigChange>) -> Result<()>;

    /// Deletes the records of a partition whose offset is smaller than `before`, and returns the first offset that can be read
    /// afterwards. If it is `before` or larger already, nothing changes.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a partition that does not exist,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `before` if it is negative or larger than the offset of the next
    /// record, [`Rejected`](crate::ErrorKind::Rejected) for a topic whose `cleanup.policy` does not contain `delete`.
    async fn delete_records(&self, partition: TopicPartition, before: i64) -> Result<i64>;

    /// The consumer groups of the cluster, ordered by id.
    ///
    /// # Errors
    /// See the [trait](Self). If a broker does not answer, the call fails: a list without its groups would look complete.
    async fn list_groups(&self) -> Result<Vec<GroupListing>>;

    /// The state, protocol and members of a group.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a group that does not exist,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `group`.
    async fn describe_group(&self, group: &str) -> Result<GroupDescription>;

    /// Deletes a group without members, with its committed offsets.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a group that does not exist, [`Conflict`](crate::ErrorKind::Conflict) while
    /// the group has members, [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `group`.
    async fn delete_group(&self, group: &str) -> Result<()>;

    /// Sets the committed offsets of a group in these partitions, and returns them in the same order. Offsets in other
    /// partitions stay as they are. If the group does not exist, it is created with these offsets.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a partition that does not exist,
    /// [`Conflict`](crate::ErrorKind::Conflict) while the group has members,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `group`, `partitions` if the list is empty or contains a partition
    /// twice, or `target` for an offset that a partition does not have.
    async fn reset_group_offsets(
        &self,
        group: &str,
        partitions: Vec<TopicPartition>,
        target: OffsetTarget,
    ) -> Result<Vec<PartitionOffset>>;

    /// The id of the cluster, its controller, and its brokers.
    ///
    /// # Errors
    /// See the [trait](Self).
    async fn describe_cluster(&self) -> Result<ClusterDescription>;

    /// What this implementation supports.
    fn admin_capabilities(&self) -> KafkaAdminCapabilities;
}

/// For implementers: checks the group and the partitions of [`KafkaAdmin::reset_group_offsets`] as far as that needs no broker.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `group`, `partitions` or `target`.
pub fn validate_reset(group: &str, partitions: &[TopicPartition], target: OffsetTarget) -> Result<()> {
    crate::validate::name(group, 255, "group")?;
    crate::validate::ensure(!partitions.is_empty(), "partitions", "must not be empty")?;
    let mut seen = std::collections::HashSet::new();
    for partition in partitions {
        super::validate_topic_name(&partition.topic, "partitions")?;
        if !seen.insert(partition) {
            return Err(NetworkError::invalid_input(
                "partitions",
                format!("{partition} is listed twice"),
            ));
        }
    }
    let negative = matches!(target, OffsetTarget::Offset(offset) if offset < 0);
    crate::validate::ensure(!negative, "target", "an offset must not be negative")
}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<C: KafkaAdmin + ?Sized> KafkaAdmin for $pointer<C> {
            async fn list_topics(&self) -> Result<Vec<TopicListing>> {
                (**self).list_topics().await
            }

            async fn describe_topics(&self) -> Result<Vec<TopicMetadata>> {
                (**self).describe_topics().await
            }

            async fn create_partitions(&self, topic: &str, total: i32) -> Result<()> {
                (**self).create_partitions(topic, total).await
            }

            async fn describe_config(&self, resource: ConfigResource) -> Result<Vec<ConfigEntry>> {
                (**self).describe_config(resource).await
            }

            async fn alter_config(&self, resource: ConfigResource, changes: Vec<ConfigChange>) -> Result<()> {
                (**self).alter_config(resource, changes).await
            }

            async fn delete_records(&self, partition: TopicPartition, before: i64) -> Result<i64> {
                (**self).delete_records(partition, before).await
            }

            async fn list_groups(&self) -> Result<Vec<GroupListing>> {
                (**self).list_groups().await
            }

            async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
                (**self).describe_group(group).await
            }

            async fn delete_group(&self, group: &str) -> Result<()> {
                (**self).delete_group(group).await
            }

            async fn reset_group_offsets(
                &self,
                group: &str,
                partitions: Vec<TopicPartition>,
                target: OffsetTarget,
            ) -> Result<Vec<PartitionOffset>> {
                (**self).reset_group_offsets(group, partitions, target).await
            }

            async fn describe_cluster(&self) -> Result<ClusterDescription> {
                (**self).describe_cluster().await
            }

            fn admin_capabilities(&self) -> KafkaAdminCapabilities {
                (**self).admin_capabilities()
            }
        }
    )+};
}

delegate!(Arc, Box);
