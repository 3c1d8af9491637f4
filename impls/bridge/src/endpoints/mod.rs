//! Sources and sinks. They use the contracts and nothing of the engine.

mod http_listener;
mod http_sink;
pub mod kafka_headers;
mod kafka_sink;
mod kafka_source;
mod memory;

pub use http_listener::{HmacSha256, HttpListenerBuilder, HttpListenerCounters, HttpListenerSource};
pub use http_sink::HttpSink;
pub use kafka_sink::KafkaSink;
pub use kafka_source::KafkaSource;
pub use memory::{MemorySink, MemorySource, SentMessage};
