//! Token buckets of retries and hedges.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use networking_spi::http::RetryBudget;

use super::per_origin::Evictable;

/// A token bucket that counts in thousandths of a token.
#[derive(Debug)]
pub(super) struct Bucket {
    capacity: u64,
    refill: u64,
    tokens: AtomicU64,
}

const TOKEN: u64 = 1_000;

impl Bucket {
    pub(super) fn new(budget: RetryBudget) -> Self {
        let capacity = u64::from(budget.capacity) * TOKEN;
        #[allow(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "validated to be above 0.0 and at most 1.0"
        )]
        let refill = ((budget.refill * TOKEN as f64) as u64).max(1);
        Self {
            capacity,
            refill,
            tokens: AtomicU64::new(capacity),
        }
    }

    pub(super) fn take(&self) -> bool {
        self.tokens
            .fetch_update(Relaxed, Relaxed, |tokens| tokens.checked_sub(TOKEN))
            .is_ok()
    }

    pub(super) fn refill(&self) {
        // A full bucket, the usual case, is not written.
        let _ = self.tokens.fetch_update(Relaxed, Relaxed, |tokens| {
            (tokens < self.capacity).then(|| (tokens + self.refill).min(self.capacity))
        });
    }
}

impl Evictable for Bucket {
    fn is_idle(&self) -> bool {
        self.tokens.load(Relaxed) >= self.capacity
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bucket_empties_and_refills_to_its_capacity() {
        let bucket = Bucket::new(RetryBudget::new(2, 0.5));
        bucket.refill();
        assert!(bucket.take() && bucket.take());
        assert!(!bucket.take());
        bucket.refill();
        assert!(!bucket.take(), "half a token");
        bucket.refill();
        assert!(bucket.take());
    }
}
