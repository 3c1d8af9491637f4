//! Counters of a client.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A snapshot of a client's counters, since the client was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct HttpClientMetrics {
    /// Calls started. A call with retries counts once.
    pub requests: u64,
    /// Calls in flight, up to the response head.
    pub in_flight: u64,
    /// Calls that got a response, of any status.
    pub responses: u64,
    /// Calls that ended with an error and no response.
    pub failures: u64,
    /// Calls whose future was dropped before it ended.
    pub cancelled: u64,
    /// Attempts beyond the first of each call.
    pub retries: u64,
    /// Attempts that were started while a slow one was still running.
    #[serde(default)]
    pub hedges: u64,
    /// Calls that waited for a rate limit.
    pub throttled: u64,
    /// Attempts that a circuit breaker rejected.
    pub circuit_rejections: u64,
    /// Responses by status code.
    pub by_status: BTreeMap<u16, u64>,
    /// Failures by the name of their [`ErrorKind`](crate::ErrorKind).
    pub by_error: BTreeMap<String, u64>,
    /// Body bytes sent, where the length was known beforehand.
    pub bytes_sent: u64,
    /// Body bytes that callers read.
    pub bytes_received: u64,
    /// Time from the call to the response head, retries included.
    pub latency: LatencySummary,
}

/// A summary of durations. Percentiles are upper bounds of the histogram bucket they fall into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct LatencySummary {
    /// Durations recorded.
    pub count: u64,
    /// Arithmetic mean.
    pub mean: Duration,
    /// Median.
    pub p50: Duration,
    /// 90th percentile.
    pub p90: Duration,
    /// 99th percentile.
    pub p99: Duration,
    /// Longest.
    pub max: Duration,
}

/// Statistics of a client's connections. A value that the client cannot observe is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct ConnectionPoolStats {
    /// Connections opened so far.
    pub opened: Option<u64>,
    /// Connections being opened.
    pub connecting: Option<u64>,
    /// Connection attempts that failed.
    pub connect_failures: Option<u64>,
    /// Requests that used a connection opened before.
    pub reused: Option<u64>,
    /// Requests in flight.
    pub in_flight: Option<u64>,
    /// Connections in use.
    pub active: Option<u64>,
    /// Connections waiting for a request.
    pub idle: Option<u64>,
    /// Connections closed so far.
    pub closed: Option<u64>,
    /// The most idle connections kept per host.
    pub max_idle_per_host: Option<u64>,
}
