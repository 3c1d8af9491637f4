//! The task that consumes, hands over, and commits.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use networking_spi::backoff::Backoff;
use networking_spi::bridge::{Acknowledge, BridgeMessage, BridgeReceipt, Delivery};
use networking_spi::clock::Clock;
use networking_spi::kafka::{CommitOffsets, ConsumeOptions, ConsumerId, KafkaClient, KafkaMessage, PartitionOffset};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::partitions::{Partitions, Place};
use super::{Failures, Settings};
use crate::endpoints::kafka_headers;

/// How long one call to consume waits. It is cancelled when there is something else to do.
const CONSUME_WAIT: Duration = Duration::from_secs(1);

/// Waits after failures to consume or to commit.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// Attempts at the last commit.
const LAST_COMMITS: u32 = 3;

pub(super) struct Driver {
    client: Arc<dyn KafkaClient>,
    consumer: ConsumerId,
    settings: Settings,
    clock: Arc<dyn Clock>,
    ready: mpsc::Sender<Delivery>,
    failures: Arc<Failures>,
    partitions: Partitions,
    answers: mpsc::UnboundedReceiver<Answer>,
    answer: mpsc::UnboundedSender<Answer>,
    /// Rejected records and when they are delivered again.
    rejected: BTreeMap<Instant, Vec<Place>>,
    consume: Cooldown,
    commit: Cooldown,
    /// Nothing is consumed any more.
    ending: bool,
}

/// What became of a record. There is at most one per record in work, which bounds the channel.
struct Answer {
    place: Place,
    result: Result<()>,
}

/// When something that failed is tried again.
#[derive(Default)]
struct Cooldown {
    failures: u32,
    not_before: Option<Instant>,
}

impl Cooldown {
    fn failed(&mut self, asked: Option<Duration>) {
        self.failures = self.failures.saturating_add(1);
        let wait = RETRY
            .delay(self.failures, fastrand::f64())
            .max(asked.unwrap_or_default());
        self.not_before = Some(Instant::now() + wait);
    }

    fn passed(&self) -> bool {
        self.not_before.is_none_or(|time| time <= Instant::now())
    }
}

impl Driver {
    pub(super) fn new(
        client: Arc<dyn KafkaClient>,
        consumer: ConsumerId,
        settings: Settings,
        clock: Arc<dyn Clock>,
        ready: mpsc::Sender<Delivery>,
        failures: Arc<Failures>,
    ) -> Self {
        let (answer, answers) = mpsc::unbounded_channel();
        Self {
            client,
            consumer,
            settings,
            clock,
            ready,
            failures,
            partitions: Partitions::default(),
            answers,
            answer,
            rejected: BTreeMap::new(),
            consume: Cooldown::default(),
            commit: Cooldown::default(),
            ending: false,
        }
    }

