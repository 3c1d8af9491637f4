//! A running processor: it consumes batches, runs their lanes concurrently and commits.

mod lane;
mod poison;
mod position;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerId, KafkaClient, KafkaMessage, ProducerId, StreamProcessor,
    StreamProcessorConfig, StreamState, StreamStatus, TopicPartition,
};
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use self::position::Position;

const PROCESS: &str = "kafka.process_kafka_stream";

/// How long one call waits for messages. Stopping interrupts the wait.
const MAX_POLL_WAIT: Duration = Duration::from_secs(1);

/// How often a processor consumes while it works on a batch. A member that does not consume for its `max_poll_interval` is
/// removed from its group.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(60);

/// The parts that a running processor uses.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) config: StreamProcessorConfig,
    pub(super) code: Arc<dyn StreamProcessor>,
    pub(super) client: Arc<dyn KafkaClient>,
    pub(super) consumer: ConsumerId,
    pub(super) producer: ProducerId,
    pub(super) progress: Arc<Progress>,
}

/// The counters and the state of a processor, as its status reports them.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) processed: AtomicU64,
    pub(super) emitted: AtomicU64,
    pub(super) skipped: AtomicU64,
    pub(super) dead_lettered: AtomicU64,
    pub(super) retries: AtomicU64,
    /// The state and the last error.
    phase: Mutex<(StreamState, Option<String>)>,
}

impl Job {
    /// Runs until `stop` is set or an error is not retryable.
    pub(super) async fn run(self: &Arc<Self>, mut stop: watch::Receiver<bool>) -> Result<()> {
        let mut position = Position::default();
        let mut failures = 0_u32;
        let options = ConsumeOptions::new()
            .with_max_messages(self.config.max_batch)
            .with_max_wait(MAX_POLL_WAIT);
        loop {
            if position.has_early() && !*stop.borrow() {
                let messages = position.take_early();
                self.handle(messages, &mut position).await?;
                continue;
            }
            let batch = tokio::select! {
                biased;
                _ = stop.wait_for(|stop| *stop) => break,
                batch = self.client.consume_messages(&self.consumer, options) => batch,
            };
            self.follow(&mut position).await?;
            match batch {
                Ok(messages) => {
                    failures = 0;
                    self.handle(messages, &mut position).await?;
                }
                Err(error) if error.retryability().is_transient() => {
                    failures = failures.saturating_add(1);
                    self.note_retry(&error);
                    // A stop during the wait is handled by the next iteration.
                    let _ = timeout(self.delay(failures), stop.wait_for(|stop| *stop)).await;
                }
                Err(error) => return Err(error),
            }
        }
        // Partitions may have been revoked during the call that was cancelled.
        self.follow(&mut position).await?;
        self.commit(&mut position).await;
        Ok(())
    }

    /// Leaves the group and closes the producer.
    pub(super) async fn close(&self) {
        for result in [
            self.client.close_consumer(&self.consumer).await,
            self.client.close_producer(&self.producer).await,
        ] {
            if let Err(error) = result {
                tracing::warn!(application = self.config.application_id, %error, "closing the processor's consumer or producer failed");
            }
        }
    }

