//! A producer: a bounded number of records on their way, each answered by its delivery report.

use std::collections::HashMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use networking_spi::kafka::{ProducerConfig, ProducerMetrics, ProducerRecord, RecordMetadata};
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
use super::control::on_own_thread;
use super::error;
use super::metrics::ProducerCounters;

const PRODUCE: &str = "kafka.produce_message";

/// librdkafka's own limits (of bytes, or set by hand) cannot be waited for; they are asked again in this rhythm.
const QUEUE_FULL_PAUSE: Duration = Duration::from_millis(10);

/// Handing a record to librdkafka does not wait; after so many, other tasks get their turn.
const YIELD_EVERY: usize = 1024;

/// How often a missing topic is asked for again, and for how many topics this is remembered.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
const LOOKED_TOPICS: usize = 1000;

pub(super) struct Producer {
    /// `None` only while it is dropped.
    handle: Option<Arc<ThreadedProducer<DeliveryContext>>>,
    callbacks: Callbacks,
    counters: Arc<ProducerCounters>,
    places: Arc<Semaphore>,
    calls: Calls,
    /// When the producer was last told to look for a topic again.
    looked: Mutex<HashMap<String, Instant>>,
    delivery_timeout: Duration,
    request_timeout: Duration,
    max_message_size: usize,
}

impl Producer {
    /// Blocks for as long as librdkafka takes to start.
    pub(super) fn start(
        settings: &rdkafka::ClientConfig,
        config: &ProducerConfig,
        callbacks: Callbacks,
        counters: Arc<ProducerCounters>,
        request_timeout: Duration,
    ) -> Result<Self> {
        let context = DeliveryContext {
            callbacks: callbacks.clone(),
            counters: Arc::clone(&counters),
        };
        let handle = ThreadedProducer::from_config_and_context(settings, context)
            .map_err(|error| error::from_kafka("kafka.create_producer", error))?;
        Ok(Self {
            handle: Some(Arc::new(handle)),
            callbacks,
            counters,
            places: Arc::new(Semaphore::new(config.queue_size.min(Semaphore::MAX_PERMITS))),
            calls: Calls::default(),
            looked: Mutex::default(),
            delivery_timeout: config.delivery_timeout,
            request_timeout,
            max_message_size: config.max_message_size,
        })
    }

    /// Sends all, then waits for all. The results are in the order of the records.
    pub(super) async fn produce(&self, records: Vec<ProducerRecord>) -> Vec<Result<RecordMetadata>> {
        let batch = Arc::new(Batch::new(records.len(), self.calls.begin()));
        for (index, record) in records.into_iter().enumerate() {
            if index % YIELD_EVERY == YIELD_EVERY - 1 {
                yield_now().await;
            }
            if let Err(error) = self.enqueue(&batch, index, record).await {
                self.counters.count_error();
                batch.settle(index, Err(error));
            }
        }
        batch.results().await
    }

    /// Waits until every call that began before has its answers.
    pub(super) async fn flush(&self, limit: Duration) -> Result<()> {
        timeout(limit, self.calls.drained()).await.map_err(|_| {
            NetworkError::timeout("kafka.flush", Phase::Total, limit).with_send_state(SendState::MaybeSent)
        })
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        self.delivery_timeout
    }

    pub(super) fn metrics(&self) -> ProducerMetrics {
        self.counters.snapshot()
    }

    async fn enqueue(&self, batch: &Arc<Batch>, index: usize, record: ProducerRecord) -> Result<()> {
        record.validate()?;
        let timestamp = record.timestamp.map(to_millis).transpose()?;
        let bytes = record.size();
        if bytes > self.max_message_size {
            return Err(NetworkError::new(
                ErrorKind::TooLarge,
                PRODUCE,
                "the record is larger than max_message_size",
            )
            .with_context("bytes", bytes.to_string())
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
                Err(refused) => refused,
            };
            pending = returned;
            match error.rdkafka_error_code() {
                Some(Code::QueueFull)
                    if Instant::now() < *deadline.get_or_insert_with(|| Instant::now() + self.delivery_timeout) =>
                {
                    sleep(QUEUE_FULL_PAUSE).await;
                }
                Some(Code::UnknownTopic | Code::UnknownPartition) if self.may_look_again(&record.topic) => {
                    self.look_again(record.topic.clone()).await;
                }
                _ => {
                    let error = self.callbacks.explain(self.translate(error));
                    return Err(error
                        .with_context("topic", record.topic)
                        .with_send_state(SendState::NotSent));
                }
            }
        }
    }

