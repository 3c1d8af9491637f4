//! Kafka clients.

#[cfg(feature = "kafka-rdkafka")]
pub mod rdkafka;
