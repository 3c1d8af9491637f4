//! The suites are what their contracts say, and their cases can fail.

mod checks;
#[cfg(feature = "circuit-breaker")]
mod circuit_breaker;
#[cfg(feature = "circuit-breaker")]
mod compile_errors;
mod contracts;
#[cfg(feature = "bridge")]
mod endpoint;
mod environment;
#[cfg(feature = "http")]
mod http_capabilities;
#[cfg(feature = "circuit-breaker")]
mod macro_form;
