//! Reports: the outcome of each case, and counts per domain and backend; as JSON and as JUnit XML.
//!
//! These types need no feature. A tool that reads the files of test binaries can use this crate with
//! `default-features = false`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use super::junit::junit;

/// The environment variable that names the directory for the files of the `runner` and of the macros: an array of
/// [`CaseReport`]s, and the same as JUnit XML.
///
/// The runner writes `<package>-<target>.json` and `.xml` when Cargo runs it, and `<binary>.json` and `.xml` otherwise. A macro
/// adds the module that it is expanded in, such as `<package>-<target>.my_breaker.json`. An empty value is the same as none. If the command line selects one test by its exact name, as tools do that run each test in its
/// own process, the names have that test in addition.
pub const REPORT_DIRECTORY: &str = "NETWORKING_CONFORMANCE_REPORT";

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[non_exhaustive]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The clause holds.
    Passed,
    /// The clause does not hold.
    Failed,
    /// The backend declares that it lacks a capability that the clause needs.
    Unsupported,
    /// The harness cannot produce a condition that the case needs.
    Skipped,
    /// The clause does not hold, and the harness lists the case as a known failure.
    KnownFailure,
}

impl Outcome {
    /// The name in reports (`known_failure`).
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Unsupported => "unsupported",
            Self::Skipped => "skipped",
            Self::KnownFailure => "known_failure",
        }
    }

    /// The name for people (`known failure`).
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::KnownFailure => "known failure",
            other => other.as_str(),
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The report on one case against one backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[must_use]
#[non_exhaustive]
pub struct CaseReport {
    /// The domain (`http`).
    pub domain: String,
    /// The backend (`reqwest`).
    pub backend: String,
    /// The case's id.
    pub case: String,
    /// The clause that it tests.
    pub clause: String,
    /// How the case ended.
    pub outcome: Outcome,
    /// Why it ended that way. Empty if it passed.
    pub reason: String,
    /// How long the case took, in milliseconds of real time.
    pub millis: u64,
}

/// The report on a suite against one backend.
///
/// Its `Display` is one line with the totals. The reasons are those of all cases that did not apply, the most frequent
/// first:
///
/// ```text
/// 31 passed, 1 known failure, 32 unsupported: retry, metrics, redirect_control
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[must_use]
#[non_exhaustive]
pub struct SuiteReport {
    /// The cases, in the order of the suite.
    pub cases: Vec<CaseReport>,
}

impl SuiteReport {
    /// A report on these cases.
    pub fn new(cases: Vec<CaseReport>) -> Self {
        Self { cases }
    }

    /// The cases that failed.
    pub fn failures(&self) -> impl Iterator<Item = &CaseReport> {
        self.cases.iter().filter(|case| case.outcome == Outcome::Failed)
    }

    /// The ids of the cases that failed, sorted.
    #[must_use]
    pub fn failed_ids(&self) -> Vec<&str> {
        let mut ids: Vec<&str> = self.failures().map(|case| case.case.as_str()).collect();
        ids.sort_unstable();
        ids
    }

    /// The number of cases per outcome.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<Outcome, usize> {
        let mut counts = BTreeMap::new();
        for case in &self.cases {
            *counts.entry(case.outcome).or_default() += 1;
        }
        counts
    }

    /// Checks that at least one case passed and that none failed.
    ///
    /// # Panics
    /// If a case failed (with the list of failures), or if no case passed.
    pub fn assert_conformant(&self) {
        let failures: Vec<String> = self
            .failures()
            .map(|case| format!("{} ({}): {}", case.case, case.clause, case.reason))
            .collect();
        assert!(
            failures.is_empty(),
            "{} clauses do not hold ({self}):\n{}",
            failures.len(),
            failures.join("\n")
        );
        assert!(
            self.cases.iter().any(|case| case.outcome == Outcome::Passed),
            "no case passed"
        );
    }
}

impl SuiteReport {
    /// The totals, and the known failures with their reasons, for people. Each line ends with a line feed.
    #[cfg_attr(
        not(feature = "runner"),
        allow(dead_code, reason = "only the runner and the domains use it")
    )]
    pub(super) fn summary(&self) -> String {
        let Some(first) = self.cases.first() else {
            return String::new();
        };
        let mut text = format!("{} ({}): {self}\n", first.backend, first.domain);
        let known = self.cases.iter().filter(|case| case.outcome == Outcome::KnownFailure);
        text.extend(known.map(|case| format!("  known failure: {}: {}\n", case.case, case.reason)));
        text
    }

    /// The different reasons of the cases with this outcome, the most frequent first.
    fn reasons(&self, outcome: Outcome) -> Vec<&str> {
        let mut counts = Vec::<(&str, usize)>::new();
        for case in self.cases.iter().filter(|case| case.outcome == outcome) {
            match counts.iter_mut().find(|(reason, _)| *reason == case.reason) {
                Some((_, count)) => *count += 1,
                None => counts.push((&case.reason, 1)),
            }
        }
        // Stable: reasons that are equally frequent are in the order of the suite.
        counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        counts.into_iter().map(|(reason, _)| reason).collect()
    }
}

