//! The librdkafka client against the cluster that the environment variable `KAFKA_BOOTSTRAP` names, where the mock cluster differs
//! from a broker. `cargo xtask live kafka` runs these tests.

use std::time::{Duration, UNIX_EPOCH};

use networking_kafka::rdkafka::RdKafkaClient;
use networking_spi::ErrorKind;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{
    CommitOffsets, ConsumerConfig, KafkaClient, KafkaClientExt, NewTopic, OffsetReset, ProducerConfig, ProducerRecord,
};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};

const LONG: Duration = Duration::from_secs(30);

fn bootstrap() -> String {
    std::env::var("KAFKA_BOOTSTRAP").expect("KAFKA_BOOTSTRAP names the cluster")
}

fn client() -> RdKafkaClient {
    RdKafkaClient::builder(bootstrap()).build().expect("valid")
}

fn unique(what: &str) -> String {
    let since = SystemClock::new().now().duration_since(UNIX_EPOCH).expect("after 1970");
    format!("real-{what}-{}", since.as_nanos())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real cluster in KAFKA_BOOTSTRAP"]
async fn the_markers_of_transactions_are_no_lag() {
    let (kafka, topic, group) = (client(), unique("transactions"), unique("group"));
    kafka
        .create_topic(NewTopic::new(topic.as_str(), 2))
        .await
        .expect("created");
    let write = |value: &'static str, commit: bool| {
        let (topic, transaction) = (topic.clone(), unique("transaction"));
        tokio::task::spawn_blocking(move || {
            let producer: BaseProducer = rdkafka::ClientConfig::new()
                .set("bootstrap.servers", bootstrap())
                .set("transactional.id", transaction)
                .create()
                .expect("valid");
            producer.init_transactions(LONG).expect("a coordinator");
            producer.begin_transaction().expect("begun");
            for partition in 0..2 {
                let record = BaseRecord::<str, str>::to(&topic).partition(partition).payload(value);
                producer.send(record).map_err(|(error, _)| error).expect("queued");
            }
            producer.flush(LONG).expect("written");
            let ended = if commit {
                producer.commit_transaction(LONG)
            } else {
                producer.abort_transaction(LONG)
            };
            ended.expect("ended");
        })
    };
    for _ in 0..3 {
        write("x", true).await.expect("no panic");
    }
    let config = ConsumerConfig::new(group.as_str(), [topic.as_str()]).with_offset_reset(OffsetReset::Earliest);
    let consumer = kafka.create_consumer(config).await.expect("created");
    kafka.consume_exactly(&consumer, 6, LONG).await.expect("read");
    kafka
        .commit_offsets(&consumer, CommitOffsets::Consumed)
        .await
        .expect("committed");
    let info = kafka.consumer_group_info(&group).await.expect("known");
    assert_eq!(info.total_lag(), 0, "{info:?}");
    for offset in &info.offsets {
        assert_eq!(
            (offset.committed, offset.latest),
            (Some(5), 6),
            "a record and a marker each"
        );
    }
    write("x", true).await.expect("no panic");
    let info = kafka.consumer_group_info(&group).await.expect("known");
    assert!(
        info.offsets.iter().all(|offset| offset.lag.is_some_and(|lag| lag > 0)),
        "{info:?}"
    );
    kafka.close_consumer(&consumer).await.expect("left");
    kafka.delete_topic(&topic).await.expect("deleted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs a real cluster in KAFKA_BOOTSTRAP"]
async fn innocent_records_keep_their_order_in_large_calls() {
    for idempotent in [true, false] {
        let (kafka, topic) = (client(), unique("order"));
        let new = NewTopic::new(topic.as_str(), 1).with_config("cleanup.policy", "compact");
        kafka.create_topic(new).await.expect("created");
        let config = ProducerConfig::new()
            .with_idempotent(idempotent)
            .with_batch_size(10_000);
        let producer = kafka.create_producer(config).await.expect("created");
        let records = (0..5_000).map(|number| {
            let record = ProducerRecord::new(topic.as_str()).with_value(format!("{number:0200}"));
            if number % 500 == 250 {
                record
            } else {
                record.with_key(number.to_string())
            }
        });
        let results = kafka
            .produce_messages(&producer, records.collect())
            .await
            .expect("open");
        for (number, result) in results.iter().enumerate() {
            if number % 500 == 250 {
                assert_eq!(result.as_ref().expect_err("no key").kind(), ErrorKind::Rejected);
            } else {
                assert!(result.is_ok(), "{number}: {result:?}");
            }
        }
        let config = ConsumerConfig::new(unique("group"), [topic.as_str()]).with_offset_reset(OffsetReset::Earliest);
        let consumer = kafka.create_consumer(config).await.expect("created");
        let read = kafka.consume_exactly(&consumer, 4_990, LONG).await.expect("read");
        let numbers = read
            .iter()
            .map(|message| message.value_str().expect("text").parse::<usize>().expect("a number"))
            .collect::<Vec<_>>();
        assert!(numbers.is_sorted(), "idempotent: {idempotent}");
        assert!(numbers.windows(2).all(|pair| pair[0] != pair[1]), "each record once");
        let metrics = kafka.kafka_metrics().await.expect("local");
        assert_eq!(metrics.consumers[&consumer].lag, Some(0));
        kafka.close_consumer(&consumer).await.expect("left");
        kafka.delete_topic(&topic).await.expect("deleted");
    }
}