    /// Whether it is time to ask again for a topic or partition that was missing.
    fn may_look_again(&self, topic: &str) -> bool {
        let now = Instant::now();
        let mut looked = self.looked.lock();
        if looked.get(topic).is_some_and(|last| now - *last < LOOK_AGAIN) {
            return false;
        }
        if looked.len() >= LOOKED_TOPICS {
            looked.retain(|_, last| now - *last < LOOK_AGAIN);
        }
        let room = looked.len() < LOOKED_TOPICS;
        if room {
            looked.insert(topic.to_owned(), now);
        }
        room
    }

    /// librdkafka remembers for minutes that a topic does not exist; fresh metadata makes it forget.
    async fn look_again(&self, topic: String) {
        let Some(handle) = self.handle.clone() else { return };
        let limit = self.request_timeout.min(self.delivery_timeout);
        let look = spawn_blocking(move || handle.client().fetch_metadata(Some(&topic), limit).map(drop));
        // Without an answer the topic stays unknown, and the record fails for that.
        if let Ok(Err(error)) = look.await {
            tracing::debug!(%error, "no fresh metadata");
        }
    }

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
                "the queue stayed full for delivery_timeout",
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
        // Counted before, because the report may come before `send` returns.
        self.counters.record_sent();
        handle.send(base).map_err(|(error, record)| {
            self.counters.record_answered();
            (error, record.delivery_opaque)
        })
    }

    /// After a fatal error librdkafka refuses everything with the same code; the first error says why.
    fn translate(&self, error: KafkaError) -> NetworkError {
        let fatal = error.rdkafka_error_code() == Some(Code::Fatal);
        match self.handle.as_ref().and_then(|handle| handle.client().fatal_error()) {
            Some((code, reason)) if fatal => error::from_code(PRODUCE, code)
                .with_context("fatal", format!("{reason}; make another producer"))
                .with_source(error),
            _ => error::from_kafka(PRODUCE, error),
        }
    }
}

impl Drop for Producer {
    fn drop(&mut self) {
        if let Some(handle) = self.handle.take() {
            on_own_thread("kafka-close-producer", move || drop(handle));
        }
    }
}

/// Answers records as librdkafka reports on them, on librdkafka's polling thread.
pub(super) struct DeliveryContext {
    callbacks: Callbacks,
    counters: Arc<ProducerCounters>,
}

client_context!(DeliveryContext);

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, report: &DeliveryResult<'_>, pending: Box<Pending>) {
        self.counters.record_answered();
        let Pending {
            batch,
            index,
            bytes,
            _place,
        } = *pending;
        let result = match report {
            Ok(message) => {
                self.callbacks.clear();
                self.counters.count_acknowledged(bytes as u64);
                let offset = Some(message.offset()).filter(|offset| *offset >= 0);
                Ok(RecordMetadata::new(
                    message.topic(),
                    message.partition(),
                    offset,
                    from_millis(message.timestamp().to_millis()),
                ))
            }
            Err((error, message)) => {
                self.counters.count_error();
                Err(self
                    .callbacks
                    .explain(error::from_kafka(PRODUCE, error.clone()))
                    .with_context("topic", message.topic()))
            }
        };
        batch.settle(index, result);
    }
}

/// What travels with a record through librdkafka and comes back with its report.
pub(super) struct Pending {
    batch: Arc<Batch>,
    index: usize,
    bytes: usize,
    _place: OwnedSemaphorePermit,
}

/// The results of one call.
struct Batch {
    results: Mutex<Vec<Option<Result<RecordMetadata>>>>,
    missing: AtomicUsize,
    complete: Notify,
    /// Over when the last record is answered, or when nobody is left who could send the rest.
    call: Mutex<Option<Call>>,
}

