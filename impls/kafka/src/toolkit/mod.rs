//! [`KafkaToolkit`] implements [`KafkaExtended`](networking_spi::kafka::KafkaExtended) over any
//! [`KafkaClient`](networking_spi::kafka::KafkaClient): stream processors, schemas, diagnostics and tuning.
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
//! # Behaviour and limits
//!
//! * Stream processors deliver at least once. `ExactlyOnce` is [`Unsupported`](networking_spi::ErrorKind::Unsupported),
//!   because they do not use transactions. [`KafkaToolkit::client`] does not declare them either: the producers and consumers of
//!   the client that was passed to the builder have other ids.
//! * A [`SchemaRegistry`](crate::schema_registry::SchemaRegistry) keeps the schemas in memory.
//! * Tuning and security apply to stream processors and to producers and consumers that are created through
//!   [`KafkaToolkit::client`]. The client that was passed to the builder does not change. Changing the security needs a
//!   [client factory](KafkaToolkitBuilder::client_factory).
//! * Diagnostics cover the groups of consumers that are created through the toolkit, and those added with
//!   [`watch_group`](KafkaToolkitBuilder::watch_group), because `KafkaClient` cannot list groups.

mod configured;
mod diagnostics;
mod kafka_toolkit;
mod tuning;

pub use kafka_toolkit::{ClientFactory, KafkaToolkit, KafkaToolkitBuilder};
