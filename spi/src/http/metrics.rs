//! Counters of an HTTP client.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A snapshot of a client's counters, since the client was created.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct HttpClientMetrics {
    /// Calls started. A call with retries counts once.
    pub requests: u64,
    /// Calls in flight, until the response head.
    pub in_flight: u64,
    /// Calls that returned a response with any status.
    pub responses: u64,
    /// Calls that ended without a response. A status that `raise_for_status` makes an error counts as a response.
    pub failures: u64,
    /// Calls whose future was dropped before it completed.
    pub cancelled: u64,
    /// Retries: attempts after the first one of each call.
    pub retries: u64,
    /// Hedged attempts: started while an earlier attempt of the call was still running.
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
    /// Bytes of request bodies with a known length.
    pub bytes_sent: u64,
    /// Bytes of response bodies that callers have read.
    pub bytes_received: u64,
    /// Time from the start of a call to the response head, including retries.
    pub latency: LatencySummary,
}

/// A summary of durations. A percentile is the upper bound of its histogram bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Default)]
#[non_exhaustive]
pub struct LatencySummary {
    /// The number of durations.
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
    /// Connections opened since the client was created.
    pub opened: Option<u64>,
    /// Connections that are being opened.
    pub connecting: Option<u64>,
    /// Connection attempts that failed.
    pub connect_failures: Option<u64>,
    /// Requests that reused a connection.
    pub reused: Option<u64>,
    /// Requests in flight.
    pub in_flight: Option<u64>,
    /// Connections in use.
    pub active: Option<u64>,
    /// Idle connections.
    pub idle: Option<u64>,
    /// Connections closed since the client was created.
    pub closed: Option<u64>,
    /// The maximum number of idle connections per host.
    pub max_idle_per_host: Option<u64>,
}
