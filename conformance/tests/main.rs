//! The suites are what their contracts say, and their cases can fail.

mod checks;
#[cfg(feature = "circuit-breaker")]
mod circuit_breaker;
mod contracts;
#[cfg(feature = "bridge")]
mod endpoint;
#[cfg(feature = "http")]
mod http_capabilities;
#[cfg(feature = "circuit-breaker")]
mod macro_form;
