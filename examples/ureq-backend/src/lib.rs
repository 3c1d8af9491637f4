//! A backend written outside of the reference implementations: [`HttpClient`] over the blocking client `ureq`.
//!
//! It sends bytes and says honestly what else it can do. Everything else (retries, rate limits, circuit breakers, metrics)
//! comes from the layers of `networking-impls`, over this transport as over any other.

use std::sync::Arc;

use async_trait::async_trait;
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::http::{
    HttpBody, HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpRequest, HttpResponse,
    RetryPolicy,
};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, Retryability, SendState};

/// A client over `ureq`. Clones share its connections.
#[derive(Debug, Clone)]
pub struct UreqClient {
    agent: ureq::Agent,
}

impl UreqClient {
    /// A client that returns every status as a response and follows no redirects.
    pub fn new() -> Self {
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .allow_non_standard_methods(true)
            .proxy(None)
            .build();
        Self {
            agent: config.new_agent(),
        }
    }
}

impl Default for UreqClient {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl HttpClient for UreqClient {
    async fn request(&self, request: HttpRequest) -> Result<HttpResponse> {
        request.options.require(self.capabilities())?;
        let url = request.target.url()?.clone();
        let body = request.body.collect(usize::MAX).await?;
        let mut message = http::Request::new(body.to_vec());
        *message.method_mut() = request.method;
        *message.uri_mut() = url
            .as_str()
            .parse()
            .map_err(|_| NetworkError::invalid_input("url", "is not a URI"))?;
        *message.headers_mut() = request.headers;
        let limit = request.options.max_response_size.unwrap_or(u64::MAX);
        // One attempt is all there is: the shorter of both time limits holds.
        let timeout = request
            .options
            .timeout
            .into_iter()
            .chain(request.options.attempt_timeout)
            .min();
        let agent = self.agent.clone();
        let message = agent.configure_request(message).timeout_global(timeout).build();

        // A blocking client: the call runs on a thread of its own, and goes on there if this future is dropped.
        let call = tokio::task::spawn_blocking(move || {
            let (head, mut body) = agent.run(message)?.into_parts();
            let bytes = body.with_config().limit(limit).read_to_vec()?;
            Ok((head, bytes))
        });
        let (head, bytes) = call
            .await
            .map_err(|error| {
                NetworkError::new(ErrorKind::Internal, "http.request", "the call panicked").with_source(error)
            })?
            .map_err(classify)?;
        let mut response = HttpResponse::new(head.status).with_body(HttpBody::from(bytes));
        response.version = head.version;
        response.headers = head.headers;
        response.url = Some(url);
        Ok(response)
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

/// The contract's words for what `ureq` reports.
fn classify(error: ureq::Error) -> NetworkError {
    let error_of = |kind, message: &'static str| NetworkError::new(kind, "http.request", message);
    let classified = match &error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            error_of(ErrorKind::Timeout, "no connection in time").with_phase(Phase::Connect)
        }
        ureq::Error::Timeout(_) => error_of(ErrorKind::Timeout, "no answer in time").with_phase(Phase::Total),
        ureq::Error::HostNotFound => error_of(ErrorKind::Dns, "the host name cannot be resolved"),
        ureq::Error::ConnectionFailed => {
            error_of(ErrorKind::ConnectionRefused, "no address of the host takes connections")
        }
        ureq::Error::BodyExceedsLimit(_) => error_of(ErrorKind::TooLarge, "the response is larger than the limit"),
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::ConnectionRefused => {
            error_of(ErrorKind::ConnectionRefused, "the connection was refused").with_send_state(SendState::NotSent)
        }
        ureq::Error::Io(io) if io.kind() == std::io::ErrorKind::UnexpectedEof => {
            error_of(ErrorKind::TruncatedBody, "the response ended too early")
        }
        ureq::Error::Io(_) => error_of(ErrorKind::ConnectionClosed, "the connection broke"),
        ureq::Error::Protocol(_) => error_of(ErrorKind::Protocol, "the peer broke the protocol"),
        _ => error_of(ErrorKind::Remote, "the request failed").with_retryability(Retryability::Never),
    };
    classified.with_source(error)
}
