//! The windows of calls that trip policies evaluate.

use std::time::Duration;

use networking_spi::circuit_breaker::{RateThresholds, TransitionReason, TripPolicy, WindowMetrics};

use super::nanos;

/// The result of one call in a window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sample {
    pub(super) failed: bool,
    pub(super) slow: bool,
}

/// The window of a trip policy. Its memory depends only on the policy, not on the call rate.
#[derive(Debug)]
pub(super) enum Window {
    /// The policy of consecutive failures has no window.
    None,
    Count(CountWindow),
    Time(TimeWindow),
}

impl Window {
    pub(super) fn new(policy: &TripPolicy) -> Self {
        match policy {
            TripPolicy::CountWindow { size, .. } => Self::Count(CountWindow::new(*size)),
            TripPolicy::TimeWindow { length, .. } => Self::Time(TimeWindow::new(*length)),
            _ => Self::None,
        }
    }

    /// Replaces the window with one for `policy`. Keeps the newest calls if the kind of window is the same.
    pub(super) fn reshape(&mut self, policy: &TripPolicy, now: u64) {
        let mut reshaped = Self::new(policy);
        match (&*self, &mut reshaped) {
            (Self::Count(old), Self::Count(new)) => new.copy_from(old),
            (Self::Time(old), Self::Time(new)) => new.copy_from(old, now),
            _ => {}
        }
        *self = reshaped;
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::None => {}
            Self::Count(window) => *window = CountWindow::new(window.size),
            Self::Time(window) => {
                *window = TimeWindow {
                    width: window.width,
                    ..TimeWindow::new(Duration::ZERO)
                }
            }
        }
    }

    /// Whether [`push`](Self::push) and [`metrics`](Self::metrics) use the time.
    pub(super) fn reads_clock(&self) -> bool {
        matches!(self, Self::Time(_))
    }

    pub(super) fn push(&mut self, sample: Sample, now: u64) {
        match self {
            Self::None => {}
            Self::Count(window) => window.push(sample),
            Self::Time(window) => window.push(sample, now),
        }
    }

    pub(super) fn metrics(&mut self, now: u64) -> WindowMetrics {
        let Tally { calls, failures, slow } = match self {
            Self::None => Tally::default(),
            Self::Count(window) => window.tally,
            Self::Time(window) => {
                window.expire(now);
                window.tally
            }
        };
        let mut metrics = WindowMetrics::default();
        metrics.calls = calls;
        metrics.failures = failures;
        metrics.slow = slow;
        metrics
    }
}

