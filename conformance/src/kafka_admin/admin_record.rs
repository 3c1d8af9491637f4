//! Deleting records.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{NewTopic, ProducerConfig, ProducerRecord, TopicPartition};

use super::KafkaAdminHarness;
use crate::kafka::stage::{Stage, numbers, values};
use crate::kit::{Applies, CaseResult, Failure};
use crate::{check_eq, check_error};

pub(super) fn deletes(harness: &dyn KafkaAdminHarness) -> Applies {
    Applies::capability(harness.admin_capabilities().delete_records, "delete_records")
}

/// The first and the next offset of partition 0.
async fn bounds(stage: &Stage) -> Result<(i64, i64), Failure> {
    let metadata = stage.client.topic_metadata(&stage.topic).await?;
    let first = metadata.partitions.first();
    first
        .map(|partition| (partition.earliest_offset, partition.latest_offset))
        .ok_or_else(|| Failure::new("the topic has no partitions"))
}

pub(super) async fn deleted_records_cannot_be_read(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let stage = Stage::new(harness.clone(), 1).await?;
    stage.write_numbers(0..5).await?;
    let partition = TopicPartition::new(stage.topic.as_str(), 0);
    let first = harness.admin().await?.delete_records(partition, 3).await?;
    check_eq!(first, 3, "the first offset that the call reports");
    check_eq!(bounds(&stage).await?, (3, 5), "the bounds of the partition");
    let read = stage.read_back(2).await?;
    check_eq!(values(&read), numbers(3..5), "records that are left");
    check_eq!(read[0].offset, 3, "the offset of the first record that is left");
    Ok(())
}

pub(super) async fn deleting_before_the_first_record_changes_nothing(
    harness: Arc<dyn KafkaAdminHarness>,
) -> CaseResult {
    let stage = Stage::new(harness.clone(), 1).await?;
    stage.write_numbers(0..5).await?;
    let admin = harness.admin().await?;
    let partition = TopicPartition::new(stage.topic.as_str(), 0);
    for (before, expected) in [(0, 0), (3, 3), (1, 3), (3, 3), (5, 5), (5, 5)] {
        let first = admin.delete_records(partition.clone(), before).await?;
        check_eq!(first, expected, "the first offset after deleting before {before}");
        check_eq!(
            bounds(&stage).await?,
            (expected, 5),
            "the bounds after deleting before {before}"
        );
    }
    Ok(())
}

pub(super) async fn a_bad_offset_deletes_nothing(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let stage = Stage::new(harness.clone(), 1).await?;
    stage.write_numbers(0..5).await?;
    let admin = harness.admin().await?;
    for before in [-1, -2, i64::MIN, 6, i64::MAX] {
        let partition = TopicPartition::new(stage.topic.as_str(), 0);
        let result = admin.delete_records(partition, before).await;
        let error = check_error!(
            result,
            ErrorKind::InvalidInput,
            "deleting before {before}, the end is 5"
        );
        check_eq!(
            error.field(),
            Some("before"),
            "the field that the error names for {before}"
        );
    }
    check_eq!(bounds(&stage).await?, (0, 5), "the bounds of the partition");
    for partition in [1, -1] {
        let partition = TopicPartition::new(stage.topic.as_str(), partition);
        let result = admin.delete_records(partition.clone(), 0).await;
        check_error!(
            result,
            ErrorKind::NotFound,
            "deleting records of {partition}, which does not exist"
        );
    }
    let unknown = TopicPartition::new(harness.unique("unknown"), 0);
    let result = admin.delete_records(unknown, 0).await;
    check_error!(result, ErrorKind::NotFound, "deleting records of an unknown topic");
    Ok(())
}

pub(super) async fn a_compacted_topic_keeps_its_records(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let client = harness.client().await?;
    if !harness.capabilities().topic_configs {
        return Ok(());
    }
    let name = harness.unique("compacted");
    let topic = NewTopic::new(name.as_str(), 1).with_config("cleanup.policy", "compact");
    client.create_topic(topic).await?;
    let producer = client.create_producer(ProducerConfig::new()).await?;
    let record = ProducerRecord::new(name.as_str()).with_key("key").with_value("value");
    client.produce_message(&producer, record).await?;
    let result = harness
        .admin()
        .await?
        .delete_records(TopicPartition::new(name.as_str(), 0), 1)
        .await;
    check_error!(result, ErrorKind::Rejected, "deleting records of a compacted topic");
    let metadata = client.topic_metadata(&name).await?;
    check_eq!(metadata.partitions[0].earliest_offset, 0, "the first offset");
    client.delete_topic(&name).await?;
    Ok(())
}
