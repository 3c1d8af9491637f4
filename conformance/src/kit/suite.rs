//! The cases of a domain, and their execution.

use std::collections::BTreeSet;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use networking_spi::clock::{Clock, SystemClock};

use super::case::{Applies, Case, CaseRuntime, Harness, KnownFailure};
use super::child;
use super::execution::{self, Limits};
use super::report::{CaseReport, Outcome, SuiteReport};

/// Makes a fresh harness for each case.
pub type Factory<H> = Arc<dyn Fn() -> Arc<H> + Send + Sync>;

/// All cases of a domain. `H` is the domain's harness trait object (`dyn HttpHarness`).
///
/// A run makes one harness to ask for its [`backend`](Harness::backend), its [`runtime`](Harness::runtime), its
/// [known failures](Harness::known_failures) and the cases that apply, and then one for each case that applies.
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

    /// Runs all cases sequentially. A known failure that names no case of the suite is reported as a case that failed. If the
    /// first harness cannot be made or asked, because it panics, the report has this one failure.
    ///
    /// Blocks the thread until all cases have ended: each runs in a thread and a runtime of its own. In async code, call it
    /// inside `tokio::task::spawn_blocking`.
    pub fn run(&self, factory: &Factory<H>) -> SuiteReport {
        let probe = match self.probe(factory) {
            Ok(probe) => probe,
            Err(failed) => return SuiteReport::new(vec![*failed]),
        };
        let run = |index| self.run_probed(&probe, index, factory);
        let mut reports: Vec<CaseReport> = (0..self.cases.len()).map(run).collect();
        reports.extend(self.wrong_known_failures(&probe));
        SuiteReport::new(reports)
    }

    /// Runs the case with this id.
    ///
    /// # Panics
    /// If no case has this id.
    pub fn run_id(&self, id: &str, factory: &Factory<H>) -> CaseReport {
        let index = self.index_of(id).unwrap_or_else(|| panic!("no case {id}"));
        match self.probe(factory) {
            Ok(probe) => self.run_probed(&probe, index, factory),
            Err(failed) => self.not_run(index, &failed),
        }
    }

    /// The report on a case of a suite whose harness failed.
    pub(super) fn not_run(&self, index: usize, failed: &CaseReport) -> CaseReport {
        let case = &self.cases[index];
        CaseReport {
            case: case.id.to_owned(),
            clause: case.clause.to_owned(),
            ..failed.clone()
        }
    }

    pub(super) fn index_of(&self, id: &str) -> Option<usize> {
        self.cases.iter().position(|case| case.id == id)
    }

    /// Asks a harness what the execution of its cases depends on. If it panics, the suite has this one failure.
    pub(crate) fn probe(&self, factory: &Factory<H>) -> Result<Probe, Box<CaseReport>> {
        let runtime = execution::build_runtime(CaseRuntime::MultiThread);
        let mut backend = "unknown";
        let probed = catch_unwind(AssertUnwindSafe(|| {
            let harness = execution::make_in(&runtime, factory);
            let _guard = runtime.enter();
            backend = harness.backend();
            Probe {
                backend,
                runtime: harness.runtime(),
                limits: Limits::new(harness.patience()),
                known_failures: harness.known_failures(),
                applies: self.cases.iter().map(|case| (case.applies)(&harness)).collect(),
            }
        }));
        runtime.shutdown_background();
        probed.map_err(|panic| {
            let reason = format!("the first harness of the suite {}", execution::panicked(&*panic));
            Box::new(self.refused(backend, reason))
        })
    }

    /// The only report of a suite that cannot run.
    pub(super) fn refused(&self, backend: &str, reason: String) -> CaseReport {
        self.wrong(backend, &format!("{}::harness", self.domain), reason)
    }

    /// A failure that is not that of a clause.
    fn wrong(&self, backend: &str, case: &str, reason: String) -> CaseReport {
        CaseReport {
            domain: self.domain.to_owned(),
            backend: backend.to_owned(),
            case: case.to_owned(),
            clause: String::new(),
            outcome: Outcome::Failed,
            reason,
            millis: 0,
        }
    }

    /// Runs the case at `index` in its own runtime, if it applies.
    pub(super) fn run_probed(&self, probe: &Probe, index: usize, factory: &Factory<H>) -> CaseReport {
        let case = &self.cases[index];
        let clock = SystemClock::new();
        let known = probe.known_failure(case.id);
        let (outcome, reason) = match probe.applies[index] {
            Applies::Unsupported(capability) => (Outcome::Unsupported, capability.to_owned()),
            Applies::Skipped(what) => match known {
                Some(known) => (
                    Outcome::Skipped,
                    format!("{what}, and a known failure: {}", known.reason),
                ),
                None => (Outcome::Skipped, what.to_owned()),
            },
            Applies::InEnvironment(variables) => (Outcome::Skipped, in_environment(variables)),
            Applies::Yes => match (execution::run(probe.runtime, probe.limits, case, factory), known) {
                (Ok(()), None) => (Outcome::Passed, String::new()),
                (Ok(()), Some(known)) => (
                    Outcome::Failed,
                    format!("listed as a known failure ({}), but it passes", known.reason),
                ),
                (Err(_), Some(known)) => (Outcome::KnownFailure, known.reason.to_owned()),
                (Err(failure), None) => (Outcome::Failed, failure.0),
            },
        };
        self.report(probe, case, outcome, reason, &clock)
    }

    /// Like [`run_probed`](Self::run_probed), as the test of this binary that is named `test`: a case that needs another
    /// environment runs in a child process.
    pub(super) fn run_as_test(&self, probe: &Probe, index: usize, factory: &Factory<H>, test: &str) -> CaseReport {
        match probe.applies[index] {
            Applies::InEnvironment(variables) if !child::is_child() => {
                let case = &self.cases[index];
                let clock = SystemClock::new();
                child::run(test, case.id, variables)
                    .unwrap_or_else(|failure| self.report(probe, case, Outcome::Failed, failure.0, &clock))
            }
            _ => self.run_probed(probe, index, factory),
        }
    }

    fn report(
        &self,
        probe: &Probe,
        case: &Case<H>,
        outcome: Outcome,
        reason: String,
        since: &SystemClock,
    ) -> CaseReport {
        CaseReport {
            domain: self.domain.to_owned(),
            backend: probe.backend.to_owned(),
            case: case.id.to_owned(),
            clause: case.clause.to_owned(),
            outcome,
            reason,
            millis: u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The known failures that name no case, a case that needs a capability which is not declared, or the same case as another,
    /// as cases that failed.
    pub(super) fn wrong_known_failures(&self, probe: &Probe) -> Vec<CaseReport> {
        let mut listed = BTreeSet::new();
        let mut reports = Vec::new();
        for KnownFailure { case, .. } in &probe.known_failures {
            let reason = match self.index_of(case) {
                None => format!(
                    "listed as a known failure, but the suite has no such case; {}",
                    self.nearest(case)
                ),
                Some(_) if !listed.insert(case) => "listed twice as a known failure".to_owned(),
                Some(index) => match probe.applies[index] {
                    Applies::Unsupported(capability) => format!(
                        "listed as a known failure, but the case does not apply: it needs {capability}, which is not declared"
                    ),
                    _ => continue,
                },
            };
            reports.push(self.wrong(probe.backend, case, reason));
        }
        reports
    }

    /// The case that `id` probably means.
    fn nearest(&self, id: &str) -> String {
        let distance = |id: &str, other: &str| strsim::damerau_levenshtein(other, id);
        let Some(first) = self.cases.first() else {
            return "it has no cases".to_owned();
        };
        if id.trim().is_empty() {
            return format!("the id is empty; ids are such as {}", first.id);
        }
        if id.contains("::") {
            let nearest = self.cases.iter().min_by_key(|case| distance(id, case.id));
            return format!("the nearest is {}", nearest.unwrap_or(first).id);
        }
        let clause = id.trim().to_ascii_uppercase();
        if let Some(case) = self.cases.iter().find(|case| case.clause == clause) {
            return format!("{clause} is a clause, and its case is {}", case.id);
        }
        // The name of a case without the rest of its id, or a clause that does not exist.
        let nearest = self.cases.iter().min_by_key(|case| {
            let name = case.id.rsplit("::").next().unwrap_or(case.id);
            distance(id, case.id)
                .min(distance(id, name))
                .min(distance(&clause, case.clause))
        });
        let nearest = nearest.unwrap_or(first);
        format!("the nearest is {} ({})", nearest.id, nearest.clause)
    }
}

/// Why a case is skipped that needs a process with these variables.
fn in_environment(variables: &[(&str, &str)]) -> String {
    let variables: Vec<String> = variables
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    format!("needs a process with {}", variables.join(" "))
}

/// What the execution of the cases of a harness depends on.
#[derive(Debug)]
pub(crate) struct Probe {
    pub(super) backend: &'static str,
    pub(crate) runtime: CaseRuntime,
    limits: Limits,
    known_failures: Vec<KnownFailure>,
    /// For each case, whether it applies.
    pub(super) applies: Vec<Applies>,
}

impl Probe {
    pub(super) fn known_failure(&self, id: &str) -> Option<&KnownFailure> {
        self.known_failures.iter().find(|known| known.case == id)
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::case::{CaseResult, Failure};
    use super::*;

    struct Backend {
        known: Vec<KnownFailure>,
    }

    impl Harness for Backend {
        fn backend(&self) -> &'static str {
            "backend"
        }

        fn runtime(&self) -> CaseRuntime {
            CaseRuntime::PausedClock
        }

        fn known_failures(&self) -> Vec<KnownFailure> {
            self.known.clone()
        }
    }

    fn fails() -> CaseResult {
        Err(Failure::new("it does not hold"))
    }

    fn suite() -> Suite<Backend> {
        let case = |id, applies, run| Case {
            id,
            clause: "TEST-1",
            applies,
            run,
        };
        Suite {
            domain: "test",
            cases: vec![
                case("test::passes", |_| Applies::Yes, |_| Box::pin(async { Ok(()) })),
                case("test::fails", |_| Applies::Yes, |_| Box::pin(async { fails() })),
                case(
                    "test::retries",
                    |_| Applies::Unsupported("retry"),
                    |_| Box::pin(async { fails() }),
                ),
            ],
        }
    }

    fn run(known: &[KnownFailure]) -> SuiteReport {
        let suite = suite();
        let known = known.to_vec();
        suite.run(&suite.factory(move || Arc::new(Backend { known: known.clone() })))
    }

    #[test]
    fn a_known_failure_is_an_outcome() {
        let report = run(&[KnownFailure::new("test::fails", "issue 7")]);
        assert_eq!(report.cases[1].outcome, Outcome::KnownFailure);
        assert_eq!(report.cases[1].reason, "issue 7");
        report.assert_conformant();
    }

    #[test]
    fn wrong_known_failures_fail() {
        let report = run(&[
            KnownFailure::new("test::fails", "issue 7"),
            KnownFailure::new("test::passes", "issue 8"),
            KnownFailure::new("test::retires", "a typo"),
            KnownFailure::new("test::fails", "again"),
        ]);
        let failures: Vec<(&str, &str)> = report
            .failures()
            .map(|case| (case.case.as_str(), case.reason.as_str()))
            .collect();
        let unknown = "listed as a known failure, but the suite has no such case; the nearest is test::retries";
        assert_eq!(
            failures,
            [
                ("test::passes", "listed as a known failure (issue 8), but it passes"),
                ("test::retires", unknown),
                ("test::fails", "listed twice as a known failure"),
            ]
        );
    }

    #[test]
    fn hints_tell_clauses_and_ids_apart() {
        for (id, hint) in [
            ("", "the id is empty; ids are such as test::passes"),
            (" ", "the id is empty; ids are such as test::passes"),
            ("TEST-1", "TEST-1 is a clause, and its case is test::passes"),
            ("test-1", "TEST-1 is a clause, and its case is test::passes"),
            ("TEST-9", "the nearest is test::passes (TEST-1)"),
            ("retries_", "the nearest is test::retries (TEST-1)"),
            ("test::fail", "the nearest is test::fails"),
        ] {
            assert_eq!(suite().nearest(id), hint, "{id:?}");
        }
    }

    #[test]
    fn a_known_failure_that_does_not_apply_is_reported() {
        let report = run(&[
            KnownFailure::new("test::fails", "issue 7"),
            KnownFailure::new("test::retries", "issue 9"),
        ]);
        let failures: Vec<&str> = report.failures().map(|case| case.reason.as_str()).collect();
        let reason = "listed as a known failure, but the case does not apply: it needs retry, which is not declared";
        assert_eq!(failures, [reason]);
    }

    #[test]
    fn a_harness_that_panics_is_one_failure_of_its_suite() {
        struct Fragile(&'static str);
        impl Harness for Fragile {
            fn backend(&self) -> &'static str {
                assert!(self.0 != "backend", "no name");
                "fragile"
            }

            fn known_failures(&self) -> Vec<KnownFailure> {
                assert!(self.0 != "known_failures", "no list");
                Vec::new()
            }
        }
        for (panics, backend, message) in [
            ("factory", "unknown", "no harness"),
            ("backend", "unknown", "no name"),
            ("known_failures", "fragile", "no list"),
            ("applies", "fragile", "no capabilities"),
        ] {
            let suite = Suite {
                domain: "test",
                cases: vec![Case {
                    id: "test::passes",
                    clause: "TEST-1",
                    applies: |harness: &Fragile| {
                        assert!(harness.0 != "applies", "no capabilities");
                        Applies::Yes
                    },
                    run: |_| Box::pin(async { Ok(()) }),
                }],
            };
            let factory = suite.factory(move || {
                assert!(panics != "factory", "no harness");
                Arc::new(Fragile(panics))
            });
            let report = suite.run(&factory);
            assert_eq!(report.cases.len(), 1, "{report:?}");
            let failed = &report.cases[0];
            assert_eq!(
                (failed.backend.as_str(), failed.case.as_str()),
                (backend, "test::harness")
            );
            assert_eq!(failed.outcome, Outcome::Failed);
            assert_eq!(
                failed.reason,
                format!("the first harness of the suite panicked: {message}")
            );
            let case = suite.run_id("test::passes", &factory);
            assert_eq!((case.case.as_str(), &case.reason), ("test::passes", &failed.reason));
        }
    }

    #[test]
    fn one_harness_asks_and_one_runs_each_case_that_applies() {
        let made = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&made);
        let suite = suite();
        let factory = suite.factory(move || {
            counter.fetch_add(1, Ordering::SeqCst);
            Arc::new(Backend { known: Vec::new() })
        });
        let report = suite.run(&factory);
        assert_eq!(report.cases.len(), 3);
        assert_eq!(
            made.load(Ordering::SeqCst),
            3,
            "the first, and one for each of two cases"
        );
    }
}
