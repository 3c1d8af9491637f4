//! Time on tokio's clock.

use std::time::{Duration, SystemTime};

use networking_spi::clock::{Clock, SystemClock};
use tokio::time::Instant;

/// A clock that follows tokio's: under a paused runtime it advances only when the test advances it.
///
/// Wall-clock time is the system's at the moment the clock was made, moved on by tokio's time. That makes it immune to
/// jumps of the system clock, too.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    wall_origin: SystemTime,
    origin: Instant,
}

impl TokioClock {
    /// A clock that starts now.
    pub fn new() -> Self {
        Self::starting_at(SystemClock::new().now())
    }

    /// A clock whose wall-clock time starts at `wall_origin`: tests get the same timestamps in every run.
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
