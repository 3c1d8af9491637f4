//! Reference implementations of the contracts in `networking-spi`: one crate a domain, re-exported here under one feature each.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "bridge")]
pub use networking_bridge as bridge;
#[cfg(feature = "circuit-breaker")]
pub use networking_circuit_breaker as circuit_breaker;
#[cfg(feature = "http")]
pub use networking_http as http;
#[cfg(any(feature = "kafka-extended", feature = "kafka-memory", feature = "kafka-rdkafka"))]
pub mod kafka;
pub use networking_runtime::clock;
