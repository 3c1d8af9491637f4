//! HTTP: the client, its extended operations, and their values.
//!
//! Applications use an `Arc<dyn HttpClient>`. Backends implement [`HttpClient`], which has one method that sends requests.
//! The verbs and the request builder are in [`HttpClientExt`]. [`HttpExtended`] has operations that not every client
//! supports.

mod auth;
mod batch;
mod body;
mod buffered;
mod client;
mod curl;
mod error_response;
mod extended;
pub(crate) mod headers;
pub mod hop_by_hop;
mod interceptor;
mod interceptor_fn;
pub mod media_type;
mod metrics;
mod multipart;
mod options;
mod problem;
mod progress;
mod proxy;
mod request;
mod response;
mod retry;
mod sse;
pub mod status;
mod target;
mod text;
mod trailers;
mod url_encoded;

pub use crate::backoff::Jitter;
pub use auth::{JwtAlgorithm, JwtClaims, OAuth2Grant, OAuth2Request, OAuth2Token, TokenExchange};
pub use batch::Batch;
pub use body::{BodySource, ByteStream, ByteStreamExt, HttpBody};
pub use buffered::BufferedResponse;
pub use client::{HttpCapabilities, HttpClient, HttpClientExt, RequestBuilder};
pub use curl::CurlCommand;
pub use error_response::ErrorResponse;
pub use extended::{HttpExtended, HttpExtendedCapabilities, HttpStream};
pub use headers::IntoHeaders;
pub use interceptor::{Intercepted, Interceptor, RequestHead};
pub use interceptor_fn::InterceptorFn;
pub use metrics::{ConnectionPoolStats, HttpClientMetrics, LatencySummary};
pub use multipart::{Multipart, Part};
pub use options::{CircuitScope, HttpCircuitOptions, ProxyConfig, RequestOptions};
pub use problem::ProblemDetails;
pub use progress::UploadProgress;
pub use request::HttpRequest;
pub use response::HttpResponse;
pub use retry::{Attempts, RetryBudget, RetryEvent, RetryObserver, RetryPolicy, RetryPredicate, RetryReason};
pub use sse::{EventLimits, EventParser, EventStream, ServerSentEvent};
pub use target::RequestTarget;
pub(crate) use target::invalid as invalid_url;
pub use trailers::Trailers;

#[cfg(any(test, feature = "mock"))]
pub use client::MockHttpClient;
#[cfg(any(test, feature = "mock"))]
pub use extended::MockHttpExtended;
#[cfg(any(test, feature = "mock"))]
pub use interceptor::MockInterceptor;

pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
