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
    /// The failure is transient, but the client has already retried it as often as its policy allows. Another immediate retry
    /// would multiply the attempts. A caller that tries again much later, such as a queue, decides by
    /// [`is_transient`](Self::is_transient). The value is the delay that was asked for, if any.
    Exhausted(Option<Duration>),
}

impl Retryability {
    /// Whether the call may be retried, after the usual backoff or the delay that was asked for.
    pub const fn is_retryable(self) -> bool {
        matches!(self, Self::Now | Self::After(_))
    }

    /// Whether the same call may succeed at some later time: every value except [`Never`](Self::Never).
    pub const fn is_transient(self) -> bool {
        !matches!(self, Self::Never)
    }

    /// The shortest delay that was asked for, if any.
    pub const fn delay(self) -> Option<Duration> {
        match self {
            Self::After(delay) => Some(delay),
            Self::Exhausted(delay) => delay,
            Self::Never | Self::Now => None,
        }
    }

    /// [`Exhausted`](Self::Exhausted) with the same delay, for a failure that may be retried; otherwise the same value. For
    /// clients that have retried in vain.
    ///
    /// ```
    /// use std::time::Duration;
    /// use networking_spi::Retryability;
    ///
    /// let delay = Duration::from_secs(2);
    /// assert_eq!(Retryability::After(delay).exhausted(), Retryability::Exhausted(Some(delay)));
    /// assert_eq!(Retryability::Never.exhausted(), Retryability::Never);
    /// ```
    #[must_use]
    pub const fn exhausted(self) -> Self {
        match self {
            Self::Now => Self::Exhausted(None),
            Self::After(delay) => Self::Exhausted(Some(delay)),
            Self::Never | Self::Exhausted(_) => self,
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
