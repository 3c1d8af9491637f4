//! Calls of librdkafka that block: where they run and for how long.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::metadata::{Metadata, MetadataTopic};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval, timeout};

use super::config::ConnectionSettings;
use super::context::{Callbacks, ControlContext};
use super::error;

/// Blocking calls at a time.
const PARALLEL_CALLS: usize = 8;

/// How often what librdkafka logs and reports on the control connection is taken from its queue, and how much at once.
const EVENT_INTERVAL: Duration = Duration::from_secs(1);
const EVENTS_AT_ONCE: usize = 64;

/// How much longer than librdkafka's own timeout a call is waited for.
const GRACE: Duration = Duration::from_secs(2);

/// A connection that only asks: metadata, offsets, groups.
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
            calls: Arc::new(Semaphore::new(PARALLEL_CALLS)),
            request_timeout,
        })
    }

    /// Runs a call that blocks for `request_timeout` at most.
    pub(super) async fn ask<T: Send + 'static>(
        &self,
        operation: &'static str,
        call: impl FnOnce(&Asking<'_>) -> Result<T> + Send + 'static,
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
            call(&Asking {
                consumer: &consumer,
                operation,
                limit,
            })
        });
        // A call may ask several times; each has its own timeout inside librdkafka.
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

impl Drop for Control {
    fn drop(&mut self) {
        let consumer = Arc::clone(&self.consumer);
        on_own_thread("kafka-close-control", move || drop(consumer));
    }
}

/// What can be asked. All of it blocks.
pub(super) struct Asking<'a> {
    pub(super) consumer: &'a BaseConsumer<ControlContext>,
    pub(super) operation: &'static str,
    pub(super) limit: Duration,
}

impl Asking<'_> {
    pub(super) fn metadata(&self, topic: Option<&str>) -> Result<Metadata> {
        self.consumer
            .fetch_metadata(topic, self.limit)
            .map_err(|error| error::from_kafka(self.operation, error))
    }

    /// The topic's part of the metadata, `None` if there is no such topic.
    pub(super) fn topic<T>(&self, topic: &str, read: impl FnOnce(&MetadataTopic) -> T) -> Result<Option<T>> {
        let metadata = self.metadata(Some(topic))?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error() {
            Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART) => Ok(None),
            // A partition without leader does not hide the others.
            None | Some(RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE) => Ok(Some(read(found))),
            Some(code) => Err(error::from_code(self.operation, code.into()).with_context("topic", topic)),
        }
    }

    /// The first (`Offset::Beginning`) or next (`Offset::End`) offset of partitions: one request for each leader.
    pub(super) fn ends(&self, partitions: &[(String, i32)], end: Offset) -> Result<Vec<Option<i64>>> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let mut asked = TopicPartitionList::with_capacity(partitions.len());
        for (topic, partition) in partitions {
            asked
                .add_partition_offset(topic, *partition, end)
                .map_err(|error| error::from_kafka(self.operation, error))?;
        }
        let answered = self
            .consumer
            .offsets_for_times(asked, self.limit)
            .map_err(|error| error::from_kafka(self.operation, error))?;
        let found = partitions.iter().map(|(topic, partition)| {
            let element = answered.find_partition(topic, *partition)?;
            element.error().ok()?;
            match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            }
        });
        Ok(found.collect())
    }
}

/// Runs work that may block for long on a thread of its own: neither the runtime nor its shutdown waits for it.
pub(super) fn on_own_thread(name: &str, work: impl FnOnce() + Send + 'static) {
    if let Err(error) = thread::Builder::new().name(name.to_owned()).spawn(work) {
        tracing::error!(%error, name, "no thread; the work was done in place");
    }
}

/// A blocking task that did not end: the runtime shuts down, or the task panicked.
pub(super) fn interrupted(error: tokio::task::JoinError) -> NetworkError {
    let kind = if error.is_cancelled() {
        ErrorKind::Cancelled
    } else {
        ErrorKind::Internal
    };
    NetworkError::new(kind, "kafka.call", "the blocking call did not end").with_source(error)
}

fn serve_events(consumer: &Arc<BaseConsumer<ControlContext>>) {
    let consumer = Arc::downgrade(consumer);
    tokio::spawn(async move {
        let mut ticks = interval(EVENT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let Some(consumer) = consumer.upgrade() else { break };
            for _ in 0..EVENTS_AT_ONCE {
                // Without a group there are no messages, only events for the context.
                drop(consumer.poll(Duration::ZERO));
            }
        }
    });
}
