//! The cases of a domain, and their execution.

use std::collections::BTreeSet;
use std::fmt;
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

    /// Runs all cases sequentially. A known failure that names no case of the suite is reported as a case that failed.
    ///
    /// Must not be called from async code: each case starts its own runtime.
    pub fn run(&self, factory: &Factory<H>) -> SuiteReport {
        let probe = self.probe(factory);
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
        self.run_probed(&self.probe(factory), index, factory)
    }

    pub(super) fn index_of(&self, id: &str) -> Option<usize> {
        self.cases.iter().position(|case| case.id == id)
    }

    /// Asks a harness what the execution of its cases depends on.
    pub(crate) fn probe(&self, factory: &Factory<H>) -> Probe {
        let runtime = execution::build_runtime(CaseRuntime::MultiThread);
        let probe = {
            let harness = execution::make_in(&runtime, factory);
            let _guard = runtime.enter();
            Probe {
                backend: harness.backend(),
                runtime: harness.runtime(),
                limits: Limits::new(harness.patience()),
                known_failures: harness.known_failures(),
                applies: self.cases.iter().map(|case| (case.applies)(&harness)).collect(),
            }
        };
        runtime.shutdown_background();
        probe
    }

    /// Runs the case at `index` in its own runtime, if it applies.
    pub(super) fn run_probed(&self, probe: &Probe, index: usize, factory: &Factory<H>) -> CaseReport {
        let case = &self.cases[index];
        let clock = SystemClock::new();
        let known = probe.known_failure(case.id);
        let (outcome, reason) = match probe.applies[index] {
            Applies::Unsupported(capability) => (Outcome::Unsupported, capability.to_owned()),
            Applies::Skipped(what) => (Outcome::Skipped, what.to_owned()),
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
    /// environment runs in a process of its own.
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

    /// The known failures that name no case, or the same case as another, as cases that failed.
    pub(super) fn wrong_known_failures(&self, probe: &Probe) -> Vec<CaseReport> {
        let mut listed = BTreeSet::new();
        let mut reports = Vec::new();
        for KnownFailure { case, .. } in &probe.known_failures {
            let reason = if self.index_of(case).is_none() {
                format!(
                    "listed as a known failure, but the suite has no such case; {}",
                    self.nearest(case)
                )
            } else if !listed.insert(case) {
                "listed twice as a known failure".to_owned()
            } else {
                continue;
            };
            reports.push(CaseReport {
                domain: self.domain.to_owned(),
                backend: probe.backend.to_owned(),
                case: (*case).to_owned(),
                clause: String::new(),
                outcome: Outcome::Failed,
                reason,
                millis: 0,
            });
        }
        reports
    }

    /// The case whose id is most like `id`.
    fn nearest(&self, id: &str) -> String {
        let distance = |case: &&Case<H>| strsim::damerau_levenshtein(case.id, id);
        match self.cases.iter().min_by_key(distance) {
            Some(case) => format!("the nearest is {}", case.id),
            None => "it has no cases".to_owned(),
        }
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