impl fmt::Display for SuiteReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = self.counts();
        if counts.is_empty() {
            return f.write_str("no cases");
        }
        let mut separator = "";
        for outcome in [
            Outcome::Passed,
            Outcome::Failed,
            Outcome::KnownFailure,
            Outcome::Skipped,
            Outcome::Unsupported,
        ] {
            let Some(count) = counts.get(&outcome) else { continue };
            let plural = if outcome == Outcome::KnownFailure && *count > 1 {
                "s"
            } else {
                ""
            };
            write!(f, "{separator}{count} {}{plural}", outcome.text())?;
            separator = ", ";
            if matches!(outcome, Outcome::Skipped | Outcome::Unsupported) {
                write!(f, ": {}", self.reasons(outcome).join(", "))?;
                separator = "; ";
            }
        }
        Ok(())
    }
}

/// The number of cases per outcome, for one domain and backend.
///
/// Its JSON is an object with the names of the fields.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[must_use]
#[non_exhaustive]
pub struct Counts {
    /// The domain (`http`).
    pub domain: String,
    /// The backend (`reqwest`).
    pub backend: String,
    /// Cases that passed.
    pub passed: usize,
    /// Cases that failed.
    pub failed: usize,
    /// Cases that need a capability that the backend lacks.
    pub unsupported: usize,
    /// Cases that the harness cannot run.
    pub skipped: usize,
    /// Cases that failed and are listed as known failures.
    pub known_failure: usize,
}

impl Counts {
    /// The counts of each domain and backend, sorted by domain and then by backend.
    ///
    /// ```
    /// use networking_conformance::report::{CaseReport, Counts};
    ///
    /// let reports: Vec<CaseReport> = serde_json::from_str(
    ///     r#"[{"domain": "http", "backend": "mine", "case": "http::request::headers_arrive", "clause": "HTTP-3",
    ///          "outcome": "passed", "reason": "", "millis": 4}]"#,
    /// )?;
    /// let counts = Counts::of(&reports);
    /// assert_eq!((counts[0].backend.as_str(), counts[0].passed), ("mine", 1));
    /// # Ok::<(), serde_json::Error>(())
    /// ```
    pub fn of<'a>(reports: impl IntoIterator<Item = &'a CaseReport>) -> Vec<Self> {
        let mut counts = BTreeMap::<(&str, &str), Self>::new();
        for report in reports {
            let entry = counts.entry((&report.domain, &report.backend)).or_insert_with(|| Self {
                domain: report.domain.clone(),
                backend: report.backend.clone(),
                ..Self::default()
            });
            *entry.of_outcome(report.outcome) += 1;
        }
        counts.into_values().collect()
    }

    fn of_outcome(&mut self, outcome: Outcome) -> &mut usize {
        match outcome {
            Outcome::Passed => &mut self.passed,
            Outcome::Failed => &mut self.failed,
            Outcome::Unsupported => &mut self.unsupported,
            Outcome::Skipped => &mut self.skipped,
            Outcome::KnownFailure => &mut self.known_failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(domain: &str, backend: &str, outcome: Outcome) -> CaseReport {
        CaseReport {
            domain: domain.to_owned(),
            backend: backend.to_owned(),
            case: "case".to_owned(),
            clause: "CLAUSE-1".to_owned(),
            outcome,
            reason: String::new(),
            millis: 1,
        }
    }

    #[test]
    fn totals_are_one_line() {
        let ended = |outcome, reason: &str| CaseReport {
            reason: reason.to_owned(),
            ..report("http", "mine", outcome)
        };
        let totals = |cases: &[CaseReport]| SuiteReport::new(cases.to_vec()).to_string();
        let passed = ended(Outcome::Passed, "");
        let unsupported = ["metrics", "retry", "tls", "retry"].map(|reason| ended(Outcome::Unsupported, reason));
        assert_eq!(totals(&[]), "no cases");
        assert_eq!(totals(&[passed.clone(), passed.clone()]), "2 passed");
        assert_eq!(
            totals(&[&unsupported[..], std::slice::from_ref(&passed)].concat()),
            "1 passed, 4 unsupported: retry, metrics, tls"
        );
        let skipped = ended(Outcome::Skipped, "no sockets");
        let known = ended(Outcome::KnownFailure, "issue 7");
        let failed = ended(Outcome::Failed, "it does not hold");
        assert_eq!(
            totals(&[
                skipped,
                unsupported[0].clone(),
                failed,
                passed.clone(),
                known.clone(),
                known.clone()
            ]),
            "1 passed, 1 failed, 2 known failures, 1 skipped: no sockets; 1 unsupported: metrics"
        );
        assert_eq!(
            SuiteReport::new(vec![passed, known]).summary(),
            "mine (http): 1 passed, 1 known failure\n  known failure: case: issue 7\n"
        );
    }

    #[test]
    fn counts_are_per_domain_and_backend() {
        let counts = Counts::of(&[
            report("kafka", "memory", Outcome::Skipped),
            report("http", "memory", Outcome::KnownFailure),
            report("http", "hyper", Outcome::Passed),
            report("http", "hyper", Outcome::Passed),
            report("http", "hyper", Outcome::Failed),
            report("http", "hyper", Outcome::Unsupported),
        ]);
        let json = serde_json::to_value(&counts).unwrap();
        let row = |domain: &str, backend: &str, [passed, failed, unsupported, skipped, known_failure]: [u32; 5]| {
            serde_json::json!({"domain": domain, "backend": backend, "passed": passed, "failed": failed,
                "unsupported": unsupported, "skipped": skipped, "known_failure": known_failure})
        };
        let expected = [
            row("http", "hyper", [2, 1, 1, 0, 0]),
            row("http", "memory", [0, 0, 0, 0, 1]),
            row("kafka", "memory", [0, 0, 0, 1, 0]),
        ];
        assert_eq!(json, serde_json::json!(expected));
    }
}
