//! Bodies in both directions: forms, files, progress, downloads and event streams, over memory and over loopback.

mod batch;
mod clock;
mod download;
mod events;
mod server;
mod upload;
