//! The in-memory client as an administrator.

use std::collections::BTreeMap;

use async_trait::async_trait;
use networking_spi::error::ResultExt;
use networking_spi::kafka::{
    BrokerInfo, ClusterDescription, ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ConfigSource,
    GroupDescription, GroupKind, GroupListing, KafkaAdmin, KafkaAdminCapabilities, KafkaClient, OffsetTarget,
    PartitionOffset, TopicListing, TopicMetadata, TopicPartition, validate_changes, validate_reset,
    validate_topic_name,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result};

use super::client::MemoryKafka;
use super::cluster::Cluster;
use super::fault::FaultPoint;
use super::log::millis;
use super::settings;
use super::topic::{Partition, Topic};
use crate::partitions::not_within;

/// The id of every in-memory cluster.
const CLUSTER_ID: &str = "memory";

/// The strategy of the groups.
const ASSIGNOR: &str = "cooperative-sticky";

/// * A topic has all settings of a broker. `retention.bytes` and `retention.ms` have the defaults of the cluster.
/// * A broker has the setting `message.max.bytes`, which can be changed, and those that the cluster was built with, which cannot.
#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaAdmin for MemoryKafka {
    async fn list_topics(&self) -> Result<Vec<TopicListing>> {
        let cluster = self.administered("kafka.list_topics", "topics", None)?;
        let topics = cluster.topics.all();
        let listed = topics
            .iter()
            .map(|topic| TopicListing::new(&*topic.name, count(topic), topic.replicas));
        Ok(listed.collect())
    }

    async fn describe_topics(&self) -> Result<Vec<TopicMetadata>> {
        let cluster = self.administered("kafka.describe_topics", "topics", None)?;
        let mut described = Vec::new();
        for topic in cluster.topics.all() {
            match cluster.topics.metadata(&topic.name) {
                Ok(metadata) => described.push(metadata),
                // It was deleted meanwhile.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        if !self.capabilities().leaders {
            for partition in described.iter_mut().flat_map(|topic| &mut topic.partitions) {
                partition.leader = None;
                partition.replicas.clear();
                partition.in_sync_replicas.clear();
            }
        }
        Ok(described)
    }

    async fn create_partitions(&self, topic: &str, total: i32) -> Result<()> {
        const OPERATION: &str = "kafka.create_partitions";
        let cluster = self.administered(OPERATION, "partitions", Some(topic))?;
        validate_topic_name(topic, "topic").in_operation(OPERATION)?;
        validate::ensure((1..=10_000).contains(&total), "total", "must be between 1 and 10000")
            .in_operation(OPERATION)?;
        cluster.grow_topic(topic, usize::try_from(total).unwrap_or_default(), OPERATION)
    }

    async fn describe_config(&self, resource: ConfigResource) -> Result<Vec<ConfigEntry>> {
        const OPERATION: &str = "kafka.describe_config";
        let cluster = self.administered(OPERATION, "configs", topic_of(&resource))?;
        resource.validate().in_operation(OPERATION)?;
        match &resource {
            ConfigResource::Topic(name) => Ok(topic_settings(cluster, &*cluster.topics.existing(name, OPERATION)?)),
            ConfigResource::Broker(id) => broker_settings(cluster, *id, OPERATION),
            _ => Err(NetworkError::unsupported(OPERATION, "configs")),
        }
    }

    async fn alter_config(&self, resource: ConfigResource, changes: Vec<ConfigChange>) -> Result<()> {
        const OPERATION: &str = "kafka.alter_config";
        let cluster = self.administered(OPERATION, "configs", topic_of(&resource))?;
        resource.validate().in_operation(OPERATION)?;
        validate_changes(&changes).in_operation(OPERATION)?;
        match &resource {
            ConfigResource::Topic(name) => cluster
                .topics
                .reconfigure(name, OPERATION, |config| {
                    changes.iter().try_for_each(|change| apply(change, config))
                })
                .map_err(|error| in_changes(error, OPERATION)),
            ConfigResource::Broker(id) => {
                let mut fixed = broker_settings(cluster, *id, OPERATION)?;
                fixed.retain(|entry| entry.is_read_only);
                cluster
                    .administration
                    .alter(*id, &changes, &fixed)
                    .in_operation(OPERATION)
            }
            _ => Err(NetworkError::unsupported(OPERATION, "configs")),
        }
    }

    async fn delete_records(&self, partition: TopicPartition, before: i64) -> Result<i64> {
        const OPERATION: &str = "kafka.delete_records";
        let cluster = self.administered(OPERATION, "delete_records", Some(&partition.topic))?;
        validate_topic_name(&partition.topic, "partition").in_operation(OPERATION)?;
        validate::ensure(before >= 0, "before", "must not be negative").in_operation(OPERATION)?;
        let topic = cluster.topics.existing(&partition.topic, OPERATION)?;
        let log = led_partition(&topic, &partition, OPERATION)?;
        log.expire(cluster.clock().now());
        let policy = topic.config.get("cleanup.policy").map_or("delete", String::as_str);
        if !elements(policy).any(|element| element == "delete") {
            return Err(NetworkError::new(
                ErrorKind::Rejected,
                OPERATION,
                "the cleanup.policy of the topic does not contain delete",
            ));
        }
        let end = log.end();
        if before > end {
            return Err(not_within("before", &partition, log.start(), end).with_operation(OPERATION));
        }
        Ok(log.delete_before(before))
    }

    async fn list_groups(&self) -> Result<Vec<GroupListing>> {
        let cluster = self.administered("kafka.list_groups", "groups", None)?;
        let groups = cluster.groups().into_iter();
        let listed = groups.map(|group| GroupListing::new(group.group, group.state, GroupKind::Classic));
        Ok(listed.collect())
    }

    async fn describe_group(&self, group: &str) -> Result<GroupDescription> {
        const OPERATION: &str = "kafka.describe_group";
        let cluster = self.administered(OPERATION, "groups", None)?;
        validate::name(group, 255, "group").in_operation(OPERATION)?;
        let Some(info) = cluster.group_info(group) else {
            return Err(NetworkError::not_found(OPERATION, "group", group));
        };
        let assignor = if info.members.is_empty() { "" } else { ASSIGNOR };
        Ok(GroupDescription::new(group, info.state, GroupKind::Classic)
            .with_members(info.members, assignor)
            .with_coordinator(Some(broker(cluster, 0))))
    }

    async fn delete_group(&self, group: &str) -> Result<()> {
        const OPERATION: &str = "kafka.delete_group";
        let cluster = self.administered(OPERATION, "groups", None)?;
        validate::name(group, 255, "group").in_operation(OPERATION)?;
        cluster.delete_group(group, OPERATION)
    }

    async fn reset_group_offsets(
        &self,
        group: &str,
        partitions: Vec<TopicPartition>,
        target: OffsetTarget,
    ) -> Result<Vec<PartitionOffset>> {
        const OPERATION: &str = "kafka.reset_group_offsets";
        let cluster = self.administered(OPERATION, "group_offsets", None)?;
        validate_reset(group, &partitions, target).in_operation(OPERATION)?;
        let mut offsets = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let topic = cluster.topics.existing(&partition.topic, OPERATION)?;
            let log = led_partition(&topic, &partition, OPERATION)?;
            log.expire(cluster.clock().now());
            let (start, end) = (log.start(), log.end());
            let offset = match target {
                OffsetTarget::Earliest => start,
                OffsetTarget::Latest => end,
                OffsetTarget::Offset(offset) if (start..=end).contains(&offset) => offset,
                OffsetTarget::Offset(_) => {
                    return Err(not_within("target", &partition, start, end).with_operation(OPERATION));
                }
                OffsetTarget::Time(time) => log.first_since(millis(time)).unwrap_or(end),
                _ => return Err(NetworkError::unsupported(OPERATION, "group_offsets")),
            };
            offsets.push(PartitionOffset::new(partition, offset));
        }
        cluster.reset_group(group, &offsets, OPERATION)?;
        Ok(offsets)
    }

    async fn describe_cluster(&self) -> Result<ClusterDescription> {
        let cluster = self.administered("kafka.describe_cluster", "cluster", None)?;
        let brokers = (0..cluster.topics.rules().brokers).map(|id| broker(cluster, id));
        Ok(ClusterDescription::new(
            Some(CLUSTER_ID.to_owned()),
            Some(0),
            brokers.collect(),
        ))
    }

    fn admin_capabilities(&self) -> KafkaAdminCapabilities {
        self.shared_cluster().administration.capabilities
    }
}

