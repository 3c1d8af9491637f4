//! Consumers of the in-memory cluster.

mod reading;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerConfig, ConsumerId, ConsumerMetrics, IsolationLevel,
    KafkaMessage, OffsetReset, PartitionOffset, RebalanceEvent, RebalanceEvents, RebalanceKind, Subscription,
    TopicPartition,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{NetworkError, Result, Retryability};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::client_ids::ClientIdUse;
use super::cluster::Cluster;
use super::fault::FaultPoint;
use super::group::{Group, MemberLink, MemberRef};
use super::topic::{Partition, Topic};
use super::topics::Topics;
use crate::counters::ConsumerCounters;
use crate::record_size::record_size;
use crate::topic_pattern::TopicPattern;

pub(super) use self::reading::resolve;

const CONSUME: &str = "kafka.consume_messages";
const COMMIT: &str = "kafka.commit_offsets";

/// The member of a consumer that is not in its group.
const NO_MEMBER: u64 = u64::MAX;

/// A consumer of a client.
#[derive(Debug)]
pub(super) struct Consumer {
    id: ConsumerId,
    /// Distinguishes the watchers of a partition.
    number: u64,
    cluster: Arc<Cluster>,
    config: ConsumerConfig,
    link: Arc<MemberLink>,
    counters: ConsumerCounters,
    _client_id: Option<ClientIdUse>,
    /// The partitions when the consumer was created. One that was created later is read from its first record.
    first_partitions: HashMap<String, Vec<Weak<Partition>>>,
    /// Whether only records of committed transactions are read.
    reads_committed: bool,
    /// The partitions of a consumer that is not a member of its group.
    partitions: Option<Vec<TopicPartition>>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    group: Arc<Group>,
    member: u64,
    /// The epoch of the group, or the version of the topics of a consumer without one, for which `owned` is up to date.
    epoch: u64,
    owned: Vec<Owned>,
    /// The partitions of `owned`, as the application sees them.
    assignment: ConsumerAssignment,
    /// The epoch of the partition that was taken last.
    last_taken: u64,
    /// The index in `owned` at which the next call starts: the one after the partition that was read last.
    cursor: usize,
    events: RebalanceEvents,
    closed: bool,
}

/// A partition that is assigned to the consumer.
#[derive(Debug)]
struct Owned {
    topic: Arc<Topic>,
    partition: TopicPartition,
    /// Distinguishes this assignment of the partition from earlier ones.
    epoch: u64,
    /// The next offset to read; `None` until a start offset is known.
    position: Option<i64>,
    /// Whether records were returned since the partition was assigned.
    consumed: bool,
    paused: bool,
}

impl Consumer {
    /// Joins the group and takes its unassigned partitions, or takes those of the subscription.
    pub(super) fn join(
        id: ConsumerId,
        number: u64,
        cluster: Arc<Cluster>,
        mut config: ConsumerConfig,
        subscription: Subscription,
        counters: ConsumerCounters,
    ) -> Result<Self> {
        let (mut pattern, mut partitions) = (None, None);
        match subscription {
            Subscription::Pattern(of) => {
                let compiled = TopicPattern::new(&of)?;
                config.topics = cluster.topics.matching(&compiled);
                pattern = Some(compiled);
            }
            Subscription::Partitions(of) => {
                config.topics = of.iter().map(|partition| partition.topic.to_string()).collect();
                partitions = Some(of);
            }
            _ => {}
        }
        config.topics.sort_unstable();
        config.topics.dedup();
        let link = Arc::new(MemberLink::new(pattern));
        let (group, member) = match &partitions {
            Some(_) => (cluster.group(&config.group)?, NO_MEMBER),
            None => cluster.join_group(&config, &link)?,
        };
        let client_id = cluster.client_ids.enter(config.client_id.as_deref());
        let state = State {
            group,
            member,
            epoch: 0,
            owned: Vec::new(),
            assignment: ConsumerAssignment::default(),
            last_taken: 0,
            cursor: 0,
            events: RebalanceEvents::default(),
            closed: false,
        };
        let first_partitions = config.topics.iter().filter_map(|name| {
            let topic = cluster.topics.get(name)?;
            Some((name.clone(), topic.partitions.iter().map(Arc::downgrade).collect()))
        });
        let first_partitions = first_partitions.collect();
        let isolation = cluster.capabilities.isolation_level(&config);
        let consumer = Self {
            reads_committed: isolation == IsolationLevel::ReadCommitted,
            id,
            number,
            cluster,
            config,
            link,
            counters,
            _client_id: client_id,
            partitions,
            first_partitions,
            state: Mutex::new(state),
        };
        consumer.follow(&mut consumer.state.lock())?;
        Ok(consumer)
    }

