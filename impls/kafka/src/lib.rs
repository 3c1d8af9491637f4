//! Kafka clients, and what is built on them.
//!
//! | module | feature | what |
//! |---|---|---|
//! | [`memory`] | `memory` | a deterministic client and cluster in this process |
//! | [`rdkafka`] | `rdkafka` | a client over librdkafka |
//! | [`toolkit`] | `toolkit` | stream processors, schemas, diagnostics and tuning over any client |
//! | [`schema_registry`] | `toolkit` | a schema registry in this process |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "memory")]
pub mod memory;
#[cfg(feature = "rdkafka")]
pub mod rdkafka;
#[cfg(feature = "toolkit")]
pub mod schema_registry;
#[cfg(feature = "toolkit")]
mod streams;
#[cfg(feature = "toolkit")]
pub mod toolkit;
