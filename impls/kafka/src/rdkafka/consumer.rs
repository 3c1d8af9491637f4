//! A consumer. It is polled only while the application consumes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{FutureExt, StreamExt};
use networking_spi::error::ResultExt;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerMetrics, KafkaMessage, PartitionOffset, TopicPartition,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};
use parking_lot::Mutex;
use rdkafka::config::FromClientConfigAndContext;
use rdkafka::consumer::{
    BaseConsumer, CommitMode, Consumer as _, ConsumerContext, MessageStream, Rebalance, RebalanceProtocol,
    StreamConsumer,
};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{Message, Offset, TopicPartitionList};
use tokio::sync::{Mutex as AsyncMutex, oneshot, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::context::{Callbacks, client_context};
use super::control::{interrupted, on_dedicated_thread};
use super::error;
use super::membership::Membership;
use super::native;
use super::timestamp::from_millis;
use crate::counters::ConsumerCounters;
use crate::record_size::record_size;

const CONSUME: &str = "kafka.consume_messages";
const COMMIT: &str = "kafka.commit_offsets";

/// How many reads in a row must return nothing before the queue counts as empty. A group event in front of messages makes one
/// read return nothing.
const QUEUE_READS: usize = 4;

/// How often a response to a rebalance checks whether the consumer has left its group.
const LEAVE_CHECK_INTERVAL: Duration = Duration::from_millis(10);

pub(super) struct Consumer {
    /// `None` only in `drop`.
    stream: Option<Arc<StreamConsumer<GroupContext>>>,
    callbacks: Callbacks,
    membership: Arc<Mutex<Membership>>,
    counters: Arc<ConsumerCounters>,
    /// Held by the call that consumes, so that each call gets consecutive messages of a partition.
    turn: AsyncMutex<()>,
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

/// Completes the receiver of [`Consumer::start`].
type Leaving = Arc<Mutex<Option<oneshot::Sender<()>>>>;

struct Failure {
    error: KafkaError,
    /// Whether every later call fails with this error.
    permanent: bool,
}

impl Consumer {
    /// Subscribes to topics in the group of `settings`. Blocks while librdkafka starts. The receiver completes when the
    /// consumer has left the group.
    pub(super) fn start(
        settings: &rdkafka::ClientConfig,
        topics: &[String],
        callbacks: Callbacks,
        counters: Arc<ConsumerCounters>,
        request_timeout: Duration,
    ) -> Result<(Self, oneshot::Receiver<()>)> {
        const CREATE: &str = "kafka.create_consumer";
        let membership = Arc::new(Mutex::new(Membership::default()));
        let context = GroupContext {
            callbacks: callbacks.clone(),
            membership: Arc::clone(&membership),
            counters: Arc::clone(&counters),
            leaving: Leaving::default(),
        };
        let leaving = Arc::clone(&context.leaving);
        let stream = StreamConsumer::from_config_and_context(settings, context)
            .map_err(|error| error::from_kafka(CREATE, error))?;
        let names = topics.iter().map(String::as_str).collect::<Vec<_>>();
        stream
            .subscribe(&names)
            .map_err(|error| error::from_kafka(CREATE, error))?;
        let (left, when_left) = oneshot::channel();
        let consumer = Self {
            stream: Some(Arc::new(stream)),
            callbacks,
            membership,
            counters,
            turn: AsyncMutex::new(()),
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

    /// Ends calls that wait for messages.
    pub(super) fn stop(&self) {
        self.closing.send_replace(true);
    }

    pub(super) fn metrics(&self) -> ConsumerMetrics {
        let membership = self.membership.lock();
        let mut metrics = self.counters.snapshot(membership.assigned.len());
        metrics.lag = membership
            .assigned
            .iter()
            .map(|partition| self.lag(&membership, partition))
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
        let Ok(_turn) = timeout_at(deadline, self.turn.lock()).await else {
            return Ok(Vec::new());
        };
        self.stored_failure()?;
        let mut stream = consumer.stream();
        let Some(first) = self.first(&mut stream, deadline).await? else {
            return Ok(Vec::new());
        };
        // No await from here on, so that a dropped call loses no message that it has taken from the queue.
        let mut messages = Vec::with_capacity(options.max_messages.min(1024));
        messages.push(self.take(&first));
        drop(first);
        while messages.len() < options.max_messages {
            match read_queue(&mut stream) {
                Some(Ok(message)) => messages.push(self.take(&message)),
                Some(Err(error)) if is_transient(&error) => {}
                Some(Err(error)) => {
                    self.store_failure(error);
                    break;
                }
                None => break,
            }
        }
        self.callbacks.clear();
        Ok(messages)
    }

    /// The next message. `None` if none arrived before the deadline.
    async fn first<'m>(
        &self,
        stream: &mut MessageStream<'m, GroupContext>,
        deadline: Instant,
    ) -> Result<Option<BorrowedMessage<'m>>> {
        let mut closing = self.closing.subscribe();
        let mut transient = None;
        loop {
            let next = async {
                match read_queue(stream) {
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
                Ok(Some(Err(error))) if is_transient(&error) => transient = Some(error),
                Ok(Some(Err(error))) => {
                    self.store_failure(error);
                    self.stored_failure()?;
                }
                Ok(None) => return Err(NetworkError::closed(CONSUME, "the consumer")),
                Err(_elapsed) => break,
            }
        }
        match transient {
            Some(error) if is_outage(&error) => Err(self.convert(CONSUME, error)),
            _ => Ok(None),
        }
    }

    fn take(&self, message: &BorrowedMessage<'_>) -> KafkaMessage {
        self.membership
            .lock()
            .consumed(message.topic(), message.partition(), message.offset() + 1);
        copy(message)
    }

    /// Keeps an error for the next call.
    fn store_failure(&self, error: KafkaError) {
        // The broker refuses the member for its configuration, each time that it joins.
        let refused = error.rdkafka_error_code() == Some(Code::InvalidSessionTimeout);
        let permanent = refused || matches!(error, KafkaError::MessageConsumptionFatal(_));
        *self.failure.lock() = Some(Failure { error, permanent });
    }

    fn stored_failure(&self) -> Result<()> {
        let mut failure = self.failure.lock();
        match failure.take() {
            Some(Failure { error, permanent }) => {
                if permanent {
                    *failure = Some(Failure {
                        error: error.clone(),
                        permanent,
                    });
                }
                Err(self.convert(CONSUME, error))
            }
            None => Ok(()),
        }
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
                .map_err(|error| from_consumer(COMMIT, &consumer, error))?;
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

fn report_left(leaving: &Mutex<Option<oneshot::Sender<()>>>) {
    // Fails if `close_consumer` no longer waits.
    leaving.lock().take().map(|left| left.send(()));
}

/// Tracks the assigned partitions. librdkafka calls it on the thread that polls.
pub(super) struct GroupContext {
    callbacks: Callbacks,
    membership: Arc<Mutex<Membership>>,
    counters: Arc<ConsumerCounters>,
    /// Present while the consumer leaves the group.
    leaving: Leaving,
}

client_context!(GroupContext);

impl GroupContext {
    /// Runs `response`, which passes the response to a rebalance to librdkafka. If the consumer leaves its group meanwhile,
    /// librdkafka may drop the response and block its caller forever (confluentinc/librdkafka#4884). The thread of that call
    /// and its connections are then lost, but `close_consumer` returns.
    fn while_leaving(&self, consumer: &BaseConsumer<Self>, response: impl FnOnce()) {
        if self.leaving.lock().is_none() {
            return response();
        }
        let responded = AtomicBool::new(false);
        thread::scope(|scope| {
            let watch = || {
                while !responded.load(Ordering::Acquire) {
                    if consumer.closed() {
                        report_left(&self.leaving);
                        return;
                    }
                    thread::park_timeout(LEAVE_CHECK_INTERVAL);
                }
            };
            let watcher = thread::Builder::new()
                .name("kafka-watch-leave".to_owned())
                .spawn_scoped(scope, watch);
            response();
            responded.store(true, Ordering::Release);
            if let Ok(watcher) = watcher {
                watcher.thread().unpark();
            }
        });
    }
}

impl ConsumerContext for GroupContext {
    fn rebalance(&self, consumer: &BaseConsumer<Self>, code: RDKafkaRespErr, partitions: &mut TopicPartitionList) {
        let rebalance = match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => Rebalance::Assign(partitions),
            RDKafkaRespErr::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => Rebalance::Revoke(partitions),
            _ => Rebalance::Error(KafkaError::Rebalance(code.into())),
        };
        self.pre_rebalance(consumer, &rebalance);
        self.while_leaving(consumer, || {
            let incremental = matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative);
            let responded = match &rebalance {
                Rebalance::Assign(partitions) if incremental => consumer.incremental_assign(partitions),
                Rebalance::Assign(partitions) => consumer.assign(partitions),
                Rebalance::Revoke(partitions) if incremental => consumer.incremental_unassign(partitions),
                Rebalance::Revoke(_) | Rebalance::Error(_) => consumer.unassign(),
            };
            if let Err(error) = responded {
                tracing::debug!(%error, "the response to a rebalance failed");
            }
        });
        self.post_rebalance(consumer, &rebalance);
    }

    fn pre_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            let mut membership = self.membership.lock();
            for partition in partitions.elements() {
                membership.revoke(&TopicPartition::new(partition.topic(), partition.partition()));
            }
        }
    }

    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Assign(partitions) = rebalance {
            self.counters.count_rebalance();
            let mut membership = self.membership.lock();
            for partition in partitions.elements() {
                membership.assign(TopicPartition::new(partition.topic(), partition.partition()));
            }
        }
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

/// Whether librdkafka recovers from the error without the application.
fn is_transient(error: &KafkaError) -> bool {
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

/// Whether the error means that brokers are unreachable. It is reported if a call has no message to return.
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
    copy.headers = native::headers(message);
    copy
}

fn size(message: &KafkaMessage) -> usize {
    record_size(message.key.as_ref(), message.value.as_ref(), &message.headers)
}
