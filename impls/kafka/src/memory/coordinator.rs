//! The coordinator of transactions: transactional ids, open transactions, and their timeouts.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use networking_spi::error::context;
use networking_spi::kafka::PartitionOffset;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;

use super::group::Group;
use super::log::{StoredRecord, millis};
use super::mark::{Mark, Outcome};
use super::topic::Topic;
use super::topics::Topics;

/// The transactional ids of a cluster.
#[derive(Debug)]
pub(super) struct Coordinator {
    by_id: Mutex<HashMap<String, Arc<Mutex<TransactionalId>>>>,
    next_epoch: AtomicU64,
    /// No transaction expires before this time, in nanoseconds of the clock.
    next_expiry: AtomicU64,
}

/// A transactional id, and the transaction of its current producer.
#[derive(Debug, Default)]
pub(super) struct TransactionalId {
    /// Increases with each producer that registers, and when a transaction expires. A producer with another epoch is fenced.
    pub(super) epoch: u64,
    pub(super) open: Option<Open>,
}

/// An open transaction.
#[derive(Debug, Default)]
pub(super) struct Open {
    pub(super) mark: Arc<Mark>,
    partitions: Vec<(Arc<Topic>, usize)>,
    offsets: Vec<(Arc<Group>, Vec<PartitionOffset>)>,
    /// When it expires; `None` while the cluster does not know of it, because it has neither records nor offsets.
    deadline: Option<Duration>,
}

impl Coordinator {
    pub(super) fn new() -> Self {
        Self {
            by_id: Mutex::default(),
            next_epoch: AtomicU64::new(1),
            next_expiry: AtomicU64::new(u64::MAX),
        }
    }

    /// The state of a transactional id. At `limit`, ids that no producer uses are removed to make room for a new one.
    pub(super) fn id(&self, name: &str, limit: usize, operation: &'static str) -> Result<Arc<Mutex<TransactionalId>>> {
        let mut by_id = self.by_id.lock();
        if let Some(known) = by_id.get(name) {
            return Ok(Arc::clone(known));
        }
        if by_id.len() >= limit {
            // No other thread can get one that only the map has, because the map is locked.
            by_id.retain(|_, id| Arc::strong_count(id) > 1 || id.lock().open.is_some());
        }
        if by_id.len() >= limit {
            return Err(NetworkError::new(
                ErrorKind::Exhausted,
                operation,
                "the cluster has reached its limit of transactional ids in use",
            )
            .with_context(context::LIMIT, limit.to_string()));
        }
        let id = Arc::<Mutex<TransactionalId>>::default();
        by_id.insert(name.to_owned(), Arc::clone(&id));
        Ok(id)
    }

    /// An epoch that no producer has had.
    pub(super) fn next_epoch(&self) -> u64 {
        self.next_epoch.fetch_add(1, Ordering::Relaxed)
    }

    /// Starts the time of a transaction when it gets its first record or offset.
    pub(super) fn start(&self, open: &mut Open, now: Duration, timeout: Duration) {
        if open.deadline.is_none() {
            let deadline = now.saturating_add(timeout);
            open.deadline = Some(deadline);
            self.next_expiry.fetch_min(nanos(deadline), Ordering::AcqRel);
        }
    }

    /// When the next transaction may expire. Consumers that wait for its end must check again at this time.
    pub(super) fn next_expiry(&self) -> Duration {
        Duration::from_nanos(self.next_expiry.load(Ordering::Acquire))
    }

    /// Aborts transactions that are open for too long, and fences their producers.
    pub(super) fn expire(&self, topics: &Topics) {
        let now = topics.clock().elapsed();
        if nanos(now) < self.next_expiry.load(Ordering::Acquire) {
            return;
        }
        // Before the ids are read: a transaction that starts meanwhile lowers it again.
        self.next_expiry.store(u64::MAX, Ordering::Release);
        let ids: Vec<_> = self.by_id.lock().values().cloned().collect();
        for id in ids {
            let mut id = id.lock();
            let Some(deadline) = id.open.as_ref().and_then(|open| open.deadline) else {
                continue;
            };
            if deadline <= now {
                id.epoch = self.next_epoch();
                id.end(topics, Outcome::Aborted);
            } else {
                self.next_expiry.fetch_min(nanos(deadline), Ordering::AcqRel);
            }
        }
    }
}

impl TransactionalId {
    /// Ends the open transaction, if there is one.
    pub(super) fn end(&mut self, topics: &Topics, outcome: Outcome) {
        let Some(open) = self.open.take() else { return };
        open.mark.end(outcome);
        for (group, offsets) in open.offsets {
            group.release(topics, offsets, outcome);
        }
        let now: SystemTime = topics.clock().now();
        for (topic, partition) in open.partitions {
            topic.partitions[partition].appender(now).append(StoredRecord {
                timestamp_millis: millis(now),
                transaction: Some(Arc::clone(&open.mark)),
                is_control: true,
                ..StoredRecord::default()
            });
        }
    }
}

impl Open {
    /// Adds a partition to which a record is written.
    pub(super) fn add_partition(&mut self, topic: &Arc<Topic>, partition: usize) {
        let is_known = |(known, number): &(Arc<Topic>, usize)| *number == partition && Arc::ptr_eq(known, topic);
        if !self.partitions.iter().any(is_known) {
            self.partitions.push((Arc::clone(topic), partition));
        }
    }

    /// Adds offsets that the group holds until the end of the transaction.
    pub(super) fn add_offsets(&mut self, group: &Arc<Group>, offsets: Vec<PartitionOffset>) {
        self.offsets.push((Arc::clone(group), offsets));
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
