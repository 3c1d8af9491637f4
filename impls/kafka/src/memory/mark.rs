//! Whether the records of a transaction count.

use std::sync::atomic::{AtomicU8, Ordering};

/// The state of a transaction, which all of its records share: they become visible together.
#[derive(Debug, Default)]
pub(super) struct Mark(AtomicU8);

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Committed,
    Aborted,
}

const OPEN: u8 = 0;
const COMMITTED: u8 = 1;
const ABORTED: u8 = 2;

impl Mark {
    pub(super) fn is_open(&self) -> bool {
        self.0.load(Ordering::Acquire) == OPEN
    }

    pub(super) fn is_aborted(&self) -> bool {
        self.0.load(Ordering::Acquire) == ABORTED
    }

    pub(super) fn end(&self, outcome: Outcome) {
        let state = match outcome {
            Outcome::Committed => COMMITTED,
            Outcome::Aborted => ABORTED,
        };
        self.0.store(state, Ordering::Release);
    }
}
