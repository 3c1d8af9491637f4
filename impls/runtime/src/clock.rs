//! A clock on tokio's time.

use std::time::{Duration, SystemTime};

use networking_spi::clock::{Clock, SystemClock};
use tokio::time::Instant;

/// A clock on tokio's time: in a paused runtime it advances only when the test advances it.
///
/// Its wall-clock time is the system time at the creation of the clock plus the time that has passed on tokio's clock since
/// then. Later changes of the system time have no effect. Copies show the same time.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    wall_origin: SystemTime,
    origin: Instant,
}

impl TokioClock {
    /// A clock whose wall-clock time starts at the current system time.
    pub fn new() -> Self {
        Self::starting_at(SystemClock::new().now())
    }

    /// A clock whose wall-clock time starts at `wall_origin`. Tests get the same timestamps in every run.
    pub fn starting_at(wall_origin: SystemTime) -> Self {
        Self {
            wall_origin,
            origin: Instant::now(),
        }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> SystemTime {
        self.wall_origin + self.elapsed()
    }

    fn elapsed(&self) -> Duration {
        self.origin.elapsed()
    }
}
