//! Blocking calls of librdkafka: which threads they run on, and their time limits.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use networking_spi::backoff::{Backoff, Jitter};
use networking_spi::error::context;
use networking_spi::kafka::TopicPartition;
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::{Metadata, MetadataPartition, MetadataTopic};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use super::config::ConnectionSettings;
use super::context::{Callbacks, ControlContext};
use super::error;

/// The maximum number of concurrent blocking calls.
const MAX_CONCURRENT_CALLS: usize = 8;

/// How often librdkafka's events of the control connection (logs, errors) are taken from its queue, and how many at most.
const EVENT_INTERVAL: Duration = Duration::from_millis(100);
const MAX_EVENTS_PER_TICK: usize = 64;

/// The wait before requests are sent again.
const RETRY_WAIT: Backoff =
    Backoff::new(Duration::from_millis(10), Duration::from_millis(500)).with_jitter(Jitter::Equal);

/// A longer timeout could exceed the range of the clock.
const MAX_REQUEST_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// How long a control connection that has never reached a broker waits for one, after it could not connect to any.
const CONNECT_GRACE: Duration = Duration::from_secs(1);

/// How long a call may exceed the timeouts of librdkafka.
const GRACE: Duration = Duration::from_secs(2);

/// A connection for requests about metadata, offsets and groups.
pub(super) struct Control {
    consumer: Arc<BaseConsumer<ControlContext>>,
    callbacks: Callbacks,
    calls: Arc<Semaphore>,
    request_timeout: Duration,
}

impl Control {
    pub(super) async fn start(settings: &ConnectionSettings, callbacks: Callbacks) -> Result<Self> {
        let config = settings.control();
        let context = ControlContext {
            callbacks: callbacks.clone(),
        };
        let consumer: BaseConsumer<ControlContext> = spawn_blocking(move || config.create_with_context(context))
            .await
            .map_err(interrupted)?
            .map_err(|error| error::from_kafka("kafka.connect", error))?;
        let consumer = Arc::new(consumer);
        serve_events(&consumer);
        let request_timeout = settings.request_timeout;
        Ok(Self {
            consumer,
            callbacks,
            calls: Arc::new(Semaphore::new(MAX_CONCURRENT_CALLS)),
            request_timeout,
        })
    }

    /// Runs requests, each of which blocks for at most `request_timeout`, on a blocking thread.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        operation: &'static str,
        requests: impl FnOnce(&BlockingCalls<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let earliest = Instant::now() + CONNECT_GRACE;
        let unreachable = async {
            self.callbacks.unreachable().await;
            sleep_until(earliest).await;
        };
        tokio::select! {
            biased;
            result = self.wait_for(operation, requests) => result,
            // The blocking call, if it has begun, ends at its timeout or when a broker answers.
            () = unreachable => {
                Err(self.callbacks.explain(NetworkError::new(
                    ErrorKind::Connection,
                    operation,
                    "none of the bootstrap servers is reachable, or none is a Kafka broker",
                )))
            }
        }
    }

    async fn wait_for<T: Send + 'static>(
        &self,
        operation: &'static str,
        requests: impl FnOnce(&BlockingCalls<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let place = Arc::clone(&self.calls).acquire_owned();
        let limit = self.request_timeout;
        let place = timeout(limit, place)
            .await
            .map_err(|_| NetworkError::timeout(operation, Phase::Queue, limit))?
            .map_err(|_| NetworkError::closed(operation, "the client"))?;
        let consumer = Arc::clone(&self.consumer);
        let work = spawn_blocking(move || {
            let _place = place;
            requests(&BlockingCalls {
                consumer: &consumer,
                operation,
                limit,
            })
        });
        // librdkafka applies the timeout to each request. A call makes at most four, except for the check of the topics of a
        // new consumer, which makes one per topic.
        let result = timeout(limit.saturating_mul(4).saturating_add(GRACE), work)
            .await
            .map_err(|_| NetworkError::timeout(operation, Phase::Total, limit))?
            .map_err(interrupted)?;
        match result {
            Ok(value) => {
                self.callbacks.clear();
                Ok(value)
            }
            Err(error) => Err(self.callbacks.explain(error)),
        }
    }
}

impl Control {
    /// Like [`call`](Self::call), repeated for at most `request_timeout` while brokers answer that the requests are to be sent
    /// again: after a topic is created, or a broker has failed, the leaders of partitions and the coordinators of groups change.
    pub(super) async fn retry<T: Send + 'static>(
        &self,
        operation: &'static str,
        requests: impl Fn(&BlockingCalls<'_>) -> Result<T> + Send + Sync + 'static,
    ) -> Result<T> {
        let requests = Arc::new(requests);
        let deadline = Instant::now() + self.request_timeout.min(MAX_REQUEST_TIMEOUT);
        let mut attempts = 0;
        loop {
            attempts += 1;
            let again = Arc::clone(&requests);
            let error = match self.call(operation, move |calls| again(calls)).await {
                Err(error) if error.kind() == ErrorKind::Remote && error.retryability().is_retryable() => error,
                result => return result,
            };
            let wait = RETRY_WAIT.delay(attempts, fastrand::f64());
            if Instant::now() + wait >= deadline {
                return Err(error);
            }
            sleep(wait).await;
        }
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        on_dedicated_thread("kafka-close-control", move || drop(consumer));
    }
}