impl MemoryKafka {
    /// The cluster, for an operation that needs a capability. Fails if a fault applies.
    fn administered(&self, operation: &'static str, capability: &'static str, topic: Option<&str>) -> Result<&Cluster> {
        self.admin_capabilities().require(operation, capability)?;
        let cluster = self.shared_cluster();
        cluster
            .faults
            .check(FaultPoint::Admin, operation, |name| topic == Some(name))?;
        Ok(cluster)
    }
}

fn topic_of(resource: &ConfigResource) -> Option<&str> {
    match resource {
        ConfigResource::Topic(name) => Some(name),
        _ => None,
    }
}

fn count(topic: &Topic) -> i32 {
    i32::try_from(topic.partitions.len()).unwrap_or(i32::MAX)
}

fn broker(cluster: &Cluster, id: i32) -> BrokerInfo {
    BrokerInfo::new(id, "memory", 9092).with_rack(cluster.administration.rack(id))
}

/// The partition of a topic. Fails if it does not exist or has no leader.
fn led_partition<'t>(topic: &'t Topic, partition: &TopicPartition, operation: &'static str) -> Result<&'t Partition> {
    let Some(found) = topic.partition(partition.partition) else {
        return Err(NetworkError::not_found(operation, "partition", partition));
    };
    if !topic.gate.is_open() {
        return Err(NetworkError::new(
            ErrorKind::Connection,
            operation,
            "the partition has no leader",
        ));
    }
    Ok(found)
}

