//! Canned replies.

use std::fmt;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use networking_spi::http::{HttpBody, HttpResponse};
use networking_spi::{ErrorKind, NetworkError, Result, SendState, redact};
use serde::Serialize;

/// A canned reply of a [`MemoryHttpClient`](super::MemoryHttpClient): a response, an error, or no response.
///
/// A reply that no server can send fails the call with [`InvalidInput`](ErrorKind::InvalidInput): one whose status is 1xx (field
/// `reply.status`; RFC 9110 section 15.2), or whose `Content-Length` is not the length of its body (field `reply.content-length`;
/// RFC 9112 section 6.3). The response to HEAD and those with status 204 and 304 may announce a length without a body.
///
/// ```
/// use std::time::Duration;
/// use networking_http::Reply;
/// use networking_spi::ErrorKind;
/// use networking_spi::http::StatusCode;
///
/// let busy = Reply::new(StatusCode::SERVICE_UNAVAILABLE).with_header("retry-after", "2")?;
/// let slow = Reply::ok().with_body("late").with_delay(Duration::from_secs(5));
/// let down = Reply::error(ErrorKind::ConnectionRefused);
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Clone)]
pub struct Reply {
    delay: Duration,
    outcome: Outcome,
}

#[derive(Clone)]
enum Outcome {
    Respond(Box<Response>),
    Fail(Arc<dyn Fn() -> NetworkError + Send + Sync>),
    Hang,
}

#[derive(Clone, Default)]
struct Response {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
    trailers: HeaderMap,
    /// The body fails after this many bytes.
    truncate_at: Option<usize>,
}

impl Reply {
    /// A response without headers and body.
    pub fn new(status: StatusCode) -> Self {
        let response = Response {
            status,
            ..Response::default()
        };
        Self {
            delay: Duration::ZERO,
            outcome: Outcome::Respond(Box::new(response)),
        }
    }

    /// A response of status 200.
    pub fn ok() -> Self {
        Self::new(StatusCode::OK)
    }

    /// An error of `kind`, with the default retryability and send state of the kind.
    pub fn error(kind: ErrorKind) -> Self {
        Self::error_with(move || NetworkError::new(kind, "http.request", "the error of a canned reply"))
    }

    /// The error that `make` returns.
    pub fn error_with(make: impl Fn() -> NetworkError + Send + Sync + 'static) -> Self {
        Self {
            delay: Duration::ZERO,
            outcome: Outcome::Fail(Arc::new(make)),
        }
    }

    /// No response: the request is pending until the caller drops it.
    pub fn hang() -> Self {
        Self {
            delay: Duration::ZERO,
            outcome: Outcome::Hang,
        }
    }

    /// Waits for `delay` on tokio's clock before the reply.
    pub fn with_delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Adds a header. Has no effect unless the reply is a response.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a name or value that HTTP does not allow.
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self> {
        let (header, value) = field("header", name, value)?;
        if let Outcome::Respond(response) = &mut self.outcome {
            response.headers.append(header, value);
        }
        Ok(self)
    }

    /// Adds a [trailer](networking_spi::http::Trailers), which is known when the body has been read to its end. Has no effect unless
    /// the reply is a response.
    ///
    /// ```
    /// use networking_http::{MemoryHttpClient, Reply};
    /// use networking_spi::http::Method;
    /// use networking_spi::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), NetworkError> {
    /// let http = MemoryHttpClient::new();
    /// http.route(Method::POST, "/grpc.Health/Check", Reply::ok().with_body("...").with_trailer("grpc-status", "5")?)?;
    ///
    /// let response = http.post("http://api.test/grpc.Health/Check").await?.buffered().await?;
    /// assert_eq!(response.trailers.get().unwrap()["grpc-status"], "5");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a name or value that HTTP does not allow.
    pub fn with_trailer(mut self, name: &str, value: &str) -> Result<Self> {
        let (name, value) = field("trailer", name, value)?;
        if let Outcome::Respond(response) = &mut self.outcome {
            response.trailers.append(name, value);
        }
        Ok(self)
    }

