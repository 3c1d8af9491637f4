//! Conformance suites for the contracts of [`networking_spi`].
//!
//! Each contract (`docs/contract/<domain>.md` in the repository) consists of numbered clauses, and each clause has one
//! case here. Authors of a backend run the same cases that the reference implementations pass.
//!
//! # Run a suite against your backend
//!
//! 1. Implement the harness trait of the domain. It makes a fresh client for each case, and declares the client's
//!    capabilities.
//! 2. Expand the macro of the domain. It makes one `#[test]` per case:
//!
//! ```
//! # use std::sync::Arc;
//! # use networking_conformance::Harness;
//! # use networking_conformance::http::{HttpHarness, HttpSubject, Origin};
//! # use networking_spi::http::HttpCapabilities;
//! # struct MyHarness;
//! # impl Harness for MyHarness {
//! #     fn backend(&self) -> &'static str { "my-backend" }
//! # }
//! # impl HttpHarness for MyHarness {
//! #     fn capabilities(&self) -> &'static HttpCapabilities { const { &HttpCapabilities::none() } }
//! #     fn subject(&self, _origin: &Origin) -> HttpSubject { unreachable!("the example is only compiled") }
//! # }
//! networking_conformance::http_conformance!(|| Arc::new(MyHarness));
//! # fn main() {}
//! ```
//!
//! In place of the macro, a test target with `harness = false` can use [`runner`]. It shows cases that do not apply as
//! ignored, with the reason. [`Suite::run`] runs a suite inside any other test.
//!
//! The runner and the macros write reports as JSON and JUnit XML to the directory that
//! [`NETWORKING_CONFORMANCE_REPORT`](report::REPORT_DIRECTORY) names. All forms end with the totals on one line: `31 passed, 32 unsupported: retry, metrics` ([`SuiteReport`]).
//!
//! # Outcomes
//!
//! | outcome | meaning |
//! |---|---|
//! | passed | the clause holds |
//! | failed | the clause does not hold |
//! | unsupported | the backend declares that it lacks a capability which the clause needs |
//! | skipped | the harness cannot produce a condition which the case needs, such as an unreachable broker |
//! | known failure | the clause does not hold, and the harness lists the case with a reason |
//!
//! A known failure that passes is reported as failed, so that the list stays accurate. So are a known failure that names
//! no case, and one that is listed twice.
//!
//! # Limits
//!
//! A case waits for one thing that must happen, such as a response, for at most the [patience](Harness::patience) of its
//! harness. The message says what it waited for. A case that waits twice as long for anything else fails, and so does
//! one that blocks its thread, or that panics.
//!
//! If a backend declares a capability that does not work, the cases of the capability fail. An operation whose
//! capability is not declared must fail with `Unsupported`; a case checks this too.
//!
//! # Modules
//!
//! | module | responsibility |
//! |---|---|
//! | (root) | [`Case`], [`Suite`] and [`Harness`], which all domains share |
//! | [`report`] | outcomes of cases, and counts per domain and backend; needs no feature |
//! | [`runner`] | the `main` of a test binary |
//! | [`http`], [`websocket`], [`circuit_breaker`], [`kafka`], [`bridge`] | harness trait, suite and macro of each domain |
//! | [`endpoint`] | the same for the sources and sinks of bridges |
//! | [`kafka_extended`] | the same for the extended operations of Kafka |
//! | [`kafka_transactions`] | the same for the transactions of Kafka |
//! | [`kafka_admin`] | the same for the administration of Kafka |
//! | [`kafka_reading`] | the same for reading from Kafka by pattern, partition and offset |
//! | [`http::hostile`] | a server that violates the HTTP protocol; a seed makes it reproducible |
//! | [`proof`] | saboteurs, which prove that each case can fail, and a model of the circuit breaker |
//!
//! # Features
//!
//! | feature | default | adds |
//! |---|---|---|
//! | `http` | yes | [`http`], with a loopback server on hyper |
//! | `websocket` | yes | [`websocket`], with a loopback server on tokio-tungstenite |
//! | `circuit-breaker` | yes | [`circuit_breaker`] |
//! | `kafka` | yes | [`kafka`], [`kafka_extended`], [`kafka_transactions`], [`kafka_admin`], [`kafka_reading`] |
//! | `bridge` | yes | [`bridge`] and [`endpoint`] |
//! | `runner` | yes | [`runner`], on libtest-mimic |
//! | `proof` | no | [`proof`], and [`Suite`]'s checks of saboteurs and contracts |
//!
//! # Stability
//!
//! Ids of cases and numbers of clauses are never reused. A new case may fail for your backend, so cases are added only
//! in minor versions, with an entry in the changelog.

#![cfg_attr(docsrs, feature(doc_cfg))]
// The tables above link to every module.
#![cfg_attr(
    not(all(
        feature = "bridge",
        feature = "circuit-breaker",
        feature = "http",
        feature = "kafka",
        feature = "proof",
        feature = "runner",
        feature = "websocket",
    )),
    allow(rustdoc::broken_intra_doc_links)
)]

mod kit;

#[cfg(feature = "bridge")]
pub mod bridge;
#[cfg(feature = "circuit-breaker")]
pub mod circuit_breaker;
#[cfg(any(feature = "http", feature = "websocket"))]
mod closed_port;
#[cfg(any(feature = "circuit-breaker", all(feature = "http", feature = "proof")))]
mod completing_circuit;
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
#[cfg(feature = "proof")]
pub mod proof;
#[cfg(feature = "websocket")]
pub mod websocket;

#[cfg(feature = "runner")]
pub use kit::runner;
pub use kit::{
    Applies, Case, CaseReport, CaseResult, CaseRuntime, Factory, Failure, Harness, KnownFailure, Outcome, Suite,
    SuiteReport, report, within,
};

/// The macros of the domains expand to it.
#[doc(hidden)]
pub use kit::{CaseTests, IntoHarness};

/// The example of the README, compiled.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
