//! Trust, as the HTTP transport has it.

use std::sync::Arc;

use networking_spi::Result;
use tokio_rustls::TlsConnector;

use crate::http::TransportConfig;
use crate::http::transport::tls::client_config;

pub(super) fn connector(config: &TransportConfig) -> Result<TlsConnector> {
    let client = client_config(config, config.verify_tls, &[b"http/1.1"])?;
    Ok(TlsConnector::from(Arc::new(client)))
}
