//! The client as an administrator.

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::error::{ResultExt, context};
use networking_spi::kafka::{
    ClusterDescription, ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, GroupDescription, GroupListing,
    GroupState, KafkaAdmin, KafkaAdminCapabilities, OffsetTarget, PartitionOffset, TopicListing, TopicMetadata,
    TopicPartition, validate_changes, validate_reset, validate_topic_name,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};
use rdkafka::Offset;
use rdkafka::consumer::Consumer as _;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::metadata::MetadataTopic;

use super::admin;
use super::client::RdKafkaClient;
use super::control::{BlockingCalls, Control};
use super::native::{self, Refusal, from_refusal, mentions};
use super::timestamp::to_query_millis;
use crate::partitions::not_within;

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaAdmin for RdKafkaClient {
    async fn list_topics(&self) -> Result<Vec<TopicListing>> {
        const OPERATION: &str = "kafka.list_topics";
        self.administering(OPERATION, "topics")
            .await?
            .retry(OPERATION, list_topics)
            .await
    }

    async fn describe_topics(&self) -> Result<Vec<TopicMetadata>> {
        const OPERATION: &str = "kafka.describe_topics";
        let control = self.administering(OPERATION, "topics").await?;
        let mut topics = control.retry(OPERATION, admin::describe_all).await?;
        for topic in &mut topics {
            self.hide_leaders(topic);
        }
        Ok(topics)
    }

    async fn create_partitions(&self, topic: &str, total: i32) -> Result<()> {
        const OPERATION: &str = "kafka.create_partitions";
        self.admin_capabilities().require(OPERATION, "partitions")?;
        validate_topic_name(topic, "topic").in_operation(OPERATION)?;
        validate::ensure((1..=10_000).contains(&total), "total", "must be between 1 and 10000")
            .in_operation(OPERATION)?;
        let control = self.administering(OPERATION, "partitions").await?;
        let name: Arc<str> = topic.into();
        let wanted = usize::try_from(total).unwrap_or_default();
        let create = move |calls: &BlockingCalls<'_>| {
            native::create_partitions(calls.consumer.client(), &name, wanted, calls.limit).map_err(|refusal| {
                let error = match refusal.code {
                    Code::InvalidPartitions => refused("total", OPERATION, refusal),
                    _ => from_refusal(OPERATION, refusal),
                };
                error.with_context(context::TOPIC, &*name)
            })
        };
        control.call(OPERATION, create).await?;
        self.wait_for_partitions(OPERATION, topic, wanted).await
    }

    async fn describe_config(&self, resource: ConfigResource) -> Result<Vec<ConfigEntry>> {
        const OPERATION: &str = "kafka.describe_config";
        self.admin_capabilities().require(OPERATION, "configs")?;
        resource.validate().in_operation(OPERATION)?;
        let control = self.administering(OPERATION, "configs").await?;
        control
            .call(OPERATION, move |calls| {
                require_broker(calls, &resource)?;
                settings(calls, &resource)
            })
            .await
    }

    async fn alter_config(&self, resource: ConfigResource, changes: Vec<ConfigChange>) -> Result<()> {
        const OPERATION: &str = "kafka.alter_config";
        self.admin_capabilities().require(OPERATION, "configs")?;
        resource.validate().in_operation(OPERATION)?;
        validate_changes(&changes).in_operation(OPERATION)?;
        let control = self.administering(OPERATION, "configs").await?;
        control
            .call(OPERATION, move |calls| {
                require_broker(calls, &resource)?;
                require_settings(calls, &resource, &changes)?;
                native::alter_config(calls.consumer.client(), &resource, &changes, calls.limit)
                    .map_err(|refusal| refused_changes(OPERATION, &changes, refusal))
            })
            .await
    }

    async fn delete_records(&self, partition: TopicPartition, before: i64) -> Result<i64> {
        const OPERATION: &str = "kafka.delete_records";
        self.admin_capabilities().require(OPERATION, "delete_records")?;
        validate_topic_name(&partition.topic, "partition").in_operation(OPERATION)?;
        validate::ensure(before >= 0, "before", "must not be negative").in_operation(OPERATION)?;
        let control = self.administering(OPERATION, "delete_records").await?;
        control
            .retry(OPERATION, move |calls| delete_records(calls, &partition, before))
            .await
    }

    async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        const OPERATION: &str = "kafka.list_groups";
        let control = self.administering(OPERATION, "groups").await?;
        let list = |calls: &BlockingCalls<'_>| {
            native::list_groups(calls.consumer.client(), calls.limit)
                .map_err(|refusal| from_refusal(OPERATION, refusal))
        };
        let mut groups = control.retry(OPERATION, list).await?;
        groups.sort_by(|left, right| left.group.cmp(&right.group));
        groups.dedup_by(|left, right| left.group == right.group);
        Ok(groups)
    }

    async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        const OPERATION: &str = "kafka.describe_group";
        self.admin_capabilities().require(OPERATION, "groups")?;
        validate::name(group, 255, "group").in_operation(OPERATION)?;
        let described = self.group(OPERATION, "groups", group).await?;
        described.ok_or_else(|| NetworkError::not_found(OPERATION, "group", group))
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        const OPERATION: &str = "kafka.delete_group";
        self.admin_capabilities().require(OPERATION, "groups")?;
        validate::name(group, 255, "group").in_operation(OPERATION)?;
        let control = self.administering(OPERATION, "groups").await?;
        let name = group.to_owned();
        let delete = move |calls: &BlockingCalls<'_>| {
            native::delete_group(calls.consumer.client(), &name, calls.limit)
                .map_err(|refusal| refused_group(OPERATION, &name, refusal))
        };
        control.retry(OPERATION, delete).await
    }

    async fn reset_group_offsets(
        &self,
        group: &str,
        partitions: Vec<TopicPartition>,
        target: OffsetTarget,
    ) -> Result<Vec<PartitionOffset>> {
        const OPERATION: &str = "kafka.reset_group_offsets";
        self.admin_capabilities().require(OPERATION, "group_offsets")?;
        validate_reset(group, &partitions, target).in_operation(OPERATION)?;
        let described = self.group(OPERATION, "group_offsets", group).await?;
        if described.is_some_and(|group| !group.members.is_empty() || group.state != GroupState::Empty) {
            return Err(has_members(OPERATION, group));
        }
        let control = self.administering(OPERATION, "group_offsets").await?;
        let offsets = control
            .retry(OPERATION, move |calls| target_offsets(calls, &partitions, target))
            .await?;
        let (name, new) = (group.to_owned(), offsets.clone());
        let alter = move |calls: &BlockingCalls<'_>| {
            native::alter_offsets(calls.consumer.client(), &name, &new, calls.limit)
                .map_err(|refusal| refused_group(OPERATION, &name, refusal))
        };
        control.retry(OPERATION, alter).await?;
        Ok(offsets)
    }

    async fn describe_cluster(&self) -> Result<ClusterDescription> {
        const OPERATION: &str = "kafka.describe_cluster";
        let control = self.administering(OPERATION, "cluster").await?;
        control.retry(OPERATION, cluster).await
    }

    fn admin_capabilities(&self) -> KafkaAdminCapabilities {
        self.administration()
    }
}

