//! The counters of one client.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use http::StatusCode;
use networking_spi::http::HttpClientMetrics;
use networking_spi::{ErrorKind, NetworkError};

use super::latency::Histogram;

/// Status codes are three digits.
const STATUSES: usize = 1_000;

/// The counters of one client. [`MetricsClient`](super::MetricsClient) reports them. Wrappers that retry, throttle or reject
/// increment the same counters.
#[derive(Debug)]
pub struct HttpCounters {
    requests: AtomicU64,
    in_flight: AtomicU64,
    cancelled: AtomicU64,
    pub(super) retries: AtomicU64,
    pub(super) hedges: AtomicU64,
    pub(super) throttled: AtomicU64,
    pub(super) circuit_rejections: AtomicU64,
    pub(super) bytes_sent: AtomicU64,
    pub(super) bytes_received: AtomicU64,
    statuses: Box<[AtomicU64]>,
    /// In the order of [`ErrorKind::ALL`]; the last one counts other kinds.
    errors: Box<[AtomicU64]>,
    latency: Histogram,
}

impl HttpCounters {
    /// Counters at zero.
    pub fn new() -> Self {
        let zeros = |count| (0..count).map(|_| AtomicU64::new(0)).collect();
        Self {
            requests: AtomicU64::new(0),
            in_flight: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
            throttled: AtomicU64::new(0),
            circuit_rejections: AtomicU64::new(0),
            bytes_sent: AtomicU64::new(0),
            bytes_received: AtomicU64::new(0),
            statuses: zeros(STATUSES),
            errors: zeros(ErrorKind::ALL.len() + 1),
            latency: Histogram::new(),
        }
    }

    /// A snapshot. It is not atomic: a call that ends during the snapshot may be counted in some counters only.
    pub fn snapshot(&self) -> HttpClientMetrics {
        let mut metrics = HttpClientMetrics::default();
        for (status, count) in self.statuses.iter().enumerate() {
            let count = count.load(Relaxed);
            if count > 0 {
                metrics.responses += count;
                metrics
                    .by_status
                    .insert(u16::try_from(status).unwrap_or(u16::MAX), count);
            }
        }
        let names = ErrorKind::ALL.iter().map(|kind| kind.as_str()).chain(["other"]);
        for (name, count) in names.zip(&self.errors) {
            let count = count.load(Relaxed);
            if count > 0 {
                metrics.failures += count;
                metrics.by_error.insert(name.to_owned(), count);
            }
        }
        metrics.requests = self.requests.load(Relaxed);
        metrics.in_flight = self.in_flight.load(Relaxed);
        metrics.cancelled = self.cancelled.load(Relaxed);
        metrics.retries = self.retries.load(Relaxed);
        metrics.hedges = self.hedges.load(Relaxed);
        metrics.throttled = self.throttled.load(Relaxed);
        metrics.circuit_rejections = self.circuit_rejections.load(Relaxed);
        metrics.bytes_sent = self.bytes_sent.load(Relaxed);
        metrics.bytes_received = self.bytes_received.load(Relaxed);
        metrics.latency = self.latency.summary();
        metrics
    }

    /// Starts a call. It counts as cancelled if it is dropped before it has an outcome.
    pub(super) fn start(&self) -> Call<'_> {
        self.requests.fetch_add(1, Relaxed);
        self.in_flight.fetch_add(1, Relaxed);
        Call {
            counters: self,
            finished: false,
        }
    }
}

impl Default for HttpCounters {
    fn default() -> Self {
        Self::new()
    }
}

/// A call that is being counted.
pub(super) struct Call<'c> {
    counters: &'c HttpCounters,
    finished: bool,
}

impl Call<'_> {
    pub(super) fn responded(mut self, status: StatusCode, latency: Duration) {
        self.finished = true;
        if let Some(count) = self.counters.statuses.get(usize::from(status.as_u16())) {
            count.fetch_add(1, Relaxed);
        }
        self.counters.latency.record(latency);
    }

    pub(super) fn failed(mut self, error: &NetworkError) {
        self.finished = true;
        let known = ErrorKind::ALL.iter().position(|kind| *kind == error.kind());
        self.counters.errors[known.unwrap_or(ErrorKind::ALL.len())].fetch_add(1, Relaxed);
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.counters.in_flight.fetch_sub(1, Relaxed);
        if !self.finished {
            self.counters.cancelled.fetch_add(1, Relaxed);
        }
    }
}
