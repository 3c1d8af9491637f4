//! Tracks the uncommitted records of each partition, and the offset that can be committed.

use std::collections::{HashMap, VecDeque};

use networking_spi::kafka::{ConsumerAssignment, KafkaMessage, PartitionOffset, TopicPartition};

/// Identifies a record in flight. A partition that was revoked and assigned again has a new `epoch`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RecordId {
    pub(super) partition: TopicPartition,
    pub(super) epoch: u64,
    pub(super) offset: i64,
}

/// The partitions with uncommitted records.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    /// The assignment to which `by_partition` corresponds.
    assignment: ConsumerAssignment,
    by_partition: HashMap<TopicPartition, Partition>,
    next_epoch: u64,
    /// Records that were read and are not acknowledged.
    outstanding: usize,
}

#[derive(Debug)]
struct Partition {
    epoch: u64,
    /// Records in the order of their offsets. Those that were offered to the bridge come first.
    records: VecDeque<Record>,
    /// The number of records that were offered.
    offered: usize,
    last_offset: i64,
    /// Records that were offered and are not acknowledged.
    in_flight: usize,
    /// The offset to commit: all earlier records are acknowledged. `None` until the first record is acknowledged.
    position: Option<i64>,
    /// Whether `position` is not committed yet.
    dirty: bool,
}

#[derive(Debug)]
struct Record {
    message: KafkaMessage,
    acknowledged: bool,
    attempts: u32,
}

impl Partitions {
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Records that were offered and are not acknowledged.
    pub(super) fn in_flight(&self) -> usize {
        self.by_partition.values().map(|partition| partition.in_flight).sum()
    }

    /// Adopts an assignment. Removes the partitions that the consumer has lost, also if they were assigned again meanwhile: the
    /// consumer then reads them again from the committed offset. Partitions that it has kept are not touched.
    pub(super) fn follow(&mut self, assignment: ConsumerAssignment) {
        if assignment.is_same(&self.assignment) {
            return;
        }
        let lost: Vec<TopicPartition> = self
            .by_partition
            .keys()
            .filter(|key| !assignment.continues(&self.assignment, key))
            .cloned()
            .collect();
        for partition in lost {
            tracing::info!(%partition, "the partition was revoked; its records in flight are read again by its next owner");
            self.forget(&partition);
        }
        self.assignment = assignment;
    }

    /// Adds a record that was read.
    pub(super) fn add(&mut self, message: KafkaMessage) {
        let key = message.topic_partition();
        // The offset went back: it was reset, because the log no longer has the position. The records in flight are read, and
        // delivered, again.
        if self
            .by_partition
            .get(&key)
            .is_some_and(|partition| message.offset <= partition.last_offset)
        {
            self.forget(&key);
        }
        let next_epoch = &mut self.next_epoch;
        let partition = self.by_partition.entry(key).or_insert_with(|| {
            *next_epoch += 1;
            Partition {
                epoch: *next_epoch,
                records: VecDeque::new(),
                offered: 0,
                last_offset: -1,
                in_flight: 0,
                position: None,
                dirty: false,
            }
        });
        partition.last_offset = message.offset;
        partition.records.push_back(Record {
            message,
            acknowledged: false,
            attempts: 0,
        });
        self.outstanding += 1;
    }

    /// Whether [`take_ready`](Self::take_ready) has records to return.
    pub(super) fn has_ready(&self, window: usize) -> bool {
        let mut partitions = self.by_partition.values();
        partitions.any(|partition| partition.in_flight < window && partition.offered < partition.records.len())
    }

    /// The next records to offer, at most `limit`: in order in each partition, up to `window` in flight.
    pub(super) fn take_ready(&mut self, window: usize, limit: usize) -> Vec<(RecordId, KafkaMessage)> {
        let mut ready = Vec::new();
        for (key, partition) in &mut self.by_partition {
            while partition.in_flight < window && ready.len() < limit {
                let Some(record) = partition.records.get_mut(partition.offered) else {
                    break;
                };
                record.attempts += 1;
                partition.offered += 1;
                partition.in_flight += 1;
                let id = RecordId {
                    partition: key.clone(),
                    epoch: partition.epoch,
                    offset: record.message.offset,
                };
                ready.push((id, record.message.clone()));
            }
        }
        ready
    }

