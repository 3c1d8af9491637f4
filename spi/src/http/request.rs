//! Requests.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, header};
use serde::Serialize;
use url::Url;

use super::{HttpBody, Multipart, RequestOptions, UploadProgress};
use crate::error::{NetworkError, Result};
use crate::redact;

/// The target of a request.
///
/// Exhaustive on purpose: a URL reference is absolute or relative (RFC 3986, section 4.1).
#[derive(Clone, PartialEq, Eq)]
pub enum RequestTarget {
    /// An absolute URL.
    Absolute(Url),
    /// A relative reference, which is resolved against the client's base URL (RFC 3986, section 5).
    Relative(String),
}

impl RequestTarget {
    /// Returns the URL. For clients without a base URL.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a relative reference.
    pub fn url(&self) -> Result<&Url> {
        match self {
            Self::Absolute(url) => Ok(url),
            Self::Relative(reference) => Err(NetworkError::invalid_input(
                "url",
                format!(
                    "{:?} is not an absolute URL, and the client has no base URL",
                    shown(reference)
                ),
            )),
        }
    }

    /// Resolves a relative reference against `base`. An absolute target is returned unchanged.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the reference cannot be parsed.
    pub fn resolve(self, base: &Url) -> Result<Self> {
        match self {
            Self::Absolute(_) => Ok(self),
            Self::Relative(reference) => base
                .join(&reference)
                .map(Self::Absolute)
                .map_err(|error| NetworkError::invalid_input("url", "is not a URL reference").with_source(error)),
        }
    }
}

impl From<Url> for RequestTarget {
    fn from(url: Url) -> Self {
        Self::Absolute(url)
    }
}

impl From<&str> for RequestTarget {
    fn from(text: &str) -> Self {
        match Url::parse(text) {
            Ok(url) => Self::Absolute(url),
            Err(_) => Self::Relative(text.to_owned()),
        }
    }
}

impl From<String> for RequestTarget {
    fn from(text: String) -> Self {
        match Url::parse(&text) {
            Ok(url) => Self::Absolute(url),
            Err(_) => Self::Relative(text),
        }
    }
}

impl fmt::Debug for RequestTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(url) => f.write_str(&redact::url(url)),
            Self::Relative(reference) => f.write_str(&shown(reference)),
        }
    }
}

/// Returns a reference without its query, fragment and user information.
fn shown(reference: &str) -> Cow<'_, str> {
    let without_query = |text: &str| text.split(['?', '#']).next().unwrap_or_default().len();
    match without_user(reference) {
        Cow::Borrowed(text) => text[..without_query(text)].into(),
        Cow::Owned(mut text) => {
            text.truncate(without_query(&text));
            text.into()
        }
    }
}

/// Returns a reference with its user information replaced. A URL that cannot be parsed is treated as a reference, and may
/// also contain credentials.
pub(super) fn without_user(reference: &str) -> Cow<'_, str> {
    let Some((before, rest)) = reference
        .split_once("//")
        .filter(|(before, _)| !before.contains(['?', '#']))
    else {
        return reference.into();
    };
    // A URL may fail to parse because its password contains `?` or `#`: then the user information ends at the last `@`.
    let end = if before.ends_with(':') {
        None
    } else {
        rest.find(['?', '#'])
    };
    match rest[..end.unwrap_or(rest.len())].rfind('@') {
        Some(at) => format!("{before}//{}@{}", redact::REDACTED, &rest[at + 1..]).into(),
        None => reference.into(),
    }
}

/// A request.
///
/// `extensions` has typed values for layers (a trace span, a tenant), which are not sent. Trailers cannot be sent.
///
/// User information in the URL (`https://user:password@host/`) is sent as an `Authorization` header with the Basic scheme (RFC
/// 7617), unless the request has that header, and never in the request line, in `Host` or in `Referer`. It is percent-decoded. A
/// redirect to another scheme, host or port is sent without it, and user information in a `Location` is ignored. RFC 9110, section
/// 4.2.4, deprecates it, because URLs are shown and stored in many places: prefer the header.
///
/// ```
/// use networking_spi::http::{HttpRequest, Method};
///
/// let request = HttpRequest::new(Method::POST, "https://example.com/orders")
///     .with_query("dry_run", "true").unwrap()
///     .with_json(&serde_json::json!({"item": 7})).unwrap();
/// assert_eq!(request.target.url().unwrap().query(), Some("dry_run=true"));
/// ```
#[must_use = "a request does nothing until a client sends it"]
#[non_exhaustive]
pub struct HttpRequest {
    /// The method.
    pub method: Method,
    /// The target.
    pub target: RequestTarget,
    /// The headers. Layers add a default header only if it is absent.
    pub headers: HeaderMap,
    /// The body.
    pub body: HttpBody,
    /// Options that override the configuration of the client.
    pub options: RequestOptions,
    /// Typed values for layers; not sent.
    pub extensions: Extensions,
}

