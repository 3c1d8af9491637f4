//! The response behind an error: an error status, or a refused handshake of a WebSocket connection.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, StatusCode};
use serde::de::DeserializeOwned;

use super::{ProblemDetails, media_type, text};
use crate::error::{NetworkError, Result};
use crate::{json, redact};

/// The response of a peer that is reported as an error: the status, the headers, and the start of the body. It is a source of
/// the error of [`error_for_status`](super::HttpResponse::error_for_status), of
/// [`raise_for_status`](super::RequestOptions::raise_for_status), and of a refused handshake of a WebSocket connection
/// ([`WebSocketClient::connect`](crate::websocket::WebSocketClient::connect)).
///
/// `Debug` and `Display` do not show the body, because it may repeat secrets of the request.
///
/// ```
/// use networking_spi::NetworkError;
///
/// fn explanation(error: &NetworkError) -> Option<String> {
///     if let Some(problem) = error.problem() {
///         return problem.detail.or(problem.title);
///     }
///     Some(error.response()?.text().into_owned())
/// }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct ErrorResponse {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The start of the body, up to [`MAX_BODY`](Self::MAX_BODY) bytes; empty if the client had not received any of it.
    pub body: Bytes,
    /// Whether `body` is all of the body.
    pub complete: bool,
}

impl ErrorResponse {
    /// The largest number of bytes that are kept of the body.
    pub const MAX_BODY: usize = 64 << 10;

    /// A response with the first [`MAX_BODY`](Self::MAX_BODY) bytes of `body`, which is the whole body.
    pub fn new(status: StatusCode, headers: HeaderMap, mut body: Bytes) -> Self {
        let complete = body.len() <= Self::MAX_BODY;
        body.truncate(Self::MAX_BODY);
        Self {
            status,
            headers,
            body,
            complete,
        }
    }

    /// Sets whether the body is the whole body.
    pub fn with_complete(mut self, complete: bool) -> Self {
        self.complete = complete;
        self
    }

    /// The response that is a source of this error, if there is one.
    pub fn of<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        let mut cause = Some(error);
        while let Some(current) = cause {
            if let Some(response) = current.downcast_ref() {
                return Some(response);
            }
            cause = current.source();
        }
        None
    }

    /// A header, if it is there and visible ASCII.
    pub fn header(&self, name: impl Into<HeaderName>) -> Option<&str> {
        self.headers.get(name.into())?.to_str().ok()
    }

    /// The body as text. Bytes that are not text in its charset become `U+FFFD`, also a character that is cut off.
    pub fn text(&self) -> Cow<'_, str> {
        text::decode_ref(&self.headers, &self.body).unwrap_or_else(|_| String::from_utf8_lossy(&self.body))
    }

    /// Decodes the body from JSON.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) if the body is not JSON for `T`, or is not [`complete`](Self::complete).
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        match text::decode_ref(&self.headers, &self.body) {
            Ok(text) => json::decode(text.as_bytes(), OPERATION, WHAT),
            Err(_) => json::decode(&self.body, OPERATION, WHAT),
        }
    }

    /// The problem that the server reports, if the body is `application/problem+json` (RFC 9457).
    pub fn problem(&self) -> Option<ProblemDetails> {
        let is_problem = media_type::of(&self.headers).eq_ignore_ascii_case("application/problem+json");
        is_problem.then(|| self.json().ok()).flatten()
    }
}

const OPERATION: &str = "http.response";
const WHAT: &str = "the body of the error response";

impl fmt::Display for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let more = if self.complete { "" } else { " or more" };
        write!(
            f,
            "the peer answered {} with {} bytes{more}",
            self.status,
            self.body.len()
        )
    }
}

impl fmt::Debug for ErrorResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErrorResponse")
            .field("status", &self.status)
            .field("headers", &redact::Headers(&self.headers))
            .field("body_length", &self.body.len())
            .field("complete", &self.complete)
            .finish()
    }
}

impl Error for ErrorResponse {}

impl NetworkError {
    /// The response that this error reports, if there is one: the [`ErrorResponse`] among its sources.
    pub fn response(&self) -> Option<&ErrorResponse> {
        ErrorResponse::of(self)
    }

    /// The problem that the server reports in [`response`](Self::response) (RFC 9457), if it reports one.
    pub fn problem(&self) -> Option<ProblemDetails> {
        self.response()?.problem()
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, header};
    use serde_json::Value;

    use super::*;

    fn response(content_type: &'static str, body: &'static str) -> ErrorResponse {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        ErrorResponse::new(StatusCode::BAD_REQUEST, headers, Bytes::from_static(body.as_bytes()))
    }

    #[test]
    fn only_problem_json_is_a_problem() {
        let body = r#"{"title": "Out of credit"}"#;
        for (content_type, is_problem) in [
            ("application/problem+json", true),
            ("Application/Problem+JSON; charset=utf-8", true),
            ("application/json", false),
            ("application/problem+xml", false),
            ("text/plain; x=application/problem+json", false),
        ] {
            let problem = response(content_type, body).problem();
            assert_eq!(problem.is_some(), is_problem, "{content_type}");
        }
        for body in ["", "[]", "7", "{", "\"text\""] {
            assert_eq!(response("application/problem+json", body).problem(), None, "{body}");
        }
    }

    #[test]
    fn the_body_is_bounded_and_never_printed() {
        let long = Bytes::from(vec![b'x'; ErrorResponse::MAX_BODY + 1]);
        let cut = ErrorResponse::new(StatusCode::BAD_REQUEST, HeaderMap::new(), long);
        assert_eq!((cut.body.len(), cut.complete), (ErrorResponse::MAX_BODY, false));
        let secret = response("application/json", r#"{"sent": "hunter2"}"#);
        assert!(!format!("{secret} {secret:?}").contains("hunter2"));
        assert_eq!(secret.json::<Value>().unwrap()["sent"], "hunter2");
        let error = secret.json::<Vec<u8>>().unwrap_err();
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn text_is_decoded_and_never_fails() {
        assert_eq!(response("text/plain", "\u{FEFF}naïve").text(), "naïve");
        let mut latin = response("text/plain; charset=iso-8859-1", "");
        latin.body = Bytes::from_static(b"caf\xE9");
        assert_eq!(latin.text(), "café");
        let mut cut = response("text/plain", "");
        cut.body = Bytes::from_static(b"caf\xC3");
        assert_eq!(cut.text(), "caf\u{FFFD}");
    }
}
