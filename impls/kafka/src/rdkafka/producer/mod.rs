//! A producer with a bounded queue. The delivery report of a record completes it.

mod batch;
mod calls;
mod delivery;
mod limits;
mod transaction;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use networking_spi::error::context;
use networking_spi::kafka::{
    KafkaCapabilities, ProducerConfig, ProducerMetrics, ProducerRecord, RecordMetadata, TopicName,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, Producer as _, ThreadedProducer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, sleep_until, timeout, timeout_at};

use self::batch::Batch;
use self::calls::Calls;
use self::delivery::{DeliveryContext, InFlight, Pending, Resends, SingleRecords, timed_out};
use self::limits::Limits;
pub(super) use self::transaction::{Call, Transaction};
use super::context::Callbacks;
use super::control::on_dedicated_thread;
use super::error;
use super::timestamp::to_millis;
use crate::counters::ProducerCounters;

const PRODUCE: &str = "kafka.produce_message";

/// How long to wait before a record is passed to librdkafka again after `QueueFull`: the queue has reached librdkafka's limit of
/// bytes, or a limit that the application set. librdkafka does not notify when there is space.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(10);

/// Passing records to librdkafka does not wait, so a call yields to other tasks after this number of records.
const YIELD_EVERY: usize = 1024;

/// A longer timeout could exceed the range of the clock.
const MAX_DELIVERY_TIMEOUT: Duration = Duration::from_secs(365 * 24 * 3600);

/// The minimum time between two requests for the metadata of a missing topic, and the maximum number of topics for which the
/// time of the last request is kept.
const METADATA_RETRY_INTERVAL: Duration = Duration::from_millis(100);
const MAX_MISSING_TOPICS: usize = 1000;

pub(super) struct Producer {
    /// `None` only in `drop`.
    handle: Option<Arc<ThreadedProducer<DeliveryContext>>>,
    callbacks: Callbacks,
    counters: Arc<ProducerCounters>,
    in_flight: Arc<InFlight>,
    resends: Arc<Resends>,
    /// `None` without the capability `topic_admin`: the settings of topics cannot be requested.
    limits: Option<Limits>,
    /// The free slots in the queue.
    places: Arc<Semaphore>,
    calls: Calls,
    /// Present if the producer has a transactional id.
    transaction: Option<Arc<Transaction>>,
    /// When the metadata of a missing topic was last requested.
    missing_topics: Mutex<HashMap<String, Instant>>,
    delivery_timeout: Duration,
    request_timeout: Duration,
    max_message_size: usize,
    capabilities: KafkaCapabilities,
}

impl Producer {
    /// Starts a producer. Blocks while librdkafka starts.
    pub(super) fn start(
        settings: &rdkafka::ClientConfig,
        config: &ProducerConfig,
        capabilities: KafkaCapabilities,
        callbacks: Callbacks,
        counters: Arc<ProducerCounters>,
        request_timeout: Duration,
        transaction: Option<Transaction>,
    ) -> Result<Self> {
        let in_flight = Arc::<InFlight>::default();
        let resends = Arc::<Resends>::default();
        let context = DeliveryContext {
            callbacks: callbacks.clone(),
            counters: Arc::clone(&counters),
            in_flight: Arc::clone(&in_flight),
            resends: Arc::clone(&resends),
            // A second producer with the same transactional id would fence this one.
            single: transaction.is_none().then(|| Arc::new(SingleRecords::new(settings))),
        };
        let handle = ThreadedProducer::from_config_and_context(settings, context)
            .map_err(|error| error::from_kafka("kafka.create_producer", error))?;
        Ok(Self {
            handle: Some(Arc::new(handle)),
            callbacks,
            counters,
            in_flight,
            resends,
            limits: capabilities.topic_admin.then(|| Limits::new(config)),
            places: Arc::new(Semaphore::new(config.queue_size.min(Semaphore::MAX_PERMITS))),
            calls: Calls::default(),
            transaction: transaction.map(Arc::new),
            missing_topics: Mutex::default(),
            delivery_timeout: config.delivery_timeout,
            request_timeout,
            max_message_size: config.max_message_size,
            capabilities,
        })
    }