    /// Sets the body. Has no effect unless the reply is a response.
    pub fn with_body(mut self, body: impl Into<Bytes>) -> Self {
        if let Outcome::Respond(response) = &mut self.outcome {
            response.body = body.into();
        }
        self
    }

    /// Sets a JSON body and its `Content-Type`.
    ///
    /// # Errors
    /// [`Encode`](ErrorKind::Encode) if the value cannot be encoded as JSON.
    pub fn with_json<T: Serialize + ?Sized>(self, value: &T) -> Result<Self> {
        let json = serde_json::to_vec(value).map_err(|error| {
            NetworkError::new(ErrorKind::Encode, "http.reply", "the body cannot be encoded as JSON").with_source(error)
        })?;
        self.with_header(header::CONTENT_TYPE.as_str(), "application/json")
            .map(|reply| reply.with_body(json))
    }

    /// Makes the body fail with `TruncatedBody` after this many bytes.
    pub fn with_truncated_body(mut self, after: usize) -> Self {
        if let Outcome::Respond(response) = &mut self.outcome {
            response.truncate_at = Some(after);
        }
        self
    }

    pub(super) async fn answer(self, head: bool) -> Result<HttpResponse> {
        if let Outcome::Respond(response) = &self.outcome {
            response.check(head)?;
        }
        if !self.delay.is_zero() {
            tokio::time::sleep(self.delay).await;
        }
        match self.outcome {
            Outcome::Respond(response) => Ok(response.into_http()),
            Outcome::Fail(make) => Err(make()),
            Outcome::Hang => pending().await,
        }
    }
}

impl Default for Reply {
    fn default() -> Self {
        Self::ok()
    }
}

impl Response {
    /// Refuses what no server can send as a final response: a status 1xx, and a `Content-Length` that is not that of the body.
    fn check(&self, head: bool) -> Result<()> {
        if self.status.is_informational() {
            let message = format!("{} is not a final response", self.status.as_u16());
            return Err(NetworkError::invalid_input("reply.status", message));
        }
        let without_body = head || matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        for value in self.headers.get_all(header::CONTENT_LENGTH) {
            let announced = value.to_str().ok().and_then(|value| value.parse::<usize>().ok());
            let matches = match announced {
                Some(length) => length == self.body.len() || without_body && self.body.is_empty(),
                None => false,
            };
            if !matches {
                let message = format!(
                    "announces {value:?}, but the body has {} bytes; `with_truncated_body` cuts a body",
                    self.body.len()
                );
                return Err(NetworkError::invalid_input("reply.content-length", message));
            }
        }
        Ok(())
    }

    fn into_http(self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status);
        response.headers = self.headers;
        response.body = match self.truncate_at {
            None => self.body.into(),
            Some(after) => {
                let start = self.body.slice(..after.min(self.body.len()));
                let error = NetworkError::new(
                    ErrorKind::TruncatedBody,
                    "http.request",
                    "the body ended before its announced length",
                );
                let chunks = [Ok(start), Err(error.with_send_state(SendState::Sent))];
                HttpBody::stream(stream::iter(chunks).boxed(), Some(self.body.len() as u64))
            }
        };
        if self.trailers.is_empty() {
            response
        } else {
            response.with_trailers(self.trailers)
        }
    }
}

/// A field of a header or trailer section. `section` names it in errors.
fn field(section: &str, name: &str, value: &str) -> Result<(HeaderName, HeaderValue)> {
    let header = HeaderName::try_from(name)
        .map_err(|_| NetworkError::invalid_input(section.to_owned(), format!("is not a {section} name")))?;
    let value = HeaderValue::try_from(value)
        .map_err(|_| NetworkError::invalid_input(format!("{section}.{name}"), format!("is not a {section} value")))?;
    Ok((header, value))
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("Reply");
        shown.field("delay", &self.delay);
        match &self.outcome {
            Outcome::Respond(response) => shown
                .field("status", &response.status)
                .field("headers", &redact::Headers(&response.headers))
                .field("trailers", &redact::Headers(&response.trailers))
                .field("body_bytes", &response.body.len()),
            Outcome::Fail(make) => shown.field("error", &make()),
            Outcome::Hang => shown.field("hang", &true),
        };
        shown.finish()
    }
}
