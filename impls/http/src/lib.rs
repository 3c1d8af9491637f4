//! HTTP: transports over hyper and reqwest, the wrappers of the standard stack, and an in-memory client for tests.
//!
//! | type | for |
//! |---|---|
//! | [`HttpClientBuilder`] | the standard client: [`HyperHttpClient`], [`ReqwestHttpClient`], or [`StandardHttpClient`] over any transport |
//! | [`layer`] | the wrappers one by one, for other stacks |
//! | [`HyperTransport`] | requests as they are, directly over hyper and rustls, with a pool that can be looked into |
//! | [`ReqwestTransport`] | requests as they are, over reqwest and rustls |
//! | [`FileSource`] | files as request bodies and parts of forms, streamed from disk |
//! | [`Download`] | downloads to files that go on where they broke off |
//! | [`EventSource`] | server-sent events, with reconnection |
//! | [`MemoryHttpClient`] | tests without a network |
//! | [`recording`] | tests with recorded exchanges |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod auth;
mod body;
#[cfg(feature = "cache")]
pub mod cache;
mod chain;
mod client;
mod connect;
#[cfg(feature = "cookies")]
mod cookies;
pub mod layer;
mod marks;
mod transfer;
mod transport;
#[cfg(feature = "websocket")]
pub mod websocket;

#[cfg(feature = "jwt")]
pub use auth::jwt;
#[cfg(feature = "oauth2")]
pub use auth::oauth2;
#[cfg(feature = "charset")]
pub use body::TextWithCharset;
#[cfg(feature = "reqwest")]
pub use client::ReqwestHttpClient;
pub use client::{
    Configured, ConfiguredTransport, DefaultTransport, HttpClientBuilder, HyperHttpClient, StandardHttpClient,
    Transport,
};
pub use connect::{ClientIdentity, DnsOverrides, DnsResolver, HttpVersion, SsrfGuard, SystemResolver, TransportConfig};
#[cfg(feature = "cookies")]
pub use cookies::CookieJar;
pub use transfer::{Download, DownloadProgress, Downloaded, EventSource, FileSource, Reconnect};
#[cfg(feature = "reqwest")]
pub use transport::ReqwestTransport;
pub use transport::recording;
pub use transport::{HyperTransport, MemoryHttpClient, PoolStatsSource, ReceivedRequest, Reply, Responder};
