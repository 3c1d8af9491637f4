//! Runs one case: its runtime, its harness, its time limits and its panics.

use std::any::Any;
use std::fmt;
use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::task::Poll;
use std::thread;
use std::time::Duration;

use futures_core::future::BoxFuture;
use networking_spi::clock::{Clock, SystemClock};
use tokio::runtime::Runtime;
use tokio::time::Instant;

use super::case::{Case, CaseResult, CaseRuntime, Failure};
use super::panics::{self, Panics};
use super::suite::Factory;

/// The shortest time limit of a case, by the clock of its runtime.
const CASE_LIMIT: Duration = Duration::from_secs(60);

/// How often the watching thread looks whether a case makes progress.
const STEP: Duration = Duration::from_millis(500);

/// Waits for something that must happen, and fails the case if it takes longer than `limit`. `what` is what the case
/// waits for. Cases wait for at most the [`patience`](crate::Harness::patience) of their harness.
///
/// ```
/// use std::time::Duration;
/// use networking_conformance::within;
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)]
/// # async fn main() {
/// let never = std::future::pending::<()>();
/// let failure = within(Duration::from_secs(5), "an answer", never).await.unwrap_err();
/// assert_eq!(failure.to_string(), "waited 5s for an answer");
/// # }
/// ```
///
/// Cancel safety: as that of the future.
///
/// # Errors
/// If the future is not ready in time. It is dropped.
pub async fn within<F: Future>(limit: Duration, what: impl fmt::Display, future: F) -> Result<F::Output, Failure> {
    tokio::time::timeout(limit, future)
        .await
        .map_err(|_| Failure::new(format!("waited {limit:?} for {what}")))
}

/// The time limits of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// For one event, in real time.
    pub(super) event: Duration,
    /// For the whole case, by the clock of its runtime.
    pub(super) case: Duration,
    /// For the whole case, in real time: a paused clock does not advance while a backend spins.
    pub(super) real: Duration,
}

impl Limits {
    /// The limits that follow from the patience of a harness. They are longer, so that the message of the wait that
    /// took too long is the one that is reported.
    pub(super) fn new(patience: Duration) -> Self {
        let case = CASE_LIMIT.max(patience.saturating_mul(12));
        Self {
            event: patience.saturating_mul(2),
            case,
            real: case.saturating_add(CASE_LIMIT / 2),
        }
    }
}

/// Runs the case in its own runtime and thread. A panic is a failure, also one of a destructor, and one of a task or a
/// blocking call in the runtime of the case. A panic of another thread is not noticed.
///
/// The thread of a case that blocks or spins cannot be stopped, and keeps running.
pub(super) fn run<H: ?Sized + 'static>(
    kind: CaseRuntime,
    limits: Limits,
    case: &Case<H>,
    factory: &Factory<H>,
) -> CaseResult {
    let (done, result) = mpsc::channel();
    let polls = Arc::new(AtomicU64::new(0));
    let (run, factory, counter) = (case.run, Arc::clone(factory), Arc::clone(&polls));
    let body = move || {
        let panics = Panics::default();
        panics.watch_this_thread();
        let runtime = build_watched_runtime(kind, &panics);
        let ended = catch_unwind(AssertUnwindSafe(|| {
            let case = run(make_in(&runtime, &factory));
            runtime.block_on(RUNTIME.scope(kind, limited(kind, limits, counted(case, counter))))
        }));
        let result = ended.unwrap_or_else(|panic| Err(panicked(&*panic)));
        let result = result.and_then(|()| panics.check());
        runtime.shutdown_background();
        // The receiver was dropped if the case exceeded a limit.
        let _ = done.send(result);
    };
    // Panics are printed with the name of the thread.
    let spawned = thread::Builder::new().name(case.id.to_owned()).spawn(body);
    if let Err(error) = spawned {
        return Err(Failure::with_error("no thread for the case", &error));
    }
    watch(limits, &polls, &result)
}

