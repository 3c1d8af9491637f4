//! What the implementations of [`networking_spi`] share at run time.
//!
//! | module | what |
//! |---|---|
//! | [`clock`] | a [`Clock`](networking_spi::clock::Clock) on tokio's time |
//! | [`single_flight`] | one run at a time of work that many callers wait for |
//!
//! It knows no domain. What needs no runtime belongs to `networking-spi`; what one domain alone needs belongs to that domain.

#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod clock;
pub mod single_flight;
