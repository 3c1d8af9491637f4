//! The transports under test, and the clients of the cases.

use std::sync::Arc;
use std::time::Duration;

use networking_conformance::Harness;
use networking_http::websocket::WebSocketConnector;
use networking_http::{
    HttpClientBuilder, HyperTransport, PoolStatsSource, ReqwestTransport, StandardHttpClient, Transport,
    TransportConfig,
};
use networking_spi::Result;
use networking_spi::http::HttpClient;
use url::Url;

use super::servers::Servers;

/// A transport. All have the same wrappers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Backend {
    Hyper,
    Reqwest,
}

impl Backend {
    pub(crate) const ALL: [Self; 2] = [Self::Hyper, Self::Reqwest];

    fn transport(self, config: TransportConfig) -> Result<(Arc<dyn HttpClient>, Arc<dyn PoolStatsSource>)> {
        Ok(match self {
            Self::Hyper => {
                let transport = HyperTransport::new(config)?;
                (Arc::new(transport.clone()), Arc::new(transport))
            }
            Self::Reqwest => {
                let transport = ReqwestTransport::new(config)?;
                (Arc::new(transport.clone()), Arc::new(transport))
            }
        })
    }
}

pub(crate) type Client = StandardHttpClient<Arc<dyn HttpClient>>;
pub(crate) type Builder = HttpClientBuilder<Transport<Arc<dyn HttpClient>>>;

/// One backend and the servers.
#[derive(Debug)]
pub(crate) struct Live {
    backend: Backend,
    servers: Option<Arc<Servers>>,
}

impl Live {
    pub(crate) const fn new(backend: Backend, servers: Option<Arc<Servers>>) -> Self {
        Self { backend, servers }
    }

    pub(crate) const fn has_servers(&self) -> bool {
        self.servers.is_some()
    }

    /// The servers. Cases run only with servers.
    pub(crate) fn servers(&self) -> &Servers {
        self.servers.as_deref().expect("cases apply only with servers")
    }

    /// A configuration that trusts the certificates of the servers.
    pub(crate) fn config(&self) -> TransportConfig {
        TransportConfig::new().with_root_certificate(self.servers().authority())
    }

    /// A builder of a standard client with this configuration.
    pub(crate) fn builder_of(&self, config: TransportConfig) -> Result<Builder> {
        let (transport, pool) = self.backend.transport(config)?;
        let connecting = transport.clone();
        Ok(HttpClientBuilder::over(transport)
            .retries(0)
            .pool_stats(pool)
            .websocket(Arc::new(WebSocketConnector::new(Arc::new(connecting)))))
    }

    pub(crate) fn builder(&self) -> Result<Builder> {
        self.builder_of(self.config())
    }

    /// A standard client with this base URL.
    pub(crate) fn client(&self, base: &Url) -> Result<Client> {
        self.builder()?.base_url(base).build()
    }

    pub(crate) fn httpbin(&self) -> Result<Client> {
        self.client(&self.servers().httpbin)
    }

    /// A name that is unique per case and backend.
    pub(crate) fn tenant(&self, case: &str) -> String {
        format!("{}-{case}", self.backend())
    }
}

impl Harness for Live {
    fn backend(&self) -> &'static str {
        match self.backend {
            Backend::Hyper => "hyper",
            Backend::Reqwest => "reqwest",
        }
    }

    /// Some cases wait for thousands of requests.
    fn patience(&self) -> Duration {
        Duration::from_secs(30)
    }
}
