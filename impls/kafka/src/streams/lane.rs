//! One partition of a batch: processed in order, written in order.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use networking_spi::kafka::{KafkaMessage, PoisonPolicy, ProducerRecord};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use tokio::time::sleep;

use super::job::Job;
use super::poison::{dead_letter, is_the_records_fault};

pub(super) const PROCESS: &str = "kafka.process_kafka_stream";

/// How far a lane came.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// The offset behind the last message that is done.
    pub(super) next_offset: Option<i64>,
    /// Why it went no further.
    pub(super) failure: Option<NetworkError>,
}

/// A message that was processed, until its outputs are acknowledged.
struct Work {
    message: KafkaMessage,
    outputs: Vec<ProducerRecord>,
    fate: Fate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Processed,
    Skipped,
    DeadLettered,
}

impl Job {
    /// Processes and writes the messages of one partition.
    pub(super) async fn run_lane(self: Arc<Self>, messages: Vec<KafkaMessage>) -> Outcome {
        let mut outcome = Outcome::default();
        let mut works = Vec::with_capacity(messages.len());
        for message in messages {
            let result = self.process(&message).await;
            match result.map(|outputs| Work {
                message: message.clone(),
                outputs,
                fate: Fate::Processed,
            }) {
                Ok(work) => works.push(work),
                Err(error) => match self.poisoned(message, error) {
                    Ok(work) => works.push(work),
                    Err(error) => {
                        outcome.failure = Some(error);
                        break;
                    }
                },
            }
        }
        if let Err(error) = self.write(works, &mut outcome.next_offset).await {
            // The earlier failure of the two is the one that stops the lane.
            outcome.failure = Some(error);
        }
        outcome
    }

    /// The outputs of one message, after as many attempts as are allowed.
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
            match result.and_then(|record| self.address(record.outputs)) {
                Ok(outputs) => return Ok(outputs),
                Err(error) if error.retryability().is_retryable() && attempt < self.config.max_attempts => {
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

    /// Gives the outputs without a topic the processor's.
    fn address(&self, mut outputs: Vec<ProducerRecord>) -> Result<Vec<ProducerRecord>> {
        for output in outputs.iter_mut().filter(|output| output.topic.is_empty()) {
            output.topic = self.config.output_topic.clone().ok_or_else(|| {
                NetworkError::invalid_input(
                    "output_topic",
                    "an output names no topic, and neither does the processor",
                )
                .with_operation(PROCESS)
            })?;
        }
        Ok(outputs)
    }

    /// What the policy makes of a message: work that passes it over, or the error that stops the processor.
    fn poisoned(&self, message: KafkaMessage, error: NetworkError) -> Result<Work> {
        self.progress.note_error(&error);
        match &self.config.on_poison {
            PoisonPolicy::Skip => {
                let KafkaMessage {
                    topic,
                    partition,
                    offset,
                    ..
                } = &message;
                tracing::warn!(topic, partition, offset, %error, "skipped a message that cannot be processed");
                Ok(Work {
                    message,
                    outputs: Vec::new(),
                    fate: Fate::Skipped,
                })
            }
            PoisonPolicy::DeadLetter { topic } => {
                let outputs = vec![dead_letter(topic, &message, &error)];
                Ok(Work {
                    message,
                    outputs,
                    fate: Fate::DeadLettered,
                })
            }
            _ => Err(error.with_context(
                "message",
                format!("{} at {}", message.topic_partition(), message.offset),
            )),
        }
    }

    /// Writes the outputs in order. After a failure everything from the failed message on is written again, so that the
    /// order holds; `next_offset` follows what is done.
    async fn write(&self, mut works: Vec<Work>, next_offset: &mut Option<i64>) -> Result<()> {
        let mut attempt = 1;
        while !works.is_empty() {
            let records = works
                .iter()
                .flat_map(|work| work.outputs.iter().cloned())
                .collect::<Vec<_>>();
            let failed = if records.is_empty() {
                None
            } else {
                self.first_failure(&works, records).await?
            };
            let done = failed.as_ref().map_or(works.len(), |(index, _)| *index);
            if done > 0 {
                attempt = 1;
            }
            for work in works.drain(..done) {
                self.count(&work);
                *next_offset = Some(work.message.next_offset());
            }
            let Some((_, error)) = failed else { break };
            if error.retryability().is_retryable() && attempt < self.config.max_attempts {
                self.note_retry(&error);
                sleep(self.delay(attempt)).await;
                attempt += 1;
                continue;
            }
            let error = error.with_attempts(attempt);
            attempt = 1;
            let first = &mut works[0];
            if first.fate != Fate::Processed || !is_the_records_fault(&error) {
                return Err(error);
            }
            *first = self.poisoned(first.message.clone(), error)?;
        }
        Ok(())
    }

    /// The first message with an output that was not acknowledged.
    async fn first_failure(
        &self,
        works: &[Work],
        records: Vec<ProducerRecord>,
    ) -> Result<Option<(usize, NetworkError)>> {
        let results = self.client.produce_messages(&self.producer, records).await?;
        let owners = works
            .iter()
            .enumerate()
            .flat_map(|(index, work)| work.outputs.iter().map(move |_| index));
        let mut answers = 0;
        for (owner, result) in owners.clone().zip(results) {
            answers += 1;
            if let Err(error) = result {
                return Ok(Some((owner, error)));
            }
        }
        match owners.clone().nth(answers) {
            None => Ok(None),
            // A client that answers fewer records than it was given must not have them committed.
            Some(owner) => {
                let error = NetworkError::new(ErrorKind::Internal, PROCESS, "the client left records unanswered");
                Ok(Some((owner, error.with_send_state(SendState::MaybeSent))))
            }
        }
    }

    fn count(&self, work: &Work) {
        let progress = &self.progress;
        match work.fate {
            Fate::Processed => {
                progress.processed.fetch_add(1, Ordering::Relaxed);
                progress.emitted.fetch_add(work.outputs.len() as u64, Ordering::Relaxed);
            }
            Fate::Skipped => {
                progress.skipped.fetch_add(1, Ordering::Relaxed);
            }
            Fate::DeadLettered => {
                progress.dead_lettered.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn note_retry(&self, error: &NetworkError) {
        self.progress.retries.fetch_add(1, Ordering::Relaxed);
        self.progress.note_error(error);
    }

    /// The wait after so many failed attempts.
    pub(super) fn delay(&self, attempt: u32) -> Duration {
        self.config.backoff.delay(attempt, fastrand::f64())
    }
}
