//! In-memory Kafka: messages per second.

use crate::measure::Rounds;
use crate::report::Row;

/// All rows of the domain.
pub(crate) fn run(_rounds: Rounds) -> Vec<Row> {
    Vec::new()
}
