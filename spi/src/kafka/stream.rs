//! Stream processing: consume, transform, produce.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};

use super::{KafkaMessage, ProducerRecord};
use crate::backoff::Backoff;
use crate::error::{NetworkError, Result};
use crate::names::named_enum;
use crate::validate::{self, Validate};

/// The result of processing one message.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct ProcessedRecord {
    /// The records to write, in this order. A record with an empty topic is written to the output topic of the processor.
    pub outputs: Vec<ProducerRecord>,
}

impl ProcessedRecord {
    /// No records.
    pub const fn skip() -> Self {
        Self { outputs: Vec::new() }
    }

    /// These records.
    pub fn emit(outputs: impl IntoIterator<Item = ProducerRecord>) -> Self {
        Self {
            outputs: outputs.into_iter().collect(),
        }
    }

    /// One record with this value, for the output topic of the processor.
    pub fn value(value: impl Into<Bytes>) -> Self {
        Self::emit([ProducerRecord::new("").with_value(value)])
    }
}

/// A processor that calls a function.
///
/// ```
/// use networking_spi::kafka::{ProcessedRecord, StreamProcessorConfig, stream_fn};
/// # use networking_spi::prelude::*;
///
/// # async fn example(kafka: &dyn KafkaExtended) -> Result<(), NetworkError> {
/// let upper = stream_fn(|message| async move {
///     Ok(match message.value {
///         Some(value) => ProcessedRecord::value(value.to_ascii_uppercase()),
///         None => ProcessedRecord::skip(),
///     })
/// });
/// let config = StreamProcessorConfig::new("shouting", ["quiet"]).with_output_topic("loud");
/// let processor = kafka.create_stream_processor(config, upper).await?;
/// kafka.process_kafka_stream(&processor).await?;
/// # Ok(()) }
/// ```
pub fn stream_fn<F, Fut>(process: F) -> Arc<dyn StreamProcessor>
where
    F: Fn(KafkaMessage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<ProcessedRecord>> + Send,
{
    Arc::new(StreamFn(process))
}

struct StreamFn<F>(F);

#[async_trait]
impl<F, Fut> StreamProcessor for StreamFn<F>
where
    F: Fn(KafkaMessage) -> Fut + Send + Sync + 'static,
    Fut: Future<Output = Result<ProcessedRecord>> + Send,
{
    async fn process(&self, message: KafkaMessage) -> Result<ProcessedRecord> {
        (self.0)(message).await
    }
}

impl<F> fmt::Debug for StreamFn<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StreamFn")
    }
}

/// Application code that transforms messages.
///
/// Messages of one partition are processed in order, one at a time. Partitions are processed concurrently. A message may be
/// processed more than once (after a crash or a rebalance). With exactly-once processing, its outputs are still written only
/// once.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait StreamProcessor: fmt::Debug + Send + Sync + 'static {
    /// Transforms one message.
    ///
    /// # Errors
    /// After a retryable error ([`Retryability`](crate::Retryability)), the message is processed again, up to
    /// [`max_attempts`](StreamProcessorConfig::max_attempts) times in all. The [`PoisonPolicy`] applies to any other error,
    /// and to the error of the last attempt.
    async fn process(&self, message: KafkaMessage) -> Result<ProcessedRecord>;
}

/// What happens to a message that cannot be processed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[serde(tag = "policy", rename_all = "snake_case", try_from = "GivenPoisonPolicy")]
#[non_exhaustive]
pub enum PoisonPolicy {
    /// The processor fails, and does not commit the message, so that no message is lost.
    #[default]
    Fail,
    /// The message is counted, logged and skipped.
    Skip,
    /// The message is written to this topic, with headers that give the reason (as in KIP-1034).
    DeadLetter {
        /// The dead-letter topic.
        topic: String,
    },
}

/// A policy as a configuration spells it. serde ignores unknown keys beside a tag, so the keys are read here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename = "PoisonPolicy")]
struct GivenPoisonPolicy {
    policy: PoisonPolicyName,
    topic: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum PoisonPolicyName {
    Fail,
    Skip,
    DeadLetter,
}

impl TryFrom<GivenPoisonPolicy> for PoisonPolicy {
    type Error = &'static str;

    fn try_from(given: GivenPoisonPolicy) -> Result<Self, Self::Error> {
        match (given.policy, given.topic) {
            (PoisonPolicyName::Fail, None) => Ok(Self::Fail),
            (PoisonPolicyName::Skip, None) => Ok(Self::Skip),
            (PoisonPolicyName::DeadLetter, Some(topic)) => Ok(Self::DeadLetter { topic }),
            (PoisonPolicyName::DeadLetter, None) => Err("missing field `topic` of the policy `dead_letter`"),
            (PoisonPolicyName::Fail | PoisonPolicyName::Skip, Some(_)) => {
                Err("the field `topic` belongs to the policy `dead_letter` only")
            }
        }
    }
}

named_enum! {
    "guarantee",
    /// How often the outputs of a message take effect.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum DeliveryGuarantee {
        /// At least once: outputs are acknowledged before the input's offset is committed.
        #[default]
        AtLeastOnce => "at_least_once",
        /// Exactly once: outputs and offsets are written in one transaction (KIP-447).
        ExactlyOnce => "exactly_once",
    }
}

