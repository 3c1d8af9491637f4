//! Consumer groups: members, assignment and committed offsets.
//!
//! Rebalancing is cooperative (KIP-429). When the membership changes, the group computes a new target assignment immediately.
//! Each member gives up its revoked partitions in its next call to consume; after that the new owner takes them. Until a
//! member gives up a partition, it may commit its offsets.

mod pending;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use networking_spi::error::context;
use networking_spi::kafka::{
    ConsumerConfig, ConsumerGroupInfo, GroupMember, GroupOffset, GroupState, PartitionOffset, TopicPartition,
};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::assignor::assign;
use super::topic::Topic;
use super::topics::Topics;
use crate::topic_pattern::TopicPattern;

/// A consumer group.
#[derive(Debug)]
pub(in crate::memory) struct Group {
    name: String,
    /// Increases whenever a member may have partitions to give up or to take.
    epoch: AtomicU64,
    /// No member expires before this time, in nanoseconds of the clock.
    next_check: AtomicU64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    next_member: u64,
    members: BTreeMap<u64, Member>,
    target: HashMap<TopicPartition, u64>,
    owners: HashMap<TopicPartition, u64>,
    committed: BTreeMap<TopicPartition, i64>,
    /// Partitions with offsets that open transactions will commit, and how many do.
    pending: HashMap<TopicPartition, usize>,
}

#[derive(Debug)]
struct Member {
    client_id: String,
    instance: Option<String>,
    topics: Vec<String>,
    session_timeout: Duration,
    max_poll_interval: Duration,
    link: Arc<MemberLink>,
    target: HashSet<TopicPartition>,
    /// When the member disconnected without leaving the group.
    disconnected_at: Option<Duration>,
}

/// State that a consumer shares with its group.
#[derive(Debug)]
pub(in crate::memory) struct MemberLink {
    /// Notified when records may be available, and when the member may have partitions to take or to give up.
    pub(in crate::memory) wake: Arc<Notify>,
    last_poll: AtomicU64,
    polling: AtomicUsize,
    fenced: AtomicBool,
    /// The topics of the member, if it subscribes by pattern.
    pub(super) pattern: Option<TopicPattern>,
}

impl MemberLink {
    pub(in crate::memory) fn new(pattern: Option<TopicPattern>) -> Self {
        Self {
            pattern,
            wake: Arc::new(Notify::new()),
            last_poll: AtomicU64::new(0),
            polling: AtomicUsize::new(0),
            fenced: AtomicBool::new(false),
        }
    }

    pub(in crate::memory) fn begin_poll(&self) {
        self.polling.fetch_add(1, Ordering::AcqRel);
    }

    pub(in crate::memory) fn end_poll(&self, now: Duration) {
        self.last_poll.store(nanos(now), Ordering::Release);
        self.polling.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether several calls to consume are in progress.
    pub(in crate::memory) fn polls_concurrently(&self) -> bool {
        self.polling.load(Ordering::Acquire) > 1
    }
}

/// Identifies the consumer that calls the group.
#[derive(Debug, Clone, Copy)]
pub(in crate::memory) struct MemberRef<'c> {
    /// The number that [`Group::join`] returned.
    pub(in crate::memory) number: u64,
    pub(in crate::memory) config: &'c ConsumerConfig,
    pub(in crate::memory) link: &'c Arc<MemberLink>,
}

/// The changes that bring a member to the current assignment.
#[derive(Debug, Default)]
pub(in crate::memory) struct Changes {
    /// The epoch after these changes.
    pub(in crate::memory) epoch: u64,
    /// Partitions to take, with their committed offsets.
    pub(in crate::memory) taken: Vec<(Arc<Topic>, TopicPartition, Option<i64>)>,
}