    /// Processes a batch. Messages that were consumed meanwhile, to stay in the group, are kept in `position`.
    async fn handle(self: &Arc<Self>, messages: Vec<KafkaMessage>, position: &mut Position) -> Result<()> {
        let mut lanes = JoinSet::new();
        let assignment = position.assignment().clone();
        for (partition, messages) in by_partition(messages) {
            let job = Arc::clone(self);
            lanes.spawn(async move { (partition, job.run_lane(messages).await) });
        }
        let mut failure = None;
        let mut keep_alive = interval_at(Instant::now() + KEEP_ALIVE_INTERVAL, KEEP_ALIVE_INTERVAL);
        keep_alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let ended = tokio::select! {
                biased;
                ended = lanes.join_next() => ended,
                _ = keep_alive.tick() => {
                    failure = failure.or(self.keep_alive(position).await.err());
                    continue;
                }
            };
            match ended {
                None => break,
                Some(Ok((partition, outcome))) => {
                    if let Some(next) = outcome.next_offset {
                        position.finished(&assignment, partition, next);
                    }
                    failure = failure.or(outcome.failure);
                }
                Some(Err(error)) => {
                    let panicked = NetworkError::new(ErrorKind::Internal, PROCESS, "a lane panicked or was cancelled");
                    failure = failure.or(Some(panicked.with_source(error)));
                }
            }
        }
        // Also after a failure: the other lanes have written their outputs.
        self.commit(position).await;
        failure.map_or(Ok(()), Err)
    }

    /// Consumes at most one message, without waiting, so that the group keeps this member.
    async fn keep_alive(&self, position: &mut Position) -> Result<()> {
        let options = ConsumeOptions::new().with_max_messages(1).with_max_wait(Duration::ZERO);
        let consumed = self.client.consume_messages(&self.consumer, options).await;
        self.follow(position).await?;
        match consumed {
            Ok(messages) => position.add_early(messages),
            Err(error) if error.retryability().is_transient() => self.note_retry(&error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Adopts the current assignment.
    async fn follow(&self, position: &mut Position) -> Result<()> {
        match self.client.consumer_assignment(&self.consumer).await {
            Ok(assignment) => position.follow(assignment),
            Err(error) if error.retryability().is_transient() => self.note_retry(&error),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Commits the offsets of finished lanes. Offsets that cannot be committed are committed with the next batch.
    async fn commit(&self, position: &mut Position) {
        for attempt in 1..=self.config.max_attempts {
            let offsets = position.uncommitted();
            if offsets.is_empty() {
                return;
            }
            let commit = CommitOffsets::Exact(offsets.clone());
            let Err(error) = self.client.commit_offsets(&self.consumer, commit).await else {
                return position.committed(&offsets);
            };
            self.note_retry(&error);
            if error.kind() == ErrorKind::Conflict {
                // The group may only be rebalancing. The next call to consume shows which partitions this member keeps.
                if let Err(error) = self.keep_alive(position).await {
                    return self.progress.note_error(&error);
                }
            } else if !error.retryability().is_transient() {
                return;
            }
            tokio::time::sleep(self.delay(attempt)).await;
        }
    }
}

impl Progress {
    pub(super) fn state(&self) -> StreamState {
        self.phase.lock().0
    }

    pub(super) fn set_state(&self, state: StreamState) {
        self.phase.lock().0 = state;
    }

    /// Changes the state to `to` if it is `from`.
    pub(super) fn change_state(&self, from: StreamState, to: StreamState) {
        let mut phase = self.phase.lock();
        if phase.0 == from {
            phase.0 = to;
        }
    }

    pub(super) fn note_error(&self, error: &NetworkError) {
        self.phase.lock().1 = Some(error.to_string());
    }

    pub(super) fn fail(&self, error: &NetworkError) {
        *self.phase.lock() = (StreamState::Failed, Some(error.to_string()));
    }

    pub(super) fn status(&self) -> StreamStatus {
        let mut status = StreamStatus::default();
        status.processed = self.processed.load(Ordering::Relaxed);
        status.emitted = self.emitted.load(Ordering::Relaxed);
        status.skipped = self.skipped.load(Ordering::Relaxed);
        status.dead_lettered = self.dead_lettered.load(Ordering::Relaxed);
        status.retries = self.retries.load(Ordering::Relaxed);
        let phase = self.phase.lock();
        status.state = phase.0;
        status.last_error.clone_from(&phase.1);
        status
    }
}

/// The messages of each partition, in the order in which they were consumed.
fn by_partition(messages: Vec<KafkaMessage>) -> BTreeMap<TopicPartition, Vec<KafkaMessage>> {
    let mut lanes = BTreeMap::<_, Vec<_>>::new();
    for message in messages {
        lanes.entry(message.topic_partition()).or_default().push(message);
    }
    lanes
}
