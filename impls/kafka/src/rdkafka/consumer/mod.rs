//! A consumer. It is polled only while the application consumes.

mod batch;
mod reading;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use networking_spi::error::ResultExt;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerMetrics, KafkaMessage, PartitionOffset, TopicPartition,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, Retryability, SendState};
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{CommitMode, Consumer as _, ConsumerGroupMetadata, MessageStream, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tokio::task::{spawn_blocking, yield_now};
use tokio::time::{Instant, timeout, timeout_at};

use super::context::Callbacks;
use super::control::{interrupted, on_dedicated_thread};
use super::error;
use super::membership::Membership;
use super::native;
use super::rebalance::{GroupContext, Leaving, report_left};
use super::reposition::{Mover, Unpositioned, name_partitions};
use super::topic_watch::TopicWatch;
use crate::counters::ConsumerCounters;
use crate::record_size::record_size;

use self::batch::Batch;
use self::reading::subscribe;
pub(super) use self::reading::{Start, What};

const CONSUME: &str = "kafka.consume_messages";
const COMMIT: &str = "kafka.commit_offsets";

/// How many reads in a row must return nothing before the queue counts as empty. A group event in front of messages makes one
/// read return nothing.
const QUEUE_READS: usize = 4;

pub(super) struct Consumer {
    /// `None` only in `drop`.
    stream: Option<Arc<StreamConsumer<GroupContext>>>,
    callbacks: Callbacks,
    membership: Arc<Mutex<Membership>>,
    watch: Arc<TopicWatch>,
    /// Whether the reset policy is to fail.
    fails_without_position: bool,
    unpositioned: Mutex<Option<Unpositioned>>,
    counters: Arc<ConsumerCounters>,
    /// Held by the call that consumes, so that each call gets consecutive messages of a partition.
    turn: AsyncMutex<()>,
    /// How many other operations wait for the turn. A call that waits for messages gives it to them.
    waiting: AtomicUsize,
    /// Held by the call that commits, so that an unresponsive coordinator blocks one thread and not one per call.
    commits: Arc<AsyncMutex<()>>,
    closing: watch::Sender<bool>,
    /// An error for the next call: one that followed messages, or a permanent one.
    failure: Mutex<Option<Failure>>,
    request_timeout: Duration,
    left: Option<oneshot::Sender<()>>,
    /// Where `drop` puts `left`, for the callbacks that follow.
    leaving: Leaving,
}

struct Failure {
    error: KafkaError,
    /// Whether every later call fails with this error.
    permanent: bool,
}

impl Consumer {
    /// Reads `what` in the group of `settings`. Blocks while librdkafka starts. The receiver completes when the
    /// consumer has left the group.
    pub(super) fn start(
        settings: &rdkafka::ClientConfig,
        what: What,
        callbacks: Callbacks,
        counters: Arc<ConsumerCounters>,
        watch: Arc<TopicWatch>,
        request_timeout: Duration,
    ) -> Result<(Self, oneshot::Receiver<()>)> {
        const CREATE: &str = "kafka.create_consumer";
        let membership = Arc::new(Mutex::new(Membership::default()));
        let reset = settings.get("auto.offset.reset").unwrap_or("largest");
        let context = GroupContext {
            callbacks: callbacks.clone(),
            membership: Arc::clone(&membership),
            counters: Arc::clone(&counters),
            watch: Arc::clone(&watch),
            starts_at_end: matches!(reset, "latest" | "largest" | "end"),
            leaving: Leaving::default(),
        };
        let leaving = Arc::clone(&context.leaving);
        let stream = StreamConsumer::from_config_and_context(settings, context)
            .map_err(|error| error::from_kafka(CREATE, error))?;
        what.begin(&stream, &mut membership.lock(), request_timeout)
            .map_err(|error| error::from_kafka(CREATE, error))?;
        let (left, when_left) = oneshot::channel();
        let consumer = Self {
            stream: Some(Arc::new(stream)),
            callbacks,
            membership,
            watch,
            fails_without_position: reset == "error",
            unpositioned: Mutex::new(None),
            counters,
            turn: AsyncMutex::new(()),
            waiting: AtomicUsize::new(0),
            commits: Arc::new(AsyncMutex::new(())),
            closing: watch::Sender::new(false),
            failure: Mutex::new(None),
            request_timeout,
            left: Some(left),
            leaving,
        };
        Ok((consumer, when_left))
    }

    pub(super) async fn consume(&self, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        let result = self.next_messages(options).await;
        match &result {
            Ok(messages) => {
                let bytes = messages.iter().map(size).sum::<usize>() as u64;
                self.counters.count_consumed(messages.len() as u64, bytes);
            }
            Err(_) => self.counters.count_consume_error(),
        }
        result
    }

    pub(super) async fn commit(&self, offsets: CommitOffsets) -> Result<()> {
        let result = match offsets {
            CommitOffsets::Consumed => self.commit_consumed().await,
            CommitOffsets::Exact(offsets) => self.commit_exact(offsets).await,
            _ => Err(NetworkError::unsupported(COMMIT, "commit_offsets")),
        };
        self.counters.count_commit(result.is_ok());
        result
    }

    pub(super) fn assignment(&self) -> ConsumerAssignment {
        self.membership.lock().assignment().clone()
    }

    /// Ends calls that wait for messages.
    pub(super) fn stop(&self) {
        self.closing.send_replace(true);
    }

    pub(super) fn metrics(&self) -> ConsumerMetrics {
        let membership = self.membership.lock();
        let mut metrics = self.counters.snapshot(membership.assignment().len());
        metrics.lag = membership
            .assignment()
            .iter()
            .map(|(partition, _)| self.lag(&membership, partition))
            .sum();
        metrics
    }

    /// The records of a partition after those that were returned, as far as the last response to a fetch shows. `None` if none
    /// was returned yet, unless the partition is empty.
    fn lag(&self, membership: &Membership, partition: &TopicPartition) -> Option<u64> {
        let client = self.stream.as_ref()?.client();
        let (low, high) = native::cached_bounds(client, &partition.topic, partition.partition)?;
        match membership.position(partition) {
            Some(next) => u64::try_from((high - next.max(low)).max(0)).ok(),
            None => (low == high).then_some(0),
        }
    }

    async fn next_messages(&self, options: ConsumeOptions) -> Result<Vec<KafkaMessage>> {
        options.validate().in_operation(CONSUME)?;
        let consumer = self.stream(CONSUME)?;
        let deadline = deadline(options.max_wait);
        let Ok(mut turn) = timeout_at(deadline, self.turn.lock()).await else {
            return Ok(Vec::new());
        };
        self.stored_failure().await?;
        let mut stream = consumer.stream();
        loop {
            while self.waiting.load(Ordering::Acquire) > 0 {
                drop(turn);
                yield_now().await;
                turn = match timeout_at(deadline, self.turn.lock()).await {
                    Ok(turn) => turn,
                    Err(_elapsed) => return Ok(Vec::new()),
                };
            }
            self.adopt_changes(consumer).await?;
            let first = match self.first(&mut stream, deadline).await? {
                Next::Message(first) => first,
                Next::Changes => continue,
                Next::Nothing => return Ok(Vec::new()),
            };
            // No await from here on, so that a dropped call loses no message that it has taken from the queue.
            let mut batch = Batch::new(&self.membership, options.max_messages);
            batch.push(first);
            while batch.len() < options.max_messages {
                match read_queue(&mut stream) {
                    Some(Ok(message)) => batch.push(message),
                    Some(Err(error)) if is_transient(&error) => {}
                    Some(Err(error)) => {
                        self.store_failure(error);
                        break;
                    }
                    None => break,
                }
            }
            let messages = batch.finish();
            // The batch is empty if all its partitions were revoked meanwhile.
            if !messages.is_empty() {
                self.callbacks.clear();
                return Ok(messages);
            }
        }
    }

    /// Waits for the next message.
    async fn first<'m>(&self, stream: &mut MessageStream<'m, GroupContext>, deadline: Instant) -> Result<Next<'m>> {
        let mut closing = self.closing.subscribe();
        let mut transient = None;
        loop {
            let next = if let Some(next) = read_queue(stream) {
                Ok(Some(next))
            } else {
                self.check_position()?;
                tokio::select! {
                    biased;
                    next = timeout_at(deadline, stream.next()) => next,
                    () = self.watch.wait() => return Ok(Next::Changes),
                    _ = closing.wait_for(|closing| *closing) => {
                        return Err(NetworkError::closed(CONSUME, "the consumer"));
                    }
                }
            };
            match next {
                Ok(Some(Ok(message))) => return Ok(Next::Message(message)),
                Ok(Some(Err(error))) if is_transient(&error) => {
                    if is_unknown_topic(&error) {
                        self.watch.check_soon();
                    }
                    transient = Some(error);
                }
                Ok(Some(Err(error))) => {
                    self.store_failure(error);
                    self.stored_failure().await?;
                }
                Ok(None) => return Err(NetworkError::closed(CONSUME, "the consumer")),
                Err(_elapsed) => break,
            }
        }
        if let Some(topic) = self.watch.missing() {
            // Transient, because the topic may be created again.
            return Err(NetworkError::not_found(CONSUME, "topic", topic).with_retryability(Retryability::Now));
        }
        match transient {
            Some(error) if is_outage(&error) => Err(self.convert(CONSUME, error)),
            _ => Ok(Next::Nothing),
        }
    }

    /// Moves the consumer after changes of its topics.
    async fn adopt_changes(&self, consumer: &Arc<StreamConsumer<GroupContext>>) -> Result<()> {
        let changes = self.watch.changes();
        let pending = self.membership.lock().pending();
        if changes.is_empty() && pending.is_empty() {
            return Ok(());
        }
        let mover = self.mover(consumer);
        if let Some(topics) = &changes.subscribe {
            subscribe(Arc::clone(consumer), topics.clone()).await?;
        }
        if changes.refresh {
            refresh_metadata(Arc::clone(consumer));
        }
        if !changes.is_empty() {
            let assignment = self.assignment();
            let partitions = assignment.iter().map(|(partition, _)| partition);
            let affected = partitions.filter(|partition| changes.recreated.contains(partition.topic.as_str()));
            let affected = affected.cloned().collect::<Vec<_>>();
            if self.fails_without_position {
                if !affected.is_empty() {
                    let error = KafkaError::MessageConsumption(Code::AutoOffsetReset);
                    *self.unpositioned.lock() = Some(Unpositioned::of(error, assignment, affected));
                }
            } else if !affected.is_empty() {
                let targets = affected.into_iter().map(|partition| (partition, Offset::Beginning));
                let at_start = mover.seek(targets.collect()).await?;
                self.membership.lock().reset(at_start);
            }
            self.watch.adopted(&changes);
        }
        if !pending.is_empty() {
            // A failure is not reported: the partitions stay pending, and the next call tries again.
            let Ok(committed) = mover.committed(pending).await else {
                return Ok(());
            };
            let targets = committed
                .into_iter()
                .map(|(partition, committed)| (partition, committed.map_or(Offset::Beginning, Offset::Offset)));
            for partition in mover.seek(targets.collect()).await? {
                self.membership.lock().start(&partition);
            }
        }
        Ok(())
    }

    /// Fails while a partition has no valid position.
    fn check_position(&self) -> Result<()> {
        let assignment = self.assignment();
        let mut unpositioned = self.unpositioned.lock();
        let Some(found) = &*unpositioned else { return Ok(()) };
        let remaining = found.remaining(&assignment);
        if remaining.is_empty() {
            *unpositioned = None;
            return Ok(());
        }
        Err(name_partitions(self.convert(CONSUME, found.error.clone()), &remaining))
    }

    /// Lets the consumer continue where offsets were committed in partitions without a position.
    async fn continue_at(&self, offsets: &BTreeMap<TopicPartition, i64>) -> Result<()> {
        let assignment = self.assignment();
        let targets = {
            let unpositioned = self.unpositioned.lock();
            let Some(found) = &*unpositioned else { return Ok(()) };
            let remaining = found.remaining(&assignment).into_iter();
            let targets = remaining.filter_map(|partition| Some((partition.clone(), *offsets.get(partition)?)));
            targets.collect::<BTreeMap<_, _>>()
        };
        if targets.is_empty() {
            return Ok(());
        }
        self.mover(self.stream(COMMIT)?).assign(targets).await
    }

    fn mover(&self, consumer: &Arc<StreamConsumer<GroupContext>>) -> Mover {
        Mover {
            operation: CONSUME,
            consumer: Arc::clone(consumer),
            membership: Arc::clone(&self.membership),
            limit: self.request_timeout,
        }
    }

    /// Keeps an error for the next call.
    fn store_failure(&self, error: KafkaError) {
        // The broker refuses the member for its configuration, each time that it joins.
        let refused = error.rdkafka_error_code() == Some(Code::InvalidSessionTimeout);
        let permanent = refused || matches!(error, KafkaError::MessageConsumptionFatal(_));
        *self.failure.lock() = Some(Failure { error, permanent });
    }

    async fn stored_failure(&self) -> Result<()> {
        let error = {
            let mut failure = self.failure.lock();
            let Some(found) = &*failure else { return Ok(()) };
            let error = found.error.clone();
            if !found.permanent {
                *failure = None;
            }
            error
        };
        if error.rdkafka_error_code() != Some(Code::AutoOffsetReset) {
            return Err(self.convert(CONSUME, error));
        }
        let mover = self.mover(self.stream(CONSUME)?);
        let unpositioned = Unpositioned::find(error, &mover).await;
        *self.unpositioned.lock() = Some(unpositioned);
        self.check_position()
    }

    fn convert(&self, operation: &'static str, error: KafkaError) -> NetworkError {
        match &self.stream {
            Some(stream) => self.callbacks.explain(from_consumer(operation, stream, error)),
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
        let offsets = self.exact(COMMIT, offsets)?;
        if offsets.is_empty() {
            return Ok(());
        }
        self.send_commit(offsets.clone()).await?;
        if let Err(error) = self.continue_at(&offsets).await {
            tracing::warn!(%error, "the consumer cannot continue at the committed offsets");
        }
        Ok(())
    }

    /// The offsets to commit in a transaction.
    pub(super) fn transaction_offsets(
        &self,
        operation: &'static str,
        offsets: CommitOffsets,
    ) -> Result<TopicPartitionList> {
        let offsets = match offsets {
            CommitOffsets::Consumed => self.membership.lock().uncommitted(),
            CommitOffsets::Exact(offsets) => self.exact(operation, offsets)?,
            _ => return Err(NetworkError::unsupported(operation, "commit_offsets")),
        };
        list_of(operation, &offsets)
    }

    /// What a transaction needs to know of the group, so that the coordinator refuses the offsets of an old generation.
    pub(super) async fn group_metadata(&self, operation: &'static str) -> Result<ConsumerGroupMetadata> {
        let consumer = Arc::clone(self.stream(operation)?);
        let metadata = spawn_blocking(move || consumer.group_metadata());
        metadata.await.map_err(interrupted)?.ok_or_else(|| {
            NetworkError::new(
                ErrorKind::Conflict,
                operation,
                "the consumer is not a member of its group",
            )
        })
    }

    /// Checks offsets that the application chose.
    fn exact(&self, operation: &'static str, offsets: Vec<PartitionOffset>) -> Result<BTreeMap<TopicPartition, i64>> {
        if offsets.iter().any(|offset| offset.offset < 0) {
            return Err(NetworkError::invalid_input("offset", "must not be negative").with_operation(operation));
        }
        let offsets = offsets
            .into_iter()
            .map(|PartitionOffset { partition, offset }| (partition, offset));
        let offsets = offsets.collect::<BTreeMap<_, _>>();
        let membership = self.membership.lock();
        let foreign = offsets
            .keys()
            .filter(|partition| !membership.assignment().contains(partition));
        let foreign = foreign.cloned().collect::<BTreeSet<_>>();
        if foreign.is_empty() {
            Ok(offsets)
        } else {
            Err(not_assigned(&foreign).with_operation(operation))
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
            let list = list_of(COMMIT, &offsets)?;
            consumer
                .commit(&list, CommitMode::Sync)
                .map_err(|error| from_consumer(COMMIT, &consumer, error))?;
            membership.lock().committed(&offsets);
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

/// What a call that waits for a message gets.
enum Next<'m> {
    Message(BorrowedMessage<'m>),
    /// The topics or the assignment have changed, and the consumer may have to be moved.
    Changes,
    /// The deadline has passed.
    Nothing,
}

impl Drop for Consumer {
    /// Leaves the group on a dedicated thread: closing blocks until the coordinator has responded.
    fn drop(&mut self) {
        let stream = self.stream.take();
        let leaving = Arc::clone(&self.leaving);
        *leaving.lock() = self.left.take();
        on_dedicated_thread("kafka-close-consumer", move || {
            if let Some(stream) = stream {
                stream.unsubscribe();
                drop(stream);
            }
            report_left(&leaving);
        });
    }
}

/// Converts an error of a consumer. After a fatal error librdkafka rejects every call with the code `Fatal`, so this returns
/// the original error instead.
fn from_consumer(operation: &'static str, consumer: &StreamConsumer<GroupContext>, error: KafkaError) -> NetworkError {
    let fatal = error.rdkafka_error_code() == Some(Code::Fatal);
    match consumer.client().fatal_error() {
        Some((code, reason)) if fatal => error::from_code(operation, code)
            .with_context("fatal", format!("{reason}; create another consumer"))
            .with_source(error),
        _ => error::from_kafka(operation, error),
    }
}

fn list_of(operation: &'static str, offsets: &BTreeMap<TopicPartition, i64>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::with_capacity(offsets.len());
    for (partition, offset) in offsets {
        list.add_partition_offset(&partition.topic, partition.partition, Offset::Offset(*offset))
            .map_err(|error| error::from_kafka(operation, error))?;
    }
    Ok(list)
}

fn not_assigned(partitions: &BTreeSet<TopicPartition>) -> NetworkError {
    let names = partitions
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    NetworkError::new(
        ErrorKind::Conflict,
        COMMIT,
        "the partitions are not assigned to this member",
    )
    .with_context("partitions", names)
    .with_send_state(SendState::NotSent)
}

fn deadline(wait: Duration) -> Instant {
    /// A longer wait could exceed the range of the clock.
    const MAX_WAIT: Duration = Duration::from_secs(365 * 24 * 3600);
    Instant::now() + wait.min(MAX_WAIT)
}

/// The next message or error that is already in the queue.
fn read_queue<'m>(
    stream: &mut MessageStream<'m, GroupContext>,
) -> Option<std::result::Result<BorrowedMessage<'m>, KafkaError>> {
    (0..QUEUE_READS).find_map(|_| stream.next().now_or_never().flatten())
}

/// Lets librdkafka notice new partitions and topics that were created again. A failure is not reported: librdkafka refreshes
/// its metadata anyway, only later.
fn refresh_metadata(consumer: Arc<StreamConsumer<GroupContext>>) {
    const LIMIT: Duration = Duration::from_secs(5);
    // Only a response with all topics changes the subscription.
    drop(spawn_blocking(move || {
        if let Err(error) = consumer.fetch_metadata(None, LIMIT) {
            tracing::debug!(%error, "the metadata cannot be refreshed");
        }
    }));
}

fn is_unknown_topic(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::UnknownTopicOrPartition | Code::UnknownTopic)
    )
}

/// Whether librdkafka recovers from the error without the application.
fn is_transient(error: &KafkaError) -> bool {
    if matches!(error, KafkaError::MessageConsumptionFatal(_)) {
        return false;
    }
    let Some(code) = error.rdkafka_error_code() else {
        return true;
    };
    is_outage(error)
        || is_unknown_topic(error)
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

/// Whether the error means that brokers are unreachable. It is reported if a call has no message to return.
fn is_outage(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(Code::AllBrokersDown | Code::BrokerTransportFailure | Code::NetworkException | Code::Resolve)
    )
}

fn size(message: &KafkaMessage) -> usize {
    record_size(message.key.as_ref(), message.value.as_ref(), &message.headers)
}
