//! Runnable programs, one idea each, are in `src/bin`. This library has the code that a program shares with a test or with
//! another program, and it compiles and runs the examples of the README.

pub mod loopback;
pub mod orders;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// Compiles and runs the examples of the guides.
#[cfg(doctest)]
#[doc = include_str!("../../docs/guide/testing.md")]
pub struct TestingGuide;
