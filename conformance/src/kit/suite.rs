//! The cases of a domain, and their execution.

use std::fmt;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::FutureExt;
use networking_spi::clock::{Clock, SystemClock};
use tokio::runtime::Runtime;

use super::case::{Applies, Case, CaseResult, CaseRuntime, Failure, Harness};
use super::report::{CaseReport, Outcome, SuiteReport};

/// Makes a fresh harness for each case.
pub type Factory<H> = Arc<dyn Fn() -> Arc<H> + Send + Sync>;

/// A case that takes longer than this by the clock of its runtime fails.
const CASE_LIMIT: Duration = Duration::from_secs(60);

/// A case that takes longer than this in real time fails: a paused clock does not advance while a backend spins.
const REAL_LIMIT: Duration = Duration::from_secs(90);

/// All cases of a domain. `H` is the domain's harness trait object (`dyn HttpHarness`).
///
/// Exhaustive on purpose: suites outside this crate are written as literals.
#[must_use = "a suite does nothing until it is run"]
pub struct Suite<H: ?Sized> {
    /// The domain's name in reports (`http`).
    pub domain: &'static str,
    /// The cases, in the order of their clauses.
    pub cases: Vec<Case<H>>,
}

impl<H: Harness + ?Sized> Suite<H> {
    /// Makes a factory from a closure. The closure's result is coerced to the harness trait object of this suite.
    #[must_use]
    pub fn factory<F>(&self, factory: F) -> Factory<H>
    where
        F: Fn() -> Arc<H> + Send + Sync + 'static,
    {
        Arc::new(factory)
    }

    /// Runs all cases sequentially.
    ///
    /// Must not be called from async code: each case starts its own runtime.
    pub fn run(&self, factory: &Factory<H>) -> SuiteReport {
        let kind = runtime_of(factory);
        let run = |case| self.run_case_in(kind, case, factory);
        SuiteReport::new(self.cases.iter().map(run).collect())
    }

    /// Runs the case with this id.
    ///
    /// # Panics
    /// If no case has this id.
    pub fn run_id(&self, id: &str, factory: &Factory<H>) -> CaseReport {
        let case = self
            .cases
            .iter()
            .find(|case| case.id == id)
            .unwrap_or_else(|| panic!("no case {id}"));
        self.run_case(case, factory)
    }

    /// Runs the case with this id as the body of a `#[test]`. The macros of the domains expand to it.
    ///
    /// # Panics
    /// If the case fails, or no case has this id.
    pub fn assert_case(&self, id: &str, factory: impl Fn() -> Arc<H> + Send + Sync + 'static) {
        let report = self.run_id(id, &self.factory(factory));
        match report.outcome {
            Outcome::Passed => {}
            Outcome::Failed => panic!("{} ({}): {}", report.case, report.clause, report.reason),
            other => println!("{other}: {}: {}", report.case, report.reason),
        }
    }

    /// Runs one case in its own runtime.
    pub fn run_case(&self, case: &Case<H>, factory: &Factory<H>) -> CaseReport {
        self.run_case_in(runtime_of(factory), case, factory)
    }

    fn run_case_in(&self, kind: CaseRuntime, case: &Case<H>, factory: &Factory<H>) -> CaseReport {
        let clock = SystemClock::new();
        let runtime = Arc::new(build_runtime(kind));
        let harness = make_in(&runtime, factory);
        let backend = harness.backend();
        let (outcome, reason) = match (case.applies)(&harness) {
            Applies::Unsupported(capability) => (Outcome::Unsupported, capability.to_owned()),
            Applies::Skipped(what) => (Outcome::Skipped, what.to_owned()),
            Applies::Yes => {
                let known = harness.known_failures().into_iter().find(|known| known.case == case.id);
                match (run_within(REAL_LIMIT, &runtime, case, harness), known) {
                    (Ok(()), None) => (Outcome::Passed, String::new()),
                    (Ok(()), Some(known)) => (
                        Outcome::Failed,
                        format!("listed as a known failure ({}), but it passes", known.reason),
                    ),
                    (Err(_), Some(known)) => (Outcome::KnownFailure, known.reason.to_owned()),
                    (Err(failure), None) => (Outcome::Failed, failure.0),
                }
            }
        };
        // The thread of a case that exceeded the limit still holds the runtime.
        if let Some(runtime) = Arc::into_inner(runtime) {
            runtime.shutdown_background();
        }
        CaseReport {
            domain: self.domain.to_owned(),
            backend: backend.to_owned(),
            case: case.id.to_owned(),
            clause: case.clause.to_owned(),
            outcome,
            reason,
            millis: u64::try_from(clock.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl<H: ?Sized> fmt::Debug for Suite<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Suite")
            .field("domain", &self.domain)
            .field("cases", &self.cases)
            .finish()
    }
}

/// The runtime that the harness asks for. Makes a harness only for this query.
pub(crate) fn runtime_of<H: Harness + ?Sized>(factory: &Factory<H>) -> CaseRuntime {
    let runtime = build_runtime(CaseRuntime::PausedClock);
    let harness = make_in(&runtime, factory);
    let kind = harness.runtime();
    drop(harness);
    runtime.shutdown_background();
    kind
}

/// Makes a harness inside the runtime, because it may open sockets or create timers.
fn make_in<H: ?Sized>(runtime: &Runtime, factory: &Factory<H>) -> Arc<H> {
    let _guard = runtime.enter();
    factory()
}

fn build_runtime(kind: CaseRuntime) -> Runtime {
    let mut builder = match kind {
        CaseRuntime::MultiThread => {
            let mut builder = tokio::runtime::Builder::new_multi_thread();
            builder.worker_threads(2);
            builder
        }
        CaseRuntime::PausedClock => {
            let mut builder = tokio::runtime::Builder::new_current_thread();
            builder.start_paused(true);
            builder
        }
    };
    builder.enable_all().build().expect("a runtime can be built")
}

/// Runs the case with time limits; a panic is a failure. The thread of a case that exceeds `limit` cannot be stopped,
/// and keeps running.
fn run_within<H>(limit: Duration, runtime: &Arc<Runtime>, case: &Case<H>, harness: Arc<H>) -> CaseResult
where
    H: Harness + ?Sized,
{
    let (done, result) = mpsc::channel();
    let (runtime, run) = (Arc::clone(runtime), case.run);
    thread::spawn(move || {
        let ended = runtime.block_on(guarded(run(harness)));
        drop(runtime);
        // The receiver was dropped if the case exceeded the limit.
        let _ = done.send(ended);
    });
    result.recv_timeout(limit).unwrap_or_else(|_| {
        Err(Failure::new(format!(
            "the case did not end within {limit:?} of real time"
        )))
    })
}

async fn guarded(case: impl Future<Output = CaseResult>) -> CaseResult {
    let limited = tokio::time::timeout(CASE_LIMIT, case);
    match AssertUnwindSafe(limited).catch_unwind().await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Failure::new(format!("the case did not end within {CASE_LIMIT:?}"))),
        Err(panic) => {
            let message = panic
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| panic.downcast_ref::<&str>().copied())
                .unwrap_or("no message");
            Err(Failure::new(format!("panicked: {message}")))
        }
    }
}