impl RdKafkaClient {
    /// The control connection, for an operation that needs a capability.
    async fn administering(&self, operation: &'static str, capability: &'static str) -> Result<&Arc<Control>> {
        self.admin_capabilities().require(operation, capability)?;
        self.control().await
    }

    /// The description of a group. `None` if it does not exist.
    async fn group(
        &self,
        operation: &'static str,
        capability: &'static str,
        group: &str,
    ) -> Result<Option<GroupDescription>> {
        let control = self.administering(operation, capability).await?;
        let name = group.to_owned();
        let describe = move |calls: &BlockingCalls<'_>| {
            native::describe_group(calls.consumer.client(), &name, calls.limit)
                .map_err(|refusal| from_refusal(operation, refusal))
        };
        control.retry(operation, describe).await
    }
}

fn list_topics(calls: &BlockingCalls<'_>) -> Result<Vec<TopicListing>> {
    let metadata = calls.metadata(None)?;
    let names: Vec<&str> = metadata.topics().iter().map(MetadataTopic::name).collect();
    let internal = native::internal_topics(calls.consumer.client(), &names, calls.limit)
        .map_err(|refusal| from_refusal(calls.operation, refusal))?;
    let listed = metadata.topics().iter().map(|topic| {
        let replicas = topic.partitions().first().map_or(0, |first| first.replicas().len());
        let (partitions, replicas) = (count(topic.partitions().len()), count(replicas));
        TopicListing::new(topic.name(), partitions, replicas)
            .with_internal(internal.iter().any(|name| name == topic.name()))
    });
    let mut listed: Vec<_> = listed.collect();
    listed.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(listed)
}

