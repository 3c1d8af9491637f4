//! What came out.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The clause holds.
    Passed,
    /// It does not.
    Failed,
    /// The backend declares that it lacks the capability.
    Unsupported,
    /// The harness cannot bring about what the case needs.
    Skipped,
    /// It does not hold, and the harness said so beforehand.
    KnownFailure,
}

impl Outcome {
    /// The name used in reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unsupported => "unsupported",
            Self::Skipped => "skipped",
            Self::KnownFailure => "known_failure",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One case against one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CaseReport {
    /// The domain (`http`).
    pub domain: String,
    /// The backend (`reqwest`).
    pub backend: String,
    /// The case's id.
    pub case: String,
    /// The clause it tests.
    pub clause: String,
    /// How it ended.
    pub outcome: Outcome,
    /// Why, for everything but `passed`.
    pub reason: String,
    /// How long it took, in milliseconds of real time.
    pub millis: u64,
}

/// A whole suite against one backend.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SuiteReport {
    /// The cases, in the order of the suite.
    pub cases: Vec<CaseReport>,
}

impl SuiteReport {
    /// The cases that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| case.outcome == Outcome::Failed)
    }

    /// The ids of the cases that failed, sorted: what tests of deliberately broken backends compare.
    pub fn failed_ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.failures().map(|case| case.case.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    /// How many cases ended in each way.
    pub fn counts(&self) -> BTreeMap<Outcome, usize> {
        let mut counts = BTreeMap::new();
        for case in &self.cases {
            *counts.entry(case.outcome).or_default() += 1;
        }
        counts
    }

    /// Panics with the list of failures, if there are any.
    ///
    /// # Panics
    /// When a case failed, or when no case passed: a suite that tests nothing proves nothing.
    pub fn assert_conformant(&self) {
        let failures: Vec<String> = self
            .failures()
            .map(|case| format!("{} ({}): {}", case.case, case.clause, case.reason))
            .collect();
        assert!(
            failures.is_empty(),
            "{} clauses do not hold:\n{}",
            failures.len(),
            failures.join("\n")
        );
        assert!(
            self.cases.iter().any(|case| case.outcome == Outcome::Passed),
            "no case was run"
        );
    }
}
