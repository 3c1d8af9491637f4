//! The endpoint suites against the Kafka endpoints, over the in-memory cluster.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use networking_conformance::endpoint::sink::{self, Received, SinkHarness, SinkPeer, SinkProfile, SinkSubject};
use networking_conformance::endpoint::source::{
    self, PeerOutcome, PeerOutcomes, SourceHarness, SourcePeer, SourceProfile, SourceSubject,
};
use networking_conformance::endpoint::{Content, Sent};
use networking_conformance::runner::Runner;
use networking_conformance::{CaseRuntime, Harness};
use networking_impls::bridge::{KafkaSink, KafkaSource, kafka_headers};
use networking_impls::kafka::memory::{Fault, FaultPoint, MemoryCluster};
use networking_spi::bridge::{BridgeMessage, BridgeProtocol, DeliveryRetry};
use networking_spi::kafka::{
    ConsumerConfig, KafkaMessage, NewTopic, OffsetReset, ProducerConfig, ProducerId, ProducerRecord,
};
use networking_spi::prelude::*;
use networking_spi::{ErrorKind, Result};

const GROUP: &str = "bridges";
const TOPICS: [&str; 2] = ["events", "others"];

/// The window of the source: it has one partition.
const WINDOW: usize = 8;

fn main() -> ExitCode {
    Runner::new()
        .add(source::suite(), || Arc::new(Kafka("kafka_source")))
        .add(sink::suite(), || Arc::new(Kafka("kafka_sink")))
        .run()
}

struct Kafka(&'static str);

impl Harness for Kafka {
    fn backend(&self) -> &'static str {
        self.0
    }

    fn runtime(&self) -> CaseRuntime {
        CaseRuntime::PausedClock
    }
}

async fn cluster() -> Result<MemoryCluster> {
    let cluster = MemoryCluster::new();
    for topic in TOPICS {
        cluster.client().create_topic(NewTopic::new(topic, 1)).await?;
    }
    Ok(cluster)
}

/// Makes every operation at these points fail, or none.
fn set_available(cluster: &MemoryCluster, available: bool, points: &[FaultPoint]) {
    cluster.clear_faults();
    for point in points.iter().filter(|_| !available) {
        cluster.inject(Fault::new(*point, ErrorKind::ConnectionClosed).times(usize::MAX));
    }
}

#[async_trait]
impl SourceHarness for Kafka {
    fn profile(&self) -> SourceProfile {
        let mut content = Content::all();
        // The id is the position of the record.
        content.id = false;
        SourceProfile::new(BridgeProtocol::Kafka, content, PeerOutcomes::Kept, WINDOW).with_unavailable_peer()
    }

    async fn source(&self) -> Result<SourceSubject> {
        let cluster = cluster().await?;
        let config = ConsumerConfig::new(GROUP, [TOPICS[0]]).with_offset_reset(OffsetReset::Earliest);
        let source = KafkaSource::new(Arc::new(cluster.client()), config)?
            .with_window(WINDOW)?
            .with_redelivery(DeliveryRetry::new(
                10,
                Duration::from_millis(1),
                Duration::from_millis(10),
            ))?;
        let writer = cluster.client();
        let producer = writer.create_producer(ProducerConfig::new()).await?;
        Ok(SourceSubject::new(
            Arc::new(source),
            Arc::new(Writer {
                cluster,
                producer,
                client: Arc::new(writer),
            }),
        ))
    }
}

/// Writes records, and sees which offset the group has committed.
struct Writer {
    cluster: MemoryCluster,
    client: Arc<dyn KafkaClient>,
    producer: ProducerId,
}

#[async_trait]
impl SourcePeer for Writer {
    async fn send(&self, message: BridgeMessage) -> Result<Sent> {
        let mut record = ProducerRecord::new(TOPICS[0]).with_value(message.payload);
        record.key = message.key;
        for (name, value) in message.headers {
            record = record.with_header(name, value);
        }
        if let Some(content_type) = message.content_type {
            record = record.with_header(kafka_headers::CONTENT_TYPE, content_type);
        }
        let written = self.client.produce_message(&self.producer, record).await?;
        Ok(Sent(
            written
                .offset
                .and_then(|offset| offset.try_into().ok())
                .expect("a written record has an offset"),
        ))
    }

