//! An in-memory Kafka cluster and its client, for tests and examples.
//!
//! It implements Kafka's rules for partitions, keys (murmur2), consumer groups with cooperative rebalancing (KIP-429),
//! static members (KIP-345), committed offsets, transactions (KIP-98) and retention. It uses no sockets and no files, so tests are fast and
//! deterministic. Waiting calls use notifications and tokio's timers and do not poll, so tests can pause tokio's clock.
//!
//! * [`MemoryKafka`] is the client.
//! * [`MemoryCluster`] is the cluster: it creates clients and injects [`Fault`]s.

mod administration;
mod assignor;
mod broker_settings;
mod client;
mod client_ids;
mod cluster;
mod consumer;
mod coordinator;
mod fault;
mod group;
mod linger;
mod log;
mod mark;
mod memory_cluster;
mod producer;
mod reading;
mod settings;
mod topic;
mod topics;
mod transaction;
mod transactional;

pub use client::MemoryKafka;
pub use fault::{Fault, FaultPoint};
pub use memory_cluster::{MemoryCluster, MemoryClusterBuilder};
