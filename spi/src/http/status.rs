//! Statuses that may be retried.

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
