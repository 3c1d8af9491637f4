//! Runnable programs, one idea each, are in `src/bin`. This library has what they share, and compiles and runs the examples
//! of the README.

pub mod loopback;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
