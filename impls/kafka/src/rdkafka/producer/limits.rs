//! The settings of topics by which a broker refuses records. Records that it would refuse fail before they are sent, so that no
//! batch with valid records is rejected because of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use futures_util::FutureExt;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::error::context;
use networking_spi::kafka::{ConfigEntry, ConfigResource, KafkaCompression, ProducerConfig, ProducerRecord, TopicName};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use parking_lot::Mutex;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::producer::{Producer as _, ThreadedProducer};
use tokio::sync::OwnedMutexGuard;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout_at};

use super::PRODUCE;
use super::delivery::{DeliveryContext, Resends};
use crate::rdkafka::native;
use crate::record_size::batch_size;

/// How long the first write to a topic waits for its settings at most: this, or a quarter of `delivery_timeout`. Without them, only the broker checks.
const WAIT: Duration = Duration::from_millis(500);

/// Settings that are older are requested again before a record is refused by them.
const FRESH: Duration = Duration::from_secs(1);

/// The settings of a topic that does not exist are not requested for this time.
const MISSING_FOR: Duration = Duration::from_millis(100);

/// After a request without an answer, the settings are not requested for this time.
const UNKNOWN_FOR: Duration = Duration::from_secs(60);

/// How many topics are remembered. Beyond, all are forgotten.
const MAX_TOPICS: usize = 10_000;

/// The clocks of brokers may differ by this time. Only timestamps that are further beyond a limit are refused.
const CLOCK_SKEW: Duration = Duration::from_secs(60);

/// What a broker checks. `None` if it is unknown or does not apply.
#[derive(Debug, Clone, Copy, Default)]
struct TopicLimits {
    max_message_bytes: Option<usize>,
    needs_key: bool,
    max_ahead: Option<Duration>,
    max_age: Option<Duration>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    limits: Option<TopicLimits>,
    /// How long they are not requested again, if they are unknown.
    unknown_for: Duration,
    at: Instant,
}

#[derive(Default)]
struct Known {
    by_topic: HashMap<TopicName, Entry>,
    /// When a request had no answer in time. Then the cluster is slow, or does not know the request, which librdkafka does not
    /// report.
    silent: Option<Instant>,
}

/// The known limits of the topics that a producer writes to.
pub(super) struct Limits {
    known: Mutex<Known>,
    /// Held by the call that requests limits, until its records are passed to librdkafka. The lock is fair, so the calls get it
    /// in order.
    turn: Arc<tokio::sync::Mutex<()>>,
    /// The calls that have or wait for a turn.
    waiting: Arc<AtomicUsize>,
    /// The longest wait for limits.
    wait: Duration,
    /// Whether sizes can be checked: the broker checks those after compression.
    checks_sizes: bool,
    batch_size: usize,
}

impl Limits {
    pub(super) fn new(config: &ProducerConfig) -> Self {
        Self {
            known: Mutex::default(),
            turn: Arc::default(),
            waiting: Arc::default(),
            wait: WAIT.min(config.delivery_timeout / 4),
            checks_sizes: config.compression == KafkaCompression::None,
            batch_size: config.batch_size,
        }
    }

    /// Checks a record. Returns whether it must be the only one in its batch, because a full batch would be larger than the topic
    /// allows.
    pub(super) async fn check(
        &self,
        handle: &Arc<ThreadedProducer<DeliveryContext>>,
        resends: &Resends,
        record: &ProducerRecord,
        deadline: Instant,
    ) -> Result<bool> {
        let topic = &record.topic;
        let mut fresh = false;
        loop {
            let entry = match self.known(resends, topic, fresh, Instant::now()) {
                Some(entry) => entry,
                None => self.request(handle, topic, deadline).await,
            };
            let Some(limits) = entry.limits else { return Ok(false) };
            match self.violation(&limits, record) {
                // The settings may have changed.
                Some(_) if !fresh => fresh = true,
                Some(error) => return Err(error.with_context(context::TOPIC, topic.as_str())),
                None => return Ok(self.needs_own_batch(&limits)),
            }
        }
    }

    /// Whether no call has or waits for a turn, so that another one overtakes none.
    pub(super) fn is_free(&self) -> bool {
        self.waiting.load(Ordering::Acquire) == 0
    }

    /// Checks a record as [`check`](Self::check) does, if that needs no wait and finds nothing wrong. `None` otherwise.
    pub(super) fn check_now(&self, resends: &Resends, record: &ProducerRecord, now: Instant) -> Option<bool> {
        let Some(limits) = self.known(resends, &record.topic, false, now)?.limits else {
            return Some(false);
        };
        self.violation(&limits, record)
            .is_none()
            .then(|| self.needs_own_batch(&limits))
    }

    /// Whether a full batch would be larger than the topic allows.
    fn needs_own_batch(&self, limits: &TopicLimits) -> bool {
        let limit = limits.max_message_bytes.filter(|_| self.checks_sizes);
        limit.is_some_and(|limit| limit < self.batch_size)
    }

