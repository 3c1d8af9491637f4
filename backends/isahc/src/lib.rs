//! A backend outside of the reference implementations: [`HttpClient`] over `isahc`, which drives libcurl.
//!
//! It streams bodies in both directions. Retries, rate limits, circuit breakers and metrics come from the wrappers of
//! `networking-impls`, which work over any transport.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{AsyncRead, AsyncReadExt, StreamExt, TryStreamExt, stream};
use isahc::AsyncBody;
use isahc::config::{Configurable, ExpectContinue, RedirectPolicy, VersionNegotiation};
use isahc::error::{Error, ErrorKind as IsahcKind};
use networking_spi::circuit_breaker::CircuitBreaker;
use networking_spi::error::BoxError;
use networking_spi::http::{
    HttpBody, HttpCapabilities, HttpCircuitOptions, HttpClient, HttpClientMetrics, HttpRequest, HttpResponse, Method,
    RetryPolicy,
};
use networking_spi::validate::{ensure, positive};
use networking_spi::{ErrorKind, NetworkError, Phase, Result, SendState};

/// The largest chunk of a response body, in bytes.
const CHUNK: usize = 16 << 10;

/// A client over `isahc` that follows no redirects. Clones share the connection pool.
#[derive(Debug, Clone)]
pub struct IsahcClient(isahc::HttpClient);

