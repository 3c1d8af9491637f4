//! Topics and partitions.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::TopicListing;
use tokio::time::Instant;

use super::KafkaAdminHarness;
use crate::kafka::stage::Stage;
use crate::kit::{Applies, CaseResult};
use crate::{check, check_eq, check_error};

pub(super) fn lists(harness: &dyn KafkaAdminHarness) -> Applies {
    Applies::capability(harness.admin_capabilities().topics, "topics")
}

pub(super) fn grows(harness: &dyn KafkaAdminHarness) -> Applies {
    Applies::capability(harness.admin_capabilities().partitions, "partitions")
}

pub(super) async fn topics_are_listed(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let topics = [harness.topic(1).await?, harness.topic(3).await?];
    let listed = harness.admin().await?.list_topics().await?;
    for (name, partitions) in topics.iter().zip([1, 3]) {
        let found: Vec<&TopicListing> = listed.iter().filter(|topic| topic.name == *name).collect();
        let [topic] = found[..] else {
            check_eq!(found.len(), 1, "entries of the topic {name}");
            continue;
        };
        check_eq!(topic.partitions, partitions, "partitions of the topic {name}");
        check!(topic.replication_factor > 0, "the topic {name} has no replicas");
        check!(!topic.is_internal, "the topic {name} is reported as internal");
    }
    check!(
        listed.is_sorted_by(|left, right| left.name < right.name),
        "the topics are not in order: {listed:?}"
    );
    Ok(())
}

pub(super) async fn all_topics_are_described(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let (first, second) = (harness.topic(2).await?, Stage::new(harness.clone(), 1).await?);
    second.write_numbers(0..3).await?;
    let all = harness.admin().await?.describe_topics().await?;
    check!(
        all.is_sorted_by(|left, right| left.name < right.name),
        "the topics are not in order"
    );
    for name in [&first, &second.topic] {
        let described = all.iter().find(|topic| topic.name == *name);
        check_eq!(
            described.cloned(),
            Some(second.client.topic_metadata(name).await?),
            "the metadata of {name}, compared with that of a client"
        );
    }
    Ok(())
}

pub(super) async fn added_partitions_can_be_used(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let stage = Stage::new(harness.clone(), 1).await?;
    stage.write_numbers(0..1).await?;
    harness.admin().await?.create_partitions(&stage.topic, 3).await?;
    let metadata = stage.client.topic_metadata(&stage.topic).await?;
    check_eq!(metadata.partitions.len(), 3, "partitions afterwards");
    let client = harness.client().await?;
    let producer = client
        .create_producer(networking_spi::kafka::ProducerConfig::new())
        .await?;
    for partition in 1..3 {
        let record = stage.record().with_partition(partition).with_value("added");
        client.produce_message(&producer, record).await?;
    }
    let read = stage.read_back(3).await?;
    let mut partitions: Vec<i32> = read.iter().map(|message| message.partition).collect();
    partitions.sort_unstable();
    check_eq!(partitions, [0, 1, 2], "partitions with a message");
    Ok(())
}

pub(super) async fn partitions_are_never_removed(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let topic = harness.topic(3).await?;
    let admin = harness.admin().await?;
    for total in [3, 2, 1, 0, -1, 10_001, i32::MAX] {
        let result = admin.create_partitions(&topic, total).await;
        let error = check_error!(result, ErrorKind::InvalidInput, "{total} partitions of a topic with 3");
        check_eq!(
            error.field(),
            Some("total"),
            "the field that the error names for {total}"
        );
    }
    let metadata = harness.client().await?.topic_metadata(&topic).await?;
    check_eq!(metadata.partitions.len(), 3, "partitions afterwards");
    Ok(())
}

pub(super) async fn partitions_of_an_unknown_topic_are_not_found(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let admin = harness.admin().await?;
    let unknown = harness.unique("unknown");
    let begun = Instant::now();
    let result = admin.create_partitions(&unknown, 2).await;
    check_error!(result, ErrorKind::NotFound, "adding partitions to an unknown topic");
    check!(
        begun.elapsed() < harness.patience(),
        "the answer took {:?}",
        begun.elapsed()
    );
    for name in ["", "..", "a/b"] {
        let result = admin.create_partitions(name, 2).await;
        let error = check_error!(result, ErrorKind::InvalidInput, "adding partitions to {name:?}");
        check_eq!(
            error.field(),
            Some("topic"),
            "the field that the error names for {name:?}"
        );
    }
    Ok(())
}
