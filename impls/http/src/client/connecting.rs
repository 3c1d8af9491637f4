//! Settings of a builder's transport, clients from a configuration, and the client with the defaults.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use networking_spi::{NetworkError, Result};

use super::builder::{Configured, ConfiguredTransport, DefaultTransport, HttpClientBuilder};
use super::config::HttpClientConfig;
use super::standard::StandardHttpClient;
use crate::connect::NoProxy;

impl<T: ConfiguredTransport> HttpClientBuilder<Configured<T>> {
    /// Sets everything that the configuration has, as if it was set here one by one. Later calls override it. Setters of single
    /// fields of the transport apply on top of its [`transport`](Self::transport), whichever is called first.
    ///
    /// ```
    /// use networking_http::{HttpClientBuilder, HttpClientConfig};
    /// use networking_spi::config;
    ///
    /// let config: HttpClientConfig = config::from_json(r#"{"base_url": "https://api.test/v1", "timeout": "10s"}"#)?;
    /// let http = HttpClientBuilder::new().config(config).raise_for_status(true).build()?;
    /// # Ok::<(), networking_spi::NetworkError>(())
    /// ```
    pub fn config(self, config: HttpClientConfig) -> Self {
        config.apply(self)
    }

    /// Sets the hosts that are reached without the [`proxy`](Self::proxy), in the notation of `NO_PROXY` ([`NoProxy`]):
    /// `localhost,.corp.example,10.0.0.0/8`.
    pub fn no_proxy(mut self, hosts: impl AsRef<str>) -> Self {
        let parsed = hosts.as_ref().parse::<NoProxy>();
        match self.note(parsed) {
            Some(hosts) => self.change(move |config| config.no_proxy = hosts.clone()),
            None => self,
        }
    }

    /// Uses the proxies of the environment (`HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY`, `NO_PROXY`), unless a
    /// [`proxy`](Self::proxy) is set ([rules](crate::TransportConfig::with_proxies_of)). `build` reads the variables, and fails
    /// with an error that names the one with a malformed value.
    pub fn proxy_from_env(self) -> Self {
        self.change(|config| config.proxy_from_env = true)
    }

    /// Sets whether the certificates of servers and proxies are verified. `false` accepts every certificate, so that an attacker on
    /// the network can read and change all data: only for tests. For a server with an own CA, use
    /// [`root_certificate`](Self::root_certificate).
    pub fn verify_tls(self, verify: bool) -> Self {
        self.change(move |config| config.verify_tls = verify)
    }

    /// Trusts a further root certificate: one or several in PEM, or one in DER.
    ///
    /// ```no_run
    /// use networking_http::HttpClientBuilder;
    ///
    /// let http = HttpClientBuilder::new().root_certificate(std::fs::read("corp-ca.pem")?).build()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn root_certificate(mut self, certificate: impl AsRef<[u8]>) -> Self {
        let pem = pem(certificate.as_ref());
        match self.note(pem) {
            Some(pem) => self.change(move |config| config.root_certificates.push(pem.clone())),
            None => self,
        }
    }
}

impl<T: ConfiguredTransport> StandardHttpClient<T> {
    /// A client with this configuration, and the defaults of [`HttpClientBuilder`] for what it does not have.
    ///
    /// # Errors
    /// As [`HttpClientBuilder::build`].
    pub fn from_config(config: HttpClientConfig) -> Result<Self> {
        HttpClientBuilder::<Configured<T>>::configured().config(config).build()
    }
}

/// A client with the defaults of [`HttpClientBuilder`].
///
/// Every call makes a client with its own connections: make one, and clone it. The client implements
/// [`HttpClient`](networking_spi::http::HttpClient) and [`HttpExtended`](networking_spi::http::HttpExtended); in an `Arc`, it is an
/// `Arc<dyn HttpClient>` or an `Arc<dyn HttpExtended>`.
///
/// ```no_run
/// use std::sync::Arc;
/// use networking_http::http_client;
/// use networking_spi::prelude::*;
///
/// # async fn example() -> Result<(), NetworkError> {
/// let http = http_client()?;
/// let page = http.get("https://example.com/").await?.text().await?;
/// let shared: Arc<dyn HttpClient> = Arc::new(http);
/// # Ok(()) }
/// ```
///
/// # Errors
/// [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) if the transport cannot be set up on this machine.
pub fn http_client() -> Result<StandardHttpClient<DefaultTransport>> {
    StandardHttpClient::with_defaults()
}

/// A client with this configuration: see [`HttpClientConfig`].
///
/// # Errors
/// As [`HttpClientBuilder::build`].
pub fn http_client_from(config: HttpClientConfig) -> Result<StandardHttpClient<DefaultTransport>> {
    StandardHttpClient::from_config(config)
}

/// The text of a certificate in PEM or DER.
fn pem(certificate: &[u8]) -> Result<String> {
    const FIELD: &str = "root_certificate";
    // A sequence, the only type of a certificate in DER.
    if certificate.first() == Some(&0x30) {
        let encoded = STANDARD.encode(certificate);
        let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
        for line in encoded.as_bytes().chunks(64) {
            pem.extend(line.iter().map(|byte| char::from(*byte)));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        return Ok(pem);
    }
    match std::str::from_utf8(certificate) {
        Ok(text) if text.contains("-----BEGIN CERTIFICATE-----") => Ok(text.to_owned()),
        _ => Err(NetworkError::invalid_input(FIELD, "is neither PEM nor DER")),
    }
}