impl IsahcClient {
    /// A client with its own connection pool.
    ///
    /// # Errors
    /// [`Internal`](ErrorKind::Internal) if libcurl cannot start.
    pub fn new() -> Result<Self> {
        isahc::HttpClient::builder()
            .redirect_policy(RedirectPolicy::None)
            .version_negotiation(VersionNegotiation::http11())
            .automatic_decompression(false)
            .expect_continue(ExpectContinue::disabled())
            .proxy(None)
            .build()
            .map(Self)
            .map_err(|error| {
                NetworkError::new(ErrorKind::Internal, "http.build", "libcurl cannot start").with_source(error)
            })
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl HttpClient for IsahcClient {
    async fn request(&self, mut request: HttpRequest) -> Result<HttpResponse> {
        request.options.require(self.capabilities())?;
        request.take_user_information()?;
        let HttpRequest {
            method,
            target,
            headers,
            body,
            options,
            ..
        } = request;
        let url = target.url()?.clone();
        ensure(url.scheme() == "http", "url", "must be an http URL")?;
        for (name, value) in &headers {
            // `isahc` panics otherwise.
            let is_text = std::str::from_utf8(value.as_bytes()).is_ok();
            ensure(is_text, &format!("header.{name}"), "must be UTF-8")?;
        }
        let failed = FailedUpload::default();
        let mut message = http::Request::builder()
            .method(&method)
            .uri(url.as_str())
            .redirect_policy(RedirectPolicy::None);
        if let Some(limit) = options.timeout {
            positive(limit, "timeout")?;
            // libcurl counts milliseconds, and 0 is no limit.
            message = message.timeout(limit.max(Duration::from_millis(1)));
        }
        let mut message = message
            .body(sendable(&method, body, &failed))
            .map_err(|error| NetworkError::invalid_input("url", "is not a URI").with_source(error))?;
        *message.headers_mut() = headers;

        let answer = self.0.send_async(message).await;
        let answer = answer.map_err(|error| failed.take().unwrap_or_else(|| classify(error, false)))?;
        let (head, body) = answer.into_parts();
        let mut response = HttpResponse::new(head.status);
        response.version = head.version;
        response.headers = head.headers;
        response.url = Some(url);
        if method != Method::HEAD {
            response.body = received(body);
        }
        match options.max_response_size {
            Some(limit) => response.limited(limit),
            None => Ok(response),
        }
    }

    fn capabilities(&self) -> HttpCapabilities {
        let mut capabilities = HttpCapabilities::none();
        capabilities.timeout = true;
        capabilities.streaming_upload = true;
        capabilities.streaming_download = true;
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

/// The error of the stream of a request body, which libcurl does not pass on.
#[derive(Clone, Default)]
struct FailedUpload(Arc<Mutex<Option<NetworkError>>>);

impl FailedUpload {
    fn take(&self) -> Option<NetworkError> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    fn keep(&self, error: NetworkError) -> io::Error {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
        io::ErrorKind::Other.into()
    }
}

fn sendable(method: &Method, body: HttpBody, failed: &FailedUpload) -> AsyncBody {
    // An empty body, unlike none, is announced with `Content-Length: 0`.
    if body.is_empty() && !matches!(*method, Method::POST | Method::PUT | Method::PATCH) {
        return AsyncBody::empty();
    }
    if let Some(bytes) = body.as_bytes() {
        return AsyncBody::from_bytes_static(bytes.clone());
    }
    let length = body.length();
    let failed = failed.clone();
    let chunks = body.into_stream().map_err(move |error| failed.keep(error));
    let reader = Shared(Mutex::new(chunks.into_async_read()));
    match length {
        Some(length) => AsyncBody::from_reader_sized(reader, length),
        None => AsyncBody::from_reader(reader),
    }
}

/// A reader that threads may share, as `isahc` asks; only one of them reads.
struct Shared<R>(Mutex<R>);

impl<R: AsyncRead + Unpin> AsyncRead for Shared<R> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut [u8]) -> Poll<io::Result<usize>> {
        let reader = self.get_mut().0.get_mut().unwrap_or_else(PoisonError::into_inner);
        Pin::new(reader).poll_read(cx, buffer)
    }
}

fn received(body: AsyncBody) -> HttpBody {
    let length = body.len();
    if length == Some(0) {
        return HttpBody::empty();
    }
    let chunks = stream::try_unfold(body, |mut body| async move {
        let mut chunk = vec![0; CHUNK];
        let read = body
            .read(&mut chunk)
            .await
            .map_err(|error| match error.downcast::<Error>() {
                Ok(error) => classify(error, true),
                Err(error) => truncated(error.into()),
            })?;
        chunk.truncate(read);
        Ok((read > 0).then(|| (Bytes::from(chunk), body)))
    });
    HttpBody::stream(chunks.boxed(), length)
}

fn truncated(error: BoxError) -> NetworkError {
    NetworkError::new(
        ErrorKind::TruncatedBody,
        "http.request",
        "the response body ended early",
    )
    .with_send_state(SendState::Sent)
    .with_source(error)
}

/// Maps errors of `isahc` to the contract's kinds. `answered` means that the head of the response has arrived.
fn classify(error: Error, answered: bool) -> NetworkError {
    // libcurl's CURLE_GOT_NOTHING is a violation of the protocol to isahc.
    let silent = std::error::Error::source(&error).is_some_and(|cause| cause.to_string().contains("returned nothing"));
    let kind = match error.kind() {
        _ if silent => ErrorKind::ConnectionClosed,
        IsahcKind::ConnectionFailed => ErrorKind::ConnectionRefused,
        IsahcKind::NameResolution => ErrorKind::Dns,
        IsahcKind::Timeout => ErrorKind::Timeout,
        IsahcKind::InvalidRequest => ErrorKind::InvalidInput,
        IsahcKind::BadServerCertificate | IsahcKind::BadClientCertificate | IsahcKind::TlsEngine => ErrorKind::Tls,
        _ if answered => return truncated(error.into()),
        IsahcKind::Io => ErrorKind::ConnectionClosed,
        _ => ErrorKind::Protocol,
    };
    let classified = NetworkError::new(kind, "http.request", "the request failed");
    let classified = match kind {
        ErrorKind::Timeout => classified.with_phase(Phase::Attempt),
        _ => classified,
    };
    let classified = if answered {
        classified.with_send_state(SendState::Sent)
    } else {
        classified
    };
    classified.with_source(error)
}
