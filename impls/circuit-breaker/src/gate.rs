//! The lock-free part of a circuit: what calls read and write while the circuit is closed.

use std::sync::atomic::Ordering;

use networking_spi::circuit_breaker::CircuitState;

use super::sync::{AtomicU32, AtomicU64};

/// The end of the open time of a circuit that stays open until an operator changes it.
pub(super) const FOREVER: u64 = u64::MAX;

/// State, flags and generation of a circuit in one word, so that a call needs one load.
///
/// The word and the open time change only under the lock of the state machine, which has the full state.
#[derive(Debug)]
pub(super) struct Gate {
    word: AtomicU64,
    /// Consecutive failures. Calls that succeed write it only if it is not zero.
    streak: AtomicU32,
    /// When an open circuit becomes half-open, in nanoseconds of the clock. Written before the word with the state open.
    open_until: AtomicU64,
}

impl Gate {
    pub(super) fn new(word: Word) -> Self {
        Self {
            word: AtomicU64::new(word.0),
            streak: AtomicU32::new(0),
            open_until: AtomicU64::new(FOREVER),
        }
    }

    #[inline]
    pub(super) fn load(&self) -> Word {
        Word(self.word.load(Ordering::Acquire))
    }

    pub(super) fn store(&self, word: Word) {
        self.word.store(word.0, Ordering::Release);
    }

    #[inline]
    pub(super) fn end_streak(&self) {
        // A write, even of the same value, would invalidate the cache line of every other thread.
        if self.streak.load(Ordering::Relaxed) != 0 {
            self.streak.swap(0, Ordering::Relaxed);
        }
    }

    /// Counts a consecutive failure. The caller holds the lock, but successes end the streak without it.
    pub(super) fn extend_streak(&self) -> u32 {
        let extend = |streak: u32| Some(streak.saturating_add(1));
        match self.streak.fetch_update(Ordering::Relaxed, Ordering::Relaxed, extend) {
            Ok(before) | Err(before) => before.saturating_add(1),
        }
    }

    pub(super) fn streak(&self) -> u32 {
        self.streak.load(Ordering::Relaxed)
    }

    pub(super) fn open_until(&self) -> u64 {
        self.open_until.load(Ordering::Acquire)
    }

    pub(super) fn set_open_until(&self, nanos: u64) {
        self.open_until.store(nanos, Ordering::Release);
    }
}

/// `generation << 8 | flags << 2 | state`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Word(u64);

/// The settings of a circuit that each call needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Flags {
    /// Calls are timed: the clock is read when they start and when they end.
    pub(super) timed: bool,
    /// Outcomes are added to a window.
    pub(super) windowed: bool,
    /// No call is rejected.
    pub(super) dry_run: bool,
}

impl Word {
    const STATE: u64 = 0b11;
    const TIMED: u64 = 1 << 2;
    const WINDOWED: u64 = 1 << 3;
    const DRY_RUN: u64 = 1 << 4;
    const GENERATION_SHIFT: u32 = 8;

    pub(super) fn new(generation: u64, state: CircuitState, flags: Flags) -> Self {
        let state = match state {
            CircuitState::Closed => 0,
            CircuitState::Open => 1,
            CircuitState::HalfOpen => 2,
        };
        let mut word = (generation << Self::GENERATION_SHIFT) | state;
        for (set, bit) in [
            (flags.timed, Self::TIMED),
            (flags.windowed, Self::WINDOWED),
            (flags.dry_run, Self::DRY_RUN),
        ] {
            if set {
                word |= bit;
            }
        }
        Self(word)
    }

    #[inline]
    pub(super) fn state(self) -> CircuitState {
        match self.0 & Self::STATE {
            0 => CircuitState::Closed,
            1 => CircuitState::Open,
            _ => CircuitState::HalfOpen,
        }
    }

    #[inline]
    pub(super) fn generation(self) -> u64 {
        self.0 >> Self::GENERATION_SHIFT
    }

    /// Whether the circuit is closed and calls are not timed.
    #[inline]
    pub(super) fn admits_untimed(self) -> bool {
        self.0 & (Self::STATE | Self::TIMED) == 0
    }

    /// Whether the circuit is closed and a success changes only the counters and the streak.
    #[inline]
    pub(super) fn counts_successes_only(self) -> bool {
        self.0 & (Self::STATE | Self::TIMED | Self::WINDOWED) == 0
    }

    pub(super) fn dry_run(self) -> bool {
        self.0 & Self::DRY_RUN != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_returns_its_parts() {
        for state in CircuitState::ALL {
            for bits in 0..8_u8 {
                let flags = Flags {
                    timed: bits & 1 != 0,
                    windowed: bits & 2 != 0,
                    dry_run: bits & 4 != 0,
                };
                let word = Word::new(987_654_321, *state, flags);
                assert_eq!(word.state(), *state);
                assert_eq!(word.generation(), 987_654_321);
                assert_eq!(word.dry_run(), flags.dry_run);
                let closed = *state == CircuitState::Closed;
                assert_eq!(word.admits_untimed(), closed && !flags.timed);
                assert_eq!(word.counts_successes_only(), closed && !flags.timed && !flags.windowed);
            }
        }
    }
}
