//! A Kafka client over librdkafka.
//!
//! ```no_run
//! use networking_kafka::rdkafka::RdKafkaClient;
//! use networking_spi::kafka::{KafkaClient, ProducerConfig, ProducerRecord};
//!
//! # async fn example() -> networking_spi::Result<()> {
//! let kafka = RdKafkaClient::builder("localhost:9092").build()?;
//! let producer = kafka.create_producer(ProducerConfig::new()).await?;
//! let record = ProducerRecord::new("orders").with_key("customer-7").with_value(r#"{"item": 1}"#);
//! let written = kafka.produce_message(&producer, record).await?;
//! println!("partition {} offset {:?}", written.partition, written.offset);
//! kafka.close_producer(&producer).await
//! # }
//! ```
//!
//! # How it behaves
//!
//! * A topic is never created by asking for it or by writing to it; only `create_topic` creates topics.
//! * Calls of librdkafka that block run on the runtime's blocking threads, at most eight at a time for metadata and one at a
//!   time for the commits of a consumer. Producers and consumers are torn down on threads of their own, so that a broker that
//!   does not answer never holds up the runtime.
//! * A consumer is polled only by `consume_messages`: a rebalance happens while it consumes, and `max_poll_interval` is
//!   measured between two calls.
//! * Waiting for a place in a full queue is bounded by `delivery_timeout`; the same time then limits the delivery.
//! * Headers whose names are not UTF-8 are left out of the messages, with a warning in the log.
//! * `ConsumerMetrics::lag` is not known here; `consumer_group_info` asks the brokers for it.
//!
//! # Features
//!
//! `rdkafka` has gzip, Snappy and LZ4. `rdkafka-tls` adds TLS, SCRAM, OAUTHBEARER and Zstandard; without it, they
//! are [`Unsupported`](networking_spi::ErrorKind::Unsupported).

mod admin;
mod builder;
mod client;
mod config;
mod consumer;
mod context;
mod control;
mod error;
mod group;
mod membership;
mod metrics;
mod producer;

pub use builder::RdKafkaClientBuilder;
pub use client::RdKafkaClient;
