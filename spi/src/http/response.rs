//! Responses.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Extensions, HeaderMap, StatusCode, Version, header};
use serde::de::DeserializeOwned;
use url::{Position, Url};

use super::trailers::Ending;
use super::{Attempts, ByteStream, ErrorResponse, HttpBody, Trailers, status, text};
use crate::error::{ErrorKind, NetworkError, Result, Retryability, SendState, context};
use crate::{json, redact};

/// A response. Read its body with one of [`bytes`](Self::bytes), [`text`](Self::text), [`json`](Self::json) and
/// [`into_stream`](Self::into_stream). Dropping the response aborts the transfer.
#[non_exhaustive]
pub struct HttpResponse {
    /// The status.
    pub status: StatusCode,
    /// The protocol version.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The URL of the response, after redirects; `None` if the backend does not know it.
    pub url: Option<Url>,
    /// The body.
    pub body: HttpBody,
    /// The fields after the body. They are known when the body has been read to its end.
    pub trailers: Trailers,
    /// Typed values from layers.
    pub extensions: Extensions,
}

impl HttpResponse {
    /// A response without headers and body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            version: Version::HTTP_11,
            headers: HeaderMap::new(),
            url: None,
            body: HttpBody::empty(),
            trailers: Trailers::none(),
            extensions: Extensions::new(),
        }
    }

    /// Sets a header, and replaces its previous values.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a name or value that HTTP does not allow.
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Result<Self>
    where
        N: TryInto<http::HeaderName>,
        V: TryInto<http::HeaderValue>,
    {
        let (name, value) = super::headers::pair(name, value)?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Sets the body.
    pub fn with_body(mut self, body: impl Into<HttpBody>) -> Self {
        self.body = body.into();
        self
    }

    /// Adds trailers after the current body, for tests and in-memory clients: set the body before. They are known when the body has
    /// been read to its end. See [`Trailers`] for the fields that are dropped.
    pub fn with_trailers(mut self, fields: HeaderMap) -> Self {
        let trailers = Trailers::pending();
        self.trailers = trailers.clone();
        if self.body.is_empty() {
            trailers.set(fields);
        } else {
            let rest = Some((self.body.into_stream(), fields));
            // A body with trailers does not announce its length.
            self.body = HttpBody::stream(Ending { rest, trailers }.boxed(), None);
        }
        self
    }

    /// Sets a JSON body and its `Content-Type`.
    ///
    /// # Errors
    /// [`Encode`](ErrorKind::Encode) if the value cannot be encoded as JSON.
    pub fn with_json<T: serde::Serialize + ?Sized>(self, value: &T) -> Result<Self> {
        let json = json::encode(value, "http.response", "the body")?;
        self.with_body(json)
            .with_header(header::CONTENT_TYPE, "application/json")
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// The delay in `Retry-After`, if it is a number of seconds (RFC 9110, section 10.2.3). The date form needs a clock: the
    /// retry layer evaluates it.
    pub fn retry_after_seconds(&self) -> Option<Duration> {
        retry_after_seconds(&self.headers)
    }

    /// Returns the response if its status is below 400.
    ///
    /// [`NetworkError::response`] of the error has the headers and the start of the body, and [`NetworkError::problem`] the
    /// problem that the server reports (RFC 9457). The body is the part of it that is in memory: that of a
    /// [buffered](Self::buffered) response, or what the client [read ahead](HttpBody::read_ahead), as the standard client of
    /// `networking-http` does with error responses. Nothing is received here.
    ///
    /// # Errors
    /// [`RateLimited`](ErrorKind::RateLimited) for 429, [`Authentication`](ErrorKind::Authentication) for 401 and 407,
    /// [`PermissionDenied`](ErrorKind::PermissionDenied) for 403, [`NotFound`](ErrorKind::NotFound) for 404 and 410,
    /// [`Status`](ErrorKind::Status) for every other 4xx and 5xx. Each error has the [status](NetworkError::status), so
    /// that `is_a(ErrorKind::Status)` is true for all of them.
    pub fn error_for_status(self) -> Result<Self> {
        match self.status_error() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// Returns the error of [`error_for_status`](Self::error_for_status), without consuming the response.
    pub fn status_error(&self) -> Option<NetworkError> {
        let complete = self.body.is_in_memory();
        status_error(
            self.status,
            &self.headers,
            self.url.as_ref(),
            self.extensions.get(),
            self.body.ahead(),
            complete,
        )
    }

    /// Returns the next chunk of the body, as it arrives; `None` after the end.
    ///
    /// Cancel safety: if the future is dropped, no bytes are lost.
    ///
    /// ```
    /// # use networking_spi::prelude::*;
    /// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
    /// let mut response = http.get("https://example.com/large").await?;
    /// while let Some(chunk) = response.chunk().await? {
    ///     println!("{} bytes", chunk.len());
    /// }
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// Same as [`bytes`](Self::bytes).
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.body.chunk().await
    }

    /// Reads the whole body. The client's response size limit applies.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge), [`TruncatedBody`](ErrorKind::TruncatedBody), [`Timeout`](ErrorKind::Timeout)
    /// and connection errors of the transfer.
    pub async fn bytes(self) -> Result<Bytes> {
        self.body.collect(usize::MAX).await
    }

    /// Reads the whole body as text. The charset is that of the byte order mark, else the `charset` of the `Content-Type`, else
    /// UTF-8; a label that is not known is ignored. The byte order mark is not part of the text.
    ///
    /// UTF-8, UTF-16, ISO-8859-1 and windows-1252 are known; with the feature `charset`, all of the WHATWG Encoding standard.
    ///
    /// ```
    /// use networking_spi::http::{HttpResponse, StatusCode};
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> networking_spi::Result<()> {
    /// let response = HttpResponse::new(StatusCode::OK)
    ///     .with_header("content-type", "text/plain; charset=iso-8859-1")?
    ///     .with_body(&b"caf\xE9"[..]);
    /// assert_eq!(response.text().await?, "café");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Decode`](ErrorKind::Decode) naming the charset if the body is not text in it, and the errors of [`bytes`](Self::bytes).
    pub async fn text(self) -> Result<String> {
        let Self { url, body, headers, .. } = self;
        let bytes = body.collect(usize::MAX).await?;
        text::decode(&headers, bytes.into()).map_err(|error| not_text(error.charset, url.as_ref()))
    }

    /// Reads the whole body and decodes it from JSON. The charset is that of [`text`](Self::text), and a byte order mark is
    /// skipped; JSON without either is UTF-8 (RFC 8259, section 8.1).
    ///
    /// # Errors
    /// [`Decode`](ErrorKind::Decode) if the body is not JSON for `T`, and the errors of [`bytes`](Self::bytes). The context has
    /// the [`LINE`](context::LINE) and [`COLUMN`](context::COLUMN), the [`STATUS`](context::STATUS) and the
    /// [`CONTENT_TYPE`](context::CONTENT_TYPE), so that a page of HTML is recognised. The text of the parser, which may have
    /// values of the body, is the source of the error.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T> {
        let Self {
            status,
            url,
            body,
            headers,
            ..
        } = self;
        let bytes = body.collect(usize::MAX).await?;
        decode_json(status, &headers, url.as_ref(), &bytes)
    }

    /// Returns the chunks of the body as they arrive.
    pub fn into_stream(self) -> ByteStream {
        self.body.into_stream()
    }
}

/// The largest number of characters of a received value that a message shows.
const MAX_SHOWN: usize = 200;

/// The error of a status from 400.
///
/// `attempts`: the number of attempts, if the client has retried the request in vain. `ahead`: the start of the body that was read.
/// `complete`: whether that is the whole body.
pub(super) fn status_error(
    status: StatusCode,
    headers: &HeaderMap,
    url: Option<&Url>,
    attempts: Option<&Attempts>,
    ahead: &[u8],
    complete: bool,
) -> Option<NetworkError> {
    if !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    let kind = match status.as_u16() {
        401 | 407 => ErrorKind::Authentication,
        403 => ErrorKind::PermissionDenied,
        404 | 410 => ErrorKind::NotFound,
        429 => ErrorKind::RateLimited,
        _ => ErrorKind::Status,
    };
    let retryability = if status::is_transient(status) {
        retry_after_seconds(headers).map_or(Retryability::Now, Retryability::After)
    } else {
        Retryability::Never
    };
    // The error must not make the caller retry immediately as well.
    let retryability = attempts.map_or(retryability, |_| retryability.exhausted());
    let reason = status.canonical_reason().unwrap_or("error status");
    let mut error = NetworkError::new(kind, "http.request", reason)
        .with_status(status.as_u16())
        .with_send_state(SendState::Sent)
        .with_retryability(retryability)
        .with_attempts(attempts.map_or(1, |attempts| attempts.0));
    if let Some(url) = url {
        error = error.with_context(context::URL, redact::url(url));
    }
    let body = Bytes::copy_from_slice(&ahead[..ahead.len().min(ErrorResponse::MAX_BODY)]);
    let complete = complete && body.len() == ahead.len();
    let response = ErrorResponse::new(status, headers.clone(), body).with_complete(complete);
    // The title is the same for all problems of a type. The detail may repeat what was sent.
    if let Some(title) = response.problem().and_then(|problem| problem.title) {
        error = error.with_context(context::PROBLEM, shown(&title));
    }
    Some(error.with_source(response))
}

fn retry_after_seconds(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim();
    value.parse().ok().map(Duration::from_secs)
}

pub(super) fn decode_text<'b>(headers: &HeaderMap, url: Option<&Url>, body: &'b [u8]) -> Result<Cow<'b, str>> {
    text::decode_ref(headers, body).map_err(|error| not_text(error.charset, url))
}

