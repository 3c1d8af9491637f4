//! A producer with a bounded queue. The delivery report of a record completes it.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use networking_spi::error::context;
use networking_spi::kafka::{KafkaCapabilities, ProducerConfig, ProducerMetrics, ProducerRecord, RecordMetadata};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use parking_lot::Mutex;
use rdkafka::Message;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{BaseRecord, DeliveryResult, Producer as _, ProducerContext, ThreadedProducer};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::context::{Callbacks, client_context};
use super::control::on_dedicated_thread;
use super::error;
use super::timestamp::{from_millis, to_millis};
use crate::counters::ProducerCounters;

const PRODUCE: &str = "kafka.produce_message";

/// How long to wait before a record is passed to librdkafka again after `QueueFull`: the queue has reached librdkafka's limit of
/// bytes, or a limit that the application set. librdkafka does not notify when there is space.
const QUEUE_FULL_WAIT: Duration = Duration::from_millis(10);

/// Passing records to librdkafka does not wait, so a call yields to other tasks after this number of records.
const YIELD_EVERY: usize = 1024;

/// The minimum time between two requests for the metadata of a missing topic, and the maximum number of topics for which the
/// time of the last request is kept.
const METADATA_RETRY_INTERVAL: Duration = Duration::from_millis(100);
const MAX_MISSING_TOPICS: usize = 1000;

pub(super) struct Producer {
    /// `None` only in `drop`.
    handle: Option<Arc<ThreadedProducer<DeliveryContext>>>,
    callbacks: Callbacks,
    counters: Arc<ProducerCounters>,
    /// Records that were passed to librdkafka and have no delivery report yet.
    in_flight: Arc<AtomicU64>,
    /// The free slots in the queue.
    places: Arc<Semaphore>,
    calls: Calls,
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
    ) -> Result<Self> {
        let in_flight = Arc::new(AtomicU64::new(0));
        let context = DeliveryContext {
            callbacks: callbacks.clone(),
            counters: Arc::clone(&counters),
            in_flight: Arc::clone(&in_flight),
        };
        let handle = ThreadedProducer::from_config_and_context(settings, context)
            .map_err(|error| error::from_kafka("kafka.create_producer", error))?;
        Ok(Self {
            handle: Some(Arc::new(handle)),
            callbacks,
            counters,
            in_flight,
            places: Arc::new(Semaphore::new(config.queue_size.min(Semaphore::MAX_PERMITS))),
            calls: Calls::default(),
            missing_topics: Mutex::default(),
            delivery_timeout: config.delivery_timeout,
            request_timeout,
            max_message_size: config.max_message_size,
            capabilities,
        })
    }

    /// Sends all records, then waits for their delivery reports. The results are in the order of the records.
    pub(super) async fn produce(&self, records: Vec<ProducerRecord>) -> Vec<Result<RecordMetadata>> {
        let batch = Arc::new(Batch::new(records.len(), self.calls.begin()));
        for (index, record) in records.into_iter().enumerate() {
            if index % YIELD_EVERY == YIELD_EVERY - 1 {
                yield_now().await;
            }
            if let Err(error) = self.enqueue(&batch, index, record).await {
                self.counters.count_errors(1);
                batch.complete(index, Err(error));
            }
        }
        batch.results().await
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
        self.counters.snapshot(self.in_flight.load(Ordering::Relaxed))
    }

    async fn enqueue(&self, batch: &Arc<Batch>, index: usize, record: ProducerRecord) -> Result<()> {
        record.validate()?;
        self.capabilities.check_record(PRODUCE, &record)?;
        let timestamp = record.timestamp.map(to_millis).transpose()?;
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
        let mut pending = Box::new(Pending {
            batch: Arc::clone(batch),
            index,
            bytes,
            _place: self.place().await?,
        });
        let mut deadline = None;
        loop {
            let (error, returned) = match self.send(&record, timestamp, pending) {
                Ok(()) => return Ok(()),
                Err(rejected) => rejected,
            };
            pending = returned;
            match error.rdkafka_error_code() {
                Some(Code::QueueFull)
                    if Instant::now() < *deadline.get_or_insert_with(|| Instant::now() + self.delivery_timeout) =>
                {
                    sleep(QUEUE_FULL_WAIT).await;
                }
                Some(Code::UnknownTopic | Code::UnknownPartition) if self.may_refresh_metadata(&record.topic) => {
                    self.refresh_metadata(record.topic.clone()).await;
                }
                _ => {
                    let error = self.callbacks.explain(self.convert(error));
                    return Err(error
                        .with_context(context::TOPIC, record.topic)
                        .with_send_state(SendState::NotSent));
                }
            }
        }
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
    async fn refresh_metadata(&self, topic: String) {
        let Some(handle) = self.handle.clone() else { return };
        let limit = self.request_timeout.min(self.delivery_timeout);
        let request = spawn_blocking(move || handle.client().fetch_metadata(Some(&topic), limit).map(drop));
        // After an error the topic is still unknown, and the record fails with that error.
        if let Ok(Err(error)) = request.await {
            tracing::debug!(%error, "the metadata of a missing topic cannot be requested");
        }
    }

    /// Waits for a slot in the queue.
    async fn place(&self) -> Result<OwnedSemaphorePermit> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let deadline = Instant::now() + self.delivery_timeout;
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

    fn send(
        &self,
        record: &ProducerRecord,
        timestamp: Option<i64>,
        pending: Box<Pending>,
    ) -> Result<(), (KafkaError, Box<Pending>)> {
        let Some(handle) = &self.handle else {
            return Err((KafkaError::Canceled, pending));
        };
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
        // Counted before `send`, because the delivery report may arrive before it returns.
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        handle.send(base).map_err(|(error, record)| {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
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
        if let Some(handle) = self.handle.take() {
            on_dedicated_thread("kafka-close-producer", move || drop(handle));
        }
    }
}

/// Completes records. librdkafka calls it on its polling thread.
pub(super) struct DeliveryContext {
    callbacks: Callbacks,
    counters: Arc<ProducerCounters>,
    in_flight: Arc<AtomicU64>,
}

client_context!(DeliveryContext);

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, report: &DeliveryResult<'_>, pending: Box<Pending>) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        let Pending {
            batch,
            index,
            bytes,
            _place,
        } = *pending;
        let result = match report {
            Ok(message) => {
                self.callbacks.clear();
                self.counters.count_acknowledged(1, bytes as u64);
                let offset = Some(message.offset()).filter(|offset| *offset >= 0);
                Ok(RecordMetadata::new(
                    message.topic(),
                    message.partition(),
                    offset,
                    from_millis(message.timestamp().to_millis()),
                ))
            }
            Err((error, message)) => {
                self.counters.count_errors(1);
                Err(self
                    .callbacks
                    .explain(error::from_kafka(PRODUCE, error.clone()))
                    .with_context(context::TOPIC, message.topic()))
            }
        };
        batch.complete(index, result);
    }
}

