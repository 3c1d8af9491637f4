//! Consumer groups: members, assignment and committed offsets.
//!
//! Rebalancing is cooperative. A change of the membership sets a new target at once; each member gives up what is no longer
//! its own at its next call to consume, and only then another one takes it. Until it gives a partition up, a member may
//! still commit what it read from it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use networking_spi::kafka::{
    ConsumerConfig, ConsumerGroupInfo, GroupMember, GroupOffset, GroupState, PartitionOffset, TopicPartition,
};
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::assignor::assign;
use super::cluster::Cluster;
use super::topic::Topic;

/// A consumer group.
#[derive(Debug)]
pub(super) struct Group {
    name: String,
    /// Moves whenever a member may have something to give up or to take.
    epoch: AtomicU64,
    /// No member can expire before this time (nanoseconds of the clock).
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
    /// When it was last heard of, for one that vanished without leaving.
    gone_at: Option<Duration>,
}

/// What a consumer and its membership share.
#[derive(Debug)]
pub(super) struct MemberLink {
    /// Notified when there may be records, or partitions to take or give up.
    pub(super) wake: Arc<Notify>,
    last_poll: AtomicU64,
    polling: AtomicUsize,
    fenced: AtomicBool,
}

impl MemberLink {
    pub(super) fn new() -> Self {
        Self {
            wake: Arc::new(Notify::new()),
            last_poll: AtomicU64::new(0),
            polling: AtomicUsize::new(0),
            fenced: AtomicBool::new(false),
        }
    }

    pub(super) fn begin_poll(&self) {
        self.polling.fetch_add(1, Ordering::AcqRel);
    }

    pub(super) fn end_poll(&self, now: Duration) {
        self.last_poll.store(nanos(now), Ordering::Release);
        self.polling.fetch_sub(1, Ordering::AcqRel);
    }

    /// Whether calls to consume run side by side.
    pub(super) fn polls_concurrently(&self) -> bool {
        self.polling.load(Ordering::Acquire) > 1
    }
}

/// A consumer, as its group knows it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Who<'c> {
    /// The number that joining gave.
    pub(super) member: u64,
    pub(super) config: &'c ConsumerConfig,
    pub(super) link: &'c Arc<MemberLink>,
}

/// What a member has to do to follow its group.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// The epoch that these changes lead to.
    pub(super) epoch: u64,
    /// Partitions to take, with their committed offsets.
    pub(super) taken: Vec<(Arc<Topic>, TopicPartition, Option<i64>)>,
}

