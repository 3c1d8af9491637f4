//! Requests.

use std::fmt;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, header};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::headers::{self, IntoHeaders};
use super::{HttpBody, Multipart, RequestOptions, RequestTarget, UploadProgress, url_encoded};
use crate::error::Result;
use crate::{json, redact, validate};

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
///     .with_query([("dry_run", true)]).unwrap()
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
        let (name, value) = headers::pair(name, value)?;
        self.headers.insert(name, value);
        Ok(self)
    }

    /// Sets several headers, and replaces the previous values of their names. See [`IntoHeaders`].
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name or value that HTTP does not allow.
    pub fn with_headers(mut self, headers: impl IntoHeaders) -> Result<Self> {
        headers::replace(&mut self.headers, headers.into_headers()?);
        Ok(self)
    }

    /// Appends query parameters: a slice of pairs, a map, or a struct whose fields are the parameters. Names and values are
    /// percent-encoded. A `Vec` or slice becomes several parameters of one name, and `None` none. An array of a fixed length and a `null` of
    /// `serde_json::Value` are refused.
    ///
    /// ```
    /// use networking_spi::http::{HttpRequest, Method};
    ///
    /// #[derive(serde::Serialize)]
    /// struct Page { page: u32, tag: Vec<&'static str>, before: Option<u64> }
    ///
    /// let request = HttpRequest::new(Method::GET, "https://example.com/items")
    ///     .with_query([("q", "a b")])?
    ///     .with_query(&Page { page: 2, tag: vec!["x", "y"], before: None })?;
    /// assert_eq!(request.target.url()?.query(), Some("q=a+b&page=2&tag=x&tag=y"));
    /// # Ok::<(), networking_spi::NetworkError>(())
    /// ```
    ///
    /// # Errors
    /// [`Encode`](crate::ErrorKind::Encode) for a value that is not a list of pairs, a map or a struct, or that has nested
    /// ones.
    pub fn with_query(mut self, parameters: impl Serialize) -> Result<Self> {
        let query = url_encoded::encode(&parameters, "the query")?;
        self.target.append_query(&query);
        Ok(self)
    }

    /// Appends a query parameter. Name and value are percent-encoded.
    #[allow(clippy::needless_pass_by_value, reason = "numbers and texts are passed as they are")]
    pub fn with_query_pair(mut self, name: &str, value: impl ToString) -> Self {
        let pair: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair(name, &value.to_string())
            .finish();
        self.target.append_query(&pair);
        self
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
        let json = json::encode(value, "http.request", "the body")?;
        self.body = json.into();
        self.headers
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/json"));
        Ok(self)
    }

    /// Sets an `application/x-www-form-urlencoded` body: the fields of a struct, a map, or a slice of pairs, as in
    /// [`with_query`](Self::with_query). Sets `Content-Type` if it is absent.
    ///
    /// # Errors
    /// Same as [`with_query`](Self::with_query).
    pub fn with_form(mut self, fields: impl Serialize) -> Result<Self> {
        self.body = url_encoded::encode(&fields, "the form")?.into();
        self.headers
            .entry(header::CONTENT_TYPE)
            .or_insert(HeaderValue::from_static("application/x-www-form-urlencoded"));
        Ok(self)
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

    /// Sets the credentials of the Basic scheme (RFC 7617), in UTF-8. The header is marked as sensitive.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `username` or `password`, for a user name with a colon, and for
    /// control characters (RFC 7617, section 2).
    pub fn with_basic(mut self, username: &str, password: &str) -> Result<Self> {
        let has_control = |text: &str| text.chars().any(char::is_control);
        validate::ensure(
            !username.contains(':') && !has_control(username),
            "username",
            "must not have colons or control characters",
        )?;
        validate::ensure(!has_control(password), "password", "must not have control characters")?;
        let pair = STANDARD.encode(format!("{username}:{password}"));
        self.headers.insert(
            header::AUTHORIZATION,
            headers::secret(format!("Basic {pair}"), "password")?,
        );
        Ok(self)
    }

    /// Moves the user information of an absolute target into an `Authorization` header with the Basic scheme (RFC 7617), as
    /// clients must before they send a request. If the request has that header, the user information is only removed.
    ///
    /// ```
    /// use networking_spi::http::{HttpRequest, Method};
    ///
    /// let mut request = HttpRequest::new(Method::GET, "http://ada:p%40ss@example.com/");
    /// request.take_user_information().unwrap();
    /// assert_eq!(request.target.url().unwrap().as_str(), "http://example.com/");
    /// assert_eq!(request.headers["authorization"], "Basic YWRhOnBAc3M=");
    /// ```
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `url` for a user name with a colon, and for control
    /// characters.
    pub fn take_user_information(&mut self) -> Result<()> {
        let RequestTarget::Absolute(url) = &mut self.target else {
            return Ok(());
        };
        if url.username().is_empty() && url.password().is_none() {
            return Ok(());
        }
        if !self.headers.contains_key(header::AUTHORIZATION) {
            let username: Vec<u8> = percent_decode_str(url.username()).collect();
            let password: Vec<u8> = percent_decode_str(url.password().unwrap_or_default()).collect();
            let colon = username.contains(&b':');
            validate::ensure(!colon, "url", "must not have a user name with a colon")?;
            let control = username.iter().chain(&password).any(u8::is_ascii_control);
            validate::ensure(
                !control,
                "url",
                "must not have control characters in its user information",
            )?;
            let pair = STANDARD.encode([&username, b":".as_slice(), &password].concat());
            self.headers
                .insert(header::AUTHORIZATION, headers::secret(format!("Basic {pair}"), "url")?);
        }
        // Neither fails for a URL that has user information.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        Ok(())
    }

    /// Sets a bearer token. The header is marked as sensitive.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a token with characters that a header cannot have.
    pub fn with_bearer(mut self, token: &str) -> Result<Self> {
        self.headers.insert(
            header::AUTHORIZATION,
            headers::secret(format!("Bearer {token}"), "token")?,
        );
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