impl HttpRequest {
    /// A request without headers and body.
    pub fn new(method: Method, target: impl Into<RequestTarget>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: HeaderMap::new(),
            body: HttpBody::empty(),
            options: RequestOptions::default(),
            extensions: Extensions::new(),
        }
    }

    /// Sets a header, and replaces its previous values.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name or value that HTTP does not allow.
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Result<Self>
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let (name, value) = header_pair(name, value)?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Appends a query parameter. Name and value are percent-encoded.
    ///
    /// # Errors
    /// Currently none. The `Result` is reserved for targets that cannot have a query.
    pub fn with_query(mut self, name: &str, value: &str) -> Result<Self> {
        match &mut self.target {
            RequestTarget::Absolute(url) => {
                url.query_pairs_mut().append_pair(name, value);
            }
            RequestTarget::Relative(reference) => {
                let pair: String = url::form_urlencoded::Serializer::new(String::new())
                    .append_pair(name, value)
                    .finish();
                // The query is inserted before the fragment.
                let (path, fragment) = match reference.split_once('#') {
                    Some((path, fragment)) => (path.to_owned(), format!("#{fragment}")),
                    None => (std::mem::take(reference), String::new()),
                };
                let separator = match path.split_once('?') {
                    None => "?",
                    Some((_, "")) => "",
                    Some(_) => "&",
                };
                *reference = format!("{path}{separator}{pair}{fragment}");
            }
        }
        Ok(self)
    }

    /// Appends several query parameters.
    ///
    /// # Errors
    /// Same as [`with_query`](Self::with_query).
    pub fn with_queries<N: AsRef<str>, V: AsRef<str>>(
        self,
        parameters: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self> {
        parameters.into_iter().try_fold(self, |request, (name, value)| {
            request.with_query(name.as_ref(), value.as_ref())
        })
    }

    /// Sets the body.
    pub fn with_body(mut self, body: impl Into<HttpBody>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body. Sets `Content-Type` if it is absent.
    ///
    /// # Errors
    /// [`Encode`](crate::ErrorKind::Encode) if the value cannot be encoded as JSON.
    pub fn with_json<T: Serialize + ?Sized>(mut self, value: &T) -> Result<Self> {
        let json = serde_json::to_vec(value).map_err(|error| {
            NetworkError::new(
                crate::ErrorKind::Encode,
                "http.request",
                "the body cannot be encoded as JSON",
            )
            .with_source(error)
        })?;
        self.body = json.into();
        self.headers
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
        Ok(self)
    }

    /// Sets an `application/x-www-form-urlencoded` body. Sets `Content-Type` if it is absent.
    pub fn with_form<N: AsRef<str>, V: AsRef<str>>(mut self, fields: impl IntoIterator<Item = (N, V)>) -> Self {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(fields)
            .finish();
        self.body = form.into();
        self.headers
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/x-www-form-urlencoded"));
        self
    }

    /// Sets a `multipart/form-data` body. Replaces `Content-Type`, which has the boundary.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for an invalid boundary.
    pub fn with_multipart(mut self, form: Multipart) -> Result<Self> {
        let (content_type, body) = form.encode()?;
        self.headers.insert(header::CONTENT_TYPE, content_type);
        self.body = body;
        Ok(self)
    }

    /// Reports the progress of the upload to `observer`, see [`HttpBody::with_progress`]. Set the body first.
    pub fn with_upload_progress(mut self, observer: impl Fn(UploadProgress) + Send + Sync + 'static) -> Self {
        self.body = self.body.with_progress(observer);
        self
    }

    /// Sets a bearer token. The header is marked as sensitive.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a token with characters that a header cannot have.
    pub fn with_bearer(mut self, token: &str) -> Result<Self> {
        let mut value = HeaderValue::try_from(format!("Bearer {token}"))
            .map_err(|_| NetworkError::invalid_input("token", "has characters that a header cannot have"))?;
        value.set_sensitive(true);
        self.headers.insert(header::AUTHORIZATION, value);
        Ok(self)
    }

    /// Sets the time limit of each attempt, including its body.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = Some(timeout);
        self
    }

    /// Sets the time limit of the whole call, including all attempts, the waits between them, and the body.
    pub fn with_total_timeout(mut self, timeout: Duration) -> Self {
        self.options.total_timeout = Some(timeout);
        self
    }

    /// Sets the options that `options` sets, which override the configuration of the client. Options that were set earlier are
    /// kept otherwise.
    pub fn with_options(mut self, options: RequestOptions) -> Self {
        self.options = self.options.merged(options);
        self
    }

    /// Returns the same request for another attempt; `None` if the body is a stream.
    pub fn try_clone(&self) -> Option<Self> {
        Some(Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: self.body.try_clone()?,
            options: self.options.clone(),
            extensions: self.extensions.clone(),
        })
    }

    /// Whether the request is idempotent: it has an idempotent method (RFC 9110, section 9.2.2) or an `Idempotency-Key`
    /// header. [`RequestOptions::idempotent`] overrides both.
    pub fn is_idempotent(&self) -> bool {
        self.options.idempotent.unwrap_or_else(|| {
            matches!(
                self.method,
                Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE | Method::TRACE
            ) || self.headers.contains_key("idempotency-key")
        })
    }
}

pub(super) fn header_pair<N, V>(name: N, value: V) -> Result<(HeaderName, HeaderValue)>
where
    N: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
{
    let name = name
        .try_into()
        .map_err(|_| NetworkError::invalid_input("header", "is not a header name"))?;
    let mut value: HeaderValue = value.try_into().map_err(|_| {
        NetworkError::invalid_input(
            format!("header.{name}"),
            "has characters that a header value cannot have",
        )
    })?;
    if redact::is_secret_header(&name) {
        value.set_sensitive(true);
    }
    Ok((name, value))
}

impl fmt::Debug for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpRequest")
            .field("method", &self.method)
            .field("target", &self.target)
            .field("headers", &redact::Headers(&self.headers))
            .field("body", &self.body)
            .field("options", &self.options)
            .finish_non_exhaustive()
    }
}
