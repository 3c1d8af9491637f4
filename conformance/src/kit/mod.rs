//! The kit that every domain's suite is built with: cases, suites, reports and the runner.

mod case;
pub mod report;
#[cfg(feature = "runner")]
pub mod runner;
mod suite;

pub use case::{Applies, Case, CaseResult, CaseRuntime, Failure, Harness, KnownFailure};
pub use report::{CaseReport, Outcome, SuiteReport};
#[allow(unused_imports, reason = "unused without any domain feature")]
pub(crate) use suite::define_suite;
#[cfg(feature = "proof")]
pub(crate) use suite::runtime_of;
pub use suite::{Factory, Suite};