    /// Sends all records, then waits for their delivery reports, for at most `delivery_timeout` in total. The results are in the
    /// order of the records.
    pub(super) async fn produce(self: &Arc<Self>, records: Vec<ProducerRecord>) -> Vec<Result<RecordMetadata>> {
        let Some(transaction) = &self.transaction else {
            return self.produce_in(None, records).await;
        };
        match transaction.open() {
            Ok(number) => {
                let results = self.produce_in(Some(number), records).await;
                transaction.note(number, self.handle.as_ref(), results)
            }
            Err(error) => {
                self.counters.count_errors(records.len() as u64);
                records.iter().map(|_| Err(error.clone())).collect()
            }
        }
    }

    /// Sends a record and waits for its delivery report, for at most `delivery_timeout` in total.
    pub(super) async fn produce_one(self: &Arc<Self>, record: ProducerRecord) -> Result<RecordMetadata> {
        let now = Instant::now();
        let deadline = self.deadline(now);
        let batch = Arc::new(Batch::new(1, self.calls.begin()));
        let overtakes = self.limits.as_ref().is_some_and(|limits| !limits.is_free());
        if overtakes || !self.send_now(&batch, 0, &record, deadline, now) {
            // Otherwise a flush would wait for it as long as this call is not polled.
            drop(batch);
            // Boxed, so that the future of a record that need not wait stays small.
            return Box::pin(self.produce(vec![record])).await.swap_remove(0);
        }
        drop(record);
        let mut results = batch.results(deadline).await;
        self.reported(results.swap_remove(0))
    }

    /// Passes a record to librdkafka, if it is valid, not late, and need not wait for anything. Returns whether it was passed.
    fn send_now(
        &self,
        batch: &Arc<Batch>,
        index: usize,
        record: &ProducerRecord,
        deadline: Instant,
        now: Instant,
    ) -> bool {
        if self.transaction.is_some() || !self.resends.are_done() || now >= deadline {
            return false;
        }
        let Ok(timestamp) = self.check(record) else {
            return false;
        };
        let alone = match &self.limits {
            Some(limits) => limits.check_now(&self.resends, record, now),
            None => Some(false),
        };
        let (Some(alone), Ok(place)) = (alone, Arc::clone(&self.places).try_acquire_owned()) else {
            return false;
        };
        let pending = Box::new(Pending::new(batch, index, record, timestamp, deadline, place));
        self.send(record, pending, alone).is_ok()
    }

    /// When a call that begins now must have ended.
    fn deadline(&self, now: Instant) -> Instant {
        now + self.delivery_timeout.min(MAX_DELIVERY_TIMEOUT)
    }

    /// The result of a record at the deadline. Without one, it has timed out.
    fn reported(&self, result: Option<Result<RecordMetadata>>) -> Result<RecordMetadata> {
        result.unwrap_or_else(|| {
            self.counters.count_errors(1);
            Err(timed_out(&self.callbacks, self.delivery_timeout))
        })
    }

    /// Sends records, in the transaction of this number if there is one.
    async fn produce_in(
        self: &Arc<Self>,
        number: Option<u64>,
        records: Vec<ProducerRecord>,
    ) -> Vec<Result<RecordMetadata>> {
        let deadline = self.deadline(Instant::now());
        let batch = Arc::new(Batch::new(records.len(), self.calls.begin()));
        match self
            .limits
            .as_ref()
            .and_then(|limits| limits.turn(&self.resends, &records))
        {
            None => self.enqueue_all(&batch, number, records, deadline).await,
            // Not in this future: a caller that polls it once, and then waits for a flush, must not wait forever.
            Some(turn) => {
                let (producer, batch) = (Arc::clone(self), Arc::clone(&batch));
                tokio::spawn(async move {
                    let _turn = turn.await;
                    producer.enqueue_all(&batch, number, records, deadline).await;
                });
            }
        }
        let results = batch.results(deadline).await;
        results.into_iter().map(|result| self.reported(result)).collect()
    }

