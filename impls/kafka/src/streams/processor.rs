//! A stream processor and its states: created, running, stopping, stopped or failed.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures_util::FutureExt;
use networking_spi::error::ResultExt;
use networking_spi::kafka::{
    ConsumerConfig, KafkaClient, OffsetReset, ProducerConfig, StreamProcessor, StreamProcessorConfig, StreamState,
    StreamStatus,
};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use tokio::sync::{Mutex, watch};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::job::{Job, Progress};

const START: &str = "kafka.process_kafka_stream";
const STOP: &str = "kafka.stop_stream";

/// A stream processor in any state.
#[derive(Debug)]
pub(super) struct Processor {
    config: StreamProcessorConfig,
    code: Arc<dyn StreamProcessor>,
    progress: Arc<Progress>,
    stop: watch::Sender<bool>,
    /// Locked while the processor starts or stops.
    run: Mutex<Option<Run>>,
}

#[derive(Debug)]
struct Run {
    job: Arc<Job>,
    task: JoinHandle<()>,
}

impl Processor {
    pub(super) fn new(config: StreamProcessorConfig, code: Arc<dyn StreamProcessor>) -> Self {
        Self {
            config,
            code,
            progress: Arc::default(),
            stop: watch::Sender::new(false),
            run: Mutex::new(None),
        }
    }

    pub(super) fn application(&self) -> &str {
        &self.config.application_id
    }

    pub(super) fn has_ended(&self) -> bool {
        matches!(self.progress.state(), StreamState::Stopped | StreamState::Failed)
    }

    pub(super) fn status(&self) -> StreamStatus {
        self.progress.status()
    }

    /// Tells the processor to stop. Does not wait for it.
    pub(super) fn request_stop(&self) {
        self.stop.send_replace(true);
    }

    pub(super) async fn start(&self, client: Arc<dyn KafkaClient>) -> Result<()> {
        let mut run = self.run.lock().await;
        match self.progress.state() {
            StreamState::Created => {}
            StreamState::Running | StreamState::Stopping => return Ok(()),
            _ => return Err(NetworkError::closed(START, "the processor")),
        }
        let job = Arc::new(self.prepare(client).await.in_operation(START)?);
        self.progress.set_state(StreamState::Running);
        let task = tokio::spawn(work(Arc::clone(&job), self.stop.subscribe()));
        *run = Some(Run { job, task });
        Ok(())
    }

    pub(super) async fn stop(&self) -> Result<StreamStatus> {
        self.request_stop();
        self.progress.change_state(StreamState::Running, StreamState::Stopping);
        let mut run = self.run.lock().await;
        self.progress.change_state(StreamState::Created, StreamState::Stopped);
        let Some(Run { job, task }) = run.as_mut() else {
            return Ok(self.status());
        };
        let limit = self.config.drain_timeout;
        let drained = timeout(limit, &mut *task).await.is_ok();
        if !drained {
            task.abort();
            // Closing waits for brokers. The caller has already waited for `drain_timeout`.
            let job = Arc::clone(job);
            tokio::spawn(async move { job.close().await });
        }
        *run = None;
        if drained {
            return Ok(self.status());
        }
        let error = NetworkError::timeout(STOP, Phase::Total, limit);
        self.progress.note_error(&error);
        self.progress.set_state(StreamState::Stopped);
        Err(error)
    }

    async fn prepare(&self, client: Arc<dyn KafkaClient>) -> Result<Job> {
        let application = &self.config.application_id;
        let client_id = client.capabilities().client_ids.then(|| application.clone());
        let mut config = ProducerConfig::new();
        config.client_id.clone_from(&client_id);
        let producer = client.create_producer(config).await?;
        // A new application also processes the messages that are already in its topics.
        let mut config = ConsumerConfig::new(application.as_str(), self.config.input_topics.iter().cloned())
            .with_offset_reset(OffsetReset::Earliest);
        config.client_id = client_id;
        let consumer = match client.create_consumer(config).await {
            Ok(consumer) => consumer,
            Err(error) => {
                // The first error is the one to report.
                drop(client.close_producer(&producer).await);
                return Err(error);
            }
        };
        Ok(Job {
            config: self.config.clone(),
            code: Arc::clone(&self.code),
            client,
            consumer,
            producer,
            progress: Arc::clone(&self.progress),
        })
    }
}

async fn work(job: Arc<Job>, stop: watch::Receiver<bool>) {
    let result = AssertUnwindSafe(job.run(stop))
        .catch_unwind()
        .await
        .unwrap_or_else(|_panic| Err(NetworkError::new(ErrorKind::Internal, START, "the processor panicked")));
    job.close().await;
    match result {
        Ok(()) => job.progress.set_state(StreamState::Stopped),
        Err(error) => {
            tracing::error!(application = job.config.application_id, %error, "stream processor failed");
            job.progress.fail(&error);
        }
    }
}
