//! The setup of most cases: a client with a topic and a producer.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::join_all;
use networking_spi::kafka::{
    ConsumeOptions, ConsumerConfig, ConsumerId, KafkaClient, KafkaMessage, OffsetReset, ProducerConfig, ProducerId,
    ProducerRecord, RecordMetadata,
};
use tokio::time::Instant;

use super::KafkaHarness;
use crate::check;
use crate::kit::Failure;

/// A client, a producer, and a topic that no other case uses.
pub(crate) struct Stage {
    pub(crate) harness: Arc<dyn KafkaHarness>,
    pub(crate) client: Arc<dyn KafkaClient>,
    pub(crate) producer: ProducerId,
    pub(crate) topic: String,
    pub(crate) group: String,
}

impl Stage {
    pub(crate) async fn new(harness: Arc<dyn KafkaHarness>, partitions: i32) -> Result<Self, Failure> {
        let client = harness.client().await?;
        let topic = harness.topic(partitions).await?;
        let group = harness.unique("group");
        let producer = client.create_producer(ProducerConfig::new()).await?;
        Ok(Self {
            harness,
            client,
            producer,
            topic,
            group,
        })
    }

    /// A record for the topic.
    pub(crate) fn record(&self) -> ProducerRecord {
        ProducerRecord::new(self.topic.as_str())
    }

    /// Writes a record. Fails if the write fails.
    pub(crate) async fn write(&self, record: ProducerRecord) -> Result<RecordMetadata, Failure> {
        Ok(self.client.produce_message(&self.producer, record).await?)
    }

    /// Writes numbered values (`0`, `1`, ...) to partition 0.
    pub(crate) async fn write_numbers(&self, numbers: std::ops::Range<usize>) -> Result<(), Failure> {
        let records = numbers.map(|number| self.record().with_partition(0).with_value(number.to_string()));
        for result in self.client.produce_messages(&self.producer, records.collect()).await? {
            result?;
        }
        Ok(())
    }

    /// A configuration of a consumer in the stage's group that starts at the earliest record.
    pub(crate) fn consumer_config(&self) -> ConsumerConfig {
        ConsumerConfig::new(self.group.as_str(), [self.topic.as_str()]).with_offset_reset(OffsetReset::Earliest)
    }

    /// A consumer in the stage's group that starts at the earliest record.
    pub(crate) async fn consumer(&self) -> Result<ConsumerId, Failure> {
        Ok(self.client.create_consumer(self.consumer_config()).await?)
    }

    /// Reads exactly `count` messages.
    pub(crate) async fn read(&self, consumer: &ConsumerId, count: usize) -> Result<Vec<KafkaMessage>, Failure> {
        read(&*self.harness, &self.client, consumer, count).await
    }

    /// Fails if another message is read.
    pub(crate) async fn read_nothing(&self, consumer: &ConsumerId) -> Result<(), Failure> {
        let options = ConsumeOptions::new().with_max_wait(self.harness.quiet());
        let more = self.client.consume_messages(consumer, options).await?;
        check!(
            more.is_empty(),
            "expected no more messages, got {}, the first at {:?}",
            more.len(),
            more[0]
        );
        Ok(())
    }

    /// Reads `count` messages with a consumer of a new group, and closes it.
    pub(crate) async fn read_back(&self, count: usize) -> Result<Vec<KafkaMessage>, Failure> {
        let config = ConsumerConfig::new(self.harness.unique("reader"), [self.topic.as_str()]);
        let consumer = self
            .client
            .create_consumer(config.with_offset_reset(OffsetReset::Earliest))
            .await?;
        let messages = self.read(&consumer, count).await?;
        self.read_nothing(&consumer).await?;
        self.client.close_consumer(&consumer).await?;
        Ok(messages)
    }
}

