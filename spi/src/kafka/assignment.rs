//! The partitions that a consumer reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::TopicPartition;

/// The partitions that are assigned to a consumer, each with its epoch.
///
/// The epoch of a partition is a number that changes whenever the consumer loses its position in the partition: when the
/// partition was revoked or lost and is assigned again, and when its topic was deleted and created again. With the same epoch
/// as before, the consumer continues after the messages that it has returned. With another epoch it reads the partition again
/// from the committed offset, and what is known about earlier messages no longer applies.
///
/// An application that processes messages later than it consumes them compares the assignments after each call to
/// [`consume_messages`](super::KafkaClient::consume_messages), and drops what it has of partitions that are not assigned any
/// more or have another epoch. It must not commit offsets of such messages.
///
/// Clones share their contents, so that cloning is cheap.
///
/// ```
/// use networking_spi::kafka::{ConsumerAssignment, TopicPartition};
///
/// let (kept, back, gone) = (TopicPartition::new("t", 0), TopicPartition::new("t", 1), TopicPartition::new("t", 2));
/// let before: ConsumerAssignment = [(kept.clone(), 1), (back.clone(), 1), (gone.clone(), 1)].into_iter().collect();
/// let after: ConsumerAssignment = [(kept.clone(), 1), (back.clone(), 2)].into_iter().collect();
/// assert!(after.continues(&before, &kept));
/// assert!(!after.continues(&before, &back) && !after.continues(&before, &gone));
/// ```
#[derive(Debug, Clone, Default)]
pub struct ConsumerAssignment(Arc<BTreeMap<TopicPartition, u64>>);

impl ConsumerAssignment {
    /// The epoch of a partition. `None` if the partition is not assigned to the consumer.
    pub fn epoch(&self, partition: &TopicPartition) -> Option<u64> {
        self.0.get(partition).copied()
    }

    /// Whether a partition is assigned to the consumer.
    pub fn contains(&self, partition: &TopicPartition) -> bool {
        self.0.contains_key(partition)
    }

    /// Whether the partition is assigned in both, with the same epoch: the consumer has kept its position.
    pub fn continues(&self, earlier: &Self, partition: &TopicPartition) -> bool {
        self.contains(partition) && self.epoch(partition) == earlier.epoch(partition)
    }

    /// Whether both share their contents. A cheap check whether the assignment may have changed: two assignments that do not
    /// share their contents may be equal anyway.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The partitions with their epochs, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, u64)> {
        self.0.iter().map(|(partition, epoch)| (partition, *epoch))
    }

    /// The number of partitions.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no partition is assigned.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq for ConsumerAssignment {
    fn eq(&self, other: &Self) -> bool {
        self.is_same(other) || self.0 == other.0
    }
}

impl Eq for ConsumerAssignment {}

impl FromIterator<(TopicPartition, u64)> for ConsumerAssignment {
    /// The last epoch of a partition counts.
    fn from_iter<I: IntoIterator<Item = (TopicPartition, u64)>>(partitions: I) -> Self {
        Self(Arc::new(partitions.into_iter().collect()))
    }
}