impl Group {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            epoch: AtomicU64::new(1),
            next_check: AtomicU64::new(u64::MAX),
            inner: Mutex::new(Inner::default()),
        }
    }

    /// Adds a member. One with the instance id of another takes its place: without a rebalance if it wants the same topics.
    pub(super) fn join(&self, cluster: &Cluster, config: &ConsumerConfig, link: &Arc<MemberLink>) -> u64 {
        let now = cluster.clock.elapsed();
        link.last_poll.store(nanos(now), Ordering::Release);
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, cluster, now);
        self.add_member(&mut inner, cluster, config, link, now)
    }

    /// Whether a member has nothing to do, by two loads: the usual case.
    pub(super) fn is_settled(&self, epoch: u64, now: Duration) -> bool {
        self.epoch.load(Ordering::Acquire) == epoch && nanos(now) < self.next_check.load(Ordering::Acquire)
    }

    /// When somebody in the group may expire: those who wait must look again then.
    pub(super) fn next_check(&self) -> Duration {
        Duration::from_nanos(self.next_check.load(Ordering::Acquire))
    }

    /// Brings a member up to date: `give_up` is called with each partition of `held` that it has to let go; what it has to
    /// take is in the result. `None` for a member that the group has given up: it has to join again.
    pub(super) fn follow(
        &self,
        cluster: &Cluster,
        who: Who<'_>,
        held: &HashSet<TopicPartition>,
        mut give_up: impl FnMut(&TopicPartition),
    ) -> Result<Option<Changes>> {
        let now = cluster.clock.elapsed();
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, cluster, now);
        if who.link.is_fenced() {
            return Err(self.fenced("kafka.consume_messages"));
        }
        let member = who.member;
        if !inner.members.contains_key(&member) {
            return Ok(None);
        }

        let Inner {
            members,
            owners,
            committed,
            ..
        } = &mut *inner;
        let target = &members[&member].target;
        let mut freed = false;
        for partition in held {
            let mine = owners.get(partition) == Some(&member);
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
            let free = owners.get(partition).is_none_or(|owner| *owner == member);
            let kept = held.contains(partition) && owners.get(partition) == Some(&member);
            if free
                && !kept
                && let Some(topic) = cluster.topic(&partition.topic)
            {
                owners.insert(partition.clone(), member);
                taken.push((topic, partition.clone(), committed.get(partition).copied()));
            }
        }
        taken.sort_by(|left, right| left.1.cmp(&right.1));
        if freed {
            self.announce(&inner);
        }
        self.schedule_check(&inner, now);
        Ok(Some(Changes {
            epoch: self.epoch.load(Ordering::Acquire),
            taken,
        }))
    }

    /// Takes a member out. A static one keeps its partitions until its session times out.
    pub(super) fn leave(&self, cluster: &Cluster, who: Who<'_>) {
        if who.config.group_instance_id.is_some() {
            self.lose(cluster, who);
            return;
        }
        let mut inner = self.inner.lock();
        if inner.is_member(who) {
            self.remove_members(&mut inner, cluster, &[who.member], cluster.clock.elapsed());
        }
    }

    /// Has a member vanish without leaving: the others get its partitions when its session times out.
    pub(super) fn lose(&self, cluster: &Cluster, who: Who<'_>) {
        let now = cluster.clock.elapsed();
        let mut inner = self.inner.lock();
        if inner.is_member(who)
            && let Some(member) = inner.members.get_mut(&who.member)
        {
            member.gone_at = Some(now);
            self.schedule_check(&inner, now);
            self.announce(&inner);
        }
    }

    /// Commits offsets of a member, all or none.
    pub(super) fn commit(&self, cluster: &Cluster, who: Who<'_>, offsets: Vec<PartitionOffset>) -> Result<()> {
        const OPERATION: &str = "kafka.commit_offsets";
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, cluster, cluster.clock.elapsed());
        if who.link.is_fenced() {
            return Err(self.fenced(OPERATION));
        }
        if !inner.members.contains_key(&who.member) {
            return Err(
                NetworkError::new(ErrorKind::Conflict, OPERATION, "the group went on without this member")
                    .with_context("group", &self.name),
            );
        }
        if let Some(lost) = offsets
            .iter()
            .find(|offset| inner.owners.get(&offset.partition) != Some(&who.member))
        {
            return Err(
                NetworkError::new(ErrorKind::Conflict, OPERATION, "the partition is not this member's")
                    .with_context("group", &self.name)
                    .with_context("partition", lost.partition.to_string()),
            );
        }
        inner
            .committed
            .extend(offsets.into_iter().map(|offset| (offset.partition, offset.offset)));
        Ok(())
    }

    /// The offset that was committed for a partition.
    pub(super) fn committed(&self, partition: &TopicPartition) -> Option<i64> {
        self.inner.lock().committed.get(partition).copied()
    }

    /// Follows a topic that was created or deleted. A deleted one takes its offsets along.
    pub(super) fn topic_changed(&self, cluster: &Cluster, topic: &str, deleted: bool) {
        let mut inner = self.inner.lock();
        if deleted {
            inner.committed.retain(|partition, _| partition.topic != topic);
            inner.owners.retain(|partition, _| partition.topic != topic);
            inner.target.retain(|partition, _| partition.topic != topic);
        }
        if inner
            .members
            .values()
            .any(|member| member.topics.iter().any(|name| name == topic))
        {
            self.rebalance(&mut inner, cluster, cluster.clock.elapsed());
        }
    }

    /// Whether nothing would be lost without this group.
    pub(super) fn is_forgettable(&self, cluster: &Cluster) -> bool {
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, cluster, cluster.clock.elapsed());
        inner.members.is_empty() && inner.committed.is_empty()
    }

    /// State, members and offsets.
    pub(super) fn info(&self, cluster: &Cluster) -> ConsumerGroupInfo {
        let mut inner = self.inner.lock();
        self.expire_members(&mut inner, cluster, cluster.clock.elapsed());
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
                let latest = cluster.topic(&partition.topic)?.partition(partition.partition)?.end();
                let committed = inner.committed.get(&partition).copied();
                Some(GroupOffset::new(partition, committed, latest))
            })
            .collect();
        ConsumerGroupInfo::new(&self.name, inner.state(), members, offsets)
    }

    fn add_member(
        &self,
        inner: &mut Inner,
        cluster: &Cluster,
        config: &ConsumerConfig,
        link: &Arc<MemberLink>,
        now: Duration,
    ) -> u64 {
        let instance = config.group_instance_id.as_ref();
        let twin = inner
            .members
            .iter()
            .find(|(_, member)| instance.is_some() && member.instance.as_ref() == instance);
        let twin = twin.map(|(id, _)| *id);
        let mut member = Member {
            client_id: config.client_id.clone().unwrap_or_else(|| "memory".to_owned()),
            instance: config.group_instance_id.clone(),
            topics: config.topics.clone(),
            session_timeout: config.session_timeout,
            max_poll_interval: config.max_poll_interval,
            link: link.clone(),
            target: HashSet::new(),
            gone_at: None,
        };
        if let Some(id) = twin
            && let Some(old) = inner.members.get_mut(&id)
        {
            old.link.fence();
            let same_topics = old.topics == member.topics;
            member.target = std::mem::take(&mut old.target);
            *old = member;
            if same_topics {
                self.schedule_check(inner, now);
                self.announce(inner);
            } else {
                self.rebalance(inner, cluster, now);
            }
            return id;
        }
        let id = inner.next_member;
        inner.next_member += 1;
        inner.members.insert(id, member);
        self.rebalance(inner, cluster, now);
        id
    }

    fn expire_members(&self, inner: &mut Inner, cluster: &Cluster, now: Duration) {
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
            self.remove_members(inner, cluster, &expired, now);
        }
    }

    fn remove_members(&self, inner: &mut Inner, cluster: &Cluster, members: &[u64], now: Duration) {
        inner.members.retain(|id, _| !members.contains(id));
        inner.owners.retain(|_, owner| !members.contains(owner));
        self.rebalance(inner, cluster, now);
    }

    /// Sets a new target.
    fn rebalance(&self, inner: &mut Inner, cluster: &Cluster, now: Duration) {
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
            .filter_map(|name| cluster.topic(name))
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
        self.announce(inner);
        self.schedule_check(inner, now);
    }

    /// Has every member look at the group again.
    fn announce(&self, inner: &Inner) {
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
            "another member with the same instance id took over",
        )
        .with_context("group", &self.name)
    }
}

impl Inner {
    /// Whether this very consumer is the member, not one that took its place.
    fn is_member(&self, who: Who<'_>) -> bool {
        self.members
            .get(&who.member)
            .is_some_and(|member| Arc::ptr_eq(&member.link, who.link))
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

    /// When it is out of the group, unless it is heard of before.
    fn expires(&self, now: Duration) -> Duration {
        if let Some(gone_at) = self.gone_at {
            return gone_at.saturating_add(self.session_timeout);
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

    /// Whether another member with the same instance id took over.
    pub(super) fn is_fenced(&self) -> bool {
        self.fenced.load(Ordering::Acquire)
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
