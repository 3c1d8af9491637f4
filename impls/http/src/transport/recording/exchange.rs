//! The recorded form of exchanges.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use networking_spi::error::ResultExt;
use networking_spi::http::{HttpRequest, HttpResponse, hop_by_hop};
use networking_spi::{NetworkError, Result};
use serde::{Deserialize, Serialize};

/// A request and its response. Exhaustive on purpose: it is the format of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedExchange {
    /// The request.
    pub request: RecordedRequest,
    /// The response.
    pub response: RecordedResponse,
}

/// A request without its secrets. Exhaustive on purpose: it is the format of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedRequest {
    /// The method.
    pub method: String,
    /// The URL.
    pub url: String,
    /// The headers, without hop-by-hop fields and `Accept-Encoding`.
    #[serde(default, skip_serializing_if = "RecordedHeaders::is_empty")]
    pub headers: RecordedHeaders,
    /// The body.
    #[serde(default, skip_serializing_if = "RecordedBody::is_empty")]
    pub body: RecordedBody,
}

/// A response without its secrets. Exhaustive on purpose: it is the format of the file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordedResponse {
    /// The status.
    pub status: u16,
    /// The headers, without hop-by-hop fields and `Accept-Encoding`.
    #[serde(default, skip_serializing_if = "RecordedHeaders::is_empty")]
    pub headers: RecordedHeaders,
    /// The body.
    #[serde(default, skip_serializing_if = "RecordedBody::is_empty")]
    pub body: RecordedBody,
    /// The trailers.
    #[serde(default, skip_serializing_if = "RecordedHeaders::is_empty")]
    pub trailers: RecordedHeaders,
}

/// Values by header name in lower case. Bytes are read as Latin-1. Exhaustive on purpose: it is the format of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RecordedHeaders(pub BTreeMap<String, Vec<String>>);

/// A body. Exhaustive on purpose: it is the format of the file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordedBody {
    /// No body.
    #[default]
    Empty,
    /// UTF-8 text.
    Text(String),
    /// Other bytes, in base64.
    Base64(String),
}

impl RecordedRequest {
    pub(super) fn new(request: &HttpRequest, url: String, body: &Bytes) -> Self {
        Self {
            method: request.method.as_str().to_owned(),
            url,
            headers: RecordedHeaders::of(&request.headers),
            body: RecordedBody::of(body),
        }
    }
}

impl RecordedResponse {
    /// `body`: the body of the response, which has been read.
    pub(super) fn new(response: &HttpResponse, body: &Bytes) -> Self {
        Self {
            status: response.status.as_u16(),
            headers: RecordedHeaders::of(&response.headers),
            body: RecordedBody::of(body),
            trailers: response.trailers.get().map(RecordedHeaders::of).unwrap_or_default(),
        }
    }

    /// The response as an HTTP response.
    ///
    /// # Errors
    /// `InvalidInput` naming the invalid field of the file.
    pub(super) fn to_http(&self, to_head: bool) -> Result<HttpResponse> {
        let status = StatusCode::from_u16(self.status)
            .map_err(|error| NetworkError::invalid_input("response.status", "is not a status").with_source(error))?;
        let mut response = HttpResponse::new(status);
        response.headers = self.headers.to_http("headers").in_field("response")?;
        let body = self.body.to_bytes().in_field("response")?;
        // Redaction or an edit of the file may have changed the length. The length of a response to HEAD is kept.
        if !to_head && !body.is_empty() && response.headers.contains_key(header::CONTENT_LENGTH) {
            response.headers.insert(header::CONTENT_LENGTH, body.len().into());
        }
        response.body = body.into();
        if !self.trailers.is_empty() {
            let trailers = self.trailers.to_http("trailers").in_field("response")?;
            response = response.with_trailers(trailers);
        }
        Ok(response)
    }

    pub(super) fn check(&self) -> Result<()> {
        self.to_http(false).map(drop)
    }
}

impl RecordedRequest {
    pub(super) fn check(&self) -> Result<()> {
        Method::from_bytes(self.method.as_bytes())
            .map_err(|error| NetworkError::invalid_input("request.method", "is not a method").with_source(error))?;
        self.headers.to_http("headers").in_field("request")?;
        self.body.to_bytes().map(drop).in_field("request")
    }
}

impl RecordedHeaders {
    fn of(headers: &HeaderMap) -> Self {
        let mut recorded: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers
            .iter()
            .filter(|(name, _)| !hop_by_hop::is_hop_by_hop(name) && **name != header::ACCEPT_ENCODING)
        {
            let text = value.as_bytes().iter().map(|byte| char::from(*byte)).collect();
            recorded.entry(name.as_str().to_owned()).or_default().push(text);
        }
        Self(recorded)
    }

    /// The values of a header, by its name in lower case.
    pub fn get(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether there are no headers.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `section`: the name of the field of the file.
    fn to_http(&self, section: &str) -> Result<HeaderMap> {
        let mut headers = HeaderMap::new();
        for (name, values) in &self.0 {
            let wrong = |what| NetworkError::invalid_input(format!("{section}.{name}"), what);
            let header = HeaderName::from_bytes(name.as_bytes()).map_err(|_| wrong("is not a header name"))?;
            for value in values {
                let bytes: Option<Vec<u8>> = value.chars().map(|char| u8::try_from(char).ok()).collect();
                let value = bytes
                    .and_then(|bytes| HeaderValue::from_bytes(&bytes).ok())
                    .ok_or_else(|| wrong("has characters that a header value cannot have"))?;
                headers.append(header.clone(), value);
            }
        }
        Ok(headers)
    }
}

impl RecordedBody {
    pub(super) fn of(body: &Bytes) -> Self {
        match std::str::from_utf8(body) {
            Ok("") => Self::Empty,
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(body)),
        }
    }

    /// Whether there is no body.
    pub fn is_empty(&self) -> bool {
        *self == Self::Empty
    }

    /// The text, if it is text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Empty | Self::Base64(_) => None,
        }
    }

    fn to_bytes(&self) -> Result<Bytes> {
        match self {
            Self::Empty => Ok(Bytes::new()),
            Self::Text(text) => Ok(Bytes::copy_from_slice(text.as_bytes())),
            Self::Base64(text) => STANDARD
                .decode(text)
                .map(Bytes::from)
                .map_err(|error| NetworkError::invalid_input("body.base64", "is not base64").with_source(error)),
        }
    }
}
