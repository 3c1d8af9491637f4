//! The in-memory cluster where the contract leaves the behaviour to the backend: member expiry, retention, faults, limits.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use networking_kafka::memory::{Fault, FaultPoint, MemoryCluster, MemoryKafka};
use networking_runtime::clock::TokioClock;
use networking_spi::kafka::{
    Acks, CommitOffsets, ConsumeOptions, ConsumerConfig, ConsumerId, GroupState, KafkaClient, KafkaClientExt,
    KafkaMessage, NewTopic, OffsetReset, PartitionOffset, ProducerConfig, ProducerId, ProducerRecord, TopicPartition,
};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use tokio::time::Instant;

async fn topic(kafka: &MemoryKafka, partitions: i32) -> ProducerId {
    kafka.create_topic(NewTopic::new("t", partitions)).await.unwrap();
    kafka.create_producer(ProducerConfig::new()).await.unwrap()
}

fn record(partition: i32, value: &'static str) -> ProducerRecord {
    ProducerRecord::new("t").with_partition(partition).with_value(value)
}

fn config() -> ConsumerConfig {
    ConsumerConfig::new("g", ["t"]).with_offset_reset(OffsetReset::Earliest)
}

/// Consumes what is available, without waiting.
async fn poll(kafka: &MemoryKafka, consumer: &ConsumerId) -> Result<Vec<KafkaMessage>> {
    kafka
        .consume_messages(consumer, ConsumeOptions::new().with_max_wait(Duration::ZERO))
        .await
}

fn partitions(messages: &[KafkaMessage]) -> BTreeSet<i32> {
    messages.iter().map(|message| message.partition).collect()
}

fn values(messages: &[KafkaMessage]) -> Vec<&str> {
    messages.iter().filter_map(KafkaMessage::value_str).collect()
}

fn offset(partition: i32, offset: i64) -> CommitOffsets {
    CommitOffsets::Exact(vec![PartitionOffset::new(TopicPartition::new("t", partition), offset)])
}

async fn state(kafka: &MemoryKafka) -> GroupState {
    kafka.consumer_group_info("g").await.unwrap().state
}

