//! The operations beyond producing and consuming, over any [`KafkaClient`](networking_spi::kafka::KafkaClient).
//!
//! ```
//! use std::sync::Arc;
//! use networking_kafka::toolkit::KafkaToolkit;
//! use networking_spi::kafka::{KafkaClient, KafkaExtended, OptimizationGoal, Schema, SchemaType};
//!
//! # async fn example(kafka: Arc<dyn KafkaClient>) -> networking_spi::Result<()> {
//! let toolkit = KafkaToolkit::builder(kafka).build();
//! let schema = Schema::new(SchemaType::Avro, r#"{"type":"record","name":"Order","fields":[]}"#);
//! let registered = toolkit.register_schema("orders-value", schema).await?;
//! toolkit.optimize_kafka_performance(OptimizationGoal::Throughput).await?;
//! let tuned = toolkit.client();
//! # Ok(())
//! # }
//! ```
//!
//! # What it can and cannot do
//!
//! * Stream processing takes effect at least once. `ExactlyOnce` is
//!   [`Unsupported`](networking_spi::ErrorKind::Unsupported): the client contract has no transactions.
//! * Schemas are kept in this process by a [`SchemaRegistry`](crate::schema_registry::SchemaRegistry).
//! * Tuning and security apply to producers and consumers made through [`KafkaToolkit::client`] and to stream processors; the
//!   client that was handed in stays as it is. Security needs a [client factory](KafkaToolkitBuilder::client_factory).
//! * Diagnostics know the groups of consumers made through the toolkit and those it was told to
//!   [watch](KafkaToolkitBuilder::watch_group): the client contract cannot list groups.

mod configured;
mod diagnostics;
mod kafka_toolkit;
mod tuning;

pub use kafka_toolkit::{ClientFactory, KafkaToolkit, KafkaToolkitBuilder};
