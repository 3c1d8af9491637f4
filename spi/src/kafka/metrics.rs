//! Counters of a client.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{ConsumerId, ProducerId};

/// A snapshot of a client's counters. Closed producers and consumers remain in the totals, not in the maps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct KafkaMetrics {
    /// Records acknowledged.
    pub messages_produced: u64,
    /// Bytes of key, value and headers of the records acknowledged.
    pub bytes_produced: u64,
    /// Records that could not be written.
    pub produce_errors: u64,
    /// Records that consumers returned.
    pub messages_consumed: u64,
    /// Bytes of key, value and headers of the records that consumers returned.
    pub bytes_consumed: u64,
    /// Calls to consume that failed.
    pub consume_errors: u64,
    /// Successful commits.
    pub commits: u64,
    /// Failed commits.
    pub commit_errors: u64,
    /// Rebalances that gave a consumer of this client an assignment.
    pub rebalances: u64,
    /// Open producers.
    pub producers: BTreeMap<ProducerId, ProducerMetrics>,
    /// Open consumers.
    pub consumers: BTreeMap<ConsumerId, ConsumerMetrics>,
}

/// Counters of one producer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct ProducerMetrics {
    /// Records acknowledged.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Records that could not be written.
    pub errors: u64,
    /// Records waiting for their acknowledgement.
    pub in_flight: u64,
}

/// Counters of one consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct ConsumerMetrics {
    /// Records returned.
    pub messages: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Partitions assigned now.
    pub assigned_partitions: u64,
    /// Records in the assigned partitions beyond the position; `None` if unknown.
    pub lag: Option<u64>,
}