/// The configuration of a stream processor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct StreamProcessorConfig {
    /// The application id, which is also the consumer group.
    pub application_id: String,
    /// The topics that it reads.
    pub input_topics: Vec<String>,
    /// The topic for outputs without a topic.
    #[serde(default)]
    pub output_topic: Option<String>,
    /// How often the outputs of a message take effect.
    #[serde(default)]
    pub guarantee: DeliveryGuarantee,
    /// What happens to messages that cannot be processed.
    #[serde(default)]
    pub on_poison: PoisonPolicy,
    /// The maximum number of attempts per message, including the first, 1 ..= 100.
    #[serde(default = "default_attempts")]
    pub max_attempts: u32,
    /// The delay between two attempts for the same message.
    #[serde(default = "default_backoff", deserialize_with = "backoff")]
    pub backoff: Backoff,
    /// The maximum number of messages that are consumed at once, at least 1.
    #[serde(default = "default_batch")]
    pub max_batch: usize,
    /// How long stopping waits at most for messages in progress.
    #[serde(default = "default_drain", with = "humantime_serde")]
    pub drain_timeout: Duration,
}

const fn default_attempts() -> u32 {
    3
}

/// 100 ms doubling up to 60 s, with full jitter.
const fn default_backoff() -> Backoff {
    Backoff::new(Duration::from_millis(100), Duration::from_secs(60))
}

fn backoff<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Backoff, D::Error> {
    Backoff::deserialize_over(default_backoff(), deserializer)
}

const fn default_batch() -> usize {
    500
}

const fn default_drain() -> Duration {
    Duration::from_secs(30)
}

impl StreamProcessorConfig {
    /// A processor of `input_topics`.
    pub fn new<T: Into<String>>(application_id: impl Into<String>, input_topics: impl IntoIterator<Item = T>) -> Self {
        Self {
            application_id: application_id.into(),
            input_topics: input_topics.into_iter().map(Into::into).collect(),
            output_topic: None,
            guarantee: DeliveryGuarantee::default(),
            on_poison: PoisonPolicy::default(),
            max_attempts: default_attempts(),
            backoff: default_backoff(),
            max_batch: default_batch(),
            drain_timeout: default_drain(),
        }
    }

    /// Sets the topic for outputs without a topic.
    pub fn with_output_topic(mut self, topic: impl Into<String>) -> Self {
        self.output_topic = Some(topic.into());
        self
    }

    /// Sets how often the outputs of a message take effect.
    pub fn with_guarantee(mut self, guarantee: DeliveryGuarantee) -> Self {
        self.guarantee = guarantee;
        self
    }

    /// Sets what happens to messages that cannot be processed.
    pub fn with_on_poison(mut self, policy: PoisonPolicy) -> Self {
        self.on_poison = policy;
        self
    }

    /// Sets the maximum number of attempts per message, and the delay after the first one. If the maximum of the backoff is
    /// shorter than `delay`, it is used instead; it defaults to 60 s.
    pub fn with_attempts(mut self, attempts: u32, delay: Duration) -> Self {
        self.max_attempts = attempts;
        self.backoff.initial = delay.min(self.backoff.maximum);
        self
    }

    /// Sets the delay between two attempts for the same message.
    pub fn with_backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }
}

impl Validate for StreamProcessorConfig {
    fn validate(&self) -> Result<()> {
        validate::name(&self.application_id, 255, "application_id")?;
        validate::ensure(!self.input_topics.is_empty(), "input_topics", "must not be empty")?;
        for topic in &self.input_topics {
            super::validate_topic_name(topic, "input_topics")?;
        }
        if let Some(topic) = &self.output_topic {
            super::validate_topic_name(topic, "output_topic")?;
            validate::ensure(
                !self.input_topics.contains(topic),
                "output_topic",
                "must not be an input topic",
            )?;
        }
        if let PoisonPolicy::DeadLetter { topic } = &self.on_poison {
            super::validate_topic_name(topic, "on_poison.topic")?;
            validate::ensure(
                !self.input_topics.contains(topic),
                "on_poison.topic",
                "must not be an input topic",
            )?;
        }
        validate::ensure(
            (1..=100).contains(&self.max_attempts),
            "max_attempts",
            "must be between 1 and 100",
        )?;
        validate::nested(&self.backoff, "backoff")?;
        validate::ensure(self.max_batch > 0, "max_batch", "must be at least 1")?;
        validate::positive(self.drain_timeout, "drain_timeout")
    }
}

named_enum! {
    "stream_state",
    /// The state of a processor.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum StreamState {
        /// Created, not started yet.
        #[default]
        Created => "created",
        /// Processing.
        Running => "running",
        /// Finishing the messages in progress.
        Stopping => "stopping",
        /// Stopped by request.
        Stopped => "stopped",
        /// Stopped by an error.
        Failed => "failed",
    }
}

/// The status of a processor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct StreamStatus {
    /// Its state.
    pub state: StreamState,
    /// Messages processed.
    pub processed: u64,
    /// Records written.
    pub emitted: u64,
    /// Messages skipped by [`PoisonPolicy::Skip`].
    pub skipped: u64,
    /// Messages written to the dead-letter topic.
    pub dead_lettered: u64,
    /// Retries of messages.
    pub retries: u64,
    /// The error that stopped it, or the latest error.
    pub last_error: Option<String>,
}

impl StreamStatus {
    /// Sets the last error.
    pub fn with_last_error(mut self, error: &NetworkError) -> Self {
        self.last_error = Some(error.to_string());
        self
    }
}