/// All settings of a topic.
fn topic_settings(cluster: &Cluster, topic: &Topic) -> Vec<ConfigEntry> {
    let retention = cluster.topics.rules().retention;
    let all = settings::defaults().map(|(name, default)| {
        let entry = ConfigEntry::new(name, Some(default.to_owned()));
        let of_cluster = |value: String| {
            let mut entry = ConfigEntry::new(name, Some(value.clone()));
            entry.source = ConfigSource::StaticBroker;
            entry
        };
        let entry = match name {
            "retention.bytes" => of_cluster(retention.bytes.to_string()),
            "retention.ms" => of_cluster(
                retention
                    .age
                    .map_or_else(|| "-1".to_owned(), |age| age.as_millis().to_string()),
            ),
            "max.message.bytes" => {
                let of_broker = cluster.administration.message_max_bytes(0);
                let mut entry = ConfigEntry::new(name, of_broker.value);
                entry.source = of_broker.source;
                entry
            }
            _ => entry,
        };
        match topic.config.get(name) {
            Some(value) => entry.with_value(Some(value.clone()), ConfigSource::Topic),
            None => entry,
        }
    });
    all.collect()
}

/// All settings of a broker.
fn broker_settings(cluster: &Cluster, id: i32, operation: &'static str) -> Result<Vec<ConfigEntry>> {
    let rules = cluster.topics.rules();
    if !(0..rules.brokers).contains(&id) {
        return Err(NetworkError::not_found(operation, "broker", id));
    }
    let (shortest, longest) = cluster.limits.sessions;
    let fixed = [
        (
            "auto.create.topics.enable",
            Some(rules.auto_create.is_some().to_string()),
        ),
        ("broker.rack", cluster.administration.rack(id)),
        ("default.replication.factor", Some("1".to_owned())),
        ("group.max.session.timeout.ms", Some(longest.as_millis().to_string())),
        ("group.min.session.timeout.ms", Some(shortest.as_millis().to_string())),
        ("node.id", Some(id.to_string())),
        ("num.partitions", Some(rules.auto_create.unwrap_or(1).to_string())),
    ];
    let fixed = fixed.into_iter().map(|(name, value)| {
        let mut entry = ConfigEntry::new(name, value).with_read_only(true);
        entry.source = ConfigSource::StaticBroker;
        entry
    });
    let mut all: Vec<_> = fixed.chain([cluster.administration.message_max_bytes(id)]).collect();
    all.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(all)
}

/// Applies a change to the settings of a topic. The values are checked afterwards.
fn apply(change: &ConfigChange, config: &mut BTreeMap<String, String>) -> Result<()> {
    let name = &change.name;
    let invalid = |message: &'static str| NetworkError::invalid_input(change.field(), message);
    let Some(is_list) = settings::is_list(name) else {
        return Err(invalid("is not a topic setting"));
    };
    let (added, removed) = match &change.operation {
        ConfigOperation::Set(value) => {
            config.insert(name.clone(), value.clone());
            return Ok(());
        }
        ConfigOperation::Delete => {
            config.remove(name);
            return Ok(());
        }
        _ if !is_list => return Err(invalid("is not a list")),
        ConfigOperation::Append(value) => (value.as_str(), ""),
        ConfigOperation::Subtract(value) => ("", value.as_str()),
        _ => return Err(invalid("cannot change in this way")),
    };
    let default = settings::defaults().find_map(|(known, default)| (known == name).then_some(default));
    let current = config.get(name).map_or(default.unwrap_or_default(), String::as_str);
    let mut list: Vec<&str> = elements(current).collect();
    list.retain(|element| !elements(removed).any(|other| other == *element));
    for element in elements(added) {
        if !list.contains(&element) {
            list.push(element);
        }
    }
    let value = list.join(",");
    config.insert(name.clone(), value);
    Ok(())
}

fn elements(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|element| !element.is_empty())
}

/// The error of a setting: new topics have settings in `config`, and changed ones in `changes`.
fn in_changes(error: NetworkError, operation: &'static str) -> NetworkError {
    let setting = error.field().and_then(|field| field.strip_prefix("config."));
    match setting.map(|setting| format!("changes.{setting}")) {
        Some(field) => NetworkError::invalid_input(field, error.message().to_owned()).with_operation(operation),
        None => error.with_operation(operation),
    }
}
