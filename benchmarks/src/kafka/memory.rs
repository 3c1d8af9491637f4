//! In-memory Kafka: messages per second, written in batches and read back.

use std::time::Duration;

use bytes::Bytes;
use networking_impls::kafka::memory::MemoryKafka;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{
    ConsumeOptions, ConsumerConfig, KafkaClient, NewTopic, OffsetReset, ProducerConfig, ProducerRecord,
};

use crate::measure::{Rounds, alone, per_second};
use crate::report::{Better, Row};

const BATCH: usize = 1_000;
const PARTITIONS: i32 = 12;

/// All rows of the domain.
pub(crate) fn run(rounds: Rounds) -> Vec<Row> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime can be built");
    let mut rows = Vec::new();
    for (name, size, messages) in [("100 B", 100, 400_000), ("1 KiB", 1_024, 200_000)] {
        let produced = alone(rounds, || runtime.block_on(produce(size, messages)).1);
        let consumed = alone(rounds, || {
            runtime.block_on(async {
                let (kafka, _) = produce(size, messages).await;
                consume(&kafka, size, messages).await
            })
        });
        let work = |what: &str| format!("in memory: {what}, {name}, batches of {BATCH}, {PARTITIONS} partitions");
        rows.push(Row::absolute(
            work("produce"),
            "messages/s",
            Better::Higher,
            &produced,
            None,
        ));
        rows.push(Row::absolute(
            work("consume"),
            "messages/s",
            Better::Higher,
            &consumed,
            None,
        ));
    }
    rows
}

/// Writes `messages` messages to a new cluster. Returns the cluster, and the messages written per second.
async fn produce(size: usize, messages: usize) -> (MemoryKafka, f64) {
    let kafka = MemoryKafka::new();
    kafka
        .create_topic(NewTopic::new("benchmark", PARTITIONS))
        .await
        .expect("a new topic");
    let producer = kafka.create_producer(ProducerConfig::new()).await.expect("a producer");
    let payload = Bytes::from(vec![7_u8; size]);
    // The records are made before the measurement, because making them is the application's work, not the client's.
    let batches: Vec<Vec<ProducerRecord>> = (0..messages / BATCH)
        .map(|batch| {
            (0..BATCH)
                .map(|index| {
                    ProducerRecord::new("benchmark")
                        .with_key((batch * BATCH + index).to_le_bytes().to_vec())
                        .with_value(payload.clone())
                })
                .collect()
        })
        .collect();
    let clock = SystemClock::new();
    let mut written = 0;
    for batch in batches {
        let results = kafka
            .produce_messages(&producer, batch)
            .await
            .expect("an open producer");
        written += results.iter().filter(|result| result.is_ok()).count();
    }
    let elapsed = clock.elapsed();
    assert_eq!(written, messages, "every record was acknowledged");
    (kafka, per_second(messages as u64, elapsed))
}

/// Reads all messages. Returns the messages read per second.
async fn consume(kafka: &MemoryKafka, size: usize, messages: usize) -> f64 {
    let config = ConsumerConfig::new("benchmark", ["benchmark"]).with_offset_reset(OffsetReset::Earliest);
    let consumer = kafka.create_consumer(config).await.expect("a consumer");
    let options = ConsumeOptions::new()
        .with_max_messages(BATCH)
        .with_max_wait(Duration::from_secs(5));
    let clock = SystemClock::new();
    let mut read = 0;
    let mut bytes = 0;
    while read < messages {
        let batch = kafka
            .consume_messages(&consumer, options)
            .await
            .expect("an open consumer");
        assert!(!batch.is_empty(), "everything has been written already");
        read += batch.len();
        bytes += batch
            .iter()
            .map(|message| message.value.as_ref().map_or(0, Bytes::len))
            .sum::<usize>();
    }
    let elapsed = clock.elapsed();
    assert_eq!(bytes, messages * size, "every payload was whole");
    per_second(messages as u64, elapsed)
}
