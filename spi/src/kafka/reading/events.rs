//! Rebalances of a consumer.

use crate::kafka::TopicPartition;

/// What happened to partitions of a consumer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RebalanceKind {
    /// They were assigned to the consumer.
    Assigned,
    /// They were taken from the consumer, which was a member of the group until then. Offsets that were committed before are in
    /// effect.
    Revoked,
    /// The consumer was removed from the group, or fenced. Other members may have read the partitions for some time.
    Lost,
}

/// A change of the partitions of a consumer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RebalanceEvent {
    /// What happened.
    pub kind: RebalanceKind,
    /// The partitions in order, at least one, each with the epoch of [`ConsumerAssignment`](crate::kafka::ConsumerAssignment):
    /// the new one of an assigned partition, the last one of the others.
    pub partitions: Vec<(TopicPartition, u64)>,
}

impl RebalanceEvent {
    /// A change of these partitions, which are put in order.
    pub fn new(kind: RebalanceKind, partitions: impl IntoIterator<Item = (TopicPartition, u64)>) -> Self {
        let mut partitions: Vec<_> = partitions.into_iter().collect();
        partitions.sort_unstable();
        Self { kind, partitions }
    }
}

/// The rebalances since the last call, in order.
///
/// For implementers: [`push`](Self::push) keeps the newest [`CAPACITY`](Self::CAPACITY) events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct RebalanceEvents {
    /// The events.
    pub events: Vec<RebalanceEvent>,
    /// How many older events were dropped, because there were more than [`CAPACITY`](Self::CAPACITY).
    pub missed: u64,
}

impl RebalanceEvents {
    /// The maximum number of events that a consumer keeps.
    pub const CAPACITY: usize = 256;

    /// Adds an event, unless it has no partitions. Drops the oldest one if there are too many.
    pub fn push(&mut self, event: RebalanceEvent) {
        if event.partitions.is_empty() {
            return;
        }
        if self.events.len() >= Self::CAPACITY {
            self.events.remove(0);
            self.missed += 1;
        }
        self.events.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_events_are_dropped_and_counted() {
        let mut events = RebalanceEvents::default();
        events.push(RebalanceEvent::new(RebalanceKind::Assigned, []));
        assert!(events.events.is_empty());
        for epoch in 0..300 {
            let partition = TopicPartition::new("t", 0);
            events.push(RebalanceEvent::new(RebalanceKind::Assigned, [(partition, epoch)]));
        }
        assert_eq!((events.events.len(), events.missed), (RebalanceEvents::CAPACITY, 44));
        assert_eq!(events.events[0].partitions[0].1, 44);
    }
}
