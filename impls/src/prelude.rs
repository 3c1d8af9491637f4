//! What programs import: the [prelude of the contracts](networking_spi::prelude), the clients of the enabled features, and
//! `json!` with its `Value`.
//!
//! ```
//! use networking_impls::prelude::*;
//!
//! # async fn example() -> Result<(), NetworkError> {
//! let http = HttpClientBuilder::new().base_url("https://api.example.com/").retries(5).build()?;
//! let user: Value = http.post("users").json(&json!({"name": "Ada"})).await?.json().await?;
//! # Ok(()) }
//! ```

#[doc(no_inline)]
pub use networking_spi::prelude::*;
#[doc(no_inline)]
pub use serde_json::{Value, json};

/// Bridges and their endpoints.
#[cfg(feature = "bridge")]
#[doc(no_inline)]
pub use crate::bridge::{
    HttpListenerSource, HttpSink, InProcessBridge, KafkaSink, KafkaSource, MemorySink, MemorySource,
};
/// The circuit breaker.
#[cfg(feature = "circuit-breaker")]
#[doc(no_inline)]
pub use crate::circuit_breaker::SlidingWindowCircuitBreaker;
/// WebSocket connections with callbacks, and connections that reconnect.
#[cfg(feature = "websocket")]
#[doc(no_inline)]
pub use crate::http::websocket::{ReconnectPolicy, ReconnectingWebSocket, WebSocketListener};
/// HTTP clients, their settings, transfers, and the transport for tests.
#[cfg(feature = "http")]
#[doc(no_inline)]
pub use crate::http::{
    Download, EventSource, FileSource, HttpClientBuilder, HttpClientConfig, MemoryHttpClient, NoProxy, Reply,
    SsrfGuard, StandardHttpClient, TransportConfig, http_client, http_client_from,
    layer::{ConcurrencyLimit, Credentials, RateLimit, RedirectPolicy},
};
/// Kafka in this process.
#[cfg(feature = "kafka-memory")]
#[doc(no_inline)]
pub use crate::kafka::memory::MemoryKafka;
/// Kafka over librdkafka.
#[cfg(feature = "kafka-rdkafka")]
#[doc(no_inline)]
pub use crate::kafka::rdkafka::RdKafkaClient;
