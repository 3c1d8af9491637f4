//! Injected time: nothing in the project reads a wall clock directly.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

/// A source of time.
///
/// Implementations on tokio follow its paused clock, so that tests advance time instead of waiting for it.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait Clock: Debug + Send + Sync + 'static {
    /// Wall-clock time, for timestamps that leave the process. It may jump; never measure with it.
    fn now(&self) -> SystemTime;

    /// Monotonic time since a fixed origin of this clock, for measuring and deadlines.
    fn elapsed(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is now.
    #[allow(clippy::disallowed_methods, reason = "the one place where the system's clock enters")]
    pub fn new() -> Self {
        Self {
            origin: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "the one place where the system's clock enters")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}