/// The requests of the control connection. They block.
pub(super) struct BlockingCalls<'a> {
    pub(super) consumer: &'a BaseConsumer<ControlContext>,
    pub(super) operation: &'static str,
    pub(super) limit: Duration,
}

impl BlockingCalls<'_> {
    pub(super) fn metadata(&self, topic: Option<&str>) -> Result<Metadata> {
        self.consumer
            .fetch_metadata(topic, self.limit)
            .map_err(|error| error::from_kafka(self.operation, error))
    }

    /// Reads the metadata of a topic. `None` if the topic does not exist.
    pub(super) fn topic<T>(&self, topic: &str, read: impl FnOnce(&MetadataTopic) -> T) -> Result<Option<T>> {
        let metadata = self.metadata(Some(topic))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error() {
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Ok(None),
            // Some partitions have no leader; the others are still described.
            None | Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) => Ok(Some(read(found))),
            Some(code) => Err(error::from_code(self.operation, code.into()).with_context(context::TOPIC, topic)),
        }
    }

    /// Fails if one of these partitions does not exist. Sends one request for each topic.
    pub(super) fn require_partitions(&self, partitions: &[TopicPartition]) -> Result<()> {
        let mut known = HashMap::<&str, HashSet<i32>>::new();
        for partition in partitions {
            let numbers = match known.entry(&partition.topic) {
                Entry::Occupied(found) => found.into_mut(),
                Entry::Vacant(new) => {
                    let read = self.topic(&partition.topic, |found| {
                        found.partitions().iter().map(MetadataPartition::id).collect()
                    })?;
                    let missing = || NetworkError::not_found(self.operation, "topic", &partition.topic);
                    new.insert(read.ok_or_else(missing)?)
                }
            };
            if !numbers.contains(&partition.partition) {
                return Err(NetworkError::not_found(self.operation, "partition", partition));
            }
        }
        Ok(())
    }

    /// The first offset (`Offset::Beginning`), the next offset to be written (`Offset::End`), or the first offset at or after a
    /// time (`Offset::Offset` with milliseconds) of partitions. Sends one request to each leader.
    pub(super) fn offsets(&self, partitions: &[TopicPartition], end: Offset) -> Result<Vec<Option<i64>>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let mut requested = TopicPartitionList::with_capacity(partitions.len());
        for TopicPartition { topic, partition } in partitions {
            requested
                .add_partition_offset(topic, *partition, end)
                .map_err(|error| error::from_kafka(self.operation, error))?;
        }
        let found = self
            .consumer
            .offsets_for_times(requested, self.limit)
            .map_err(|error| error::from_kafka(self.operation, error))?;
        let offsets = partitions.iter().map(|TopicPartition { topic, partition }| {
            let element = found.find_partition(topic, *partition)?;
            match (element.error(), element.offset()) {
                (Ok(()), Offset::Offset(offset)) => Some(Ok(offset)),
                (Ok(()), _) => None,
                (Err(error), _) => {
                    let error = error::from_kafka(self.operation, error);
                    // The partition is not readable now, or it is gone.
                    error.retryability().is_retryable().then_some(Err(error))
                }
            }
        });
        offsets.map(Option::transpose).collect()
    }
}

/// Runs work that may block for seconds on a dedicated thread. Neither the runtime nor its shutdown waits for it.
pub(super) fn on_dedicated_thread(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
        tracing::error!(%error, name, "cannot start a thread; closed on the current thread");
    }
}

/// The error for a blocking task that was cancelled, because the runtime shuts down, or that panicked.
pub(super) fn interrupted(error: tokio::task::JoinError) -> NetworkError {
    let kind = if error.is_cancelled() {
        ErrorKind::Cancelled
    } else {
        ErrorKind::Internal
    };
    NetworkError::new(kind, "kafka.call", "the blocking call was cancelled or panicked").with_source(error)
}

fn serve_events(consumer: &Arc<BaseConsumer<ControlContext>>) {
    let consumer = Arc::downgrade(consumer);
    tokio::spawn(async move {
        let mut ticks = interval(EVENT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(consumer) = consumer.upgrade() else { break };
            for _ in 0..MAX_EVENTS_PER_TICK {
                // The consumer has no group, so polling returns no messages. It delivers events to the context.
                drop(consumer.poll(Duration::ZERO));
            }
        }
    });
}
