//! Sends messages as HTTP requests.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use networking_spi::bridge::{BridgeMessage, BridgeProtocol, BridgeSink, EndpointHealth, HealthState};
use networking_spi::error::context;
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RequestTarget, status};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, SendState, redact};
use parking_lot::Mutex;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use url::Url;

use super::is_of_one_hop;

/// How much of a response body is read, in bytes. The connection can be reused only if the body is read to its end.
const MAX_RESPONSE: usize = 64 << 10;

/// How long `stop` waits for deliveries in progress.
const STOP_TIMEOUT: Duration = Duration::from_secs(10);

/// Statuses that are retried by default, besides the [transient](status::TRANSIENT) ones. Those for missing credentials and
/// permissions are included: an operator can grant them, and the message must be kept until then.
const ALSO_RETRYABLE: [u16; 7] = [401, 403, 407, 421, 423, 507, 509];

/// A sink that sends each message as a `POST`, over any [`HttpClient`]. Targets are URLs, absolute or relative to a base.
///
/// The payload is the body, byte for byte. `Content-Type` is the message's content type, or `application/octet-stream`. The
/// message's header fields are sent, except hop-by-hop fields and credentials. The message's id is sent as `Idempotency-Key`,
/// so that the peer can recognize a message that it has received before, and as `x-bridge-message-id`; the origin is sent as
/// `x-bridge-origin`.
///
/// A 2xx status acknowledges the message. The statuses 401, 403, 407, 408, 421, 423, 425, 429, 500, 502, 503, 504, 507 and
/// 509 are errors that the bridge retries. Every other status is an error that it does not retry.
/// [`with_retryable_statuses`](Self::with_retryable_statuses) changes the list. After a
/// [transient](networking_spi::http::status::is_transient) status, the bridge waits at least the number of seconds in
/// `Retry-After`.
pub struct HttpSink {
    client: Arc<dyn HttpClient>,
    base: Option<Url>,
    method: Method,
    headers: HeaderMap,
    retryable: BTreeSet<u16>,
    last: Mutex<Last>,
    deliveries: TaskTracker,
}

#[derive(Default)]
struct Last {
    stopped: bool,
    health: EndpointHealth,
}

impl HttpSink {
    /// A sink that posts to absolute URLs.
    pub fn new(client: Arc<dyn HttpClient>) -> Self {
        Self {
            client,
            base: None,
            method: Method::POST,
            headers: HeaderMap::new(),
            retryable: status::TRANSIENT.into_iter().chain(ALSO_RETRYABLE).collect(),
            last: Mutex::default(),
            deliveries: TaskTracker::new(),
        }
    }

    /// Sets the URL that relative targets are resolved against.
    pub fn with_base_url(mut self, base: Url) -> Self {
        self.base = Some(base);
        self
    }

    /// Sets the method. Default: `POST`.
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Adds a header field to every request. It replaces a field of the message with the same name.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a name or value that HTTP does not allow.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self> {
        let name =
            HeaderName::try_from(name).map_err(|_| NetworkError::invalid_input("header", "is not a header name"))?;
        let mut value = HeaderValue::try_from(value)
            .map_err(|_| NetworkError::invalid_input(format!("header.{name}"), "is not a header value"))?;
        value.set_sensitive(redact::is_secret_header(&name));
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Sets the statuses that are retried, instead of the default list.
    pub fn with_retryable_statuses(mut self, statuses: impl IntoIterator<Item = StatusCode>) -> Self {
        self.retryable = statuses.into_iter().map(|status| status.as_u16()).collect();
        self
    }

    fn request(&self, target: &str, message: BridgeMessage) -> Result<HttpRequest> {
        let target = match &self.base {
            Some(base) => RequestTarget::from(target).resolve(base)?,
            None => RequestTarget::from(target),
        };
        let mut request = HttpRequest::new(self.method.clone(), target);
        for (name, value) in &message.headers {
            // A name or value that HTTP does not allow (Kafka allows any) is dropped.
            let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_bytes(value)) else {
                continue;
            };
            if !is_of_one_hop(&name) && !redact::is_secret_header(&name) {
                request.headers.append(name, value);
            }
        }
        let content_type = message.content_type.as_deref().unwrap_or("application/octet-stream");
        if let Ok(value) = HeaderValue::try_from(content_type) {
            request.headers.insert(header::CONTENT_TYPE, value);
        }
        if let Ok(value) = HeaderValue::try_from(message.id.as_str()) {
            request.headers.insert("x-bridge-message-id", value.clone());
            request.headers.insert("idempotency-key", value);
        }
        if let Ok(value) = HeaderValue::try_from(message.origin.as_str()) {
            request.headers.insert("x-bridge-origin", value);
        }
        for (name, value) in &self.headers {
            request.headers.insert(name, value.clone());
        }
        Ok(request.with_body(message.payload))
    }

