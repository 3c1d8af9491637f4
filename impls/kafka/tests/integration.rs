//! Tests of what the contract leaves to the implementation: rules of the in-memory cluster, settings of librdkafka, streams
//! and schemas. Also tests that each case of the suite can fail.

mod live;
mod memory;
mod memory_config;
mod memory_harness;
mod mock_cluster;
mod processing;
mod rdkafka;
mod real_cluster;
mod saboteurs;
mod streams;
mod toolkit;
mod transactions;