/// Makes a harness inside the runtime, because it may open sockets or create timers.
pub(super) fn make_in<H: ?Sized>(runtime: &Runtime, factory: &Factory<H>) -> Arc<H> {
    let _guard = runtime.enter();
    factory()
}

pub(super) fn build_runtime(kind: CaseRuntime) -> Runtime {
    build_watched_runtime(kind, &Panics::default())
}

/// A runtime whose threads report panics to `panics`.
fn build_watched_runtime(kind: CaseRuntime, panics: &Panics) -> Runtime {
    let panics = panics.clone();
    let mut builder = match kind {
        CaseRuntime::MultiThread => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2);
            builder
        }
        CaseRuntime::CurrentThread => tokio::runtime::Builder::new_current_thread(),
        CaseRuntime::PausedClock => {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.start_paused(true);
            builder
        }
    };
    builder.on_thread_start(move || panics.watch_this_thread());
    builder.enable_all().build().expect("a runtime can be built")
}

tokio::task_local! {
    /// The runtime of the case that runs.
    static RUNTIME: CaseRuntime;
}

/// Whether this is code of a case that runs with a paused clock.
#[allow(dead_code, reason = "unused without any domain feature")]
pub(crate) fn clock_is_paused() -> bool {
    RUNTIME
        .try_with(|kind| *kind == CaseRuntime::PausedClock)
        .unwrap_or(false)
}

