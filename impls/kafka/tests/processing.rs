//! `for_each_message`, `for_each_batch` and `messages`, over the in-memory client.

use std::collections::BTreeMap;
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::StreamExt;
use networking_kafka::memory::{Fault, FaultPoint, MemoryKafka};
use networking_spi::kafka::{
    ConsumeOptions, ConsumerConfig, ConsumerId, KafkaClient, KafkaClientExt, KafkaReading, MockKafkaClient, NewTopic,
    OffsetReset, ProcessOptions, ProducerConfig, ProducerRecord, ReaderConfig, SeekTarget, TopicPartition,
};
use networking_spi::{ErrorKind, NetworkError};
use parking_lot::Mutex;
use tokio::sync::Notify;

const PARTITIONS: i32 = 3;

/// A topic with `count` numbered records in each partition, and a consumer of it.
async fn topic(count: usize) -> (MemoryKafka, ConsumerId) {
    let kafka = MemoryKafka::new();
    kafka
        .create_topic(NewTopic::new("t", PARTITIONS))
        .await
        .expect("created");
    let producer = kafka.create_producer(ProducerConfig::new()).await.expect("created");
    for partition in 0..PARTITIONS {
        for number in 0..count {
            let record = ProducerRecord::new("t")
                .with_partition(partition)
                .with_value(number.to_string());
            kafka.produce_message(&producer, record).await.expect("written");
        }
    }
    let consumer = consumer(&kafka).await;
    (kafka, consumer)
}

async fn consumer(kafka: &MemoryKafka) -> ConsumerId {
    let config = ConsumerConfig::new("g", ["t"]).with_offset_reset(OffsetReset::Earliest);
    kafka.create_consumer(config).await.expect("created")
}

async fn committed(kafka: &MemoryKafka) -> BTreeMap<i32, i64> {
    let info = kafka.consumer_group_info("g").await.expect("known");
    let offsets = info.offsets.iter();
    offsets
        .filter_map(|offset| Some((offset.partition.partition, offset.committed?)))
        .collect()
}

fn failure() -> NetworkError {
    NetworkError::new(ErrorKind::Rejected, "test", "not processed")
}

#[tokio::test(start_paused = true)]
async fn each_message_is_processed_in_the_order_of_its_partition_and_committed() {
    let (kafka, consumer) = topic(20).await;
    let seen = Mutex::new(Vec::new());
    let done = Notify::new();
    let options = ProcessOptions::new().with_consume(ConsumeOptions::new().with_max_messages(7));
    let processed = kafka
        .for_each_message(&consumer, options, done.notified(), async |message| {
            tokio::time::sleep(Duration::from_millis(u64::from(message.partition.unsigned_abs()) + 1)).await;
            let count = {
                let mut seen = seen.lock();
                seen.push((message.partition, message.offset));
                seen.len()
            };
            if count == 60 {
                done.notify_one();
            }
            Ok(())
        })
        .await
        .expect("processed");
    assert_eq!(processed, 60);
    for partition in 0..PARTITIONS {
        let seen = seen.lock();
        let offsets = seen
            .iter()
            .filter(|(of, _)| *of == partition)
            .map(|(_, offset)| *offset);
        assert!(offsets.eq(0..20), "partition {partition}");
    }
    assert_eq!(committed(&kafka).await, BTreeMap::from([(0, 20), (1, 20), (2, 20)]));
}

