//! The results of one call.

use std::mem;
use std::sync::atomic::{AtomicUsize, Ordering};

use networking_spi::Result;
use networking_spi::kafka::RecordMetadata;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::calls::Call;

/// The results of one call.
pub(super) struct Batch {
    /// `None` once the call has returned. Results that arrive later are dropped.
    results: Mutex<Option<Vec<Option<Result<RecordMetadata>>>>>,
    incomplete: AtomicUsize,
    all_complete: Notify,
    /// Ended when the call has its results, or when the call was dropped and librdkafka has reported on all sent records.
    call: Mutex<Option<Call>>,
}

impl Batch {
    pub(super) fn new(size: usize, call: Call) -> Self {
        Self {
            results: Mutex::new(Some((0..size).map(|_| None).collect())),
            incomplete: AtomicUsize::new(size),
            all_complete: Notify::new(),
            call: Mutex::new(Some(call)),
        }
    }

    /// Stores the result of a record, after `count`. Does neither if the call has returned: it has reported a timeout.
    pub(super) fn complete(&self, index: usize, result: Result<RecordMetadata>, count: impl FnOnce()) {
        {
            let mut results = self.results.lock();
            let Some(results) = results.as_mut() else { return };
            count();
            results[index] = Some(result);
        }
        if self.incomplete.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.call.lock().take();
            self.all_complete.notify_one();
        }
    }

    /// The results when all records have one, or at the deadline. `None` for records without a result.
    pub(super) async fn results(&self, deadline: Instant) -> Vec<Option<Result<RecordMetadata>>> {
        let all = async {
            while self.incomplete.load(Ordering::Acquire) > 0 {
                self.all_complete.notified().await;
            }
        };
        // At the deadline, the records without a result are those that timed out.
        let _ = timeout_at(deadline, all).await;
        let results = mem::take(&mut *self.results.lock()).unwrap_or_default();
        self.call.lock().take();
        results
    }
}