impl Group {
    pub(in crate::memory) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            epoch: AtomicU64::new(1),
            next_check: AtomicU64::new(u64::MAX),
            inner: Mutex::new(Inner::default()),
        }
    }

    /// Adds a member. A static member replaces the member with the same instance id, without a rebalance if both subscribe to
    /// the same topics (KIP-345).
    pub(in crate::memory) fn join(&self, topics: &Topics, config: &ConsumerConfig, link: &Arc<MemberLink>) -> u64 {
        let now = topics.clock().elapsed();
        link.last_poll.store(nanos(now), Ordering::Release);
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, topics, now);
        self.add_member(&mut inner, topics, config, link, now)
    }

    /// Whether a member at `epoch` is up to date. Takes no lock, because this is the usual case.
    pub(in crate::memory) fn is_settled(&self, epoch: u64, now: Duration) -> bool {
        self.epoch.load(Ordering::Acquire) == epoch && nanos(now) < self.next_check.load(Ordering::Acquire)
    }

    /// When the next member may expire. Waiting calls must check the group again at this time.
    pub(in crate::memory) fn next_check(&self) -> Duration {
        Duration::from_nanos(self.next_check.load(Ordering::Acquire))
    }

    /// Brings a member to the current assignment. Calls `give_up` with each revoked partition of `held`, and returns the
    /// partitions to take. Returns `None` if the member was removed from the group and must join again.
    pub(in crate::memory) fn follow(
        &self,
        topics: &Topics,
        member: MemberRef<'_>,
        held: &HashSet<TopicPartition>,
        mut give_up: impl FnMut(&TopicPartition),
    ) -> Result<Option<Changes>> {
        let now = topics.clock().elapsed();
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, topics, now);
        if member.link.is_fenced() {
            return Err(self.fenced("kafka.consume_messages"));
        }
        let number = member.number;
        if !inner.members.contains_key(&number) {
            return Ok(None);
        }

        let Inner {
            members,
            owners,
            committed,
            pending,
            ..
        } = &mut *inner;
        let target = &members[&number].target;
        let mut freed = false;
        for partition in held {
            let mine = owners.get(partition) == Some(&number);
            if mine && target.contains(partition) {
                continue;
            }
            if mine {
                owners.remove(partition);
                freed = true;
            }
            give_up(partition);
        }
        let mut taken = Vec::new();
        for partition in target {
            let free = owners.get(partition).is_none_or(|owner| *owner == number);
            let kept = held.contains(partition) && owners.get(partition) == Some(&number);
            if free
                && !kept
                // Otherwise messages whose offsets a transaction commits would be read again.
                && !pending.contains_key(partition)
                && let Some(topic) = topics.get(&partition.topic)
            {
                owners.insert(partition.clone(), number);
                taken.push((topic, partition.clone(), committed.get(partition).copied()));
            }
        }
        taken.sort_by(|left, right| left.1.cmp(&right.1));
        if freed {
            self.notify_members(&inner);
        }
        self.schedule_check(&inner, now);
        Ok(Some(Changes {
            epoch: self.epoch.load(Ordering::Acquire),
            taken,
        }))
    }

    /// Removes a member. A static member keeps its partitions until its session times out (KIP-345).
    pub(in crate::memory) fn leave(&self, topics: &Topics, member: MemberRef<'_>) {
        if member.config.group_instance_id.is_some() {
            self.disconnect(topics, member);
            return;
        }
        let mut inner = self.inner.lock();
        if inner.is_member(member) {
            self.remove_members(&mut inner, topics, &[member.number], topics.clock().elapsed());
        }
    }

    /// Marks a member as disconnected. Other members get its partitions when its session times out.
    pub(in crate::memory) fn disconnect(&self, topics: &Topics, member: MemberRef<'_>) {
        let now = topics.clock().elapsed();
        let mut inner = self.inner.lock();
        if inner.is_member(member)
            && let Some(member) = inner.members.get_mut(&member.number)
        {
            member.disconnected_at = Some(now);
            self.schedule_check(&inner, now);
            self.notify_members(&inner);
        }
    }

    /// Commits offsets of a member: all of them or none.
    pub(in crate::memory) fn commit(
        &self,
        topics: &Topics,
        member: MemberRef<'_>,
        offsets: Vec<PartitionOffset>,
    ) -> Result<()> {
        const OPERATION: &str = "kafka.commit_offsets";
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, topics, topics.clock().elapsed());
        self.check_owner(&inner, member, &offsets, OPERATION)?;
        inner
            .committed
            .extend(offsets.into_iter().map(|offset| (offset.partition, offset.offset)));
        Ok(())
    }

    /// Commits offsets of a consumer that is not a member. A group with members refuses it, as a broker does.
    pub(super) fn commit_without_member(&self, topics: &Topics, offsets: Vec<PartitionOffset>) -> Result<()> {
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, topics, topics.clock().elapsed());
        if !inner.members.is_empty() {
            return Err(NetworkError::new(
                ErrorKind::Conflict,
                "kafka.commit_offsets",
                "the group has members, and this consumer is none",
            )
            .with_context(context::GROUP, &self.name));
        }
        inner
            .committed
            .extend(offsets.into_iter().map(|offset| (offset.partition, offset.offset)));
        Ok(())
    }

    /// The committed offset of a partition.
    pub(in crate::memory) fn committed(&self, partition: &TopicPartition) -> Option<i64> {
        self.inner.lock().committed.get(partition).copied()
    }

    /// Sets committed offsets. Fails while the group has members.
    pub(in crate::memory) fn reset(
        &self,
        topics: &Topics,
        offsets: &[PartitionOffset],
        operation: &'static str,
    ) -> Result<()> {
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, topics, topics.clock().elapsed());
        self.ensure_no_members(&inner, operation)?;
        let offsets = offsets.iter().cloned();
        inner
            .committed
            .extend(offsets.map(|offset| (offset.partition, offset.offset)));
        Ok(())
    }

    /// Fails while the group has members.
    pub(in crate::memory) fn ensure_empty(&self, topics: &Topics, operation: &'static str) -> Result<()> {
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, topics, topics.clock().elapsed());
        self.ensure_no_members(&inner, operation)
    }

    fn ensure_no_members(&self, inner: &Inner, operation: &'static str) -> Result<()> {
        if inner.members.is_empty() {
            return Ok(());
        }
        Err(
            NetworkError::new(ErrorKind::Conflict, operation, "the group has members")
                .with_context(context::GROUP, &self.name)
                .with_retryability(Retryability::Never),
        )
    }

    /// Rebalances after a topic was created, deleted or got more partitions. The committed offsets of a deleted topic are removed.
    pub(in crate::memory) fn topic_changed(&self, topics: &Topics, topic: &str, deleted: bool) {
        let mut inner = self.inner.lock();
        if deleted {
            inner.committed.retain(|partition, _| partition.topic != topic);
            inner.owners.retain(|partition, _| partition.topic != topic);
            inner.target.retain(|partition, _| partition.topic != topic);
        }
        let mut affected = false;
        for member in inner.members.values_mut() {
            if member
                .link
                .pattern
                .as_ref()
                .is_some_and(|pattern| pattern.matches(topic))
            {
                member.topics.retain(|name| name != topic);
                if !deleted {
                    member.topics.push(topic.to_owned());
                }
                affected = true;
            }
            affected |= member.topics.iter().any(|name| name == topic);
        }
        if affected {
            self.rebalance(&mut inner, topics, topics.clock().elapsed());
        }
    }

    /// Whether the group has neither members nor committed offsets.
    pub(in crate::memory) fn is_unused(&self, topics: &Topics) -> bool {
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, topics, topics.clock().elapsed());
        inner.members.is_empty() && inner.committed.is_empty() && inner.pending.is_empty()
    }

    /// The state, members and committed offsets of the group.
    pub(in crate::memory) fn info(&self, topics: &Topics) -> ConsumerGroupInfo {
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, topics, topics.clock().elapsed());
        let mut assignments = BTreeMap::<u64, Vec<TopicPartition>>::new();
        for (partition, owner) in &inner.owners {
            assignments.entry(*owner).or_default().push(partition.clone());
        }
        let members = inner
            .members
            .iter()
            .map(|(id, member)| {
                let mut assignment = assignments.remove(id).unwrap_or_default();
                assignment.sort();
                GroupMember::new(member.id(*id), &member.client_id, "", assignment)
            })
            .collect();
        let committed = inner.committed.keys().cloned();
        let mut partitions: Vec<_> = inner.target.keys().cloned().chain(committed).collect();
        partitions.sort();
        partitions.dedup();
        let offsets = partitions
            .into_iter()
            .filter_map(|partition| {
                let topic = topics.get(&partition.topic)?;
                let log = topic.partition(partition.partition)?;
                let committed = inner.committed.get(&partition).copied();
                let mut offset = GroupOffset::new(partition, committed, log.end());
                // The ends of transactions are no records to read.
                if committed.is_some_and(|next| log.has_only_control_records(next)) {
                    offset.lag = Some(0);
                }
                Some(offset)
            })
            .collect();
        ConsumerGroupInfo::new(&self.name, inner.state(), members, offsets)
    }

    fn add_member(
        &self,
        inner: &mut Inner,
        topics: &Topics,
        config: &ConsumerConfig,
        link: &Arc<MemberLink>,
        now: Duration,
    ) -> u64 {
        let instance = config.group_instance_id.as_ref();
        let predecessor = inner
            .members
            .iter()
            .find(|(_, member)| instance.is_some() && member.instance.as_ref() == instance);
        let predecessor = predecessor.map(|(id, _)| *id);
        let mut member = Member {
            client_id: config.client_id.clone().unwrap_or_else(|| "memory".to_owned()),
            instance: config.group_instance_id.clone(),
            topics: link
                .pattern
                .as_ref()
                .map_or_else(|| config.topics.clone(), |pattern| topics.matching(pattern)),
            session_timeout: config.session_timeout,
            max_poll_interval: config.max_poll_interval,
            link: link.clone(),
            target: HashSet::new(),
            disconnected_at: None,
        };
        if let Some(id) = predecessor
            && let Some(old) = inner.members.get_mut(&id)
        {
            old.link.fence();
            let same_topics = old.topics == member.topics;
            member.target = std::mem::take(&mut old.target);
            *old = member;
            if same_topics {
                self.schedule_check(inner, now);
                self.notify_members(inner);
            } else {
                self.rebalance(inner, topics, now);
            }
            return id;
        }
        let id = inner.next_member;
        inner.next_member += 1;
        inner.members.insert(id, member);
        self.rebalance(inner, topics, now);
        id
    }

    fn expire_members(&self, inner: &mut Inner, topics: &Topics, now: Duration) {
        if nanos(now) < self.next_check.load(Ordering::Acquire) {
            return;
        }
        let expired: Vec<u64> = inner
            .members
            .iter()
            .filter(|(_, member)| member.expires(now) <= now)
            .map(|(id, _)| *id)
            .collect();
        if expired.is_empty() {
            self.schedule_check(inner, now);
        } else {
            self.remove_members(inner, topics, &expired, now);
        }
    }

    fn remove_members(&self, inner: &mut Inner, topics: &Topics, members: &[u64], now: Duration) {
        inner.members.retain(|id, _| !members.contains(id));
        inner.owners.retain(|_, owner| !members.contains(owner));
        self.rebalance(inner, topics, now);
    }

    /// Computes a new target assignment.
    fn rebalance(&self, inner: &mut Inner, topics: &Topics, now: Duration) {
        let subscriptions: BTreeMap<u64, &[String]> = inner
            .members
            .iter()
            .map(|(id, member)| (*id, member.topics.as_slice()))
            .collect();
        let mut names: Vec<&String> = inner.members.values().flat_map(|member| &member.topics).collect();
        names.sort_unstable();
        names.dedup();
        let partitions: Vec<TopicPartition> = names
            .into_iter()
            .filter_map(|name| topics.get(name))
            .flat_map(|topic| {
                let name = topic.name.clone();
                (0_i32..)
                    .take(topic.partitions.len())
                    .map(move |partition| TopicPartition::new(&*name, partition))
            })
            .collect();
        inner.target = assign(&subscriptions, &partitions, &inner.target);
        for (id, member) in &mut inner.members {
            let own = inner.target.iter().filter(|(_, owner)| *owner == id);
            member.target = own.map(|(partition, _)| partition.clone()).collect();
        }
        self.notify_members(inner);
        self.schedule_check(inner, now);
    }

    /// Makes every member check its assignment again.
    fn notify_members(&self, inner: &Inner) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        for member in inner.members.values() {
            member.link.wake.notify_one();
        }
    }

    fn schedule_check(&self, inner: &Inner, now: Duration) {
        let next = inner.members.values().map(|member| member.expires(now)).min();
        self.next_check.store(next.map_or(u64::MAX, nanos), Ordering::Release);
    }

    fn fenced(&self, operation: &'static str) -> NetworkError {
        NetworkError::new(
            ErrorKind::Conflict,
            operation,
            "another member with the same instance id replaced this one",
        )
        .with_context(context::GROUP, &self.name)
    }
}

