//! The totals of a circuit, striped by thread to avoid contention.

#[cfg(not(networking_loom))]
use std::cell::Cell;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::sync::AtomicU32;

/// The counters of a circuit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(usize)]
pub(super) enum Counter {
    /// Admitted calls.
    Admitted,
    Successes,
    Failures,
    Ignored,
    Rejected,
    Stale,
    Slow,
}

const COUNTERS: usize = 7;

/// The maximum number of owned stripes. Each is owned by one thread.
const MAX_OWNED_STRIPES: usize = 32;

/// The number of owned stripes: a few more than there are cores, for the threads of a runtime.
static OWNED_STRIPES: LazyLock<usize> = LazyLock::new(|| {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    (cores + 2).next_power_of_two().min(MAX_OWNED_STRIPES)
});

/// One counter of each kind. Aligned to two cache lines, because processors fetch lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Stripe([AtomicU64; COUNTERS]);

/// Striped counters. A thread that owns a stripe counts with a load and a store, which are much cheaper than an atomic
/// addition. Threads without a stripe share the first one and add atomically.
#[derive(Debug)]
pub(super) struct Counters {
    stripes: Box<[Stripe]>,
}

impl Counters {
    pub(super) fn new() -> Self {
        Self {
            stripes: (0..=*OWNED_STRIPES).map(|_| Stripe::default()).collect(),
        }
    }

    #[inline]
    pub(super) fn add(&self, counter: Counter) {
        let index = stripe_of_this_thread();
        let cell = &self.stripes[index].0[counter as usize];
        if index == SHARED {
            cell.fetch_add(1, Ordering::Release);
        } else {
            cell.store(cell.load(Ordering::Relaxed).wrapping_add(1), Ordering::Release);
        }
    }

    pub(super) fn totals(&self) -> Totals {
        // Outcomes are read before admissions, so that a call that is seen as ended is also seen as admitted.
        let [slow, stale, rejected, ignored, failures, successes, admitted] = [
            Counter::Slow,
            Counter::Stale,
            Counter::Rejected,
            Counter::Ignored,
            Counter::Failures,
            Counter::Successes,
            Counter::Admitted,
        ]
        .map(|counter| self.sum(counter));
        Totals {
            admitted,
            successes,
            failures,
            ignored,
            rejected,
            stale,
            slow,
        }
    }

    fn sum(&self, counter: Counter) -> u64 {
        self.stripes.iter().fold(0, |sum, stripe| {
            sum.wrapping_add(stripe.0[counter as usize].load(Ordering::Acquire))
        })
    }
}

/// The sums over all stripes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Totals {
    pub(super) admitted: u64,
    pub(super) successes: u64,
    pub(super) failures: u64,
    pub(super) ignored: u64,
    pub(super) rejected: u64,
    pub(super) stale: u64,
    pub(super) slow: u64,
}

impl Totals {
    /// The admitted calls that have not ended.
    pub(super) fn in_flight(&self) -> u64 {
        self.admitted
            .saturating_sub(self.successes + self.failures + self.ignored + self.stale)
    }
}

/// The stripe of threads that own no stripe.
const SHARED: usize = 0;
#[cfg(not(networking_loom))]
const UNASSIGNED: usize = usize::MAX;

/// One bit per owned stripe: whether a running thread owns it. The assignment is the same for all circuits.
#[cfg(not(networking_loom))]
static TAKEN: AtomicU32 = AtomicU32::new(0);

/// Sets the lowest bit of `all` that is clear in `taken`, and returns its index. `None` if there is no such bit.
pub(super) fn take_bit(taken: &AtomicU32, all: u32) -> Option<usize> {
    let mut now = taken.load(Ordering::Relaxed);
    loop {
        let free = !now & all;
        if free == 0 {
            return None;
        }
        let bit = free.trailing_zeros();
        // Acquire: the relaxed loads of the new owner must see the counts of the previous one.
        match taken.compare_exchange_weak(now, now | 1 << bit, Ordering::Acquire, Ordering::Relaxed) {
            Ok(_) => return Some(bit as usize),
            Err(changed) => now = changed,
        }
    }
}

/// Clears a bit that [`take_bit`] set.
pub(super) fn release_bit(taken: &AtomicU32, bit: usize) {
    taken.fetch_and(!(1 << bit), Ordering::Release);
}

/// All threads share a stripe: loom's threads run on one thread and share its thread-local values.
#[cfg(networking_loom)]
fn stripe_of_this_thread() -> usize {
    SHARED
}

#[cfg(not(networking_loom))]
thread_local! {
    static STRIPE: Cell<usize> = const { Cell::new(UNASSIGNED) };
    static OWNERSHIP: Ownership = Ownership::take();
}

#[cfg(not(networking_loom))]
#[inline]
fn stripe_of_this_thread() -> usize {
    let stripe = STRIPE.get();
    if stripe == UNASSIGNED { assign_stripe() } else { stripe }
}

#[cfg(not(networking_loom))]
#[cold]
fn assign_stripe() -> usize {
    let stripe = OWNERSHIP.try_with(|ownership| ownership.stripe).unwrap_or(SHARED);
    STRIPE.set(stripe);
    stripe
}

/// Releases the stripe of a thread when the thread ends.
#[cfg(not(networking_loom))]
#[derive(Debug)]
struct Ownership {
    stripe: usize,
}

#[cfg(not(networking_loom))]
impl Ownership {
    fn take() -> Self {
        let all = u32::MAX >> (MAX_OWNED_STRIPES - *OWNED_STRIPES);
        Self {
            stripe: take_bit(&TAKEN, all).map_or(SHARED, |bit| bit + 1),
        }
    }
}

#[cfg(not(networking_loom))]
impl Drop for Ownership {
    fn drop(&mut self) {
        // The destructors of other thread-local values may still end calls.
        STRIPE.set(SHARED);
        if self.stripe != SHARED {
            release_bit(&TAKEN, self.stripe - 1);
        }
    }
}

#[cfg(all(test, not(networking_loom)))]
mod tests {
    use super::*;

    #[test]
    fn more_threads_than_stripes_lose_no_count() {
        const PER_THREAD: u64 = 2_000;
        let counters = Counters::new();
        let threads = (*OWNED_STRIPES as u64 + 4) * 2;
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    for _ in 0..PER_THREAD {
                        counters.add(Counter::Admitted);
                        counters.add(Counter::Successes);
                    }
                });
            }
        });
        let totals = counters.totals();
        assert_eq!(totals.admitted, threads * PER_THREAD);
        assert_eq!(totals.successes, threads * PER_THREAD);
        assert_eq!(totals.in_flight(), 0);
    }

    #[test]
    fn bits_are_taken_from_the_lowest_and_released_one_by_one() {
        let taken = AtomicU32::new(0);
        let all = 0b111;
        let bits: Vec<_> = (0..4).map(|_| take_bit(&taken, all)).collect();
        assert_eq!(bits, [Some(0), Some(1), Some(2), None]);
        for bit in [1, 2, 0] {
            release_bit(&taken, bit);
            assert_eq!(taken.load(Ordering::Relaxed), all & !(1 << bit));
            assert_eq!(take_bit(&taken, all), Some(bit));
        }
    }

    #[test]
    fn stripes_of_ended_threads_are_reused() {
        // Many more threads than stripes, one after the other: if stripes leaked, later threads would get none.
        let owned = (0..200)
            .filter(|_| {
                std::thread::spawn(|| stripe_of_this_thread() != SHARED)
                    .join()
                    .expect("the thread ends")
            })
            .count();
        assert!(owned > *OWNED_STRIPES, "{owned} of 200 threads owned a stripe");
    }
}
