//! Kafka clients.
