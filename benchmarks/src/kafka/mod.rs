//! Kafka: in memory alone, and over one broker against raw rdkafka and Kafka's own tools.

mod broker;
mod memory;

use crate::measure::Rounds;
use crate::report::Row;

/// The rows of the domain, or of one of its parts `memory` and `broker`. The part `broker` needs `KAFKA_BOOTSTRAP`.
pub(crate) fn run(rounds: Rounds, part: Option<&str>) -> Vec<Row> {
    let mut rows = Vec::new();
    if part.is_none_or(|part| part == "memory") {
        rows.extend(memory::run(rounds));
    }
    if part.is_none_or(|part| part == "broker") {
        rows.extend(broker::run(rounds));
    }
    rows
}
