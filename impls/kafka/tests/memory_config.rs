//! Configurations and capabilities of the in-memory cluster: linger, batches, client ids, and clusters that lack something.

use std::collections::BTreeSet;
use std::time::Duration;

use networking_kafka::memory::{MemoryCluster, MemoryKafka};
use networking_spi::ErrorKind;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerConfig, KafkaCapabilities, KafkaClient, NewTopic, OffsetReset,
    ProducerConfig, ProducerId, ProducerRecord,
};
use tokio::time::{Instant, sleep, timeout};

const LINGER: Duration = Duration::from_secs(2);

async fn lingering(kafka: &MemoryKafka, config: ProducerConfig) -> ProducerId {
    kafka.cluster().create_topic(&NewTopic::new("t", 1)).unwrap();
    kafka.create_producer(config.with_linger(LINGER)).await.unwrap()
}

fn record(value: impl Into<String>) -> ProducerRecord {
    ProducerRecord::new("t").with_value(value.into())
}

async fn written(kafka: &MemoryKafka) -> i64 {
    kafka.topic_metadata("t").await.unwrap().partitions[0].latest_offset
}

async fn in_flight(kafka: &MemoryKafka, producer: &ProducerId) -> u64 {
    kafka.kafka_metrics().await.unwrap().producers[producer].in_flight
}

#[tokio::test(start_paused = true)]
async fn concurrent_writes_share_a_batch_and_keep_their_order() {
    let kafka = MemoryKafka::new();
    let producer = lingering(&kafka, ProducerConfig::new()).await;
    let start = Instant::now();
    let writes = (0..10).map(|number| kafka.produce_message(&producer, record(number.to_string())));
    let results = futures_util::future::join_all(writes).await;
    let offsets: Vec<_> = results.into_iter().map(|result| result.unwrap().offset).collect();
    assert_eq!(offsets, (0..10).map(Some).collect::<Vec<_>>());
    assert_eq!(start.elapsed(), LINGER, "one batch");
}

#[tokio::test(start_paused = true)]
async fn the_records_of_several_calls_fill_a_batch() {
    let kafka = MemoryKafka::new();
    let producer = lingering(&kafka, ProducerConfig::new().with_batch_size(10)).await;
    let start = Instant::now();
    let (first, second) = tokio::join!(
        kafka.produce_message(&producer, record("12345")),
        kafka.produce_message(&producer, record("67890")),
    );
    assert_eq!((first.unwrap().offset, second.unwrap().offset), (Some(0), Some(1)));
    assert_eq!(start.elapsed(), Duration::ZERO, "the batch was full");
    kafka.produce_message(&producer, record("x")).await.unwrap();
    assert_eq!(start.elapsed(), LINGER, "the next batch is empty again");
}

#[tokio::test(start_paused = true)]
async fn a_flush_ends_the_linger_of_earlier_records_only() {
    let kafka = MemoryKafka::new();
    let producer = lingering(&kafka, ProducerConfig::new()).await;
    let start = Instant::now();
    let flush = async {
        sleep(LINGER / 4).await;
        kafka.flush(&producer, Duration::from_secs(60)).await.unwrap();
        assert_eq!(written(&kafka).await, 1);
        kafka.produce_message(&producer, record("later")).await.unwrap();
    };
    let (first, ()) = tokio::join!(kafka.produce_message(&producer, record("earlier")), flush);
    first.unwrap();
    assert_eq!(start.elapsed(), LINGER / 4 + LINGER);
}

#[tokio::test(start_paused = true)]
async fn a_dropped_call_is_not_written_and_delays_no_other() {
    let kafka = MemoryKafka::new();
    let producer = lingering(&kafka, ProducerConfig::new()).await;
    timeout(LINGER / 2, kafka.produce_message(&producer, record("dropped")))
        .await
        .unwrap_err();
    assert_eq!(in_flight(&kafka, &producer).await, 0);
    kafka.flush(&producer, Duration::ZERO).await.unwrap();
    let result = kafka.produce_message(&producer, record("kept")).await.unwrap();
    assert_eq!(result.offset, Some(0));
}

#[tokio::test(start_paused = true)]
async fn after_its_linger_a_record_waits_for_its_topic() {
    let kafka = MemoryKafka::new();
    let config = ProducerConfig::new()
        .with_queue_size(1)
        .with_delivery_timeout(Duration::from_secs(5));
    let producer = lingering(&kafka, config).await;
    kafka.cluster().set_topic_available("t", false).unwrap();
    let write = kafka.produce_message(&producer, record("x"));
    tokio::pin!(write);
    assert!(timeout(LINGER + Duration::from_secs(1), &mut write).await.is_err());
    assert_eq!(in_flight(&kafka, &producer).await, 1, "counted once");
    assert_eq!(write.await.unwrap_err().kind(), ErrorKind::Timeout);
    assert_eq!(in_flight(&kafka, &producer).await, 0);
    kafka.cluster().set_topic_available("t", true).unwrap();
    assert_eq!(
        kafka.produce_message(&producer, record("y")).await.unwrap().offset,
        Some(0)
    );
}

#[tokio::test(start_paused = true)]
async fn client_ids_are_in_use_until_the_last_handle_is_closed() {
    let kafka = MemoryKafka::new();
    let producer = lingering(&kafka, ProducerConfig::new().with_client_id("a")).await;
    let config = ConsumerConfig::new("g", ["t"]);
    let consumer = kafka.create_consumer(config.clone().with_client_id("a")).await.unwrap();
    kafka.create_consumer(config).await.unwrap();
    let ids = || kafka.cluster().client_ids();
    assert_eq!(ids(), BTreeSet::from(["a".to_owned()]));
    kafka.close_producer(&producer).await.unwrap();
    assert_eq!(ids(), BTreeSet::from(["a".to_owned()]));
    kafka.close_consumer(&consumer).await.unwrap();
    assert_eq!(ids(), BTreeSet::new());
}

#[tokio::test(start_paused = true)]
async fn without_groups_each_consumer_starts_at_its_offset_reset() {
    let cluster = MemoryCluster::builder().capabilities(KafkaCapabilities::none()).build();
    let kafka = cluster.client();
    cluster.create_topic(&NewTopic::new("t", 1)).unwrap();
    let producer = kafka.create_producer(ProducerConfig::new()).await.unwrap();
    kafka.produce_message(&producer, record("x")).await.unwrap();
    let config = ConsumerConfig::new("g", ["t"]).with_offset_reset(OffsetReset::Earliest);
    for _ in 0..2 {
        let consumer = kafka.create_consumer(config.clone()).await.unwrap();
        let messages = kafka.consume_messages(&consumer, ConsumeOptions::new()).await.unwrap();
        assert_eq!(messages.len(), 1);
        let error = kafka
            .commit_offsets(&consumer, CommitOffsets::Consumed)
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
        kafka.close_consumer(&consumer).await.unwrap();
    }
}

#[test]
fn a_cluster_does_not_declare_what_it_lacks() {
    let declared = |capabilities| {
        MemoryCluster::builder()
            .capabilities(capabilities)
            .build()
            .client()
            .capabilities()
    };
    let all = declared(KafkaCapabilities::all());
    assert_eq!(all, MemoryKafka::new().capabilities());
    assert!(all.read_committed && all.transactions);
    let mut without = KafkaCapabilities::all();
    without.groups = false;
    without.topic_admin = false;
    declared(without)
        .check_consistency()
        .expect("what requires these two is gone too");
}
