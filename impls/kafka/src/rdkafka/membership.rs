//! The partitions of a consumer and its positions in them.

use std::collections::{BTreeMap, BTreeSet};

use networking_spi::kafka::TopicPartition;

/// The assigned partitions of a consumer and the next offset to commit in each.
#[derive(Debug, Default)]
pub(super) struct Membership {
    pub(super) assigned: BTreeSet<TopicPartition>,
    positions: BTreeMap<String, BTreeMap<i32, Position>>,
}

#[derive(Debug, Clone, Copy)]
struct Position {
    next: i64,
    committed: bool,
}

impl Membership {
    pub(super) fn consumed(&mut self, topic: &str, partition: i32, next: i64) {
        let position = Position { next, committed: false };
        if let Some(partitions) = self.positions.get_mut(topic) {
            partitions.insert(partition, position);
        } else {
            self.positions
                .insert(topic.to_owned(), BTreeMap::from([(partition, position)]));
        }
    }

    pub(super) fn assign(&mut self, partition: TopicPartition) {
        self.assigned.insert(partition);
    }

    /// Removes a partition and its position. Another member may continue in the partition, so the position must not be
    /// committed.
    pub(super) fn revoke(&mut self, partition: &TopicPartition) {
        self.assigned.remove(partition);
        if let Some(positions) = self.positions.get_mut(&partition.topic) {
            positions.remove(&partition.partition);
        }
    }

    /// The offset after the last message that was returned since the partition was assigned.
    pub(super) fn position(&self, partition: &TopicPartition) -> Option<i64> {
        let positions = self.positions.get(&partition.topic)?;
        positions.get(&partition.partition).map(|position| position.next)
    }

    pub(super) fn uncommitted(&self) -> BTreeMap<TopicPartition, i64> {
        let all = self.positions.iter().flat_map(|(topic, partitions)| {
            partitions
                .iter()
                .map(move |(partition, position)| (TopicPartition::new(topic.clone(), *partition), position))
        });
        all.filter(|(_, position)| !position.committed)
            .map(|(partition, position)| (partition, position.next))
            .collect()
    }

    pub(super) fn committed(&mut self, offsets: BTreeMap<TopicPartition, i64>) {
        for (TopicPartition { topic, partition }, offset) in offsets {
            let position = self
                .positions
                .get_mut(&topic)
                .and_then(|partitions| partitions.get_mut(&partition));
            if let Some(position) = position {
                position.committed = position.next == offset;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    #[test]
    fn a_consumed_message_is_committed_once() {
        let mut membership = Membership::default();
        membership.assign(partition(0));
        membership.consumed("t", 0, 5);
        membership.consumed("t", 0, 6);
        assert_eq!(membership.uncommitted(), BTreeMap::from([(partition(0), 6)]));
        membership.committed(membership.uncommitted());
        assert!(membership.uncommitted().is_empty());
        membership.consumed("t", 0, 7);
        assert_eq!(membership.uncommitted(), BTreeMap::from([(partition(0), 7)]));
    }

    #[test]
    fn a_message_consumed_during_a_commit_stays_uncommitted() {
        let mut membership = Membership::default();
        membership.consumed("t", 0, 5);
        let in_progress = membership.uncommitted();
        membership.consumed("t", 0, 6);
        membership.committed(in_progress);
        assert_eq!(membership.uncommitted(), BTreeMap::from([(partition(0), 6)]));
    }

    #[test]
    fn the_position_in_a_revoked_partition_is_removed() {
        let mut membership = Membership::default();
        for number in [0, 1] {
            membership.assign(partition(number));
            membership.consumed("t", number, 5);
        }
        membership.revoke(&partition(1));
        membership.assign(partition(1));
        assert_eq!(
            membership.uncommitted(),
            BTreeMap::from([(partition(0), 5)]),
            "another member may continue in partition 1"
        );
    }
}
