//! Proof that suites find mistakes: [saboteurs](crate::saboteurs), which are implementations with one mistake each, and
//! models of the circuit breaker and of endpoints.
//!
//! A case that cannot fail proves nothing. Three checks prove a suite:
//!
//! * [`Suite::assert_matches_contract`]: each clause of the contract has one case, and each case has its clause.
//! * [`Suite::assert_catches`]: against each saboteur, exactly the cases fail that its `caught_by` names.
//! * [`Suite::assert_every_case_catches`]: each case fails against at least one saboteur.
//!
//! ```
//! use std::sync::Arc;
//! use networking_conformance::kafka::{self, KafkaHarness};
//! use networking_conformance::proof::kafka::{Saboteur, SaboteurHarness};
//!
//! /// `correct` makes a harness whose backend passes the suite.
//! fn prove_the_suite<H: KafkaHarness>(correct: fn() -> H) {
//!     let suite = kafka::suite();
//!     suite.assert_catches(Saboteur::ALL.iter().copied(), Saboteur::caught_by, move |saboteur| {
//!         Arc::new(SaboteurHarness::new(correct(), saboteur))
//!     });
//!     suite.assert_every_case_catches(Saboteur::ALL.iter().flat_map(|saboteur| saboteur.caught_by()).copied());
//! }
//! ```

#[cfg(feature = "circuit-breaker")]
pub mod circuit_breaker;
#[cfg(feature = "bridge")]
pub mod endpoint;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "kafka")]
pub mod kafka_admin;
#[cfg(feature = "kafka")]
pub mod kafka_extended;
#[cfg(feature = "kafka")]
pub mod kafka_reading;
#[cfg(feature = "kafka")]
pub mod kafka_transactions;
#[cfg(feature = "websocket")]
pub mod websocket;

use std::collections::BTreeSet;
use std::fmt::Debug;
use std::num::NonZero;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::kit::{CaseRuntime, Factory, Harness, Suite};

