//! Delivery reports. Also resends the valid records of a batch that the broker rejected.
//!
//! A broker appends all records of a batch or none. If one record is invalid, or the batch is larger than the topic allows, each of
//! its records gets an error. The records are then sent again, one per batch, so that only invalid ones fail.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use networking_spi::error::context;
use networking_spi::kafka::{ProducerRecord, RecordMetadata, TopicName};
use networking_spi::{NetworkError, Phase, Result, SendState};
use parking_lot::Mutex;
use rdkafka::Message;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use tokio::sync::{Notify, OwnedSemaphorePermit};
use tokio::time::{Instant, timeout_at};

use super::PRODUCE;
use super::batch::Batch;
use crate::counters::ProducerCounters;
use crate::rdkafka::context::{Callbacks, client_context};
use crate::rdkafka::error;
use crate::rdkafka::timestamp::from_millis;

/// Passed to librdkafka with a record and returned with its delivery report.
pub(in crate::rdkafka) struct Pending {
    pub(super) batch: Arc<Batch>,
    pub(super) index: usize,
    pub(super) topic: TopicName,
    pub(super) bytes: usize,
    /// The timestamp that the caller has set, in milliseconds. A failed message of librdkafka has none.
    pub(super) timestamp: Option<i64>,
    pub(super) deadline: Instant,
    /// The number of records that were sent before, if no other record was in flight then.
    pub(super) first: Option<u64>,
    /// Whether it was rejected with its batch and is sent again.
    pub(super) resent: bool,
    pub(super) _place: OwnedSemaphorePermit,
}

impl Pending {
    pub(super) fn new(
        batch: &Arc<Batch>,
        index: usize,
        record: &ProducerRecord,
        timestamp: Option<i64>,
        deadline: Instant,
        place: OwnedSemaphorePermit,
    ) -> Self {
        Self {
            batch: Arc::clone(batch),
            index,
            topic: record.topic.clone(),
            bytes: record.size(),
            timestamp,
            deadline,
            first: None,
            resent: false,
            _place: place,
        }
    }
}

/// The records of a producer that are in flight.
#[derive(Default)]
pub(super) struct InFlight {
    /// Records that were passed to librdkafka and have no delivery report yet.
    count: AtomicU64,
    sent: AtomicU64,
}

impl InFlight {
    /// Counts a record that is sent now. Returns what [`Pending::first`] holds.
    pub(super) fn enter(&self) -> Option<u64> {
        let others = self.count.fetch_add(1, Ordering::AcqRel);
        let before = self.sent.fetch_add(1, Ordering::AcqRel);
        (others == 0).then_some(before)
    }

    /// A record has its result, or was not sent.
    pub(super) fn leave(&self) {
        self.count.fetch_sub(1, Ordering::AcqRel);
    }

    pub(super) fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether the record was alone in its batch: no other was in flight when it was sent, and none has been sent since.
    fn was_alone(&self, first: Option<u64>) -> bool {
        first.is_some_and(|before| self.sent.load(Ordering::Acquire) == before + 1)
    }
}

/// The records that are sent again, by topic. Later records of these topics wait, so that they do not overtake.
#[derive(Default)]
pub(super) struct Resends {
    total: AtomicUsize,
    by_topic: Mutex<HashMap<String, usize>>,
    ended: Notify,
    /// Whether a record was ever sent again.
    any: AtomicBool,
    /// When a record of a topic was last sent again.
    last: Mutex<HashMap<String, Instant>>,
}

impl Resends {
    /// Whether records of the topic were sent again after this time.
    pub(super) fn began_after(&self, topic: &str, time: Instant) -> bool {
        if !self.any.load(Ordering::Acquire) {
            return false;
        }
        self.last.lock().get(topic).is_some_and(|last| *last > time)
    }

    /// Whether no record is sent again.
    pub(super) fn are_done(&self) -> bool {
        self.total.load(Ordering::Acquire) == 0
    }

    /// Waits until no record of the topic is sent again. Returns whether that was before the deadline.
    pub(super) async fn wait(&self, topic: &str, deadline: Instant) -> bool {
        if self.are_done() {
            return true;
        }
        loop {
            let ended = self.ended.notified();
            tokio::pin!(ended);
            ended.as_mut().enable();
            if !self.by_topic.lock().contains_key(topic) {
                return true;
            }
            if timeout_at(deadline, ended).await.is_err() {
                return false;
            }
        }
    }

    fn begin(&self, topic: &str) {
        self.any.store(true, Ordering::Release);
        {
            let mut last = self.last.lock();
            match last.get_mut(topic) {
                Some(last) => *last = Instant::now(),
                None => drop(last.insert(topic.to_owned(), Instant::now())),
            }
        }
        self.total.fetch_add(1, Ordering::AcqRel);
        let mut topics = self.by_topic.lock();
        match topics.get_mut(topic) {
            Some(records) => *records += 1,
            None => drop(topics.insert(topic.to_owned(), 1)),
        }
    }

