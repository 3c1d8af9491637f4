//! The standard client: all wrappers in the right order, over any transport.

mod builder;
pub mod defaults;
mod settings;
mod stack;
mod standard;

pub use builder::{Configured, ConfiguredTransport, DefaultTransport, HttpClientBuilder, Transport};
#[cfg(feature = "reqwest")]
pub use standard::ReqwestHttpClient;
pub use standard::{HyperHttpClient, StandardHttpClient};
