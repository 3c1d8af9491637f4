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

pub(super) fn obeys_topic_configs(harness: &dyn KafkaHarness) -> Applies {
    administers_topics(harness).and(Applies::capability(
        harness.capabilities().topic_configs,
        "topic_configs",
    ))
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

pub(super) async fn a_bad_setting_is_named(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    if !harness.capabilities().topic_configs {
        let name = harness.unique("configured");
        let new = NewTopic::new(name.as_str(), 1).with_config("retention.ms", "-1");
        check_error!(
            client.create_topic(new).await,
            ErrorKind::Unsupported,
            "creating a topic with a setting without the capability"
        );
        check_error!(
            client.topic_metadata(&name).await,
            ErrorKind::NotFound,
            "metadata of a topic that was refused"
        );
        return Ok(());
    }
    for (name, value) in [
        ("segment.bytes", "abc"),
        ("retention.ms", "-2"),
        ("min.insync.replicas", "0"),
        ("max.message.bytes", "-1"),
        ("cleanup.policy", "forget"),
        ("message.timestamp.type", "createtime"),
        ("no.such.setting", "1"),
    ] {
        let topic = harness.unique("bad");
        let new = NewTopic::new(topic.as_str(), 1).with_config(name, value);
        let error = check_error!(
            client.create_topic(new).await,
            ErrorKind::InvalidInput,
            "creating a topic with {name}={value}"
        );
        check_eq!(
            error.field(),
            Some(format!("config.{name}").as_str()),
            "the field that the error names for {name}={value}"
        );
        check_error!(
            client.topic_metadata(&topic).await,
            ErrorKind::NotFound,
            "metadata of a topic that was refused"
        );
    }
    for (name, value) in [
        ("cleanup.policy", "compact"),
        ("message.timestamp.type", "LogAppendTime"),
        ("delete.retention.ms", "1000"),
        ("retention.ms", "-1"),
        ("segment.bytes", "1048576"),
    ] {
        let topic = harness.unique("good");
        client
            .create_topic(NewTopic::new(topic.as_str(), 1).with_config(name, value))
            .await?;
        client.delete_topic(&topic).await?;
    }
    Ok(())
}

pub(super) async fn names_that_collide_are_invalid(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let name = format!("{}_a.b", harness.unique("colliding"));
    client.create_topic(NewTopic::new(name.as_str(), 1)).await?;
    let other = name.replace("_a.b", ".a_b");
    let error = check_error!(
        client.create_topic(NewTopic::new(other.as_str(), 1)).await,
        ErrorKind::InvalidInput,
        "creating {other} beside {name}"
    );
    check_eq!(error.field(), Some("name"), "the field that the error names");
    client.delete_topic(&name).await?;
    client.create_topic(NewTopic::new(other.as_str(), 1)).await?;
    client.delete_topic(&other).await?;
    Ok(())
}

pub(super) async fn invalid_names_are_not_looked_up(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let long = "x".repeat(250);
    for name in ["", ".", "..", "a/b", "a b", long.as_str()] {
        let result = client.topic_metadata(name).await;
        let error = check_error!(result, ErrorKind::InvalidInput, "metadata of the topic {name:?}");
        check_eq!(error.field(), Some("topic"), "the field that the error names");
        if harness.capabilities().topic_admin {
            let result = client.delete_topic(name).await;
            let error = check_error!(result, ErrorKind::InvalidInput, "deleting the topic {name:?}");
            check_eq!(error.field(), Some("topic"), "the field that the error names");
        }
    }
    if harness.capabilities().group_info {
        let result = client.consumer_group_info("").await;
        let error = check_error!(
            result,
            ErrorKind::InvalidInput,
            "information about a group without a name"
        );
        check_eq!(error.field(), Some("group"), "the field that the error names");
    }
    Ok(())
}

pub(super) async fn a_created_topic_is_described_at_once(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    for _ in 0..10 {
        let name = harness.unique("described");
        client.create_topic(NewTopic::new(name.as_str(), 4)).await?;
        let metadata = client.topic_metadata(&name).await?;
        let offsets: Vec<_> = metadata
            .partitions
            .iter()
            .map(|partition| (partition.earliest_offset, partition.latest_offset))
            .collect();
        check_eq!(offsets, [(0, 0); 4], "offsets of the partitions of a new topic");
        client.delete_topic(&name).await?;
    }
    Ok(())
}