/// Reads exactly `count` messages with a consumer of any client.
pub(crate) async fn read(
    harness: &dyn KafkaHarness,
    client: &Arc<dyn KafkaClient>,
    consumer: &ConsumerId,
    count: usize,
) -> Result<Vec<KafkaMessage>, Failure> {
    let deadline = Instant::now() + harness.patience();
    let mut messages = Vec::new();
    while messages.len() < count {
        let left = deadline.saturating_duration_since(Instant::now());
        check!(
            !left.is_zero(),
            "only {} of {count} messages were read within {:?}",
            messages.len(),
            harness.patience()
        );
        let options = ConsumeOptions::new()
            .with_max_messages(count - messages.len())
            .with_max_wait(left);
        messages.extend(client.consume_messages(consumer, options).await?);
    }
    check!(
        messages.len() == count,
        "a call returned more than max_messages: {} of {count}",
        messages.len()
    );
    Ok(messages)
}

/// The values as text, in order.
pub(crate) fn values(messages: &[KafkaMessage]) -> Vec<&str> {
    messages
        .iter()
        .map(|message| message.value_str().unwrap_or("(none)"))
        .collect()
}

/// `0`, `1`, ... as [`Stage::write_numbers`] writes them.
pub(crate) fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|number| number.to_string()).collect()
}

/// A member of a group under test.
pub(crate) struct Member {
    pub(crate) client: Arc<dyn KafkaClient>,
    pub(crate) consumer: ConsumerId,
}

impl Stage {
    /// Another client with a consumer in the stage's group.
    pub(crate) async fn member(&self) -> Result<Member, Failure> {
        let client = self.harness.client().await?;
        let consumer = client.create_consumer(self.consumer_config()).await?;
        Ok(Member { client, consumer })
    }

    /// Consumes with all members concurrently until each reads a share of the partitions. Returns the partitions of each.
    ///
    /// Records are written in rounds, one per partition. A rebalance is complete when every record of a round was read
    /// exactly once, and each member has read one. Records of earlier rounds may be read again, because nothing is
    /// committed.
    pub(crate) async fn shares(&self, members: &[Member], partitions: i32) -> Result<Vec<Vec<i32>>, Failure> {
        let deadline = Instant::now() + self.harness.patience();
        let mut seen = "nothing".to_owned();
        // A round without a wait takes no time on a paused clock, so the number of rounds is limited too.
        for round in 0..500 {
            let value = format!("{}-{round}", self.harness.unique("round"));
            for partition in 0..partitions {
                self.write(self.record().with_partition(partition).with_value(value.clone()))
                    .await?;
            }
            let mut readers = BTreeMap::<i32, Vec<usize>>::new();
            // A round ends when all its records were read, or when no record was read for some time.
            loop {
                let reads = members.iter().map(|member| {
                    let options = ConsumeOptions::new().with_max_wait(self.harness.quiet());
                    member.client.consume_messages(&member.consumer, options)
                });
                let mut progress = false;
                for (reader, result) in join_all(reads).await.into_iter().enumerate() {
                    for message in result? {
                        progress = true;
                        if message.value_str() == Some(&value) {
                            readers.entry(message.partition).or_default().push(reader);
                        }
                    }
                }
                if !progress || readers.len() == usize::try_from(partitions).unwrap_or_default() {
                    break;
                }
            }
            let mut shares = vec![Vec::new(); members.len()];
            for (partition, readers) in &readers {
                if let [reader] = readers[..] {
                    shares[reader].push(*partition);
                }
            }
            let read: usize = shares.iter().map(Vec::len).sum();
            if read == usize::try_from(partitions).unwrap_or_default() && shares.iter().all(|share| !share.is_empty()) {
                return Ok(shares);
            }
            seen = format!("{readers:?}");
            if Instant::now() >= deadline {
                break;
            }
        }
        Err(Failure::new(format!(
            "the members did not share {partitions} partitions within {:?}; readers by partition in the last round: {seen}",
            self.harness.patience(),
        )))
    }
}