impl Batch {
    fn new(size: usize, call: Call) -> Self {
        Self {
            results: Mutex::new((0..size).map(|_| None).collect()),
            missing: AtomicUsize::new(size),
            complete: Notify::new(),
            call: Mutex::new(Some(call)),
        }
    }

    fn settle(&self, index: usize, result: Result<RecordMetadata>) {
        self.results.lock()[index] = Some(result);
        if self.missing.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.call.lock().take();
            self.complete.notify_one();
        }
    }

    async fn results(&self) -> Vec<Result<RecordMetadata>> {
        while self.missing.load(Ordering::Acquire) > 0 {
            self.complete.notified().await;
        }
        let unanswered = || {
            Err(NetworkError::new(
                ErrorKind::Internal,
                PRODUCE,
                "the record has no answer",
            ))
        };
        mem::take(&mut *self.results.lock())
            .into_iter()
            .map(|result| result.unwrap_or_else(unanswered))
            .collect()
    }
}

/// The calls that are not over, so that a flush waits for those before it and for none after it.
#[derive(Default)]
struct Calls(Mutex<Epochs>);

#[derive(Default)]
struct Epochs {
    current: Arc<Epoch>,
    /// Epochs that earlier flushes ended and that still have calls.
    older: Vec<Arc<Epoch>>,
}

#[derive(Default)]
struct Epoch {
    open: AtomicUsize,
    over: Notify,
}

struct Call(Arc<Epoch>);

impl Calls {
    fn begin(&self) -> Call {
        let epoch = Arc::clone(&self.0.lock().current);
        epoch.open.fetch_add(1, Ordering::AcqRel);
        Call(epoch)
    }

    async fn drained(&self) {
        let epochs = {
            let mut epochs = self.0.lock();
            let ended = mem::take(&mut epochs.current);
            epochs.older.push(ended);
            epochs.older.retain(|epoch| epoch.open.load(Ordering::Acquire) > 0);
            epochs.older.clone()
        };
        for epoch in epochs {
            loop {
                let over = epoch.over.notified();
                tokio::pin!(over);
                over.as_mut().enable();
                if epoch.open.load(Ordering::Acquire) == 0 {
                    break;
                }
                over.await;
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.0.open.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.over.notify_waiters();
        }
    }
}

/// Milliseconds since 1970. librdkafka reads zero as "now", so zero cannot be kept.
fn to_millis(timestamp: SystemTime) -> Result<i64> {
    let millis = timestamp
        .duration_since(UNIX_EPOCH)
        .ok()
        .and_then(|since| i64::try_from(since.as_millis()).ok());
    millis
        .filter(|millis| *millis > 0)
        .ok_or_else(|| NetworkError::invalid_input("timestamp", "must be after 1970-01-01T00:00:00Z and fit 64 bits"))
}

pub(super) fn from_millis(millis: Option<i64>) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(u64::try_from(millis?).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flush_waits_for_calls_before_it_and_for_none_after_it() {
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
            "now that call counts"
        );
        drop(after);
        timeout(Duration::from_secs(1), second).await.expect("all are over");
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_flush_waits_for_what_the_first_gave_up_on() {
        let calls = Calls::default();
        let slow = calls.begin();
        assert!(timeout(Duration::from_secs(1), calls.drained()).await.is_err());
        assert!(
            timeout(Duration::from_secs(1), calls.drained()).await.is_err(),
            "the call is still open"
        );
        drop(slow);
        timeout(Duration::from_secs(1), calls.drained()).await.expect("over");
    }

    #[test]
    fn timestamps_are_kept_to_the_millisecond_or_refused() {
        let moment = UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
        assert_eq!(from_millis(Some(to_millis(moment).expect("in range"))), Some(moment));
        assert_eq!(to_millis(UNIX_EPOCH).expect_err("means now").field(), Some("timestamp"));
        assert_eq!(
            to_millis(UNIX_EPOCH - Duration::from_secs(1))
                .expect_err("negative")
                .field(),
            Some("timestamp")
        );
        assert_eq!(from_millis(Some(-1)), None);
    }
}
