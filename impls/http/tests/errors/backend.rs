//! The transports, and the calls that fail on them.

use std::sync::Arc;
use std::time::Duration;

use networking_http::{HttpClientBuilder, HyperTransport, ReqwestTransport, SsrfGuard, Transport, TransportConfig};
use networking_spi::NetworkError;
use networking_spi::http::{HttpClient, HttpRequest, Method, RetryPolicy};
use url::Position;

/// A secret in the headers, body and URL of every request. No error may contain it.
pub(crate) const SECRET: &str = "pl4nt3d-s3cr3t";

/// A transport under test.
pub(crate) struct Backend {
    pub(crate) transport: fn(ConnectSettings) -> Arc<dyn HttpClient>,
}

/// How the transport connects.
pub(crate) struct ConnectSettings {
    pub(crate) connect_timeout: Duration,
    pub(crate) read_timeout: Duration,
    /// A trusted root certificate, PEM.
    pub(crate) root: Option<String>,
    /// Only public addresses may be reached.
    pub(crate) guarded: bool,
}

impl Default for ConnectSettings {
    /// Limits that no test reaches.
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(3_600),
            read_timeout: Duration::from_secs(7_200),
            root: None,
            guarded: false,
        }
    }
}

pub(crate) const REQWEST: Backend = Backend {
    transport: |settings| Arc::new(ReqwestTransport::new(config(settings)).unwrap()),
};

pub(crate) const HYPER: Backend = Backend {
    transport: |settings| Arc::new(HyperTransport::new(config(settings)).unwrap()),
};

fn config(settings: ConnectSettings) -> TransportConfig {
    let mut config = TransportConfig::new()
        .with_connect_timeout(settings.connect_timeout)
        .with_read_timeout(settings.read_timeout);
    config.root_certificates.extend(settings.root);
    config.ssrf_guard = settings.guarded.then(SsrfGuard::new);
    config
}

impl Backend {
    /// The standard client with one retry, and otherwise the defaults.
    pub(crate) fn client(&self) -> Arc<dyn HttpClient> {
        self.client_with(ConnectSettings::default(), |builder| builder)
    }

    pub(crate) fn client_with(
        &self,
        settings: ConnectSettings,
        adapt: impl FnOnce(
            HttpClientBuilder<Transport<Arc<dyn HttpClient>>>,
        ) -> HttpClientBuilder<Transport<Arc<dyn HttpClient>>>,
    ) -> Arc<dyn HttpClient> {
        let one_retry = RetryPolicy::new(2)
            .with_delays(Duration::ZERO, Duration::ZERO)
            .with_max_retry_after(Duration::ZERO);
        let builder = HttpClientBuilder::over((self.transport)(settings)).retry(one_retry);
        Arc::new(adapt(builder).build().unwrap())
    }
}

/// A call that failed.
pub(crate) struct Failed {
    pub(crate) error: NetworkError,
    /// The host of the request, if its URL is valid.
    pub(crate) host: Option<String>,
}

/// A request with secrets that is not idempotent.
pub(crate) fn post(url: &str) -> HttpRequest {
    HttpRequest::new(Method::POST, url)
        .with_query([("api_key", SECRET)])
        .unwrap()
        .with_bearer(SECRET)
        .unwrap()
        .with_body(SECRET)
}

/// The error of a call, or of reading its response to the end.
pub(crate) async fn failing(client: &dyn HttpClient, request: HttpRequest) -> Failed {
    let host = host_of(&request);
    let error = match client.request(request).await {
        Err(error) => error,
        Ok(response) => response.bytes().await.expect_err("the call fails"),
    };
    Failed { error, host }
}

pub(crate) fn host_of(request: &HttpRequest) -> Option<String> {
    let url = request.target.url().ok()?;
    Some(url[Position::BeforeHost..Position::AfterPort].to_owned())
}
