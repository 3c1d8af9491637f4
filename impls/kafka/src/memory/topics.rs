//! The topics of a cluster.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use networking_spi::clock::Clock;
use networking_spi::error::context;
use networking_spi::kafka::{NewTopic, PartitionMetadata, TopicMetadata};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::RwLock;

use super::log::Retention;
use super::settings::TopicSettings;
use super::topic::Topic;
use crate::topic_pattern::TopicPattern;

/// The topics of a cluster by name, and the rules for creating them.
pub(super) struct Topics {
    clock: Arc<dyn Clock>,
    rules: TopicRules,
    by_name: RwLock<HashMap<Arc<str>, Arc<Topic>>>,
}

/// The settings for new topics.
#[derive(Debug, Clone, Copy)]
pub(super) struct TopicRules {
    /// The partition that gets a topic's first records without a key, modulo the number of partitions.
    pub(super) seed: usize,
    pub(super) brokers: i32,
    /// The number of partitions of a topic that is created on first use; `None` if topics are not created on first use.
    pub(super) auto_create: Option<i32>,
    /// The maximum number of partitions of all topics together.
    pub(super) max_partitions: usize,
    pub(super) retention: Retention,
}

/// Fails if the cluster cannot have so many more partitions.
fn ensure_room(
    topics: &HashMap<Arc<str>, Arc<Topic>>,
    added: usize,
    limit: usize,
    operation: &'static str,
) -> Result<()> {
    let existing: usize = topics.values().map(|topic| topic.partitions.len()).sum();
    if existing + added <= limit {
        return Ok(());
    }
    Err(NetworkError::new(
        ErrorKind::Exhausted,
        operation,
        "the cluster has reached its limit of partitions",
    )
    .with_context(context::LIMIT, limit.to_string()))
}

/// Brokers treat these two characters as the same in the names of metrics.
fn collision_key(name: &str) -> String {
    name.replace('.', "_")
}

impl Topics {
    pub(super) fn new(clock: Arc<dyn Clock>, rules: TopicRules) -> Self {
        Self {
            clock,
            rules,
            by_name: RwLock::default(),
        }
    }

    pub(super) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.read().len()
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Topic>> {
        self.by_name.read().get(name).cloned()
    }

    /// The names of all topics that a pattern matches, in order.
    pub(super) fn matching(&self, pattern: &TopicPattern) -> Vec<String> {
        let topics = self.by_name.read();
        let mut names: Vec<_> = topics
            .keys()
            .filter(|name| pattern.matches(name))
            .map(ToString::to_string)
            .collect();
        names.sort_unstable();
        names
    }

    /// Returns a topic. Fails with [`NotFound`](ErrorKind::NotFound) if it does not exist.
    pub(super) fn existing(&self, name: &str, operation: &'static str) -> Result<Arc<Topic>> {
        self.get(name)
            .ok_or_else(|| NetworkError::not_found(operation, "topic", name))
    }

    pub(super) fn create(&self, new: &NewTopic) -> Result<()> {
        const OPERATION: &str = "kafka.create_topic";
        new.validate()?;
        if new
            .replication_factor
            .is_some_and(|factor| i32::from(factor) > self.rules.brokers)
        {
            return Err(NetworkError::invalid_input(
                "replication_factor",
                "must not be larger than the number of brokers",
            ));
        }
        let settings = TopicSettings::new(self.rules.retention).with_config(&new.config)?;
        let partitions = usize::try_from(new.partitions)
            .map_err(|_| NetworkError::invalid_input("partitions", "must not be negative"))?;
        let mut topics = self.by_name.write();
        if topics.contains_key(new.name.as_str()) {
            return Err(
                NetworkError::new(ErrorKind::AlreadyExists, OPERATION, "the topic already exists")
                    .with_context(context::TOPIC, &new.name),
            );
        }
        let collides = |topic: &&Arc<str>| collision_key(topic) == collision_key(&new.name);
        if new.name.contains(['.', '_'])
            && let Some(other) = topics.keys().find(collides)
        {
            return Err(NetworkError::invalid_input(
                "name",
                "differs from that of another topic only in '.' and '_', so that the names of their metrics would be the same",
            )
            .with_context(context::TOPIC, &**other));
        }
        let limit = self.rules.max_partitions;
        ensure_room(&topics, partitions, limit, OPERATION)?;
        let replicas = new.replication_factor.map_or(1, i32::from);
        let topic = Topic::new(&new.name, partitions, replicas, settings, self.rules.seed);
        let topic = Arc::new(topic.with_config(new.config.clone()));
        topics.insert(topic.name.clone(), topic);
        Ok(())
    }

