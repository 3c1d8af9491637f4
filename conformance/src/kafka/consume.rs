//! Reading messages.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{Either, select};
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerConfig, ConsumerId, NewTopic, OffsetReset, PartitionOffset, ProducerRecord,
    TopicPartition,
};
use networking_spi::{ErrorKind, NetworkError};
use tokio::time::Instant;

use super::KafkaHarness;
use super::stage::{Stage, numbers, values};
use crate::kit::{CaseResult, Failure};
use crate::{check, check_eq, check_error};

pub(super) async fn no_more_than_max_messages(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..10).await?;
    let consumer = stage.consumer().await?;
    let deadline = Instant::now() + stage.harness.patience();
    let mut messages = Vec::new();
    while messages.len() < 10 && Instant::now() < deadline {
        let options = ConsumeOptions::new()
            .with_max_messages(3)
            .with_max_wait(stage.harness.quiet());
        let batch = stage.client.consume_messages(&consumer, options).await?;
        check!(
            batch.len() <= 3,
            "{} messages, but at most 3 were requested",
            batch.len()
        );
        messages.extend(batch);
    }
    check_eq!(values(&messages), numbers(0..10), "the messages of all calls");
    Ok(())
}

pub(super) async fn bad_options_name_their_field(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let consumer = stage.consumer().await?;
    let options = ConsumeOptions::new().with_max_messages(0).with_max_wait(Duration::ZERO);
    let result = stage.client.consume_messages(&consumer, options).await;
    let error = check_error!(result, ErrorKind::InvalidInput, "a max_messages of 0");
    check_eq!(error.field(), Some("max_messages"), "the field that the error names");
    Ok(())
}

pub(super) async fn no_messages_within_max_wait_is_an_empty_list(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let consumer = stage.consumer().await?;
    for wait in [Duration::ZERO, Duration::from_millis(20), Duration::ZERO] {
        let options = ConsumeOptions::new().with_max_wait(wait);
        let messages = stage.client.consume_messages(&consumer, options).await?;
        check!(messages.is_empty(), "{} messages from an empty topic", messages.len());
    }
    stage.write_numbers(0..1).await?;
    check_eq!(
        values(&stage.read(&consumer, 1).await?),
        ["0"],
        "messages of the consumer afterwards"
    );
    Ok(())
}

pub(super) async fn a_waiting_call_gets_a_new_record(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 1).await?;
    let options = ConsumeOptions::new().with_max_wait(stage.harness.patience());
    let mut waiting = stage.client.consume_messages(&consumer, options);
    // The call starts to wait before the record is written.
    check!(
        (&mut waiting).now_or_never().is_none(),
        "a call ended without a message"
    );
    stage.write_numbers(1..2).await?;
    let messages = waiting.await?;
    check_eq!(values(&messages), ["1"], "the record that was written meanwhile");
    Ok(())
}

pub(super) async fn each_partition_comes_in_order_without_gaps(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 3).await?;
    let records = (0..90).map(|number| stage.record().with_partition(number % 3).with_value(number.to_string()));
    for result in stage
        .client
        .produce_messages(&stage.producer, records.collect())
        .await?
    {
        result?;
    }
    let consumer = stage.consumer().await?;
    let deadline = Instant::now() + stage.harness.patience();
    let mut next = BTreeMap::from([(0, 0), (1, 0), (2, 0)]);
    while next.values().sum::<i64>() < 90 {
        check!(
            Instant::now() < deadline,
            "not all messages were read within {:?}; positions: {next:?}",
            stage.harness.patience()
        );
        let options = ConsumeOptions::new()
            .with_max_messages(7)
            .with_max_wait(stage.harness.quiet());
        for message in stage.client.consume_messages(&consumer, options).await? {
            let expected = next.entry(message.partition).or_default();
            check_eq!(message.offset, *expected, "offset in partition {}", message.partition);
            let number = *expected * 3 + i64::from(message.partition);
            check_eq!(
                message.value_str(),
                Some(number.to_string().as_str()),
                "value at {}",
                message.offset
            );
            *expected += 1;
        }
    }
    stage.read_nothing(&consumer).await
}

