//! What a consumer reads, and moving and pausing it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use networking_spi::kafka::{PartitionOffset, RebalanceEvents, RebalanceKind, TopicPartition};
use networking_spi::{NetworkError, Phase, Result};
use rdkafka::consumer::{Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::{Offset, TopicPartitionList};
use tokio::sync::MutexGuard;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep};

use super::{CONSUME, Consumer};
use crate::partitions::require_assigned;
use crate::rdkafka::control::interrupted;
use crate::rdkafka::error;
use crate::rdkafka::membership::Membership;
use crate::rdkafka::rebalance::GroupContext;
use crate::rdkafka::reposition::{Mover, list};

const SEEK: &str = "kafka.seek";

/// How long a seek waits until librdkafka has begun to fetch from a partition that was just assigned. Until then it refuses the
/// seek.
const FETCH_LIMIT: Duration = Duration::from_secs(5);
const FETCH_CHECK_INTERVAL: Duration = Duration::from_millis(10);

/// The wait before a coordinator is asked again.
const COORDINATOR_WAIT: Duration = Duration::from_millis(50);

/// What a new consumer reads.
pub(in crate::rdkafka) enum What {
    /// Topics, as a member of the group. There may be none yet.
    Topics(Vec<String>),
    /// Partitions, without joining the group.
    Partitions(Vec<Start>),
}

/// A partition of a consumer that does not join its group.
pub(in crate::rdkafka) struct Start {
    pub(in crate::rdkafka) partition: TopicPartition,
    /// Where to start without a committed offset. `None`: nowhere.
    pub(in crate::rdkafka) default: Option<i64>,
}

impl What {
    /// Subscribes, or assigns the partitions at the committed offsets.
    pub(super) fn begin(
        self,
        consumer: &StreamConsumer<GroupContext>,
        membership: &mut Membership,
        limit: Duration,
    ) -> Result<(), KafkaError> {
        let starts = match self {
            Self::Topics(topics) if topics.is_empty() => return Ok(()),
            Self::Topics(topics) => {
                let names: Vec<_> = topics.iter().map(String::as_str).collect();
                return consumer.subscribe(&names);
            }
            Self::Partitions(starts) => starts,
        };
        let partitions: Vec<_> = starts.iter().map(|start| start.partition.clone()).collect();
        let invalid = list(partitions.iter().map(|of| (of, Offset::Invalid)))?;
        let committed = committed(consumer, &invalid, limit)?;
        let mut known = BTreeMap::new();
        let mut assigned = Vec::with_capacity(starts.len());
        for Start { partition, default } in &starts {
            let element = committed.find_partition(&partition.topic, partition.partition);
            let offset = match element.map(|element| element.offset()) {
                Some(Offset::Offset(offset)) => Some(offset),
                _ => *default,
            };
            if let Some(offset) = offset {
                known.insert(partition.clone(), offset);
            }
            assigned.push((partition, offset.map_or(Offset::Invalid, Offset::Offset)));
        }
        consumer.assign(&list(assigned.into_iter())?)?;
        membership.assign(partitions.clone(), |_| false);
        membership.sought(&known);
        membership.report(RebalanceKind::Assigned, &partitions);
        Ok(())
    }
}

/// The committed offsets of the consumer's group. Asks again while its coordinator moves or starts. Blocks for at most about twice
/// `limit`.
fn committed(
    consumer: &StreamConsumer<GroupContext>,
    partitions: &TopicPartitionList,
    limit: Duration,
) -> Result<TopicPartitionList, KafkaError> {
    let begun = Instant::now();
    loop {
        let error = match consumer.committed_offsets(partitions.clone(), limit) {
            Ok(found) => match found.elements().iter().find_map(|element| element.error().err()) {
                None => return Ok(found),
                Some(error) => error,
            },
            Err(error) => error,
        };
        let moves = matches!(
            error.rdkafka_error_code(),
            Some(
                Code::NotCoordinator
                    | Code::CoordinatorNotAvailable
                    | Code::CoordinatorLoadInProgress
                    | Code::WaitingForCoordinator
            )
        );
        if !moves || begun.elapsed() >= limit {
            return Err(error);
        }
        thread::park_timeout(COORDINATOR_WAIT);
    }
}

