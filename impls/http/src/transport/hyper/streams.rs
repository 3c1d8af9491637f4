//! What arrives on the streams of an HTTP/2 connection before their response heads.

use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{
    AtomicBool, AtomicU64,
    Ordering::{Relaxed, SeqCst},
};
use std::task::Poll;
use std::time::Duration;

use hyper::rt::Executor;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

/// When something last happened.
#[derive(Debug)]
pub(super) struct Latest {
    start: Instant,
    /// Milliseconds from the start.
    millis: AtomicU64,
}

impl Default for Latest {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            millis: AtomicU64::new(0),
        }
    }
}

impl Latest {
    /// It happens now.
    pub(super) fn touch(&self) {
        let millis = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.millis.store(millis, Relaxed);
    }

    pub(super) fn get(&self) -> Instant {
        self.start + Duration::from_millis(self.millis.load(Relaxed))
    }
}

/// One stream of HTTP/2, from the view of its tasks.
#[derive(Debug, Default)]
pub(super) struct StreamWatch {
    /// When something last arrived before the response head.
    pub(super) latest: Latest,
    abandoned: AtomicBool,
    abandoning: Notify,
}

impl StreamWatch {
    /// Ends the tasks. hyper's upload would otherwise wait for the peer to read, although the response is complete, and would keep its
    /// stream open: dropped, it resets the stream.
    pub(super) fn abandon(&self) {
        self.abandoned.store(true, SeqCst);
        self.abandoning.notify_waiters();
    }
}

/// Runs hyper's tasks of one HTTP/2 connection, and notes when a stream wakes its task.
///
/// hyper skips interim responses without a trace. But h2 wakes the task that waits for the response head of a stream for each frame
/// on that stream, and for no frame on others. hyper starts this task when it has opened the stream, right after it has asked whether
/// the body of the request is empty: that is how the two find each other. If a version of hyper did not, interim responses would not
/// count as activity.
#[derive(Debug, Clone, Default)]
pub(super) struct StreamTasks(Arc<Mutex<Option<Arc<StreamWatch>>>>);

/// A request that waits for its stream.
#[derive(Debug)]
pub(super) struct Opening {
    tasks: StreamTasks,
    watch: Arc<StreamWatch>,
}

impl StreamTasks {
    /// A request for this connection, and what is seen of its stream.
    pub(super) fn watch(&self) -> (Opening, Arc<StreamWatch>) {
        let watch = Arc::<StreamWatch>::default();
        let opening = Opening {
            tasks: self.clone(),
            watch: Arc::clone(&watch),
        };
        (opening, watch)
    }
}

impl Opening {
    /// The stream is opened now: the next tasks are those of its request.
    pub(super) fn open(self) {
        *self.tasks.0.lock() = Some(self.watch);
    }
}

impl<F> Executor<F> for StreamTasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        let Some(watch) = self.0.lock().clone() else {
            // The task of the connection.
            tokio::spawn(task);
            return;
        };
        tokio::spawn(async move {
            let mut task = pin!(task);
            let mut abandoned = pin!(watch.abandoning.notified());
            abandoned.as_mut().enable();
            if watch.abandoned.load(SeqCst) {
                return;
            }
            poll_fn(|cx| {
                if abandoned.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(());
                }
                watch.latest.touch();
                task.as_mut().poll(cx).map(|_| ())
            })
            .await;
        });
    }
}