    /// Passes records to librdkafka.
    async fn enqueue_all(
        &self,
        batch: &Arc<Batch>,
        number: Option<u64>,
        records: Vec<ProducerRecord>,
        deadline: Instant,
    ) {
        let mut now = Instant::now();
        for (index, record) in records.into_iter().enumerate() {
            if index % YIELD_EVERY == YIELD_EVERY - 1 {
                yield_now().await;
                now = Instant::now();
            }
            if self.send_now(batch, index, &record, deadline, now) {
                continue;
            }
            if let Err(error) = self.enqueue(batch, number, index, record, deadline).await {
                batch.complete(index, Err(error), || self.counters.count_errors(1));
            }
            // It may have waited.
            now = Instant::now();
        }
    }

    /// Waits until every call that started before this one has its results.
    pub(super) async fn flush(&self, limit: Duration) -> Result<()> {
        timeout(limit, self.calls.drained()).await.map_err(|_| {
            NetworkError::timeout("kafka.flush", Phase::Total, limit).with_send_state(SendState::MaybeSent)
        })
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        self.delivery_timeout
    }

    pub(super) fn metrics(&self) -> ProducerMetrics {
        self.counters.snapshot(self.in_flight.count())
    }

    async fn enqueue(
        &self,
        batch: &Arc<Batch>,
        number: Option<u64>,
        index: usize,
        record: ProducerRecord,
        deadline: Instant,
    ) -> Result<()> {
        let timestamp = self.check(&record)?;
        let alone = match (&self.limits, &self.handle) {
            (Some(limits), Some(handle)) => limits.check(handle, &self.resends, &record, deadline).await?,
            _ => false,
        };
        let place = self.place(deadline).await?;
        if !self.resends.wait(&record.topic, deadline).await || Instant::now() >= deadline {
            return Err(timed_out(&self.callbacks, self.delivery_timeout)
                .with_context(context::TOPIC, record.topic.as_str())
                .with_send_state(SendState::NotSent));
        }
        let mut pending = Box::new(Pending::new(batch, index, &record, timestamp, deadline, place));
        loop {
            if let (Some(transaction), Some(number)) = (&self.transaction, number) {
                transaction.check_sending(number)?;
            }
            let (error, returned) = match self.send(&record, pending, alone) {
                Ok(()) => return Ok(()),
                Err(rejected) => rejected,
            };
            pending = returned;
            match error.rdkafka_error_code() {
                Some(Code::QueueFull) if Instant::now() < deadline => {
                    sleep_until(deadline.min(Instant::now() + QUEUE_FULL_WAIT)).await;
                }
                Some(Code::UnknownTopic | Code::UnknownPartition) if self.may_refresh_metadata(&record.topic) => {
                    self.refresh_metadata(record.topic.clone(), deadline).await;
                }
                _ => {
                    let error = self.callbacks.explain(self.convert(error));
                    return Err(error
                        .with_context(context::TOPIC, record.topic.as_str())
                        .with_send_state(SendState::NotSent));
                }
            }
        }
    }

    /// Checks a record without a request. Returns its timestamp in milliseconds.
    fn check(&self, record: &ProducerRecord) -> Result<Option<i64>> {
        record.validate()?;
        self.capabilities.check_record(PRODUCE, record)?;
        let bytes = record.size();
        if bytes > self.max_message_size {
            return Err(NetworkError::new(
                ErrorKind::TooLarge,
                PRODUCE,
                "the record is larger than max_message_size",
            )
            .with_context(context::BYTES, bytes.to_string())
            .with_context("max_message_size", self.max_message_size.to_string())
            .with_send_state(SendState::NotSent));
        }
        record.timestamp.map(to_millis).transpose()
    }

