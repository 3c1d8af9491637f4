//! HTTP clients and layers.

mod body;
mod pool_stats;
mod reqwest_client;

pub use pool_stats::PoolStatsSource;
pub use reqwest_client::{HttpVersion, ReqwestConfig, ReqwestTransport};
