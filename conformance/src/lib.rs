//! Conformance suites for the contracts of [`networking_spi`].
//!
//! Each domain has numbered clauses (`docs/contract/<domain>.md`) and one case per clause. Whoever writes a backend runs
//! the same cases that the reference implementations pass.
//!
//! # Run a suite against your backend
//!
//! 1. Implement the domain's harness trait: it makes a fresh client for each case and says what the client can do.
//! 2. Write one line: the domain's macro expands to one `#[test]` per case.
//!
//! ```ignore
//! networking_conformance::http_conformance!(MyHarness::new);
//! ```
//!
//! With `harness = false` in `Cargo.toml` and [`runner::main`] instead, cases that do not apply are shown as ignored with
//! their reason, and can be filtered like any test.
//!
//! # What the outcomes mean
//!
//! | outcome | meaning |
//! |---|---|
//! | passed | the clause holds |
//! | failed | it does not |
//! | unsupported | the backend declares that it lacks a capability that the clause is about |
//! | skipped | the harness cannot bring about what the clause is about (a broker failure, for example) |
//! | known failure | it does not hold, and the harness says why; if it suddenly holds, the case fails |
//!
//! A capability that is declared but does not work fails its cases, and so does one that works but is not declared: cases
//! check that what is not declared answers `Unsupported`.
//!
//! # Prove a suite of your own
//!
//! A case that cannot fail proves nothing. [`Suite::assert_catches`] runs a suite against backends with one fault each, and
//! checks that each fault is found by exactly the cases that are about it; [`Suite::assert_every_case_bites`] that no case
//! is left over; [`Suite::assert_matches_contract`] that clauses and cases agree.
//!
//! # Stability
//!
//! Ids of cases and clauses are never reused. A new case can break your build, so it comes with a minor version and a line
//! in the changelog.

mod case;
mod proof;
pub mod report;
#[cfg(feature = "runner")]
pub mod runner;
mod suite;

#[cfg(feature = "bridge")]
pub mod bridge;
#[cfg(feature = "circuit-breaker")]
pub mod circuit_breaker;
#[cfg(feature = "http")]
pub mod http;
#[cfg(feature = "kafka")]
pub mod kafka;
#[cfg(feature = "websocket")]
pub mod websocket;

pub use case::{Applies, Case, CaseResult, CaseRuntime, Failure, Harness, KnownFailure};
pub use report::{CaseReport, Outcome, SuiteReport};
pub use suite::{Factory, Suite};