    pub(super) async fn consume(&self, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        let result = self.poll(options).await;
        if result.is_err() {
            self.counters.count_consume_error();
        }
        result
    }

    pub(super) fn commit(&self, offsets: CommitOffsets) -> Result<()> {
        let result = self.try_commit(offsets);
        self.counters.count_commit(result.is_ok());
        result
    }

    pub(super) fn assignment(&self) -> ConsumerAssignment {
        self.state.lock().assignment.clone()
    }

    /// Leaves the group.
    pub(super) fn close(&self) {
        self.end(Group::leave);
        self.cluster.remove_unused_group(&self.config.group);
    }

    /// Stops without leaving the group.
    pub(super) fn crash(&self) {
        self.end(Group::disconnect);
    }

    pub(super) fn metrics(&self) -> ConsumerMetrics {
        let state = self.state.lock();
        let mut metrics = self.counters.snapshot(state.owned.len());
        let lags = state.owned.iter().map(|owned| {
            let position = owned.position?.max(owned.log().start());
            u64::try_from(owned.log().end() - position).ok()
        });
        metrics.lag = lags.sum();
        metrics
    }

    async fn poll(&self, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        options.validate()?;
        self.cluster
            .faults
            .check(FaultPoint::Consume, CONSUME, |topic| self.reads(topic))?;
        // Before the call counts as a poll: a member that exceeded its poll interval must first notice that it was removed.
        self.follow(&mut self.state.lock())?;
        let _poll = Poll::begin(self);
        // A wait beyond the range of the timer has no deadline.
        let deadline = Instant::now().checked_add(options.max_wait);
        loop {
            let wake = self.link.wake.notified();
            self.cluster.coordinator.expire(&self.cluster.topics);
            let topics_changed = self.cluster.topics_changed.notified();
            // The group notifies its members of changed topics.
            let wake = async {
                if self.partitions.is_some() {
                    tokio::select! { () = wake => {}, () = topics_changed => {} }
                } else {
                    wake.await;
                }
            };
            let messages = self.take(options.max_messages)?;
            let now = Instant::now();
            if !messages.is_empty() {
                return Ok(messages);
            }
            if deadline.is_some_and(|deadline| deadline <= now) {
                return self.require_topics().map(|()| messages);
            }
            let check = self
                .next_check()
                .min(self.cluster.coordinator.next_expiry())
                .saturating_sub(self.cluster.clock().elapsed());
            match [deadline, now.checked_add(check)].into_iter().flatten().min() {
                Some(until) => {
                    // The next iteration checks again, whether the wait ended with a notification or at its deadline.
                    let _ = tokio::time::timeout_at(until, wake).await;
                }
                None => wake.await,
            }
        }
    }

    fn try_commit(&self, offsets: CommitOffsets) -> Result<()> {
        let failure = self.cluster.faults.next(FaultPoint::Commit, |topic| self.reads(topic));
        if let Some(failure) = failure.filter(|failure| !failure.after_effect) {
            return Err(failure.error(COMMIT));
        }
        let mut state = self.state.lock();
        self.ensure_open(&state, COMMIT)?;
        let offsets = state.offsets(offsets, COMMIT)?;
        self.send_commit(&mut state, offsets)?;
        failure.map_or(Ok(()), |failure| Err(failure.error(COMMIT)))
    }

    /// Holds offsets in the group until the end of a transaction. Returns them with the group.
    pub(super) fn hold_offsets(
        &self,
        operation: &'static str,
        offsets: CommitOffsets,
    ) -> Result<(Arc<Group>, Vec<PartitionOffset>)> {
        let state = self.state.lock();
        self.ensure_open(&state, operation)?;
        let offsets = state.offsets(offsets, operation)?;
        let member = self.member(&state);
        state.group.hold(&self.cluster.topics, member, &offsets, operation)?;
        Ok((Arc::clone(&state.group), offsets))
    }

    fn reads(&self, topic: &str) -> bool {
        match &self.link.pattern {
            Some(pattern) => pattern.matches(topic),
            None => self.config.topics.iter().any(|name| name == topic),
        }
    }

