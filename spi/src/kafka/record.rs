//! Records: those to write, and those that were read.

use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use super::{TopicName, TopicPartition};
use crate::error::Result;
use crate::validate::{self, Validate};

/// The headers of a record. As in Kafka, they are ordered, names may repeat, and a value may be absent (`None`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KafkaHeaders(Vec<(String, Option<Bytes>)>);

impl KafkaHeaders {
    /// No headers.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Appends a header.
    pub fn push(&mut self, name: impl Into<String>, value: Option<Bytes>) {
        self.0.push((name.into(), value));
    }

    /// The value of the last header with this name.
    pub fn get(&self, name: &str) -> Option<&Bytes> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .and_then(|(_, value)| value.as_ref())
    }

    /// The value of the last header with this name as text, if it is UTF-8.
    pub fn get_str(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// All headers, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&Bytes>)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_ref()))
    }

    /// The number of headers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no headers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<String>, V: Into<Bytes>> FromIterator<(N, V)> for KafkaHeaders {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(iter: I) -> Self {
        Self(
            iter.into_iter()
                .map(|(name, value)| (name.into(), Some(value.into())))
                .collect(),
        )
    }
}

/// A record to write.
///
/// ```
/// use networking_spi::kafka::ProducerRecord;
/// let record = ProducerRecord::new("orders").with_key("customer-7").with_value(r#"{"item": 1}"#).with_header("trace", "a1");
/// assert_eq!(record.headers.get_str("trace"), Some("a1"));
/// ```
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a record does nothing until it is produced"]
#[non_exhaustive]
pub struct ProducerRecord {
    /// The topic.
    pub topic: TopicName,
    /// The partition. `None`: chosen by murmur2 of the key, as Kafka's Java client does; if there is no key, the producer
    /// chooses it.
    pub partition: Option<i32>,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` for a tombstone.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: KafkaHeaders,
    /// The timestamp, with a resolution of milliseconds, not before 1970. `None`: the time of sending.
    pub timestamp: Option<SystemTime>,
}

impl ProducerRecord {
    /// A record without key and value.
    pub fn new(topic: impl Into<TopicName>) -> Self {
        Self {
            topic: topic.into(),
            partition: None,
            key: None,
            value: None,
            headers: KafkaHeaders::new(),
            timestamp: None,
        }
    }

    /// Sets the partition.
    pub fn with_partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Sets the key.
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Sets the value.
    pub fn with_value(mut self, value: impl Into<Bytes>) -> Self {
        self.value = Some(value.into());
        self
    }

    /// Appends a header.
    pub fn with_header(mut self, name: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.headers.push(name, Some(value.into()));
        self
    }

    /// Sets the timestamp.
    pub fn with_timestamp(mut self, timestamp: SystemTime) -> Self {
        self.timestamp = Some(timestamp);
        self
    }

    /// The number of bytes of key, value and headers.
    pub fn size(&self) -> usize {
        self.key.as_ref().map_or(0, Bytes::len)
            + self.value.as_ref().map_or(0, Bytes::len)
            + self
                .headers
                .iter()
                .map(|(name, value)| name.len() + value.map_or(0, Bytes::len))
                .sum::<usize>()
    }
}

impl Validate for ProducerRecord {
    fn validate(&self) -> Result<()> {
        super::validate_topic_name(&self.topic, "topic")?;
        validate::ensure(
            self.partition.is_none_or(|partition| partition >= 0),
            "partition",
            "must not be negative",
        )?;
        validate::ensure(
            self.timestamp.is_none_or(|timestamp| timestamp >= UNIX_EPOCH),
            "timestamp",
            "must not be before 1970",
        )
    }
}

impl fmt::Debug for ProducerRecord {
    /// Prints only sizes: keys, values and headers may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProducerRecord")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("value_bytes", &self.value.as_ref().map(Bytes::len))
            .field("headers", &self.headers.len())
            .field("timestamp", &self.timestamp)
            .finish()
    }
}

/// Where a record was written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RecordMetadata {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: i32,
    /// The offset; `None` with [`Acks::None`](super::Acks::None).
    pub offset: Option<i64>,
    /// The timestamp of the record, if known.
    pub timestamp: Option<SystemTime>,
}

impl RecordMetadata {
    /// The metadata of a record.
    pub fn new(
        topic: impl Into<TopicName>,
        partition: i32,
        offset: Option<i64>,
        timestamp: Option<SystemTime>,
    ) -> Self {
        Self {
            topic: topic.into(),
            partition,
            offset,
            timestamp,
        }
    }
}

/// A record that was read.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KafkaMessage {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: i32,
    /// The offset.
    pub offset: i64,
    /// The key.
    pub key: Option<Bytes>,
    /// The value; `None` for a tombstone.
    pub value: Option<Bytes>,
    /// The headers.
    pub headers: KafkaHeaders,
    /// The timestamp, with a resolution of milliseconds.
    pub timestamp: Option<SystemTime>,
}

impl KafkaMessage {
    /// A record at this offset, without key, value and headers.
    pub fn new(topic: impl Into<TopicName>, partition: i32, offset: i64) -> Self {
        Self {
            topic: topic.into(),
            partition,
            offset,
            key: None,
            value: None,
            headers: KafkaHeaders::new(),
            timestamp: None,
        }
    }

    /// The offset to commit after this message was processed.
    pub const fn next_offset(&self) -> i64 {
        self.offset + 1
    }

    /// The topic and partition.
    pub fn topic_partition(&self) -> TopicPartition {
        TopicPartition::new(self.topic.clone(), self.partition)
    }

    /// The value as text, if there is one and it is UTF-8.
    pub fn value_str(&self) -> Option<&str> {
        std::str::from_utf8(self.value.as_ref()?).ok()
    }
}

impl fmt::Debug for KafkaMessage {
    /// Prints only sizes: keys, values and headers may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KafkaMessage")
            .field("topic", &self.topic)
            .field("partition", &self.partition)
            .field("offset", &self.offset)
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("value_bytes", &self.value.as_ref().map(Bytes::len))
            .field("headers", &self.headers.len())
            .field("timestamp", &self.timestamp)
            .finish()
    }
}
