//! What of each partition is in work, and how far it can be committed.

use std::collections::{HashMap, VecDeque};

use networking_spi::kafka::{KafkaMessage, PartitionOffset, TopicPartition};

/// Identifies a record in work. `epoch` tells a partition that was lost and came back from its former self.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: TopicPartition,
    pub(super) epoch: u64,
    pub(super) offset: i64,
}

/// Partitions with records in work.
#[derive(Debug, Default)]
pub(super) struct Partitions {
    by_partition: HashMap<TopicPartition, Partition>,
    next_epoch: u64,
    /// Records that were read and not dealt with.
    outstanding: usize,
}

#[derive(Debug)]
struct Partition {
    epoch: u64,
    /// Records in the order of their offsets. Those that were handed over come first.
    records: VecDeque<Record>,
    /// How many of them were handed over.
    handed: usize,
    last_offset: i64,
    /// Handed over and not dealt with.
    in_work: usize,
    /// The next offset to read, once it is known, and whether it must still be committed.
    position: Option<i64>,
    dirty: bool,
}

#[derive(Debug)]
struct Record {
    message: KafkaMessage,
    done: bool,
    attempts: u32,
}

impl Partitions {
    pub(super) fn outstanding(&self) -> usize {
        self.outstanding
    }

    /// Records that were handed over and not dealt with.
    pub(super) fn in_work(&self) -> usize {
        self.by_partition.values().map(|partition| partition.in_work).sum()
    }