    /// Fails if a topic was deleted. The error is transient, because the topic may be created again.
    fn require_topics(&self) -> Result<()> {
        if self.link.pattern.is_some() {
            return Ok(());
        }
        let deleted = self
            .config
            .topics
            .iter()
            .find(|topic| self.cluster.topics.get(topic).is_none());
        deleted.map_or(Ok(()), |topic| {
            Err(NetworkError::not_found(CONSUME, "topic", topic).with_retryability(Retryability::Now))
        })
    }

    fn member<'c>(&'c self, state: &State) -> MemberRef<'c> {
        MemberRef {
            number: state.member,
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

    fn end(&self, leave: impl FnOnce(&Group, &Topics, MemberRef<'_>)) {
        let mut state = self.state.lock();
        if state.closed {
            return;
        }
        state.closed = true;
        for owned in std::mem::take(&mut state.owned) {
            owned.log().unwatch(self.number);
        }
        leave(&state.group, &self.cluster.topics, self.member(&state));
        self.link.wake.notify_waiters();
        self.link.wake.notify_one();
    }

    /// Adopts the current assignment of the group: gives up revoked partitions and takes new ones.
    fn follow(&self, state: &mut State) -> Result<()> {
        self.ensure_open(state, CONSUME)?;
        if let Some(partitions) = &self.partitions {
            self.follow_topics(state, partitions);
            return Ok(());
        }
        if state.group.is_settled(state.epoch, self.cluster.clock().elapsed()) {
            return Ok(());
        }
        loop {
            let held: HashSet<_> = state.owned.iter().map(|owned| owned.partition.clone()).collect();
            let mut revoked = HashSet::new();
            let changes = state
                .group
                .follow(&self.cluster.topics, self.member(state), &held, |partition| {
                    revoked.insert(partition.clone());
                })?;
            let Some(changes) = changes else {
                state.report(RebalanceKind::Lost, &held);
                self.release(state, &held);
                state.assignment = ConsumerAssignment::default();
                (state.group, state.member) = self.cluster.join_group(&self.config, &self.link)?;
                continue;
            };
            state.report(RebalanceKind::Revoked, &revoked);
            self.release(state, &revoked);
            if !revoked.is_empty() || !changes.taken.is_empty() {
                self.counters.count_rebalance();
            }
            let taken = changes.taken.iter().map(|(_, partition, _)| partition.clone());
            let taken: HashSet<_> = taken.collect();
            for (topic, partition, committed) in changes.taken {
                self.own(state, topic, partition, committed);
            }
            state.publish();
            state.report(RebalanceKind::Assigned, &taken);
            state.epoch = changes.epoch;
            return Ok(());
        }
    }

    /// Takes a partition.
    fn own(&self, state: &mut State, topic: Arc<Topic>, partition: TopicPartition, committed: Option<i64>) {
        state.last_taken += 1;
        let owned = Owned {
            topic,
            partition,
            epoch: state.last_taken,
            position: None,
            consumed: false,
            paused: false,
        };
        owned.log().watch(self.number, self.link.wake.clone());
        let position = committed.or_else(|| self.start(&owned));
        state.owned.push(Owned { position, ..owned });
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

    /// The start offset in a partition without a committed offset. A partition that did not exist when the consumer was created
    /// is read from its first record: `latest` means that no later record is missed.
    fn start(&self, owned: &Owned) -> Option<i64> {
        let first = self.first_partitions.get(owned.partition.topic.as_str());
        let first = first.and_then(|first| first.get(usize::try_from(owned.partition.partition).ok()?));
        let is_new = !first.is_some_and(|first| std::ptr::eq(first.as_ptr(), owned.log()));
        match self.config.offset_reset {
            OffsetReset::Latest if is_new => Some(owned.log().start()),
            _ => self.reset(owned.log()),
        }
    }

    /// The start offset according to the reset policy. `None` for [`OffsetReset::Fail`].
    fn reset(&self, partition: &Partition) -> Option<i64> {
        match self.config.offset_reset {
            OffsetReset::Earliest => Some(partition.start()),
            OffsetReset::Latest if self.reads_committed => Some(partition.last_stable()),
            OffsetReset::Latest => Some(partition.end()),
            OffsetReset::Fail => None,
        }
    }

    /// The next offset to read. If the position is unknown or outside of the log, this is the offset of the reset policy, or
    /// the committed offset if the policy is [`OffsetReset::Fail`].
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

    /// Reads up to `max` available messages from the assigned partitions in turn.
    fn take(&self, max: usize) -> Result<Vec<KafkaMessage>> {
        let mut state = self.state.lock();
        self.follow(&mut state)?;
        let Self { reads_committed, .. } = self;
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
                if owned.paused || !owned.topic.gate.is_open() {
                    continue;
                }
                if owned.log().has_age_limit() {
                    owned.log().expire(self.cluster.clock().now());
                }
                let position = match self.position(group, owned) {
                    Ok(position) => position,
                    Err(error) if messages.is_empty() => return Err(error),
                    Err(_) => continue,
                };
                owned.position = Some(position);
                // The remaining number is divided by the number of partitions still to be read, so that a busy partition does
                // not starve the others.
                let share = (max - messages.len()).div_ceil(count - step);
                match owned.read(position, share, *reads_committed, &mut messages) {
                    Some(next) if next > position => {
                        owned.position = Some(next);
                        owned.consumed = true;
                        *cursor = (index + 1) % count;
                        progress = true;
                    }
                    Some(_) => {}
                    // Retention moved the start of the log after the position was checked.
                    None => progress = true,
                }
                if messages.len() >= max {
                    break;
                }
            }
        }
        drop(state);
        if messages.len() >= max && self.link.polls_concurrently() {
            // A concurrent call can read the remaining records.
            self.link.wake.notify_one();
        }
        let sizes = messages
            .iter()
            .map(|message| record_size(message.key.as_ref(), message.value.as_ref(), &message.headers));
        let bytes = sizes.sum::<usize>() as u64;
        self.counters.count_consumed(messages.len() as u64, bytes);
        Ok(messages)
    }
}

