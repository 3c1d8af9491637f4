//! Processes messages and commits them afterwards: at least once, in the order of each partition.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::{StreamExt, stream};

use super::{
    CommitOffsets, ConsumeOptions, ConsumerAssignment, ConsumerId, KafkaClient, KafkaMessage, PartitionOffset,
    TopicPartition,
};
use crate::error::{ErrorKind, NetworkError, Result};
use crate::validate::{self, Validate};

/// A call that waits shorter than this for a message counts as one that waits this long, so that an idle loop does not spin. A
/// longer wait costs nothing: a call ends with its first message.
const SHORTEST_WAIT: Duration = Duration::from_millis(100);

/// How many commits in a row may fail with a transient error.
const FAILED_COMMITS: u32 = 10;

/// How often offsets are committed again at the end, while the group rebalances.
const LAST_COMMITS: u32 = 5;

/// How [`for_each_message`](super::KafkaClientExt::for_each_message) and
/// [`for_each_batch`](super::KafkaClientExt::for_each_batch) consume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProcessOptions {
    /// How messages are consumed. `max_messages` is the number of messages that are held at a time, and that are committed
    /// together; they must be processed within the consumer's `max_poll_interval`. A `max_wait` below 100 ms counts as 100 ms.
    pub consume: ConsumeOptions,
    /// How many partitions are processed at the same time, at least 1.
    pub concurrency: usize,
}

impl Default for ProcessOptions {
    /// The default [`ConsumeOptions`], 16 partitions.
    fn default() -> Self {
        Self {
            consume: ConsumeOptions::default(),
            concurrency: 16,
        }
    }
}

impl ProcessOptions {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how messages are consumed.
    pub fn with_consume(mut self, options: ConsumeOptions) -> Self {
        self.consume = options;
        self
    }

    /// Sets how many partitions are processed at the same time.
    pub fn with_concurrency(mut self, partitions: usize) -> Self {
        self.concurrency = partitions;
        self
    }
}

impl Validate for ProcessOptions {
    fn validate(&self) -> Result<()> {
        self.consume.validate()?;
        validate::ensure(self.concurrency > 0, "concurrency", "must be at least 1")
    }
}

/// The options with a wait that lets an idle loop rest.
pub(super) fn at_rest(mut options: ConsumeOptions) -> ConsumeOptions {
    options.max_wait = options.max_wait.max(SHORTEST_WAIT);
    options
}

/// What was processed of the messages of one partition.
pub(super) struct Progress {
    partition: TopicPartition,
    processed: u64,
    /// The offset after the last processed message.
    next: Option<i64>,
    error: Option<NetworkError>,
}

impl Progress {
    fn none(messages: &[KafkaMessage]) -> Self {
        // Batches are never empty.
        let partition = messages.first().map(KafkaMessage::topic_partition);
        Self {
            partition: partition.unwrap_or_else(|| TopicPartition::new("", 0)),
            processed: 0,
            next: None,
            error: None,
        }
    }
}

/// Processes the messages of a partition one by one, until one fails or `stop` is set.
pub(super) async fn one_by_one<F, R>(messages: Vec<KafkaMessage>, handler: &F, stop: &AtomicBool) -> Progress
where
    F: Fn(KafkaMessage) -> R + Send + Sync,
    R: Future<Output = Result<()>> + Send,
{
    let mut progress = Progress::none(&messages);
    for message in messages {
        if stop.load(Ordering::Acquire) {
            break;
        }
        let next = message.next_offset();
        if let Err(error) = handler(message).await {
            stop.store(true, Ordering::Release);
            progress.error = Some(error);
            break;
        }
        progress.processed += 1;
        progress.next = Some(next);
    }
    progress
}

/// Processes the messages of a partition together, unless `stop` is set.
pub(super) async fn together<F, R>(messages: Vec<KafkaMessage>, handler: &F, stop: &AtomicBool) -> Progress
where
    F: Fn(Vec<KafkaMessage>) -> R + Send + Sync,
    R: Future<Output = Result<()>> + Send,
{
    let mut progress = Progress::none(&messages);
    if stop.load(Ordering::Acquire) {
        return progress;
    }
    let processed = messages.len() as u64;
    let next = messages.last().map(KafkaMessage::next_offset);
    match handler(messages).await {
        Ok(()) => {
            progress.processed = processed;
            progress.next = next;
        }
        Err(error) => {
            stop.store(true, Ordering::Release);
            progress.error = Some(error);
        }
    }
    progress
}

