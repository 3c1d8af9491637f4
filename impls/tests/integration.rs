//! Domains together, and apart.

mod bridge_kafka;
mod domains;