    async fn outcome(&self, sent: Sent) -> PeerOutcome {
        let committed = match self.cluster.client().consumer_group_info(GROUP).await {
            Ok(group) => group.offsets.iter().find_map(|offset| offset.committed),
            Err(_) => None,
        };
        let processed = committed.is_some_and(|committed| committed > i64::try_from(sent.0).unwrap_or(i64::MAX));
        if processed {
            PeerOutcome::Acknowledged
        } else {
            PeerOutcome::Pending
        }
    }

    async fn set_available(&self, available: bool) -> Result<()> {
        set_available(&self.cluster, available, &[FaultPoint::Consume, FaultPoint::Commit]);
        Ok(())
    }
}

#[async_trait]
impl SinkHarness for Kafka {
    fn profile(&self) -> SinkProfile {
        SinkProfile::new(BridgeProtocol::Kafka, Content::all(), TOPICS[0])
            .with_other_target(TOPICS[1])
            .with_invalid_target("no topic has this name!")
            .with_positions()
            .with_unavailable_peer()
            .with_held_acknowledgements()
            .with_refusals()
    }

    async fn sink(&self) -> Result<SinkSubject> {
        let cluster = cluster().await?;
        let sink = KafkaSink::new(Arc::new(cluster.client()));
        let reader = Reader {
            cluster,
            groups: AtomicUsize::new(0),
        };
        Ok(SinkSubject::new(Arc::new(sink), Arc::new(reader)))
    }
}

/// Reads the records that were written.
struct Reader {
    cluster: MemoryCluster,
    groups: AtomicUsize,
}

#[async_trait]
impl SinkPeer for Reader {
    async fn received(&self, target: &str) -> Vec<Received> {
        let client = self.cluster.client();
        let metadata = client.topic_metadata(target).await.unwrap();
        let records = usize::try_from(metadata.partitions[0].latest_offset).unwrap();
        if records == 0 {
            return Vec::new();
        }
        let group = format!("reader-{}", self.groups.fetch_add(1, Ordering::SeqCst));
        let config = ConsumerConfig::new(group, [target]).with_offset_reset(OffsetReset::Earliest);
        let consumer = client.create_consumer(config).await.unwrap();
        let read = client
            .consume_exactly(&consumer, records, Duration::from_secs(5))
            .await
            .unwrap();
        client.close_consumer(&consumer).await.unwrap();
        read.iter().map(received).collect()
    }

    async fn set_available(&self, available: bool) -> Result<()> {
        set_available(&self.cluster, available, &[FaultPoint::Produce, FaultPoint::Admin]);
        Ok(())
    }

    async fn set_held(&self, held: bool) -> Result<()> {
        self.cluster.set_topic_available(TOPICS[0], !held)
    }

    async fn refuse_next(&self) -> Result<()> {
        self.cluster
            .inject(Fault::new(FaultPoint::Produce, ErrorKind::TooLarge));
        Ok(())
    }
}

/// The message that a record carries.
fn received(record: &KafkaMessage) -> Received {
    let text = |name: &str| record.headers.get_str(name).map(str::to_owned);
    let mut message = BridgeMessage::new(
        text(kafka_headers::MESSAGE_ID).unwrap(),
        record.value.clone().expect("no record is a tombstone"),
        SystemTime::UNIX_EPOCH,
    );
    message.content_type = text(kafka_headers::CONTENT_TYPE);
    message.key.clone_from(&record.key);
    let fields = record.headers.iter();
    message.headers = fields
        .map(|(name, value)| (name.to_owned(), value.cloned().unwrap_or_default()))
        .collect();
    Received::new(message).with_position(format!("{}@{}", record.partition, record.offset))
}
