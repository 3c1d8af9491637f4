//! What a processor has consumed and not committed yet.

use std::collections::BTreeMap;

use networking_spi::kafka::{ConsumerAssignment, KafkaMessage, PartitionOffset, TopicPartition};

/// The offsets to commit, and the messages that were consumed early, of the partitions that the processor has kept.
#[derive(Debug, Default)]
pub(super) struct Position {
    assignment: ConsumerAssignment,
    uncommitted: BTreeMap<TopicPartition, i64>,
    /// Messages that were consumed while a batch was processed.
    early: Vec<KafkaMessage>,
}

impl Position {
    pub(super) fn assignment(&self) -> &ConsumerAssignment {
        &self.assignment
    }

    /// Adopts an assignment. Drops what belongs to partitions that the processor has lost: their messages are read again from
    /// the committed offset, by this processor or by another member.
    pub(super) fn follow(&mut self, assignment: ConsumerAssignment) {
        if assignment.is_same(&self.assignment) {
            return;
        }
        let earlier = std::mem::replace(&mut self.assignment, assignment);
        let current = &self.assignment;
        self.uncommitted
            .retain(|partition, _| current.continues(&earlier, partition));
        self.early
            .retain(|message| current.continues(&earlier, &message.topic_partition()));
    }

    /// Notes the offset after the last finished message of a partition. It is ignored if the partition was lost since
    /// `assignment`.
    pub(super) fn finished(&mut self, assignment: &ConsumerAssignment, partition: TopicPartition, next: i64) {
        if self.assignment.continues(assignment, &partition) {
            self.uncommitted.insert(partition, next);
        }
    }

    pub(super) fn uncommitted(&self) -> Vec<PartitionOffset> {
        let offsets = self.uncommitted.iter();
        offsets
            .map(|(partition, next)| PartitionOffset::new(partition.clone(), *next))
            .collect()
    }

    pub(super) fn committed(&mut self, offsets: &[PartitionOffset]) {
        for PartitionOffset { partition, offset } in offsets {
            if self.uncommitted.get(partition) == Some(offset) {
                self.uncommitted.remove(partition);
            }
        }
    }

    pub(super) fn add_early(&mut self, messages: Vec<KafkaMessage>) {
        self.early.extend(messages);
    }

    pub(super) fn has_early(&self) -> bool {
        !self.early.is_empty()
    }

    pub(super) fn take_early(&mut self) -> Vec<KafkaMessage> {
        std::mem::take(&mut self.early)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("t", number)
    }

    fn assigned(epochs: [u64; 2]) -> ConsumerAssignment {
        (0..).map(partition).zip(epochs).collect()
    }

    #[test]
    fn what_belongs_to_a_lost_partition_is_dropped() {
        let mut position = Position::default();
        position.follow(assigned([1, 2]));
        let at_start = position.assignment().clone();
        position.add_early(vec![KafkaMessage::new("t", 0, 7), KafkaMessage::new("t", 1, 7)]);
        position.finished(&at_start, partition(0), 5);
        position.finished(&at_start, partition(1), 5);

        // Partition 1 went to another member, and is back.
        position.follow(assigned([1, 3]));
        assert_eq!(position.uncommitted(), [PartitionOffset::new(partition(0), 5)]);
        position.finished(&at_start, partition(1), 6);
        assert_eq!(
            position.uncommitted().len(),
            1,
            "the lane began before the partition was lost"
        );
        assert_eq!(position.take_early(), [KafkaMessage::new("t", 0, 7)]);

        position.finished(&at_start, partition(0), 8);
        position.committed(&[PartitionOffset::new(partition(0), 5)]);
        assert_eq!(position.uncommitted(), [PartitionOffset::new(partition(0), 8)]);
        position.committed(&position.uncommitted());
        assert!(position.uncommitted().is_empty() && !position.has_early());
    }
}