    /// The turn of a call that writes to a topic whose limits are not known, or of one behind such a call. `None` if the call
    /// need not wait. Calls get their turns in the order of this method.
    pub(super) fn turn(
        &self,
        resends: &Resends,
        records: &[ProducerRecord],
    ) -> Option<impl Future<Output = Turn> + Send + use<>> {
        let mut former = None;
        let now = Instant::now();
        let mut has_unknown = || {
            records.iter().any(|record| {
                let topic = record.topic.as_str();
                former.replace(topic) != Some(topic) && self.known(resends, topic, false, now).is_none()
            })
        };
        if self.is_free() && !has_unknown() {
            return None;
        }
        self.waiting.fetch_add(1, Ordering::AcqRel);
        let waiting = Waiting(Arc::clone(&self.waiting));
        let mut lock = Box::pin(Arc::clone(&self.turn).lock_owned());
        // The first poll takes the place in the queue.
        let free = (&mut lock).now_or_never();
        Some(async move {
            let guard = match free {
                Some(guard) => guard,
                None => lock.await,
            };
            Turn {
                _guard: guard,
                _waiting: waiting,
            }
        })
    }

    /// The known limits of a topic. With `fresh`, they must not be older than [`FRESH`].
    fn known(&self, resends: &Resends, topic: &str, fresh: bool, now: Instant) -> Option<Entry> {
        let known = self.known.lock();
        if known.silent.is_some_and(|since| now - since < UNKNOWN_FOR) {
            return Some(Entry {
                limits: None,
                unknown_for: UNKNOWN_FOR,
                at: now,
            });
        }
        let entry = known.by_topic.get(topic).copied()?;
        drop(known);
        let age = now - entry.at;
        let is_outdated = (entry.limits.is_none() && age >= entry.unknown_for)
            || (fresh && age > FRESH)
            // The broker has refused records that were within the limits.
            || resends.began_after(topic, entry.at);
        (!is_outdated).then_some(entry)
    }

    fn violation(&self, limits: &TopicLimits, record: &ProducerRecord) -> Option<NetworkError> {
        if limits.needs_key && record.key.is_none() {
            let error = NetworkError::new(
                ErrorKind::Rejected,
                PRODUCE,
                "a record of a compacted topic needs a key",
            );
            return Some(error.with_send_state(SendState::NotSent));
        }
        if let Some(limit) = limits.max_message_bytes.filter(|_| self.checks_sizes) {
            let bytes = batch_size(record.key.as_ref(), record.value.as_ref(), &record.headers);
            if bytes > limit {
                return Some(
                    NetworkError::new(
                        ErrorKind::TooLarge,
                        PRODUCE,
                        "the record is larger than the topic allows",
                    )
                    .with_context(context::BYTES, bytes.to_string())
                    .with_context(context::LIMIT, limit.to_string())
                    .with_send_state(SendState::NotSent),
                );
            }
        }
        let timestamp = record.timestamp?;
        let now: SystemTime = SystemClock::new().now();
        let (limit, apart) = match timestamp.duration_since(now) {
            Ok(ahead) => (limits.max_ahead?, ahead),
            Err(before) => (limits.max_age?, before.duration()),
        };
        (apart > limit.saturating_add(CLOCK_SKEW)).then(|| {
            NetworkError::invalid_input("timestamp", "is further from the current time than the topic allows")
                .with_operation(PRODUCE)
                .with_send_state(SendState::NotSent)
        })
    }

    /// Requests the limits of a topic and remembers them.
    async fn request(
        &self,
        handle: &Arc<ThreadedProducer<DeliveryContext>>,
        topic: &TopicName,
        deadline: Instant,
    ) -> Entry {
        let handle = Arc::clone(handle);
        let asked = Instant::now();
        let resource = ConfigResource::Topic(topic.to_string());
        let request = spawn_blocking(move || native::describe_config(handle.client(), &resource, WAIT));
        let (limits, unknown_for) = match timeout_at(deadline.min(asked + self.wait), request).await {
            Ok(Ok(Ok(settings))) => (Some(read(&settings)), Duration::ZERO),
            Ok(Ok(Err(refusal))) => {
                tracing::debug!(%topic, ?refusal, "the settings of a topic cannot be requested");
                let missing = matches!(refusal.code, Code::UnknownTopicOrPartition | Code::UnknownTopic);
                (None, if missing { MISSING_FOR } else { UNKNOWN_FOR })
            }
            _ => {
                self.known.lock().silent = Some(asked);
                (None, UNKNOWN_FOR)
            }
        };
        let entry = Entry {
            limits,
            unknown_for,
            at: asked,
        };
        let mut known = self.known.lock();
        if known.by_topic.len() >= MAX_TOPICS {
            known.by_topic.clear();
        }
        known.by_topic.insert(topic.clone(), entry);
        entry
    }
}

/// The turn of a call, until it is dropped.
pub(super) struct Turn {
    _guard: OwnedMutexGuard<()>,
    _waiting: Waiting,
}

struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn read(settings: &[ConfigEntry]) -> TopicLimits {
    let value = |name: &str| settings.iter().find(|entry| entry.name == name)?.value.as_deref();
    let number = |name: &str| value(name)?.trim().parse::<u64>().ok();
    let is = |name: &str, expected: &str| value(name).is_some_and(|found| found.trim() == expected);
    let create_time = is("message.timestamp.type", "CreateTime");
    let duration = |name| number(name).map(Duration::from_millis).filter(|_| create_time);
    let policy = value("cleanup.policy").unwrap_or_default();
    TopicLimits {
        // Otherwise the broker compresses batches again before it checks their size.
        max_message_bytes: number("max.message.bytes")
            .filter(|_| is("compression.type", "producer"))
            .map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
        needs_key: policy.split(',').any(|name| name.trim() == "compact"),
        max_ahead: duration("message.timestamp.after.max.ms"),
        max_age: duration("message.timestamp.before.max.ms"),
    }
}
