//! A clock that a case can advance, so that tokens expire without waiting.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use networking_spi::clock::{Clock, SystemClock};

/// The machine's clock, ahead by the seconds that were added.
#[derive(Debug, Default)]
pub(crate) struct AheadClock {
    machine: SystemClock,
    seconds: AtomicU64,
}

impl AheadClock {
    pub(crate) fn advance(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::Relaxed);
    }

    fn ahead(&self) -> Duration {
        Duration::from_secs(self.seconds.load(Ordering::Relaxed))
    }
}

impl Clock for AheadClock {
    fn now(&self) -> SystemTime {
        self.machine.now() + self.ahead()
    }

    fn elapsed(&self) -> Duration {
        self.machine.elapsed() + self.ahead()
    }
}
