//! What a server has processed, according to its log.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;
use std::time::Duration;

use networking_conformance::Failure;

/// The requests of one run.
#[derive(Debug, Default)]
pub(super) struct Processed {
    /// How often each request was processed, by its number.
    times: HashMap<usize, usize>,
    /// The connections they came over, if the log has them.
    connections: BTreeSet<String>,
}

impl Processed {
    /// Reads the log of nginx: marker, body, connection and protocol in each line. Waits for the last lines, which nginx writes after
    /// the responses.
    pub(super) async fn by_nginx(log: &Path, run: &str, requests: usize) -> Result<Self, Failure> {
        Self::read(log, requests, |line, processed| {
            let mut fields = line.split(' ');
            if let Some(number) = fields.next().and_then(|marker| number_of(marker, run)) {
                *processed.times.entry(number).or_default() += 1;
                processed.connections.extend(fields.nth(1).map(str::to_owned));
            }
        })
        .await
    }

    /// Reads the verbose output of nghttpd, which has a line for each field of a request.
    pub(super) async fn by_nghttpd(log: &Path, run: &str, requests: usize) -> Result<Self, Failure> {
        Self::read(log, requests, |line, processed| {
            let marker = line.split_once(" x-marker: ").map(|(_, marker)| marker);
            if let Some(number) = marker.and_then(|marker| number_of(marker, run)) {
                *processed.times.entry(number).or_default() += 1;
                // `[id=1] [  0.501] recv (stream_id=1) x-marker: m1`.
                processed.connections.extend(line.split(']').next().map(str::to_owned));
            }
        })
        .await
    }

    async fn read(log: &Path, requests: usize, take: impl Fn(&str, &mut Self)) -> Result<Self, Failure> {
        let mut left = 100;
        loop {
            let text = fs::read(log).map_err(|error| Failure::new(format!("{}: {error}", log.display())))?;
            let mut processed = Self::default();
            for line in String::from_utf8_lossy(&text).lines() {
                take(line, &mut processed);
            }
            if processed.times.len() >= requests || left == 0 {
                return Ok(processed);
            }
            left -= 1;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many of these requests were not processed.
    pub(super) fn lost(&self, requests: usize) -> usize {
        requests - self.times.len().min(requests)
    }

    /// How many were processed more than once.
    pub(super) fn duplicated(&self) -> usize {
        self.times.values().filter(|times| **times > 1).count()
    }

    pub(super) fn connections(&self) -> usize {
        self.connections.len()
    }
}

/// The number in a marker, if it belongs to this run.
fn number_of(marker: &str, run: &str) -> Option<usize> {
    marker.strip_prefix(run)?.strip_prefix('/')?.parse().ok()
}
