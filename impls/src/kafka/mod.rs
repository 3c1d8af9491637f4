//! Kafka clients, and what is built on them.

#[cfg(feature = "kafka-extended")]
pub mod extended;
#[cfg(feature = "kafka-memory")]
pub mod memory;
#[cfg(feature = "kafka-rdkafka")]
pub mod rdkafka;
#[cfg(feature = "kafka-extended")]
pub mod schema_registry;
#[cfg(feature = "kafka-extended")]
mod streams;
