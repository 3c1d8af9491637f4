//! The rows that `cargo xtask live http` prints about the runs.

use std::fs::OpenOptions;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use networking_conformance::{Failure, Harness};
use serde::Serialize;

use super::super::backend::Live;

/// One run.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) server: &'static str,
    pub(super) backend: &'static str,
    pub(super) work: String,
    pub(super) requests: usize,
    /// Requests without the expected response.
    pub(super) failed: usize,
    /// Requests that the server did not process.
    pub(super) lost: Option<usize>,
    /// Requests that the server processed more than once.
    pub(super) duplicated: Option<usize>,
    /// The connections that the server saw.
    pub(super) connections: Option<usize>,
    pub(super) millis: u64,
    /// The first failure.
    pub(super) note: String,
}

impl Row {
    pub(super) fn new(live: &Live, server: &'static str, work: impl Into<String>, requests: usize) -> Self {
        Self {
            server,
            backend: live.backend(),
            work: work.into(),
            requests,
            failed: 0,
            lost: None,
            duplicated: None,
            connections: None,
            millis: 0,
            note: String::new(),
        }
    }

    /// Counts a failure.
    pub(super) fn fail(&mut self, why: impl Into<String>) {
        self.failed += 1;
        if self.note.is_empty() {
            self.note = why.into();
        }
    }

    pub(super) fn took(&mut self, time: Duration) {
        self.millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    }

    /// Adds the row to the report.
    pub(super) fn write(&self, live: &Arc<Live>) -> Result<(), Failure> {
        let mut json = serde_json::to_vec(self).map_err(|error| Failure::new(error.to_string()))?;
        json.push(b'\n');
        // One write per line, so that lines of parallel cases do not mix.
        OpenOptions::new()
            .append(true)
            .create(true)
            .open(&live.servers().load_rows)
            .and_then(|mut file| file.write_all(&json))
            .map_err(|error| Failure::new(error.to_string()))
    }
}
