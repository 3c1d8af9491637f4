//! Topics.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{NewTopic, ProducerConfig, ProducerRecord};

use super::KafkaHarness;
use super::stage::Stage;
use crate::kit::{Applies, CaseResult};
use crate::{check, check_eq, check_error};

pub(super) fn administers_topics(harness: &dyn KafkaHarness) -> Applies {
    Applies::capability(harness.capabilities().topic_admin, "topic_admin")
}

pub(super) async fn a_created_topic_can_be_used_at_once(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let name = harness.unique("created");
    let created = client.create_topic(NewTopic::new(name.as_str(), 3)).await;
    if !harness.capabilities().topic_admin {
        check_error!(
            created,
            ErrorKind::Unsupported,
            "creating a topic without the capability"
        );
        return Ok(());
    }
    created?;
    let producer = client.create_producer(ProducerConfig::new()).await?;
    for partition in 0..3 {
        let record = ProducerRecord::new(name.as_str())
            .with_partition(partition)
            .with_value("x");
        client.produce_message(&producer, record).await?;
    }
    check_eq!(client.topic_metadata(&name).await?.partitions.len(), 3, "partitions");
    client.delete_topic(&name).await?;
    Ok(())
}

pub(super) async fn a_topic_is_created_once(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let name = harness.topic(2).await?;
    let result = client.create_topic(NewTopic::new(name.as_str(), 5)).await;
    check_error!(result, ErrorKind::AlreadyExists, "creating a topic again");
    check_eq!(
        client.topic_metadata(&name).await?.partitions.len(),
        2,
        "partitions of the existing topic"
    );
    Ok(())
}

pub(super) async fn a_bad_topic_names_its_field(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let bad = [
        (NewTopic::new("", 1), "name"),
        (NewTopic::new("..", 1), "name"),
        (NewTopic::new("a/b", 1), "name"),
        (NewTopic::new("x".repeat(250), 1), "name"),
        (NewTopic::new(harness.unique("bad"), 0), "partitions"),
        (
            NewTopic::new(harness.unique("bad"), 1).with_replication_factor(0),
            "replication_factor",
        ),
    ];
    for (topic, field) in bad {
        let shown = format!("{topic:?}");
        let error = check_error!(
            client.create_topic(topic).await,
            ErrorKind::InvalidInput,
            "creating {shown}"
        );
        check_eq!(error.field(), Some(field), "the field that the error names for {shown}");
    }
    Ok(())
}

pub(super) async fn a_deleted_topic_is_not_found(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let name = harness.unique("deleted");
    client.create_topic(NewTopic::new(name.as_str(), 1)).await?;
    client.delete_topic(&name).await?;
    check_error!(
        client.topic_metadata(&name).await,
        ErrorKind::NotFound,
        "metadata of a deleted topic"
    );
    check_error!(
        client.delete_topic(&name).await,
        ErrorKind::NotFound,
        "deleting a deleted topic"
    );
    Ok(())
}

pub(super) async fn deleting_an_unknown_topic_is_not_found(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let result = client.delete_topic(&harness.unique("nowhere")).await;
    let kind = if harness.capabilities().topic_admin {
        ErrorKind::NotFound
    } else {
        ErrorKind::Unsupported
    };
    check_error!(result, kind, "deleting a topic that does not exist");
    Ok(())
}

pub(super) async fn metadata_counts_the_records(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 2).await?;
    stage.write_numbers(0..3).await?;
    let metadata = stage.client.topic_metadata(&stage.topic).await?;
    check_eq!(metadata.name, stage.topic, "name");
    let offsets: Vec<_> = metadata
        .partitions
        .iter()
        .map(|partition| (partition.partition, partition.earliest_offset, partition.latest_offset))
        .collect();
    check_eq!(
        offsets,
        [(0, 0, 3), (1, 0, 0)],
        "partitions with their earliest and latest offsets"
    );
    for partition in &metadata.partitions {
        if !stage.harness.capabilities().leaders {
            check!(
                partition.leader.is_none() && partition.replicas.is_empty() && partition.in_sync_replicas.is_empty(),
                "leaders or replicas without the capability: {partition:?}"
            );
            continue;
        }
        let leader = partition.leader.unwrap_or(-1);
        check!(
            partition.replicas.contains(&leader),
            "the leader {leader} has no replica: {:?}",
            partition.replicas
        );
        check!(
            partition.in_sync_replicas.contains(&leader),
            "the leader {leader} is not in sync"
        );
    }
    Ok(())
}

pub(super) async fn metadata_requests_create_no_topic(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let name = harness.unique("nowhere");
    for attempt in 1..=2 {
        let result = client.topic_metadata(&name).await;
        check_error!(
            result,
            ErrorKind::NotFound,
            "metadata of a topic that does not exist, attempt {attempt}"
        );
    }
    Ok(())
}