/// Consumes, processes and commits until `shutdown` completes or something fails. `process` makes the future that processes the
/// messages of one partition.
pub(super) async fn run<C, P, R>(
    client: &C,
    consumer: &ConsumerId,
    options: ProcessOptions,
    shutdown: impl Future<Output = ()> + Send,
    stop: &AtomicBool,
    process: P,
) -> Result<u64>
where
    C: KafkaClient + ?Sized,
    P: Fn(Vec<KafkaMessage>) -> R + Send + Sync,
    R: Future<Output = Progress> + Send,
{
    options.validate()?;
    client.capabilities().require("kafka.commit_offsets", "groups")?;
    let mut run = Run {
        client,
        consumer,
        processed: BTreeMap::new(),
        failed_commits: 0,
    };
    let mut shutdown = pin!(shutdown);
    let mut total = 0;
    let mut outcome = Ok(());
    while !stop.load(Ordering::Acquire) {
        let consume = client.consume_messages(consumer, at_rest(options.consume));
        // A call to consume that is dropped loses no message.
        let messages = match select(shutdown.as_mut(), consume).await {
            Either::Left(((), _)) => break,
            Either::Right((Ok(messages), _)) => messages,
            Either::Right((Err(error), _)) => {
                outcome = Err(error);
                break;
            }
        };
        let assignment = match run.follow().await {
            Ok(assignment) => assignment,
            Err(error) => {
                outcome = Err(error);
                break;
            }
        };
        let mut by_partition = BTreeMap::<TopicPartition, Vec<KafkaMessage>>::new();
        for message in messages {
            by_partition.entry(message.topic_partition()).or_default().push(message);
        }
        let work: Vec<R> = by_partition.into_values().map(&process).collect();
        let work = stream::iter(work)
            .buffer_unordered(options.concurrency)
            .collect::<Vec<_>>();
        let progress = match select(shutdown.as_mut(), work).await {
            Either::Left(((), work)) => {
                // Messages in progress are finished; no other ones are begun.
                stop.store(true, Ordering::Release);
                work.await
            }
            Either::Right((progress, _)) => progress,
        };
        for progress in progress {
            total += progress.processed;
            if let (Some(next), Some(epoch)) = (progress.next, assignment.epoch(&progress.partition)) {
                run.processed.insert(progress.partition, (epoch, next));
            }
            if let (Some(error), Ok(())) = (progress.error, &outcome) {
                outcome = Err(error);
            }
        }
        if !stop.load(Ordering::Acquire)
            && let Err(error) = run.follow().await
        {
            outcome = Err(error);
            break;
        }
    }
    let committed = run.finish().await;
    outcome.and(committed).map(|()| total)
}

/// What was processed and is not committed yet.
struct Run<'c, C: ?Sized> {
    client: &'c C,
    consumer: &'c ConsumerId,
    /// The next offset of each partition, and the epoch in which its messages were read.
    processed: BTreeMap<TopicPartition, (u64, i64)>,
    failed_commits: u32,
}

impl<C: KafkaClient + ?Sized> Run<'_, C> {
    /// Commits what was processed in partitions that the consumer has kept, and forgets the others. A group that rebalances
    /// refuses commits although the partitions are kept: they are committed after the next call to consume.
    async fn follow(&mut self) -> Result<ConsumerAssignment> {
        let assignment = self.client.consumer_assignment(self.consumer).await?;
        self.processed
            .retain(|partition, (epoch, _)| assignment.epoch(partition) == Some(*epoch));
        match self.commit().await {
            Err(error) if is_transient(&error) && self.failed_commits < FAILED_COMMITS => {
                self.failed_commits += 1;
                Ok(assignment)
            }
            Err(error) => Err(error),
            Ok(()) => {
                self.failed_commits = 0;
                Ok(assignment)
            }
        }
    }

    async fn commit(&mut self) -> Result<()> {
        if self.processed.is_empty() {
            return Ok(());
        }
        let offsets = self.processed.iter();
        let offsets = offsets.map(|(partition, (_, next))| PartitionOffset::new(partition.clone(), *next));
        let offsets = CommitOffsets::Exact(offsets.collect());
        self.client.commit_offsets(self.consumer, offsets).await?;
        self.processed.clear();
        Ok(())
    }

    /// The last commit. While it is refused, the consumer consumes, so that a rebalance can end. These messages are neither
    /// processed nor committed.
    async fn finish(mut self) -> Result<()> {
        self.failed_commits = 0;
        for _ in 0..LAST_COMMITS {
            self.follow().await?;
            if self.processed.is_empty() {
                return Ok(());
            }
            let options = ConsumeOptions::new().with_max_messages(1).with_max_wait(SHORTEST_WAIT);
            if let Err(error) = self.client.consume_messages(self.consumer, options).await
                && !error.retryability().is_retryable()
            {
                return Err(error);
            }
        }
        self.failed_commits = FAILED_COMMITS;
        self.follow().await.map(drop)
    }
}

fn is_transient(error: &NetworkError) -> bool {
    error.is_a(ErrorKind::Conflict) || error.retryability().is_retryable()
}