pub(super) fn decode_json<T: DeserializeOwned>(
    status: StatusCode,
    headers: &HeaderMap,
    url: Option<&Url>,
    body: &[u8],
) -> Result<T> {
    let decoded = if text::is_utf8(headers, body) {
        json::decode(text::without_mark(body), OPERATION, "the body")
    } else {
        json::decode(decode_text(headers, url, body)?.as_bytes(), OPERATION, "the body")
    };
    decoded.map_err(|error| {
        let mut error = of_host(error, url).with_context(context::STATUS, status.as_u16().to_string());
        if let Some(content_type) = headers.get(header::CONTENT_TYPE) {
            let content_type = shown(&String::from_utf8_lossy(content_type.as_bytes()));
            error = error.with_context(context::CONTENT_TYPE, content_type);
        }
        error
    })
}

const OPERATION: &str = "http.response";

fn not_text(charset: &'static str, url: Option<&Url>) -> NetworkError {
    let error = NetworkError::new(ErrorKind::Decode, OPERATION, "the body is not text in its charset")
        .with_send_state(SendState::Sent)
        .with_context(context::REASON, "charset");
    of_host(error, url).with_context(context::CHARSET, charset)
}

fn of_host(error: NetworkError, url: Option<&Url>) -> NetworkError {
    match url {
        Some(url) => error.with_context(context::HOST, &url[Position::BeforeHost..Position::AfterPort]),
        None => error,
    }
}

/// Text of the peer, on one line and not too long.
fn shown(text: &str) -> String {
    let visible = |char: char| if char.is_control() { ' ' } else { char };
    text.chars().map(visible).take(MAX_SHOWN).collect()
}

impl fmt::Debug for HttpResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpResponse")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("headers", &redact::Headers(&self.headers))
            .field("url", &self.url.as_ref().map(redact::url))
            .field("body", &self.body)
            .field("trailers", &self.trailers)
            .finish_non_exhaustive()
    }
}