#[tokio::test(start_paused = true)]
async fn a_failed_message_and_those_after_it_are_not_committed() {
    let (kafka, consumer) = topic(5).await;
    let options = ProcessOptions::new().with_concurrency(1);
    let error = kafka
        .for_each_message(&consumer, options, pending(), async |message| {
            if (message.partition, message.offset) == (1, 3) {
                return Err(failure());
            }
            Ok(())
        })
        .await
        .expect_err("the message is not processed");
    assert_eq!(error.kind(), ErrorKind::Rejected);
    assert_eq!(committed(&kafka).await, BTreeMap::from([(0, 5), (1, 3)]));
    let error = kafka
        .for_each_batch(&self::consumer(&kafka).await, options, pending(), async |_| {
            Err(failure())
        })
        .await;
    assert!(error.is_err());
    assert_eq!(committed(&kafka).await, BTreeMap::from([(0, 5), (1, 3)]));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_finishes_the_message_in_progress_and_begins_no_other() {
    let (kafka, consumer) = topic(5).await;
    let stop = Notify::new();
    let begun = AtomicUsize::new(0);
    let options = ProcessOptions::new().with_concurrency(1);
    let processed = kafka
        .for_each_message(&consumer, options, stop.notified(), async |_| {
            begun.fetch_add(1, Ordering::SeqCst);
            stop.notify_one();
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(())
        })
        .await
        .expect("stopped");
    assert_eq!((processed, begun.load(Ordering::SeqCst)), (1, 1));
    assert_eq!(committed(&kafka).await, BTreeMap::from([(0, 1)]));
}

#[tokio::test(start_paused = true)]
async fn a_refused_commit_is_repeated_while_the_partition_is_kept() {
    for (kind, failures, ends) in [
        (ErrorKind::Conflict, 2, true),
        (ErrorKind::ConnectionClosed, 3, true),
        (ErrorKind::Conflict, usize::MAX, false),
    ] {
        let (kafka, consumer) = topic(2).await;
        let count = AtomicUsize::new(0);
        let done = Notify::new();
        kafka
            .cluster()
            .inject(Fault::new(FaultPoint::Commit, kind).times(failures));
        let result = kafka
            .for_each_batch(&consumer, ProcessOptions::new(), done.notified(), async |batch| {
                if count.fetch_add(batch.len(), Ordering::SeqCst) + batch.len() == 6 {
                    done.notify_one();
                }
                Ok(())
            })
            .await;
        assert_eq!(result.is_ok(), ends, "{kind}: {result:?}");
        let expected = if ends {
            BTreeMap::from([(0, 2), (1, 2), (2, 2)])
        } else {
            BTreeMap::new()
        };
        assert_eq!(committed(&kafka).await, expected, "{kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_seek_has_moved_is_not_committed() {
    let (kafka, consumer) = topic(4).await;
    let moved = AtomicUsize::new(0);
    let stop = Notify::new();
    let options = ProcessOptions::new().with_concurrency(1);
    kafka
        .for_each_message(&consumer, options, stop.notified(), async |message| {
            if message.partition == 0 && moved.fetch_add(1, Ordering::SeqCst) == 0 {
                let partition = vec![message.topic_partition()];
                kafka.seek(&consumer, partition, SeekTarget::Offset(2)).await?;
                stop.notify_one();
            }
            Ok(())
        })
        .await
        .expect("stopped");
    assert_eq!(committed(&kafka).await.get(&0), None);
}

#[tokio::test(start_paused = true)]
async fn a_wait_of_zero_does_not_spin() {
    let calls = Arc::new(AtomicUsize::new(0));
    let mut client = MockKafkaClient::new();
    let counted = Arc::clone(&calls);
    client.expect_consume_messages().returning(move |_, options| {
        assert!(options.max_wait >= Duration::from_millis(100));
        match counted.fetch_add(1, Ordering::SeqCst) {
            5 => Err(failure()),
            _ => Ok(Vec::new()),
        }
    });
    let consumer = ConsumerId::new("c");
    let options = ConsumeOptions::new().with_max_wait(Duration::ZERO);
    let mut messages = pin!(client.messages(&consumer, options));
    assert!(messages.next().await.expect("an error").is_err());
    assert!(messages.next().await.is_none(), "the stream ends after its error");
    assert_eq!(calls.load(Ordering::SeqCst), 6);
}

#[tokio::test(start_paused = true)]
async fn the_stream_consumes_only_what_is_asked_for() {
    let (kafka, consumer) = topic(5).await;
    let options = ConsumeOptions::new().with_max_messages(4);
    let taken: Vec<_> = kafka.messages(&consumer, options).take(3).collect().await;
    assert!(taken.iter().all(Result::is_ok));
    let metrics = kafka.kafka_metrics().await.expect("local");
    assert_eq!(metrics.consumers[&consumer].messages, 4, "no call after the first one");
}

#[tokio::test(start_paused = true)]
async fn a_reader_of_partitions_follows_its_topic_when_it_is_created_again() {
    let (kafka, member) = topic(2).await;
    kafka.close_consumer(&member).await.expect("left");
    let config = ReaderConfig::partitions([TopicPartition::new("t", 1)], "repair");
    let reader = kafka.create_reader(config).await.expect("created");
    kafka.delete_topic("t").await.expect("deleted");
    let options = ConsumeOptions::new().with_max_wait(Duration::from_millis(1));
    let error = kafka
        .consume_messages(&reader, options)
        .await
        .expect_err("there is no topic");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let consume = kafka.consume_messages(&reader, ConsumeOptions::new().with_max_wait(Duration::from_secs(60)));
    let again = async {
        kafka
            .create_topic(NewTopic::new("t", PARTITIONS))
            .await
            .expect("created");
        let producer = kafka.create_producer(ProducerConfig::new()).await.expect("created");
        let record = ProducerRecord::new("t").with_partition(1).with_value("new");
        kafka.produce_message(&producer, record).await.expect("written");
    };
    let (messages, ()) = tokio::join!(consume, again);
    assert_eq!(messages.expect("read")[0].value_str(), Some("new"));
}