    /// All topics, ordered by name.
    pub(super) fn all(&self) -> Vec<Arc<Topic>> {
        let mut all: Vec<_> = self.by_name.read().values().cloned().collect();
        all.sort_by(|left, right| left.name.cmp(&right.name));
        all
    }

    pub(super) const fn rules(&self) -> &TopicRules {
        &self.rules
    }

    /// Increases the number of partitions of a topic.
    pub(super) fn grow(&self, name: &str, total: usize, operation: &'static str) -> Result<()> {
        let mut topics = self.by_name.write();
        let Some(topic) = topics.get(name) else {
            return Err(NetworkError::not_found(operation, "topic", name));
        };
        let current = topic.partitions.len();
        if total <= current {
            return Err(NetworkError::invalid_input(
                "total",
                format!("the topic has {current} partitions already, and partitions are never removed"),
            )
            .with_operation(operation));
        }
        ensure_room(&topics, total - current, self.rules.max_partitions, operation)?;
        let grown = Arc::new(topic.grown(total));
        topics.insert(Arc::clone(&grown.name), grown);
        Ok(())
    }

    /// Replaces the settings of a topic by those that `change` makes of them. Fails with the field `config.<setting>`.
    pub(super) fn reconfigure(
        &self,
        name: &str,
        operation: &'static str,
        change: impl FnOnce(&mut BTreeMap<String, String>) -> Result<()>,
    ) -> Result<()> {
        let mut topics = self.by_name.write();
        let Some(topic) = topics.get(name) else {
            return Err(NetworkError::not_found(operation, "topic", name));
        };
        let mut config = topic.config.clone();
        change(&mut config)?;
        let settings = TopicSettings::new(self.rules.retention).with_config(&config)?;
        let changed = Arc::new(topic.reconfigured(config, settings));
        topics.insert(Arc::clone(&changed.name), changed);
        Ok(())
    }

    /// The topic to create on first use of `name`, if the cluster does so.
    pub(super) fn auto_created(&self, name: &str) -> Option<NewTopic> {
        Some(NewTopic::new(name, self.rules.auto_create?))
    }

    pub(super) fn delete(&self, name: &str) -> Result<()> {
        let Some(topic) = self.by_name.write().remove(name) else {
            return Err(NetworkError::not_found("kafka.delete_topic", "topic", name));
        };
        topic.delete();
        Ok(())
    }

    pub(super) fn metadata(&self, name: &str) -> Result<TopicMetadata> {
        let topic = self.existing(name, "kafka.topic_metadata")?;
        let now = self.clock.now();
        let brokers = self.rules.brokers;
        let partitions = (0_i32..).zip(&topic.partitions).map(|(number, partition)| {
            partition.expire(now);
            let mut metadata = PartitionMetadata::new(number, number % brokers, partition.start(), partition.end());
            metadata.replicas = (0..topic.replicas)
                .map(|replica| (number + replica) % brokers)
                .collect();
            metadata.in_sync_replicas.clone_from(&metadata.replicas);
            if !topic.gate.is_open() {
                metadata.leader = None;
                metadata.earliest_offset = -1;
                metadata.latest_offset = -1;
                metadata.in_sync_replicas.clear();
            }
            metadata
        });
        Ok(TopicMetadata::new(name, partitions.collect()))
    }
}
