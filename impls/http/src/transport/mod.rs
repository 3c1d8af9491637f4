//! Transports over hyper and reqwest, the in-memory client, and recorded exchanges.

mod framing;
mod http2_error;
mod hyper;
mod length;
mod memory;
mod pool_stats;
pub mod recording;
#[cfg(feature = "reqwest")]
mod reqwest;
mod silence;
#[cfg(feature = "websocket")]
pub(crate) mod upgrade;
mod variants;

use networking_spi::error::context;
use networking_spi::http::{HeaderMap, HeaderValue, HttpCapabilities, Method, header, hop_by_hop};
use networking_spi::{NetworkError, Result, SendState};
use url::Url;

use crate::connect::diagnosis;

pub use self::hyper::HyperTransport;
pub use self::memory::{MemoryHttpClient, ReceivedRequest, Reply, Responder};
pub use self::pool_stats::PoolStatsSource;
#[cfg(feature = "reqwest")]
pub use self::reqwest::ReqwestTransport;

/// The capabilities of a network transport.
const CAPABILITIES: HttpCapabilities = {
    let mut capabilities = HttpCapabilities::none();
    capabilities.streaming_upload = true;
    capabilities.streaming_download = true;
    capabilities.response_size_limit = true;
    capabilities.per_request_proxy = true;
    capabilities.per_request_tls = true;
    capabilities.http2 = true;
    capabilities.trailers = true;
    capabilities
};

/// Fails for other schemes than HTTP's. `localhost:8080/x` is a URL of the scheme `localhost`.
pub(super) fn check_scheme(url: &Url) -> Result<()> {
    if matches!(url.scheme(), "http" | "https") {
        return Ok(());
    }
    // Before an `@`, the name of a user looks like a scheme.
    let found = if url.path().contains('@') {
        String::new()
    } else {
        format!(", and has the scheme `{}`", url.scheme())
    };
    Err(NetworkError::invalid_input(
        "url",
        format!("must be an http or https URL such as `https://example.com/`{found}"),
    ))
}

/// Fails for requests that cannot be sent on any connection.
fn check_sendable(method: &Method, url: &Url) -> Result<()> {
    check_scheme(url)?;
    if method == Method::CONNECT {
        return Err(NetworkError::invalid_input(
            "method",
            "CONNECT is used only by the transport",
        ));
    }
    Ok(())
}

/// Fails for a header or trailer section above the limit, which the parsers do not check exactly. Dropping the response then ends its
/// exchange, and no other of an HTTP/2 connection.
fn check_head_size(headers: &HeaderMap, limit: u32) -> Result<()> {
    // RFC 9113, section 6.5.2.
    let size: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 32)
        .sum();
    if size <= limit as usize {
        return Ok(());
    }
    let error = diagnosis::large_head().into_error().with_send_state(SendState::Sent);
    Err(error.with_context(context::LIMIT, limit.to_string()))
}

/// Adds the connection option without which an HTTP/1.1 request may not have `TE` (RFC 9110, section 10.1.4).
fn name_te_to_the_connection(headers: &mut HeaderMap) {
    let is_named = || hop_by_hop::connection_options(headers).any(|option| option.eq_ignore_ascii_case("te"));
    if headers.contains_key(header::TE) && !is_named() {
        headers.append(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

/// The methods of `HttpClient` that bare transports implement in the same way: `CAPABILITIES`, and no
/// metrics, retries or circuit breaker.
macro_rules! without_wrappers {
    () => {
        fn capabilities(&self) -> networking_spi::http::HttpCapabilities {
            Self::CAPABILITIES
        }

        fn client_metrics(&self) -> networking_spi::Result<networking_spi::http::HttpClientMetrics> {
            Err(networking_spi::NetworkError::unsupported(
                "http.client_metrics",
                "metrics",
            ))
        }

        fn configure_retry_policy(&self, _policy: networking_spi::http::RetryPolicy) -> networking_spi::Result<()> {
            Err(networking_spi::NetworkError::unsupported(
                "http.configure_retry_policy",
                "retry",
            ))
        }

        fn configure_circuit_breaker(
            &self,
            _breaker: std::sync::Arc<dyn networking_spi::circuit_breaker::CircuitBreaker>,
            _options: networking_spi::http::HttpCircuitOptions,
        ) -> networking_spi::Result<()> {
            Err(networking_spi::NetworkError::unsupported(
                "http.configure_circuit_breaker",
                "circuit_breaker",
            ))
        }
    };
}

use without_wrappers;
