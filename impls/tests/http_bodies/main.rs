//! Bodies in both directions: forms, files, progress, downloads and event streams, over memory and over loopback.
#![cfg(feature = "http")]

mod batch;
mod download;
mod events;
mod server;
mod upload;
