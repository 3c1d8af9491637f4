//! Harnesses of the endpoint suites. Those of the Kafka endpoints are in `networking-impls`, because they need a Kafka client.

mod http_listener;
mod http_sink;
mod memory;

pub(crate) use http_listener::Listener;
pub(crate) use http_sink::Http;
pub(crate) use memory::{MemorySinkHarness, MemorySourceHarness};