fn count(length: usize) -> i32 {
    i32::try_from(length).unwrap_or(i32::MAX)
}

fn cluster(calls: &BlockingCalls<'_>) -> Result<ClusterDescription> {
    native::describe_cluster(calls.consumer.client(), calls.limit)
        .map_err(|refusal| from_refusal(calls.operation, refusal))
}

/// Fails if a broker does not exist. librdkafka would wait for it until the timeout.
fn require_broker(calls: &BlockingCalls<'_>, resource: &ConfigResource) -> Result<()> {
    let ConfigResource::Broker(id) = resource else {
        return Ok(());
    };
    if cluster(calls)?.brokers.iter().any(|broker| broker.id == *id) {
        return Ok(());
    }
    Err(NetworkError::not_found(calls.operation, "broker", id))
}

/// All settings, ordered by name.
fn settings(calls: &BlockingCalls<'_>, resource: &ConfigResource) -> Result<Vec<ConfigEntry>> {
    let mut settings = native::describe_config(calls.consumer.client(), resource, calls.limit)
        .map_err(|refusal| from_refusal(calls.operation, refusal))?;
    settings.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(settings)
}

/// Fails if a change names a setting that a topic does not have: brokers accept its deletion. Brokers have settings that they
/// do not list, those of plugins and listeners.
fn require_settings(calls: &BlockingCalls<'_>, resource: &ConfigResource, changes: &[ConfigChange]) -> Result<()> {
    let is_set = |change: &ConfigChange| matches!(change.operation, ConfigOperation::Set(_));
    if matches!(resource, ConfigResource::Broker(_)) || changes.iter().all(is_set) {
        return Ok(());
    }
    let known = settings(calls, resource)?;
    match changes
        .iter()
        .find(|change| known.iter().all(|entry| entry.name != change.name))
    {
        Some(unknown) => {
            Err(NetworkError::invalid_input(unknown.field(), "is not a topic setting").with_operation(calls.operation))
        }
        None => Ok(()),
    }
}

/// The first (`Offset::Beginning`) or the next offset (`Offset::End`) of partitions, all of which must have a leader.
fn ends(calls: &BlockingCalls<'_>, partitions: &[TopicPartition], end: Offset) -> Result<Vec<i64>> {
    let offsets = calls.offsets(partitions, end)?.into_iter().zip(partitions);
    let known = offsets.map(|(offset, partition)| {
        offset.ok_or_else(|| {
            NetworkError::new(ErrorKind::Remote, calls.operation, "the partition has no leader")
                .with_retryability(Retryability::Now)
                .with_context(context::PARTITION, partition.to_string())
        })
    });
    known.collect()
}

fn delete_records(calls: &BlockingCalls<'_>, partition: &TopicPartition, before: i64) -> Result<i64> {
    let one = std::slice::from_ref(partition);
    calls.require_partitions(one)?;
    let end = ends(calls, one, Offset::End)?[0];
    if before > end {
        return Err(not_within("before", partition, 0, end).with_operation(calls.operation));
    }
    let wanted = PartitionOffset::new(partition.clone(), before);
    native::delete_records(calls.consumer.client(), &wanted, calls.limit).map_err(|refusal| {
        let error = match refusal.code {
            Code::OffsetOutOfRange => refused("before", calls.operation, refusal),
            _ => from_refusal(calls.operation, refusal),
        };
        error.with_context(context::PARTITION, partition.to_string())
    })
}

