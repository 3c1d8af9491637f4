//! Deadlines of calls, attempts and bodies.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, Timeout, sleep_until, timeout_at};

/// The result of `work`, or `Elapsed` when the deadline passes first. Work that is ready at the first poll starts no timer.
///
/// The timer is boxed, and `work` is a reference, because the returned future is part of the futures of a call and of an
/// attempt, whose sizes are limited.
pub(crate) fn by<F: Future>(deadline: Instant, work: Pin<&mut F>) -> Pin<Box<Timeout<Pin<&mut F>>>> {
    Box::pin(timeout_at(deadline, work))
}

/// A deadline for code that implements `poll`.
pub(crate) struct Alarm {
    deadline: Instant,
    /// Created at the first wait, and boxed, because many alarms never wait.
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    pub(crate) const fn new(deadline: Instant) -> Self {
        Self { deadline, timer: None }
    }

    /// Reads the clock and returns whether the deadline has passed. Starts no timer.
    pub(crate) fn has_passed(&self) -> bool {
        Instant::now() >= self.deadline
    }

    /// Ready when the deadline has passed. Starts a timer.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(self.deadline)));
        // Unconstrained: a stream that has used up the task's cooperative budget must not delay its own deadline.
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
    async fn the_earlier_of_work_and_deadline_ends_the_wait() {
        for (work, limit, outcome) in [(5, 10, Some(())), (10, 5, None)] {
            let begin = Instant::now();
            let work = pin!(sleep(Duration::from_millis(work)));
            assert_eq!(by(after(limit), work).await.ok(), outcome);
            assert_eq!(begin.elapsed(), Duration::from_millis(5));
        }
    }

    /// Three attempts of 10 ms each, within `limit`; each has its own deadline.
    async fn attempts(limit: u64) -> (Option<u32>, Duration) {
        let begin = Instant::now();
        let work = pin!(async {
            for attempt in 1..=3 {
                let hanging = pin!(pending::<()>());
                assert_eq!(by(after(10), hanging).await.ok(), None, "attempt {attempt}");
            }
            3
        });
        (by(after(limit), work).await.ok(), begin.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn an_outer_deadline_holds_between_inner_ones() {
        assert_eq!(attempts(1_000).await, (Some(3), Duration::from_millis(30)));
        assert_eq!(attempts(25).await, (None, Duration::from_millis(25)));
        assert_eq!(attempts(5).await, (None, Duration::from_millis(5)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_inner_deadline_of_another_task_does_not_replace_the_outer_one() {
        let begin = Instant::now();
        // The inner deadline is the earlier one, but its task is aborted before it passes.
        let work = pin!(async {
            let other = tokio::spawn(async { by(after(5), pin!(pending::<()>())).await });
            tokio::task::yield_now().await;
            other.abort();
            pending::<()>().await;
        });
        assert_eq!(by(after(10), work).await.ok(), None);
        assert_eq!(begin.elapsed(), Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_inner_deadline_that_has_passed_does_not_replace_the_outer_one() {
        let begin = Instant::now();
        let work = pin!(async {
            let hanging = pin!(pending::<()>());
            let mut inner = pin!(by(after(5), hanging));
            assert_eq!(inner.as_mut().await.ok(), None);
            pending::<()>().await;
        });
        assert_eq!(by(after(10), work).await.ok(), None);
        assert_eq!(begin.elapsed(), Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_inner_deadline_that_is_dropped_does_not_replace_the_outer_one() {
        let begin = Instant::now();
        let work = pin!(async {
            {
                let hanging = pin!(pending::<()>());
                let mut inner = pin!(by(after(5), hanging));
                assert!(futures_util::poll!(&mut inner).is_pending());
            }
            pending::<()>().await;
        });
        assert_eq!(by(after(10), work).await.ok(), None);
        assert_eq!(begin.elapsed(), Duration::from_millis(10));
    }
}
