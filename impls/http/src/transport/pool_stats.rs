//! Statistics of connection pools.

use std::fmt;

use networking_spi::http::ConnectionPoolStats;

/// A transport that reports statistics of its connections.
pub trait PoolStatsSource: fmt::Debug + Send + Sync + 'static {
    /// A snapshot. Numbers that the transport does not know are `None`.
    fn pool_stats(&self) -> ConnectionPoolStats;
}