    /// Marks a record as acknowledged.
    pub(super) fn acknowledge(&mut self, id: &RecordId) {
        let Some((partition, index)) = self.find(id) else {
            return;
        };
        if std::mem::replace(&mut partition.records[index].acknowledged, true) {
            return;
        }
        partition.in_flight -= 1;
        while partition.records.front().is_some_and(|record| record.acknowledged) {
            let record = partition.records.pop_front().expect("checked above");
            partition.offered -= 1;
            partition.position = Some(record.message.next_offset());
            partition.dirty = true;
        }
        self.outstanding -= 1;
    }

    /// How many times a record was offered; `None` if its partition was revoked.
    pub(super) fn attempts(&mut self, id: &RecordId) -> Option<u32> {
        let (partition, index) = self.find(id)?;
        Some(partition.records[index].attempts)
    }

    /// Returns a rejected record, to offer it again.
    pub(super) fn redeliver(&mut self, id: &RecordId) -> Option<KafkaMessage> {
        let (partition, index) = self.find(id)?;
        let record = &mut partition.records[index];
        record.attempts += 1;
        Some(record.message.clone())
    }

    /// Ends the redelivery of a rejected record. The record is kept, so that no offset after it is committed.
    pub(super) fn give_up(&mut self, id: &RecordId) {
        if let Some((partition, _)) = self.find(id) {
            partition.in_flight -= 1;
        }
    }

    /// The offsets that can be committed and are not committed yet.
    pub(super) fn uncommitted(&self) -> Vec<PartitionOffset> {
        let dirty = self.by_partition.iter().filter(|(_, partition)| partition.dirty);
        dirty
            .filter_map(|(key, partition)| Some(PartitionOffset::new(key.clone(), partition.position?)))
            .collect()
    }

    /// Marks offsets as committed.
    pub(super) fn committed(&mut self, offsets: &[PartitionOffset]) {
        for committed in offsets {
            if let Some(partition) = self.by_partition.get_mut(&committed.partition)
                && partition.position == Some(committed.offset)
            {
                partition.dirty = false;
            }
        }
    }

    fn forget(&mut self, key: &TopicPartition) {
        if let Some(partition) = self.by_partition.remove(key) {
            self.outstanding -= partition.records.iter().filter(|record| !record.acknowledged).count();
        }
    }

    /// Removes the records that were not offered. They are not committed, so they are read again after a restart.
    pub(super) fn drop_waiting(&mut self) {
        for partition in self.by_partition.values_mut() {
            self.outstanding -= partition.records.len() - partition.offered;
            partition.records.truncate(partition.offered);
        }
    }

