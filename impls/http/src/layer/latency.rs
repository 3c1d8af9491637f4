//! A lock-free histogram of durations.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use networking_spi::http::LatencySummary;

/// Buckets per power of two of microseconds. Percentiles are at most 12.5 % too high.
const STEPS: u64 = 1 << STEP_BITS;
const STEP_BITS: u32 = 3;

/// Buckets up to 2^36 microseconds (19 h); longer durations are counted in the last one.
const BUCKETS: usize = (36 - STEP_BITS as usize + 1) << STEP_BITS;

#[derive(Debug)]
pub(super) struct Histogram {
    buckets: Box<[AtomicU64]>,
    sum_nanos: AtomicU64,
    max_nanos: AtomicU64,
}

impl Histogram {
    pub(super) fn new() -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| AtomicU64::new(0)).collect(),
            sum_nanos: AtomicU64::new(0),
            max_nanos: AtomicU64::new(0),
        }
    }

    pub(super) fn record(&self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.buckets[bucket(nanos / 1_000)].fetch_add(1, Relaxed);
        self.sum_nanos.fetch_add(nanos, Relaxed);
        self.max_nanos.fetch_max(nanos, Relaxed);
    }

    pub(super) fn summary(&self) -> LatencySummary {
        let counts: Vec<u64> = self.buckets.iter().map(|bucket| bucket.load(Relaxed)).collect();
        let count: u64 = counts.iter().sum();
        let max = Duration::from_nanos(self.max_nanos.load(Relaxed));
        let percentile = |share: u64| {
            let rank = (count * share).div_ceil(100);
            let mut seen = 0;
            let index = counts.iter().position(|bucket| {
                seen += bucket;
                seen >= rank
            });
            index.map_or(max, |index| Duration::from_micros(upper_bound(index)).min(max))
        };
        let mut summary = LatencySummary::default();
        if count > 0 {
            summary.count = count;
            summary.mean = Duration::from_nanos(self.sum_nanos.load(Relaxed) / count);
            summary.p50 = percentile(50);
            summary.p90 = percentile(90);
            summary.p99 = percentile(99);
            summary.max = max;
        }
        summary
    }
}

/// Values below `STEPS` have one bucket each; above, the leading bits select the bucket.
fn bucket(micros: u64) -> usize {
    let index = if micros < STEPS {
        micros
    } else {
        let shift = micros.ilog2() - STEP_BITS;
        u64::from(shift) * STEPS + (micros >> shift)
    };
    usize::try_from(index).unwrap_or(usize::MAX).min(BUCKETS - 1)
}

/// The first value, in microseconds, above everything in the bucket.
fn upper_bound(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < STEPS {
        return bucket + 1;
    }
    let shift = bucket / STEPS - 1;
    (STEPS + bucket % STEPS + 1) << shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_is_below_the_bound_of_its_bucket_and_not_of_the_one_before() {
        for micros in (0..5_000)
            .chain((10..36).map(|power| 1 << power))
            .chain((10..36).map(|power| (1 << power) - 1))
        {
            let index = bucket(micros);
            assert!(micros < upper_bound(index), "{micros}");
            assert!(index == 0 || micros >= upper_bound(index - 1), "{micros}");
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn percentiles_are_upper_bounds() {
        let histogram = Histogram::new();
        assert_eq!(histogram.summary(), LatencySummary::default());
        for millis in 1..=100 {
            histogram.record(Duration::from_millis(millis));
        }
        let summary = histogram.summary();
        assert_eq!(summary.count, 100);
        assert_eq!(summary.max, Duration::from_millis(100));
        assert_eq!(summary.mean, Duration::from_micros(50_500));
        for (share, value) in [(50, summary.p50), (90, summary.p90), (99, summary.p99)] {
            let exact = Duration::from_millis(share);
            assert!(value >= exact && value <= exact.mul_f64(1.125), "p{share}: {value:?}");
        }
    }
}
