//! A consumer: a member of a group, polled only while the application consumes.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerMetrics, KafkaHeaders, KafkaMessage, PartitionOffset, TopicPartition,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, MessageStream, Rebalance, StreamConsumer,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::context::{Callbacks, client_context};
use super::control::{interrupted, on_own_thread};
use super::error;
use super::membership::Membership;
use super::metrics::ClientCounters;
use super::producer::from_millis;

const CONSUME: &str = "kafka.consume_messages";
const COMMIT: &str = "kafka.commit_offsets";

/// Looks into the queue before it counts as empty: an event of the group hides what is behind it for one look.
const LOOKS: usize = 4;

pub(super) struct Consumer {
    /// `None` only while it is dropped.
    stream: Option<Arc<StreamConsumer<GroupContext>>>,
    callbacks: Callbacks,
    membership: Arc<Mutex<Membership>>,
    counters: ConsumerCounters,
    /// One call consumes at a time, so that messages of a partition are not torn apart.
    turn: AsyncMutex<()>,
    /// One commit at a time: those behind a coordinator that does not answer wait here, not on threads.
    commits: Arc<AsyncMutex<()>>,
    closing: watch::Sender<bool>,
    /// An error that came after messages were taken, for the next call, or one that stays.
    failure: Mutex<Option<Failure>>,
    request_timeout: Duration,
    gone: Option<oneshot::Sender<()>>,
}

struct Failure {
    error: KafkaError,
    lasting: bool,
}

