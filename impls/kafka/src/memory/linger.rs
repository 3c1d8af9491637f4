//! Records that wait for more records in their batch.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{MutexGuard, Notify};
use tokio::time::{Instant, timeout_at};

/// The waiting calls of a producer. They continue in the order in which they began.
#[derive(Debug, Default)]
pub(super) struct Linger {
    /// The batch that further records join.
    open: Mutex<Arc<Batch>>,
    /// Held by the first waiting call. The lock is fair, so the calls get it in order.
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Batch {
    bytes: AtomicUsize,
    is_closed: AtomicBool,
    closed: Notify,
}

impl Linger {
    /// Waits until `linger` has passed, or the batch of these bytes is full or flushed, and then for earlier calls. The next
    /// call continues when the returned guard is dropped.
    pub(super) async fn wait(&self, bytes: usize, batch_size: usize, linger: Duration) -> MutexGuard<'_, ()> {
        let batch = Arc::clone(&self.open.lock());
        if batch.bytes.fetch_add(bytes, Ordering::AcqRel).saturating_add(bytes) >= batch_size {
            self.close(&batch);
        }
        // A time beyond the range of the timer never comes.
        let deadline = Instant::now().checked_add(linger);
        let turn = self.turn.lock().await;
        batch.wait(deadline).await;
        self.close(&batch);
        turn
    }

    /// Ends the wait of all calls that began before this one.
    pub(super) fn flush(&self) {
        let batch = Arc::clone(&self.open.lock());
        self.close(&batch);
    }

    fn close(&self, batch: &Arc<Batch>) {
        let mut open = self.open.lock();
        if Arc::ptr_eq(&open, batch) {
            *open = Arc::default();
        }
        drop(open);
        batch.is_closed.store(true, Ordering::Release);
        batch.closed.notify_waiters();
    }
}

impl Batch {
    async fn wait(&self, deadline: Option<Instant>) {
        loop {
            let closed = self.closed.notified();
            if self.is_closed.load(Ordering::Acquire) {
                return;
            }
            let Some(deadline) = deadline else {
                closed.await;
                continue;
            };
            if timeout_at(deadline, closed).await.is_err() {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::timeout;

    use super::*;

    const LINGER: Duration = Duration::from_secs(10);
    const SOON: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn a_wait_ends_after_linger_or_with_a_full_batch_or_a_flush() {
        let linger = Linger::default();
        let start = Instant::now();
        drop(linger.wait(1, 100, LINGER).await);
        assert_eq!(start.elapsed(), LINGER);

        drop(timeout(SOON, linger.wait(100, 100, LINGER)).await.expect("full"));

        let first = linger.wait(1, 100, LINGER);
        tokio::pin!(first);
        assert!(
            timeout(SOON, &mut first).await.is_err(),
            "the batch is neither full nor old"
        );
        linger.flush();
        drop(timeout(SOON, first).await.expect("flushed"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_records_of_a_batch_continue_together_and_in_order() {
        let linger = Linger::default();
        let (first, second) = (linger.wait(60, 100, LINGER), linger.wait(60, 100, LINGER));
        tokio::pin!(first);
        tokio::pin!(second);
        assert!(timeout(SOON, &mut first).await.is_err());
        assert!(timeout(SOON, &mut second).await.is_err(), "the first call has its turn");
        let turn = timeout(SOON, first).await.expect("the batch is full");
        assert!(
            timeout(SOON, &mut second).await.is_err(),
            "the first call still has its turn"
        );
        drop(turn);
        drop(timeout(SOON, second).await.expect("its batch is full"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_dropped_call_leaves_its_turn_to_the_next() {
        let linger = Linger::default();
        assert!(timeout(SOON, linger.wait(1, 100, LINGER)).await.is_err());
        drop(
            timeout(LINGER * 2, linger.wait(1, 100, LINGER))
                .await
                .expect("after its linger"),
        );
    }
}
