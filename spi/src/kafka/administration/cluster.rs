//! Brokers and topics of a cluster.

use serde::{Deserialize, Serialize};

use crate::kafka::{TopicMetadata, TopicPartition};

/// A cluster and its brokers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ClusterDescription {
    /// The id of the cluster; `None` if the cluster has none.
    pub cluster_id: Option<String>,
    /// The id of the broker that handles administrative requests; `None` while there is none. With `KRaft` it may be any broker,
    /// because controllers are not visible to clients.
    pub controller: Option<i32>,
    /// The brokers that are alive, ordered by id.
    pub brokers: Vec<BrokerInfo>,
}

impl ClusterDescription {
    /// A cluster. The brokers are sorted by id.
    pub fn new(cluster_id: Option<String>, controller: Option<i32>, mut brokers: Vec<BrokerInfo>) -> Self {
        brokers.sort_by_key(|broker| broker.id);
        Self {
            cluster_id,
            controller,
            brokers,
        }
    }
}

/// A broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BrokerInfo {
    /// The id.
    pub id: i32,
    /// The host name that it advertises to clients.
    pub host: String,
    /// The port that it advertises to clients.
    pub port: u16,
    /// Its `broker.rack`.
    pub rack: Option<String>,
}

impl BrokerInfo {
    /// A broker without a rack.
    pub fn new(id: i32, host: impl Into<String>, port: u16) -> Self {
        Self {
            id,
            host: host.into(),
            port,
            rack: None,
        }
    }

    /// Sets the rack.
    pub fn with_rack(mut self, rack: Option<String>) -> Self {
        self.rack = rack;
        self
    }
}

/// A topic in a list of topics.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TopicListing {
    /// The name.
    pub name: String,
    /// The number of partitions.
    pub partitions: i32,
    /// The number of replicas of each partition.
    pub replication_factor: i32,
    /// Whether the topic belongs to the cluster itself, such as `__consumer_offsets`.
    pub is_internal: bool,
}

impl TopicListing {
    /// A topic that is not internal.
    pub fn new(name: impl Into<String>, partitions: i32, replication_factor: i32) -> Self {
        Self {
            name: name.into(),
            partitions,
            replication_factor,
            is_internal: false,
        }
    }

    /// Sets whether the topic is internal.
    pub fn with_internal(mut self, is_internal: bool) -> Self {
        self.is_internal = is_internal;
        self
    }
}

impl TopicMetadata {
    /// The partitions of the topic, in order.
    pub fn topic_partitions(&self) -> impl Iterator<Item = TopicPartition> {
        let partitions = self.partitions.iter();
        partitions.map(|partition| TopicPartition::new(self.name.as_str(), partition.partition))
    }
}
