//! Bridges between protocols: [`InProcessBridge`] implements
//! [`CommunicationBridge`](networking_spi::bridge::CommunicationBridge), and the endpoints connect it to HTTP and Kafka.
//!
//! # Responsibilities
//!
//! | this crate | not this crate |
//! |---|---|
//! | runs each bridge as tasks of the caller's tokio runtime: intake, order by key, retries, dead letters, draining | stores messages: a message in flight is kept by its source's peer until it is acknowledged |
//! | evaluates routing rules; their conditions are CEL, or a language of the application's own [`ConditionCompiler`] | decides which messages an application wants |
//! | HTTP and Kafka endpoints over [`HttpClient`](networking_spi::http::HttpClient) and [`KafkaClient`](networking_spi::kafka::KafkaClient) | HTTP and Kafka clients: any implementation of these contracts can be passed in |
//!
//! # Endpoints
//!
//! | protocol | source | sink |
//! |---|---|---|
//! | HTTP | [`HttpListenerSource`]: a server for webhooks | [`HttpSink`] |
//! | Kafka | [`KafkaSource`] | [`KafkaSink`] |
//! | in memory | [`MemorySource`] | [`MemorySink`] |
//!
//! Applications can add endpoints by implementing [`BridgeSource`](networking_spi::bridge::BridgeSource) and
//! [`BridgeSink`](networking_spi::bridge::BridgeSink).
//!
//! # Features
//!
//! | feature | default | what it adds | in `networking-impls` |
//! |---|---|---|---|
//! | `cel` | yes | `CelCompiler`: conditions in the [Common Expression Language](https://cel.dev) | `bridge-cel` |
//!
//! Without `cel`, and without a [`ConditionCompiler`] of the application, configuring a rule that has a condition fails with
//! [`Unsupported`](networking_spi::ErrorKind::Unsupported). Rules with the condition `true`, the default target and dead
//! letters work.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod deadline;
mod endpoints;
mod engine;
mod in_process;
mod routing;

pub use endpoints::{
    HmacSha256, HttpListenerBuilder, HttpListenerCounters, HttpListenerSource, HttpSink, KafkaSink, KafkaSource,
    MemoryEnds, MemorySink, MemorySource, SentMessage, kafka_headers,
};
pub use in_process::{InProcessBridge, InProcessBridgeBuilder};
#[cfg(feature = "cel")]
pub use routing::CelCompiler;
pub use routing::{Condition, ConditionCompiler, Facts, PayloadFields};

#[cfg(all(doctest, feature = "cel"))]
#[doc = include_str!("../README.md")]
mod readme {}