struct ConsumerCounters {
    client: Arc<ClientCounters>,
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Consumer {
    /// Joins the group of `settings`. Blocks for as long as librdkafka takes to start. The receiver hears when the consumer
    /// has left the group.
    pub(super) fn start(
        settings: &rdkafka::ClientConfig,
        topics: &[String],
        callbacks: Callbacks,
        client: Arc<ClientCounters>,
        request_timeout: Duration,
    ) -> Result<(Self, oneshot::Receiver<()>)> {
        const CREATE: &str = "kafka.create_consumer";
        let membership = Arc::new(Mutex::new(Membership::default()));
        let context = GroupContext {
            callbacks: callbacks.clone(),
            membership: Arc::clone(&membership),
            client: Arc::clone(&client),
        };
        let stream = StreamConsumer::from_config_and_context(settings, context)
            .map_err(|error| error::from_kafka(CREATE, error))?;
        let names = topics.iter().map(String::as_str).collect::<Vec<_>>();
        stream
            .subscribe(&names)
            .map_err(|error| error::from_kafka(CREATE, error))?;
        let (gone, when_gone) = oneshot::channel();
        let consumer = Self {
            stream: Some(Arc::new(stream)),
            callbacks,
            membership,
            counters: ConsumerCounters {
                client,
                messages: AtomicU64::new(0),
                bytes: AtomicU64::new(0),
            },
            turn: AsyncMutex::new(()),
            commits: Arc::new(AsyncMutex::new(())),
            closing: watch::Sender::new(false),
            failure: Mutex::new(None),
            request_timeout,
            gone: Some(gone),
        };
        Ok((consumer, when_gone))
    }

    pub(super) async fn consume(&self, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        let result = self.next_messages(options).await;
        match &result {
            Ok(messages) => self.counters.count(messages),
            Err(_) => self.counters.client.count_consume_error(),
        }
        result
    }

    pub(super) async fn commit(&self, offsets: CommitOffsets) -> Result<()> {
        let result = match offsets {
            CommitOffsets::Consumed => self.commit_consumed().await,
            CommitOffsets::Exact(offsets) => self.commit_exact(offsets).await,
            _ => Err(NetworkError::unsupported(COMMIT, "commit_offsets")),
        };
        self.counters.client.count_commit(result.is_ok());
        result
    }

    /// Ends calls that wait for messages.
    pub(super) fn stop(&self) {
        self.closing.send_replace(true);
    }

    pub(super) fn metrics(&self) -> ConsumerMetrics {
        let mut metrics = ConsumerMetrics::default();
        metrics.messages = self.counters.messages.load(Ordering::Relaxed);
        metrics.bytes = self.counters.bytes.load(Ordering::Relaxed);
        metrics.assigned_partitions = self.membership.lock().assigned.len() as u64;
        metrics
    }

    async fn next_messages(&self, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        options.validate().map_err(|error| error.with_operation(CONSUME))?;
        let consumer = self.stream(CONSUME)?;
        let deadline = deadline(options.max_wait);
        let Ok(_turn) = timeout_at(deadline, self.turn.lock()).await else {
            return Ok(Vec::new());
        };
        self.raise_failure()?;
        let mut stream = consumer.stream();
        let Some(first) = self.first(&mut stream, deadline).await? else {
            return Ok(Vec::new());
        };
        // From here on nothing waits, so a cancelled call never loses what it has taken.
        let mut messages = Vec::with_capacity(options.max_messages.min(1024));
        messages.push(self.take(&first));
        drop(first);
        while messages.len() < options.max_messages {
            match ready(&mut stream) {
                Some(Ok(message)) => messages.push(self.take(&message)),
                Some(Err(error)) if is_passing(&error) => {}
                Some(Err(error)) => {
                    self.remember(error);
                    break;
                }
                None => break,
            }
        }
        self.callbacks.clear();
        Ok(messages)
    }

    /// The next message, `None` when the deadline passes without trouble.
    async fn first<'m>(
        &self,
        stream: &mut MessageStream<'m, GroupContext>,
        deadline: Instant,
    ) -> Result<Option<BorrowedMessage<'m>>> {
        let mut closing = self.closing.subscribe();
        let mut trouble = None;
        loop {
            let next = async {
                match ready(stream) {
                    Some(next) => Some(next),
                    None => stream.next().await,
                }
            };
            let next = tokio::select! {
                biased;
                next = timeout_at(deadline, next) => next,
                _ = closing.wait_for(|closing| *closing) => {
                    return Err(NetworkError::closed(CONSUME, "the consumer"));
                }
            };
            match next {
                Ok(Some(Ok(message))) => return Ok(Some(message)),
                Ok(Some(Err(error))) if is_passing(&error) => trouble = Some(error),
                Ok(Some(Err(error))) => {
                    self.remember(error);
                    self.raise_failure()?;
                }
                Ok(None) => return Err(NetworkError::closed(CONSUME, "the consumer")),
                Err(_elapsed) => break,
            }
        }
        match trouble {
            Some(error) if is_outage(&error) => Err(self.translate(CONSUME, error)),
            _ => Ok(None),
        }
    }

    fn take(&self, message: &BorrowedMessage<'_>) -> KafkaMessage {
        self.membership
            .lock()
            .handed_out(message.topic(), message.partition(), message.offset() + 1);
        copy(message)
    }

    fn remember(&self, error: KafkaError) {
        let lasting = matches!(error, KafkaError::MessageConsumptionFatal(_));
        *self.failure.lock() = Some(Failure { error, lasting });
    }

    fn raise_failure(&self) -> Result<()> {
        let mut failure = self.failure.lock();
        match failure.take() {
            Some(Failure { error, lasting }) => {
                if lasting {
                    *failure = Some(Failure {
                        error: error.clone(),
                        lasting,
                    });
                }
                Err(self.translate(CONSUME, error))
            }
            None => Ok(()),
        }
    }

    fn translate(&self, operation: &'static str, error: KafkaError) -> NetworkError {
        match &self.stream {
            Some(stream) => self.callbacks.explain(from_member(operation, stream, error)),
            None => error::from_kafka(operation, error),
        }
    }

    async fn commit_consumed(&self) -> Result<()> {
        let offsets = self.membership.lock().uncommitted();
        if offsets.is_empty() {
            Ok(())
        } else {
            self.send_commit(offsets).await
        }
    }

    async fn commit_exact(&self, offsets: Vec<PartitionOffset>) -> Result<()> {
        if offsets.iter().any(|offset| offset.offset < 0) {
            return Err(NetworkError::invalid_input("offset", "must not be negative").with_operation(COMMIT));
        }
        let offsets = offsets
            .into_iter()
            .map(|PartitionOffset { partition, offset }| (partition, offset));
        let offsets = offsets.collect::<BTreeMap<_, _>>();
        let foreign = {
            let membership = self.membership.lock();
            offsets
                .keys()
                .filter(|partition| !membership.assigned.contains(*partition))
                .cloned()
                .collect::<BTreeSet<_>>()
        };
        if !foreign.is_empty() {
            return Err(not_assigned(&foreign));
        }
        if offsets.is_empty() {
            Ok(())
        } else {
            self.send_commit(offsets).await
        }
    }

    async fn send_commit(&self, offsets: BTreeMap<TopicPartition, i64>) -> Result<()> {
        let consumer = Arc::clone(self.stream(COMMIT)?);
        let limit = self.request_timeout;
        let turn = timeout(limit, Arc::clone(&self.commits).lock_owned())
            .await
            .map_err(|_| NetworkError::timeout(COMMIT, Phase::Queue, limit).with_send_state(SendState::NotSent))?;
        let membership = Arc::clone(&self.membership);
        let work = spawn_blocking(move || {
            let _turn = turn;
            let mut list = TopicPartitionList::with_capacity(offsets.len());
            for (partition, offset) in &offsets {
                list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))
                    .map_err(|error| error::from_kafka(COMMIT, error))?;
            }
            consumer
                .commit(&list, CommitMode::Sync)
                .map_err(|error| from_member(COMMIT, &consumer, error))?;
            membership.lock().committed(offsets);
            Ok(())
        });
        timeout(limit, work)
            .await
            .map_err(|_| {
                self.callbacks
                    .explain(NetworkError::timeout(COMMIT, Phase::Read, limit))
            })?
            .map_err(interrupted)?
            .map_err(|error: NetworkError| self.callbacks.explain(error))
    }

    fn stream(&self, operation: &'static str) -> Result<&Arc<StreamConsumer<GroupContext>>> {
        self.stream
            .as_ref()
            .ok_or_else(|| NetworkError::closed(operation, "the consumer"))
    }
}

