//! Deadlines.

use std::time::Duration;

use tokio::time::Instant;

/// Longer waits end after this time, which the clock can always represent.
pub(crate) const LONGEST: Duration = Duration::from_secs(60 * 60 * 24 * 365 * 30);

/// The time at which a wait that begins now ends, at most 30 years from now.
pub(crate) fn from_now(wait: Duration) -> Instant {
    Instant::now() + wait.min(LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_wait_has_an_end_that_the_clock_can_represent() {
        assert_eq!(
            from_now(Duration::from_secs(3)),
            Instant::now() + Duration::from_secs(3)
        );
        assert_eq!(from_now(Duration::MAX), Instant::now() + LONGEST);
    }
}
