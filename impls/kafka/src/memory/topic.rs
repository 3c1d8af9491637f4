//! Topics and their partitions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::time::SystemTime;

use networking_spi::kafka::{KafkaMessage, TopicName};
use parking_lot::{Mutex, RwLock, RwLockWriteGuard};
use tokio::sync::Notify;

use super::log::{Log, Retention, StoredRecord};
use super::settings::TopicSettings;

/// A topic and its partitions. A change of the number of partitions or of the settings makes another value, which shares
/// everything else.
#[derive(Debug)]
pub(super) struct Topic {
    pub(super) name: Arc<str>,
    pub(super) partitions: Box<[Arc<Partition>]>,
    pub(super) replicas: i32,
    pub(super) settings: TopicSettings,
    /// The settings as they were set for the topic.
    pub(super) config: BTreeMap<String, String>,
    next_keyless: Arc<AtomicUsize>,
    deleted: Arc<AtomicBool>,
    pub(super) gate: Arc<Gate>,
}

impl Topic {
    pub(super) fn new(name: &str, partitions: usize, replicas: i32, settings: TopicSettings, seed: usize) -> Self {
        Self {
            name: name.into(),
            partitions: new_partitions(partitions, settings.retention).collect(),
            replicas,
            settings,
            config: BTreeMap::new(),
            next_keyless: Arc::new(AtomicUsize::new(seed % partitions)),
            deleted: Arc::default(),
            gate: Arc::new(Gate::new()),
        }
    }

    pub(super) fn with_config(mut self, config: BTreeMap<String, String>) -> Self {
        self.config = config;
        self
    }

    /// The same topic with more partitions.
    pub(super) fn grown(&self, total: usize) -> Self {
        let added = total.saturating_sub(self.partitions.len());
        let added = new_partitions(added, self.settings.retention);
        Self {
            partitions: self.partitions.iter().cloned().chain(added).collect(),
            ..self.same()
        }
    }

    /// The same topic with other settings.
    pub(super) fn reconfigured(&self, config: BTreeMap<String, String>, settings: TopicSettings) -> Self {
        for partition in &self.partitions {
            partition.set_retention(settings.retention);
        }
        Self {
            settings,
            config,
            ..self.same()
        }
    }

    fn same(&self) -> Self {
        Self {
            name: Arc::clone(&self.name),
            partitions: self.partitions.clone(),
            replicas: self.replicas,
            settings: self.settings,
            config: self.config.clone(),
            next_keyless: Arc::clone(&self.next_keyless),
            deleted: Arc::clone(&self.deleted),
            gate: Arc::clone(&self.gate),
        }
    }

    /// Whether both are the same topic, possibly with other settings or another number of partitions.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.gate, &other.gate)
    }

    /// The next partition for records without a key. The counter belongs to the topic, so that all its producers together use
    /// the partitions in turn.
    pub(super) fn next_keyless(&self) -> usize {
        self.next_keyless.fetch_add(1, Ordering::Relaxed) % self.partitions.len()
    }

    /// The partition with this number.
    pub(super) fn partition(&self, number: i32) -> Option<&Partition> {
        self.partitions.get(usize::try_from(number).ok()?).map(|found| &**found)
    }

    pub(super) fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Acquire)
    }

    pub(super) fn delete(&self) {
        self.deleted.store(true, Ordering::Release);
        self.gate.opened.notify_waiters();
    }

    /// Makes the topic available or unavailable.
    pub(super) fn set_available(&self, available: bool) {
        self.gate.open.store(available, Ordering::Release);
        if available {
            self.gate.opened.notify_waiters();
            for partition in &self.partitions {
                partition.wake_watchers();
            }
        }
    }
}

fn new_partitions(count: usize, retention: Retention) -> impl Iterator<Item = Arc<Partition>> {
    (0..count).map(move |_| Arc::new(Partition::new(retention)))
}

/// Delays writes while the topic is unavailable, and then runs them in order of arrival.
#[derive(Debug)]
pub(super) struct Gate {
    open: AtomicBool,
    opened: Notify,
    waiting: AtomicUsize,
    turn: tokio::sync::Mutex<()>,
}

impl Gate {
    fn new() -> Self {
        Self {
            open: AtomicBool::new(true),
            opened: Notify::new(),
            waiting: AtomicUsize::new(0),
            turn: tokio::sync::Mutex::new(()),
        }
    }

    pub(super) fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// Whether a write need not wait: the topic is available and no earlier write is waiting.
    pub(super) fn is_free(&self) -> bool {
        self.is_open() && self.waiting.load(Ordering::Acquire) == 0
    }
}

impl Topic {
    /// Waits until all earlier writes are done and the topic is available or deleted, and runs `write`. Dropping the future
    /// removes the write from the queue.
    pub(super) async fn write_when_available<T>(&self, write: impl FnOnce() -> T) -> T {
        self.gate.waiting.fetch_add(1, Ordering::AcqRel);
        let _place = Place(&self.gate.waiting);
        let _turn = self.gate.turn.lock().await;
        loop {
            let opened = self.gate.opened.notified();
            if self.gate.is_open() || self.is_deleted() {
                return write();
            }
            opened.await;
        }
    }
}

