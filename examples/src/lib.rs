//! Runnable programs, one idea each, are in `src/bin`. This library has what a program and its tests share, and it
//! compiles and runs the examples of the README.

pub mod loopback;
pub mod orders;

#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
