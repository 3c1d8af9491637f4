//! Runnable programs, one idea each, are in `src/bin`. This library only compiles and runs the examples of the README.

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
