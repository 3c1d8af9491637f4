//! Implementations of the contracts in [`networking-spi`](https://docs.rs/networking-spi): one module per domain, each
//! behind a feature.
//!
//! This crate only re-exports other crates. Its features are named after what a program needs, not after the crate that
//! implements it. A program that needs one domain can depend on the crate of that domain instead.
//!
//! | module | feature | crate | implements |
//! |---|---|---|---|
//! | `http` | `http` | [`networking-http`](https://docs.rs/networking-http) | HTTP over hyper or reqwest, WebSocket |
//! | `kafka` | `kafka-memory`, `kafka-rdkafka`, `kafka-extended` | [`networking-kafka`](https://docs.rs/networking-kafka) | Kafka in memory and over librdkafka, streams, schema registry |
//! | `circuit_breaker` | `circuit-breaker` | [`networking-circuit-breaker`](https://docs.rs/networking-circuit-breaker) | circuit breaker with sliding windows |
//! | `bridge` | `bridge` | [`networking-bridge`](https://docs.rs/networking-bridge) | bridge between HTTP, Kafka and endpoints that you write |
//! | [`clock`] | | [`networking-runtime`](https://docs.rs/networking-runtime) | a clock on tokio's time |
//!
//! # Features
//!
//! Features are additive: a feature never changes what other features provide. Without a feature, its types are absent, and
//! an operation of a contract that needs it fails with `ErrorKind::Unsupported`.
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `http` | yes | `HttpClientBuilder`, its wrappers, `HyperTransport` (hyper and rustls), `MemoryHttpClient` |
//! | `aws-lc-rs` | yes | cryptography for TLS and signatures: C and assembly, needs CMake on some platforms |
//! | `ring` | no | the same without CMake; if both are enabled, `aws-lc-rs` is used |
//! | `gzip` | yes | gzip and deflate |
//! | `brotli` | yes | brotli |
//! | `zstd` | no | zstd: compiles a C library |
//! | `compression` | no | `gzip`, `brotli` and `zstd` |
//! | `charset` | no | response text in every charset, not only UTF-8, UTF-16 and Latin-1 |
//! | `socks` | no | SOCKS 5 proxies |
//! | `reqwest` | no | `ReqwestTransport` |
//! | `http-cache` | no | a private cache (RFC 9111), in memory or on disk |
//! | `cookies` | yes | `CookieJar` |
//! | `public-suffix` | yes | the public suffix list, so that a site cannot set cookies for `co.uk` |
//! | `oauth2` | yes | `authenticate_oauth2`, and credentials that renew their token |
//! | `jwt` | no | `authenticate_jwt`: signatures, claims and key sets (JWKS) |
//! | `digest-auth` | no | `Credentials::digest` (RFC 7616) |
//! | `websocket` | no | `websocket_connect`: ws and wss, callbacks, automatic reconnect |
//! | `circuit-breaker` | yes | `SlidingWindowCircuitBreaker` |
//! | `tower` | no | a `tower::Layer` that guards any service with a circuit |
//! | `metrics` | no | metrics of HTTP calls and of circuits through the `metrics` facade, for the enabled domains |
//! | `kafka-memory` | yes | `MemoryKafka`: partitions, groups and offsets in this process |
//! | `kafka-rdkafka` | no | `RdKafkaClient`: compiles librdkafka (C) |
//! | `kafka-rdkafka-tls` | no | TLS, SCRAM and zstd for `RdKafkaClient`: compiles OpenSSL and zstd |
//! | `kafka-extended` | no | schema registry, stream processors, diagnostics and tuning over any `KafkaClient` |
//! | `kafka-json-schema` | no | JSON Schema for the registry; enables `arbitrary_precision` of serde_json for the whole program |
//! | `bridge` | yes | `InProcessBridge`, HTTP listener and sink, Kafka source and sink |
//! | `bridge-cel` | no | routing conditions in the Common Expression Language |

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(feature = "bridge")]
pub use networking_bridge as bridge;
#[cfg(feature = "circuit-breaker")]
pub use networking_circuit_breaker as circuit_breaker;
#[cfg(feature = "http")]
pub use networking_http as http;
#[cfg(any(feature = "kafka-extended", feature = "kafka-memory", feature = "kafka-rdkafka"))]
pub mod kafka;
pub mod prelude;
pub use networking_runtime::clock;