    /// A record was read.
    pub(super) fn add(&mut self, message: KafkaMessage) {
        let key = message.topic_partition();
        // The group went back: the partition was lost and came back, or it was reset. What was in work is delivered again.
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
                handed: 0,
                last_offset: -1,
                in_work: 0,
                position: None,
                dirty: false,
            }
        });
        partition.last_offset = message.offset;
        partition.records.push_back(Record {
            message,
            done: false,
            attempts: 0,
        });
        self.outstanding += 1;
    }

    /// The next records to hand over: in each partition in order, up to the window.
    pub(super) fn take_ready(&mut self, window: usize) -> Vec<(Place, KafkaMessage)> {
        let mut ready = Vec::new();
        for (key, partition) in &mut self.by_partition {
            while partition.in_work < window {
                let Some(record) = partition.records.get_mut(partition.handed) else {
                    break;
                };
                record.attempts += 1;
                partition.handed += 1;
                partition.in_work += 1;
                let place = Place {
                    partition: key.clone(),
                    epoch: partition.epoch,
                    offset: record.message.offset,
                };
                ready.push((place, record.message.clone()));
            }
        }
        ready
    }

    /// A record was dealt with.
    pub(super) fn done(&mut self, place: &Place) {
        let Some((partition, index)) = self.find(place) else {
            return;
        };
        if std::mem::replace(&mut partition.records[index].done, true) {
            return;
        }
        partition.in_work -= 1;
        while partition.records.front().is_some_and(|record| record.done) {
            let record = partition.records.pop_front().expect("there is a first one");
            partition.handed -= 1;
            partition.position = Some(record.message.next_offset());
            partition.dirty = true;
        }
        self.outstanding -= 1;
    }

    /// How often a record was handed over; `None` if it is no longer ours.
    pub(super) fn attempts(&mut self, place: &Place) -> Option<u32> {
        let (partition, index) = self.find(place)?;
        Some(partition.records[index].attempts)
    }

    /// Hands a rejected record over again.
    pub(super) fn again(&mut self, place: &Place) -> Option<KafkaMessage> {
        let (partition, index) = self.find(place)?;
        let record = &mut partition.records[index];
        record.attempts += 1;
        Some(record.message.clone())
    }

    /// A rejected record is not handed over again. It stays what keeps its partition from being committed further.
    pub(super) fn give_up(&mut self, place: &Place) {
        if let Some((partition, _)) = self.find(place) {
            partition.in_work -= 1;
        }
    }

    /// What can be committed and is not yet.
    pub(super) fn uncommitted(&self) -> Vec<PartitionOffset> {
        let dirty = self.by_partition.iter().filter(|(_, partition)| partition.dirty);
        dirty
            .filter_map(|(key, partition)| Some(PartitionOffset::new(key.clone(), partition.position?)))
            .collect()
    }

    /// These offsets were committed.
    pub(super) fn committed(&mut self, offsets: &[PartitionOffset]) {
        for committed in offsets {
            if let Some(partition) = self.by_partition.get_mut(&committed.partition)
                && partition.position == Some(committed.offset)
            {
                partition.dirty = false;
            }
        }
    }

    /// The partition is no longer ours: what was read of it is somebody else's.
    pub(super) fn forget(&mut self, key: &TopicPartition) {
        if let Some(partition) = self.by_partition.remove(key) {
            self.outstanding -= partition.records.iter().filter(|record| !record.done).count();
        }
    }

    /// What waits is not handed over any more: it was never committed.
    pub(super) fn drop_waiting(&mut self) {
        for partition in self.by_partition.values_mut() {
            self.outstanding -= partition.records.len() - partition.handed;
            partition.records.truncate(partition.handed);
        }
    }

    /// The partition and the index of a record in work.
    fn find(&mut self, place: &Place) -> Option<(&mut Partition, usize)> {
        let partition = self.by_partition.get_mut(&place.partition)?;
        if partition.epoch != place.epoch {
            return None;
        }
        let index = partition
            .records
            .binary_search_by_key(&place.offset, |record| record.message.offset)
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
    fn commits_only_what_has_no_gap_before_it() {
        // 7 is missing: a compacted topic, or a transaction's marker.
        let mut partitions = with_records(&[5, 6, 8]);
        let places: Vec<Place> = partitions.take_ready(10).into_iter().map(|(place, _)| place).collect();
        partitions.done(&places[1]);
        assert_eq!(position(&partitions), None);
        partitions.done(&places[2]);
        assert_eq!(position(&partitions), None);
        partitions.done(&places[0]);
        assert_eq!(position(&partitions), Some(9));
        assert_eq!((partitions.outstanding(), partitions.in_work()), (0, 0));
        partitions.committed(&[PartitionOffset::new(partition(), 9)]);
        assert_eq!(position(&partitions), None);
    }

    #[test]
    fn an_answer_given_twice_counts_once() {
        let mut partitions = with_records(&[1, 2]);
        let places: Vec<Place> = partitions.take_ready(10).into_iter().map(|(place, _)| place).collect();
        partitions.done(&places[1]);
        partitions.done(&places[1]);
        assert_eq!((partitions.outstanding(), partitions.in_work()), (1, 1));
    }

    #[test]
    fn the_window_bounds_what_is_in_work() {
        let mut partitions = with_records(&[1, 2, 3]);
        let first = partitions.take_ready(1);
        assert_eq!(first.len(), 1);
        assert!(partitions.take_ready(1).is_empty());
        partitions.done(&first[0].0);
        assert_eq!(partitions.take_ready(1)[0].0.offset, 2);
    }

    #[test]
    fn answers_for_a_partition_that_was_lost_are_ignored() {
        let mut partitions = with_records(&[1, 2, 3]);
        let old = partitions.take_ready(10);
        // The group hands out the same records again.
        partitions.add(KafkaMessage::new("t", 0, 1));
        assert_eq!(partitions.outstanding(), 1);
        for (place, _) in &old {
            partitions.done(place);
        }
        assert_eq!(position(&partitions), None);
        let new = partitions.take_ready(10);
        partitions.done(&new[0].0);
        assert_eq!(position(&partitions), Some(2));
    }

    #[test]
    fn a_record_that_was_given_up_keeps_its_partition() {
        let mut partitions = with_records(&[1, 2, 3]);
        let places: Vec<Place> = partitions.take_ready(2).into_iter().map(|(place, _)| place).collect();
        partitions.give_up(&places[0]);
        partitions.done(&places[1]);
        partitions.drop_waiting();
        assert_eq!(partitions.in_work(), 0);
        assert_eq!(position(&partitions), None);
    }
}
