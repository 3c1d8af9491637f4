//! What a consumer has of its group.

use std::collections::{BTreeMap, BTreeSet};

use networking_spi::kafka::TopicPartition;

/// Which partitions the consumer has and how far it came in them.
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
    pub(super) fn handed_out(&mut self, topic: &str, partition: i32, next: i64) {
        let position = Position { next, committed: false };
        if let Some(partitions) = self.positions.get_mut(topic) {
            partitions.insert(partition, position);
        } else {
            self.positions
                .insert(topic.to_owned(), BTreeMap::from([(partition, position)]));
        }
    }

    pub(super) fn gained(&mut self, partition: TopicPartition) {
        self.assigned.insert(partition);
    }

    /// Another member may have gone on from here: the position must not be committed later.
    pub(super) fn gave_up(&mut self, partition: &TopicPartition) {
        self.assigned.remove(partition);
        if let Some(positions) = self.positions.get_mut(&partition.topic) {
            positions.remove(&partition.partition);
        }
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
    fn what_was_handed_out_is_committed_once() {
        let mut membership = Membership::default();
        membership.gained(partition(0));
        membership.handed_out("t", 0, 5);
        membership.handed_out("t", 0, 6);
        assert_eq!(membership.uncommitted(), BTreeMap::from([(partition(0), 6)]));
        membership.committed(membership.uncommitted());
        assert!(membership.uncommitted().is_empty());
        membership.handed_out("t", 0, 7);
        assert_eq!(membership.uncommitted(), BTreeMap::from([(partition(0), 7)]));
    }

    #[test]
    fn a_message_handed_out_during_a_commit_stays_uncommitted() {
        let mut membership = Membership::default();
        membership.handed_out("t", 0, 5);
        let under_way = membership.uncommitted();
        membership.handed_out("t", 0, 6);
        membership.committed(under_way);
        assert_eq!(membership.uncommitted(), BTreeMap::from([(partition(0), 6)]));
    }

    #[test]
    fn the_position_in_a_partition_that_went_away_is_forgotten() {
        let mut membership = Membership::default();
        for number in [0, 1] {
            membership.gained(partition(number));
            membership.handed_out("t", number, 5);
        }
        membership.gave_up(&partition(1));
        membership.gained(partition(1));
        assert_eq!(
            membership.uncommitted(),
            BTreeMap::from([(partition(0), 5)]),
            "others may have gone on in 1"
        );
    }
}
