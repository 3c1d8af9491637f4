//! The standard client: all wrappers in the right order, over any transport.

mod builder;
mod config;
mod connecting;
pub mod defaults;
mod settings;
mod stack;
mod standard;

pub use builder::{Configured, ConfiguredTransport, DefaultTransport, HttpClientBuilder, Transport};
pub use config::{CredentialsConfig, HttpClientConfig};
pub use connecting::{http_client, http_client_from};
#[cfg(feature = "reqwest")]
pub use standard::ReqwestHttpClient;
pub use standard::{HyperHttpClient, StandardHttpClient};
