//! Counters, kept per handle and for the whole client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use networking_spi::kafka::{KafkaMetrics, ProducerMetrics};

/// Counters of the client; they outlive its producers and consumers.
#[derive(Debug, Default)]
pub(super) struct ClientCounters {
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
    pub(super) fn snapshot(&self) -> KafkaMetrics {
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

    pub(super) fn count_consumed(&self, messages: u64, bytes: u64) {
        add(&self.messages_consumed, messages);
        add(&self.bytes_consumed, bytes);
    }

    pub(super) fn count_consume_error(&self) {
        add(&self.consume_errors, 1);
    }

    pub(super) fn count_commit(&self, succeeded: bool) {
        add(if succeeded { &self.commits } else { &self.commit_errors }, 1);
    }

    pub(super) fn count_rebalance(&self) {
        add(&self.rebalances, 1);
    }
}

/// Counters of one producer, which counts for its client, too.
#[derive(Debug)]
pub(super) struct ProducerCounters {
    client: Arc<ClientCounters>,
    messages: AtomicU64,
    bytes: AtomicU64,
    errors: AtomicU64,
    in_flight: AtomicU64,
}

impl ProducerCounters {
    pub(super) fn new(client: Arc<ClientCounters>) -> Self {
        Self {
            client,
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
        }
    }

    pub(super) fn snapshot(&self) -> ProducerMetrics {
        let mut metrics = ProducerMetrics::default();
        metrics.messages = get(&self.messages);
        metrics.bytes = get(&self.bytes);
        metrics.errors = get(&self.errors);
        metrics.in_flight = get(&self.in_flight);
        metrics
    }

    pub(super) fn record_sent(&self) {
        add(&self.in_flight, 1);
    }

    pub(super) fn record_answered(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    pub(super) fn count_acknowledged(&self, bytes: u64) {
        add(&self.messages, 1);
        add(&self.bytes, bytes);
        add(&self.client.messages_produced, 1);
        add(&self.client.bytes_produced, bytes);
    }

    pub(super) fn count_error(&self) {
        add(&self.errors, 1);
        add(&self.client.produce_errors, 1);
    }
}

fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
