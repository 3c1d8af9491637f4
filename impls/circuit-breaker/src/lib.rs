//! Circuit breaker with sliding windows.
//!
//! [`SlidingWindowCircuitBreaker`] implements [`CircuitBreaker`](networking_spi::circuit_breaker::CircuitBreaker).
//!
//! Inside, a circuit has two faces. The *gate* is a word that says in one load whether a call goes through and what it has
//! to do; healthy calls see nothing else, and count on a stripe of their thread. The *machine* behind a lock has the
//! window, the probes and the modes; failures, windows and everything that is not closed go there. Each change of state
//! starts a generation, and a result counts only in the generation in which its call was admitted.

mod backoff;
mod breaker;
mod builder;
mod circuit;
mod counters;
mod events;
#[cfg(feature = "metrics")]
mod exporter;
mod gate;
mod half_open;
#[cfg(all(test, networking_loom))]
mod interleavings;
mod machine;
mod registry;
mod sync;
#[cfg(feature = "tower")]
pub mod tower;
mod window;

use std::time::Duration;

pub use breaker::SlidingWindowCircuitBreaker;
pub use builder::SlidingWindowCircuitBreakerBuilder;
#[cfg(feature = "metrics")]
pub use exporter::CircuitMetricsExporter;

/// Nanoseconds in a word: more than five hundred years.
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
