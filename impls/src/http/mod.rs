//! HTTP: a transport over reqwest, the layers of the standard stack, and an in-memory client for tests.
//!
//! | type | for |
//! |---|---|
//! | [`HttpClientBuilder`] | the standard client: [`ReqwestHttpClient`], or [`StandardHttpClient`] over any transport |
//! | [`layer`] | the layers one by one, for stacks of your own |
//! | [`ReqwestTransport`] | requests as they are, over reqwest and rustls |
//! | [`FileSource`] | files as request bodies and parts of forms, streamed from disk |
//! | [`MemoryHttpClient`] | tests without a network |

mod body;
mod builder;
mod codec;
mod file_source;
#[cfg(feature = "jwt")]
pub mod jwt;
pub mod layer;
mod memory;
#[cfg(feature = "oauth2")]
pub mod oauth2;
mod pool_stats;
mod reqwest_client;
#[cfg(any(feature = "jwt", feature = "oauth2", feature = "websocket"))]
mod shared_error;
#[cfg(any(feature = "jwt", feature = "oauth2"))]
mod single_flight;
mod standard;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use builder::{HttpClientBuilder, Transport};
pub use file_source::FileSource;
pub use memory::{MemoryHttpClient, ReceivedRequest, Reply, Responder};
pub use pool_stats::PoolStatsSource;
pub use reqwest_client::{HttpVersion, ReqwestConfig, ReqwestTransport};
pub use standard::{ReqwestHttpClient, StandardHttpClient};
