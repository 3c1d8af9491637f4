//! Creates, deletes and describes topics.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::backoff::{Backoff, Jitter};
use networking_spi::error::context;
use networking_spi::kafka::{NewTopic, PartitionMetadata, TopicMetadata, TopicPartition};
use networking_spi::{NetworkError, Phase, Result};
use rdkafka::Offset;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::consumer::Consumer as _;
use rdkafka::metadata::MetadataTopic;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, timeout_at};

use super::config::ConnectionSettings;
use super::context::{Callbacks, ControlContext};
use super::control::{BlockingCalls, Control, interrupted, on_dedicated_thread};
use super::error;
use super::native::{self, from_refused_topic};

const CREATE: &str = "kafka.create_topic";
const DELETE: &str = "kafka.delete_topic";
const DESCRIBE: &str = "kafka.topic_metadata";

/// The wait between requests for metadata, which are repeated until a created or deleted topic is visible in it.
const METADATA_WAIT: Backoff =
    Backoff::new(Duration::from_millis(10), Duration::from_millis(500)).with_jitter(Jitter::Equal);

/// A connection for creating and deleting topics.
pub(super) struct Admin {
    client: Option<AdminClient<ControlContext>>,
    callbacks: Callbacks,
    request_timeout: Duration,
}

impl Admin {
    pub(super) async fn start(settings: &ConnectionSettings, callbacks: Callbacks) -> Result<Self> {
        let config = settings.control();
        let context = ControlContext {
            callbacks: callbacks.clone(),
        };
        let client: AdminClient<ControlContext> = spawn_blocking(move || config.create_with_context(context))
            .await
            .map_err(interrupted)?
            .map_err(|error| error::from_kafka("kafka.connect", error))?;
        Ok(Self {
            client: Some(client),
            callbacks,
            request_timeout: settings.request_timeout,
        })
    }

    /// Creates a topic and waits until all its partitions have a leader in the metadata that `control` gets.
    pub(super) async fn create(&self, control: &Control, topic: NewTopic) -> Result<()> {
        let deadline = Instant::now() + self.request_timeout;
        let new = topic.clone();
        let create = move |calls: &BlockingCalls<'_>| {
            native::create_topic(calls.consumer.client(), &new, calls.limit)
                .map_err(|refusal| from_refused_topic(CREATE, &new, refusal).with_context(context::TOPIC, &new.name))
        };
        control.call(CREATE, create).await?;
        let partitions = usize::try_from(topic.partitions).unwrap_or(usize::MAX);
        let left = deadline.saturating_duration_since(Instant::now());
        wait_for_partitions(CREATE, control, &topic.name, partitions, left).await
    }

    /// Deletes a topic and waits until the metadata that `control` gets no longer contains it.
    pub(super) async fn delete(&self, control: &Control, topic: &str) -> Result<()> {
        let client = self.client(DELETE)?;
        let deadline = Instant::now() + self.request_timeout;
        let request = client.delete_topics(&[topic], &self.options());
        self.complete(DELETE, topic, deadline, request).await?;
        wait_until(DELETE, control, topic, deadline, self.request_timeout, |topic| {
            topic.is_none()
        })
        .await
    }

    fn client(&self, operation: &'static str) -> Result<&AdminClient<ControlContext>> {
        self.client
            .as_ref()
            .ok_or_else(|| NetworkError::closed(operation, "the client"))
    }

    fn options(&self) -> AdminOptions {
        AdminOptions::new()
            .request_timeout(Some(self.request_timeout))
            .operation_timeout(Some(self.request_timeout))
    }

    /// Waits for the result of an admin request about one topic.
    async fn complete(
        &self,
        operation: &'static str,
        topic: &str,
        deadline: Instant,
        request: impl Future<Output = rdkafka::error::KafkaResult<Vec<rdkafka::admin::TopicResult>>>,
    ) -> Result<()> {
        let results = timeout_at(deadline, request)
            .await
            .map_err(|_| NetworkError::timeout(operation, Phase::Read, self.request_timeout))?
            .map_err(|error| self.callbacks.explain(error::from_kafka(operation, error)))?;
        match results.into_iter().next() {
            Some(Err((_, code))) => Err(self
                .callbacks
                .explain(error::from_code(operation, code))
                .with_context(context::TOPIC, topic)),
            _ => Ok(()),
        }
    }
}

impl Drop for Admin {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            on_dedicated_thread("kafka-close-admin", move || drop(client));
        }
    }
}

