//! Proof that a suite is worth something: it is what its contract says, and each of its cases can fail.

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use crate::case::{CaseRuntime, Harness};
use crate::suite::{Factory, Suite, runtime_of};

impl<H: Harness + ?Sized> Suite<H> {
    /// Checks that the table of clauses in a contract and the cases of this suite are the same, in the same order.
    ///
    /// `contract` is Markdown. Each clause is a row of a table whose first column is its number (`| HTTP-7 |`), with the
    /// given prefix, and whose last one is the case without the domain (`` `retry::gives_up` ``).
    ///
    /// # Panics
    /// If they differ, or if two cases have the same id.
    pub fn assert_matches_contract(&self, prefix: &str, contract: &str) {
        let row_start = format!("| {prefix}-");
        let written: Vec<(&str, &str)> = contract
            .lines()
            .filter(|line| line.starts_with(&row_start))
            .map(|line| {
                let mut columns = line.trim_matches('|').split('|').map(str::trim);
                let clause = columns.next().unwrap_or_default();
                (clause, columns.next_back().unwrap_or_default().trim_matches('`'))
            })
            .collect();
        let tested: Vec<(&str, &str)> = self
            .cases
            .iter()
            .map(|case| (case.clause, self.without_domain(case.id)))
            .collect();
        assert_eq!(
            written, tested,
            "the clauses of the contract, and the cases of the suite"
        );
        let ids: BTreeSet<&str> = self.cases.iter().map(|case| case.id).collect();
        assert_eq!(ids.len(), self.cases.len(), "no two cases have the same id");
    }

    /// Checks that each faulty backend fails the cases that it should, and no other.
    ///
    /// `caught_by` names the cases that must fail, by their ids or the ends of their ids; `sabotaged` makes the harness of
    /// a backend with the fault. The suite runs once for each fault, several faults side by side.
    ///
    /// # Panics
    /// If a fault fails other cases than it should, or none; the message lists all such faults.
    pub fn assert_catches<F, C, M>(&self, faults: impl IntoIterator<Item = F>, caught_by: C, sabotaged: M)
    where
        F: Copy + Debug + Send + Sync + 'static,
        C: Fn(F) -> &'static [&'static str],
        M: Fn(F) -> Arc<H> + Send + Sync + 'static,
    {
        let sabotaged = Arc::new(sabotaged);
        let checks: Vec<(F, BTreeSet<&str>)> = faults
            .into_iter()
            .map(|fault| (fault, caught_by(fault).iter().map(|name| self.id_of(name)).collect()))
            .collect();
        let Some((first, _)) = checks.first() else { return };
        let threads = side_by_side(runtime_of(&with_fault(&sabotaged, *first)));
        let checks = Mutex::new(checks.iter());
        let next = || locked(&checks).next();
        let problems = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((fault, expected)) = next() {
                        if let Some(problem) = self.problem_with(*fault, expected, &sabotaged) {
                            locked(&problems).push(problem);
                        }
                    }
                });
            }
        });
        let problems = locked(&problems);
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    /// Checks that every case is among those that faults fail: `caught` has the names that
    /// [`assert_catches`](Self::assert_catches) was given, of all faults.
    ///
    /// # Panics
    /// If there is a case that no fault fails: it has not been shown that it can.
    pub fn assert_every_case_bites<'a>(&self, caught: impl IntoIterator<Item = &'a str>) {
        let caught: BTreeSet<&str> = caught.into_iter().map(|name| self.id_of(name)).collect();
        let idle: Vec<&str> = self
            .cases
            .iter()
            .map(|case| case.id)
            .filter(|id| !caught.contains(id))
            .collect();
        assert!(idle.is_empty(), "cases that no fault fails: {idle:#?}");
    }

    fn problem_with<F, M>(&self, fault: F, expected: &BTreeSet<&str>, sabotaged: &Arc<M>) -> Option<String>
    where
        F: Copy + Debug + Send + Sync + 'static,
        M: Fn(F) -> Arc<H> + Send + Sync + 'static,
    {
        let report = self.run(&with_fault(sabotaged, fault));
        let failed: BTreeSet<&str> = report.failures().map(|case| case.case.as_str()).collect();
        if !failed.is_empty() && failed == *expected {
            return None;
        }
        let reasons: Vec<String> = report
            .failures()
            .map(|case| format!("{}: {}", case.case, case.reason))
            .collect();
        Some(format!(
            "{fault:?} should be caught by exactly {expected:?}, but: {reasons:#?}"
        ))
    }

    /// The id of the one case that has this name.
    fn id_of(&self, name: &str) -> &'static str {
        let ends_with_name = |id: &str| {
            id.strip_suffix(name)
                .is_some_and(|rest| rest.is_empty() || rest.ends_with("::"))
        };
        let mut ids = self.cases.iter().map(|case| case.id).filter(|id| ends_with_name(id));
        match (ids.next(), ids.next()) {
            (Some(id), None) => id,
            (None, _) => panic!("no case is called {name}"),
            (Some(one), Some(other)) => panic!("{name} may be {one} or {other}"),
        }
    }

    fn without_domain(&self, id: &'static str) -> &'static str {
        id.strip_prefix(self.domain)
            .and_then(|rest| rest.strip_prefix("::"))
            .unwrap_or(id)
    }
}

fn with_fault<F, H, M>(sabotaged: &Arc<M>, fault: F) -> Factory<H>
where
    F: Copy + Send + Sync + 'static,
    H: ?Sized,
    M: Fn(F) -> Arc<H> + Send + Sync + 'static,
{
    let sabotaged = Arc::clone(sabotaged);
    Arc::new(move || sabotaged(fault))
}

/// Under a paused clock a suite only computes; with real connections it mostly waits for the other side.
fn side_by_side(runtime: CaseRuntime) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    match runtime {
        CaseRuntime::PausedClock => processors,
        CaseRuntime::MultiThread => processors * 8,
    }
}

/// A panic while checking is reported by the scope: what the lock guards is whole all the same.
fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