pub(super) async fn a_consumer_reads_all_its_topics(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let other = stage.harness.topic(2).await?;
    stage.write(stage.record().with_value("one")).await?;
    for partition in 0..2 {
        let record = ProducerRecord::new(other.as_str()).with_partition(partition);
        stage.write(record.with_value("other")).await?;
    }
    let topics = [stage.topic.clone(), other.clone()];
    let config = ConsumerConfig::new(stage.group.as_str(), topics).with_offset_reset(OffsetReset::Earliest);
    let consumer = stage.client.create_consumer(config).await?;
    let mut places: Vec<_> = stage
        .read(&consumer, 3)
        .await?
        .into_iter()
        .map(|message| (message.topic.to_string(), message.partition))
        .collect();
    places.sort();
    let mut expected = vec![(stage.topic.clone(), 0), (other.clone(), 0), (other, 1)];
    expected.sort();
    check_eq!(places, expected, "topics and partitions of the messages");
    Ok(())
}

pub(super) async fn a_cancelled_call_loses_nothing(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    const RECORDS: usize = 40;
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let consumer = stage.consumer().await?;
    let mut messages = stage.read(&consumer, 1).await?;
    for number in 1..RECORDS {
        let options = ConsumeOptions::new()
            .with_max_messages(2)
            .with_max_wait(stage.harness.patience());
        let call = stage.client.consume_messages(&consumer, options);
        // The call is running when the record is written, and is dropped after a varying number of polls.
        let turns = async {
            stage.write_numbers(number..number + 1).await?;
            for _ in 0..number % 7 {
                tokio::task::yield_now().await;
            }
            Ok::<_, Failure>(())
        };
        let turns = std::pin::pin!(turns);
        match select(call, turns).await {
            Either::Left((batch, turns)) => {
                messages.extend(batch?);
                turns.await?;
            }
            Either::Right((written, _cancelled)) => written?,
        }
    }
    if messages.len() < RECORDS {
        messages.extend(stage.read(&consumer, RECORDS - messages.len()).await?);
    }
    check_eq!(values(&messages), numbers(0..RECORDS), "every record once, in order");
    stage.read_nothing(&consumer).await
}

pub(super) async fn earliest_begins_at_the_first_record(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..5).await?;
    let consumer = stage.consumer().await?;
    check_eq!(values(&stage.read(&consumer, 5).await?), numbers(0..5), "all records");
    Ok(())
}

pub(super) async fn latest_begins_after_the_last_record(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write(stage.record().with_value("old")).await?;
    let config = stage.consumer_config().with_offset_reset(OffsetReset::Latest);
    let consumer = stage.client.create_consumer(config).await?;
    let deadline = Instant::now() + stage.harness.patience();
    // The position is set when the partition is assigned, so records are written until one is read.
    for probe in 0.. {
        check!(
            Instant::now() < deadline,
            "no new record was read within {:?}",
            stage.harness.patience()
        );
        let options = ConsumeOptions::new().with_max_wait(stage.harness.quiet());
        let messages = stage.client.consume_messages(&consumer, options).await?;
        check!(
            messages.iter().all(|message| message.value_str() != Some("old")),
            "a record that was written before was read"
        );
        if !messages.is_empty() {
            return Ok(());
        }
        stage.write(stage.record().with_value(format!("new {probe}"))).await?;
    }
    Ok(())
}

/// Consumes until a call fails, which must be with `NotFound`.
async fn until_not_found(stage: &Stage, consumer: &ConsumerId, what: &str) -> Result<NetworkError, Failure> {
    let deadline = Instant::now() + stage.harness.patience();
    loop {
        check!(
            Instant::now() < deadline,
            "{what}: consuming did not fail within {:?}",
            stage.harness.patience()
        );
        let options = ConsumeOptions::new().with_max_wait(stage.harness.quiet());
        match stage.client.consume_messages(consumer, options).await {
            Ok(messages) => check!(messages.is_empty(), "{what}: a message was read: {:?}", messages[0]),
            Err(error) => {
                check_eq!(error.kind(), ErrorKind::NotFound, "{what}: kind of the error");
                return Ok(error);
            }
        }
    }
}

/// Checks that the next calls fail with `NotFound` too.
async fn stays_not_found(stage: &Stage, consumer: &ConsumerId, what: &str) -> CaseResult {
    for call in 1..4 {
        let options = ConsumeOptions::new().with_max_wait(stage.harness.quiet());
        let result = stage.client.consume_messages(consumer, options).await;
        check_error!(result, ErrorKind::NotFound, "{what}, call {call} after the first error");
    }
    Ok(())
}

pub(super) async fn fail_is_not_found_without_a_committed_offset(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let config = stage.consumer_config().with_offset_reset(OffsetReset::Fail);
    let consumer = stage.client.create_consumer(config).await?;
    until_not_found(&stage, &consumer, "without a committed offset").await?;
    Ok(())
}

