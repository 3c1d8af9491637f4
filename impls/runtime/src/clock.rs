//! A clock on tokio's time.

use std::time::{Duration, SystemTime};

use networking_spi::clock::{Clock, SystemClock};
use tokio::time::Instant;

/// A clock on tokio's time. In a paused runtime it advances only with `tokio::time::advance` and with tokio's auto-advance.
///
/// Its wall-clock time is the system time at which the clock was created, plus the time that has passed on tokio's clock
/// since then. Later changes of the system time have no effect. Copies show the same time.
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
