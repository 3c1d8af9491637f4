//! The partitions of a consumer and its positions in them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use networking_spi::kafka::{
    ConsumerAssignment, PartitionOffset, RebalanceEvent, RebalanceEvents, RebalanceKind, TopicName, TopicPartition,
};

/// The assigned partitions of a consumer and the next offset to commit in each.
#[derive(Debug, Default)]
pub(super) struct Membership {
    partitions: BTreeMap<TopicName, BTreeMap<i32, Held>>,
    /// The same partitions, as the application sees them. It is replaced by every change.
    assignment: ConsumerAssignment,
    last_epoch: u64,
    changes: Arc<AtomicU64>,
    /// Rebalances that were not taken yet.
    pub(super) events: RebalanceEvents,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    epoch: u64,
    /// The offset after the last message that was returned.
    next: Option<i64>,
    /// The offset of the last seek or of the start, until a message is returned.
    start: Option<i64>,
    paused: bool,
    committed: bool,
    /// Whether the start offset is not known yet. Messages are not returned until it is.
    pending: bool,
}

impl Membership {
    pub(super) fn assignment(&self) -> &ConsumerAssignment {
        &self.assignment
    }

    /// The number of changes of the assignment, which can be read without the lock of the membership.
    pub(super) fn changes(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.changes)
    }

    /// Whether messages of this partition are returned: it is assigned, and its start offset is known.
    pub(super) fn reads(&self, topic: &str, partition: i32) -> bool {
        let held = self.partitions.get(topic).and_then(|of_topic| of_topic.get(&partition));
        held.is_some_and(|held| !held.pending)
    }

    /// Notes messages that are returned, before the offset `next`.
    pub(super) fn consumed(&mut self, topic: &str, partition: i32, next: i64) {
        if let Some(held) = self.held(topic, partition) {
            held.next = Some(next);
            held.start = None;
            held.committed = false;
        }
    }

    /// Adds partitions. The consumer has no position in them yet, also if they were assigned before. Those for which `pending`
    /// returns `true` wait for [`start`](Self::start). Returns whether there are any.
    pub(super) fn assign(
        &mut self,
        partitions: impl IntoIterator<Item = TopicPartition>,
        pending: impl Fn(&TopicPartition) -> bool,
    ) -> bool {
        let mut any = false;
        for partition in partitions {
            self.last_epoch += 1;
            let held = Held {
                epoch: self.last_epoch,
                next: None,
                start: None,
                paused: false,
                committed: false,
                pending: pending(&partition),
            };
            any |= held.pending;
            let TopicPartition { topic, partition } = partition;
            self.partitions.entry(topic).or_default().insert(partition, held);
        }
        self.publish();
        any
    }

    /// The partitions whose start offset is not known yet.
    pub(super) fn pending(&self) -> Vec<TopicPartition> {
        let all = self.partitions.iter().flat_map(|(topic, partitions)| {
            let pending = partitions.iter().filter(|(_, held)| held.pending);
            pending.map(move |(partition, _)| TopicPartition::new(topic.clone(), *partition))
        });
        all.collect()
    }

    /// Notes that a partition is read from its start offset.
    pub(super) fn start(&mut self, partition: &TopicPartition) {
        if let Some(held) = self.held(&partition.topic, partition.partition) {
            held.pending = false;
        }
    }

    /// Forgets the positions in assigned partitions, which were moved.
    pub(super) fn reset(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        let assigned: Vec<TopicPartition> = partitions
            .into_iter()
            .filter(|partition| self.assignment.contains(partition))
            .collect();
        let paused = self.paused();
        self.assign(assigned, |_| false);
        self.set_paused(&paused, true);
    }

    /// Notes that assigned partitions were moved to these offsets.
    pub(super) fn sought(&mut self, targets: &BTreeMap<TopicPartition, i64>) {
        self.reset(targets.keys().cloned());
        for (partition, offset) in targets {
            if let Some(held) = self.held(&partition.topic, partition.partition) {
                held.start = Some(*offset);
            }
        }
    }

    pub(super) fn set_paused(&mut self, partitions: &[TopicPartition], paused: bool) {
        for partition in partitions {
            if let Some(held) = self.held(&partition.topic, partition.partition) {
                held.paused = paused;
            }
        }
    }

    /// The paused partitions, in order.
    pub(super) fn paused(&self) -> Vec<TopicPartition> {
        self.all()
            .filter(|(_, held)| held.paused)
            .map(|(partition, _)| partition)
            .collect()
    }

    /// The known positions, in order.
    pub(super) fn positions(&self) -> Vec<PartitionOffset> {
        self.all()
            .filter_map(|(partition, held)| Some(PartitionOffset::new(partition, held.next.or(held.start)?)))
            .collect()
    }

    /// Reports a rebalance of assigned partitions.
    pub(super) fn report(&mut self, kind: RebalanceKind, partitions: &[TopicPartition]) {
        let changed = partitions.iter();
        let changed = changed.filter_map(|partition| Some((partition.clone(), self.assignment.epoch(partition)?)));
        let event = RebalanceEvent::new(kind, changed);
        self.events.push(event);
    }

    fn all(&self) -> impl Iterator<Item = (TopicPartition, &Held)> {
        self.partitions.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(|(partition, held)| (TopicPartition::new(topic.clone(), *partition), held))
        })
    }

    /// Removes partitions and the positions in them. Another member may continue there, so the positions must not be
    /// committed.
    pub(super) fn revoke(&mut self, partitions: impl IntoIterator<Item = TopicPartition>) {
        for TopicPartition { topic, partition } in partitions {
            if let Some(of_topic) = self.partitions.get_mut(&topic) {
                of_topic.remove(&partition);
                if of_topic.is_empty() {
                    self.partitions.remove(&topic);
                }
            }
        }
        self.publish();
    }

    pub(super) fn revoke_all(&mut self) {
        self.partitions.clear();
        self.publish();
    }

    /// The next offset to read in a partition. `None` before the first message.
    pub(super) fn position(&self, partition: &TopicPartition) -> Option<i64> {
        let held = self.partitions.get(&partition.topic)?.get(&partition.partition)?;
        held.next.or(held.start)
    }

    pub(super) fn uncommitted(&self) -> BTreeMap<TopicPartition, i64> {
        let all = self.partitions.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, held)| (TopicPartition::new(topic.clone(), *partition), held))
        });
        all.filter(|(_, held)| !held.committed)
            .filter_map(|(partition, held)| Some((partition, held.next?)))
            .collect()
    }

    pub(super) fn committed(&mut self, offsets: &BTreeMap<TopicPartition, i64>) {
        for (TopicPartition { topic, partition }, offset) in offsets {
            if let Some(held) = self.held(topic, *partition) {
                held.committed = held.next == Some(*offset);
            }
        }
    }

    fn held(&mut self, topic: &str, partition: i32) -> Option<&mut Held> {
        self.partitions.get_mut(topic)?.get_mut(&partition)
    }

    fn publish(&mut self) {
        let all = self.partitions.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, held)| (TopicPartition::new(topic.clone(), *partition), held.epoch))
        });
        self.assignment = all.collect();
        self.changes.fetch_add(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    fn assigned(numbers: &[i32]) -> Membership {
        let mut membership = Membership::default();
        membership.assign(numbers.iter().map(|number| partition(*number)), |_| false);
        membership
    }

    #[test]
    fn a_consumed_message_is_committed_once() {
        let mut membership = assigned(&[0]);
        membership.consumed("t", 0, 5);
        membership.consumed("t", 0, 6);
        assert_eq!(membership.uncommitted(), BTreeMap::from([(partition(0), 6)]));
        membership.committed(&membership.uncommitted());
        assert!(membership.uncommitted().is_empty());
        membership.consumed("t", 0, 7);
        assert_eq!(membership.uncommitted(), BTreeMap::from([(partition(0), 7)]));
    }

    #[test]
    fn a_message_consumed_during_a_commit_stays_uncommitted() {
        let mut membership = assigned(&[0]);
        membership.consumed("t", 0, 5);
        let in_progress = membership.uncommitted();
        membership.consumed("t", 0, 6);
        membership.committed(&in_progress);
        assert_eq!(membership.uncommitted(), BTreeMap::from([(partition(0), 6)]));
    }

    #[test]
    fn the_position_in_a_revoked_partition_is_removed() {
        let mut membership = assigned(&[0, 1]);
        for number in [0, 1] {
            membership.consumed("t", number, 5);
        }
        let before = membership.assignment().clone();
        membership.revoke([partition(1)]);
        assert!(
            !membership.reads("t", 1),
            "a message of a revoked partition is not returned"
        );
        membership.assign([partition(1)], |_| false);
        assert_eq!(
            membership.uncommitted(),
            BTreeMap::from([(partition(0), 5)]),
            "another member may continue in partition 1"
        );
        assert!(membership.assignment().continues(&before, &partition(0)));
        assert!(!membership.assignment().continues(&before, &partition(1)));
        assert!(membership.assign([partition(2)], |_| true));
        assert!(!membership.reads("t", 2), "the start offset is not known");
        assert_eq!(membership.pending(), [partition(2)]);
        membership.start(&partition(2));
        assert!(membership.reads("t", 2) && membership.pending().is_empty());
        membership.consumed("t", 2, 6);
        let before = membership.assignment().clone();
        membership.reset([partition(2), partition(3)]);
        assert_eq!(membership.position(&partition(2)), None);
        assert!(!membership.assignment().continues(&before, &partition(2)));
        assert!(!membership.assignment().contains(&partition(3)));
        membership.revoke_all();
        assert!(membership.assignment().is_empty());
    }
}