impl Drop for Consumer {
    /// Leaves the group on a thread of its own: librdkafka's close polls until the coordinator has answered.
    fn drop(&mut self) {
        let (stream, gone) = (self.stream.take(), self.gone.take());
        on_own_thread("kafka-close-consumer", move || {
            if let Some(stream) = stream {
                stream.unsubscribe();
                drop(stream);
            }
            // Nobody may be waiting.
            gone.map(|gone| gone.send(()));
        });
    }
}

impl ConsumerCounters {
    fn count(&self, messages: &[KafkaMessage]) {
        let bytes = messages.iter().map(size).sum::<usize>() as u64;
        self.messages.fetch_add(messages.len() as u64, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.client.count_consumed(messages.len() as u64, bytes);
    }
}

/// Follows assignments, on whichever thread polls.
pub(super) struct GroupContext {
    callbacks: Callbacks,
    membership: Arc<Mutex<Membership>>,
    client: Arc<ClientCounters>,
}

client_context!(GroupContext);

impl ConsumerContext for GroupContext {
    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let mut membership = self.membership.lock();
            for partition in partitions.elements() {
                membership.gave_up(&TopicPartition::new(partition.topic(), partition.partition()));
            }
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            self.client.count_rebalance();
            let mut membership = self.membership.lock();
            for partition in partitions.elements() {
                membership.gained(TopicPartition::new(partition.topic(), partition.partition()));
            }
        }
    }
}

/// After a fatal error librdkafka refuses everything with the same code; the first error says why.
fn from_member(operation: &'static str, member: &StreamConsumer<GroupContext>, error: KafkaError) -> NetworkError {
    let fatal = error.rdkafka_error_code() == Some(Code::Fatal);
    match member.client().fatal_error() {
        Some((code, reason)) if fatal => error::from_code(operation, code)
            .with_context("fatal", format!("{reason}; make another consumer"))
            .with_source(error),
        _ => error::from_kafka(operation, error),
    }
}

fn not_assigned(partitions: &BTreeSet<TopicPartition>) -> NetworkError {
    let names = partitions
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    NetworkError::new(ErrorKind::Conflict, COMMIT, "these partitions are not this member's")
        .with_context("partitions", names)
        .with_send_state(SendState::NotSent)
}

fn deadline(wait: Duration) -> Instant {
    /// As good as for ever, and in the range of the clock.
    const FAR: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + wait.min(FAR)
}

/// What is in the queue already.
fn ready<'m>(
    stream: &mut MessageStream<'m, GroupContext>,
) -> Option<std::result::Result<BorrowedMessage<'m>, KafkaError>> {
    (0..LOOKS).find_map(|_| stream.next().now_or_never().flatten())
}

/// Trouble that librdkafka gets over by itself.
fn is_passing(error: &KafkaError) -> bool {
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return false;
    }
    let Some(code) = error.rdkafka_error_code() else {
        return true;
    };
    is_outage(error)
        || matches!(
            code,
            Code::PartitionEOF
                | Code::PollExceeded
                | Code::OperationTimedOut
                | Code::RequestTimedOut
                | Code::WaitingForCoordinator
                | Code::CoordinatorLoadInProgress
                | Code::CoordinatorNotAvailable
                | Code::NotCoordinator
                | Code::LeaderNotAvailable
                | Code::NotLeaderForPartition
                | Code::ReplicaNotAvailable
                | Code::RebalanceInProgress
                | Code::IllegalGeneration
                | Code::UnknownMemberId
                | Code::FencedMemberEpoch
                | Code::StaleMemberEpoch
                | Code::KafkaStorageError
                | Code::OffsetOutOfRange
        )
}

/// Trouble that is reported when a call has nothing else to return.
fn is_outage(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::NetworkException | Code::Resolve)
    )
}

fn copy(message: &BorrowedMessage<'_>) -> KafkaMessage {
    let mut copy = KafkaMessage::new(message.topic(), message.partition(), message.offset());
    copy.key = message.key().map(Bytes::copy_from_slice);
    copy.value = message.payload().map(Bytes::copy_from_slice);
    copy.timestamp = from_millis(message.timestamp().to_millis());
    if let Some(headers) = message.headers() {
        for index in 0..headers.count() {
            // The library panics at a name that is not UTF-8, which any producer may write.
            let header = catch_unwind(AssertUnwindSafe(|| headers.try_get(index)));
            match header {
                Ok(Some(header)) => copy.headers.push(header.key, header.value.map(Bytes::copy_from_slice)),
                Ok(None) => {}
                Err(_panic) => tracing::warn!(
                    topic = copy.topic,
                    partition = copy.partition,
                    offset = copy.offset,
                    index,
                    "left out a header whose name is not UTF-8"
                ),
            }
        }
    }
    copy
}

fn size(message: &KafkaMessage) -> usize {
    let header = |(name, value): (&str, Option<&Bytes>)| name.len() + value.map_or(0, Bytes::len);
    message.key.as_ref().map_or(0, Bytes::len)
        + message.value.as_ref().map_or(0, Bytes::len)
        + KafkaHeaders::iter(&message.headers).map(header).sum::<usize>()
}
