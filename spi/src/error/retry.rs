//! Whether a failed call may be made again.

use std::time::Duration;

/// Whether the same call may succeed when it is made again.
///
/// This describes the failure, not the operation: a caller that retries must also know that the operation is idempotent,
/// or that the request was not sent ([`NetworkError::send_state`](crate::NetworkError::send_state)).
///
/// Exhaustive on purpose: a caller that retries handles each case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Retryability {
    /// The same call fails again.
    #[default]
    Never,
    /// The failure is transient; retry after the usual backoff.
    Now,
    /// The failure is transient, and the peer (or a limiter or breaker) gave the shortest wait before a retry.
    After(Duration),
}

impl Retryability {
    /// Whether the call may be retried.
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::Never)
    }

    /// The shortest wait that was asked for, if any.
    pub const fn delay(self) -> Option<Duration> {
        match self {
            Self::After(delay) => Some(delay),
            Self::Never | Self::Now => None,
        }
    }
}

/// Whether the peer may have received the request.
///
/// Exhaustive on purpose: a caller that retries handles each case, and there is no fourth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SendState {
    /// No byte of the request was sent: retrying is safe for every operation.
    NotSent,
    /// It is not known. Treat the request as possibly processed.
    #[default]
    MaybeSent,
    /// The peer answered: it has received the request.
    Sent,
}
