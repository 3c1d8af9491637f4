//! Clients that use a cassette.

use std::sync::Arc;

use async_trait::async_trait;
use http::header;
use networking_spi::Result;
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::http::{
    HttpBody, HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpRequest, HttpResponse,
    RetryPolicy,
};
use url::Url;

use super::{Cassette, CassetteMode, RecordedRequest};
use crate::transport::without_wrappers;

/// Records the exchanges of its inner client on a [`Cassette`], or answers from it, depending on the [mode](CassetteMode).
///
/// Bodies are read completely, up to [`max_body_size`](super::CassetteConfig::max_body_size), before a request is sent and before
/// a response is returned. `Accept-Encoding` is removed from requests, so that recorded bodies are readable. Errors are not
/// recorded.
///
/// Cancel safety: a cancelled request may have been sent, and may have been recorded.
///
/// # Order
///
/// Right: around the transport, inside all other wrappers. Retries, redirects and tokens are then part of the recording,
/// and the wrappers behave the same in replay.
///
/// ```
/// # use networking_http::{HttpClientBuilder, MemoryHttpClient};
/// # use networking_http::recording::{Cassette, CassetteConfig, CassetteMode, RecordingClient};
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), networking_spi::NetworkError> {
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path().join("users.json");
/// # let transport = MemoryHttpClient::new();
/// let cassette = Cassette::open(path, CassetteMode::Record, CassetteConfig::new()).await?;
/// let http = HttpClientBuilder::over(RecordingClient::new(transport, cassette)).build()?;
/// # Ok(()) }
/// ```
///
/// Wrong: outside a [`RetryClient`](crate::layer::RetryClient). The recording would not contain the failed attempts.
#[derive(Debug)]
pub struct RecordingClient<C> {
    inner: C,
    cassette: Cassette,
}

impl<C> RecordingClient<C> {
    /// Records the exchanges of `inner` on `cassette`, or answers from it.
    pub const fn new(inner: C, cassette: Cassette) -> Self {
        Self { inner, cassette }
    }

    /// The inner client.
    pub const fn get_ref(&self) -> &C {
        &self.inner
    }

    /// Removes the wrapper and returns the inner client. Other clones of the cassette keep the exchanges.
    pub fn into_inner(self) -> C {
        self.inner
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl<C: HttpClient> HttpClient for RecordingClient<C> {
    async fn request(&self, request: HttpRequest) -> Result<HttpResponse> {
        request.options.require(self.inner.capabilities())?;
        let limit = request.options.max_response_size;
        let (mut request, recorded) = whole(&self.cassette, request).await?;
        let url = request.target.url()?.clone();
        if self.cassette.mode() != CassetteMode::Record
            && let Some(response) = self.cassette.play(&recorded)
        {
            return finish(response?, url, limit);
        }
        if self.cassette.mode() == CassetteMode::Replay {
            return Err(self.cassette.nothing_for(&recorded));
        }
        request.headers.remove(header::ACCEPT_ENCODING);
        let mut response = self.inner.request(request).await?;
        let body = std::mem::take(&mut response.body)
            .collect(self.cassette.max_body_size())
            .await?;
        let answer = self.cassette.recorded_response(&response, &body);
        self.cassette.record(recorded, answer).await?;
        response.body = body.into();
        Ok(response)
    }

    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = self.inner.capabilities();
        capabilities.streaming_upload = false;
        capabilities.streaming_download = false;
        capabilities
    }

    fn client_metrics(&self) -> Result<HttpClientMetrics> {
        self.inner.client_metrics()
    }

    fn configure_retry_policy(&self, policy: RetryPolicy) -> Result<()> {
        self.inner.configure_retry_policy(policy)
    }

    fn configure_circuit_breaker(&self, breaker: Arc<dyn CircuitBreaker>, options: HttpCircuitOptions) -> Result<()> {
        self.inner.configure_circuit_breaker(breaker, options)
    }
}

/// Answers from a [`Cassette`] in any mode, and never sends a request.
///
/// Like a bare transport, it returns every status as `Ok` and supports `max_response_size`. Retries, timeouts and so on are added
/// by the wrappers of [`HttpClientBuilder::over`](crate::client::HttpClientBuilder::over). A request without a recording fails
/// with `NotFound`, with the nearest recordings in its context.
#[derive(Debug, Clone)]
pub struct ReplayClient(Cassette);

impl ReplayClient {
    /// The capabilities of the client.
    pub const CAPABILITIES: HttpCapabilities = {
        let mut capabilities = HttpCapabilities::none();
        capabilities.response_size_limit = true;
        capabilities.trailers = true;
        capabilities
    };

    /// Answers from `cassette`.
    pub const fn new(cassette: Cassette) -> Self {
        Self(cassette)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl HttpClient for ReplayClient {
    async fn request(&self, request: HttpRequest) -> Result<HttpResponse> {
        request.options.require(Self::CAPABILITIES)?;
        let limit = request.options.max_response_size;
        let (request, recorded) = whole(&self.0, request).await?;
        match self.0.play(&recorded) {
            Some(response) => finish(response?, request.target.url()?.clone(), limit),
            None => Err(self.0.nothing_for(&recorded)),
        }
    }

    without_wrappers!();
}

/// The request with its body in memory, and its recorded form.
async fn whole(cassette: &Cassette, mut request: HttpRequest) -> Result<(HttpRequest, RecordedRequest)> {
    let body = std::mem::take(&mut request.body)
        .collect(cassette.max_body_size())
        .await?;
    let recorded = cassette.recorded(&request, &body)?;
    request.body = HttpBody::from(body);
    Ok((request, recorded))
}

fn finish(mut response: HttpResponse, url: Url, limit: Option<u64>) -> Result<HttpResponse> {
    response.url = Some(url);
    match limit {
        Some(limit) => response.limited(limit),
        None => Ok(response),
    }
}