impl State {
    /// The offsets to commit.
    fn offsets(&self, offsets: CommitOffsets, operation: &'static str) -> Result<Vec<PartitionOffset>> {
        let offsets = match offsets {
            CommitOffsets::Consumed => self.consumed(),
            CommitOffsets::Exact(offsets) => offsets,
            _ => return Err(NetworkError::unsupported(operation, "offsets")),
        };
        let valid = offsets.iter().all(|offset| offset.offset >= 0);
        validate::ensure(valid, "offset", "must not be negative")?;
        Ok(offsets)
    }

    /// Shows the application the partitions of `owned`.
    fn publish(&mut self) {
        self.owned.sort_by(|left, right| left.partition.cmp(&right.partition));
        let assigned = self.owned.iter().map(|owned| (owned.partition.clone(), owned.epoch));
        self.assignment = assigned.collect();
    }

    /// Reports a rebalance of `partitions`, which are in `owned`.
    fn report(&mut self, kind: RebalanceKind, partitions: &HashSet<TopicPartition>) {
        let changed = self.owned.iter().filter(|owned| partitions.contains(&owned.partition));
        let changed = changed.map(|owned| (owned.partition.clone(), owned.epoch));
        self.events.push(RebalanceEvent::new(kind, changed));
    }

    /// The positions in the partitions from which records were returned.
    fn consumed(&self) -> Vec<PartitionOffset> {
        let consumed = self.owned.iter().filter(|owned| owned.consumed);
        consumed
            .filter_map(|owned| Some(PartitionOffset::new(owned.partition.clone(), owned.position?)))
            .collect()
    }
}

impl Owned {
    fn log(&self) -> &Partition {
        // The group assigns only partitions that exist, and topics do not shrink.
        &self.topic.partitions[usize::try_from(self.partition.partition).expect("assigned partitions are not negative")]
    }

    fn read(&self, from: i64, max: usize, committed: bool, out: &mut Vec<KafkaMessage>) -> Option<i64> {
        if self.log().end() == from {
            return Some(from);
        }
        self.log().read(
            from,
            max,
            committed,
            (&self.partition.topic, self.partition.partition),
            out,
        )
    }
}

/// A call to consume that is in progress.
struct Poll<'c>(&'c Consumer);

impl<'c> Poll<'c> {
    fn begin(consumer: &'c Consumer) -> Self {
        consumer.link.begin_poll();
        Self(consumer)
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        self.0.link.end_poll(self.0.cluster.clock().elapsed());
    }
}
