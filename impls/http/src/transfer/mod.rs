//! Transfers over any client: resumable downloads, event streams with reconnection, and uploads from disk.

mod attempt_policy;
mod download;
mod event_source;
mod file_source;

pub use download::{Download, DownloadProgress, Downloaded};
pub use event_source::{EventSource, Reconnect};
pub use file_source::FileSource;
