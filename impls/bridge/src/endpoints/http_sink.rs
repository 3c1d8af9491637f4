//! Messages become HTTP requests.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use networking_spi::bridge::{BridgeMessage, BridgeProtocol, BridgeSink, EndpointHealth, HealthState};
use networking_spi::http::{HttpClient, HttpRequest, HttpResponse, RequestTarget};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, SendState, redact};
use parking_lot::Mutex;
use url::Url;

use super::is_of_one_hop;

/// The most that is read of a response, in bytes, so that its connection can be used again.
const MAX_RESPONSE: usize = 64 << 10;

/// Statuses after which trying again makes sense. Missing credentials and permissions are among them: an operator can mend
/// them, and the message must not be lost meanwhile.
const RETRYABLE: &[u16] = &[401, 403, 407, 408, 421, 423, 425, 429, 500, 502, 503, 504, 507, 509];

/// A sink that posts each message, over any [`HttpClient`]. Targets are URLs, absolute or relative to a base.
///
/// The payload is the body, byte for byte; header fields are sent along, except those of connections and credentials. The
/// message's id is sent as `Idempotency-Key`, so that a peer can tell a message that it has had, and as `x-bridge-message-id`.
///
/// 2xx is success. 401, 403, 408, 425, 429, 5xx (but 501 and 505) and the like are tried again, obeying `Retry-After`;
/// every other status is final. Which are tried again can be configured.
pub struct HttpSink {
    client: Arc<dyn HttpClient>,
    base: Option<Url>,
    method: Method,
    headers: HeaderMap,
    retryable: BTreeSet<u16>,
    last: Mutex<Last>,
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
            retryable: RETRYABLE.iter().copied().collect(),
            last: Mutex::default(),
        }
    }

    /// Sets what relative targets are resolved against.
    pub fn with_base_url(mut self, base: Url) -> Self {
        self.base = Some(base);
        self
    }

    /// Sets the method, in place of `POST`.
    pub fn with_method(mut self, method: Method) -> Self {
        self.method = method;
        self
    }

    /// Adds a header to every request; it overrides the messages' own.
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

    /// Sets which statuses are tried again.
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
            // What is not a header in HTTP (Kafka allows any name and value) is left out.
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
            // The client makes errors of statuses itself.
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
                "the status is neither success nor error",
            )
            .with_status(response.status.as_u16())
            .with_send_state(SendState::Sent)
        });
        drain(response).await;
        Err(self.classified(error))
    }

    /// The status decides whether to try again; where there is none, the client does.
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

    async fn start(&self) -> Result<()> {
        if self.last.lock().stopped {
            return Err(NetworkError::closed("http_sink.start", "the sink"));
        }
        Ok(())
    }

    async fn deliver(&self, target: &str, message: BridgeMessage) -> Result<Option<String>> {
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
        Ok(())
    }

    /// How the latest delivery went; unknown before the first.
    async fn health(&self) -> EndpointHealth {
        let last = self.last.lock();
        if last.stopped {
            EndpointHealth::new(HealthState::Down).with_detail("it is stopped")
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

/// Reads what is left of a response. Whether that works does not change what the status said.
async fn drain(response: HttpResponse) {
    let _ = response.body.collect(MAX_RESPONSE).await;
}
