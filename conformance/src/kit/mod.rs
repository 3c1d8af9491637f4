//! The kit that every domain's suite is built with: cases, suites, reports and the runner.

mod case;
mod case_tests;
mod child;
mod define;
mod execution;
mod junit;
mod panics;
pub mod report;
mod report_files;
#[cfg(feature = "runner")]
pub mod runner;
mod suite;

#[allow(unused_imports, reason = "unused without any domain feature")]
pub(crate) use case::chain;
pub use case::{Applies, Case, CaseResult, CaseRuntime, Failure, Harness, KnownFailure};
pub use case_tests::{CaseTests, IntoHarness};
#[allow(unused_imports, reason = "unused without any domain feature")]
pub(crate) use define::define_suite;
#[allow(unused_imports, reason = "unused without any domain feature")]
pub(crate) use execution::clock_is_paused;
pub use execution::within;
pub use report::{CaseReport, Outcome, SuiteReport};
pub use suite::{Factory, Suite};
