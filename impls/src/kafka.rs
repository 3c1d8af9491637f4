//! Kafka clients, and what is built on them: the crate `networking-kafka`.

#[cfg(feature = "kafka-extended")]
pub use networking_kafka::toolkit as extended;
pub use networking_kafka::*;
