//! Kafka clients.

#[cfg(feature = "kafka-memory")]
pub mod memory;