/// The threshold that the calls in a window have reached, if any.
pub(super) fn tripped(rates: &RateThresholds, window: WindowMetrics) -> Option<TransitionReason> {
    if window.calls < rates.minimum_calls {
        None
    } else if window.failure_rate() >= rates.failure_rate {
        Some(TransitionReason::FailureRate)
    } else if rates.slow_call_duration.is_some() && window.slow_call_rate() >= rates.slow_call_rate {
        Some(TransitionReason::SlowCallRate)
    } else {
        None
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tally {
    calls: u32,
    failures: u32,
    slow: u32,
}

impl Tally {
    fn add(&mut self, sample: Sample) {
        // Saturating: beyond 2^32 calls in a window, the error of the rate is negligible.
        self.calls = self.calls.saturating_add(1);
        self.failures = self.failures.saturating_add(sample.failed.into());
        self.slow = self.slow.saturating_add(sample.slow.into());
    }

    fn subtract(&mut self, other: Self) {
        self.calls = self.calls.saturating_sub(other.calls);
        self.failures = self.failures.saturating_sub(other.failures);
        self.slow = self.slow.saturating_sub(other.slow);
    }

    fn merge(&mut self, other: Self) {
        self.calls = self.calls.saturating_add(other.calls);
        self.failures = self.failures.saturating_add(other.failures);
        self.slow = self.slow.saturating_add(other.slow);
    }
}

/// The last `size` calls: a ring with two bits per call.
#[derive(Debug)]
pub(super) struct CountWindow {
    failed: Bits,
    slow: Bits,
    size: u32,
    /// The index of the next call. In a full window it is the index of the oldest call.
    next: u32,
    tally: Tally,
}

impl CountWindow {
    fn new(size: u32) -> Self {
        Self {
            failed: Bits::new(size),
            slow: Bits::new(size),
            size,
            next: 0,
            tally: Tally::default(),
        }
    }

    fn push(&mut self, sample: Sample) {
        let failed = self.failed.replace(self.next, sample.failed);
        let slow = self.slow.replace(self.next, sample.slow);
        if self.tally.calls == self.size {
            self.tally.subtract(Tally {
                calls: 1,
                failures: failed.into(),
                slow: slow.into(),
            });
        }
        self.tally.add(sample);
        self.next = if self.next + 1 == self.size { 0 } else { self.next + 1 };
    }

    fn copy_from(&mut self, old: &Self) {
        let kept = old.tally.calls.min(self.size);
        let first = old.next + old.size - kept;
        for offset in 0..kept {
            let index = (first + offset) % old.size;
            self.push(Sample {
                failed: old.failed.get(index),
                slow: old.slow.get(index),
            });
        }
    }
}

#[derive(Debug)]
struct Bits(Box<[u64]>);

impl Bits {
    fn new(size: u32) -> Self {
        Self(vec![0; size.div_ceil(64) as usize].into_boxed_slice())
    }

    fn get(&self, index: u32) -> bool {
        self.0[(index / 64) as usize] >> (index % 64) & 1 != 0
    }

    /// Sets a bit and returns its previous value.
    fn replace(&mut self, index: u32, value: bool) -> bool {
        let (word, shift) = (&mut self.0[(index / 64) as usize], index % 64);
        let before = *word >> shift & 1 != 0;
        *word = *word & !(1 << shift) | u64::from(value) << shift;
        before
    }
}

/// The buckets of a time window. A call leaves the window with its bucket, after 90 % to 100 % of the length.
const BUCKETS: usize = 10;

/// The calls of the last `BUCKETS * width` nanoseconds, in a ring of buckets.
#[derive(Debug)]
pub(super) struct TimeWindow {
    /// The length of a bucket in nanoseconds.
    width: u64,
    /// The number of the newest bucket, counted from the origin of the clock.
    newest: u64,
    buckets: [Tally; BUCKETS],
    /// The sum of the buckets.
    tally: Tally,
}

impl TimeWindow {
    fn new(length: Duration) -> Self {
        let width = (nanos(length) / BUCKETS as u64).max(1);
        Self {
            width,
            newest: 0,
            buckets: [Tally::default(); BUCKETS],
            tally: Tally::default(),
        }
    }

    fn push(&mut self, sample: Sample, now: u64) {
        self.expire(now);
        // If another thread has read a later time, the call is counted in the newest bucket.
        self.buckets[slot(self.newest)].add(sample);
        self.tally.add(sample);
    }

    /// Removes the buckets that have left the window.
    fn expire(&mut self, now: u64) {
        let current = now / self.width;
        if current <= self.newest {
            return;
        }
        for bucket in (self.newest + 1..=current).take(BUCKETS) {
            let expired = std::mem::take(&mut self.buckets[slot(bucket)]);
            self.tally.subtract(expired);
        }
        self.newest = current;
    }

    fn copy_from(&mut self, old: &Self, now: u64) {
        self.newest = now / self.width;
        for age in (0..(BUCKETS as u64).min(old.newest + 1)).rev() {
            let bucket = old.newest - age;
            let calls = old.buckets[slot(bucket)];
            // The new bucket is chosen by the end of the old one, so that no call leaves the new window too early.
            let number = (((bucket + 1).saturating_mul(old.width) - 1) / self.width).min(self.newest);
            if number + BUCKETS as u64 > self.newest {
                self.buckets[slot(number)].merge(calls);
                self.tally.merge(calls);
            }
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "less than the number of buckets")]
fn slot(bucket: u64) -> usize {
    (bucket % BUCKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use super::*;

    const OK: Sample = Sample {
        failed: false,
        slow: false,
    };
    const FAILED: Sample = Sample {
        failed: true,
        slow: false,
    };

    fn count(size: u32) -> Window {
        Window::new(&TripPolicy::CountWindow {
            size,
            rates: RateThresholds::default(),
        })
    }

    fn time(length: Duration) -> Window {
        Window::new(&TripPolicy::TimeWindow {
            length,
            rates: RateThresholds::default(),
        })
    }

    fn seconds(n: u64) -> u64 {
        n * 1_000_000_000
    }

    #[test]
    fn a_count_window_has_only_the_last_calls() {
        for (seed, size) in [(1, 1), (2, 7), (3, 64), (4, 65), (5, 200)] {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut window = count(size);
            let mut model = VecDeque::new();
            for _ in 0..size * 5 {
                let sample = Sample {
                    failed: rng.bool(),
                    slow: rng.u8(..4) == 0,
                };
                window.push(sample, 0);
                model.push_back(sample);
                if model.len() > size as usize {
                    model.pop_front();
                }
                let metrics = window.metrics(0);
                assert_eq!(metrics.calls as usize, model.len());
                assert_eq!(
                    metrics.failures as usize,
                    model.iter().filter(|sample| sample.failed).count()
                );
                assert_eq!(metrics.slow as usize, model.iter().filter(|sample| sample.slow).count());
            }
        }
    }

    #[test]
    fn a_resized_count_window_keeps_the_newest_calls() {
        let mut window = count(6);
        for sample in [FAILED, FAILED, FAILED, OK, OK, FAILED, OK, OK] {
            window.push(sample, 0);
        }
        window.reshape(
            &TripPolicy::CountWindow {
                size: 4,
                rates: RateThresholds::default(),
            },
            0,
        );
        assert_eq!((window.metrics(0).calls, window.metrics(0).failures), (4, 1));
        window.reshape(
            &TripPolicy::CountWindow {
                size: 100,
                rates: RateThresholds::default(),
            },
            0,
        );
        assert_eq!((window.metrics(0).calls, window.metrics(0).failures), (4, 1));
        window.push(OK, 0);
        assert_eq!(window.metrics(0).calls, 5);
    }

    #[test]
    fn a_time_window_drops_calls_within_a_bucket_of_its_length() {
        let mut window = time(Duration::from_secs(10));
        window.push(FAILED, seconds(100));
        window.push(OK, seconds(104));
        assert_eq!(window.metrics(seconds(109)).calls, 2);
        assert_eq!(window.metrics(seconds(110)).calls, 1);
        assert_eq!(window.metrics(seconds(110)).failures, 0);
        assert_eq!(window.metrics(seconds(114)).calls, 0);
        window.push(OK, seconds(1_000_000));
        assert_eq!(window.metrics(seconds(1_000_000)).calls, 1);
    }

    #[test]
    fn a_clock_that_runs_backwards_loses_no_call() {
        let mut window = time(Duration::from_secs(10));
        window.push(OK, seconds(100));
        window.push(FAILED, seconds(99));
        assert_eq!(
            (window.metrics(seconds(100)).calls, window.metrics(seconds(50)).failures),
            (2, 1)
        );
    }

    #[test]
    fn a_reshaped_time_window_keeps_recent_calls() {
        let mut window = time(Duration::from_secs(100));
        window.push(FAILED, seconds(1_005));
        window.push(OK, seconds(1_085));
        window.push(OK, seconds(1_095));
        window.reshape(
            &TripPolicy::TimeWindow {
                length: Duration::from_secs(30),
                rates: RateThresholds::default(),
            },
            seconds(1_099),
        );
        let metrics = window.metrics(seconds(1_099));
        assert_eq!((metrics.calls, metrics.failures), (2, 0));
        assert_eq!(window.metrics(seconds(1_200)).calls, 0);
    }

    #[test]
    fn clearing_keeps_size_and_length() {
        let mut window = time(Duration::from_secs(10));
        window.push(FAILED, seconds(5));
        window.clear();
        assert_eq!(window.metrics(seconds(5)).calls, 0);
        window.push(OK, seconds(5));
        assert_eq!(window.metrics(seconds(14)).calls, 1);
        assert_eq!(window.metrics(seconds(15)).calls, 0);

        let mut window = count(2);
        window.push(FAILED, 0);
        window.clear();
        for _ in 0..3 {
            window.push(OK, 0);
        }
        assert_eq!((window.metrics(0).calls, window.metrics(0).failures), (2, 0));
    }

    #[test]
    fn rates_need_a_minimum_of_calls() {
        let rates = RateThresholds::new(0.5, 4).with_slow_calls(Duration::from_secs(1), 0.75);
        let of = |calls, failures, slow| {
            let mut metrics = WindowMetrics::default();
            (metrics.calls, metrics.failures, metrics.slow) = (calls, failures, slow);
            tripped(&rates, metrics)
        };
        assert_eq!(of(3, 3, 3), None);
        assert_eq!(of(4, 1, 2), None);
        assert_eq!(of(4, 2, 0), Some(TransitionReason::FailureRate));
        assert_eq!(of(4, 1, 3), Some(TransitionReason::SlowCallRate));
        assert_eq!(tripped(&RateThresholds::new(1.0, 1), WindowMetrics::default()), None);
    }
}