impl Inner {
    /// Whether this consumer is the member. A static member may have replaced it under the same number.
    fn is_member(&self, member: MemberRef<'_>) -> bool {
        self.members
            .get(&member.number)
            .is_some_and(|known| Arc::ptr_eq(&known.link, member.link))
    }

    fn state(&self) -> GroupState {
        if self.members.is_empty() {
            GroupState::Empty
        } else if self
            .owners
            .iter()
            .any(|(partition, owner)| self.target.get(partition) != Some(owner))
        {
            GroupState::PreparingRebalance
        } else if self.owners.len() < self.target.len() {
            GroupState::CompletingRebalance
        } else {
            GroupState::Stable
        }
    }
}

impl Member {
    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.instance.as_ref().unwrap_or(&self.client_id))
    }

    /// When the member is removed from the group if it does not consume before then.
    fn expires(&self, now: Duration) -> Duration {
        if let Some(disconnected_at) = self.disconnected_at {
            return disconnected_at.saturating_add(self.session_timeout);
        }
        if self.link.polling.load(Ordering::Acquire) > 0 {
            return now.saturating_add(self.max_poll_interval);
        }
        Duration::from_nanos(self.link.last_poll.load(Ordering::Acquire)).saturating_add(self.max_poll_interval)
    }
}

impl MemberLink {
    fn fence(&self) {
        self.fenced.store(true, Ordering::Release);
        self.wake.notify_waiters();
        self.wake.notify_one();
    }

    /// Whether a member with the same instance id replaced this one.
    pub(in crate::memory) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
