//! Sources and sinks. They depend on the contracts and not on the engine.

mod http_listener;
mod http_sink;
pub mod kafka_headers;
mod kafka_sink;
mod kafka_source;
mod memory;

use http::{HeaderName, header};
use networking_spi::http::hop_by_hop;

pub use http_listener::{HmacSha256, HttpListenerBuilder, HttpListenerCounters, HttpListenerSource};
pub use http_sink::HttpSink;
pub use kafka_sink::KafkaSink;
pub use kafka_source::KafkaSource;
pub use memory::{MemoryEnds, MemorySink, MemorySource, SentMessage};

/// Whether a header field is hop-by-hop, or is represented by another part of the message or request.
fn is_of_one_hop(name: &HeaderName) -> bool {
    hop_by_hop::is_hop_by_hop(name)
        || matches!(
            *name,
            header::CONTENT_LENGTH | header::CONTENT_TYPE | header::EXPECT | header::HOST
        )
}