/// The offsets at which a group is to continue.
fn target_offsets(
    calls: &BlockingCalls<'_>,
    partitions: &[TopicPartition],
    target: OffsetTarget,
) -> Result<Vec<PartitionOffset>> {
    calls.require_partitions(partitions)?;
    let offsets = match target {
        OffsetTarget::Earliest => ends(calls, partitions, Offset::Beginning)?,
        OffsetTarget::Latest => ends(calls, partitions, Offset::End)?,
        OffsetTarget::Offset(offset) => {
            let first = ends(calls, partitions, Offset::Beginning)?;
            let last = ends(calls, partitions, Offset::End)?;
            for ((start, end), partition) in first.into_iter().zip(last).zip(partitions) {
                if !(start..=end).contains(&offset) {
                    return Err(not_within("target", partition, start, end).with_operation(calls.operation));
                }
            }
            vec![offset; partitions.len()]
        }
        OffsetTarget::Time(time) => {
            let found = calls.offsets(partitions, Offset::Offset(to_query_millis(time)))?;
            // A partition without a record of this time or a later one continues at its end.
            let last = ends(calls, partitions, Offset::End)?;
            found
                .into_iter()
                .zip(last)
                .map(|(found, end)| found.unwrap_or(end))
                .collect()
        }
        _ => return Err(NetworkError::unsupported(calls.operation, "group_offsets")),
    };
    let offsets = partitions.iter().cloned().zip(offsets);
    Ok(offsets
        .map(|(partition, offset)| PartitionOffset::new(partition, offset))
        .collect())
}

/// The error for a bad value, with the reason of the broker as its message.
fn refused(field: &str, operation: &'static str, refusal: Refusal) -> NetworkError {
    let reason = refusal.reason.filter(|reason| !reason.is_empty());
    let message = reason.unwrap_or_else(|| refusal.code.to_string());
    NetworkError::invalid_input(field, message).with_operation(operation)
}

/// The error for changes that a broker refused: names the setting that the reason is about.
fn refused_changes(operation: &'static str, changes: &[ConfigChange], refusal: Refusal) -> NetworkError {
    if !matches!(
        refusal.code,
        Code::InvalidConfig | Code::InvalidRequest | Code::InvalidArgument
    ) {
        return from_refusal(operation, refusal);
    }
    let reason = refusal.reason.as_deref().unwrap_or_default();
    let named = changes.iter().filter(|change| mentions(reason, &change.name));
    // The longest name, because some names are part of others.
    let named = named.max_by_key(|change| change.name.len());
    let only = (changes.len() == 1).then(|| &changes[0]);
    let field = named.or(only).map_or_else(|| "changes".to_owned(), ConfigChange::field);
    refused(&field, operation, refusal)
}

/// The error for a change of a group that a broker refused.
fn refused_group(operation: &'static str, group: &str, refusal: Refusal) -> NetworkError {
    match refusal.code {
        // The coordinator accepts offsets of nobody only while there are no members.
        Code::NonEmptyGroup | Code::UnknownMemberId | Code::RebalanceInProgress | Code::IllegalGeneration => {
            has_members(operation, group)
        }
        _ => from_refusal(operation, refusal).with_context(context::GROUP, group),
    }
}

fn has_members(operation: &'static str, group: &str) -> NetworkError {
    NetworkError::new(ErrorKind::Conflict, operation, "the group has members")
        .with_context(context::GROUP, group)
        .with_retryability(Retryability::Never)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(code: Code, reason: &str) -> Refusal {
        Refusal {
            code,
            reason: Some(reason.to_owned()),
        }
    }

    #[test]
    fn a_refused_change_is_named_with_the_reason() {
        let changes = [
            ConfigChange::set("retention.ms", "-2"),
            ConfigChange::delete("local.retention.ms"),
        ];
        for (code, reason, field) in [
            (
                Code::InvalidConfig,
                "Invalid value -2 for configuration retention.ms",
                "changes.retention.ms",
            ),
            (
                Code::InvalidRequest,
                "Cannot update local.retention.ms",
                "changes.local.retention.ms",
            ),
            (Code::InvalidConfig, "Something else", "changes"),
        ] {
            let error = refused_changes("kafka.alter_config", &changes, refusal(code, reason));
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
            assert_eq!(error.message(), reason);
        }
        let denied = refused_changes(
            "kafka.alter_config",
            &changes,
            refusal(Code::ClusterAuthorizationFailed, "no"),
        );
        assert_eq!(denied.kind(), ErrorKind::PermissionDenied);
        assert_eq!(denied.get(context::REASON), Some("no"));
    }

    #[test]
    fn a_group_with_members_is_not_retried() {
        for code in [Code::NonEmptyGroup, Code::UnknownMemberId, Code::RebalanceInProgress] {
            let error = refused_group("kafka.delete_group", "g", refusal(code, ""));
            assert_eq!(error.kind(), ErrorKind::Conflict);
            assert!(!error.retryability().is_retryable());
        }
    }
}
