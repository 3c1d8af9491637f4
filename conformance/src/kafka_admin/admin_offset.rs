//! Resetting the offsets of groups.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use networking_spi::ErrorKind;
use networking_spi::kafka::{OffsetTarget, PartitionOffset, TopicPartition};

use super::KafkaAdminHarness;
use super::admin_group::{group_of_none, group_of_one};
use crate::kafka::stage::{Stage, numbers, values};
use crate::kit::{Applies, CaseResult, Failure};
use crate::{check, check_eq, check_error};

pub(super) fn resets(harness: &dyn KafkaAdminHarness) -> Applies {
    Applies::capability(harness.admin_capabilities().group_offsets, "group_offsets")
        .and(Applies::capability(harness.capabilities().group_info, "group_info"))
}

pub(super) fn resets_to_times(harness: &dyn KafkaAdminHarness) -> Applies {
    resets(harness).and(Applies::capability(harness.capabilities().timestamps, "timestamps"))
}

fn first(stage: &Stage) -> TopicPartition {
    TopicPartition::new(stage.topic.as_str(), 0)
}

/// The committed offset of partition 0.
async fn committed(stage: &Stage) -> Result<Option<i64>, Failure> {
    let info = stage.client.consumer_group_info(&stage.group).await?;
    let offsets: BTreeMap<_, _> = info
        .offsets
        .into_iter()
        .map(|offset| (offset.partition, offset.committed))
        .collect();
    Ok(offsets.get(&first(stage)).copied().flatten())
}

/// Resets partition 0 and checks what is reported and what is committed.
async fn reset(harness: &dyn KafkaAdminHarness, stage: &Stage, target: OffsetTarget, expected: i64) -> CaseResult {
    let admin = harness.admin().await?;
    let reported = admin
        .reset_group_offsets(&stage.group, vec![first(stage)], target)
        .await?;
    check_eq!(
        reported,
        [PartitionOffset::new(first(stage), expected)],
        "the offsets that a reset to {target:?} reports"
    );
    check_eq!(
        committed(stage).await?,
        Some(expected),
        "the committed offset after a reset to {target:?}"
    );
    Ok(())
}

pub(super) async fn offsets_are_reset_to_both_ends(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let stage = group_of_none(&harness).await?;
    reset(&*harness, &stage, OffsetTarget::Latest, 5).await?;
    reset(&*harness, &stage, OffsetTarget::Earliest, 0).await?;
    let consumer = stage.consumer().await?;
    let messages = stage.read(&consumer, 5).await?;
    check_eq!(
        values(&messages),
        numbers(0..5),
        "messages after a reset to the first one"
    );
    Ok(())
}

pub(super) async fn offsets_are_reset_to_an_offset(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let stage = group_of_none(&harness).await?;
    for offset in [1, 5, 0, 4] {
        reset(&*harness, &stage, OffsetTarget::Offset(offset), offset).await?;
    }
    let consumer = stage.consumer().await?;
    let messages = stage.read(&consumer, 1).await?;
    check_eq!(values(&messages), numbers(4..5), "messages after a reset to offset 4");
    // A group that does not exist is created.
    let mut other = Stage::new(harness.clone(), 1).await?;
    other.write_numbers(0..3).await?;
    other.group = harness.unique("new-group");
    reset(&*harness, &other, OffsetTarget::Offset(2), 2).await
}

pub(super) async fn offsets_are_reset_to_a_time(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let stage = Stage::new(harness.clone(), 1).await?;
    let base = stage.write(stage.record().with_partition(0).with_value("now")).await?;
    let base = base.timestamp.unwrap_or(UNIX_EPOCH);
    // Before 2 records, between them, and after both.
    let (early, late) = (base - Duration::from_secs(3000), base - Duration::from_secs(1000));
    let stage = Stage::new(harness.clone(), 1).await?;
    for time in [early, late] {
        let record = stage.record().with_partition(0).with_timestamp(time).with_value("x");
        stage.write(record).await?;
    }
    let second = Duration::from_secs(1);
    for (time, expected) in [
        (UNIX_EPOCH, 0),
        (early - second, 0),
        (early, 0),
        (early + second, 1),
        (late, 1),
        (late + second, 2),
    ] {
        reset(&*harness, &stage, OffsetTarget::Time(time), expected).await?;
    }
    Ok(())
}

pub(super) async fn only_named_partitions_are_reset(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let stage = group_of_none(&harness).await?;
    let admin = harness.admin().await?;
    let second = TopicPartition::new(stage.topic.as_str(), 1);
    stage.write(stage.record().with_partition(1).with_value("x")).await?;
    let both = vec![second.clone(), first(&stage)];
    let reported = admin
        .reset_group_offsets(&stage.group, both, OffsetTarget::Latest)
        .await?;
    let expected = [
        PartitionOffset::new(second.clone(), 1),
        PartitionOffset::new(first(&stage), 5),
    ];
    check_eq!(
        reported,
        expected,
        "the offsets of both partitions, in the order of the call"
    );
    admin
        .reset_group_offsets(&stage.group, vec![second], OffsetTarget::Earliest)
        .await?;
    check_eq!(
        committed(&stage).await?,
        Some(5),
        "the offset of the partition that was not named"
    );
    Ok(())
}

pub(super) async fn a_group_with_members_is_not_reset(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let (stage, consumer) = group_of_one(&harness).await?;
    let admin = harness.admin().await?;
    let result = admin
        .reset_group_offsets(&stage.group, vec![first(&stage)], OffsetTarget::Earliest)
        .await;
    let error = check_error!(result, ErrorKind::Conflict, "resetting a group with a member");
    check!(
        !error.retryability().is_retryable(),
        "the error asks for a retry: {error:?}"
    );
    check_eq!(committed(&stage).await?, Some(3), "the committed offset afterwards");
    stage.client.close_consumer(&consumer).await?;
    reset(&*harness, &stage, OffsetTarget::Earliest, 0).await
}

pub(super) async fn a_bad_reset_changes_nothing(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let stage = group_of_none(&harness).await?;
    let admin = harness.admin().await?;
    let one = || vec![first(&stage)];
    let group = stage.group.as_str();
    let earliest = OffsetTarget::Earliest;
    for (group, partitions, target, field) in [
        ("", one(), earliest, "group"),
        (group, Vec::new(), earliest, "partitions"),
        (group, vec![first(&stage), first(&stage)], earliest, "partitions"),
        (group, vec![TopicPartition::new("a/b", 0)], earliest, "partitions"),
        (group, one(), OffsetTarget::Offset(-1), "target"),
        (group, one(), OffsetTarget::Offset(6), "target"),
        (group, one(), OffsetTarget::Offset(i64::MAX), "target"),
    ] {
        let shown = format!("{partitions:?} of {group:?} to {target:?}");
        let result = admin.reset_group_offsets(group, partitions, target).await;
        let error = check_error!(result, ErrorKind::InvalidInput, "resetting {shown}");
        check_eq!(error.field(), Some(field), "the field that the error names for {shown}");
    }
    for unknown in [
        TopicPartition::new(stage.topic.as_str(), 2),
        TopicPartition::new(stage.topic.as_str(), -1),
        TopicPartition::new(harness.unique("unknown"), 0),
    ] {
        let result = admin
            .reset_group_offsets(group, vec![first(&stage), unknown.clone()], earliest)
            .await;
        check_error!(result, ErrorKind::NotFound, "resetting {unknown}, which does not exist");
    }
    check_eq!(committed(&stage).await?, Some(3), "the committed offset afterwards");
    Ok(())
}
