//! HTTP and WebSocket clients that implement the contracts of [`networking_spi`].
//!
//! # Responsibilities
//!
//! | type | purpose |
//! |---|---|
//! | [`HttpClientBuilder`] | builds the standard client over hyper, reqwest, or any transport ([`StandardHttpClient`]) |
//! | [`HttpClientConfig`] | its settings as one value, from a file: [`http_client_from`]; [`http_client`] has the defaults |
//! | [`layer`] | the wrappers of the standard client, for other stacks |
//! | [`HyperTransport`] | a bare transport over hyper and rustls, with exact pool statistics |
//! | `ReqwestTransport` (feature `reqwest`) | a bare transport over reqwest and rustls |
//! | [`MemoryHttpClient`] | a transport for tests without a network |
//! | [`recording`] | a transport for tests with recorded exchanges |
//! | [`TransportConfig`], [`DnsResolver`], [`SsrfGuard`] | how connections are opened |
//! | `websocket` (feature `websocket`) | WebSocket connections, callbacks, and reconnection |
//! | `cache` (feature `cache`) | a private HTTP cache |
//! | `jwt`, `oauth2` (features of the same names) | JSON Web Tokens, and OAuth 2 |
//! | [`FileSource`] | files as request bodies and as parts of multipart forms |
//! | [`Download`] | resumable downloads to files |
//! | [`EventSource`] | server-sent events, with reconnection |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `aws-lc-rs` | yes | TLS and signatures with aws-lc-rs; needs a C compiler, and `CMake` on some platforms |
//! | `ring` | | TLS with ring and signatures with `RustCrypto`, without `CMake`; `aws-lc-rs` takes precedence |
//! | `compression` | yes | the features `gzip` (also deflate), `brotli` and `zstd`: content codings |
//! | `charset` | yes | text in every charset, not only UTF-8, UTF-16 and Latin-1 |
//! | `cookies` | yes | a cookie jar |
//! | `public-suffix` | yes | the public suffix list for the cookie jar |
//! | `digest-auth` | yes | digest authentication (RFC 7616) |
//! | `jwt` | yes | verification and signing of JSON Web Tokens, key sets |
//! | `oauth2` | yes | OAuth 2: token requests, sign-in of users, and credentials that renew their token |
//! | `socks` | yes | SOCKS 5 proxies |
//! | `websocket` | yes | WebSocket connections |
//! | `websocket-compression` | yes | compression of WebSocket messages (permessage-deflate) |
//! | `cache` | | a private HTTP cache (RFC 9111), in memory or on disk |
//! | `metrics` | | measurements, written through the crate `metrics` |
//! | `reqwest` | | the transport over reqwest |

//! # Logging
//!
//! Spans and events are written with the crate `tracing`, and never contain headers, bodies, or secrets of URLs.
//!
//! | level | what |
//! |---|---|
//! | `ERROR` | a call of the standard client that failed, or whose response body failed, once and with the last error |
//! | `WARN` | each retry, with its reason, delay and number; a circuit that opened; TLS without verification; a cache that does not work |
//! | `INFO` | a span for each call (`http.request`), and with a [`TraceContext`](layer::TraceContext) one for each attempt (`http.attempt`) |
//! | `DEBUG` | connections that ended, refused cookies, reconnections of event streams |
//!
//! The libraries below log, too: hyper, h2, rustls and reqwest write what they send and receive at the levels `DEBUG` and `TRACE`, some
//! of it from buffers in which a header that is marked as sensitive is ordinary text. In production, limit them, for example with
//! `RUST_LOG=info,hyper=warn,hyper_util=warn,h2=warn,rustls=warn,reqwest=warn,tungstenite=warn`.

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
#[cfg(feature = "reqwest")]
pub use client::ReqwestHttpClient;
pub use client::defaults;
pub use client::{
    Configured, ConfiguredTransport, CredentialsConfig, DefaultTransport, HttpClientBuilder, HttpClientConfig,
    HyperHttpClient, StandardHttpClient, Transport, http_client, http_client_from,
};
pub use connect::{
    ClientIdentity, DnsOverrides, DnsResolver, Http2Config, HttpVersion, NoProxy, SsrfGuard, SystemResolver,
    TransportConfig,
};
#[cfg(feature = "cookies")]
pub use cookies::CookieJar;
pub use transfer::{Download, DownloadProgress, Downloaded, EventSource, FileSource, Reconnect};
#[cfg(feature = "reqwest")]
pub use transport::ReqwestTransport;
pub use transport::recording;
pub use transport::{HyperTransport, MemoryHttpClient, PoolStatsSource, ReceivedRequest, Reply, Responder};

/// Tests the example in the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