/// Passed to librdkafka with a record and returned with its delivery report.
pub(super) struct Pending {
    batch: Arc<Batch>,
    index: usize,
    bytes: usize,
    _place: OwnedSemaphorePermit,
}

/// The results of one call.
struct Batch {
    results: Mutex<Vec<Option<Result<RecordMetadata>>>>,
    incomplete: AtomicUsize,
    all_complete: Notify,
    /// Ended when the last record is completed, or when the call was dropped and librdkafka has reported on all sent records.
    call: Mutex<Option<Call>>,
}

impl Batch {
    fn new(size: usize, call: Call) -> Self {
        Self {
            results: Mutex::new((0..size).map(|_| None).collect()),
            incomplete: AtomicUsize::new(size),
            all_complete: Notify::new(),
            call: Mutex::new(Some(call)),
        }
    }

    fn complete(&self, index: usize, result: Result<RecordMetadata>) {
        self.results.lock()[index] = Some(result);
        if self.incomplete.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.call.lock().take();
            self.all_complete.notify_one();
        }
    }

    async fn results(&self) -> Vec<Result<RecordMetadata>> {
        while self.incomplete.load(Ordering::Acquire) > 0 {
            self.all_complete.notified().await;
        }
        let no_result = || {
            Err(NetworkError::new(
                ErrorKind::Internal,
                PRODUCE,
                "the record has no result",
            ))
        };
        mem::take(&mut *self.results.lock())
            .into_iter()
            .map(|result| result.unwrap_or_else(no_result))
            .collect()
    }
}

/// The calls in progress. A flush waits only for the calls that started before it.
#[derive(Default)]
struct Calls(Mutex<Epochs>);

#[derive(Default)]
struct Epochs {
    current: Arc<Epoch>,
    /// Epochs that were ended by earlier flushes and have calls in progress.
    older: Vec<Arc<Epoch>>,
}

/// The calls between two flushes.
#[derive(Default)]
struct Epoch {
    open_calls: AtomicUsize,
    ended: Notify,
}

struct Call(Arc<Epoch>);

impl Calls {
    fn begin(&self) -> Call {
        let epoch = Arc::clone(&self.0.lock().current);
        epoch.open_calls.fetch_add(1, Ordering::AcqRel);
        Call(epoch)
    }

    async fn drained(&self) {
        let epochs = {
            let mut epochs = self.0.lock();
            let current = mem::take(&mut epochs.current);
            epochs.older.push(current);
            epochs
                .older
                .retain(|epoch| epoch.open_calls.load(Ordering::Acquire) > 0);
            epochs.older.clone()
        };
        for epoch in epochs {
            loop {
                let ended = epoch.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if epoch.open_calls.load(Ordering::Acquire) == 0 {
                    break;
                }
                ended.await;
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.0.open_calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flush_waits_for_earlier_calls_and_not_for_later_ones() {
        let calls = Calls::default();
        let before = calls.begin();
        let flush = calls.drained();
        tokio::pin!(flush);
        assert!(
            timeout(Duration::from_secs(1), &mut flush).await.is_err(),
            "a call is open"
        );
        let after = calls.begin();
        drop(before);
        timeout(Duration::from_secs(1), flush)
            .await
            .expect("only a later call is open");
        let second = calls.drained();
        tokio::pin!(second);
        assert!(
            timeout(Duration::from_secs(1), &mut second).await.is_err(),
            "that call started before this flush"
        );
        drop(after);
        timeout(Duration::from_secs(1), second)
            .await
            .expect("all calls have ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_flush_waits_for_the_calls_that_the_first_timed_out_on() {
        let calls = Calls::default();
        let slow = calls.begin();
        assert!(timeout(Duration::from_secs(1), calls.drained()).await.is_err());
        assert!(
            timeout(Duration::from_secs(1), calls.drained()).await.is_err(),
            "the call is still open"
        );
        drop(slow);
        timeout(Duration::from_secs(1), calls.drained())
            .await
            .expect("the call has ended");
    }
}
