//! Which statuses may be retried, and which count as failures of the server.

use http::StatusCode;

/// Statuses after which the same request may succeed later: 408, 425, 429, 500, 502, 503 and 504.
///
/// An error with one of these statuses is [retryable](crate::NetworkError::retryability). They are also the default of
/// [`RetryPolicy::statuses`](super::RetryPolicy::statuses).
pub const TRANSIENT: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// Whether the status is one of [`TRANSIENT`].
///
/// ```
/// use networking_spi::http::{StatusCode, status};
/// assert!(status::is_transient(StatusCode::SERVICE_UNAVAILABLE));
/// assert!(!status::is_transient(StatusCode::NOT_IMPLEMENTED));
/// ```
pub fn is_transient(status: StatusCode) -> bool {
    TRANSIENT.contains(&status.as_u16())
}

/// Whether the status counts as a failure of the server for a circuit breaker: 408, 429, and 500 and above. RFC 9110, section 15,
/// has clients treat a status above 599 as a 5xx.
///
/// ```
/// use networking_spi::http::{StatusCode, status};
/// assert!(status::is_failure(StatusCode::NOT_IMPLEMENTED));
/// assert!(!status::is_failure(StatusCode::TOO_EARLY)); // asks for the same request again, outside of TLS early data
/// ```
pub fn is_failure(status: StatusCode) -> bool {
    status.as_u16() >= 500 || matches!(status, StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS)
}
