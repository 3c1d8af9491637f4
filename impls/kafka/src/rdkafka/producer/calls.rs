//! The calls of a producer that are in progress, for `flush`.

use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The calls in progress. A flush waits only for the calls that started before it.
#[derive(Default)]
pub(super) struct Calls(Mutex<Epochs>);

#[derive(Default)]
struct Epochs {
    current: Arc<Epoch>,
    /// Epochs that were ended by earlier flushes and have calls in progress.
    older: Vec<Arc<Epoch>>,
}

/// The calls between two flushes.
#[derive(Default)]
struct Epoch {
    open_calls: AtomicUsize,
    ended: Notify,
}

pub(super) struct Call(Arc<Epoch>);

impl Calls {
    pub(super) fn begin(&self) -> Call {
        let epoch = Arc::clone(&self.0.lock().current);
        epoch.open_calls.fetch_add(1, Ordering::AcqRel);
        Call(epoch)
    }

    /// Waits until every call that began before this one has ended.
    pub(super) async fn drained(&self) {
        let epochs = {
            let mut epochs = self.0.lock();
            let current = mem::take(&mut epochs.current);
            epochs.older.push(current);
            epochs
                .older
                .retain(|epoch| epoch.open_calls.load(Ordering::Acquire) > 0);
            epochs.older.clone()
        };
        for epoch in epochs {
            loop {
                let ended = epoch.ended.notified();
                tokio::pin!(ended);
                ended.as_mut().enable();
                if epoch.open_calls.load(Ordering::Acquire) == 0 {
                    break;
                }
                ended.await;
            }
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.0.open_calls.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_flush_waits_for_earlier_calls_and_not_for_later_ones() {
        let calls = Calls::default();
        let before = calls.begin();
        let flush = calls.drained();
        tokio::pin!(flush);
        assert!(
            timeout(Duration::from_secs(1), &mut flush).await.is_err(),
            "a call is open"
        );
        let after = calls.begin();
        drop(before);
        timeout(Duration::from_secs(1), flush)
            .await
            .expect("only a later call is open");
        let second = calls.drained();
        tokio::pin!(second);
        assert!(
            timeout(Duration::from_secs(1), &mut second).await.is_err(),
            "that call started before this flush"
        );
        drop(after);
        timeout(Duration::from_secs(1), second)
            .await
            .expect("all calls have ended");
    }

    #[tokio::test(start_paused = true)]
    async fn a_second_flush_waits_for_the_calls_that_the_first_timed_out_on() {
        let calls = Calls::default();
        let slow = calls.begin();
        assert!(timeout(Duration::from_secs(1), calls.drained()).await.is_err());
        assert!(
            timeout(Duration::from_secs(1), calls.drained()).await.is_err(),
            "the call is still open"
        );
        drop(slow);
        timeout(Duration::from_secs(1), calls.drained())
            .await
            .expect("the call has ended");
    }
}
