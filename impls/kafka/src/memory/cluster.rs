//! The state that the clients of one cluster share.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use networking_spi::clock::Clock;
use networking_spi::error::context;
use networking_spi::kafka::{
    ConsumerConfig, ConsumerGroupInfo, KafkaCapabilities, KafkaReadingCapabilities, NewTopic, PartitionOffset,
};
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::RwLock;
use tokio::sync::Notify;

use super::broker_settings::Administration;
use super::client_ids::ClientIds;
use super::coordinator::Coordinator;
use super::fault::Faults;
use super::group::{Group, MemberLink};
use super::topic::Topic;
use super::topics::Topics;

/// Topics, groups and injected faults of a cluster.
pub(super) struct Cluster {
    pub(super) topics: Topics,
    pub(super) faults: Faults,
    pub(super) limits: Limits,
    /// What all clients of this cluster declare.
    pub(super) capabilities: KafkaCapabilities,
    pub(super) client_ids: ClientIds,
    pub(super) coordinator: Coordinator,
    pub(super) administration: Administration,
    next_number: AtomicU64,
    /// Increases whenever a topic is created or deleted, and `topics_changed` is notified.
    topics_version: AtomicU64,
    pub(super) topics_changed: Notify,
    /// What all clients of this cluster declare about reading.
    pub(super) reading: KafkaReadingCapabilities,
    groups: RwLock<HashMap<String, Arc<Group>>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) groups: usize,
    /// The maximum number of producers, and of consumers, of one client, and of transactional ids of the cluster.
    pub(super) handles: usize,
    /// The session timeouts that members may have.
    pub(super) sessions: (Duration, Duration),
}

impl Cluster {
    pub(super) fn new(
        topics: Topics,
        limits: Limits,
        capabilities: KafkaCapabilities,
        administration: Administration,
        reading: KafkaReadingCapabilities,
    ) -> Self {
        Self {
            topics,
            faults: Faults::default(),
            limits,
            capabilities,
            client_ids: ClientIds::default(),
            coordinator: Coordinator::new(),
            administration,
            next_number: AtomicU64::new(0),
            topics_version: AtomicU64::new(1),
            topics_changed: Notify::new(),
            reading,
            groups: RwLock::default(),
        }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        self.topics.clock()
    }

    /// A number that is unique in the cluster.
    pub(super) fn next_number(&self) -> u64 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Changes whenever a topic is created or deleted.
    pub(super) fn topics_version(&self) -> u64 {
        self.topics_version.load(Ordering::Acquire)
    }

