//! Whether a failed call may be retried.

use std::time::Duration;

/// Whether the same call may succeed if it is retried.
///
/// This describes the failure, not the operation: a caller that retries must also know that the operation is idempotent,
/// or that the request was not sent ([`NetworkError::send_state`](crate::NetworkError::send_state)).
///
/// Exhaustive on purpose: a caller that retries handles each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retryability {
    /// The same call would fail again.
    #[default]
    Never,
    /// The failure is transient. Retry after the usual backoff.
    Now,
    /// The failure is transient. The peer, a rate limiter or a circuit asks for at least this delay before a retry.
    After(Duration),
}

impl Retryability {
    /// Whether the call may be retried.
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::Never)
    }

    /// The shortest delay that was asked for, if any.
    pub const fn delay(self) -> Option<Duration> {
        match self {
            Self::After(delay) => Some(delay),
            Self::Never | Self::Now => None,
        }
    }
}

/// Whether the peer may have received the request.
///
/// Exhaustive on purpose: a caller that retries handles each case, and there are only these three.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendState {
    /// No byte of the request was sent: retrying is safe for every operation.
    NotSent,
    /// Unknown: the peer may have processed the request.
    #[default]
    MaybeSent,
    /// The peer responded, so it has received the request.
    Sent,
}
