//! Injected time: the crates of this project take a [`Clock`] and do not read the operating system's clocks.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

/// A source of time.
///
/// An implementation over tokio follows tokio's paused clock, so that tests advance the time instead of waiting.
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
pub trait Clock: Debug + Send + Sync + 'static {
    /// Wall-clock time, for timestamps outside this process. It may jump: do not measure durations with it.
    fn now(&self) -> SystemTime;

    /// Monotonic time since the fixed origin of this clock, for durations and deadlines.
    fn elapsed(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Debug, Clone, Copy)]
pub struct SystemClock {
    origin: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic origin is now.
    #[allow(clippy::disallowed_methods, reason = "the only place that reads the system's clocks")]
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
    #[allow(clippy::disallowed_methods, reason = "the only place that reads the system's clocks")]
    fn now(&self) -> SystemTime {
        SystemTime::now()
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}
