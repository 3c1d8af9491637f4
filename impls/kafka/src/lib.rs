//! Kafka for [`networking_spi`]: an in-memory client, a client over librdkafka, and [`KafkaExtended`] over any client.
//!
//! # Responsibilities
//!
//! The crate implements [`KafkaClient`], [`KafkaTransactions`] and [`KafkaExtended`]. Applications depend on these traits, and on this crate only
//! where they create a client. It depends on `networking-spi` and `networking-runtime`, and on no other domain.
//!
//! | module | feature | contents |
//! |---|---|---|
//! | `memory` | `memory` | a cluster in this process, with partitions, groups, offsets and injected faults; deterministic |
//! | `rdkafka` | `rdkafka` | a client over librdkafka |
//! | `toolkit` | `toolkit` | stream processors, schemas, diagnostics and tuning over any client |
//! | `schema_registry` | `toolkit` | a schema registry in memory: Avro, JSON Schema, Protocol Buffers |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `memory` | yes | the in-memory client |
//! | `rdkafka` | no | the client over librdkafka, which is built from its C source |
//! | `rdkafka-tls` | no | TLS, SCRAM, OAUTHBEARER and Zstandard for `rdkafka`, with vendored OpenSSL and zstd |
//! | `toolkit` | no | the toolkit and the schema registry |
//! | `json-schema` | no | JSON Schema in the registry. It enables `arbitrary_precision` of `serde_json` in the whole program |
//!
//! [`KafkaClient`]: networking_spi::kafka::KafkaClient
//! [`KafkaExtended`]: networking_spi::kafka::KafkaExtended
//! [`KafkaTransactions`]: networking_spi::kafka::KafkaTransactions

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(any(feature = "memory", feature = "rdkafka"))]
mod counters;
#[cfg(feature = "memory")]
pub mod memory;
#[cfg(any(feature = "memory", feature = "rdkafka"))]
mod partitions;
#[cfg(feature = "rdkafka")]
pub mod rdkafka;
#[cfg(any(feature = "memory", feature = "rdkafka"))]
mod record_size;
#[cfg(feature = "toolkit")]
pub mod schema_registry;
#[cfg(feature = "toolkit")]
mod streams;
#[cfg(feature = "toolkit")]
pub mod toolkit;
#[cfg(any(feature = "memory", feature = "rdkafka"))]
mod topic_pattern;

/// Compiles the example of the README.
#[cfg(all(doctest, feature = "memory"))]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