pub(super) async fn fail_is_reported_until_an_offset_is_committed(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    const WHAT: &str = "without a committed offset";
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..3).await?;
    let config = stage.consumer_config().with_offset_reset(OffsetReset::Fail);
    let consumer = stage.client.create_consumer(config).await?;
    until_not_found(&stage, &consumer, WHAT).await?;
    stays_not_found(&stage, &consumer, WHAT).await?;
    if stage.harness.capabilities().groups {
        let partition = TopicPartition::new(stage.topic.as_str(), 0);
        let offsets = CommitOffsets::Exact(vec![PartitionOffset::new(partition, 1)]);
        stage.client.commit_offsets(&consumer, offsets).await?;
        check_eq!(
            values(&stage.read(&consumer, 2).await?),
            numbers(1..3),
            "messages from the committed offset"
        );
    }
    Ok(())
}

pub(super) async fn a_deleted_topic_is_reported(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    const WHAT: &str = "after the topic was deleted";
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 1).await?;
    stage.client.delete_topic(&stage.topic).await?;
    let error = until_not_found(&stage, &consumer, WHAT).await?;
    check!(
        error.context().any(|(_, value)| value == stage.topic),
        "the error does not name the topic {}: {error}",
        stage.topic
    );
    check!(error.retryability().is_retryable(), "the error is permanent: {error}");
    stays_not_found(&stage, &consumer, WHAT).await?;
    // The consumer can still be used.
    stage
        .client
        .create_topic(NewTopic::new(stage.topic.as_str(), 1))
        .await?;
    stage.write_numbers(1..2).await?;
    let read = read_each(&stage, &consumer, &["1"]).await?;
    check_eq!(read, ["1"], "messages of the topic that was created again");
    stage.client.close_consumer(&consumer).await?;
    Ok(())
}

/// Reads until each of `expected` was read. Returns the distinct values in the order in which they were read first.
async fn read_each(stage: &Stage, consumer: &ConsumerId, expected: &[&str]) -> Result<Vec<String>, Failure> {
    let deadline = Instant::now() + stage.harness.patience();
    let mut read = Vec::<String>::new();
    while !expected.iter().all(|value| read.iter().any(|known| known == value)) {
        check!(
            Instant::now() < deadline,
            "only {read:?} of {expected:?} were read within {:?}",
            stage.harness.patience()
        );
        let options = ConsumeOptions::new().with_max_wait(stage.harness.quiet());
        match stage.client.consume_messages(consumer, options).await {
            Ok(messages) => {
                for message in messages {
                    let value = message.value_str().unwrap_or("(none)").to_owned();
                    if !read.contains(&value) {
                        read.push(value);
                    }
                }
            }
            // The consumer has not noticed the new topic yet.
            Err(error) if error.kind() == ErrorKind::NotFound && error.retryability().is_retryable() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(read)
}

pub(super) async fn a_recreated_topic_is_read_from_its_first_record(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    for reset in [OffsetReset::Earliest, OffsetReset::Latest] {
        let mut stage = Stage::new(Arc::clone(&harness), 1).await?;
        stage.group = harness.unique("group");
        let config = stage.consumer_config().with_offset_reset(reset);
        let consumer = stage.client.create_consumer(config).await?;
        // Until the consumer has a position.
        let deadline = Instant::now() + stage.harness.patience();
        let mut probes = 0;
        loop {
            check!(Instant::now() < deadline, "{reset}: no message was read");
            probes += 1;
            stage.write(stage.record().with_partition(0).with_value("old")).await?;
            let options = ConsumeOptions::new().with_max_wait(stage.harness.quiet());
            if !stage.client.consume_messages(&consumer, options).await?.is_empty() {
                break;
            }
        }
        if stage.harness.capabilities().groups {
            stage.client.commit_offsets(&consumer, CommitOffsets::Consumed).await?;
        }
        stage.client.delete_topic(&stage.topic).await?;
        stage
            .client
            .create_topic(NewTopic::new(stage.topic.as_str(), 1))
            .await?;
        // More than before, so that the old position is within the new topic.
        stage.write_numbers(0..probes + 5).await?;
        let expected = numbers(0..probes + 5);
        let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
        let mut read = read_each(&stage, &consumer, &expected).await?;
        read.retain(|value| value != "old");
        read.sort_by_key(|value| value.parse::<usize>().unwrap_or(0));
        check_eq!(read, expected, "{reset}: messages of the topic that was created again");
        stage.client.close_consumer(&consumer).await?;
    }
    Ok(())
}
