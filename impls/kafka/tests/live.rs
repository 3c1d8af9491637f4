//! The librdkafka client against a real cluster, where the suite cannot say it: what only its admin requests can do.

use std::time::{Duration, UNIX_EPOCH};

use networking_kafka::rdkafka::RdKafkaClient;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{
    ConsumeOptions, ConsumerConfig, ConsumerId, KafkaClient, NewTopic, OffsetReset, ProducerConfig, ProducerId,
    ProducerRecord,
};
use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions};
use rdkafka::client::DefaultClientContext;
use tokio::time::Instant;

const PATIENCE: Duration = Duration::from_secs(60);

fn bootstrap() -> String {
    std::env::var("KAFKA_BOOTSTRAP").expect("KAFKA_BOOTSTRAP is set")
}

async fn write(kafka: &RdKafkaClient, producer: &ProducerId, topic: &str, partition: i32, value: String) {
    let record = ProducerRecord::new(topic).with_partition(partition).with_value(value);
    let deadline = Instant::now() + PATIENCE;
    // The producer may not know a new partition yet.
    while let Err(error) = kafka.produce_message(producer, record.clone()).await {
        assert!(Instant::now() < deadline, "{error}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Reads until each of `expected` was read.
async fn read(kafka: &RdKafkaClient, consumer: &ConsumerId, expected: &[String]) {
    let deadline = Instant::now() + PATIENCE;
    let mut missing = expected.to_vec();
    while !missing.is_empty() {
        assert!(Instant::now() < deadline, "not read: {missing:?}");
        let messages = kafka
            .consume_messages(consumer, ConsumeOptions::new())
            .await
            .expect("read");
        missing.retain(|value| !messages.iter().any(|message| message.value_str() == Some(value)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it needs a Kafka cluster in KAFKA_BOOTSTRAP; `cargo xtask live kafka` runs it"]
async fn live_records_of_an_added_partition_are_read_with_latest() {
    let since = SystemClock::new().now().duration_since(UNIX_EPOCH).expect("after 1970");
    for protocol in ["classic", "consumer"] {
        let topic = format!("live-added-{protocol}-{}", since.as_nanos());
        let kafka = RdKafkaClient::builder(bootstrap()).build().expect("valid");
        kafka
            .create_topic(NewTopic::new(topic.as_str(), 1))
            .await
            .expect("created");
        let producer = kafka.create_producer(ProducerConfig::new()).await.expect("created");
        let config = ConsumerConfig::new(format!("{topic}-group"), [topic.as_str()])
            .with_offset_reset(OffsetReset::Latest)
            .with_backend_setting("group.protocol", protocol);
        let consumer = kafka.create_consumer(config).await.expect("created");
        // Until the consumer has a position.
        let deadline = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < deadline, "nothing was read");
            write(&kafka, &producer, &topic, 0, "probe".to_owned()).await;
            let options = ConsumeOptions::new().with_max_wait(Duration::from_millis(300));
            if !kafka
                .consume_messages(&consumer, options)
                .await
                .expect("read")
                .is_empty()
            {
                break;
            }
        }

        let admin: AdminClient<DefaultClientContext> = ClientConfig::new()
            .set("bootstrap.servers", bootstrap())
            .create()
            .expect("valid");
        let added = admin
            .create_partitions(&[NewPartitions::new(&topic, 3)], &AdminOptions::new())
            .await
            .expect("answered");
        for result in added {
            result.expect("added");
        }
        let mut values = Vec::new();
        for partition in 1..3 {
            for number in 0..5 {
                let value = format!("{partition}-{number}");
                write(&kafka, &producer, &topic, partition, value.clone()).await;
                values.push(value);
            }
        }
        read(&kafka, &consumer, &values).await;
        kafka.close_consumer(&consumer).await.expect("left");
        kafka.delete_topic(&topic).await.expect("deleted");
    }
}