/// Waits until a topic has so many partitions in the metadata that `control` gets, and all have a leader.
pub(super) async fn wait_for_partitions(
    operation: &'static str,
    control: &Control,
    topic: &str,
    partitions: usize,
    limit: Duration,
) -> Result<()> {
    let deadline = Instant::now() + limit;
    wait_until(operation, control, topic, deadline, limit, move |topic| {
        topic.is_some_and(|topic| {
            topic.partitions().len() == partitions && topic.partitions().iter().all(|partition| partition.leader() >= 0)
        })
    })
    .await
}

/// Requests the metadata of a topic until `done` accepts it (`None`: the topic does not exist) or the deadline passes.
async fn wait_until(
    operation: &'static str,
    control: &Control,
    topic: &str,
    deadline: Instant,
    limit: Duration,
    done: impl Fn(Option<&MetadataTopic>) -> bool + Clone + Send + 'static,
) -> Result<()> {
    let mut requests = 0;
    loop {
        requests += 1;
        let (name, done) = (topic.to_owned(), done.clone());
        let is_done = control
            .call(operation, move |calls| {
                let existing = calls.topic(&name, |topic| done(Some(topic)))?;
                Ok(existing.unwrap_or_else(|| done(None)))
            })
            .await?;
        if is_done {
            return Ok(());
        }
        let wait = METADATA_WAIT.delay(requests, fastrand::f64());
        if Instant::now() + wait >= deadline {
            return Err(NetworkError::timeout(operation, Phase::Total, limit).with_context(context::TOPIC, topic));
        }
        sleep(wait).await;
    }
}

/// The partitions of a topic with leaders, replicas and offsets.
pub(super) async fn describe(control: &Control, topic: &str) -> Result<TopicMetadata> {
    let name: Arc<str> = topic.into();
    control
        .retry(DESCRIBE, move |calls| {
            let Some(partitions) = calls.topic(&name, read_partitions)? else {
                return Err(NetworkError::not_found(DESCRIBE, "topic", &name));
            };
            let mut topics = [TopicMetadata::new(&*name, partitions)];
            read_offsets(calls, &mut topics)?;
            let [topic] = topics;
            Ok(topic)
        })
        .await
}

/// All topics, ordered by name, with leaders, replicas and offsets.
pub(super) fn describe_all(calls: &BlockingCalls<'_>) -> Result<Vec<TopicMetadata>> {
    let metadata = calls.metadata(None)?;
    let topics = metadata.topics().iter();
    let mut topics: Vec<_> = topics
        .map(|topic| TopicMetadata::new(topic.name(), read_partitions(topic)))
        .collect();
    topics.sort_by(|left, right| left.name.cmp(&right.name));
    read_offsets(calls, &mut topics)?;
    Ok(topics)
}

/// Sets the offsets of all partitions that have a leader.
fn read_offsets(calls: &BlockingCalls<'_>, topics: &mut [TopicMetadata]) -> Result<()> {
    let mut led = Vec::new();
    for topic in &*topics {
        let partitions = topic.partitions.iter().filter(|partition| partition.leader.is_some());
        led.extend(partitions.map(|partition| TopicPartition::new(topic.name.as_str(), partition.partition)));
    }
    let earliest = calls.offsets(&led, Offset::Beginning)?;
    let latest = calls.offsets(&led, Offset::End)?;
    let partitions = topics.iter_mut().flat_map(|topic| &mut topic.partitions);
    let led = partitions.filter(|partition| partition.leader.is_some());
    for (partition, (earliest, latest)) in led.zip(earliest.into_iter().zip(latest)) {
        partition.earliest_offset = earliest.unwrap_or(UNKNOWN);
        partition.latest_offset = latest.unwrap_or(UNKNOWN);
    }
    Ok(())
}

/// The offset of a partition without a leader.
const UNKNOWN: i64 = -1;

fn read_partitions(topic: &MetadataTopic) -> Vec<PartitionMetadata> {
    let partitions = topic.partitions().iter().map(|partition| {
        let mut read = PartitionMetadata::new(partition.id(), partition.leader(), UNKNOWN, UNKNOWN);
        read.leader = Some(partition.leader()).filter(|leader| *leader >= 0);
        read.replicas = partition.replicas().to_vec();
        read.in_sync_replicas = partition.isr().to_vec();
        read
    });
    let mut partitions: Vec<_> = partitions.collect();
    partitions.sort_by_key(|partition| partition.partition);
    partitions
}
