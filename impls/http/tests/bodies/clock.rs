//! A clock for dates in `Retry-After`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use networking_spi::clock::Clock;

/// A clock that always returns 1994-11-06 08:49:37 GMT, the date of RFC 9110's examples.
#[derive(Debug)]
pub(crate) struct FixedClock;

impl Clock for FixedClock {
    fn now(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(784_111_777)
    }

    fn elapsed(&self) -> Duration {
        Duration::ZERO
    }
}
