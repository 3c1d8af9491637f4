//! What the implementations of [`networking_spi`] share at run time, on tokio.
//!
//! # Responsibilities
//!
//! The crate has code that needs a runtime and that two or more domains use. It knows no domain. Code without I/O and without
//! a runtime belongs to `networking-spi`; code of one domain belongs to the crate of that domain.
//!
//! | module | contents |
//! |---|---|
//! | [`clock`] | a [`Clock`](networking_spi::clock::Clock) on tokio's time |
//! | [`single_flight`] | concurrent callers share one run of the same work |
//!
//! # Features
//!
//! None. The crate needs tokio's features `rt`, `sync` and `time`.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod clock;
pub mod single_flight;

/// Compiles the example of the README.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadmeExample;