/// Waits for the result of a case that runs in another thread.
fn watch(limits: Limits, polls: &AtomicU64, result: &mpsc::Receiver<CaseResult>) -> CaseResult {
    let clock = SystemClock::new();
    // More than the limit inside the runtime, which can end the case.
    let event = limits.event.saturating_add(2 * STEP);
    let (mut seen, mut since) = (polls.load(Ordering::Relaxed), Duration::ZERO);
    loop {
        let step = STEP.min(limits.real.saturating_sub(clock.elapsed()));
        match result.recv_timeout(step) {
            Ok(result) => return result,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Err(Failure::new("the thread of the case panicked")),
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        let (now, elapsed) = (polls.load(Ordering::Relaxed), clock.elapsed());
        if elapsed >= limits.real {
            let limit = limits.real;
            return Err(Failure::new(format!(
                "the case did not end within {limit:?} of real time"
            )));
        }
        if now != seen {
            (seen, since) = (now, elapsed);
        } else if elapsed.saturating_sub(since) >= event {
            // A thread that computes looks the same from here.
            return Err(Failure::new(format!(
                "the case did not yield for {event:?}: it blocks its thread, or computes"
            )));
        }
    }
}

/// Counts how often a case is polled.
async fn counted(mut case: BoxFuture<'static, CaseResult>, polls: Arc<AtomicU64>) -> CaseResult {
    poll_fn(|cx| {
        polls.fetch_add(1, Ordering::Relaxed);
        panics::in_the_case(|| case.as_mut().poll(cx))
    })
    .await
}

async fn limited(kind: CaseRuntime, limits: Limits, case: impl Future<Output = CaseResult>) -> CaseResult {
    let limited = async {
        match kind {
            CaseRuntime::MultiThread | CaseRuntime::CurrentThread => progressing(limits.event, case).await,
            // The clock may be advanced by any time at once.
            CaseRuntime::PausedClock => case.await,
        }
    };
    match tokio::time::timeout(limits.case, limited).await {
        Ok(result) => result,
        Err(_) => Err(Failure::new(format!("the case did not end within {:?}", limits.case))),
    }
}

/// Fails if the case is not woken for `limit`.
async fn progressing(limit: Duration, case: impl Future<Output = CaseResult>) -> CaseResult {
    let mut case = std::pin::pin!(case);
    let mut idle = std::pin::pin!(tokio::time::sleep(limit));
    poll_fn(|cx| {
        if let Poll::Ready(result) = case.as_mut().poll(cx) {
            return Poll::Ready(result);
        }
        if idle.is_elapsed() {
            return Poll::Ready(Err(Failure::new(format!("the case waited {limit:?} for one event"))));
        }
        // A limit beyond what the clock can represent never ends the case.
        if let Some(end) = Instant::now().checked_add(limit) {
            idle.as_mut().reset(end);
        }
        idle.as_mut().poll(cx).map(|()| Ok(()))
    })
    .await
}

/// The failure of what has ended in this panic.
pub(super) fn panicked(panic: &(dyn Any + Send)) -> Failure {
    Failure::new(format!("panicked: {}", panics::message(panic)))
}

#[cfg(test)]
mod tests {
    use std::panic::resume_unwind;

    use super::super::case::Applies;
    use super::*;

    type Run = fn(Arc<()>) -> BoxFuture<'static, CaseResult>;

    /// How a case ends that runs with these limits.
    fn failure(kind: CaseRuntime, limits: Limits, run: Run) -> String {
        let case = Case {
            id: "test::case",
            clause: "TEST-1",
            applies: |&()| Applies::Yes,
            run,
        };
        let factory: Factory<()> = Arc::new(|| Arc::new(()));
        super::run(kind, limits, &case, &factory).unwrap_err().to_string()
    }

    fn limits(event: u64, case: u64, real: u64) -> Limits {
        let [event, case, real] = [event, case, real].map(Duration::from_millis);
        Limits { event, case, real }
    }

    const LONG: u64 = 60_000;

    #[test]
    fn each_limit_has_its_message() {
        let spins: Run = |_| {
            Box::pin(async {
                loop {
                    tokio::task::yield_now().await;
                }
            })
        };
        let hangs: Run = |_| Box::pin(std::future::pending());
        let blocks: Run = |_| {
            Box::pin(async {
                let (_sender, receiver) = mpsc::channel::<()>();
                let _ = receiver.recv();
                Ok(())
            })
        };
        let ticks: Run = |_| {
            Box::pin(async {
                loop {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
            })
        };
        let (paused, real, one_thread) = (
            CaseRuntime::PausedClock,
            CaseRuntime::MultiThread,
            CaseRuntime::CurrentThread,
        );
        for (kind, limits, run, message) in [
            (
                paused,
                limits(LONG, LONG, 20),
                spins,
                "the case did not end within 20ms of real time",
            ),
            (
                paused,
                limits(LONG, 30, LONG),
                hangs,
                "the case did not end within 30ms",
            ),
            (
                real,
                limits(10, LONG, LONG),
                hangs,
                "the case waited 10ms for one event",
            ),
            (real, limits(LONG, 30, LONG), ticks, "the case did not end within 30ms"),
            (
                one_thread,
                limits(10, LONG, LONG),
                hangs,
                "the case waited 10ms for one event",
            ),
            (
                one_thread,
                limits(10, LONG, LONG),
                blocks,
                "the case did not yield for 1.01s: it blocks its thread, or computes",
            ),
            (
                real,
                limits(10, LONG, LONG),
                blocks,
                "the case did not yield for 1.01s: it blocks its thread, or computes",
            ),
            (
                paused,
                limits(10, LONG, LONG),
                blocks,
                "the case did not yield for 1.01s: it blocks its thread, or computes",
            ),
        ] {
            assert_eq!(failure(kind, limits, run), message);
        }
    }

    struct PanicsWhenDropped;

    impl Drop for PanicsWhenDropped {
        fn drop(&mut self) {
            resume_unwind(Box::new("a destructor"));
        }
    }

    #[test]
    fn panics_fail_the_case() {
        let at_once: Run = |_| resume_unwind(Box::new("at once"));
        let later: Run = |_| Box::pin(async { resume_unwind(Box::new("later".to_owned())) });
        let at_its_end: Run = |_| {
            let guard = PanicsWhenDropped;
            Box::pin(async move {
                let _guard = guard;
                Ok(())
            })
        };
        // The future is dropped by the time limit, outside of the case's own code.
        let when_it_is_dropped: Run = |_| {
            let guard = PanicsWhenDropped;
            Box::pin(async move {
                let _guard = guard;
                std::future::pending().await
            })
        };
        for (run, message) in [
            (at_once, "panicked: at once"),
            (later, "panicked: later"),
            (at_its_end, "panicked: a destructor"),
            (when_it_is_dropped, "panicked: a destructor"),
        ] {
            assert_eq!(failure(CaseRuntime::PausedClock, limits(LONG, 30, LONG), run), message);
        }
    }

    #[test]
    fn a_harness_that_panics_fails_its_case() {
        let case = Case::<()> {
            id: "test::case",
            clause: "TEST-1",
            applies: |&()| Applies::Yes,
            run: |_| Box::pin(async { Ok(()) }),
        };
        let factory: Factory<()> = Arc::new(|| resume_unwind(Box::new("no broker")));
        let limits = Limits::new(Duration::from_secs(5));
        let result = super::run(CaseRuntime::MultiThread, limits, &case, &factory);
        assert_eq!(result, Err(Failure::new("panicked: no broker")));
    }

    #[test]
    fn panics_of_tasks_fail_the_case() {
        let task: Run = |_| {
            Box::pin(async {
                // The backend may ignore that its task has ended.
                let _ = tokio::spawn(async { panic!("in a task") }).await;
                Ok(())
            })
        };
        let blocking: Run = |_| {
            Box::pin(async {
                let _ = tokio::task::spawn_blocking(|| panic!("in a {}", "blocking call")).await;
                Ok(())
            })
        };
        for kind in [
            CaseRuntime::MultiThread,
            CaseRuntime::CurrentThread,
            CaseRuntime::PausedClock,
        ] {
            for (run, message) in [
                (task, "a task of the backend panicked: in a task ("),
                (blocking, "a task of the backend panicked: in a blocking call ("),
            ] {
                let failure = failure(kind, limits(LONG, LONG, LONG), run);
                assert!(failure.starts_with(message), "{kind:?}: {failure}");
            }
        }
    }

    #[test]
    fn a_panic_that_the_backend_catches_is_its_own_affair() {
        let case = Case::<()> {
            id: "test::case",
            clause: "TEST-1",
            applies: |&()| Applies::Yes,
            run: |_| {
                Box::pin(async {
                    let caught = catch_unwind(|| panic!("an operation of the caller"));
                    assert!(caught.is_err());
                    Ok(())
                })
            },
        };
        let factory: Factory<()> = Arc::new(|| Arc::new(()));
        let result = super::run(CaseRuntime::CurrentThread, limits(LONG, LONG, LONG), &case, &factory);
        assert_eq!(result, Ok(()));
    }

    #[test]
    fn endless_patience_is_no_overflow() {
        let case = Case::<()> {
            id: "test::case",
            clause: "TEST-1",
            applies: |&()| Applies::Yes,
            run: |_| {
                Box::pin(async {
                    tokio::task::yield_now().await;
                    within(Duration::MAX, "nothing", async {}).await
                })
            },
        };
        let factory: Factory<()> = Arc::new(|| Arc::new(()));
        for patience in [Duration::MAX, Duration::MAX / 2, Duration::from_secs(u64::MAX / 12)] {
            for kind in [
                CaseRuntime::MultiThread,
                CaseRuntime::CurrentThread,
                CaseRuntime::PausedClock,
            ] {
                assert_eq!(super::run(kind, Limits::new(patience), &case, &factory), Ok(()));
            }
        }
    }

    #[test]
    fn limits_follow_the_patience_of_the_harness() {
        let default = Limits::new(Duration::from_secs(5));
        assert_eq!(default, limits(10_000, 60_000, 90_000));
        assert_eq!(Limits::new(Duration::from_secs(30)), limits(60_000, 360_000, 390_000));
    }
}