    fn end(&self, topic: &str) {
        let mut topics = self.by_topic.lock();
        if let Some(records) = topics.get_mut(topic) {
            *records -= 1;
            if *records == 0 {
                topics.remove(topic);
                self.ended.notify_waiters();
            }
        }
        drop(topics);
        self.total.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Completes records. librdkafka calls it on its polling thread.
#[derive(Clone)]
pub(in crate::rdkafka) struct DeliveryContext {
    pub(super) callbacks: Callbacks,
    pub(super) counters: Arc<ProducerCounters>,
    pub(super) in_flight: Arc<InFlight>,
    pub(super) resends: Arc<Resends>,
    /// `None` for the producer that sends records again.
    pub(super) single: Option<Arc<SingleRecords>>,
}

client_context!(DeliveryContext);

impl ProducerContext for DeliveryContext {
    type DeliveryOpaque = Box<Pending>;

    fn delivery(&self, report: &DeliveryResult<'_>, mut pending: Box<Pending>) {
        let result = match report {
            Ok(message) => Ok(written(message, &pending.topic)),
            Err((error, message)) => {
                if let Some(single) = self.resends_after(error, &pending) {
                    self.resends.begin(message.topic());
                    match single.send(self, message, pending) {
                        Ok(()) => return,
                        Err(mut returned) => {
                            returned.resent = false;
                            self.resends.end(message.topic());
                            pending = returned;
                        }
                    }
                }
                Err(self
                    .callbacks
                    .explain(error::from_kafka(PRODUCE, error.clone()))
                    .with_context(context::TOPIC, message.topic()))
            }
        };
        let resent = pending.resent;
        self.complete(*pending, result);
        if resent {
            let (Ok(message) | Err((_, message))) = report;
            self.resends.end(message.topic());
        }
    }
}

impl DeliveryContext {
    fn complete(&self, pending: Pending, result: Result<RecordMetadata>) {
        self.in_flight.leave();
        let Pending {
            batch,
            index,
            bytes,
            _place,
            ..
        } = pending;
        let acknowledged = result.is_ok();
        if acknowledged {
            self.callbacks.clear();
        }
        batch.complete(index, result, || {
            if acknowledged {
                self.counters.count_acknowledged(1, bytes as u64);
            } else {
                self.counters.count_errors(1);
            }
        });
    }

    /// The producer that sends the record again, if the error may be the fault of another record in its batch.
    fn resends_after(&self, error: &KafkaError, pending: &Pending) -> Option<&Arc<SingleRecords>> {
        let single = self.single.as_ref()?;
        let about_batch = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::MessageSizeTooLarge
                    | Code::MessageBatchTooLarge
                    | Code::InvalidMessageSize
                    | Code::InvalidRecord
                    | Code::InvalidDifferentRecord
                    | Code::InvalidTimestamp
                    | Code::PolicyViolation
            )
        );
        (about_batch && !self.in_flight.was_alone(pending.first) && Instant::now() < pending.deadline).then_some(single)
    }
}

fn written(message: &BorrowedMessage<'_>, topic: &TopicName) -> RecordMetadata {
    let offset = Some(message.offset()).filter(|offset| *offset >= 0);
    let timestamp: Option<SystemTime> = from_millis(message.timestamp().to_millis());
    RecordMetadata::new(topic, message.partition(), offset, timestamp)
}

/// A second producer of librdkafka, which sends each record in a batch of its own, in order. Started on first use.
pub(super) struct SingleRecords {
    settings: rdkafka::ClientConfig,
    handle: OnceLock<Option<ThreadedProducer<DeliveryContext>>>,
}

impl SingleRecords {
    /// `settings` are those of the first producer.
    pub(super) fn new(settings: &rdkafka::ClientConfig) -> Self {
        let mut settings = settings.clone();
        settings
            .set("batch.num.messages", "1")
            .set("queue.buffering.max.ms", "0");
        // Names of the same setting.
        settings.remove("linger.ms");
        Self {
            settings,
            handle: OnceLock::new(),
        }
    }

    /// Sends a record that was rejected with its batch, to the same partition. Returns `pending` if it cannot be sent.
    fn send(
        &self,
        context: &DeliveryContext,
        message: &BorrowedMessage<'_>,
        mut pending: Box<Pending>,
    ) -> Result<(), Box<Pending>> {
        let Some(handle) = self.handle(context) else {
            return Err(pending);
        };
        pending.resent = true;
        let timestamp = pending.timestamp;
        let mut record = BaseRecord::<[u8], [u8], _>::with_opaque_to(message.topic(), pending);
        record.partition = Some(message.partition());
        record.key = message.key();
        record.payload = message.payload();
        record.timestamp = timestamp;
        record.headers = message.headers().map(BorrowedHeaders::detach);
        handle.send(record).map_err(|(error, record)| {
            tracing::warn!(%error, "cannot send a record again");
            record.delivery_opaque
        })
    }

    /// The producer, which is started on first use. `None` if that failed.
    pub(super) fn handle(&self, context: &DeliveryContext) -> Option<&ThreadedProducer<DeliveryContext>> {
        let start = || {
            let context = DeliveryContext {
                single: None,
                ..context.clone()
            };
            ThreadedProducer::from_config_and_context(&self.settings, context)
                .inspect_err(|error| tracing::warn!(%error, "cannot start the producer of single records"))
                .ok()
        };
        self.handle.get_or_init(start).as_ref()
    }
}

/// The error for a record that has no result at the deadline of its call.
pub(super) fn timed_out(callbacks: &Callbacks, limit: Duration) -> NetworkError {
    callbacks.explain(NetworkError::timeout(PRODUCE, Phase::Total, limit).with_send_state(SendState::MaybeSent))
}
