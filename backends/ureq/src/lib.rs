//! A backend outside of the reference implementations: [`HttpClient`] over the blocking client `ureq`.
//!
//! It only sends requests, and its capabilities list what it supports. Retries, rate limits, circuit breakers and metrics come
//! from the wrappers of `networking-impls`, which work over any transport.

use std::io::{self, Read};
use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::http::{
    HttpBody, HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpRequest, HttpResponse,
    RetryPolicy,
};
use networking_spi::validate::ensure;
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};

/// A client over `ureq` that follows no redirects. Clones share the connection pool.
#[derive(Debug, Clone)]
pub struct UreqClient(ureq::Agent);

impl Default for UreqClient {
    fn default() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None);
        Self(config.allow_non_standard_methods(true).build().new_agent())
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl HttpClient for UreqClient {
    async fn request(&self, request: HttpRequest) -> Result<HttpResponse> {
        request.options.require(self.capabilities())?;
        let url = request.target.url()?.clone();
        ensure(url.scheme() == "http", "url", "must be an http URL")?;
        let mut message = http::Request::new(request.body.collect(usize::MAX).await?.to_vec());
        *message.method_mut() = request.method;
        let no_uri = |_| NetworkError::invalid_input("url", "is not a URI");
        *message.uri_mut() = url.as_str().parse().map_err(no_uri)?;
        *message.headers_mut() = request.headers;
        let limit = request.options.max_response_size.unwrap_or(u64::MAX);
        let agent = self.0.clone();
        let message = agent
            .configure_request(message)
            .timeout_global(request.options.timeout)
            .build();

        // The client blocks, so the call runs on the blocking pool. It continues there if this future is dropped.
        let call = tokio::task::spawn_blocking(move || {
            let (head, mut body) = agent.run(message).map_err(|error| classify(error, false))?.into_parts();
            // One byte more than allowed, to detect a body above the limit.
            let mut bytes = Vec::new();
            let read = body.as_reader().take(limit.saturating_add(1)).read_to_end(&mut bytes);
            read.map_err(|error| classify(error.into(), true))?;
            Ok::<_, NetworkError>((head, bytes))
        });
        let panicked = |error| NetworkError::new(ErrorKind::Internal, "http.request", "panic").with_source(error);
        let (head, bytes) = call.await.map_err(panicked)??;
        let mut response = HttpResponse::new(head.status).with_body(HttpBody::from(bytes));
        response.version = head.version;
        response.headers = head.headers;
        response.url = Some(url);
        response.limited(limit)
    }

    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = HttpCapabilities::none();
        capabilities.timeout = true;
        capabilities.response_size_limit = true;
        capabilities
    }

    fn client_metrics(&self) -> Result<HttpClientMetrics> {
        Err(NetworkError::unsupported("http.client_metrics", "metrics"))
    }

    fn configure_retry_policy(&self, _: RetryPolicy) -> Result<()> {
        Err(NetworkError::unsupported("http.configure_retry_policy", "retry"))
    }

    fn configure_circuit_breaker(&self, _: Arc<dyn CircuitBreaker>, _: HttpCircuitOptions) -> Result<()> {
        Err(NetworkError::unsupported(
            "http.configure_circuit_breaker",
            "circuit_breaker",
        ))
    }
}

/// Maps errors of `ureq` to the contract's kinds. `answered` means that the head of the response has arrived.
fn classify(error: ureq::Error, answered: bool) -> NetworkError {
    use ureq::Error;
    let kind = match &error {
        Error::Timeout(_) => ErrorKind::Timeout,
        Error::HostNotFound => ErrorKind::Dns,
        // The standard library has no error kind for names that cannot be resolved.
        Error::Io(io) if io.to_string().starts_with("failed to lookup") => ErrorKind::Dns,
        Error::Io(io) if io.kind() == io::ErrorKind::ConnectionRefused => ErrorKind::ConnectionRefused,
        Error::ConnectionFailed => ErrorKind::ConnectionRefused,
        Error::BodyExceedsLimit(_) => ErrorKind::TooLarge,
        Error::Io(_) if answered => ErrorKind::TruncatedBody,
        Error::Io(_) => ErrorKind::ConnectionClosed,
        _ => ErrorKind::Protocol,
    };
    let mut classified = NetworkError::new(kind, "http.request", "the request failed");
    match &error {
        Error::Timeout(ureq::Timeout::Connect) => classified = classified.with_phase(Phase::Connect),
        Error::Timeout(_) => classified = classified.with_phase(Phase::Total),
        _ if answered => classified = classified.with_send_state(SendState::Sent),
        _ => {}
    }
    classified.with_source(error)
}
