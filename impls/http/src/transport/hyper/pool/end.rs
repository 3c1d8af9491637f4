//! The end of the task that drives a connection.

use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;

use super::Pool;

/// Whether the task that drives a connection has ended.
#[derive(Default)]
pub(super) struct End {
    reached: AtomicBool,
    waker: AtomicWaker,
}

/// Reports the end of a connection when it is dropped, after the connection itself.
pub(super) struct EndGuard {
    pub(super) end: Arc<End>,
    pub(super) pool: Weak<Pool>,
    pub(super) origin: Box<str>,
}

impl End {
    pub(super) fn is_reached(&self) -> bool {
        self.reached.load(SeqCst)
    }

    /// Waits for the end. Only one task may wait at a time.
    pub(super) fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.waker.register(cx.waker());
        if self.is_reached() {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }
}

impl Drop for EndGuard {
    fn drop(&mut self) {
        self.end.reached.store(true, SeqCst);
        self.end.waker.wake();
        if let Some(pool) = self.pool.upgrade() {
            pool.remove_ended(&self.origin, &self.end);
        }
    }
}