    /// Returns a topic to write to or to subscribe to. Creates it if the cluster creates topics on first use.
    pub(super) fn used_topic(&self, name: &str, operation: &'static str) -> Result<Arc<Topic>> {
        if let Some(topic) = self.topics.get(name) {
            return Ok(topic);
        }
        if let Some(new) = self.topics.auto_created(name) {
            match self.create_topic(&new) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error.with_operation(operation)),
                _ => {}
            }
        }
        self.topics.existing(name, operation)
    }

    pub(super) fn create_topic(&self, new: &NewTopic) -> Result<()> {
        self.topics.create(new)?;
        self.notify_groups(&new.name, false);
        Ok(())
    }

    pub(super) fn delete_topic(&self, name: &str) -> Result<()> {
        self.topics.delete(name)?;
        self.notify_groups(name, true);
        Ok(())
    }

    pub(super) fn group_info(&self, name: &str) -> Option<ConsumerGroupInfo> {
        let group = self.groups.read().get(name).cloned()?;
        Some(group.info(&self.topics))
    }

    /// Adds a consumer to its group. Creates the group if it does not exist.
    pub(super) fn join_group(&self, config: &ConsumerConfig, link: &Arc<MemberLink>) -> Result<(Arc<Group>, u64)> {
        // The lock is held while the consumer joins: otherwise the group could be removed before it has a member.
        let mut groups = self.groups.write();
        let group = self.group_or_new(&mut groups, &config.group, "kafka.create_consumer")?;
        let member = group.join(&self.topics, config, link);
        Ok((group, member))
    }

    /// A group, which is created if it does not exist. It may be removed again as long as it is unused.
    pub(super) fn group(&self, name: &str) -> Result<Arc<Group>> {
        self.group_or_new(&mut self.groups.write(), name, "kafka.create_consumer")
    }

    /// Commits offsets of a consumer that is not a member of the group.
    pub(super) fn commit_without_member(&self, name: &str, offsets: Vec<PartitionOffset>) -> Result<Arc<Group>> {
        // The lock is held meanwhile: otherwise the group could be removed before the commit.
        let mut groups = self.groups.write();
        let group = self.group_or_new(&mut groups, name, "kafka.commit_offsets")?;
        group.commit_without_member(&self.topics, offsets)?;
        Ok(group)
    }

    fn group_or_new(
        &self,
        groups: &mut HashMap<String, Arc<Group>>,
        name: &str,
        operation: &'static str,
    ) -> Result<Arc<Group>> {
        if let Some(group) = groups.get(name) {
            return Ok(Arc::clone(group));
        }
        if groups.len() >= self.limits.groups {
            groups.retain(|_, group| !group.is_unused(&self.topics));
        }
        if groups.len() >= self.limits.groups {
            return Err(NetworkError::new(
                ErrorKind::Exhausted,
                operation,
                "the cluster has reached its limit of groups",
            )
            .with_context(context::LIMIT, self.limits.groups.to_string()));
        }
        let group = Arc::new(Group::new(name));
        groups.insert(name.to_owned(), Arc::clone(&group));
        Ok(group)
    }

    /// The state of all groups, ordered by name.
    pub(super) fn groups(&self) -> Vec<ConsumerGroupInfo> {
        let groups: Vec<_> = self.groups.read().values().cloned().collect();
        let mut all: Vec<_> = groups.iter().map(|group| group.info(&self.topics)).collect();
        all.sort_by(|left, right| left.group.cmp(&right.group));
        all
    }

    /// Removes a group and its committed offsets. Fails while it has members.
    pub(super) fn delete_group(&self, name: &str, operation: &'static str) -> Result<()> {
        // The lock is held meanwhile, so that no consumer joins the group.
        let mut groups = self.groups.write();
        let Some(group) = groups.get(name) else {
            return Err(NetworkError::not_found(operation, "group", name));
        };
        group.ensure_empty(&self.topics, operation)?;
        groups.remove(name);
        Ok(())
    }

    /// Sets committed offsets of a group. Creates the group if it does not exist. Fails while it has members.
    pub(super) fn reset_group(&self, name: &str, offsets: &[PartitionOffset], operation: &'static str) -> Result<()> {
        let mut groups = self.groups.write();
        self.group_or_new(&mut groups, name, operation)?
            .reset(&self.topics, offsets, operation)
    }

    /// Increases the number of partitions of a topic, and rebalances its groups.
    pub(super) fn grow_topic(&self, name: &str, total: usize, operation: &'static str) -> Result<()> {
        self.topics.grow(name, total, operation)?;
        self.notify_groups(name, false);
        Ok(())
    }

    /// The largest batch that the leader of a partition accepts, in bytes.
    pub(super) fn largest_batch(&self, partition: i32) -> usize {
        self.administration
            .largest_batch(partition % self.topics.rules().brokers)
    }

    /// Removes a group that has neither members nor committed offsets.
    pub(super) fn remove_unused_group(&self, name: &str) {
        let mut groups = self.groups.write();
        if groups.get(name).is_some_and(|group| group.is_unused(&self.topics)) {
            groups.remove(name);
        }
    }

    fn notify_groups(&self, topic: &str, deleted: bool) {
        self.topics_version.fetch_add(1, Ordering::AcqRel);
        self.topics_changed.notify_waiters();
        let groups: Vec<_> = self.groups.read().values().cloned().collect();
        for group in groups {
            group.topic_changed(&self.topics, topic, deleted);
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCluster")
            .field("topics", &self.topics.len())
            .field("groups", &self.groups.read().len())
            .finish_non_exhaustive()
    }
}