    /// The partition and the index of a record in flight.
    fn find(&mut self, id: &RecordId) -> Option<(&mut Partition, usize)> {
        let partition = self.by_partition.get_mut(&id.partition)?;
        if partition.epoch != id.epoch {
            return None;
        }
        let index = partition
            .records
            .binary_search_by_key(&id.offset, |record| record.message.offset)
            .ok()?;
        Some((partition, index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition() -> TopicPartition {
        TopicPartition::new("t", 0)
    }

    fn with_records(offsets: &[i64]) -> Partitions {
        let mut partitions = Partitions::default();
        for offset in offsets {
            partitions.add(KafkaMessage::new("t", 0, *offset));
        }
        partitions
    }

    fn position(partitions: &Partitions) -> Option<i64> {
        partitions.uncommitted().first().map(|offset| offset.offset)
    }

    #[test]
    fn commits_only_up_to_the_first_unacknowledged_record() {
        // 7 is missing: the topic is compacted, or it is a transaction marker.
        let mut partitions = with_records(&[5, 6, 8]);
        let ids: Vec<RecordId> = partitions.take_ready(10, 10).into_iter().map(|(id, _)| id).collect();
        partitions.acknowledge(&ids[1]);
        assert_eq!(position(&partitions), None);
        partitions.acknowledge(&ids[2]);
        assert_eq!(position(&partitions), None);
        partitions.acknowledge(&ids[0]);
        assert_eq!(position(&partitions), Some(9));
        assert_eq!((partitions.outstanding(), partitions.in_flight()), (0, 0));
        partitions.committed(&[PartitionOffset::new(partition(), 9)]);
        assert_eq!(position(&partitions), None);
    }

    #[test]
    fn a_record_acknowledged_twice_counts_once() {
        let mut partitions = with_records(&[1, 2]);
        let ids: Vec<RecordId> = partitions.take_ready(10, 10).into_iter().map(|(id, _)| id).collect();
        partitions.acknowledge(&ids[1]);
        partitions.acknowledge(&ids[1]);
        assert_eq!((partitions.outstanding(), partitions.in_flight()), (1, 1));
    }

    #[test]
    fn the_window_limits_the_records_in_flight() {
        let mut partitions = with_records(&[1, 2, 3]);
        let first = partitions.take_ready(1, 10);
        assert_eq!(first.len(), 1);
        assert!(partitions.take_ready(1, 10).is_empty());
        partitions.acknowledge(&first[0].0);
        assert_eq!(partitions.take_ready(1, 10)[0].0.offset, 2);
    }

    #[test]
    fn results_of_a_revoked_partition_are_ignored() {
        let mut partitions = with_records(&[1, 2, 3]);
        let old = partitions.take_ready(10, 10);
        // The same records are read again.
        partitions.add(KafkaMessage::new("t", 0, 1));
        assert_eq!(partitions.outstanding(), 1);
        for (id, _) in &old {
            partitions.acknowledge(id);
        }
        assert_eq!(position(&partitions), None);
        let new = partitions.take_ready(10, 10);
        partitions.acknowledge(&new[0].0);
        assert_eq!(position(&partitions), Some(2));
    }

    #[test]
    fn only_a_changed_epoch_forgets_a_partition() {
        let assignment = |epochs: [u64; 2]| -> ConsumerAssignment {
            let numbered = (0..).zip(epochs);
            numbered
                .map(|(number, epoch)| (TopicPartition::new("t", number), epoch))
                .collect()
        };
        let mut partitions = Partitions::default();
        partitions.follow(assignment([1, 2]));
        for number in 0..2 {
            partitions.add(KafkaMessage::new("t", number, 0));
            partitions.add(KafkaMessage::new("t", number, 1));
        }
        let ids: Vec<RecordId> = partitions.take_ready(1, 10).into_iter().map(|(id, _)| id).collect();
        partitions.follow(assignment([1, 2]));
        assert_eq!(partitions.outstanding(), 4, "the consumer has kept both partitions");

        partitions.follow(assignment([1, 3]));
        assert_eq!((partitions.outstanding(), partitions.in_flight()), (2, 1));
        for id in &ids {
            partitions.acknowledge(id);
        }
        assert_eq!(partitions.uncommitted(), [PartitionOffset::new(partition(), 1)]);
        partitions.follow(ConsumerAssignment::default());
        assert_eq!((partitions.outstanding(), partitions.in_flight()), (0, 0));
        assert!(partitions.uncommitted().is_empty());
    }

    #[test]
    fn no_more_records_are_offered_than_there_is_room_for() {
        let mut partitions = with_records(&[1, 2, 3]);
        assert!(partitions.has_ready(10));
        assert_eq!(partitions.take_ready(10, 2).len(), 2);
        assert_eq!(partitions.take_ready(10, 0).len(), 0);
        assert!(partitions.has_ready(10) && !partitions.has_ready(2));
    }

    #[test]
    fn nothing_is_committed_after_a_record_that_was_given_up() {
        let mut partitions = with_records(&[1, 2, 3]);
        let ids: Vec<RecordId> = partitions.take_ready(2, 10).into_iter().map(|(id, _)| id).collect();
        partitions.give_up(&ids[0]);
        partitions.acknowledge(&ids[1]);
        partitions.drop_waiting();
        assert_eq!(partitions.in_flight(), 0);
        assert_eq!(position(&partitions), None);
    }
}
