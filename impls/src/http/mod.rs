//! HTTP clients and layers.

mod body;
mod memory;
mod pool_stats;
mod reqwest_client;

pub use memory::{MemoryHttpClient, ReceivedRequest, Reply, Responder};
pub use pool_stats::PoolStatsSource;
pub use reqwest_client::{HttpVersion, ReqwestConfig, ReqwestTransport};
