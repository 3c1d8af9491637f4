//! Counters of a client, its producers and its consumers. Every client of this crate keeps them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use networking_spi::kafka::{ConsumerMetrics, KafkaMetrics, ProducerMetrics};

/// Counters of a client. They include the producers and consumers that are closed.
#[derive(Debug, Default)]
pub(crate) struct ClientCounters {
    messages_produced: AtomicU64,
    bytes_produced: AtomicU64,
    produce_errors: AtomicU64,
    messages_consumed: AtomicU64,
    bytes_consumed: AtomicU64,
    consume_errors: AtomicU64,
    commits: AtomicU64,
    commit_errors: AtomicU64,
    rebalances: AtomicU64,
}

impl ClientCounters {
    /// The metrics of the client, without those of its individual producers and consumers.
    pub(crate) fn snapshot(&self) -> KafkaMetrics {
        let mut metrics = KafkaMetrics::default();
        metrics.messages_produced = get(&self.messages_produced);
        metrics.bytes_produced = get(&self.bytes_produced);
        metrics.produce_errors = get(&self.produce_errors);
        metrics.messages_consumed = get(&self.messages_consumed);
        metrics.bytes_consumed = get(&self.bytes_consumed);
        metrics.consume_errors = get(&self.consume_errors);
        metrics.commits = get(&self.commits);
        metrics.commit_errors = get(&self.commit_errors);
        metrics.rebalances = get(&self.rebalances);
        metrics
    }

    pub(crate) fn count_rebalance(&self) {
        add(&self.rebalances, 1);
    }
}

/// Counters of one producer. Each count is also added to the counters of the client.
#[derive(Debug)]
pub(crate) struct ProducerCounters {
    client: Arc<ClientCounters>,
    messages: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
}

impl ProducerCounters {
    pub(crate) fn new(client: Arc<ClientCounters>) -> Self {
        Self {
            client,
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
        }
    }

    /// The producer's metrics, with the number of records that it has in flight.
    pub(crate) fn snapshot(&self, in_flight: u64) -> ProducerMetrics {
        let mut metrics = ProducerMetrics::default();
        metrics.messages = get(&self.messages);
        metrics.bytes = get(&self.bytes);
        metrics.errors = get(&self.errors);
        metrics.in_flight = in_flight;
        metrics
    }

    /// Counts acknowledged records and their bytes.
    pub(crate) fn count_acknowledged(&self, messages: u64, bytes: u64) {
        add(&self.messages, messages);
        add(&self.bytes, bytes);
        add(&self.client.messages_produced, messages);
        add(&self.client.bytes_produced, bytes);
    }

    /// Counts records that failed.
    pub(crate) fn count_errors(&self, records: u64) {
        add(&self.errors, records);
        add(&self.client.produce_errors, records);
    }
}

/// Counters of one consumer. Each count is also added to the counters of the client.
#[derive(Debug)]
pub(crate) struct ConsumerCounters {
    client: Arc<ClientCounters>,
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl ConsumerCounters {
    pub(crate) fn new(client: Arc<ClientCounters>) -> Self {
        Self {
            client,
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
        }
    }

    /// The consumer's metrics, without its lag.
    pub(crate) fn snapshot(&self, assigned_partitions: usize) -> ConsumerMetrics {
        let mut metrics = ConsumerMetrics::default();
        metrics.messages = get(&self.messages);
        metrics.bytes = get(&self.bytes);
        metrics.assigned_partitions = assigned_partitions as u64;
        metrics
    }

    /// Counts messages that a call to consume returned, and their bytes.
    pub(crate) fn count_consumed(&self, messages: u64, bytes: u64) {
        add(&self.messages, messages);
        add(&self.bytes, bytes);
        add(&self.client.messages_consumed, messages);
        add(&self.client.bytes_consumed, bytes);
    }

    /// Counts a failed call to consume.
    pub(crate) fn count_consume_error(&self) {
        add(&self.client.consume_errors, 1);
    }

    /// Counts a commit, as successful or failed.
    pub(crate) fn count_commit(&self, succeeded: bool) {
        let client = &self.client;
        add(
            if succeeded {
                &client.commits
            } else {
                &client.commit_errors
            },
            1,
        );
    }

    /// Counts a new assignment of partitions.
    pub(crate) fn count_rebalance(&self) {
        self.client.count_rebalance();
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
