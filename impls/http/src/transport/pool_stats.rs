//! What transports know about their connections.

use std::fmt;

use networking_spi::http::ConnectionPoolStats;

/// A transport that knows something about its connections.
pub trait PoolStatsSource: fmt::Debug + Send + Sync + 'static {
    /// A snapshot. What the transport cannot see is `None`.
    fn pool_stats(&self) -> ConnectionPoolStats;
}
