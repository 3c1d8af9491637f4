//! The task of a Kafka source: consumes records, offers them to the bridge, and commits offsets.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use networking_spi::backoff::Backoff;
use networking_spi::bridge::{Acknowledge, BridgeMessage, BridgeReceipt, Delivery};
use networking_spi::clock::Clock;
use networking_spi::kafka::{CommitOffsets, ConsumeOptions, ConsumerId, KafkaClient, KafkaMessage};
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

/// The number of attempts for the last commit, and for one that is refused because the group is rebalancing.
const LAST_COMMIT_ATTEMPTS: u32 = 3;
const LAST_COMMIT_ATTEMPTS_IN_REBALANCE: u32 = 6;

/// From this number of failed commits in a row, the source reports that it is degraded.
const DEGRADED_AFTER: u32 = 3;

/// A source with `max_outstanding` records consumes anyway, one record at a time, this many times in a `max_poll_interval`:
/// a member that does not consume is removed from its group.
const POLLS_PER_INTERVAL: u32 = 4;

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
    /// Set when a commit was refused: the next call to consume shows whether the group is rebalancing, and which partitions the
    /// source keeps.
    must_consume: bool,
    last_consumed: Instant,
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
            must_consume: false,
            last_consumed: Instant::now(),
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
            let room = self
                .settings
                .max_outstanding
                .saturating_sub(self.partitions.outstanding());
            let may_consume = !self.ending && self.consume.elapsed() && (room > 0 || self.consumes_without_room());
            let options = ConsumeOptions::new()
                .with_max_messages(room.max(1))
                .with_max_wait(if room > 0 { CONSUME_WAIT } else { Duration::ZERO });
            let wake = self.next_wake();
            let blocked = !self.ending && self.ready.capacity() == 0 && self.partitions.has_ready(self.settings.window);
            let mut consumed = None;
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
                // Room for more records. The next iteration offers them.
                () = room_in(&self.ready), if blocked => {}
                result = self.client.consume_messages(&self.consumer, options), if may_consume => consumed = Some(result),
            }
            // Also after a call to consume that was cancelled: partitions may have been revoked during the call.
            self.follow().await;
            if let Some(consumed) = consumed {
                self.must_consume = false;
                self.last_consumed = Instant::now();
                self.consumed(consumed);
            }
        }
        self.commit_last().await;
        if let Err(error) = self.client.close_consumer(&self.consumer).await {
            tracing::warn!(%error, "closing the consumer failed");
        }
    }

    /// Adopts the current assignment.
    async fn follow(&mut self) {
        match self.client.consumer_assignment(&self.consumer).await {
            Ok(assignment) => self.partitions.follow(assignment),
            Err(error) if error.retryability().is_retryable() || self.ending => {
                tracing::warn!(%error, "the assignment is not known");
            }
            Err(error) => self.fail(error),
        }
    }

    /// Whether to consume although there is no room. The records beyond the limit are bounded.
    fn consumes_without_room(&self) -> bool {
        let due = self.must_consume || self.keep_alive() <= Instant::now();
        due && self.partitions.outstanding() < 2 * self.settings.max_outstanding
    }

    /// When to consume without room, to stay in the group.
    fn keep_alive(&self) -> Instant {
        let interval = self.settings.consumer.max_poll_interval / POLLS_PER_INTERVAL;
        self.last_consumed + interval.min(deadline::LONGEST)
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
        let room = self.ready.capacity();
        for (id, record) in self.partitions.take_ready(self.settings.window, room) {
            self.offer(id, record);
        }
    }

    /// Offers a record to the bridge. The caller has checked that the channel has room.
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
        tracing::warn!(topic = &*id.partition.topic, offset = id.offset, ?wait, %error, "a record was rejected");
        self.rejected.entry(deadline::from_now(wait)).or_default().push(id);
    }

    fn redeliver(&mut self) {
        let now = Instant::now();
        while let Some(first) = self.rejected.first_entry().filter(|first| *first.key() <= now) {
            let mut due = first.remove();
            // The channel may be full of records of partitions that were revoked.
            let later = due.split_off(due.len().min(self.ready.capacity()));
            for id in due {
                if let Some(record) = self.partitions.redeliver(&id) {
                    self.offer(id, record);
                }
            }
            if !later.is_empty() {
                self.rejected
                    .entry(deadline::from_now(RETRY.initial))
                    .or_default()
                    .extend(later);
                break;
            }
        }
    }

    /// The time of the next redelivery, commit or call to consume that does not begin at once.
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
        let full =
            !self.ending && self.consume.elapsed() && self.partitions.outstanding() >= self.settings.max_outstanding;
        let keep_alive = full.then(|| self.keep_alive());
        let keep_alive = keep_alive.filter(|time| *time > Instant::now());
        [rejected, commit, consume, keep_alive].into_iter().flatten().min()
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
                if self.commit.failures >= DEGRADED_AFTER {
                    self.failures.recovered();
                }
                self.commit = Cooldown::default();
                self.partitions.committed(&offsets);
            }
            Err(error) => self.commit_failed(error),
        }
    }

    /// Prepares the next attempt. A `Conflict` does not mean that a partition is lost: the group may only be rebalancing. The
    /// next call to consume shows it, so nothing is forgotten here.
    fn commit_failed(&mut self, error: NetworkError) {
        tracing::warn!(%error, "committing offsets failed");
        self.commit.failed(error.retryability().delay());
        if self.commit.failures >= DEGRADED_AFTER {
            self.failures.degrade(&error);
        }
        if error.kind() == ErrorKind::Conflict {
            self.must_consume = true;
        } else if !error.retryability().is_retryable() {
            self.fail(error);
        }
    }

    /// Commits what was acknowledged before the source ended.
    async fn commit_last(&mut self) {
        for attempt in 1.. {
            self.commit_acknowledged().await;
            let attempts = if self.must_consume {
                LAST_COMMIT_ATTEMPTS_IN_REBALANCE
            } else {
                LAST_COMMIT_ATTEMPTS
            };
            if self.partitions.uncommitted().is_empty() || attempt >= attempts {
                break;
            }
            let wait = RETRY.delay(attempt, fastrand::f64());
            if std::mem::take(&mut self.must_consume) {
                // Takes part in the rebalance. What is read is not committed, so it is read again by the next consumer.
                let options = ConsumeOptions::new().with_max_messages(1).with_max_wait(wait);
                if self
                    .client
                    .consume_messages(&self.consumer, options)
                    .await
                    .is_ok_and(|messages| messages.is_empty())
                {
                    self.follow().await;
                    continue;
                }
                self.follow().await;
            }
            tokio::time::sleep(wait).await;
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

/// Waits until the channel has room, or is closed.
async fn room_in(channel: &mpsc::Sender<Delivery>) {
    // The room is not reserved: only this task sends.
    let _ = channel.reserve().await;
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
