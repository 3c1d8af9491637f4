//! Writes messages as Kafka records.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::bridge::{BridgeMessage, BridgeProtocol, BridgeSink, EndpointHealth, HealthState};
use networking_spi::kafka::{KafkaClient, ProducerConfig, ProducerId, ProducerRecord};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};
use parking_lot::Mutex;

use super::kafka_headers;

/// How long `stop` waits until the cluster has acknowledged the records that are being sent.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(10);

/// The default time limit of a delivery. It is shorter than that of a bridge, so that a retry does not write a record that the
/// producer is still writing.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(20);

/// A sink that writes each message as a record, over any [`KafkaClient`]. Targets are topics.
///
/// | message | record |
/// |---|---|
/// | payload | value, byte for byte; no value if the payload is empty and the message has the header field `bridge-tombstone` |
/// | key | key, which selects the partition |
/// | header fields | headers, in order |
/// | content type, id, origin | headers `content-type`, `bridge-message-id`, `bridge-origin` |
/// | time of arrival | timestamp, in milliseconds |
///
/// The position in a receipt is `partition@offset`. The producer's [`acks`](ProducerConfig::acks) decide when a delivery is
/// acknowledged: by default when all in-sync replicas have the record.
///
/// Errors of missing credentials and permissions are retried: an operator can grant them, and the message must be kept until
/// then.
pub struct KafkaSink {
    client: Arc<dyn KafkaClient>,
    config: ProducerConfig,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    producer: Option<ProducerId>,
    stopped: bool,
    /// The topic whose metadata the health check reads.
    topic: Option<String>,
}

impl KafkaSink {
    /// A sink with the default producer settings, and a `delivery_timeout` of 20 s.
    pub fn new(client: Arc<dyn KafkaClient>) -> Self {
        Self {
            client,
            config: ProducerConfig::default().with_delivery_timeout(DELIVERY_TIMEOUT),
            state: Mutex::default(),
        }
    }

    /// Sets the settings of the producer. Its [`delivery_timeout`](ProducerConfig::delivery_timeout) must not be longer than that
    /// of the bridge ([`BridgeConfig::delivery_timeout`](networking_spi::bridge::BridgeConfig::delivery_timeout), 30 s by
    /// default): otherwise the bridge would retry records that the producer is still writing.
    pub fn with_producer_config(mut self, config: ProducerConfig) -> Self {
        self.config = config;
        self
    }

    /// Sets the topic whose metadata the health check reads. Default: the topic of the first successful delivery.
    pub fn with_health_topic(self, topic: impl Into<String>) -> Self {
        self.state.lock().topic = Some(topic.into());
        self
    }

    fn producer(&self, operation: &'static str) -> Result<ProducerId> {
        let producer = self.state.lock().producer.clone();
        producer.ok_or_else(|| NetworkError::closed(operation, "the sink"))
    }
}

#[async_trait]
impl BridgeSink for KafkaSink {
    fn protocol(&self) -> BridgeProtocol {
        BridgeProtocol::Kafka
    }

    fn delivery_limit(&self) -> Option<Duration> {
        Some(self.config.delivery_timeout)
    }

    async fn start(&self) -> Result<()> {
        if self.state.lock().stopped {
            return Err(NetworkError::closed("kafka_sink.start", "the sink"));
        }
        let producer = self.client.create_producer(self.config.clone()).await?;
        let (stopped, former) = {
            let mut state = self.state.lock();
            if state.stopped {
                (true, Some(producer))
            } else {
                (false, state.producer.replace(producer))
            }
        };
        if let Some(former) = former {
            self.client.close_producer(&former).await?;
        }
        if stopped {
            return Err(NetworkError::closed("kafka_sink.start", "the sink"));
        }
        Ok(())
    }

    async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
        let producer = self.producer("kafka_sink.deliver")?;
        let written = self.client.produce_message(&producer, record(target, message)).await;
        let written = written.map_err(retry_missing_access)?;
        self.state.lock().topic.get_or_insert_with(|| target.to_owned());
        Ok(written.offset.map(|offset| format!("{}@{offset}", written.partition)))
    }

    async fn stop(&self) -> Result<()> {
        let producer = {
            let mut state = self.state.lock();
            state.stopped = true;
            state.producer.take()
        };
        let Some(producer) = producer else { return Ok(()) };
        let flushed = self.client.flush(&producer, FLUSH_TIMEOUT).await;
        let closed = self.client.close_producer(&producer).await;
        flushed.and(closed)
    }

    async fn health(&self) -> EndpointHealth {
        if let Err(error) = self.producer("kafka_sink.health") {
            return EndpointHealth::new(HealthState::Down).with_detail(error.message().to_owned());
        }
        let topic = self.state.lock().topic.clone();
        let asked = match topic {
            Some(topic) => self.client.topic_metadata(&topic).await.map(|_| HealthState::Up),
            // The counters show that the client works, but nothing about the cluster.
            None => self.client.kafka_metrics().await.map(|_| HealthState::Unknown),
        };
        match asked {
            Ok(state) => EndpointHealth::new(state),
            Err(error) => EndpointHealth::new(HealthState::Down).with_detail(error.to_string()),
        }
    }
}

impl fmt::Debug for KafkaSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state.lock();
        f.debug_struct("KafkaSink")
            .field("client", &self.client)
            .field("producer", &state.producer)
            .field("stopped", &state.stopped)
            .finish_non_exhaustive()
    }
}

fn record(topic: &str, message: BridgeMessage) -> ProducerRecord {
    let mut record = ProducerRecord::new(topic).with_timestamp(message.received_at);
    record.key = message.key;
    let mut tombstone = false;
    for (name, value) in message.headers {
        match name.as_str() {
            // Set below. A message that came from Kafka has them already.
            kafka_headers::MESSAGE_ID | kafka_headers::ORIGIN => {}
            kafka_headers::CONTENT_TYPE if message.content_type.is_some() => {}
            kafka_headers::TOMBSTONE => tombstone = true,
            _ => record.headers.push(name, Some(value)),
        }
    }
    record.value = (!tombstone || !message.payload.is_empty()).then_some(message.payload);
    if let Some(content_type) = message.content_type {
        record
            .headers
            .push(kafka_headers::CONTENT_TYPE, Some(content_type.into()));
    }
    record.headers.push(kafka_headers::MESSAGE_ID, Some(message.id.into()));
    record.headers.push(kafka_headers::ORIGIN, Some(message.origin.into()));
    record
}

/// Makes errors of missing credentials and permissions retryable.
fn retry_missing_access(error: NetworkError) -> NetworkError {
    match error.kind() {
        ErrorKind::Authentication | ErrorKind::PermissionDenied if !error.retryability().is_retryable() => {
            error.with_retryability(Retryability::Now)
        }
        _ => error,
    }
}
