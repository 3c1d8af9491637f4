//! Stream processors over any [`KafkaClient`]: consume, transform, produce, commit.
//!
//! A processor consumes messages in batches. The messages of one partition in a batch are a lane: they are processed in order,
//! and the lanes of a batch run concurrently. When all lanes have ended, the processor commits the offset after the last
//! finished message of each lane. No message is committed before its outputs are acknowledged, so every message takes effect
//! at least once.

mod job;
mod processor;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use networking_spi::error::ResultExt;
use networking_spi::kafka::{
    DeliveryGuarantee, KafkaClient, ProcessorId, StreamProcessor, StreamProcessorConfig, StreamStatus,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};
use parking_lot::Mutex;

use processor::Processor;

/// The maximum number of processors of one toolkit. At the limit, those that have ended are removed.
const MAX_PROCESSORS: usize = 1_000;

/// The stream processors of a toolkit.
#[derive(Debug)]
pub(super) struct Streams {
    /// Makes the ids of these processors different from those of other toolkits.
    number: u64,
    next: AtomicU64,
    processors: Mutex<BTreeMap<ProcessorId, Arc<Processor>>>,
}

static TOOLKITS: AtomicU64 = AtomicU64::new(1);

impl Streams {
    pub(super) fn new() -> Self {
        Self {
            number: TOOLKITS.fetch_add(1, Ordering::Relaxed),
            next: AtomicU64::new(1),
            processors: Mutex::default(),
        }
    }

    pub(super) fn create(&self, config: StreamProcessorConfig, code: Arc<dyn StreamProcessor>) -> Result<ProcessorId> {
        const CREATE: &str = "kafka.create_stream_processor";
        config.validate().in_operation(CREATE)?;
        if config.guarantee != DeliveryGuarantee::AtLeastOnce {
            return Err(NetworkError::unsupported(CREATE, "exactly_once"));
        }
        let mut processors = self.processors.lock();
        let application = &config.application_id;
        if processors
            .values()
            .any(|other| !other.has_ended() && other.application() == application)
        {
            return Err(NetworkError::new(
                ErrorKind::AlreadyExists,
                CREATE,
                "a processor of this application already runs",
            )
            .with_context("application_id", application.clone()));
        }
        if processors.len() >= MAX_PROCESSORS {
            processors.retain(|_, other| !other.has_ended());
        }
        if processors.len() >= MAX_PROCESSORS {
            return Err(NetworkError::new(
                ErrorKind::Exhausted,
                CREATE,
                "the toolkit has reached its limit of processors; stop some",
            )
            .with_retryability(Retryability::Never));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let id = ProcessorId::new(format!("stream-{}-{number}", self.number));
        processors.insert(id.clone(), Arc::new(Processor::new(config, code)));
        Ok(id)
    }

    pub(super) async fn start(&self, id: &ProcessorId, client: Arc<dyn KafkaClient>) -> Result<()> {
        self.find("kafka.process_kafka_stream", id)?.start(client).await
    }

    pub(super) fn status(&self, id: &ProcessorId) -> Result<StreamStatus> {
        Ok(self.find("kafka.stream_status", id)?.status())
    }

    pub(super) async fn stop(&self, id: &ProcessorId) -> Result<StreamStatus> {
        self.find("kafka.stop_stream", id)?.stop().await
    }

    fn find(&self, operation: &'static str, id: &ProcessorId) -> Result<Arc<Processor>> {
        let found = self.processors.lock().get(id).cloned();
        found.ok_or_else(|| NetworkError::not_found(operation, "processor", id))
    }
}

impl Drop for Streams {
    /// Running processors finish their batch, commit and leave their groups in the background.
    fn drop(&mut self) {
        for processor in self.processors.get_mut().values() {
            processor.request_stop();
        }
    }
}
