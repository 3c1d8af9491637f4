//! The queue of the requests that wait for a connection to one origin, in order of arrival.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use parking_lot::Mutex;
use tokio::sync::Notify;

/// The waiting requests, and the number of connections that limits them.
#[derive(Default)]
pub(in crate::transport::hyper) struct Queue {
    line: Mutex<VecDeque<Arc<Notify>>>,
    length: AtomicUsize,
    /// Connections that are open or being opened.
    open: AtomicUsize,
}

/// A request in the queue. Dropping it leaves the queue.
pub(super) struct Place {
    queue: Arc<Queue>,
    turn: Arc<Notify>,
}

/// A connection that is open or being opened. Dropping it makes room for another one.
pub(in crate::transport::hyper) struct OpenSlot(Arc<Queue>);

impl Queue {
    /// Wakes the first request, because a connection or a stream may be free.
    ///
    /// The caller has made the room visible before, with an ordering that is at least sequentially consistent: a request enters the
    /// queue and then looks for room, so that one of both sees the other.
    pub(super) fn wake(&self) {
        if self.length.load(SeqCst) > 0
            && let Some(first) = self.line.lock().front()
        {
            first.notify_one();
        }
    }

    /// Enters the queue at its end.
    pub(super) fn enter(self: &Arc<Self>) -> Place {
        let turn = Arc::new(Notify::new());
        let mut line = self.line.lock();
        line.push_back(Arc::clone(&turn));
        self.length.store(line.len(), SeqCst);
        Place {
            queue: Arc::clone(self),
            turn: Arc::clone(&turn),
        }
    }

    /// Whether a request may take what is free: `place` is the first one, or nothing waits.
    pub(super) fn is_turn_of(&self, place: Option<&Place>) -> bool {
        match place {
            Some(place) => self
                .line
                .lock()
                .front()
                .is_some_and(|first| Arc::ptr_eq(first, &place.turn)),
            None => self.length.load(SeqCst) == 0,
        }
    }

    /// Counts a connection, unless there are `limit` already.
    pub(super) fn open(self: &Arc<Self>, limit: usize) -> Option<OpenSlot> {
        self.open
            .fetch_update(SeqCst, SeqCst, |open| (open < limit).then_some(open + 1))
            .ok()?;
        Some(OpenSlot(Arc::clone(self)))
    }

    /// Whether no connection is open and no request waits.
    pub(super) fn is_unused(&self) -> bool {
        self.open.load(SeqCst) == 0 && self.length.load(SeqCst) == 0
    }
}

impl Place {
    /// Waits until something may be free.
    pub(super) async fn turn(&self) {
        self.turn.notified().await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        {
            let mut line = self.queue.line.lock();
            line.retain(|turn| !Arc::ptr_eq(turn, &self.turn));
            self.queue.length.store(line.len(), SeqCst);
        }
        // More may be free than this request took.
        self.queue.wake();
    }
}

impl Drop for OpenSlot {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, SeqCst);
        self.0.wake();
    }
}
