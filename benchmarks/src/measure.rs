//! Alternating rounds and medians.

use std::time::Duration;

use networking_spi::clock::{Clock, SystemClock};

/// How many times each side is measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rounds(pub(crate) usize);

/// The measured values of one side.
#[derive(Debug, Clone)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    /// A single value that was counted, not measured.
    pub(crate) fn counted(value: f64) -> Self {
        Self(vec![value])
    }

    /// Values that were measured together with others; at least one.
    pub(crate) fn of(values: Vec<f64>) -> Self {
        Self(values)
    }

    /// The middle value.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        }
    }

    /// One figure of each round.
    pub(crate) fn figure<T>(rounds: &[T], figure: impl Fn(&T) -> f64) -> Self {
        Self(rounds.iter().map(figure).collect())
    }

    /// `numerator` divided by `denominator`, round by round.
    pub(crate) fn ratio(numerator: &Self, denominator: &Self) -> Self {
        Self(
            numerator
                .0
                .iter()
                .zip(&denominator.0)
                .map(|(above, below)| above / below)
                .collect(),
        )
    }

    /// The distance between the lowest and the highest value, as a share of the median.
    pub(crate) fn spread(&self) -> f64 {
        if self.median() == 0.0 {
            return 0.0;
        }
        let lowest = self.0.iter().copied().fold(f64::INFINITY, f64::min);
        let highest = self.0.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        (highest - lowest) / self.median()
    }
}

/// Measures both sides in alternating rounds, after one warm-up round of each. The side that runs first alternates too.
pub(crate) fn alternate(
    rounds: Rounds,
    mut ours: impl FnMut() -> f64,
    mut peer: impl FnMut() -> f64,
) -> (Samples, Samples) {
    ours();
    peer();
    let (mut our_samples, mut peer_samples) = (Vec::new(), Vec::new());
    for round in 0..rounds.0 {
        if round % 2 == 0 {
            our_samples.push(ours());
            peer_samples.push(peer());
        } else {
            peer_samples.push(peer());
            our_samples.push(ours());
        }
    }
    (Samples(our_samples), Samples(peer_samples))
}

/// Measures all sides in each round, after one warm-up round. Each round begins with another side.
pub(crate) fn in_turn<T>(rounds: Rounds, sides: &mut [&mut dyn FnMut() -> T]) -> Vec<Vec<T>> {
    for side in &mut *sides {
        side();
    }
    let count = sides.len();
    let mut measured: Vec<Vec<T>> = sides.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds.0 {
        for turn in 0..count {
            let side = (round + turn) % count;
            measured[side].push(sides[side]());
        }
    }
    measured
}

/// Measures one side, after one warm-up round.
pub(crate) fn alone(rounds: Rounds, mut ours: impl FnMut() -> f64) -> Samples {
    ours();
    Samples((0..rounds.0).map(|_| ours()).collect())
}

/// The time that `work` takes.
pub(crate) fn time<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let clock = SystemClock::new();
    let result = work();
    (result, clock.elapsed())
}

/// Nanoseconds per call of `calls` calls in `elapsed`.
pub(crate) fn nanos_per_call(calls: u64, elapsed: Duration) -> f64 {
    elapsed.as_nanos() as f64 / calls as f64
}

/// A percentile of sorted durations, in microseconds.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "an index of the slice"
)]
pub(crate) fn percentile_micros(sorted: &[Duration], percentile: f64) -> f64 {
    let rank = (sorted.len() as f64 * percentile / 100.0).ceil() as usize;
    sorted[rank.clamp(1, sorted.len()) - 1].as_secs_f64() * 1e6
}

/// Calls per second of `calls` calls in `elapsed`.
pub(crate) fn per_second(calls: u64, elapsed: Duration) -> f64 {
    calls as f64 / elapsed.as_secs_f64()
}
