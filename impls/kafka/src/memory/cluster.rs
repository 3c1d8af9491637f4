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

use super::client_ids::ClientIds;
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
    /// The maximum number of producers, and of consumers, of one client.
    pub(super) handles: usize,
    /// The session timeouts that members may have.
    pub(super) sessions: (Duration, Duration),
}

impl Cluster {
    pub(super) fn new(
        topics: Topics,
        limits: Limits,
        capabilities: KafkaCapabilities,
        reading: KafkaReadingCapabilities,
    ) -> Self {
        Self {
            topics,
            faults: Faults::default(),
            limits,
            capabilities,
            client_ids: ClientIds::default(),
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
        let group = self.group_of(&mut groups, &config.group)?;
        let member = group.join(&self.topics, config, link);
        Ok((group, member))
    }

    /// A group, which is created if it does not exist. It may be removed again as long as it is unused.
    pub(super) fn group(&self, name: &str) -> Result<Arc<Group>> {
        self.group_of(&mut self.groups.write(), name)
    }

    /// Commits offsets of a consumer that is not a member of the group.
    pub(super) fn commit_without_member(&self, name: &str, offsets: Vec<PartitionOffset>) -> Result<Arc<Group>> {
        // The lock is held meanwhile: otherwise the group could be removed before the commit.
        let mut groups = self.groups.write();
        let group = self.group_of(&mut groups, name)?;
        group.commit_without_member(&self.topics, offsets)?;
        Ok(group)
    }

    fn group_of(&self, groups: &mut HashMap<String, Arc<Group>>, name: &str) -> Result<Arc<Group>> {
        if !groups.contains_key(name) {
            if groups.len() >= self.limits.groups {
                groups.retain(|_, group| !group.is_unused(&self.topics));
            }
            if groups.len() >= self.limits.groups {
                return Err(NetworkError::new(
                    ErrorKind::Exhausted,
                    "kafka.create_consumer",
                    "the cluster has reached its limit of groups",
                )
                .with_context(context::LIMIT, self.limits.groups.to_string()));
            }
            groups.insert(name.to_owned(), Arc::new(Group::new(name)));
        }
        Ok(Arc::clone(&groups[name]))
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
