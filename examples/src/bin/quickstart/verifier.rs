//! The receiving side: reads all topics and compares the payloads byte for byte.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use bytes::Bytes;
use networking_spi::kafka::{CommitOffsets, ConsumeOptions, ConsumerConfig, OffsetReset};
use networking_spi::prelude::*;

use crate::pipeline::{DELIVERY_ID, Pipeline};
use crate::sender::Sent;

/// The results on the receiving side.
#[derive(Debug, Default)]
pub(crate) struct Arrived {
    /// The number of deliveries whose payload is the one that was sent.
    pub(crate) verified: usize,
    /// Deliveries whose payload differs from the one that was sent.
    pub(crate) damaged: Vec<String>,
    /// Acknowledged deliveries that did not arrive.
    pub(crate) lost: Vec<String>,
    /// Records beyond the first of a delivery.
    pub(crate) duplicates: usize,
    /// Records of deliveries that were not sent.
    pub(crate) unknown: usize,
    /// Records in the dead-letter topic.
    pub(crate) dead_lettered: usize,
    /// Records by topic.
    pub(crate) topics: BTreeMap<String, usize>,
}

/// How long to wait for the next records. The bridge has been drained, so all records are in Kafka already.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Consumes all topics, and compares the payloads with those that were sent.
pub(crate) async fn verify(pipeline: &Pipeline, sent: &Sent) -> Result<Arrived, NetworkError> {
    let kafka = pipeline.kafka();
    let group = pipeline.topic("verifier");
    let config = ConsumerConfig::new(group, pipeline.topics()).with_offset_reset(OffsetReset::Earliest);
    let consumer = kafka.create_consumer(config).await?;

    let mut expected = 0;
    for topic in pipeline.topics() {
        let metadata = kafka.topic_metadata(&topic).await?;
        expected += metadata
            .partitions
            .iter()
            .map(|partition| partition.latest_offset - partition.earliest_offset)
            .sum::<i64>();
    }

    let mut arrived = Arrived::default();
    let mut payloads = HashMap::<String, Bytes>::new();
    let mut read = 0;
    while read < expected {
        let messages = kafka
            .consume_messages(&consumer, ConsumeOptions::new().with_max_wait(MAX_WAIT))
            .await?;
        if messages.is_empty() {
            break;
        }
        read += i64::try_from(messages.len()).unwrap_or(i64::MAX);
        kafka.commit_offsets(&consumer, CommitOffsets::of(&messages)).await?;
        for message in messages {
            *arrived
                .topics
                .entry(pipeline.short_name(&message.topic).to_owned())
                .or_default() += 1;
            if message.topic == pipeline.dead_letter_topic() {
                arrived.dead_lettered += 1;
            }
            let Some(id) = message.headers.get_str(DELIVERY_ID) else {
                arrived.unknown += 1;
                continue;
            };
            let id = id.to_owned();
            if payloads.insert(id, message.value.unwrap_or_default()).is_some() {
                arrived.duplicates += 1;
            }
        }
    }
    kafka.close_consumer(&consumer).await?;

    for delivery in &sent.accepted {
        match payloads.remove(&delivery.id) {
            Some(payload) if payload == delivery.payload => arrived.verified += 1,
            Some(_) => arrived.damaged.push(delivery.id.clone()),
            None => arrived.lost.push(delivery.id.clone()),
        }
    }
    // A delivery that failed may have arrived anyway; a forged one must not have.
    arrived.unknown += payloads
        .keys()
        .filter(|id| !sent.given_up.iter().any(|(given_up, _)| given_up == *id))
        .count();
    Ok(arrived)
}
