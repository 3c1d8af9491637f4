//! The messages of one partition in a batch: processed in order, their outputs written in order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use networking_spi::kafka::{KafkaMessage, PoisonPolicy, ProducerRecord};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use tokio::time::sleep;

use super::poison::{dead_letter, is_caused_by_record};
use super::{Job, PROCESS};

/// The result of a lane.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The offset after the last finished message.
    pub(super) next_offset: Option<i64>,
    /// The error that stopped the lane.
    pub(super) failure: Option<NetworkError>,
}

/// A processed message whose outputs are not acknowledged yet.
struct ProcessedMessage {
    message: KafkaMessage,
    outputs: Vec<ProducerRecord>,
    handling: Handling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Handling {
    Processed,
    Skipped,
    DeadLettered,
}

impl Job {
    /// Processes and writes the messages of one partition.
    pub(super) async fn run_lane(self: Arc<Self>, messages: Vec<KafkaMessage>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut processed = Vec::with_capacity(messages.len());
        for message in messages {
            let result = self.process(&message).await;
            match result.map(|outputs| ProcessedMessage {
                message: message.clone(),
                outputs,
                handling: Handling::Processed,
            }) {
                Ok(message) => processed.push(message),
                Err(error) => match self.apply_poison_policy(message, error) {
                    Ok(message) => processed.push(message),
                    Err(error) => {
                        outcome.failure = Some(error);
                        break;
                    }
                },
            }
        }
        if let Err(error) = self.write(processed, &mut outcome.next_offset).await {
            // It concerns an earlier message than the one that could not be processed.
            outcome.failure = Some(error);
        }
        outcome
    }

    /// Processes one message, in at most `max_attempts` attempts, and returns its outputs.
    async fn process(&self, message: &KafkaMessage) -> Result<Vec<ProducerRecord>> {
        let mut attempt = 1;
        loop {
            let call = AssertUnwindSafe(async { self.code.process(message.clone()).await }).catch_unwind();
            let result = call.await.unwrap_or_else(|_panic| {
                Err(NetworkError::new(
                    ErrorKind::Internal,
                    PROCESS,
                    "the processor panicked",
                ))
            });
            match result.and_then(|record| self.with_output_topic(record.outputs)) {
                Ok(outputs) => return Ok(outputs),
                Err(error) if error.retryability().is_transient() && attempt < self.config.max_attempts => {
                    self.note_retry(&error);
                    sleep(
                        error
                            .retryability()
                            .delay()
                            .unwrap_or_default()
                            .max(self.delay(attempt)),
                    )
                    .await;
                    attempt += 1;
                }
                Err(error) => return Err(error.with_attempts(attempt)),
            }
        }
    }

    /// Sets the processor's output topic in outputs without a topic.
    fn with_output_topic(&self, mut outputs: Vec<ProducerRecord>) -> Result<Vec<ProducerRecord>> {
        for output in outputs.iter_mut().filter(|output| output.topic.is_empty()) {
            let topic = self.config.output_topic.as_deref().ok_or_else(|| {
                NetworkError::invalid_input(
                    "output_topic",
                    "an output has no topic, and the processor has no output topic",
                )
                .with_operation(PROCESS)
            })?;
            output.topic = topic.into();
        }
        Ok(outputs)
    }

    /// Applies the poison policy to a message that cannot be processed: it is skipped, dead-lettered, or stops the processor.
    fn apply_poison_policy(&self, message: KafkaMessage, error: NetworkError) -> Result<ProcessedMessage> {
        self.progress.note_error(&error);
        match &self.config.on_poison {
            PoisonPolicy::Skip => {
                let KafkaMessage {
                    topic,
                    partition,
                    offset,
                    ..
                } = &message;
                tracing::warn!(%topic, partition, offset, %error, "skipped a message that cannot be processed");
                Ok(ProcessedMessage {
                    message,
                    outputs: Vec::new(),
                    handling: Handling::Skipped,
                })
            }
            PoisonPolicy::DeadLetter { topic } => {
                let outputs = vec![dead_letter(topic, &message, &error)];
                Ok(ProcessedMessage {
                    message,
                    outputs,
                    handling: Handling::DeadLettered,
                })
            }
            _ => Err(error.with_context(
                "message",
                format!("{} at {}", message.topic_partition(), message.offset),
            )),
        }
    }

    /// Writes the outputs in order. After a failure it writes the outputs of the failed message and of all later ones again,
    /// to keep the order. `next_offset` is updated after each finished message.
    async fn write(&self, mut pending: Vec<ProcessedMessage>, next_offset: &mut Option<i64>) -> Result<()> {
        let mut attempt = 1;
        while !pending.is_empty() {
            let records = pending
                .iter()
                .flat_map(|message| message.outputs.iter().cloned())
                .collect::<Vec<_>>();
            let failed = if records.is_empty() {
                None
            } else {
                self.first_failure(&pending, records).await?
            };
            let done = failed.as_ref().map_or(pending.len(), |(index, _)| *index);
            if done > 0 {
                attempt = 1;
            }
            for finished in pending.drain(..done) {
                self.count(&finished);
                *next_offset = Some(finished.message.next_offset());
            }
            let Some((_, error)) = failed else { break };
            if error.retryability().is_transient() && attempt < self.config.max_attempts {
                self.note_retry(&error);
                sleep(self.delay(attempt)).await;
                attempt += 1;
                continue;
            }
            let error = error.with_attempts(attempt);
            attempt = 1;
            let first = &mut pending[0];
            if first.handling != Handling::Processed || !is_caused_by_record(&error) {
                return Err(error);
            }
            *first = self.apply_poison_policy(first.message.clone(), error)?;
        }
        Ok(())
    }

    /// Writes the records and returns the index of the first message with an output that was not acknowledged.
    async fn first_failure(
        &self,
        pending: &[ProcessedMessage],
        records: Vec<ProducerRecord>,
    ) -> Result<Option<(usize, NetworkError)>> {
        let results = self.client.produce_messages(&self.producer, records).await?;
        let owners = pending
            .iter()
            .enumerate()
            .flat_map(|(index, message)| message.outputs.iter().map(move |_| index));
        let mut acknowledged = 0;
        for (owner, result) in owners.clone().zip(results) {
            acknowledged += 1;
            if let Err(error) = result {
                return Ok(Some((owner, error)));
            }
        }
        match owners.clone().nth(acknowledged) {
            None => Ok(None),
            // The client returned fewer results than it got records. A message without a result must not be committed.
            Some(owner) => {
                let error = NetworkError::new(
                    ErrorKind::Internal,
                    PROCESS,
                    "the client returned fewer results than records",
                );
                Ok(Some((owner, error.with_send_state(SendState::MaybeSent))))
            }
        }
    }

    fn count(&self, message: &ProcessedMessage) {
        let progress = &self.progress;
        match message.handling {
            Handling::Processed => {
                progress.processed.fetch_add(1, Ordering::Relaxed);
                progress
                    .emitted
                    .fetch_add(message.outputs.len() as u64, Ordering::Relaxed);
            }
            Handling::Skipped => {
                progress.skipped.fetch_add(1, Ordering::Relaxed);
            }
            Handling::DeadLettered => {
                progress.dead_lettered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn note_retry(&self, error: &NetworkError) {
        self.progress.retries.fetch_add(1, Ordering::Relaxed);
        self.progress.note_error(error);
    }

    /// The wait after `attempt` failed attempts.
    pub(super) fn delay(&self, attempt: u32) -> Duration {
        self.config.backoff.delay(attempt, fastrand::f64())
    }
}
