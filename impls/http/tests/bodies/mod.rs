//! Request and response bodies: batches, forms, files, progress, downloads and event streams, in memory and over loopback.

mod batch;
mod clock;
mod download;
mod events;
mod server;
mod upload;
