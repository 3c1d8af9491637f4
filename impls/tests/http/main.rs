//! The HTTP layers and transports, one module a subject. What the contract says is tested by the conformance suite;
//! these are the things beyond it: order, timing, configuration, and the errors of reqwest.
#![cfg(feature = "http")]

mod auth;
mod concurrency;
#[cfg(feature = "cookies")]
mod cookies;
mod decompression;
mod defaults;
#[cfg(feature = "digest-auth")]
mod digest;
mod extended;
mod hedge;
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
#[cfg(feature = "jwt")]
mod signed_jwt;
mod timeout;
mod tls;
mod transport;
#[cfg(feature = "websocket")]
mod websocket;
