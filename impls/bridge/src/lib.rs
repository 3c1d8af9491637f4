//! Communication bridge: [`InProcessBridge`] and the endpoints to run it between.
//!
//! | endpoint | source | sink |
//! |---|---|---|
//! | HTTP | [`HttpListenerSource`]: webhooks | [`HttpSink`]: over any [`HttpClient`](networking_spi::http::HttpClient) |
//! | Kafka | [`KafkaSource`]: over any [`KafkaClient`](networking_spi::kafka::KafkaClient) | [`KafkaSink`] |
//! | in memory | [`MemorySource`] | [`MemorySink`] |

mod dead_letter;
mod delivery;
mod endpoints;
mod engine;
mod expression;
mod in_process;
mod lanes;
mod routing;
mod statistics;
mod ticket;

pub use endpoints::{
    HmacSha256, HttpListenerBuilder, HttpListenerCounters, HttpListenerSource, HttpSink, KafkaSink, KafkaSource,
    MemorySink, MemorySource, SentMessage, kafka_headers,
};
pub use in_process::{InProcessBridge, InProcessBridgeBuilder};
