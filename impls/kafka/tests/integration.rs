//! What the contract does not say: rules of the in-memory cluster, librdkafka's settings, streams, schemas. And the proof that
//! each case of the suite can fail.

mod memory;
mod memory_harness;
mod mock_cluster;
mod rdkafka;
mod saboteurs;
mod streams;
mod toolkit;
