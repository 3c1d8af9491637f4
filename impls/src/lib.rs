//! Reference implementations of the contracts in [`networking_spi`].
//!
//! One module a domain, one cargo feature each. Inside this crate a domain never imports another domain's implementation,
//! only its trait.

#[cfg(feature = "bridge")]
pub mod bridge;
#[cfg(feature = "circuit-breaker")]
pub mod circuit_breaker;
pub mod clock;
#[cfg(feature = "http")]
pub mod http;
#[cfg(any(feature = "kafka-extended", feature = "kafka-memory", feature = "kafka-rdkafka"))]
pub mod kafka;
