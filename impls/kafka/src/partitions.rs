//! Checks of partitions and offsets that the clients share.

use networking_spi::error::context;
use networking_spi::kafka::{ConsumerAssignment, TopicPartition};
use networking_spi::{ErrorKind, NetworkError, Result};

/// Fails unless all of these partitions are assigned.
pub(crate) fn require_assigned<'p>(
    operation: &'static str,
    assignment: &ConsumerAssignment,
    partitions: impl IntoIterator<Item = &'p TopicPartition>,
) -> Result<()> {
    let foreign = partitions.into_iter().find(|partition| !assignment.contains(partition));
    foreign.map_or(Ok(()), |foreign| {
        Err(NetworkError::new(
            ErrorKind::Conflict,
            operation,
            "the partition is not assigned to this consumer",
        )
        .with_context(context::PARTITION, foreign.to_string()))
    })
}

/// The error for an offset that is not in a partition.
pub(crate) fn not_within(field: &str, partition: &TopicPartition, start: i64, end: i64) -> NetworkError {
    NetworkError::invalid_input(field, format!("must be between {start} and {end} in {partition}"))
}