    /// Whether the metadata of a missing topic, or of a topic with a missing partition, may be requested again.
    fn may_refresh_metadata(&self, topic: &str) -> bool {
        let now = Instant::now();
        let mut missing = self.missing_topics.lock();
        if missing
            .get(topic)
            .is_some_and(|last| now - *last < METADATA_RETRY_INTERVAL)
        {
            return false;
        }
        if missing.len() >= MAX_MISSING_TOPICS {
            missing.retain(|_, last| now - *last < METADATA_RETRY_INTERVAL);
        }
        let room = missing.len() < MAX_MISSING_TOPICS;
        if room {
            missing.insert(topic.to_owned(), now);
        }
        room
    }

    /// Requests the metadata of a topic. Otherwise librdkafka caches for minutes that the topic does not exist.
    async fn refresh_metadata(&self, topic: TopicName, deadline: Instant) {
        let Some(handle) = self.handle.clone() else { return };
        let limit = self.request_timeout.min(deadline - Instant::now());
        let request = spawn_blocking(move || handle.client().fetch_metadata(Some(&topic), limit).map(drop));
        // After an error the topic is still unknown, and the record fails with that error.
        if let Ok(Ok(Err(error))) = timeout_at(deadline, request).await {
            tracing::debug!(%error, "the metadata of a missing topic cannot be requested");
        }
    }

    /// Waits for a slot in the queue.
    async fn place(&self, deadline: Instant) -> Result<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        match timeout_at(deadline, Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            Ok(Err(_closed)) => Err(NetworkError::closed(PRODUCE, "the producer")),
            Err(_elapsed) => Err(NetworkError::new(
                ErrorKind::Exhausted,
                PRODUCE,
                "the queue was full for delivery_timeout",
            )),
        }
    }

    /// Passes a record to librdkafka: with `alone`, in a batch of its own.
    fn send(
        &self,
        record: &ProducerRecord,
        mut pending: Box<Pending>,
        alone: bool,
    ) -> Result<(), (KafkaError, Box<Pending>)> {
        let Some(handle) = &self.handle else {
            return Err((KafkaError::Canceled, pending));
        };
        // Counted before `send`, because the delivery report may arrive before it returns.
        pending.first = self.in_flight.enter();
        let timestamp = pending.timestamp;
        let mut base = BaseRecord::<[u8], [u8], _>::with_opaque_to(&record.topic, pending);
        base.partition = record.partition;
        base.key = record.key.as_deref();
        base.payload = record.value.as_deref();
        base.timestamp = timestamp;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            base.headers = Some(record.headers.iter().fold(headers, |headers, (key, value)| {
                headers.insert(Header {
                    key,
                    value: value.map(AsRef::as_ref),
                })
            }));
        }
        let single = alone.then(|| handle.client().context());
        let single = single.and_then(|context| context.single.as_ref()?.handle(context));
        let sent = match single {
            Some(single) => single.send(base),
            None => handle.send(base),
        };
        sent.map_err(|(error, record)| {
            self.in_flight.leave();
            (error, record.delivery_opaque)
        })
    }

    /// Converts an error. After a fatal error librdkafka rejects every call with the code `Fatal`, so this returns the original
    /// error instead.
    fn convert(&self, error: KafkaError) -> NetworkError {
        let fatal = error.rdkafka_error_code() == Some(Code::Fatal);
        match self.handle.as_ref().and_then(|handle| handle.client().fatal_error()) {
            Some((code, reason)) if fatal => error::from_code(PRODUCE, code)
                .with_context("fatal", format!("{reason}; create another producer"))
                .with_source(error),
            _ => error::from_kafka(PRODUCE, error),
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        let Some(handle) = self.handle.take() else { return };
        if let Some(transaction) = &self.transaction {
            Self::close_transaction(transaction, handle);
        } else {
            on_dedicated_thread("kafka-close-producer", move || drop(handle));
        }
    }
}
