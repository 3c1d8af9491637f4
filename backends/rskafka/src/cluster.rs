//! The connections to the brokers, and what they say about topics.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use networking_spi::kafka::TopicPartition;
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use rskafka::BackoffConfig;
use rskafka::client::error::Error;
use rskafka::client::partition::{PartitionClient, UnknownTopicHandling};
use rskafka::client::{Client, ClientBuilder};
use tokio::time::{Instant, sleep, timeout};

use crate::error::classify;
use crate::lock;

/// The time limit of requests for which the caller sets none.
const LIMIT: Duration = Duration::from_secs(30);
/// How old the list of topics may be.
const TOPICS_AGE: Duration = Duration::from_secs(60);
/// The pause between two looks at something that changes soon.
const PAUSE: Duration = Duration::from_millis(50);
/// How many partitions are asked at a time.
const CONCURRENCY: usize = 8;

/// A cluster. Each partition has a connection to its leader, which is kept.
pub(crate) struct Cluster {
    client: Client,
    topics: tokio::sync::Mutex<Topics>,
    leaders: Mutex<HashMap<TopicPartition, Arc<PartitionClient>>>,
}

/// The topics with their numbers of partitions, and when they were read.
struct Topics {
    partitions: HashMap<String, i32>,
    read: Instant,
}

impl Cluster {
    pub(crate) async fn connect(bootstrap: Vec<String>) -> Result<Self> {
        // Without a deadline, `rskafka` repeats a request until it succeeds.
        let backoff = BackoffConfig {
            max_backoff: Duration::from_secs(1),
            deadline: Some(Duration::from_secs(5)),
            ..BackoffConfig::default()
        };
        let client = ClientBuilder::new(bootstrap).backoff_config(backoff).build();
        let client = within("kafka.connect", client).await?;
        let topics = tokio::sync::Mutex::new(read_topics(&client).await?);
        Ok(Self {
            client,
            topics,
            leaders: Mutex::default(),
        })
    }

    /// The number of partitions of a topic, `None` if there is no such topic. The answer is at most [`TOPICS_AGE`] old.
    ///
    /// The list of all topics is read, because asking for one topic makes brokers create it that create topics automatically.
    pub(crate) async fn partitions(&self, topic: &str) -> Result<Option<i32>> {
        let mut topics = self.topics.lock().await;
        if topics.read.elapsed() > TOPICS_AGE || !topics.partitions.contains_key(topic) {
            *topics = read_topics(&self.client).await?;
        }
        Ok(topics.partitions.get(topic).copied())
    }

    /// Like [`partitions`](Self::partitions), and always asks the brokers.
    pub(crate) async fn partitions_now(&self, topic: &str) -> Result<Option<i32>> {
        let mut topics = self.topics.lock().await;
        *topics = read_topics(&self.client).await?;
        Ok(topics.partitions.get(topic).copied())
    }

    /// All partitions of a topic.
    pub(crate) async fn places(&self, operation: &'static str, topic: &str) -> Result<Vec<TopicPartition>> {
        let Some(count) = self.partitions_now(topic).await? else {
            return Err(NetworkError::not_found(operation, "topic", topic));
        };
        Ok((0..count)
            .map(|partition| TopicPartition::new(topic, partition))
            .collect())
    }

    /// The connection that all requests for a partition share, except for those that wait for records.
    pub(crate) async fn leader(&self, operation: &'static str, place: &TopicPartition) -> Result<Arc<PartitionClient>> {
        let kept = lock(&self.leaders).get(place).cloned();
        if let Some(leader) = kept {
            return Ok(leader);
        }
        let leader = Arc::new(self.new_leader(operation, place).await?);
        Ok(Arc::clone(lock(&self.leaders).entry(place.clone()).or_insert(leader)))
    }

