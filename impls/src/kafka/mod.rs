//! Kafka clients.

#[cfg(feature = "kafka-memory")]
pub mod memory;
#[cfg(feature = "kafka-rdkafka")]
pub mod rdkafka;
#[cfg(feature = "kafka-extended")]
pub mod schema_registry;
