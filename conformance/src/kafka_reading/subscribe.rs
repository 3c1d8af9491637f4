//! Subscriptions by pattern and by partition.

use std::collections::BTreeSet;
use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{CommitOffsets, OffsetReset, ProducerRecord, ReaderConfig, TopicPartition};

use super::KafkaReadingHarness;
use super::scene::Scene;
use crate::kit::{Applies, CaseResult};
use crate::{check, check_eq, check_error};

pub(super) fn has_patterns(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.reading_capabilities().patterns, "patterns")
}

pub(super) fn has_partitions(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.reading_capabilities().partitions, "partitions")
}

pub(super) fn commits_partitions(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.capabilities().groups, "groups").and(has_partitions(harness))
}

async fn write(scene: &Scene, topic: &str) -> CaseResult {
    scene
        .stage
        .write(ProducerRecord::new(topic).with_value(topic.to_owned()))
        .await?;
    Ok(())
}

/// Consumes until messages of exactly these topics were read.
async fn expect_topics(scene: &Scene, consumer: &networking_spi::kafka::ConsumerId, expected: &[&str]) -> CaseResult {
    let expected: BTreeSet<String> = expected.iter().map(|topic| (*topic).to_owned()).collect();
    let mut seen = BTreeSet::new();
    let mut rounds = scene.rounds(format!("messages of {expected:?}"));
    while seen != expected {
        let messages = rounds.next(&[consumer]).await?;
        seen.extend(messages.into_iter().map(|message| message.topic.to_string()));
        check!(
            seen.is_subset(&expected),
            "messages of {seen:?}, expected only those of {expected:?}"
        );
    }
    scene.stage.read_nothing(consumer).await
}

pub(super) async fn topics_whose_whole_name_matches_are_read(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let base = scene.harness.unique("pattern");
    let names = ["-a", "-b", "-ab", "-a.x"].map(|suffix| format!("{base}{suffix}"));
    for name in &names {
        scene.harness.topic_named(name, 1).await?;
        write(&scene, name).await?;
    }
    let config = ReaderConfig::pattern(format!("{base}-(a|b)"), scene.stage.group.as_str())
        .with_consumer(|consumer| consumer.with_offset_reset(OffsetReset::Earliest));
    let consumer = scene.reading.create_reader(config).await?;
    expect_topics(&scene, &consumer, &[&names[0], &names[1]]).await
}

pub(super) async fn a_new_topic_joins_from_its_first_record(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let base = scene.harness.unique("joins");
    let config = ReaderConfig::pattern(format!("{base}-.+"), scene.stage.group.as_str())
        .with_consumer(|consumer| consumer.with_offset_reset(OffsetReset::Latest));
    // Also a pattern that no topic matches yet is a subscription.
    let consumer = scene.reading.create_reader(config).await?;
    scene.stage.read_nothing(&consumer).await?;
    for suffix in ["-one", "-two"] {
        let name = format!("{base}{suffix}");
        scene.harness.topic_named(&name, 1).await?;
        write(&scene, &name).await?;
        expect_topics(&scene, &consumer, &[&name]).await?;
        if scene.harness.capabilities().groups {
            // A rebalance may take the partitions of all topics, and give them back at the committed offsets.
            scene
                .stage
                .client
                .commit_offsets(&consumer, CommitOffsets::Consumed)
                .await?;
        }
    }
    Ok(())
}

pub(super) async fn a_bad_pattern_names_its_field(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    for pattern in ["", "[", "(a", "a)("] {
        let created = scene.reading.create_reader(ReaderConfig::pattern(pattern, "g")).await;
        let error = check_error!(created, ErrorKind::InvalidInput, "the pattern {pattern:?}");
        check_eq!(error.field(), Some("pattern"), "field of the pattern {pattern:?}");
    }
    Ok(())
}

pub(super) async fn only_the_named_partitions_are_read(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 3).await?;
    for partition in 0..3 {
        scene.write(partition, 0..2).await?;
    }
    let consumer = scene.reading.create_reader(scene.partitions_config(&[0, 2])).await?;
    let assignment = scene.stage.client.consumer_assignment(&consumer).await?;
    let assigned: Vec<_> = assignment.iter().map(|(partition, _)| partition.partition).collect();
    check_eq!(assigned, [0, 2], "assigned partitions before the first call to consume");
    let places = scene.places(&consumer, 4).await?;
    check_eq!(places, [(0, 0), (0, 1), (2, 0), (2, 1)], "messages");
    scene.stage.read_nothing(&consumer).await
}

pub(super) async fn readers_of_partitions_share_nothing(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.write(0, 0..2).await?;
    let config = scene.partitions_config(&[0]);
    let first = scene.reading.create_reader(config.clone()).await?;
    let second = scene.reading.create_reader(config).await?;
    for consumer in [&first, &second] {
        check_eq!(
            scene.places(consumer, 2).await?,
            [(0, 0), (0, 1)],
            "messages of each reader"
        );
    }
    scene.write(0, 2..3).await?;
    for consumer in [&first, &second] {
        check_eq!(
            scene.places(consumer, 1).await?,
            [(0, 2)],
            "the next message of each reader"
        );
    }
    Ok(())
}

pub(super) async fn a_reader_of_partitions_starts_at_the_committed_offset(
    harness: Arc<dyn KafkaReadingHarness>,
) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.write(0, 0..4).await?;
    let client = &scene.stage.client;
    let first = scene.reading.create_reader(scene.partitions_config(&[0])).await?;
    let messages = scene.stage.read(&first, 4).await?;
    client.commit_offsets(&first, CommitOffsets::of(&messages[..3])).await?;
    client.close_consumer(&first).await?;
    let second = scene.reading.create_reader(scene.partitions_config(&[0])).await?;
    check_eq!(
        scene.places(&second, 1).await?,
        [(0, 3)],
        "message after the committed ones"
    );
    Ok(())
}

pub(super) async fn an_unknown_partition_is_not_found(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let unknown = TopicPartition::new(scene.harness.unique("unknown"), 0);
    for partition in [scene.partition(1), unknown] {
        let config = ReaderConfig::partitions([scene.partition(0), partition.clone()], "g");
        let created = scene.reading.create_reader(config).await;
        check_error!(created, ErrorKind::NotFound, "a reader of {partition}");
    }
    Ok(())
}

pub(super) async fn a_bad_reader_names_its_field(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let partition = scene.partition(0);
    let with_topics = |mut config: ReaderConfig| {
        config.consumer.topics.push(scene.stage.topic.clone());
        config
    };
    let bad = [
        (ReaderConfig::partitions([], "g"), "partitions"),
        (
            ReaderConfig::partitions([partition.clone(), partition.clone()], "g"),
            "partitions",
        ),
        (ReaderConfig::partitions([scene.partition(-1)], "g"), "partitions"),
        (ReaderConfig::partitions([partition.clone()], ""), "group"),
        (with_topics(ReaderConfig::partitions([partition], "g")), "topics"),
    ];
    for (config, field) in bad {
        let created = scene.reading.create_reader(config.clone()).await;
        let error = check_error!(created, ErrorKind::InvalidInput, "{config:?}");
        check_eq!(error.field(), Some(field), "field of {config:?}");
    }
    Ok(())
}
