//! Reading.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerConfig, ConsumerId, ConsumerMetrics, KafkaMessage, OffsetReset,
    PartitionOffset, TopicPartition,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{NetworkError, Result};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::cluster::Cluster;
use super::fault::FaultPoint;
use super::group::{Group, MemberLink, Who};
use super::topic::{Partition, Topic};

const CONSUME: &str = "kafka.consume_messages";
const COMMIT: &str = "kafka.commit_offsets";

/// A consumer of a client.
#[derive(Debug)]
pub(super) struct Consumer {
    id: ConsumerId,
    /// Tells the watchers of a partition apart.
    number: u64,
    cluster: Arc<Cluster>,
    config: ConsumerConfig,
    link: Arc<MemberLink>,
    messages: AtomicU64,
    bytes: AtomicU64,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    group: Arc<Group>,
    member: u64,
    /// The group's epoch that `owned` follows.
    epoch: u64,
    owned: Vec<Owned>,
    /// Where the next call begins: behind the partition that was served last.
    cursor: usize,
    closed: bool,
    rebalances: u64,
}

/// A partition that the consumer reads.
#[derive(Debug)]
struct Owned {
    topic: Arc<Topic>,
    partition: TopicPartition,
    /// The next offset to read; `None` before it is known where to start.
    position: Option<i64>,
    /// Whether records were handed out since the partition was taken.
    handed: bool,
}

/// What a call to consume gave.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) messages: Vec<KafkaMessage>,
    pub(super) bytes: u64,
}

impl Consumer {
    /// Joins the group and takes what is free.
    pub(super) fn join(id: ConsumerId, number: u64, cluster: Arc<Cluster>, mut config: ConsumerConfig) -> Result<Self> {
        config.topics.sort_unstable();
        config.topics.dedup();
        let link = Arc::new(MemberLink::new());
        let (group, member) = cluster.join_group(&config, &link)?;
        let state = State {
            group,
            member,
            epoch: 0,
            owned: Vec::new(),
            cursor: 0,
            closed: false,
            rebalances: 0,
        };
        let consumer = Self {
            id,
            number,
            cluster,
            config,
            link,
            messages: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            state: Mutex::new(state),
        };
        consumer.follow(&mut consumer.state.lock())?;
        Ok(consumer)
    }

    pub(super) async fn consume(&self, options: ConsumeOptions) -> Result<Batch> {
        options.validate()?;
        self.cluster
            .faults
            .check(FaultPoint::Consume, CONSUME, |topic| self.reads(topic))?;
        // Following before the poll counts as one: a member that is late has been given up, and must notice.
        self.follow(&mut self.state.lock())?;
        let _poll = Poll::begin(self);
        // Too far away for a timer is as good as never.
        let deadline = Instant::now().checked_add(options.max_wait);
        loop {
            let wake = self.link.wake.notified();
            let batch = self.take(options.max_messages)?;
            let now = Instant::now();
            if !batch.messages.is_empty() || deadline.is_some_and(|deadline| deadline <= now) {
                return Ok(batch);
            }
            let check = self
                .state
                .lock()
                .group
                .next_check()
                .saturating_sub(self.cluster.clock.elapsed());
            match [deadline, now.checked_add(check)].into_iter().flatten().min() {
                Some(until) => {
                    // Whether it was the time or the notification makes no difference: both mean to look again.
                    let _ = tokio::time::timeout_at(until, wake).await;
                }
                None => wake.await,
            }
        }
    }

    pub(super) fn commit(&self, offsets: CommitOffsets) -> Result<()> {
        let failure = self.cluster.faults.next(FaultPoint::Commit, |topic| self.reads(topic));
        if let Some(failure) = failure.filter(|failure| !failure.after_effect) {
            return Err(failure.error(COMMIT));
        }
        let state = self.state.lock();
        self.ensure_open(&state, COMMIT)?;
        let offsets = match offsets {
            CommitOffsets::Consumed => state.handed(),
            CommitOffsets::Exact(offsets) => offsets,
            _ => return Err(NetworkError::unsupported(COMMIT, "offsets")),
        };
        validate::ensure(
            offsets.iter().all(|offset| offset.offset >= 0),
            "offset",
            "must not be negative",
        )?;
        state.group.commit(&self.cluster, self.who(&state), offsets)?;
        failure.map_or(Ok(()), |failure| Err(failure.error(COMMIT)))
    }

