//! Object-safe networking contracts.
//!
//! An application depends on the traits of this crate (`Arc<dyn HttpClient>`, `Arc<dyn KafkaClient>`, ...) and chooses, or
//! writes, the backend behind them.
//!
//! | domain | traits for backends | extension traits for callers |
//! |---|---|---|
//! | [`http`](mod@crate::http) | [`HttpClient`](http::HttpClient), [`HttpExtended`](http::HttpExtended) | [`HttpClientExt`](http::HttpClientExt) |
//! | [`websocket`] | [`WebSocketClient`](websocket::WebSocketClient), [`WebSocketConnection`](websocket::WebSocketConnection) | [`WebSocketConnectionExt`](websocket::WebSocketConnectionExt) |
//! | [`kafka`] | [`KafkaClient`](kafka::KafkaClient), [`KafkaExtended`](kafka::KafkaExtended), [`KafkaTransactions`](kafka::KafkaTransactions), [`KafkaAdmin`](kafka::KafkaAdmin), [`KafkaReading`](kafka::KafkaReading) | [`KafkaClientExt`](kafka::KafkaClientExt) |
//! | [`circuit_breaker`] | [`CircuitBreaker`](circuit_breaker::CircuitBreaker), [`Circuit`](circuit_breaker::Circuit) | [`CircuitBreakerExt`](circuit_breaker::CircuitBreakerExt), [`CircuitExt`](circuit_breaker::CircuitExt) |
//! | [`bridge`] | [`CommunicationBridge`](bridge::CommunicationBridge), [`BridgeSource`](bridge::BridgeSource), [`BridgeSink`](bridge::BridgeSink) | [`CommunicationBridgeExt`](bridge::CommunicationBridgeExt) |
//!
//! ```
//! use networking_spi::prelude::*;
//!
//! /// Application code depends on the contract, not on a library.
//! async fn open_issues(http: Arc<dyn HttpClient>, repo: &str) -> Result<u64, NetworkError> {
//!     let response = http.get(format!("https://api.example.com/repos/{repo}")).await?.error_for_status()?;
//!     let body: serde_json::Value = response.json().await?;
//!     Ok(body["open_issues"].as_u64().unwrap_or_default())
//! }
//! ```
//!
//! # Responsibilities
//!
//! This crate has the contracts, their values, one error type for all of them ([`NetworkError`]), and mocks. Code belongs
//! here if it is part of the signature of a contract, or if it needs no I/O and two backends need it. The crate does no
//! I/O, starts no runtime, links no C code, and depends on no other crate of the project.
//!
//! Values that several domains use: [`backoff`], [`clock`], [`config`], [`secret`], [`redact`], [`validate`].
//!
//! # Features
//!
//! | feature | default | effect |
//! |---|---|---|
//! | `charset` | no | text of responses in every charset of the WHATWG Encoding standard |
//! | `mock` | no | mockall mocks of every trait (`MockHttpClient`, ...), and test doubles of circuits (`always_closed`, `ScriptedCircuit`) |
//!
//! Mocks are for tests: enable `mock` only in `[dev-dependencies]`. With this feature, the version of mockall is part of the
//! public API.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backoff;
pub mod bridge;
mod capabilities;
pub mod circuit_breaker;
pub mod clock;
pub mod compression;
pub mod config;
pub mod error;
pub mod http;
mod json;
pub mod kafka;
mod names;
pub mod redact;
pub mod secret;
pub mod validate;
pub mod websocket;

/// For implementations of the traits.
pub use async_trait::async_trait;
pub use bytes::Bytes;
pub use futures_core::future::BoxFuture;
pub use futures_core::stream::BoxStream;
pub use url::Url;

pub use error::{BoxError, ErrorKind, NetworkError, Phase, Result, Retryability, SendState};

/// The traits, extension traits and common values that callers of the contracts need.
///
/// ```
/// use networking_spi::prelude::*;
/// ```
pub mod prelude {
    /// Bridges: the contract, its endpoints, and its extension trait.
    #[doc(no_inline)]
    pub use crate::bridge::{BridgeSink, BridgeSource, CommunicationBridge, CommunicationBridgeExt};
    /// Circuit breakers: the registry, one circuit, their extension traits, the configuration, the states, and the outcomes of
    /// calls.
    #[doc(no_inline)]
    pub use crate::circuit_breaker::{
        CallOutcome, Circuit, CircuitBreaker, CircuitBreakerConfig, CircuitBreakerExt, CircuitError, CircuitExt,
        CircuitState, HalfOpenPolicy, OpenPolicy, TripPolicy,
    };
    /// Content codings of HTTP bodies.
    #[doc(no_inline)]
    pub use crate::compression::CompressionType;
    /// The error of every operation, its kinds and retryability, and the extension trait for results.
    #[doc(no_inline)]
    pub use crate::error::{ErrorKind, NetworkError, ResultExt, Retryability};
    /// HTTP: the contracts, the extension traits, requests, responses, and the values in them.
    #[doc(no_inline)]
    pub use crate::http::{
        Batch, BufferedResponse, ByteStreamExt, ErrorResponse, HeaderMap, HeaderName, HeaderValue, HttpBody,
        HttpCircuitOptions, HttpClient, HttpClientExt, HttpExtended, HttpRequest, HttpResponse, Intercepted,
        Interceptor, InterceptorFn, IntoHeaders, JwtAlgorithm, Method, Multipart, OAuth2Request, Part, ProblemDetails,
        ProxyConfig, RequestBuilder, RequestHead, RequestOptions, RequestTarget, RetryPolicy, ServerSentEvent,
        StatusCode,
    };
    /// Kafka: the contracts and the extension trait.
    #[doc(no_inline)]
    pub use crate::kafka::{KafkaAdmin, KafkaClient, KafkaClientExt, KafkaExtended, KafkaReading, KafkaTransactions};
    /// Secrets, which `Debug` does not show.
    #[doc(no_inline)]
    pub use crate::secret::Secret;
    /// WebSocket: the contract, the extension trait, requests, messages, and callbacks.
    #[doc(no_inline)]
    pub use crate::websocket::{
        CloseFrame, WebSocketCallbacks, WebSocketClient, WebSocketConnection, WebSocketConnectionExt, WebSocketHandler,
        WebSocketMessage, WebSocketRequest,
    };
    /// Types of other crates in the signatures of the contracts.
    #[doc(no_inline)]
    pub use crate::{Bytes, Url, async_trait};
    /// The time limits of requests are durations, and clients are shared.
    #[doc(no_inline)]
    pub use std::{sync::Arc, time::Duration};
}

/// Compiles the examples of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
