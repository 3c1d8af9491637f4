//! Moves a consumer to other offsets: in topics that were created again, in partitions that were added, and where it has no
//! valid position.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use networking_spi::kafka::{ConsumerAssignment, TopicPartition};
use networking_spi::{NetworkError, Result};
use parking_lot::Mutex;
use rdkafka::consumer::{Consumer as _, RebalanceProtocol, StreamConsumer};
use rdkafka::error::KafkaError;
use rdkafka::{Offset, TopicPartitionList};
use tokio::task::spawn_blocking;

use super::control::interrupted;
use super::error;
use super::membership::Membership;
use super::rebalance::GroupContext;

/// librdkafka answers a seek without the cluster.
const SEEK_TIMEOUT: Duration = Duration::from_secs(5);

/// The consumer to move. Its calls run on blocking threads.
#[derive(Clone)]
pub(super) struct Mover {
    pub(super) operation: &'static str,
    pub(super) consumer: Arc<StreamConsumer<GroupContext>>,
    pub(super) membership: Arc<Mutex<Membership>>,
    pub(super) limit: Duration,
}

impl Mover {
    /// The committed offsets of partitions. `None` where nothing is committed.
    pub(super) async fn committed(
        &self,
        partitions: Vec<TopicPartition>,
    ) -> Result<BTreeMap<TopicPartition, Option<i64>>> {
        let limit = self.limit;
        let requested = partitions.clone();
        let found = self
            .blocking(move |consumer| {
                consumer.committed_offsets(list(requested.iter().map(|of| (of, Offset::Invalid)))?, limit)
            })
            .await?;
        let committed = partitions.into_iter().filter_map(|partition| {
            let element = found.find_partition(&partition.topic, partition.partition)?;
            element.error().ok()?;
            let offset = match element.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            };
            Some((partition, offset))
        });
        Ok(committed.collect())
    }

    /// Continues at these offsets. What was fetched and not returned is dropped. Returns the partitions that were moved; the
    /// others are being revoked.
    pub(super) async fn seek(&self, targets: Vec<(TopicPartition, Offset)>) -> Result<Vec<TopicPartition>> {
        let requested = targets.clone();
        let sought = self
            .blocking(move |consumer| {
                let list = list(requested.iter().map(|(partition, offset)| (partition, *offset)))?;
                consumer.seek_partitions(list, SEEK_TIMEOUT)
            })
            .await?;
        let moved = targets.into_iter().map(|(partition, _)| partition).filter(|partition| {
            let element = sought.find_partition(&partition.topic, partition.partition);
            element.is_some_and(|element| element.error().is_ok())
        });
        Ok(moved.collect())
    }

    /// Assigns partitions again at these offsets. Unlike [`seek`](Self::seek), this works for partitions without a position,
    /// from which librdkafka no longer fetches.
    pub(super) async fn assign(&self, targets: BTreeMap<TopicPartition, i64>) -> Result<()> {
        let membership = Arc::clone(&self.membership);
        self.blocking(move |consumer| {
            if matches!(consumer.rebalance_protocol(), RebalanceProtocol::Cooperative) {
                let at = list(
                    targets
                        .iter()
                        .map(|(partition, offset)| (partition, Offset::Offset(*offset))),
                )?;
                consumer.incremental_unassign(&at)?;
                consumer.incremental_assign(&at)?;
            } else {
                let mut all = consumer.assignment()?;
                let positions = membership.lock().assignment().clone();
                for (partition, _) in positions.iter() {
                    let target = targets.get(partition).copied();
                    let position = target.or_else(|| membership.lock().position(partition));
                    // Without a position, the consumer starts at the committed offset again.
                    let offset = position.map_or(Offset::Invalid, Offset::Offset);
                    all.set_partition_offset(&partition.topic, partition.partition, offset)?;
                }
                consumer.assign(&all)?;
            }
            let paused = {
                let mut membership = membership.lock();
                membership.reset(targets.into_keys());
                membership.paused()
            };
            // A partition that is assigned again is not paused.
            if !paused.is_empty() {
                consumer.pause(&list(paused.iter().map(|of| (of, Offset::Invalid)))?)?;
            }
            Ok(())
        })
        .await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&StreamConsumer<GroupContext>) -> Result<T, KafkaError> + Send + 'static,
    ) -> Result<T> {
        let consumer = Arc::clone(&self.consumer);
        let operation = self.operation;
        spawn_blocking(move || work(&consumer))
            .await
            .map_err(interrupted)?
            .map_err(|error| error::from_kafka(operation, error))
    }
}

/// Partitions without a valid position, because the reset policy is to fail. librdkafka reports it once, and then fetches
/// nothing from them.
pub(super) struct Unpositioned {
    pub(super) error: KafkaError,
    /// The assignment when librdkafka reported the error.
    assignment: ConsumerAssignment,
    partitions: Vec<TopicPartition>,
}

impl Unpositioned {
    /// librdkafka's error does not name the partition. It is one without a committed offset; if there is none, an offset is
    /// out of range, which may be the one of any partition.
    pub(super) async fn find(error: KafkaError, mover: &Mover) -> Self {
        let assignment = mover.membership.lock().assignment().clone();
        let all: Vec<TopicPartition> = assignment.iter().map(|(partition, _)| partition.clone()).collect();
        let unread = {
            let membership = mover.membership.lock();
            let unread = all.iter().filter(|partition| membership.position(partition).is_none());
            unread.cloned().collect::<Vec<_>>()
        };
        let committed = if unread.is_empty() {
            BTreeMap::new()
        } else {
            mover.committed(unread).await.unwrap_or_default()
        };
        let without = committed.into_iter().filter(|(_, committed)| committed.is_none());
        let without: Vec<TopicPartition> = without.map(|(partition, _)| partition).collect();
        Self {
            error,
            assignment,
            partitions: if without.is_empty() { all } else { without },
        }
    }

    pub(super) fn of(error: KafkaError, assignment: ConsumerAssignment, partitions: Vec<TopicPartition>) -> Self {
        Self {
            error,
            assignment,
            partitions,
        }
    }

    /// The partitions that are still assigned and were not moved.
    pub(super) fn remaining(&self, current: &ConsumerAssignment) -> Vec<&TopicPartition> {
        let partitions = self.partitions.iter();
        partitions
            .filter(|partition| current.continues(&self.assignment, partition))
            .collect()
    }
}

/// Describes an error about partitions.
pub(super) fn name_partitions(error: NetworkError, partitions: &[&TopicPartition]) -> NetworkError {
    const SHOWN: usize = 10;
    let names: Vec<String> = partitions.iter().take(SHOWN).map(ToString::to_string).collect();
    error.with_context("partitions", names.join(", "))
}

pub(super) fn list<'p>(
    partitions: impl Iterator<Item = (&'p TopicPartition, Offset)>,
) -> Result<TopicPartitionList, KafkaError> {
    let mut list = TopicPartitionList::new();
    for (partition, offset) in partitions {
        list.add_partition_offset(&partition.topic, partition.partition, offset)?;
    }
    Ok(list)
}