    /// Leaves the group.
    pub(super) fn close(&self) {
        self.end(Group::leave);
        self.cluster.forget_idle_group(&self.config.group);
    }

    /// Vanishes without leaving the group.
    pub(super) fn crash(&self) {
        self.end(Group::lose);
    }

    pub(super) fn metrics(&self) -> ConsumerMetrics {
        let state = self.state.lock();
        let mut metrics = ConsumerMetrics::default();
        metrics.messages = self.messages.load(Ordering::Relaxed);
        metrics.bytes = self.bytes.load(Ordering::Relaxed);
        metrics.assigned_partitions = state.owned.len() as u64;
        let lags = state.owned.iter().map(|owned| {
            let position = owned.position?.max(owned.log().start());
            u64::try_from(owned.log().end() - position).ok()
        });
        metrics.lag = lags.sum();
        metrics
    }

    /// Assignments that the consumer went through.
    pub(super) fn rebalances(&self) -> u64 {
        self.state.lock().rebalances
    }

    fn reads(&self, topic: &str) -> bool {
        self.config.topics.iter().any(|name| name == topic)
    }

    fn who<'c>(&'c self, state: &State) -> Who<'c> {
        Who {
            member: state.member,
            config: &self.config,
            link: &self.link,
        }
    }

    fn ensure_open(&self, state: &State, operation: &'static str) -> Result<()> {
        if state.closed {
            Err(NetworkError::not_found(operation, "consumer", &self.id))
        } else {
            Ok(())
        }
    }

    fn end(&self, goodbye: impl FnOnce(&Group, &Cluster, Who<'_>)) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.closed = true;
        for owned in std::mem::take(&mut state.owned) {
            owned.log().unwatch(self.number);
        }
        goodbye(&state.group, &self.cluster, self.who(&state));
        self.link.wake.notify_waiters();
        self.link.wake.notify_one();
    }

    /// Follows the group: gives up what another member gets, takes what is this one's.
    fn follow(&self, state: &mut State) -> Result<()> {
        self.ensure_open(state, CONSUME)?;
        if state.group.is_settled(state.epoch, self.cluster.clock.elapsed()) {
            return Ok(());
        }
        loop {
            let held: HashSet<_> = state.owned.iter().map(|owned| owned.partition.clone()).collect();
            let mut lost = HashSet::new();
            let changes = state.group.follow(&self.cluster, self.who(state), &held, |partition| {
                lost.insert(partition.clone());
            })?;
            let Some(changes) = changes else {
                self.release(state, &held);
                (state.group, state.member) = self.cluster.join_group(&self.config, &self.link)?;
                continue;
            };
            self.release(state, &lost);
            state.rebalances += u64::from(!lost.is_empty() || !changes.taken.is_empty());
            for (topic, partition, committed) in changes.taken {
                let owned = Owned {
                    topic,
                    partition,
                    position: None,
                    handed: false,
                };
                owned.log().watch(self.number, self.link.wake.clone());
                let position = committed.or_else(|| self.reset(owned.log()));
                state.owned.push(Owned { position, ..owned });
            }
            state.owned.sort_by(|left, right| left.partition.cmp(&right.partition));
            state.epoch = changes.epoch;
            return Ok(());
        }
    }

    fn release(&self, state: &mut State, partitions: &HashSet<TopicPartition>) {
        state.owned.retain(|owned| {
            let keep = !partitions.contains(&owned.partition);
            if !keep {
                owned.log().unwatch(self.number);
            }
            keep
        });
    }

    /// Where to start without a usable offset.
    fn reset(&self, partition: &Partition) -> Option<i64> {
        match self.config.offset_reset {
            OffsetReset::Earliest => Some(partition.start()),
            OffsetReset::Latest => Some(partition.end()),
            OffsetReset::Fail => None,
        }
    }

    /// The position, reset if it does not point into the log. Where nothing may be reset, only a commit helps.
    fn position(&self, group: &Group, owned: &Owned) -> Result<i64> {
        let log = owned.log();
        let valid = |position: &i64| (log.start()..=log.end()).contains(position);
        owned
            .position
            .filter(valid)
            .or_else(|| self.reset(log))
            .or_else(|| group.committed(&owned.partition).filter(valid))
            .ok_or_else(|| NetworkError::not_found(CONSUME, "committed offset", &owned.partition))
    }

    /// What is there, up to `max` messages, in turns over the partitions.
    fn take(&self, max: usize) -> Result<Batch> {
        let mut state = self.state.lock();
        self.follow(&mut state)?;
        let State {
            group, owned, cursor, ..
        } = &mut *state;
        let mut messages = Vec::new();
        let count = owned.len();
        let mut progress = true;
        while progress && messages.len() < max {
            progress = false;
            let first = *cursor;
            for step in 0..count {
                let index = (first + step) % count;
                let owned = &mut owned[index];
                if !owned.topic.gate.is_open() {
                    continue;
                }
                if owned.log().ages() {
                    owned.log().expire(self.cluster.clock.now());
                }
                let position = match self.position(group, owned) {
                    Ok(position) => position,
                    Err(error) if messages.is_empty() => return Err(error),
                    Err(_) => continue,
                };
                owned.position = Some(position);
                // A share for each partition that is still to come, so that a busy one does not starve the others.
                let share = (max - messages.len()).div_ceil(count - step);
                match owned.read(position, share, &mut messages) {
                    Some(next) if next > position => {
                        owned.position = Some(next);
                        owned.handed = true;
                        *cursor = (index + 1) % count;
                        progress = true;
                    }
                    Some(_) => {}
                    // The log moved on since the position was checked.
                    None => progress = true,
                }
                if messages.len() >= max {
                    break;
                }
            }
        }
        drop(state);
        if messages.len() >= max && self.link.polls_concurrently() {
            // Records may be left for a call that runs beside this one.
            self.link.wake.notify_one();
        }
        let bytes = messages.iter().map(message_size).sum();
        self.messages.fetch_add(messages.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(Batch { messages, bytes })
    }
}

impl State {
    /// The positions of what was handed out.
    fn handed(&self) -> Vec<PartitionOffset> {
        let handed = self.owned.iter().filter(|owned| owned.handed);
        handed
            .filter_map(|owned| Some(PartitionOffset::new(owned.partition.clone(), owned.position?)))
            .collect()
    }
}

impl Owned {
    fn log(&self) -> &Partition {
        // The group assigns only partitions that exist, and topics do not shrink.
        &self.topic.partitions[usize::try_from(self.partition.partition).expect("assigned partitions are not negative")]
    }

    fn read(&self, from: i64, max: usize, out: &mut Vec<KafkaMessage>) -> Option<i64> {
        if self.log().end() == from {
            return Some(from);
        }
        self.log()
            .read(from, max, &self.partition.topic, self.partition.partition, out)
    }
}

/// A call to consume that is under way.
struct Poll<'c>(&'c Consumer);

impl<'c> Poll<'c> {
    fn begin(consumer: &'c Consumer) -> Self {
        consumer.link.begin_poll();
        Self(consumer)
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        self.0.link.end_poll(self.0.cluster.clock.elapsed());
    }
}

/// Bytes of key, value and headers.
fn message_size(message: &KafkaMessage) -> u64 {
    let headers: usize = message
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.map_or(0, bytes::Bytes::len))
        .sum();
    let key = message.key.as_ref().map_or(0, bytes::Bytes::len);
    let value = message.value.as_ref().map_or(0, bytes::Bytes::len);
    (key + value + headers) as u64
}
