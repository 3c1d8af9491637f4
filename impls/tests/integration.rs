//! Tests of several domains: Kafka endpoints of the bridge, and the dependencies between domains.

mod bridge_kafka;
mod domains;