mod groups {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_partition_moves_only_after_its_owner_consumes_again() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 2).await;
        let first = kafka.create_consumer(config()).await.unwrap();
        assert_eq!(state(&kafka).await, GroupState::Stable);
        for partition in [0, 1] {
            kafka.produce_message(&producer, record(partition, "x")).await.unwrap();
        }
        assert_eq!(partitions(&poll(&kafka, &first).await.unwrap()), BTreeSet::from([0, 1]));

        let second = kafka.create_consumer(config()).await.unwrap();
        assert_eq!(state(&kafka).await, GroupState::PreparingRebalance);
        assert!(
            poll(&kafka, &second).await.unwrap().is_empty(),
            "nothing was given up yet"
        );
        kafka
            .commit_offsets(&first, CommitOffsets::Consumed)
            .await
            .expect("the owner may still commit");

        assert!(poll(&kafka, &first).await.unwrap().is_empty());
        assert_eq!(state(&kafka).await, GroupState::CompletingRebalance);
        assert!(
            poll(&kafka, &second).await.unwrap().is_empty(),
            "it starts at the committed offset"
        );
        assert_eq!(state(&kafka).await, GroupState::Stable);
        let members = kafka.consumer_group_info("g").await.unwrap().members;
        let moved = members[1].assignment[0].partition;
        let revoked = kafka.commit_offsets(&first, offset(moved, 1)).await.unwrap_err();
        assert_eq!(revoked.kind(), ErrorKind::Conflict);
        kafka
            .commit_offsets(&second, offset(moved, 1))
            .await
            .expect("the new owner may");
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_member_takes_partitions_without_another_call() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        let first = kafka.create_consumer(config()).await.unwrap();
        let second = kafka.create_consumer(config()).await.unwrap();
        kafka.produce_message(&producer, record(0, "x")).await.unwrap();
        let waiting = kafka.consume_messages(&second, ConsumeOptions::new().with_max_wait(Duration::from_secs(600)));
        let leaving = async {
            tokio::task::yield_now().await;
            kafka.close_consumer(&first).await
        };
        let before = Instant::now();
        let (messages, left) = tokio::join!(waiting, leaving);
        left.unwrap();
        assert_eq!(values(&messages.unwrap()), ["x"]);
        assert_eq!(before.elapsed(), Duration::ZERO, "it was woken before its timeout");
    }

    #[tokio::test(start_paused = true)]
    async fn a_member_that_does_not_consume_is_removed_after_max_poll_interval() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        let slow = config().with_max_poll_interval(Duration::from_secs(60));
        let first = kafka.create_consumer(slow).await.unwrap();
        kafka.produce_message(&producer, record(0, "x")).await.unwrap();
        assert_eq!(poll(&kafka, &first).await.unwrap().len(), 1);
        let second = kafka.create_consumer(config()).await.unwrap();

        let before = Instant::now();
        let options = ConsumeOptions::new().with_max_wait(Duration::from_secs(200));
        let messages = kafka.consume_messages(&second, options).await.unwrap();
        assert_eq!(
            values(&messages),
            ["x"],
            "nothing was committed, so it is delivered again"
        );
        assert!((60..61).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());

        let late = kafka.commit_offsets(&first, CommitOffsets::Consumed).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::Conflict);
        assert!(
            poll(&kafka, &first).await.unwrap().is_empty(),
            "it joins again and has no partitions"
        );
        assert_eq!(kafka.consumer_group_info("g").await.unwrap().members.len(), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn the_only_member_restarts_at_the_committed_offset_after_its_poll_interval() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        let consumer = kafka.create_consumer(config()).await.unwrap();
        kafka.produce_message(&producer, record(0, "x")).await.unwrap();
        assert_eq!(poll(&kafka, &consumer).await.unwrap().len(), 1);
        tokio::time::advance(Duration::from_secs(299)).await;
        assert!(poll(&kafka, &consumer).await.unwrap().is_empty(), "in time");
        tokio::time::advance(Duration::from_secs(300)).await;
        assert_eq!(values(&poll(&kafka, &consumer).await.unwrap()), ["x"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_wait_counts_as_consuming() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        let consumer = kafka.create_consumer(config()).await.unwrap();
        kafka.produce_message(&producer, record(0, "x")).await.unwrap();
        assert_eq!(poll(&kafka, &consumer).await.unwrap().len(), 1);
        let options = ConsumeOptions::new().with_max_wait(Duration::from_secs(1000));
        assert!(kafka.consume_messages(&consumer, options).await.unwrap().is_empty());
        kafka
            .commit_offsets(&consumer, CommitOffsets::Consumed)
            .await
            .expect("it is still a member");
    }

    #[tokio::test(start_paused = true)]
    async fn a_crashed_member_is_removed_after_its_session_timeout() {
        let cluster = MemoryCluster::new();
        let (first, second) = (cluster.client(), cluster.client());
        let producer = topic(&first, 1).await;
        let short_session = config().with_session_timeout(Duration::from_secs(10));
        let crashing = first.create_consumer(short_session).await.unwrap();
        let waiting = second.create_consumer(config()).await.unwrap();
        first.produce_message(&producer, record(0, "x")).await.unwrap();
        first.crash_consumer(&crashing).unwrap();
        assert_eq!(first.crash_consumer(&crashing).unwrap_err().kind(), ErrorKind::NotFound);

        let before = Instant::now();
        let options = ConsumeOptions::new().with_max_wait(Duration::from_secs(100));
        assert_eq!(second.consume_messages(&waiting, options).await.unwrap().len(), 1);
        assert!((10..11).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_the_last_clone_of_a_client_leaves_its_groups() {
        let cluster = MemoryCluster::new();
        let (leaving, staying) = (cluster.client(), cluster.client());
        topic(&staying, 1).await;
        leaving.create_consumer(config()).await.unwrap();
        staying.create_consumer(config()).await.unwrap();
        let clone = leaving.clone();
        drop(leaving);
        assert_eq!(staying.consumer_group_info("g").await.unwrap().members.len(), 2);
        drop(clone);
        assert_eq!(staying.consumer_group_info("g").await.unwrap().members.len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_static_member_returns_without_a_rebalance() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 2).await;
        let named = |id: &str| {
            config()
                .with_group_instance_id(id)
                .with_session_timeout(Duration::from_secs(10))
        };
        let first = kafka.create_consumer(named("a")).await.unwrap();
        let second = kafka.create_consumer(named("b")).await.unwrap();
        poll(&kafka, &first).await.unwrap();
        poll(&kafka, &second).await.unwrap();
        let before = kafka.consumer_group_info("g").await.unwrap();
        let rebalances = kafka.kafka_metrics().await.unwrap().rebalances;

        kafka.close_consumer(&first).await.unwrap();
        tokio::time::advance(Duration::from_secs(9)).await;
        poll(&kafka, &second).await.unwrap();
        let again = kafka.create_consumer(named("a")).await.unwrap();
        assert_eq!(
            kafka.consumer_group_info("g").await.unwrap(),
            before,
            "same members, same partitions"
        );
        let after = kafka.kafka_metrics().await.unwrap().rebalances;
        assert_eq!(after, rebalances + 1, "only the returning member got partitions");

        let mine = before.members[0].assignment[0].partition;
        kafka.produce_message(&producer, record(mine, "x")).await.unwrap();
        assert_eq!(values(&poll(&kafka, &again).await.unwrap()), ["x"]);

        kafka.close_consumer(&again).await.unwrap();
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(
            kafka.consumer_group_info("g").await.unwrap().members.len(),
            1,
            "its session has timed out"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_recreated_topic_has_no_committed_offsets() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        let consumer = kafka.create_consumer(config()).await.unwrap();
        kafka.produce_message(&producer, record(0, "old")).await.unwrap();
        poll(&kafka, &consumer).await.unwrap();
        kafka.commit_offsets(&consumer, CommitOffsets::Consumed).await.unwrap();
        kafka.delete_topic("t").await.unwrap();
        let deleted = poll(&kafka, &consumer).await.unwrap_err();
        assert_eq!(deleted.kind(), ErrorKind::NotFound);
        kafka.create_topic(NewTopic::new("t", 1)).await.unwrap();
        kafka.produce_message(&producer, record(0, "new")).await.unwrap();
        assert_eq!(values(&poll(&kafka, &consumer).await.unwrap()), ["new"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_busy_partition_does_not_starve_the_others() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 3).await;
        let busy = (0..100)
            .map(|_| record(0, "busy"))
            .chain([record(1, "rare"), record(2, "rare")]);
        kafka.produce_messages(&producer, busy.collect()).await.unwrap();
        let consumer = kafka.create_consumer(config()).await.unwrap();
        let options = ConsumeOptions::new()
            .with_max_messages(12)
            .with_max_wait(Duration::ZERO);
        let messages = kafka.consume_messages(&consumer, options).await.unwrap();
        assert_eq!(messages.len(), 12, "unused shares of other partitions are used");
        assert_eq!(partitions(&messages), BTreeSet::from([0, 1, 2]));

        let options = options.with_max_messages(1);
        for partition in [1, 2] {
            kafka
                .produce_message(&producer, record(partition, "again"))
                .await
                .unwrap();
        }
        let mut seen = BTreeSet::new();
        for _ in 0..3 {
            seen.extend(partitions(&kafka.consume_messages(&consumer, options).await.unwrap()));
        }
        assert_eq!(seen, BTreeSet::from([0, 1, 2]), "each partition in turn");
    }

    #[tokio::test(start_paused = true)]
    async fn concurrent_calls_share_the_messages() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        let consumer = kafka.create_consumer(config()).await.unwrap();
        let options = ConsumeOptions::new()
            .with_max_messages(1)
            .with_max_wait(Duration::from_secs(60));
        let write = async {
            tokio::task::yield_now().await;
            kafka
                .produce_messages(&producer, vec![record(0, "a"), record(0, "b")])
                .await
        };
        let before = Instant::now();
        let (first, second, written) = tokio::join!(
            kafka.consume_messages(&consumer, options),
            kafka.consume_messages(&consumer, options),
            write
        );
        written.unwrap();
        let mut all = [first.unwrap(), second.unwrap()].concat();
        all.sort_by_key(|message| message.offset);
        assert_eq!(values(&all), ["a", "b"]);
        assert_eq!(before.elapsed(), Duration::ZERO, "both calls were woken");
    }

    #[tokio::test(start_paused = true)]
    async fn closing_a_consumer_ends_its_calls() {
        let kafka = MemoryKafka::new();
        topic(&kafka, 1).await;
        let consumer = kafka.create_consumer(config()).await.unwrap();
        let options = ConsumeOptions::new().with_max_wait(Duration::from_secs(60));
        let close = async {
            tokio::task::yield_now().await;
            kafka.close_consumer(&consumer).await
        };
        let before = Instant::now();
        let (ended, closed) = tokio::join!(kafka.consume_messages(&consumer, options), close);
        closed.unwrap();
        assert_eq!(ended.unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(before.elapsed(), Duration::ZERO);
    }
}

mod retention {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn dropped_offsets_are_reset_by_the_policy() {
        let kafka = MemoryCluster::builder().max_records_per_partition(3).build().client();
        let producer = topic(&kafka, 1).await;
        let consumer = kafka.create_consumer(config()).await.unwrap();
        kafka.produce_message(&producer, record(0, "0")).await.unwrap();
        poll(&kafka, &consumer).await.unwrap();
        kafka.commit_offsets(&consumer, CommitOffsets::Consumed).await.unwrap();
        kafka.close_consumer(&consumer).await.unwrap();
        for value in ["1", "2", "3", "4", "5"] {
            kafka.produce_message(&producer, record(0, value)).await.unwrap();
        }
        let metadata = kafka.topic_metadata("t").await.unwrap();
        assert_eq!(
            (
                metadata.partitions[0].earliest_offset,
                metadata.partitions[0].latest_offset
            ),
            (3, 6)
        );

        for (reset, expected) in [
            (OffsetReset::Earliest, &["3", "4", "5"][..]),
            (OffsetReset::Latest, &[]),
        ] {
            let consumer = kafka.create_consumer(config().with_offset_reset(reset)).await.unwrap();
            assert_eq!(values(&poll(&kafka, &consumer).await.unwrap()), expected, "{reset}");
            kafka.close_consumer(&consumer).await.unwrap();
        }
        let consumer = kafka
            .create_consumer(config().with_offset_reset(OffsetReset::Fail))
            .await
            .unwrap();
        assert_eq!(poll(&kafka, &consumer).await.unwrap_err().kind(), ErrorKind::NotFound);
        kafka.commit_offsets(&consumer, offset(0, 4)).await.unwrap();
        assert_eq!(
            values(&poll(&kafka, &consumer).await.unwrap()),
            ["4", "5"],
            "it starts at the committed offset"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn retention_ms_follows_the_clock() {
        let clock = Arc::new(TokioClock::starting_at(UNIX_EPOCH + Duration::from_secs(1_000_000)));
        let kafka = MemoryCluster::builder().clock(clock).build().client();
        kafka
            .create_topic(NewTopic::new("t", 1).with_config("retention.ms", "5000"))
            .await
            .unwrap();
        let producer = kafka.create_producer(ProducerConfig::new()).await.unwrap();
        let written = kafka.produce_message(&producer, record(0, "old")).await.unwrap();
        assert_eq!(written.timestamp, Some(UNIX_EPOCH + Duration::from_secs(1_000_000)));
        tokio::time::advance(Duration::from_secs(4)).await;
        kafka.produce_message(&producer, record(0, "young")).await.unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        let consumer = kafka.create_consumer(config()).await.unwrap();
        assert_eq!(values(&poll(&kafka, &consumer).await.unwrap()), ["young"]);
    }

    #[tokio::test(start_paused = true)]
    async fn topic_settings_are_checked() {
        let kafka = MemoryKafka::new();
        for (name, value) in [
            ("retention.ms", "soon"),
            ("retention.ms", "-2"),
            ("segment.bytes", "abc"),
            ("min.insync.replicas", "0"),
            ("no.such.setting", "1"),
        ] {
            let error = kafka
                .create_topic(NewTopic::new("t", 1).with_config(name, value))
                .await
                .unwrap_err();
            assert_eq!(error.field(), Some(format!("config.{name}").as_str()));
        }
        let error = kafka
            .create_topic(NewTopic::new("t", 1).with_replication_factor(2))
            .await
            .unwrap_err();
        assert_eq!(error.field(), Some("replication_factor"));

        let limited = NewTopic::new("t", 1)
            .with_config("max.message.bytes", "70")
            .with_config("segment.bytes", "1048576");
        kafka.create_topic(limited).await.unwrap();
        let producer = kafka.create_producer(ProducerConfig::new()).await.unwrap();
        let error = kafka.produce_message(&producer, record(0, "1234")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TooLarge);
        // 61 bytes of the batch, 7 of the record.
        kafka.produce_message(&producer, record(0, "12")).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_checks_records_like_a_broker() {
        let clock = Arc::new(TokioClock::starting_at(UNIX_EPOCH + Duration::from_secs(1_000_000)));
        let kafka = MemoryCluster::builder().clock(clock).build().client();
        let now = UNIX_EPOCH + Duration::from_secs(1_000_000);
        let hour = Duration::from_secs(3600);
        for topic in [
            NewTopic::new("compacted", 1)
                .with_config("cleanup.policy", "compact")
                .with_config("delete.retention.ms", "5"),
            NewTopic::new("plain", 1).with_config("message.timestamp.before.max.ms", "3600000"),
            NewTopic::new("append", 1).with_config("message.timestamp.type", "LogAppendTime"),
            NewTopic::new("replicated", 1).with_config("min.insync.replicas", "2"),
        ] {
            kafka.create_topic(topic).await.unwrap();
        }
        let producer = kafka.create_producer(ProducerConfig::new()).await.unwrap();
        let write = async |record: ProducerRecord| kafka.produce_message(&producer, record).await;
        let to = |topic: &str| ProducerRecord::new(topic).with_value("x");
        let error = write(to("compacted")).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Rejected);
        assert_eq!(write(to("compacted").with_key("k")).await.unwrap().offset, Some(0));
        let millisecond = Duration::from_millis(1);
        for (timestamp, accepted) in [
            (now + hour, true),
            (now + hour + millisecond, false),
            (now - hour, true),
            (now - hour - millisecond, false),
        ] {
            let result = write(to("plain").with_timestamp(timestamp)).await;
            assert_eq!(result.is_ok(), accepted, "{timestamp:?}");
            assert!(accepted || result.unwrap_err().field() == Some("timestamp"));
        }
        let written = write(to("append").with_timestamp(now + hour * 48)).await.unwrap();
        assert_eq!(written.timestamp, Some(now));
        assert_eq!(write(to("replicated")).await.unwrap_err().kind(), ErrorKind::Timeout);

        let unacknowledged = kafka
            .create_producer(ProducerConfig::new().with_acks(Acks::None))
            .await
            .unwrap();
        let lost = kafka.produce_message(&unacknowledged, to("compacted")).await.unwrap();
        assert_eq!(lost.offset, None);
        kafka.produce_message(&unacknowledged, to("replicated")).await.unwrap();
        let end = async |topic| kafka.topic_metadata(topic).await.unwrap().partitions[0].latest_offset;
        assert_eq!((end("compacted").await, end("replicated").await), (1, 1));
    }

    #[tokio::test(start_paused = true)]
    async fn names_and_session_timeouts_are_checked_like_by_a_broker() {
        let kafka = MemoryKafka::new();
        kafka.create_topic(NewTopic::new("x_a.b", 1)).await.unwrap();
        for name in ["x.a.b", "x_a_b", "x.a_b"] {
            let error = kafka.create_topic(NewTopic::new(name, 1)).await.unwrap_err();
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("name")));
        }
        kafka.create_topic(NewTopic::new("x-a.b", 1)).await.unwrap();
        for error in [
            kafka.topic_metadata("a/b").await.unwrap_err(),
            kafka.delete_topic("").await.unwrap_err(),
        ] {
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("topic")));
        }
        let error = kafka.consumer_group_info(" ").await.unwrap_err();
        assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some("group")));

        let consumer = |millis| {
            ConsumerConfig::new("g", ["x-a.b"])
                .with_session_timeout(Duration::from_millis(millis))
                .with_max_poll_interval(Duration::from_secs(7200))
        };
        for (millis, accepted) in [
            (500, false),
            (5999, false),
            (6000, true),
            (1_800_000, true),
            (3_600_000, false),
        ] {
            let created = kafka.create_consumer(consumer(millis)).await;
            assert_eq!(created.is_ok(), accepted, "{millis} ms");
            assert!(accepted || created.unwrap_err().field() == Some("session_timeout"));
        }
        let cluster = MemoryCluster::builder()
            .session_timeouts(Duration::from_millis(500), Duration::from_secs(10))
            .build();
        cluster.create_topic(&NewTopic::new("x-a.b", 1)).unwrap();
        cluster.client().create_consumer(consumer(500)).await.unwrap();
    }
}

mod producers {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn records_without_a_key_change_partition_by_call_and_by_batch_size() {
        let kafka = MemoryCluster::builder().seed(1).build().client();
        let producer = topic(&kafka, 3).await;
        let keyless = || ProducerRecord::new("t").with_value("12345");
        let mut seen = Vec::new();
        for _ in 0..4 {
            seen.push(kafka.produce_message(&producer, keyless()).await.unwrap().partition);
        }
        assert_eq!(seen, [1, 2, 0, 1]);

        let mut small = ProducerConfig::new();
        small.batch_size = 10;
        let producer = kafka.create_producer(small).await.unwrap();
        let written = kafka
            .produce_messages(&producer, vec![keyless(), keyless(), keyless()])
            .await
            .unwrap();
        let seen: Vec<i32> = written.into_iter().map(|result| result.unwrap().partition).collect();
        assert_eq!(seen, [2, 2, 0], "a batch of 10 bytes is full after two records");
    }

    #[tokio::test(start_paused = true)]
    async fn writes_to_an_unavailable_topic_wait_in_order_and_flush_waits_for_them() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        kafka.cluster().set_topic_available("t", false).unwrap();
        let write = |value| kafka.produce_message(&producer, record(0, value));
        let outage = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            let in_flight = kafka.kafka_metrics().await.unwrap().producers[&producer].in_flight;
            let error = kafka.flush(&producer, Duration::from_secs(1)).await.unwrap_err();
            kafka.cluster().set_topic_available("t", true).unwrap();
            kafka.flush(&producer, Duration::from_secs(1)).await.unwrap();
            (in_flight, error)
        };
        let (first, second, (in_flight, error)) = tokio::join!(write("a"), write("b"), outage);
        assert_eq!((first.unwrap().offset, second.unwrap().offset), (Some(0), Some(1)));
        assert_eq!(in_flight, 2);
        assert_eq!((error.kind(), error.phase()), (ErrorKind::Timeout, Some(Phase::Total)));
    }

    #[tokio::test(start_paused = true)]
    async fn records_beyond_the_queue_are_exhausted_and_the_others_time_out() {
        let kafka = MemoryKafka::new();
        topic(&kafka, 1).await;
        let config = ProducerConfig::new()
            .with_queue_size(2)
            .with_delivery_timeout(Duration::from_secs(3));
        let producer = kafka.create_producer(config).await.unwrap();
        kafka.create_topic(NewTopic::new("other", 1)).await.unwrap();
        kafka.cluster().set_topic_available("t", false).unwrap();
        let mut batch = vec![record(0, "a"), record(0, "b"), record(0, "c")];
        batch.insert(1, ProducerRecord::new("other"));
        let before = Instant::now();
        let results = kafka.produce_messages(&producer, batch).await.unwrap();
        assert_eq!(before.elapsed(), Duration::from_secs(3));
        let kinds: Vec<_> = results
            .iter()
            .map(|result| result.as_ref().map(|_| ()).map_err(NetworkError::kind))
            .collect();
        let (late, full) = (Err(ErrorKind::Timeout), Err(ErrorKind::Exhausted));
        assert_eq!(
            kinds,
            [late, Ok(()), late, full],
            "in the order of the records; another topic is not affected"
        );
        assert_eq!(results[0].as_ref().unwrap_err().send_state(), SendState::NotSent);
        kafka.cluster().set_topic_available("t", true).unwrap();
        assert_eq!(
            kafka.topic_metadata("t").await.unwrap().partitions[0].latest_offset,
            0,
            "nothing is written late"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn dropping_a_waiting_write_removes_it_from_the_queue() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        kafka.cluster().set_topic_available("t", false).unwrap();
        let write = kafka.produce_message(&producer, record(0, "dropped"));
        assert!(tokio::time::timeout(Duration::from_secs(1), write).await.is_err());
        kafka.cluster().set_topic_available("t", true).unwrap();
        let written = kafka.produce_message(&producer, record(0, "kept")).await.unwrap();
        assert_eq!(written.offset, Some(0));
        kafka.flush(&producer, Duration::from_secs(1)).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn closing_a_producer_waits_for_its_records_up_to_the_delivery_timeout() {
        let kafka = MemoryKafka::new();
        topic(&kafka, 1).await;
        let config = ProducerConfig::new().with_delivery_timeout(Duration::from_secs(3));
        let producer = kafka.create_producer(config).await.unwrap();
        kafka.cluster().set_topic_available("t", false).unwrap();
        let close = async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            kafka.close_producer(&producer).await
        };
        let (written, closed) = tokio::join!(kafka.produce_message(&producer, record(0, "x")), close);
        assert_eq!(written.unwrap_err().kind(), ErrorKind::Timeout);
        closed.expect("the record failed 2 s after closing started, within the 3 s that closing may take");
    }

    #[tokio::test(start_paused = true)]
    async fn topics_are_created_on_first_use_if_configured() {
        let kafka = MemoryCluster::builder().auto_create_topics(4).build().client();
        let producer = kafka.create_producer(ProducerConfig::new()).await.unwrap();
        kafka
            .produce_message(&producer, ProducerRecord::new("by-writing"))
            .await
            .unwrap();
        kafka
            .create_consumer(ConsumerConfig::new("g", ["by-reading"]))
            .await
            .unwrap();
        for topic in ["by-writing", "by-reading"] {
            assert_eq!(kafka.topic_metadata(topic).await.unwrap().partitions.len(), 4);
        }
        assert_eq!(
            kafka.topic_metadata("by-asking").await.unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}

mod faults {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fault_applies_to_the_records_of_its_topic_only() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        kafka.create_topic(NewTopic::new("other", 1)).await.unwrap();
        let fault = Fault::new(FaultPoint::Produce, ErrorKind::ConnectionClosed)
            .on_topic("t")
            .after(1)
            .times(1);
        kafka.cluster().inject(fault);
        let batch = vec![
            record(0, "a"),
            ProducerRecord::new("other"),
            record(0, "b"),
            record(0, "c"),
        ];
        let results = kafka.produce_messages(&producer, batch).await.unwrap();
        let ok: Vec<bool> = results.iter().map(Result::is_ok).collect();
        assert_eq!(ok, [true, true, false, true]);
        assert!(results[2].as_ref().unwrap_err().is_a(ErrorKind::Connection));
        assert_eq!(kafka.topic_metadata("t").await.unwrap().partitions[0].latest_offset, 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_fault_after_the_effect_loses_only_the_response() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        kafka
            .cluster()
            .inject(Fault::new(FaultPoint::Produce, ErrorKind::Timeout).after_effect());
        assert_eq!(
            kafka
                .produce_message(&producer, record(0, "x"))
                .await
                .unwrap_err()
                .kind(),
            ErrorKind::Timeout
        );
        let consumer = kafka.create_consumer(config()).await.unwrap();
        assert_eq!(values(&poll(&kafka, &consumer).await.unwrap()), ["x"]);
        kafka.cluster().inject(
            Fault::new(FaultPoint::Commit, ErrorKind::ConnectionClosed)
                .on_topic("t")
                .after_effect(),
        );
        kafka
            .commit_offsets(&consumer, CommitOffsets::Consumed)
            .await
            .unwrap_err();
        assert_eq!(
            kafka.consumer_group_info("g").await.unwrap().offsets[0].committed,
            Some(1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn consuming_committing_and_administration_can_fail() {
        let kafka = MemoryKafka::new();
        topic(&kafka, 1).await;
        let consumer = kafka.create_consumer(config()).await.unwrap();
        let points = [FaultPoint::Consume, FaultPoint::Commit, FaultPoint::Admin];
        for point in points {
            kafka.cluster().inject(Fault::new(point, ErrorKind::Remote));
        }
        assert_eq!(poll(&kafka, &consumer).await.unwrap_err().kind(), ErrorKind::Remote);
        assert_eq!(
            kafka.commit_offsets(&consumer, offset(0, 0)).await.unwrap_err().kind(),
            ErrorKind::Remote
        );
        assert_eq!(kafka.topic_metadata("t").await.unwrap_err().kind(), ErrorKind::Remote);
        poll(&kafka, &consumer).await.expect("each fault applied once");

        kafka
            .cluster()
            .inject(Fault::new(FaultPoint::Consume, ErrorKind::Remote).times(usize::MAX));
        for _ in 0..3 {
            poll(&kafka, &consumer).await.unwrap_err();
        }
        kafka.cluster().clear_faults();
        poll(&kafka, &consumer).await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn an_unavailable_topic_returns_no_records_and_has_no_leader() {
        let kafka = MemoryKafka::new();
        let producer = topic(&kafka, 1).await;
        kafka.produce_message(&producer, record(0, "x")).await.unwrap();
        let consumer = kafka.create_consumer(config()).await.unwrap();
        kafka.cluster().set_topic_available("t", false).unwrap();
        assert!(poll(&kafka, &consumer).await.unwrap().is_empty());
        let unavailable = kafka.topic_metadata("t").await.unwrap().partitions.remove(0);
        assert_eq!(
            (
                unavailable.leader,
                unavailable.earliest_offset,
                unavailable.latest_offset
            ),
            (None, -1, -1)
        );
        let recovery = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            kafka.cluster().set_topic_available("t", true)
        };
        let before = Instant::now();
        let waiting = kafka.consume_exactly(&consumer, 1, Duration::from_secs(60));
        let (messages, recovered) = tokio::join!(waiting, recovery);
        recovered.unwrap();
        assert_eq!(values(&messages.unwrap()), ["x"]);
        assert_eq!(before.elapsed(), Duration::from_secs(5));
        assert_eq!(
            kafka.cluster().set_topic_available("none", true).unwrap_err().kind(),
            ErrorKind::NotFound
        );
    }
}

mod limits {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn partitions_groups_and_handles_are_bounded() {
        let cluster = MemoryCluster::builder()
            .max_partitions(3)
            .max_groups(1)
            .max_handles_per_client(1)
            .build();
        let kafka = cluster.client();
        topic(&kafka, 2).await;
        let exhausted = |result: Result<()>| assert_eq!(result.unwrap_err().kind(), ErrorKind::Exhausted);
        exhausted(kafka.create_topic(NewTopic::new("u", 2)).await);
        exhausted(kafka.create_producer(ProducerConfig::new()).await.map(drop));
        let consumer = kafka.create_consumer(config()).await.unwrap();
        exhausted(kafka.create_consumer(config()).await.map(drop));
        let other = || ConsumerConfig::new("another", ["t"]);
        exhausted(cluster.client().create_consumer(other()).await.map(drop));
        kafka.close_consumer(&consumer).await.unwrap();
        cluster
            .client()
            .create_consumer(other())
            .await
            .expect("a group without members and offsets is removed");
    }

    #[tokio::test(start_paused = true)]
    async fn backend_settings_are_rejected() {
        let kafka = MemoryKafka::new();
        topic(&kafka, 1).await;
        let config = ProducerConfig::new().with_backend_setting("socket.timeout.ms", "1");
        let error = kafka.create_producer(config).await.unwrap_err();
        assert_eq!(error.field(), Some("backend.socket.timeout.ms"));
        let consumer = super::config().with_backend_setting("fetch.min.bytes", "1");
        let error = kafka.create_consumer(consumer).await.unwrap_err();
        assert_eq!(error.field(), Some("backend.fetch.min.bytes"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_topic_that_does_not_exist_cannot_be_subscribed_to() {
        let error = MemoryKafka::new().create_consumer(config()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
    }
}

/// Threads write and read concurrently: every record is read once and in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn threads_lose_and_duplicate_no_record() {
    const WRITERS: usize = 4;
    const RECORDS: usize = 2000;
    let cluster = MemoryCluster::new();
    let kafka = cluster.client();
    kafka.create_topic(NewTopic::new("t", 3)).await.unwrap();
    let consumer = kafka.create_consumer(config()).await.unwrap();
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let client = cluster.client();
            tokio::spawn(async move {
                let producer = client.create_producer(ProducerConfig::new()).await.unwrap();
                for number in 0..RECORDS {
                    let record = ProducerRecord::new("t")
                        .with_key(writer.to_string())
                        .with_value(number.to_string());
                    client.produce_message(&producer, record).await.unwrap();
                }
            })
        })
        .collect();
    let mut next = [0; WRITERS];
    while next.iter().sum::<usize>() < WRITERS * RECORDS {
        let options = ConsumeOptions::new().with_max_wait(Duration::from_secs(60));
        let messages = kafka.consume_messages(&consumer, options).await.unwrap();
        assert!(!messages.is_empty(), "woken for every record; read so far: {next:?}");
        for message in messages {
            let writer: usize = std::str::from_utf8(message.key.as_ref().unwrap())
                .unwrap()
                .parse()
                .unwrap();
            assert_eq!(message.value_str(), Some(next[writer].to_string().as_str()));
            next[writer] += 1;
        }
    }
    for writer in writers {
        writer.await.unwrap();
    }
}
