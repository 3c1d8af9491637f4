//! Kafka inside the process: a cluster, and clients that share it.
//!
//! It follows the rules of the real thing (partitions, murmur2, groups with cooperative rebalancing, generations, static
//! members, committed offsets, retention) without sockets, disks or waiting, so that tests are quick and come out the same
//! every time. Everything that waits is notified: under tokio's paused clock no time passes but what a test asks for.
//!
//! * [`MemoryKafka`] is the client.
//! * [`MemoryCluster`] is what clients share; it makes further clients and plays [`Fault`]s.

mod assignor;
mod client;
mod cluster;
mod consumer;
mod fault;
mod group;
mod log;
mod partitioner;
mod producer;
mod topic;

pub use client::MemoryKafka;
pub use cluster::{MemoryCluster, MemoryClusterBuilder};
pub use fault::{Fault, FaultPoint};
