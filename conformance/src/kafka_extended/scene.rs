//! The setup of the cases of stream processors: a topic to read, a topic to write, and a processor between them.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::kafka::{
    ConsumeOptions, ConsumerConfig, KafkaExtended, KafkaMessage, OffsetReset, ProcessedRecord, ProcessorId,
    ProducerRecord, StreamProcessor, StreamProcessorConfig, StreamState, StreamStatus, stream_fn,
};
use networking_spi::{ErrorKind, NetworkError};
use tokio::time::{Instant, sleep};

use super::KafkaExtendedHarness;
use crate::check;
use crate::kafka::KafkaHarness;
use crate::kafka::stage::Stage;
use crate::kit::Failure;

pub(super) struct Scene {
    pub(super) harness: Arc<dyn KafkaExtendedHarness>,
    pub(super) extended: Arc<dyn KafkaExtended>,
    /// Its topic, with two partitions, is the input of the processor.
    pub(super) stage: Stage,
    pub(super) output: String,
    pub(super) application: String,
}

impl Scene {
    pub(super) async fn new(harness: Arc<dyn KafkaExtendedHarness>) -> Result<Self, Failure> {
        let extended = harness.extended().await?;
        let stage = Stage::new(Arc::clone(&harness) as Arc<dyn KafkaHarness>, 2).await?;
        let output = harness.topic(1).await?;
        let application = harness.unique("application");
        Ok(Self {
            harness,
            extended,
            stage,
            output,
            application,
        })
    }

    /// A processor from the input topic to the output topic, with three attempts per message.
    pub(super) fn config(&self) -> StreamProcessorConfig {
        StreamProcessorConfig::new(self.application.as_str(), [self.stage.topic.as_str()])
            .with_output_topic(self.output.as_str())
            .with_attempts(3, Duration::from_millis(1))
    }

    /// Creates and starts a processor.
    pub(super) async fn run(
        &self,
        config: StreamProcessorConfig,
        code: Arc<dyn StreamProcessor>,
    ) -> Result<ProcessorId, Failure> {
        let id = self.extended.create_stream_processor(config, code).await?;
        self.extended.process_kafka_stream(&id).await?;
        Ok(id)
    }

    /// Waits until the status is as expected. A processor that fails unexpectedly fails the case.
    pub(super) async fn until(
        &self,
        id: &ProcessorId,
        what: &str,
        reached: impl Fn(&StreamStatus) -> bool,
    ) -> Result<StreamStatus, Failure> {
        let deadline = Instant::now() + self.harness.patience();
        loop {
            let status = self.extended.stream_status(id).await?;
            if reached(&status) {
                return Ok(status);
            }
            check!(
                Instant::now() < deadline && status.state != StreamState::Failed,
                "expected {what}, got {status:?}"
            );
            sleep(self.harness.quiet() / 10).await;
        }
    }

    /// Waits until this number of messages were processed, and stops the processor.
    pub(super) async fn finish(&self, id: &ProcessorId, processed: u64) -> Result<StreamStatus, Failure> {
        let what = format!("{processed} processed messages");
        self.until(id, &what, |status| status.processed >= processed).await?;
        Ok(self.extended.stop_stream(id).await?)
    }

    /// All messages of a topic, in the order in which a new group reads them. At least `count` are expected.
    pub(super) async fn messages(&self, topic: &str, count: usize) -> Result<Vec<KafkaMessage>, Failure> {
        let client = &self.stage.client;
        let config =
            ConsumerConfig::new(self.harness.unique("reader"), [topic]).with_offset_reset(OffsetReset::Earliest);
        let consumer = client.create_consumer(config).await?;
        let mut messages = crate::kafka::stage::read(&*self.stage.harness, client, &consumer, count).await?;
        loop {
            let options = ConsumeOptions::new().with_max_wait(self.harness.quiet());
            let more = client.consume_messages(&consumer, options).await?;
            if more.is_empty() {
                client.close_consumer(&consumer).await?;
                return Ok(messages);
            }
            messages.extend(more);
        }
    }

    /// The values of all messages of a topic.
    pub(super) async fn values(&self, topic: &str, count: usize) -> Result<Vec<String>, Failure> {
        let messages = self.messages(topic, count).await?;
        Ok(crate::kafka::stage::values(&messages)
            .into_iter()
            .map(str::to_owned)
            .collect())
    }
}

/// Copies each message to the output topic.
pub(super) fn copy() -> Arc<dyn StreamProcessor> {
    stream_fn(|message| async move { Ok(copied(message)) })
}

pub(super) fn copied(message: KafkaMessage) -> ProcessedRecord {
    let mut output = ProducerRecord::new("");
    output.key = message.key;
    output.value = message.value;
    ProcessedRecord::emit([output])
}

/// Copies each message, except for the one with this value.
pub(super) fn copy_except(value: &'static str, kind: ErrorKind) -> Arc<dyn StreamProcessor> {
    stream_fn(move |message| async move {
        if message.value_str() == Some(value) {
            return Err(NetworkError::new(
                kind,
                "conformance",
                "a message that cannot be processed",
            ));
        }
        Ok(copied(message))
    })
}
