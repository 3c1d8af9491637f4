//! The task of a Kafka source: consumes records, offers them to the bridge, and commits offsets.

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

use super::partitions::{Partitions, RecordId};
use super::{Failures, Settings};
use crate::deadline;
use crate::endpoints::kafka_headers;

/// How long one call to consume waits for records. It is cancelled when the driver has other work.
const CONSUME_WAIT: Duration = Duration::from_secs(1);

/// The wait after a failure to consume or to commit.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(10));

/// The number of attempts for the last commit.
const LAST_COMMIT_ATTEMPTS: u32 = 3;

pub(super) struct Driver {
    client: Arc<dyn KafkaClient>,
    consumer: ConsumerId,
    settings: Settings,
    clock: Arc<dyn Clock>,
    ready: mpsc::Sender<Delivery>,
    failures: Arc<Failures>,
    partitions: Partitions,
    completions: mpsc::UnboundedReceiver<Completion>,
    completion_sender: mpsc::UnboundedSender<Completion>,
    /// Rejected records, by the time of their redelivery.
    rejected: BTreeMap<Instant, Vec<RecordId>>,
    consume: Cooldown,
    commit: Cooldown,
    /// Set when the source stops or fails: records are no longer consumed or offered.
    ending: bool,
}

/// The result of a record. There is at most one per record in flight, which bounds the channel.
struct Completion {
    id: RecordId,
    result: Result<()>,
}

/// The number of consecutive failures, and the time of the next attempt.
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
        self.not_before = Some(deadline::from_now(wait));
    }

    fn elapsed(&self) -> bool {
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
        let (completion_sender, completions) = mpsc::unbounded_channel();
        Self {
            client,
            consumer,
            settings,
            clock,
            ready,
            failures,
            partitions: Partitions::default(),
            completions,
            completion_sender,
            rejected: BTreeMap::new(),
            consume: Cooldown::default(),
            commit: Cooldown::default(),
            ending: false,
        }
    }

    /// Runs until the source is stopped or has failed, and every record in flight is acknowledged or rejected.
    pub(super) async fn run(mut self, stopping: CancellationToken) {
        loop {
            if !self.ending {
                self.offer_ready();
            }
            if self.commit.elapsed() {
                self.commit_acknowledged().await;
            }
            if self.ending && self.partitions.in_flight() == 0 {
                break;
            }
            let room = self.settings.max_outstanding - self.partitions.outstanding().min(self.settings.max_outstanding);
            let may_consume = !self.ending && room > 0 && self.consume.elapsed();
            let options = ConsumeOptions::new()
                .with_max_messages(room.max(1))
                .with_max_wait(CONSUME_WAIT);
            let wake = self.next_wake();
            tokio::select! {
                biased;
                () = stopping.cancelled(), if !self.ending => self.end(),
                completion = self.completions.recv() => {
                    // Never `None`: the driver also holds a sender.
                    if let Some(completion) = completion {
                        self.complete(completion);
                    }
                    while let Ok(completion) = self.completions.try_recv() {
                        self.complete(completion);
                    }
                }
                () = wait_until(wake) => self.redeliver(),
                consumed = self.client.consume_messages(&self.consumer, options), if may_consume => self.consumed(consumed),
            }
        }
        for attempt in 1..=LAST_COMMIT_ATTEMPTS {
            self.commit_acknowledged().await;
            if self.partitions.uncommitted().is_empty() {
                break;
            }
            tokio::time::sleep(RETRY.delay(attempt, fastrand::f64())).await;
        }
        if let Err(error) = self.client.close_consumer(&self.consumer).await {
            tracing::warn!(%error, "closing the consumer failed");
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

    fn offer_ready(&mut self) {
        for (id, record) in self.partitions.take_ready(self.settings.window) {
            self.offer(id, record);
        }
    }

    /// Offers a record to the bridge. The channel has room for every record in flight. After a partition was revoked it may be
    /// full of records of that partition; the record is then dropped, which rejects it.
    fn offer(&self, id: RecordId, record: KafkaMessage) {
        let acknowledgement = Acknowledgement {
            id,
            sender: self.completion_sender.clone(),
        };
        let message = to_message(record, &*self.clock);
        let _ = self.ready.try_send(Delivery::new(message, Box::new(acknowledgement)));
    }

    fn complete(&mut self, Completion { id, result }: Completion) {
        let Err(error) = result else {
            self.partitions.acknowledge(&id);
            return;
        };
        let Some(attempts) = self.partitions.attempts(&id) else {
            return;
        };
        if self.ending {
            self.partitions.give_up(&id);
            return;
        }
        let redelivery = &self.settings.redelivery;
        if attempts >= redelivery.max_attempts {
            let record = format!("{}@{}", id.partition, id.offset);
            self.partitions.give_up(&id);
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
        tracing::warn!(topic = id.partition.topic, offset = id.offset, ?wait, %error, "a record was rejected");
        self.rejected.entry(deadline::from_now(wait)).or_default().push(id);
    }

    fn redeliver(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.rejected.first_entry().filter(|first| *first.key() <= now) {
            for id in first.remove() {
                if let Some(record) = self.partitions.redeliver(&id) {
                    self.offer(id, record);
                }
            }
        }
    }

    /// The time of the next redelivery, commit or call to consume.
    fn next_wake(&self) -> Option<Instant> {
        let rejected = self.rejected.keys().next().copied();
        let commit = self
            .commit
            .not_before
            .filter(|_| !self.partitions.uncommitted().is_empty());
        let consume = self
            .consume
            .not_before
            .filter(|_| !self.ending && !self.consume.elapsed());
        [rejected, commit, consume].into_iter().flatten().min()
    }

    async fn commit_acknowledged(&mut self) {
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
            // A partition was assigned to another member of the group. The error does not name the partition.
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
                    tracing::info!(partition = %offset.partition, "the partition now belongs to another member of the group");
                    self.partitions.forget(&offset.partition);
                }
                Err(error) => self.commit_failed(error),
            }
        }
    }

    fn commit_failed(&mut self, error: NetworkError) {
        tracing::warn!(%error, "committing offsets failed");
        self.commit.failed(error.retryability().delay());
        if !error.retryability().is_retryable() {
            self.fail(error);
        }
    }

    /// Ends the source with an error.
    fn fail(&mut self, error: NetworkError) {
        self.failures.report(error);
        self.end();
    }

    /// Stops consuming and offering. `run` still waits for the records in flight.
    fn end(&mut self) {
        self.ending = true;
        self.partitions.drop_waiting();
        for id in std::mem::take(&mut self.rejected).into_values().flatten() {
            self.partitions.give_up(&id);
        }
    }
}

async fn wait_until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => std::future::pending().await,
    }
}

/// Reports the result of a record to the driver.
struct Acknowledgement {
    id: RecordId,
    sender: mpsc::UnboundedSender<Completion>,
}

impl Acknowledge for Acknowledgement {
    fn acknowledge(self: Box<Self>, result: Result<BridgeReceipt>) {
        let completion = Completion {
            id: self.id,
            result: result.map(drop),
        };
        // Fails if the driver has ended: the record is not committed, and is read again after a restart.
        let _ = self.sender.send(completion);
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
