//! Tests of the contracts through the public API: one binary, with a module per subject.

mod bridge_values;
mod circuit_breaker_contract;
#[cfg(feature = "mock")]
mod circuit_doubles;
mod config;
mod dyn_compatible;
mod error_contract;
mod http_values;
mod kafka_values;
#[cfg(feature = "mock")]
mod mocks;
