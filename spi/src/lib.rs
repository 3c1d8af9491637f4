//! Object-safe networking contracts.
//!
//! Applications depend on the traits of this crate (`Arc<dyn HttpClient>`, `Arc<dyn KafkaClient>`, ...) and choose, or
//! write, the backend behind them. The crate does no I/O, starts no runtime and links no C code.
//!
//! | domain | implementer traits | conveniences |
//! |---|---|---|
//! | [`http`](mod@crate::http) | [`HttpClient`](http::HttpClient), [`HttpExtended`](http::HttpExtended) | [`HttpClientExt`](http::HttpClientExt) |
//! | [`websocket`] | [`WebSocketConnection`](websocket::WebSocketConnection) | [`WebSocketConnectionExt`](websocket::WebSocketConnectionExt) |
//! | [`kafka`] | [`KafkaClient`](kafka::KafkaClient), [`KafkaExtended`](kafka::KafkaExtended) | [`KafkaClientExt`](kafka::KafkaClientExt) |
//! | [`circuit_breaker`] | [`CircuitBreaker`](circuit_breaker::CircuitBreaker), [`Circuit`](circuit_breaker::Circuit) | [`CircuitBreakerExt`](circuit_breaker::CircuitBreakerExt) |
//! | [`bridge`] | [`CommunicationBridge`](bridge::CommunicationBridge), [`BridgeSource`](bridge::BridgeSource), [`BridgeSink`](bridge::BridgeSink) | [`CommunicationBridgeExt`](bridge::CommunicationBridgeExt) |
//!
//! Every fallible operation returns one error type, [`NetworkError`].
//!
//! ```
//! use std::sync::Arc;
//! use networking_spi::prelude::*;
//!
//! /// Business code names a contract, never a library.
//! async fn open_issues(http: Arc<dyn HttpClient>, repo: &str) -> Result<u64, NetworkError> {
//!     let response = http.get(&format!("https://api.example.com/repos/{repo}")).await?.error_for_status()?;
//!     let body: serde_json::Value = response.json().await?;
//!     Ok(body["open_issues"].as_u64().unwrap_or_default())
//! }
//! ```
//!
//! # Features
//!
//! * `mock`: mockall mocks of every trait (`MockHttpClient`, ...). A mock is for tests: enable it in `[dev-dependencies]`
//!   only. The version of mockall is then part of what you depend on.

pub mod backoff;
pub mod bridge;
mod capabilities;
pub mod circuit_breaker;
pub mod clock;
pub mod compression;
pub mod error;
pub mod http;
pub mod kafka;
mod names;
pub mod redact;
pub mod secret;
pub mod validate;
pub mod websocket;

pub use error::{BoxError, ErrorKind, NetworkError, Phase, Result, Retryability, SendState};

/// Everything needed to call the contracts: the traits, their extension traits and the common values.
pub mod prelude {
    pub use crate::bridge::{BridgeSink, BridgeSource, CommunicationBridge, CommunicationBridgeExt};
    pub use crate::circuit_breaker::{
        CallOutcome, Circuit, CircuitBreaker, CircuitBreakerExt, CircuitExt, CircuitState,
    };
    pub use crate::compression::CompressionType;
    pub use crate::error::{ErrorKind, NetworkError, Retryability};
    pub use crate::http::{HttpClient, HttpClientExt, HttpExtended, HttpRequest, HttpResponse};
    pub use crate::kafka::{KafkaClient, KafkaClientExt, KafkaExtended};
    pub use crate::websocket::{WebSocketConnection, WebSocketConnectionExt, WebSocketHandler};
}
