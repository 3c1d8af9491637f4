//! Domains together.

mod bridge_kafka;