/// Declares the saboteurs of a domain: an enum with one variant per deliberate mistake.
///
/// Each variant has a line of documentation and the cases that must fail against it, without the domain. The macro adds
/// `ALL`, the list of the variants, and `caught_by`, the ids of a variant's cases. [`Suite::assert_catches`] takes
/// both.
///
/// ```
/// networking_conformance::saboteurs! {
///     domain "http";
///
///     /// An HTTP client with one mistake.
///     pub enum Saboteur {
///         /// Headers without a value are lost.
///         LosesEmptyHeaders => ["request::headers_arrive"],
///     }
/// }
///
/// assert_eq!(Saboteur::ALL, [Saboteur::LosesEmptyHeaders]);
/// assert_eq!(Saboteur::LosesEmptyHeaders.caught_by(), ["http::request::headers_arrive"]);
/// ```
#[macro_export]
macro_rules! saboteurs {
    (
        domain $domain:literal;
        $(#[$meta:meta])*
        $visibility:vis enum $name:ident {
            $($(#[$doc:meta])+ $variant:ident => [$($case:literal),+ $(,)?]),+ $(,)?
        }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        $visibility enum $name {
            $($(#[$doc])+ $variant),+
        }

        impl $name {
            /// Every saboteur.
            $visibility const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The ids of the cases that must fail against it.
            $visibility const fn caught_by(self) -> &'static [&'static str] {
                match self {
                    $(Self::$variant => &[$(concat!($domain, "::", $case)),+]),+
                }
            }
        }
    };
}

impl<H: Harness + ?Sized> Suite<H> {
    /// Checks that the clauses of a contract and the cases of this suite are the same, in the same order.
    ///
    /// `contract` is Markdown. Each clause is a row of a table. The first column is its number (`| HTTP-7 |`), which
    /// begins with `prefix`. The last column is its case, without the domain (`` `retry::gives_up` ``).
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

    /// Checks that exactly the expected cases fail against each saboteur.
    ///
    /// `caught_by` names the cases that must fail, by their ids or by the ends of their ids. `harness` makes the
    /// harness of a saboteur. The suite runs once per saboteur, for several saboteurs concurrently.
    ///
    /// # Panics
    /// If the failed cases of a saboteur are not the expected ones, or if no case fails. The message lists all such
    /// saboteurs.
    pub fn assert_catches<S, C, M>(&self, saboteurs: impl IntoIterator<Item = S>, caught_by: C, harness: M)
    where
        S: Copy + Debug + Send + Sync + 'static,
        C: Fn(S) -> &'static [&'static str],
        M: Fn(S) -> Arc<H> + Send + Sync + 'static,
    {
        let harness = Arc::new(harness);
        let checks: Vec<(S, BTreeSet<&str>)> = saboteurs
            .into_iter()
            .map(|saboteur| {
                let expected = caught_by(saboteur).iter().map(|name| self.id_of(name)).collect();
                (saboteur, expected)
            })
            .collect();
        let Some((first, _)) = checks.first() else { return };
        let threads = suites_at_a_time(
            self.probe(&factory_of(&harness, *first))
                .unwrap_or_else(|failed| panic!("{}", failed.reason))
                .runtime,
        );
        let checks = Mutex::new(checks.iter());
        let next = || locked(&checks).next();
        let problems = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    while let Some((saboteur, expected)) = next() {
                        if let Some(problem) = self.problem_with(*saboteur, expected, &harness) {
                            locked(&problems).push(problem);
                        }
                    }
                });
            }
        });
        let problems = locked(&problems);
        assert!(problems.is_empty(), "{}", problems.join("\n"));
    }

    /// Checks that each case catches a saboteur. `caught` has the names that `caught_by` returns for all saboteurs; see
    /// [`assert_catches`](Self::assert_catches).
    ///
    /// # Panics
    /// If a case is not in `caught`, because then nothing shows that it can fail.
    pub fn assert_every_case_catches<'a>(&self, caught: impl IntoIterator<Item = &'a str>) {
        let caught: BTreeSet<&str> = caught.into_iter().map(|name| self.id_of(name)).collect();
        let idle: Vec<&str> = self
            .cases
            .iter()
            .map(|case| case.id)
            .filter(|id| !caught.contains(id))
            .collect();
        assert!(idle.is_empty(), "cases that catch no saboteur: {idle:#?}");
    }

    fn problem_with<S, M>(&self, saboteur: S, expected: &BTreeSet<&str>, harness: &Arc<M>) -> Option<String>
    where
        S: Copy + Debug + Send + Sync + 'static,
        M: Fn(S) -> Arc<H> + Send + Sync + 'static,
    {
        let report = self.run(&factory_of(harness, saboteur));
        let failed: BTreeSet<&str> = report.failures().map(|case| case.case.as_str()).collect();
        if !failed.is_empty() && failed == *expected {
            return None;
        }
        let reasons: Vec<String> = report
            .failures()
            .map(|case| format!("{}: {}", case.case, case.reason))
            .collect();
        Some(format!(
            "{saboteur:?} should be caught by exactly {expected:?}, but the failures are {reasons:#?}"
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

fn factory_of<S, H, M>(harness: &Arc<M>, saboteur: S) -> Factory<H>
where
    S: Copy + Send + Sync + 'static,
    H: ?Sized,
    M: Fn(S) -> Arc<H> + Send + Sync + 'static,
{
    let harness = Arc::clone(harness);
    Arc::new(move || harness(saboteur))
}

/// Under a paused clock a suite is CPU-bound; with real connections it mostly waits for its peer.
fn suites_at_a_time(runtime: CaseRuntime) -> usize {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    match runtime {
        CaseRuntime::PausedClock => processors,
        CaseRuntime::MultiThread | CaseRuntime::CurrentThread => processors * 8,
    }
}

/// Ignores poisoning: the scope propagates the panic, and the values behind these locks stay valid.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
