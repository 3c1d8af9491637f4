//! Moves and pauses a consumer, and reads partitions without a group protocol.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use networking_spi::kafka::{OffsetSpec, PartitionOffset, RebalanceEvents, RebalanceKind, SeekTarget, TopicPartition};
use networking_spi::{NetworkError, Result};

use super::{COMMIT, Consumer, State};
use crate::memory::log::millis;
use crate::memory::topic::Partition;
use crate::partitions::require_assigned;

impl Consumer {
    pub(in crate::memory) fn seek(&self, partitions: &[TopicPartition], target: SeekTarget) -> Result<()> {
        const OPERATION: &str = "kafka.seek";
        let mut state = self.state.lock();
        self.ensure_open(&state, OPERATION)?;
        require_assigned(OPERATION, &state.assignment, partitions)?;
        let now = self.cluster.clock().now();
        let State { owned, last_taken, .. } = &mut *state;
        for owned in owned.iter_mut().filter(|owned| partitions.contains(&owned.partition)) {
            *last_taken += 1;
            owned.epoch = *last_taken;
            owned.consumed = false;
            owned.position = Some(match target {
                SeekTarget::Offset(offset) => offset,
                SeekTarget::At(spec) => {
                    let log = owned.log();
                    resolve(log, OPERATION, spec, now)?.unwrap_or_else(|| log.end())
                }
                _ => return Err(NetworkError::unsupported(OPERATION, "seek")),
            });
        }
        state.publish();
        drop(state);
        self.link.wake.notify_one();
        Ok(())
    }

    pub(in crate::memory) fn set_paused(
        &self,
        operation: &'static str,
        partitions: &[TopicPartition],
        paused: bool,
    ) -> Result<()> {
        let mut state = self.state.lock();
        self.ensure_open(&state, operation)?;
        require_assigned(operation, &state.assignment, partitions)?;
        for owned in state
            .owned
            .iter_mut()
            .filter(|owned| partitions.contains(&owned.partition))
        {
            owned.paused = paused;
        }
        drop(state);
        if !paused {
            self.link.wake.notify_one();
        }
        Ok(())
    }

    pub(in crate::memory) fn paused(&self) -> Vec<TopicPartition> {
        let state = self.state.lock();
        let paused = state.owned.iter().filter(|owned| owned.paused);
        paused.map(|owned| owned.partition.clone()).collect()
    }

    pub(in crate::memory) fn positions(&self) -> Vec<PartitionOffset> {
        let state = self.state.lock();
        let known = state.owned.iter();
        known
            .filter_map(|owned| Some(PartitionOffset::new(owned.partition.clone(), owned.position?)))
            .collect()
    }

    pub(in crate::memory) fn take_events(&self) -> RebalanceEvents {
        std::mem::take(&mut self.state.lock().events)
    }

    /// When the consumer must check its group again.
    pub(super) fn next_check(&self) -> Duration {
        if self.partitions.is_some() {
            return Duration::MAX;
        }
        self.state.lock().group.next_check()
    }

    pub(super) fn send_commit(&self, state: &mut State, offsets: Vec<PartitionOffset>) -> Result<()> {
        if self.partitions.is_none() {
            return state.group.commit(&self.cluster.topics, self.member(state), offsets);
        }
        let partitions: Vec<_> = offsets.iter().map(|offset| offset.partition.clone()).collect();
        require_assigned(COMMIT, &state.assignment, &partitions)?;
        if !offsets.is_empty() {
            state.group = self.cluster.commit_without_member(&self.config.group, offsets)?;
        }
        Ok(())
    }

    /// Adopts the topics of a consumer that is not a member of its group.
    pub(super) fn follow_topics(&self, state: &mut State, partitions: &[TopicPartition]) {
        let version = self.cluster.topics_version();
        if state.epoch == version {
            return;
        }
        state.epoch = version;
        let topic_of = |partition: &TopicPartition| {
            let topic = self.cluster.topics.get(&partition.topic)?;
            topic.partition(partition.partition)?;
            Some(topic)
        };
        let gone = state.owned.iter().filter(|owned| {
            let current = topic_of(&owned.partition);
            !current.is_some_and(|current| Arc::ptr_eq(&current, &owned.topic))
        });
        let gone: HashSet<_> = gone.map(|owned| owned.partition.clone()).collect();
        state.report(RebalanceKind::Revoked, &gone);
        self.release(state, &gone);
        let mut taken = HashSet::new();
        for partition in partitions {
            if state.owned.iter().any(|owned| owned.partition == *partition) {
                continue;
            }
            if let Some(topic) = topic_of(partition) {
                let committed = state.group.committed(partition);
                self.own(state, topic, partition.clone(), committed);
                taken.insert(partition.clone());
            }
        }
        state.publish();
        state.report(RebalanceKind::Assigned, &taken);
    }
}

/// The offset at a place in a partition. `None` if no record is as late as the time.
pub(in crate::memory) fn resolve(
    partition: &Partition,
    operation: &'static str,
    spec: OffsetSpec,
    now: SystemTime,
) -> Result<Option<i64>> {
    partition.expire(now);
    match spec {
        OffsetSpec::Beginning => Ok(Some(partition.start())),
        OffsetSpec::End => Ok(Some(partition.end())),
        OffsetSpec::Time(time) => Ok(partition.first_since(millis(time))),
        _ => Err(NetworkError::unsupported(operation, "list_offsets")),
    }
}