    /// A new connection to the leader of a partition. Waits for leaders that do not know a new partition yet.
    pub(crate) async fn new_leader(&self, operation: &'static str, place: &TopicPartition) -> Result<PartitionClient> {
        let connect = async {
            loop {
                let topic = place.topic.as_str();
                let unknown = UnknownTopicHandling::Error;
                let result = within(operation, self.client.partition_client(topic, place.partition, unknown)).await;
                match result {
                    Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::Protocol) => {
                        if !self.has(place).await? {
                            return Err(NetworkError::not_found(operation, "partition", place));
                        }
                        sleep(PAUSE).await;
                    }
                    result => return result,
                }
            }
        };
        timeout(LIMIT, connect).await.unwrap_or_else(|_| Err(late(operation)))
    }

    /// Whether the brokers list the partition.
    pub(crate) async fn has(&self, place: &TopicPartition) -> Result<bool> {
        let count = self.partitions_now(&place.topic).await?;
        Ok(count.is_some_and(|count| place.partition < count))
    }

    /// Runs `query` with each partition, some at a time. The results are in the order of the partitions.
    pub(crate) async fn each<T, F>(places: Vec<TopicPartition>, query: impl Fn(TopicPartition) -> F) -> Result<Vec<T>>
    where
        F: Future<Output = Result<T>>,
    {
        stream::iter(places)
            .map(query)
            .buffered(CONCURRENCY)
            .try_collect()
            .await
    }

    pub(crate) async fn create_topic(&self, name: &str, partitions: i32, replicas: Option<i16>) -> Result<()> {
        const OPERATION: &str = "kafka.create_topic";
        let controller = self.client.controller_client();
        let controller = controller.map_err(|error| classify(OPERATION, error))?;
        // The broker chooses the number of replicas if it is -1 (KIP-464).
        let request = controller.create_topic(name, partitions, replicas.unwrap_or(-1), millis(LIMIT));
        within(OPERATION, request).await?;
        self.until(OPERATION, name, |count| count == Some(partitions)).await
    }

    pub(crate) async fn delete_topic(&self, name: &str) -> Result<()> {
        const OPERATION: &str = "kafka.delete_topic";
        let controller = self.client.controller_client();
        let controller = controller.map_err(|error| classify(OPERATION, error))?;
        within(OPERATION, controller.delete_topic(name, millis(LIMIT))).await?;
        lock(&self.leaders).retain(|place, _| place.topic != name);
        self.until(OPERATION, name, |count| count.is_none()).await
    }

    /// Waits until the brokers report what the controller has decided.
    async fn until(&self, operation: &'static str, topic: &str, seen: impl Fn(Option<i32>) -> bool) -> Result<()> {
        let poll = async {
            while !seen(self.partitions_now(topic).await?) {
                sleep(PAUSE).await;
            }
            Ok(())
        };
        timeout(LIMIT, poll).await.unwrap_or_else(|_| Err(late(operation)))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").finish_non_exhaustive()
    }
}

/// Limits a request that has no other limit, and maps its error.
pub(crate) async fn within<T>(
    operation: &'static str,
    request: impl Future<Output = std::result::Result<T, Error>>,
) -> Result<T> {
    match timeout(LIMIT, request).await {
        Ok(result) => result.map_err(|error| classify(operation, error)),
        Err(_) => Err(late(operation)),
    }
}

async fn read_topics(client: &Client) -> Result<Topics> {
    let read = Instant::now();
    let topics = within("kafka.topic_metadata", client.list_topics()).await?;
    let count = |partitions: usize| i32::try_from(partitions).unwrap_or(i32::MAX);
    Ok(Topics {
        partitions: topics
            .into_iter()
            .filter(|topic| !topic.partitions.is_empty())
            .map(|topic| (topic.name, count(topic.partitions.len())))
            .collect(),
        read,
    })
}

fn late(operation: &'static str) -> NetworkError {
    NetworkError::timeout(operation, Phase::Total, LIMIT)
}

fn millis(limit: Duration) -> i32 {
    i32::try_from(limit.as_millis()).unwrap_or(i32::MAX)
}