/// Counts as one waiting write until it is dropped.
struct Place<'g>(&'g AtomicUsize);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One partition: its log, the bounds of the log, and the consumers that wait for its records.
#[derive(Debug)]
pub(super) struct Partition {
    log: RwLock<Log>,
    /// The bounds of the log, for readers without its lock.
    start: AtomicI64,
    end: AtomicI64,
    watched: AtomicBool,
    watchers: Mutex<Vec<Watcher>>,
    /// Whether retention limits the age of records. Reading then reads the clock.
    has_age_limit: AtomicBool,
}

#[derive(Debug)]
struct Watcher {
    consumer: u64,
    wake: Arc<Notify>,
}

impl Partition {
    fn new(retention: Retention) -> Self {
        let log = Log::new(retention);
        Self {
            start: AtomicI64::new(log.start()),
            end: AtomicI64::new(log.end()),
            watched: AtomicBool::new(false),
            watchers: Mutex::new(Vec::new()),
            has_age_limit: AtomicBool::new(log.has_age_limit()),
            log: RwLock::new(log),
        }
    }

    /// The first offset that can be read.
    pub(super) fn start(&self) -> i64 {
        self.start.load(Ordering::Acquire)
    }

    /// The offset of the next record to be written.
    pub(super) fn end(&self) -> i64 {
        self.end.load(Ordering::SeqCst)
    }

    /// The last stable offset.
    pub(super) fn last_stable(&self) -> i64 {
        self.log.read().last_stable()
    }

    /// Whether no consumer can read a message at or after this offset.
    pub(super) fn has_only_control_records(&self, from: i64) -> bool {
        self.log.read().has_only_control_records(from)
    }

    /// Locks the partition for appending. Dropping the appender publishes the records and wakes readers.
    pub(super) fn appender(&self, now: SystemTime) -> Appender<'_> {
        let mut log = self.log.write();
        log.expire(now);
        Appender {
            partition: self,
            log: Some(log),
        }
    }

    /// The first record whose timestamp is `millis` or later.
    pub(super) fn first_since(&self, millis: u64) -> Option<i64> {
        self.log.read().first_since(millis)
    }

    /// Whether retention limits the age of records.
    pub(super) fn has_age_limit(&self) -> bool {
        self.has_age_limit.load(Ordering::Relaxed)
    }

    /// Drops records that are older than the age limit.
    pub(super) fn expire(&self, now: SystemTime) {
        if self.has_age_limit() {
            let mut log = self.log.write();
            log.expire(now);
            self.publish(&log);
        }
    }

    /// Reads up to `max` messages from offset `from` and returns the next offset to read. `None` if `from` is outside of the
    /// log.
    pub(super) fn read(
        &self,
        from: i64,
        max: usize,
        committed: bool,
        name: (&TopicName, i32),
        out: &mut Vec<KafkaMessage>,
    ) -> Option<i64> {
        let log = self.log.read();
        (log.start()..=log.end())
            .contains(&from)
            .then(|| log.read(from, max, committed, name, out))
    }

    /// Drops the records before an offset, and returns the first offset that can be read.
    pub(super) fn delete_before(&self, offset: i64) -> i64 {
        let mut log = self.log.write();
        log.delete_before(offset);
        self.publish(&log);
        log.start()
    }

    fn set_retention(&self, retention: Retention) {
        let mut log = self.log.write();
        log.set_retention(retention);
        self.has_age_limit.store(log.has_age_limit(), Ordering::Relaxed);
    }

    /// Notifies `wake` after every append.
    pub(super) fn watch(&self, consumer: u64, wake: Arc<Notify>) {
        let mut watchers = self.watchers.lock();
        watchers.push(Watcher { consumer, wake });
        self.watched.store(true, Ordering::SeqCst);
    }

    /// Ends [`watch`](Self::watch).
    pub(super) fn unwatch(&self, consumer: u64) {
        let mut watchers = self.watchers.lock();
        watchers.retain(|watcher| watcher.consumer != consumer);
        self.watched.store(!watchers.is_empty(), Ordering::SeqCst);
    }

    fn publish(&self, log: &Log) {
        self.start.store(log.start(), Ordering::Release);
        // Sequentially consistent with `watched`: either the reader sees the records, or the writer sees the watcher.
        self.end.store(log.end(), Ordering::SeqCst);
    }

    fn wake_watchers(&self) {
        if self.watched.load(Ordering::SeqCst) {
            for watcher in self.watchers.lock().iter() {
                watcher.wake.notify_one();
            }
        }
    }
}

/// A partition locked for appending.
#[derive(Debug)]
pub(super) struct Appender<'p> {
    partition: &'p Partition,
    /// Present until the appender is dropped.
    log: Option<RwLockWriteGuard<'p, Log>>,
}

impl Appender<'_> {
    /// Appends a record and returns its offset.
    pub(super) fn append(&mut self, record: StoredRecord) -> i64 {
        self.log.as_mut().expect("present until dropped").append(record)
    }
}

impl Drop for Appender<'_> {
    fn drop(&mut self) {
        if let Some(log) = self.log.take() {
            self.partition.publish(&log);
        }
        // After unlocking: a reader that wakes up does not wait for the lock.
        self.partition.wake_watchers();
    }
}
