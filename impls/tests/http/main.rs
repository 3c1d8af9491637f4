//! The HTTP layers and transports, one module a subject. What the contract says is tested by the conformance suite;
//! these are the things beyond it: order, timing, configuration, and the errors of reqwest.
#![cfg(feature = "http")]

mod auth;
mod concurrency;
mod decompression;
mod defaults;
mod extended;
mod interceptor;
#[cfg(feature = "jwt")]
mod jwt;
mod leaks;
mod memory;
mod metrics;
#[cfg(feature = "oauth2")]
mod oauth2;
mod order;
mod rate_limit;
mod raw;
mod redirect;
mod retry;
mod timeout;
mod tls;
mod transport;
#[cfg(feature = "websocket")]
mod websocket;
