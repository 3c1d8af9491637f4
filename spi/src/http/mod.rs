//! HTTP: the client, its extended operations, and their values.
//!
//! Applications use an `Arc<dyn HttpClient>`. Backends implement [`HttpClient`], which has one method that sends requests.
//! The verbs and the request builder are in [`HttpClientExt`]. [`HttpExtended`] has operations that not every client
//! supports.

mod auth;
mod batch;
mod body;
mod client;
mod curl;
mod extended;
pub mod hop_by_hop;
mod interceptor;
mod metrics;
mod multipart;
mod options;
mod progress;
mod request;
mod response;
mod retry;
mod sse;
pub mod status;
mod text;
mod trailers;

pub use crate::backoff::Jitter;
pub use auth::{JwtAlgorithm, JwtClaims, OAuth2Grant, OAuth2Request, OAuth2Token, TokenExchange};
pub use batch::Batch;
pub use body::{BodySource, ByteStream, HttpBody};
pub use client::{HttpCapabilities, HttpClient, HttpClientExt, RequestBuilder};
pub use curl::CurlCommand;
pub use extended::{HttpExtended, HttpExtendedCapabilities, HttpStream};
pub use interceptor::{Intercepted, Interceptor, RequestHead};
pub use metrics::{ConnectionPoolStats, HttpClientMetrics, LatencySummary};
pub use multipart::{Multipart, Part};
pub use options::{CircuitScope, HttpCircuitOptions, ProxyConfig, RequestOptions};
pub use progress::UploadProgress;
pub use request::{HttpRequest, RequestTarget};
pub use response::HttpResponse;
pub use retry::{Attempts, RetryBudget, RetryEvent, RetryObserver, RetryPolicy, RetryPredicate, RetryReason};
pub use sse::{EventLimits, EventParser, EventStream, ServerSentEvent};
pub use trailers::Trailers;

#[cfg(any(test, feature = "mock"))]
pub use client::MockHttpClient;
#[cfg(any(test, feature = "mock"))]
pub use extended::MockHttpExtended;
#[cfg(any(test, feature = "mock"))]
pub use interceptor::MockInterceptor;

pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