    /// Runs until the source is stopped, or fails for good, and every record in work was answered for.
    pub(super) async fn run(mut self, stopping: CancellationToken) {
        loop {
            if !self.ending {
                self.hand_over();
            }
            if self.commit.passed() {
                self.commit_done().await;
            }
            if self.ending && self.partitions.in_work() == 0 {
                break;
            }
            let room = self.settings.max_outstanding - self.partitions.outstanding().min(self.settings.max_outstanding);
            let may_consume = !self.ending && room > 0 && self.consume.passed();
            let options = ConsumeOptions::new()
                .with_max_messages(room.max(1))
                .with_max_wait(CONSUME_WAIT);
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = stopping.cancelled(), if !self.ending => self.end(),
                answer = self.answers.recv() => {
                    // The driver has a sender itself: there is always an answer.
                    if let Some(answer) = answer {
                        self.answered(answer);
                    }
                    while let Ok(answer) = self.answers.try_recv() {
                        self.answered(answer);
                    }
                }
                () = wait_until(wake) => self.deliver_again(),
                consumed = self.client.consume_messages(&self.consumer, options), if may_consume => self.consumed(consumed),
            }
        }
        for attempt in 1..=LAST_COMMITS {
            self.commit_done().await;
            if self.partitions.uncommitted().is_empty() {
                break;
            }
            tokio::time::sleep(RETRY.delay(attempt, fastrand::f64())).await;
        }
        if let Err(error) = self.client.close_consumer(&self.consumer).await {
            tracing::warn!(%error, "the consumer cannot be closed");
        }
    }

    fn consumed(&mut self, consumed: Result<Vec<KafkaMessage>>) {
        match consumed {
            Ok(messages) => {
                if self.consume.failures > 0 {
                    self.consume = Cooldown::default();
                    self.failures.recovered();
                }
                for message in messages {
                    self.partitions.add(message);
                }
            }
            Err(error) if error.retryability().is_retryable() => {
                self.consume.failed(error.retryability().delay());
                self.failures.report(error);
            }
            Err(error) => self.fail(error),
        }
    }

    fn hand_over(&mut self) {
        for (place, record) in self.partitions.take_ready(self.settings.window) {
            self.offer(place, record);
        }
    }

    /// Offers a record to the bridge. There is room for every record in work; one that has none all the same (after a
    /// partition was lost) is dropped, which counts as a rejection.
    fn offer(&self, place: Place, record: KafkaMessage) {
        let answer = Committing {
            place,
            answer: self.answer.clone(),
        };
        let message = to_message(record, &*self.clock);
        let _ = self.ready.try_send(Delivery::new(message, Box::new(answer)));
    }

    fn answered(&mut self, Answer { place, result }: Answer) {
        let Err(error) = result else {
            self.partitions.done(&place);
            return;
        };
        let Some(attempts) = self.partitions.attempts(&place) else {
            return;
        };
        if self.ending {
            self.partitions.give_up(&place);
            return;
        }
        let redelivery = &self.settings.redelivery;
        if attempts >= redelivery.max_attempts {
            let record = format!("{}@{}", place.partition, place.offset);
            self.partitions.give_up(&place);
            self.fail(
                error
                    .with_retryability(Retryability::Never)
                    .with_context("record", record),
            );
            return;
        }
        let asked = error
            .retryability()
            .delay()
            .unwrap_or_default()
            .min(redelivery.backoff.maximum);
        let wait = redelivery.backoff.delay(attempts, fastrand::f64()).max(asked);
        tracing::warn!(topic = place.partition.topic, offset = place.offset, ?wait, %error, "a record was rejected");
        self.rejected.entry(Instant::now() + wait).or_default().push(place);
    }

    fn deliver_again(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.rejected.first_entry().filter(|first| *first.key() <= now) {
            for place in first.remove() {
                if let Some(record) = self.partitions.again(&place) {
                    self.offer(place, record);
                }
            }
        }
    }

    /// The time of the next thing to do that nobody tells of.
    fn next_wake(&self) -> Option<Instant> {
        let rejected = self.rejected.keys().next().copied();
        let commit = self
            .commit
            .not_before
            .filter(|_| !self.partitions.uncommitted().is_empty());
        let consume = self
            .consume
            .not_before
            .filter(|_| !self.ending && !self.consume.passed());
        [rejected, commit, consume].into_iter().flatten().min()
    }

    async fn commit_done(&mut self) {
        let offsets = self.partitions.uncommitted();
        if offsets.is_empty() {
            return;
        }
        let committed = self
            .client
            .commit_offsets(&self.consumer, CommitOffsets::Exact(offsets.clone()))
            .await;
        match committed {
            Ok(()) => {
                self.commit = Cooldown::default();
                self.partitions.committed(&offsets);
            }
            // One partition is no longer ours; which one is not said.
            Err(error) if error.kind() == ErrorKind::Conflict => self.commit_one_by_one(offsets).await,
            Err(error) => self.commit_failed(error),
        }
    }

    async fn commit_one_by_one(&mut self, offsets: Vec<PartitionOffset>) {
        for offset in offsets {
            let exact = CommitOffsets::Exact(vec![offset.clone()]);
            match self.client.commit_offsets(&self.consumer, exact).await {
                Ok(()) => self.partitions.committed(&[offset]),
                Err(error) if error.kind() == ErrorKind::Conflict => {
                    tracing::info!(partition = %offset.partition, "the partition went to another member of the group");
                    self.partitions.forget(&offset.partition);
                }
                Err(error) => self.commit_failed(error),
            }
        }
    }

    fn commit_failed(&mut self, error: NetworkError) {
        tracing::warn!(%error, "offsets cannot be committed");
        self.commit.failed(error.retryability().delay());
        if !error.retryability().is_retryable() {
            self.fail(error);
        }
    }

    /// The source is over because of an error.
    fn fail(&mut self, error: NetworkError) {
        self.failures.report(error);
        self.end();
    }

    /// No record is handed over any more; those in work are waited for.
    fn end(&mut self) {
        self.ending = true;
        self.partitions.drop_waiting();
        for place in std::mem::take(&mut self.rejected).into_values().flatten() {
            self.partitions.give_up(&place);
        }
    }
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Tells the driver what became of a record.
struct Committing {
    place: Place,
    answer: mpsc::UnboundedSender<Answer>,
}

impl Acknowledge for Committing {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        let answer = Answer {
            place: self.place,
            result: result.map(drop),
        };
        // Without a driver nothing is committed, and the record is read again after a restart.
        let _ = self.answer.send(answer);
    }
}

fn to_message(record: KafkaMessage, clock: &dyn Clock) -> BridgeMessage {
    let id = format!("{}/{}@{}", record.topic, record.partition, record.offset);
    let tombstone = record.value.is_none();
    let mut message = BridgeMessage::new(id, record.value.unwrap_or_default(), clock.now()).with_origin(record.topic);
    message.key = record.key;
    message.content_type = record.headers.get_str(kafka_headers::CONTENT_TYPE).map(str::to_owned);
    message.headers = record
        .headers
        .iter()
        .filter(|(name, _)| *name != kafka_headers::CONTENT_TYPE)
        .map(|(name, value)| (name.to_ascii_lowercase(), value.cloned().unwrap_or_default()))
        .collect();
    if tombstone {
        message
            .headers
            .push((kafka_headers::TOMBSTONE.to_owned(), Bytes::new()));
    }
    message
}
