//! When to reconnect, and the queue for outages.

use std::time::Duration;

use networking_spi::backoff::Backoff;
use networking_spi::validate::{self, Validate};
use networking_spi::websocket::CloseFrame;
use networking_spi::{NetworkError, Result};
use serde::{Deserialize, Deserializer, Serialize};

/// How a [`ReconnectingWebSocket`](super::ReconnectingWebSocket) reconnects.
///
/// A longer `Retry-After` of the server takes precedence over the wait of the backoff.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ReconnectPolicy {
    /// The wait before each attempt.
    #[serde(deserialize_with = "backoff")]
    pub backoff: Backoff,
    /// The largest number of attempts without a stable connection. `None`: no limit; 0: never reconnects.
    pub max_attempts: Option<u32>,
    /// A connection that lasts at least this long is stable: it resets the number of attempts.
    #[serde(with = "humantime_serde")]
    pub stable_after: Duration,
    /// Close codes of the peer that end the connection permanently. After other codes, and after a close frame without a code, it
    /// reconnects.
    pub final_codes: Vec<u16>,
    /// The largest number of messages that are queued during an outage. 0: `send` fails during an outage.
    pub queue_messages: usize,
    /// The largest total size of queued messages, in bytes.
    pub queue_bytes: usize,
}

const DEFAULT_BACKOFF: Backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(30));

fn backoff<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Backoff, D::Error> {
    Backoff::deserialize_over(DEFAULT_BACKOFF, deserializer)
}

impl Default for ReconnectPolicy {
    /// 500 ms doubling up to 30 s, without a limit of attempts; stable after 60 s; the codes 1000, 1002, 1003, 1007, 1008, 1009
    /// and 1010 are final; no queue.
    fn default() -> Self {
        Self {
            backoff: DEFAULT_BACKOFF,
            max_attempts: None,
            stable_after: Duration::from_secs(60),
            final_codes: vec![
                CloseFrame::NORMAL,
                CloseFrame::PROTOCOL_ERROR,
                CloseFrame::UNSUPPORTED_DATA,
                CloseFrame::INVALID_DATA,
                CloseFrame::POLICY_VIOLATION,
                CloseFrame::TOO_BIG,
                CloseFrame::MANDATORY_EXTENSION,
            ],
            queue_messages: 0,
            queue_bytes: 1 << 20,
        }
    }
}

impl ReconnectPolicy {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the longest wait before the first attempt, and before any attempt.
    pub fn with_delays(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff.initial = initial;
        self.backoff.maximum = max;
        self
    }

    /// Sets the largest number of attempts without a stable connection.
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }

    /// Sets how long a connection must last to reset the number of attempts.
    pub fn with_stable_after(mut self, duration: Duration) -> Self {
        self.stable_after = duration;
        self
    }

    /// Sets the close codes that end the connection permanently.
    pub fn with_final_codes(mut self, codes: impl IntoIterator<Item = u16>) -> Self {
        self.final_codes = codes.into_iter().collect();
        self
    }

    /// Queues at most `messages` messages, with at most `bytes` bytes in total, during an outage.
    pub fn with_queue(mut self, messages: usize, bytes: usize) -> Self {
        self.queue_messages = messages;
        self.queue_bytes = bytes;
        self
    }

    /// The wait before an attempt, which is counted from 1.
    pub(super) fn delay(&self, attempt: u32, cause: &NetworkError) -> Duration {
        let drawn = self.backoff.delay(attempt, fastrand::f64());
        cause.retryability().delay().map_or(drawn, |asked| asked.max(drawn))
    }
}

impl Validate for ReconnectPolicy {
    fn validate(&self) -> Result<()> {
        validate::positive(self.backoff.initial, "backoff.initial")?;
        validate::nested(&self.backoff, "backoff")?;
        validate::ensure(
            self.queue_messages == 0 || self.queue_bytes > 0,
            "queue_bytes",
            "must be at least 1 if messages are queued",
        )
    }
}

#[cfg(test)]
mod tests {
    use networking_spi::{ErrorKind, Retryability};

    use super::*;

    #[test]
    fn waits_grow_up_to_the_limit_and_are_drawn_from_the_whole_range() {
        let policy = ReconnectPolicy::new().with_delays(Duration::from_secs(1), Duration::from_secs(5));
        let cause = NetworkError::new(ErrorKind::ConnectionClosed, "test", "gone");
        for (attempt, longest) in [(1, 1.0), (2, 2.0), (3, 4.0), (4, 5.0), (u32::MAX, 5.0)] {
            let drawn: Vec<f64> = (0..2_000)
                .map(|_| policy.delay(attempt, &cause).as_secs_f64())
                .collect();
            assert!(
                drawn.iter().all(|seconds| (0.0..=longest).contains(seconds)),
                "{attempt}"
            );
            assert!(
                drawn.iter().any(|seconds| *seconds < longest * 0.1),
                "{attempt}: the low end"
            );
            assert!(
                drawn.iter().any(|seconds| *seconds > longest * 0.9),
                "{attempt}: the high end"
            );
        }
    }

    #[test]
    fn the_wait_of_the_server_is_obeyed() {
        let policy = ReconnectPolicy::new();
        let asked = Duration::from_secs(120);
        let cause = NetworkError::new(ErrorKind::RateLimited, "test", "slow down")
            .with_retryability(Retryability::After(asked));
        assert_eq!(policy.delay(1, &cause), asked);
    }

    #[test]
    fn invalid_settings_name_their_field() {
        let field = |policy: ReconnectPolicy| policy.validate().unwrap_err().field().map(str::to_owned);
        let second = Duration::from_secs(1);
        let none = ReconnectPolicy::new().with_delays(Duration::ZERO, second);
        assert_eq!(field(none).as_deref(), Some("backoff.initial"));
        let turned = ReconnectPolicy::new().with_delays(2 * second, second);
        assert_eq!(field(turned).as_deref(), Some("backoff.maximum"));
        let queue = ReconnectPolicy::new().with_queue(1, 0);
        assert_eq!(field(queue).as_deref(), Some("queue_bytes"));
        assert!(ReconnectPolicy::new().validate().is_ok());
    }
}
