//! The ends of bridges.

mod http_listener;
mod memory;

pub use http_listener::{HmacSha256, HttpListenerBuilder, HttpListenerCounters, HttpListenerSource};
pub use memory::{MemorySink, MemorySource, SentMessage};
