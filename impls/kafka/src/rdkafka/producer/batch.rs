//! The results of one call.

use std::future::poll_fn;
use std::mem;
use std::task::{Poll, Waker};

use networking_spi::Result;
use networking_spi::kafka::RecordMetadata;
use parking_lot::Mutex;
use smallvec::SmallVec;
use tokio::time::{Instant, timeout_at};

use super::calls::Call;

/// The result of each record, `None` for a record without one. That of a single record needs no allocation.
pub(super) type Results = SmallVec<[Option<Result<RecordMetadata>>; 1]>;

/// The results of one call.
pub(super) struct Batch(Mutex<State>);

struct State {
    results: Results,
    incomplete: usize,
    /// The call has returned. Results that arrive later are dropped.
    has_returned: bool,
    waiting: Option<Waker>,
    /// Ended when the call has its results, or when the call was dropped and librdkafka has reported on all sent records.
    call: Option<Call>,
}

impl Batch {
    pub(super) fn new(size: usize, call: Call) -> Self {
        Self(Mutex::new(State {
            results: (0..size).map(|_| None).collect(),
            incomplete: size,
            has_returned: false,
            waiting: None,
            call: Some(call),
        }))
    }

    /// Stores the result of a record, after `count`. Does neither if the call has returned: it has reported a timeout.
    pub(super) fn complete(&self, index: usize, result: Result<RecordMetadata>, count: impl FnOnce()) {
        let mut state = self.0.lock();
        if state.has_returned {
            return;
        }
        count();
        state.results[index] = Some(result);
        state.incomplete -= 1;
        if state.incomplete > 0 {
            return;
        }
        let (call, waiting) = (state.call.take(), state.waiting.take());
        drop(state);
        drop(call);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }

    /// The results when all records have one, or at the deadline. `None` for records without a result.
    pub(super) async fn results(&self, deadline: Instant) -> Results {
        let all = poll_fn(|context| {
            let mut state = self.0.lock();
            if state.incomplete == 0 {
                return Poll::Ready(());
            }
            state.waiting = Some(context.waker().clone());
            Poll::Pending
        });
        // At the deadline, the records without a result are those that timed out.
        let _ = timeout_at(deadline, all).await;
        let mut state = self.0.lock();
        state.has_returned = true;
        let call = state.call.take();
        let results = mem::take(&mut state.results);
        drop(state);
        drop(call);
        results
    }
}
