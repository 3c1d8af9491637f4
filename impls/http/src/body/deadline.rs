//! Deadlines whose timers start only where they are needed.

use std::cell::Cell;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

thread_local! {
    /// Set by work that waits: when it is going to wake the task that polls it at the latest.
    static WAKES: Cell<Option<Wake>> = const { Cell::new(None) };
}

#[derive(Clone, Copy)]
struct Wake {
    at: Instant,
    /// Whose waker it was given.
    task: *const (),
}

/// The result of the work, or `None` if it is not there by the deadline.
///
/// Work that does not wait costs no timer. Nor does work with a deadline of its own that comes first, and wakes the task in
/// time: the limit of an attempt inside of the limit of a call is one timer, not two.
pub(crate) const fn by<F: Future>(deadline: Instant, work: Pin<&mut F>) -> By<'_, F> {
    By {
        work,
        alarm: Alarm::new(deadline),
    }
}

pub(crate) struct By<'w, F> {
    work: Pin<&'w mut F>,
    alarm: Alarm,
}

impl<F: Future> Future for By<'_, F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<F::Output>> {
        WAKES.set(None);
        if let Poll::Ready(result) = self.work.as_mut().poll(cx) {
            return Poll::Ready(Some(result));
        }
        let (deadline, task) = (self.alarm.deadline, cx.waker().data());
        let in_time = |wake: Wake| wake.at <= deadline && wake.task == task;
        if WAKES.get().is_some_and(in_time) {
            return Poll::Pending;
        }
        if self.alarm.poll(cx).is_ready() {
            // The inner ones, and this one, wake nobody any more.
            WAKES.set(None);
            return Poll::Ready(None);
        }
        WAKES.set(Some(Wake { at: deadline, task }));
        Poll::Pending
    }
}

/// Work that is given up wakes nobody.
impl<F> Drop for By<'_, F> {
    fn drop(&mut self) {
        WAKES.set(None);
    }
}

/// A deadline that is waited for.
pub(crate) struct Alarm {
    deadline: Instant,
    /// In a box, because most are never started.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    pub(crate) const fn new(deadline: Instant) -> Self {
        Self { deadline, timer: None }
    }

    /// Whether the deadline has passed, by the clock. Starts no timer.
    pub(crate) fn has_passed(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Ready once the deadline has passed. Starts a timer.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(self.deadline)));
        // Work that has used up the task's share of the processor must not hold up its own deadline.
        Pin::new(&mut unconstrained(timer.as_mut())).poll(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::pin::pin;
    use std::time::Duration;

    use tokio::time::sleep;

    use super::*;

    fn after(millis: u64) -> Instant {
        Instant::now() + Duration::from_millis(millis)
    }

    #[tokio::test(start_paused = true)]
    async fn whichever_comes_first_ends_the_wait() {
        for (work, limit, outcome) in [(5, 10, Some(())), (10, 5, None)] {
            let begin = Instant::now();
            let work = pin!(sleep(Duration::from_millis(work)));
            assert_eq!(by(after(limit), work).await, outcome);
            assert_eq!(begin.elapsed(), Duration::from_millis(5));
        }
    }

    /// Three attempts of 10 ms each, within `limit`; each has a deadline of its own.
    async fn attempts(limit: u64) -> (Option<u32>, Duration) {
        let begin = Instant::now();
        let work = pin!(async {
            for attempt in 1..=3 {
                let hanging = pin!(pending::<()>());
                assert_eq!(by(after(10), hanging).await, None, "attempt {attempt}");
            }
            3
        });
        (by(after(limit), work).await, begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_outer_deadline_holds_between_inner_ones() {
        assert_eq!(attempts(1_000).await, (Some(3), Duration::from_millis(30)));
        assert_eq!(attempts(25).await, (None, Duration::from_millis(25)));
        assert_eq!(attempts(5).await, (None, Duration::from_millis(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_inner_deadline_of_another_task_is_not_relied_on() {
        let begin = Instant::now();
        // The inner deadline comes first, and its task is gone before it does.
        let work = pin!(async {
            let other = tokio::spawn(async { by(after(5), pin!(pending::<()>())).await });
            tokio::task::yield_now().await;
            other.abort();
            pending::<()>().await;
        });
        assert_eq!(by(after(10), work).await, None);
        assert_eq!(begin.elapsed(), Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_inner_deadline_that_has_passed_is_not_relied_on() {
        let begin = Instant::now();
        let work = pin!(async {
            let hanging = pin!(pending::<()>());
            let mut inner = pin!(by(after(5), hanging));
            assert_eq!(inner.as_mut().await, None);
            pending::<()>().await;
        });
        assert_eq!(by(after(10), work).await, None);
        assert_eq!(begin.elapsed(), Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_inner_deadline_that_is_given_up_is_not_relied_on() {
        let begin = Instant::now();
        let work = pin!(async {
            {
                let hanging = pin!(pending::<()>());
                let mut inner = pin!(by(after(5), hanging));
                assert!(futures_util::poll!(&mut inner).is_pending());
            }
            pending::<()>().await;
        });
        assert_eq!(by(after(10), work).await, None);
        assert_eq!(begin.elapsed(), Duration::from_millis(10));
    }
}