/// Replaces the subscription.
pub(super) async fn subscribe(consumer: Arc<StreamConsumer<GroupContext>>, topics: Vec<String>) -> Result<()> {
    spawn_blocking(move || {
        if topics.is_empty() {
            consumer.unsubscribe();
            return Ok(());
        }
        let names: Vec<_> = topics.iter().map(String::as_str).collect();
        consumer.subscribe(&names)
    })
    .await
    .map_err(interrupted)?
    .map_err(|error| error::from_kafka(CONSUME, error))
}

impl Consumer {
    /// Continues at these offsets.
    pub(in crate::rdkafka) async fn seek(&self, mut targets: BTreeMap<TopicPartition, i64>) -> Result<()> {
        let _turn = self.take_turn().await;
        let deadline = Instant::now() + self.request_timeout.min(FETCH_LIMIT);
        let seeker = Mover {
            operation: SEEK,
            ..self.mover(self.stream(SEEK)?)
        };
        loop {
            self.require_assigned(SEEK, targets.keys())?;
            let requested = targets.iter().map(|(of, offset)| (of.clone(), Offset::Offset(*offset)));
            let moved: BTreeSet<_> = seeker.seek(requested.collect()).await?.into_iter().collect();
            let (done, left) = targets
                .into_iter()
                .partition(|(partition, _)| moved.contains(partition));
            self.membership.lock().sought(&done);
            targets = left;
            if targets.is_empty() {
                return Ok(());
            }
            if Instant::now() >= deadline {
                let limit = self.request_timeout.min(FETCH_LIMIT);
                let error = self.callbacks.explain(NetworkError::timeout(SEEK, Phase::Total, limit));
                let names: Vec<_> = targets.keys().map(ToString::to_string).collect();
                return Err(error.with_context("partitions", names.join(", ")));
            }
            sleep(FETCH_CHECK_INTERVAL).await;
        }
    }

    /// Fails unless all of these partitions are assigned.
    pub(in crate::rdkafka) fn require_assigned<'p>(
        &self,
        operation: &'static str,
        partitions: impl IntoIterator<Item = &'p TopicPartition>,
    ) -> Result<()> {
        require_assigned(operation, self.membership.lock().assignment(), partitions)
    }

    pub(in crate::rdkafka) async fn set_paused(
        &self,
        operation: &'static str,
        partitions: Vec<TopicPartition>,
        paused: bool,
    ) -> Result<()> {
        let _turn = self.take_turn().await;
        self.require_assigned(operation, &partitions)?;
        if partitions.is_empty() {
            return Ok(());
        }
        let consumer = Arc::clone(self.stream(operation)?);
        let membership = Arc::clone(&self.membership);
        spawn_blocking(move || {
            let named = list(partitions.iter().map(|of| (of, Offset::Invalid)))?;
            if paused {
                consumer.pause(&named)?;
            } else {
                consumer.resume(&named)?;
            }
            membership.lock().set_paused(&partitions, paused);
            Ok(())
        })
        .await
        .map_err(interrupted)?
        .map_err(|error| error::from_kafka(operation, error))
    }

    pub(in crate::rdkafka) fn paused(&self) -> Vec<TopicPartition> {
        self.membership.lock().paused()
    }

    pub(in crate::rdkafka) fn positions(&self) -> Vec<PartitionOffset> {
        self.membership.lock().positions()
    }

    pub(in crate::rdkafka) fn take_events(&self) -> RebalanceEvents {
        std::mem::take(&mut self.membership.lock().events)
    }

    /// Waits until no call consumes. One that waits for messages gives way.
    async fn take_turn(&self) -> MutexGuard<'_, ()> {
        let _waiting = Waiting::begin(&self.waiting);
        self.watch.notify();
        self.turn.lock().await
    }
}

/// Counts as one waiting operation until it is dropped.
struct Waiting<'c>(&'c AtomicUsize);

impl<'c> Waiting<'c> {
    fn begin(waiting: &'c AtomicUsize) -> Self {
        waiting.fetch_add(1, Ordering::AcqRel);
        Self(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
