//! Responses whose body is in memory.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use http::{Extensions, HeaderMap, StatusCode, Version};
use serde::de::DeserializeOwned;
use url::Url;

use super::{HttpResponse, Trailers, response};
use crate::error::{NetworkError, Result};
use crate::redact;

/// A response whose body is in memory. Unlike those of [`HttpResponse`], its methods do not consume it: the bytes, the text
/// and the JSON of one response can be read, in any order and more than once.
///
/// ```
/// # use networking_spi::prelude::*;
/// # async fn example(http: std::sync::Arc<dyn HttpClient>) -> Result<(), NetworkError> {
/// let response = http.get("https://api.example.com/data").await?.buffered().await?;
/// println!("{}: {} bytes", response.status, response.content().len());
/// let data: serde_json::Value = response.json()?;
/// println!("{data} was {}", response.text()?);
/// # Ok(()) }
/// ```
#[derive(Clone)]
#[non_exhaustive]
pub struct BufferedResponse {
    /// The status.
    pub status: StatusCode,
    /// The protocol version.
    pub version: Version,
    /// The headers.
    pub headers: HeaderMap,
    /// The URL of the response, after redirects; `None` if the backend does not know it.
    pub url: Option<Url>,
    /// The fields after the body.
    pub trailers: Trailers,
    /// Typed values from layers.
    pub extensions: Extensions,
    body: Bytes,
}

impl HttpResponse {
    /// Reads the whole body into memory, and returns a response that can be read as bytes, text and JSON more than once. The
    /// client's response size limit applies.
    ///
    /// # Errors
    /// Same as [`bytes`](Self::bytes).
    pub async fn buffered(mut self) -> Result<BufferedResponse> {
        let bytes = std::mem::take(&mut self.body).collect(usize::MAX).await?;
        Ok(BufferedResponse::new(self, bytes))
    }
}

impl BufferedResponse {
    fn new(response: HttpResponse, body: Bytes) -> Self {
        let HttpResponse {
            status,
            version,
            headers,
            url,
            trailers,
            extensions,
            ..
        } = response;
        Self {
            status,
            version,
            headers,
            url,
            trailers,
            extensions,
            body,
        }
    }

    /// Whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        self.status.is_success()
    }

    /// The bytes of the body.
    pub const fn content(&self) -> &Bytes {
        &self.body
    }

    /// The body as text, in the charset of [`HttpResponse::text`].
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) naming the charset if the body is not text in it.
    pub fn text(&self) -> Result<Cow<'_, str>> {
        response::decode_text(&self.headers, self.url.as_ref(), &self.body)
    }

    /// Decodes the body from JSON, as [`HttpResponse::json`] does.
    ///
    /// # Errors
    /// [`Decode`](crate::ErrorKind::Decode) if the body is not JSON for `T`.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T> {
        response::decode_json(self.status, &self.headers, self.url.as_ref(), &self.body)
    }

    /// Returns the response if its status is below 400.
    ///
    /// # Errors
    /// Those of [`HttpResponse::error_for_status`].
    pub fn error_for_status(self) -> Result<Self> {
        match self.status_error() {
            Some(error) => Err(error),
            None => Ok(self),
        }
    }

    /// Returns the error of [`error_for_status`](Self::error_for_status), without consuming the response.
    pub fn status_error(&self) -> Option<NetworkError> {
        response::status_error(
            self.status,
            &self.headers,
            self.url.as_ref(),
            self.extensions.get(),
            &self.body,
            true,
        )
    }

    /// Returns the response with its body to be read once.
    pub fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status).with_body(self.body);
        response.version = self.version;
        response.headers = self.headers;
        response.url = self.url;
        response.trailers = self.trailers;
        response.extensions = self.extensions;
        response
    }
}

impl From<BufferedResponse> for HttpResponse {
    fn from(response: BufferedResponse) -> Self {
        response.into_response()
    }
}

impl fmt::Debug for BufferedResponse {
    /// Prints only the length of the body: it may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BufferedResponse")
            .field("status", &self.status)
            .field("version", &self.version)
            .field("headers", &redact::Headers(&self.headers))
            .field("url", &self.url.as_ref().map(redact::url))
            .field("body_length", &self.body.len())
            .field("trailers", &self.trailers)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[tokio::test]
    async fn one_response_is_read_as_bytes_text_and_json_in_any_order() {
        let response = HttpResponse::new(StatusCode::OK)
            .with_header("content-type", "application/json; charset=iso-8859-1")
            .unwrap()
            .with_body(&b"{\"name\": \"Andr\xE9\"}"[..])
            .buffered()
            .await
            .unwrap();
        for _ in 0..2 {
            assert_eq!(response.json::<serde_json::Value>().unwrap()["name"], "André");
            assert_eq!(response.text().unwrap(), "{\"name\": \"André\"}");
            assert_eq!(response.content().len(), 17);
        }
        assert_eq!(response.json::<u8>().unwrap_err().kind(), ErrorKind::Decode);
        let again = response.clone().into_response();
        assert_eq!((again.status, again.headers.len()), (StatusCode::OK, 1));
        assert_eq!(again.text().await.unwrap(), "{\"name\": \"André\"}");
    }

    #[test]
    fn it_can_be_shared() {
        fn shared<T: Send + Sync + Clone>() {}
        shared::<BufferedResponse>();
    }
}
