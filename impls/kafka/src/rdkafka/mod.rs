//! A [`KafkaClient`](networking_spi::kafka::KafkaClient) over librdkafka.
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
//! # Behaviour
//!
//! * Only `create_topic` creates topics. Requesting the metadata of a topic or writing to it does not.
//! * Blocking calls of librdkafka run on the runtime's blocking threads: at most eight at a time for metadata, offsets and
//!   groups, and one at a time for the commits of a consumer. Producers and consumers are closed on dedicated threads, so
//!   that an unresponsive broker does not block the runtime.
//! * Only `consume_messages` polls a consumer. Rebalances happen during these calls, and `max_poll_interval` is the maximum
//!   time between two of them. `with_backend_setting("group.protocol", "consumer")` selects the group protocol of KIP-848.
//! * A call to produce returns within `delivery_timeout`. A record that has no result by then fails with
//!   [`Timeout`](networking_spi::ErrorKind::Timeout), and one that had to wait for a slot in the queue until then with
//!   [`Exhausted`](networking_spi::ErrorKind::Exhausted). The first one may still be written later.
//! * A broker appends all records of a batch or none. With the capability `topic_admin`, the first write to a topic requests its
//!   settings, and records that the broker would refuse by them fail before they are sent: those that are too large (without
//!   compression), that have no key in a compacted topic, or whose timestamp is out of range. If a full batch would be larger than
//!   the topic's `max.message.bytes`, each record is the only one in its batch; a smaller
//!   [`batch_size`](networking_spi::kafka::ProducerConfig::batch_size) is faster.
//! * The records of a batch that a broker rejects anyway are sent again, one per batch, so that only those that are invalid fail.
//!   Later calls that write to the topic wait meanwhile. Only records that were passed to librdkafka already, in a later batch of
//!   the same partition, can be written before those that are sent again.
//! * A consumer fetches again 20 ms after its local queue was full (`fetch.queue.backoff.ms`; librdkafka's default is 1 s, in which a
//!   fast consumer empties the queue and waits).
//! * Without idempotence, one request per connection is in flight, because a retry would otherwise reorder records.
//! * Bytes of a header name that are not UTF-8 are read as U+FFFD, the replacement character.
//! * As a [`KafkaAdmin`](networking_spi::kafka::KafkaAdmin), the client sends its requests over the connection for metadata. A broker
//!   may need a moment to obey changed settings; a producer remembers the settings of a topic from its first write.
//! * `ConsumerMetrics::lag` is as of the last response to a fetch. It is `None` until a message of each assigned partition was
//!   returned, except for empty partitions. `consumer_group_info` requests the lag from the brokers.
//! * The markers at the end of a transaction have offsets. `consumer_group_info` does not count them as lag if no record
//!   follows the committed offset: it reads up to eight offsets after it to find out.
//! * Transactions run on the runtime's blocking threads, one call at a time for each transactional producer, and end within
//!   `operation_timeout` and 2 s. Such a producer never sends records again: after a failed record the transaction can only be
//!   aborted.
//!
//! # Cancel safety
//!
//! Dropping `consume_messages` loses no message. Dropping `produce_message` or `produce_messages` does not cancel records that
//! were passed to librdkafka: they may still be delivered. Dropping `commit_offsets` does not cancel a commit that was passed to
//! librdkafka.
//!
//! # Features
//!
//! `rdkafka` supports gzip, Snappy and LZ4. `rdkafka-tls` adds TLS, SCRAM, OAUTHBEARER (KIP-255) and Zstandard. Without it, a
//! configuration that uses them fails with [`Unsupported`](networking_spi::ErrorKind::Unsupported).

mod admin;
mod administration;
mod client;
mod config;
mod consumer;
mod context;
mod control;
mod error;
mod group;
mod membership;
mod native;
mod producer;
mod rebalance;
mod reposition;
mod timestamp;
mod topic_watch;

pub use client::{RdKafkaClient, RdKafkaClientBuilder};
