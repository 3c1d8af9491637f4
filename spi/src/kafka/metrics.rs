//! Counters of a Kafka client.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ConsumerId, ProducerId};

/// A snapshot of a client's counters. The totals include closed producers and consumers; the maps do not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct KafkaMetrics {
    /// Records that were acknowledged.
    pub messages_produced: u64,
    /// Bytes of key, value and headers of these records.
    pub bytes_produced: u64,
    /// Records that could not be written.
    pub produce_errors: u64,
    /// Records that consumers returned.
    pub messages_consumed: u64,
    /// Bytes of key, value and headers of these records.
    pub bytes_consumed: u64,
    /// Calls of [`consume_messages`](super::KafkaClient::consume_messages) that failed.
    pub consume_errors: u64,
    /// Successful commits.
    pub commits: u64,
    /// Failed commits.
    pub commit_errors: u64,
    /// Rebalances in which a consumer of this client received an assignment.
    pub rebalances: u64,
    /// Counters of the open producers.
    pub producers: BTreeMap<ProducerId, ProducerMetrics>,
    /// Counters of the open consumers.
    pub consumers: BTreeMap<ConsumerId, ConsumerMetrics>,
}

/// Counters of one producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct ProducerMetrics {
    /// Records that were acknowledged.
    pub messages: u64,
    /// Bytes of key, value and headers of these records.
    pub bytes: u64,
    /// Records that could not be written.
    pub errors: u64,
    /// Records that wait for their acknowledgement.
    pub in_flight: u64,
}

/// Counters of one consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct ConsumerMetrics {
    /// Records that were returned.
    pub messages: u64,
    /// Bytes of key, value and headers of these records.
    pub bytes: u64,
    /// Partitions that are currently assigned.
    pub assigned_partitions: u64,
    /// Records in the assigned partitions after the position of the consumer; `None` if unknown.
    pub lag: Option<u64>,
}
