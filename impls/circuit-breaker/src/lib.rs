//! A circuit breaker with sliding windows for [`networking_spi`].
//!
//! # Responsibilities
//!
//! [`SlidingWindowCircuitBreaker`] implements the trait
//! [`CircuitBreaker`](networking_spi::circuit_breaker::CircuitBreaker). Applications depend on the trait, and on this crate
//! only where they create the breaker. It depends on `networking-spi` and `networking-runtime`, and on no other domain.
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `tower` | no | `tower::CircuitLayer`, which guards any `tower` service with a circuit |
//! | `metrics` | no | `CircuitMetricsExporter`, which writes the metrics of all circuits to the `metrics` facade |
//!
//! # Design
//!
//! A circuit has two parts. The *gate* is one atomic word with the state. It determines whether a call is admitted and what
//! has to be recorded. A successful call of a closed circuit uses only the gate and the counters of its thread's stripe. The
//! *machine* is behind a lock and has the window, the probes and the modes. It handles failures, rate policies and calls of
//! a circuit that is not closed. Each state change starts a new generation, and a result counts only in the generation in
//! which its call was admitted.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod backoff;
mod breaker;
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

pub use breaker::{SlidingWindowCircuitBreaker, SlidingWindowCircuitBreakerBuilder};
#[cfg(feature = "metrics")]
pub use exporter::CircuitMetricsExporter;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;

/// The duration in nanoseconds, at most `u64::MAX` (584 years).
fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