    async fn send(&self, request: HttpRequest) -> Result<()> {
        let response = match self.client.request(request).await {
            Ok(response) => response,
            // The client may return statuses as errors.
            Err(error) => return Err(self.classified(error)),
        };
        if response.is_success() {
            drain(response).await;
            return Ok(());
        }
        let error = response.status_error().unwrap_or_else(|| {
            NetworkError::new(
                ErrorKind::Status,
                "http_sink.deliver",
                "the status is neither a success nor an error",
            )
            .with_status(response.status.as_u16())
            .with_send_state(SendState::Sent)
        });
        drain(response).await;
        Err(self.classified(error))
    }

    /// Sets whether the error is retryable, according to its status. Returns an error without a status unchanged.
    fn classified(&self, error: NetworkError) -> NetworkError {
        let Some(status) = error.status() else { return error };
        match (self.retryable.contains(&status), error.retryability()) {
            (true, Retryability::Never) => error.with_retryability(Retryability::Now),
            (true, _) => error,
            (false, _) => error.with_retryability(Retryability::Never),
        }
    }
}

#[async_trait]
impl BridgeSink for HttpSink {
    fn protocol(&self) -> BridgeProtocol {
        BridgeProtocol::Http
    }

    fn delivery_limit(&self) -> Option<Duration> {
        None
    }

    async fn start(&self) -> Result<()> {
        if self.last.lock().stopped {
            return Err(NetworkError::closed("http_sink.start", "the sink"));
        }
        Ok(())
    }

    async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
        // Before the check, so that a concurrent `stop` either waits for this delivery or is seen by it.
        let _in_progress = self.deliveries.token();
        if self.last.lock().stopped {
            return Err(NetworkError::closed("http_sink.deliver", "the sink"));
        }
        let sent = self.send(self.request(target, message)?).await;
        self.last.lock().health = match &sent {
            Ok(()) => EndpointHealth::new(HealthState::Up),
            Err(error) => EndpointHealth::new(HealthState::Degraded).with_detail(error.to_string()),
        };
        sent.map(|()| None)
    }

    async fn stop(&self) -> Result<()> {
        self.last.lock().stopped = true;
        self.deliveries.close();
        timeout(STOP_TIMEOUT, self.deliveries.wait()).await.map_err(|_| {
            NetworkError::new(
                ErrorKind::Timeout,
                "http_sink.stop",
                "deliveries in progress did not end in time",
            )
            .with_context(context::LIMIT, format!("{STOP_TIMEOUT:?}"))
        })
    }

    /// The result of the latest delivery; unknown before the first.
    async fn health(&self) -> EndpointHealth {
        let last = self.last.lock();
        if last.stopped {
            EndpointHealth::new(HealthState::Down).with_detail("the sink is stopped")
        } else {
            last.health.clone()
        }
    }
}

impl fmt::Debug for HttpSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSink")
            .field("client", &self.client)
            .field("base", &self.base.as_ref().map(redact::url))
            .field("method", &self.method)
            .field("headers", &redact::Headers(&self.headers))
            .finish_non_exhaustive()
    }
}

/// Reads the rest of a response. Errors are ignored, because the result depends only on the status.
async fn drain(response: HttpResponse) {
    let _ = response.body.collect(MAX_RESPONSE).await;
}
