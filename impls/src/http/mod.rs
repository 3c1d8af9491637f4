//! HTTP: transports over hyper and reqwest, the layers of the standard stack, and an in-memory client for tests.
//!
//! | type | for |
//! |---|---|
//! | [`HttpClientBuilder`] | the standard client: [`HyperHttpClient`], [`ReqwestHttpClient`], or [`StandardHttpClient`] over any transport |
//! | [`layer`] | the layers one by one, for stacks of your own |
//! | [`HyperTransport`] | requests as they are, directly over hyper and rustls, with a pool that can be looked into |
//! | [`ReqwestTransport`] | requests as they are, over reqwest and rustls |
//! | [`FileSource`] | files as request bodies and parts of forms, streamed from disk |
//! | [`Download`] | downloads to files that go on where they broke off |
//! | [`EventSource`] | server-sent events, with reconnection |
//! | [`MemoryHttpClient`] | tests without a network |
//! | [`recording`] | tests with recorded exchanges |

mod again;
mod body;
mod builder;
#[cfg(feature = "http-cache")]
pub mod cache;
mod charset;
mod codec;
#[cfg(feature = "cookies")]
mod cookie_jar;
mod deadline;
mod download;
mod event_source;
mod file_source;
mod host;
mod hyper_client;
#[cfg(feature = "jwt")]
pub mod jwt;
pub mod layer;
mod memory;
#[cfg(feature = "oauth2")]
pub mod oauth2;
mod pool_stats;
pub mod recording;
mod reqwest_client;
#[cfg(any(feature = "jwt", feature = "oauth2", feature = "websocket"))]
mod shared_error;
#[cfg(any(feature = "jwt", feature = "oauth2"))]
mod single_flight;
mod standard;
mod transport;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use builder::{Configured, ConfiguredTransport, DefaultTransport, HttpClientBuilder, Transport};
pub use charset::TextWithCharset;
#[cfg(feature = "cookies")]
pub use cookie_jar::CookieJar;
pub use download::{Download, DownloadProgress, Downloaded};
pub use event_source::{EventSource, Reconnect};
pub use file_source::FileSource;
pub use hyper_client::HyperTransport;
pub use memory::{MemoryHttpClient, ReceivedRequest, Reply, Responder};
pub use pool_stats::PoolStatsSource;
pub use reqwest_client::ReqwestTransport;
pub use standard::{HyperHttpClient, ReqwestHttpClient, StandardHttpClient};
pub use transport::config::{HttpVersion, TransportConfig};
pub use transport::dns::{DnsOverrides, DnsResolver, SystemResolver};
pub use transport::guard::SsrfGuard;
pub use transport::tls::ClientIdentity;