/// Defines a domain's suite from its list of cases: the function `suite()`, and the exported macro that expands to one
/// `#[test]` per case.
///
/// The names of cases are unique within a suite. `if` names a function `fn(&H) -> Applies`.
#[allow(unused_macros, reason = "unused without any domain feature")]
macro_rules! define_suite {
    (
        ($d:tt)
        $(#[$doc:meta])*
        macro $name:ident;
        domain $domain:literal in $domain_module:ident;
        harness dyn $harness:ident;
        cases { $($clause:literal $module:ident::$case:ident $(if $applies:path)?),+ $(,)? }
    ) => {
        /// All cases of this domain.
        pub fn suite() -> $crate::Suite<dyn $harness> {
            $crate::Suite {
                domain: $domain,
                cases: vec![$($crate::Case {
                    id: concat!($domain, "::", stringify!($module), "::", stringify!($case)),
                    clause: $clause,
                    applies: {
                        #[allow(unused_mut, unused_assignments)]
                        let mut applies: fn(&dyn $harness) -> $crate::Applies = |_| $crate::Applies::Yes;
                        $(applies = $applies;)?
                        applies
                    },
                    run: |harness| Box::pin($module::$case(harness)),
                }),+],
            }
        }

        $(#[$doc])*
        #[macro_export]
        macro_rules! $name {
            ($d factory:expr) => {
                // The only use of the factory, so that a factory of another type is reported once.
                #[allow(dead_code, clippy::redundant_closure_call, reason = "tests use it; the factory may be a closure")]
                fn harness_under_test() -> ::std::sync::Arc<dyn $crate::$domain_module::$harness> {
                    ($d factory)()
                }

                $(
                    #[test]
                    fn $case() {
                        let id = concat!($domain, "::", stringify!($module), "::", stringify!($case));
                        $crate::$domain_module::suite().assert_case(id, harness_under_test);
                    }
                )+
            };
        }
    };
}

#[allow(unused_imports, reason = "unused without any domain feature")]
pub(crate) use define_suite;

#[cfg(test)]
mod tests {
    use super::*;

    struct Spinning;

    impl Harness for Spinning {
        fn backend(&self) -> &'static str {
            "spinning"
        }

        fn runtime(&self) -> CaseRuntime {
            CaseRuntime::PausedClock
        }
    }

    fn case(run: fn(Arc<Spinning>) -> futures_core::future::BoxFuture<'static, CaseResult>) -> Case<Spinning> {
        Case {
            id: "test::case",
            clause: "TEST-1",
            applies: |_| Applies::Yes,
            run,
        }
    }

    #[test]
    fn a_case_that_spins_under_a_paused_clock_fails() {
        let spins = case(|_| {
            Box::pin(async {
                loop {
                    tokio::task::yield_now().await;
                }
            })
        });
        let runtime = Arc::new(build_runtime(CaseRuntime::PausedClock));
        let failure = run_within(Duration::from_millis(20), &runtime, &spins, Arc::new(Spinning)).unwrap_err();
        assert!(failure.0.contains("real time"), "{failure}");
    }

    #[test]
    fn a_case_that_hangs_or_panics_fails() {
        let hangs = case(|_| Box::pin(std::future::pending()));
        let panics = case(|_| Box::pin(async { panic!("a reason") }));
        for (case, reason) in [(hangs, "did not end"), (panics, "panicked: a reason")] {
            let suite = Suite {
                domain: "test",
                cases: vec![case],
            };
            let report = suite.run(&suite.factory(|| Arc::new(Spinning)));
            let failed: Vec<_> = report.failures().collect();
            assert!(failed.len() == 1 && failed[0].reason.contains(reason), "{failed:?}");
        }
    }
}
