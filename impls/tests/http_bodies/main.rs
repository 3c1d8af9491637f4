//! Bodies in both directions: forms, files, progress, downloads and event streams, over memory and over loopback.
#![cfg(feature = "http")]

mod server;
mod upload;
