//! The Kafka suite against `MemoryKafka`, and again behind pointers.

mod kafka_memory_harness;

use std::process::ExitCode;
use std::sync::Arc;

use kafka_memory_harness::MemoryHarness;
use networking_conformance::kafka::suite;
use networking_conformance::runner::Runner;

fn main() -> ExitCode {
    Runner::new()
        .add(suite(), || Arc::new(MemoryHarness::new(false)))
        .add(suite(), || Arc::new(MemoryHarness::new(true)))
        .run()
}
