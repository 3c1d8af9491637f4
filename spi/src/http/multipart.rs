//! `multipart/form-data` (RFC 7578), encoded as browsers encode it.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::body::Replay;
use super::headers;
use super::{BodySource, ByteStream, HttpBody};
use crate::error::{NetworkError, Result, ResultExt};
use crate::redact;
use crate::validate;

/// The longest boundary that RFC 2046 allows.
const MAX_BOUNDARY: usize = 70;

/// A `multipart/form-data` form of named parts: text fields, bytes, files, streams.
///
/// The encoded body has a `Content-Length` if the length of every part is known. Retries and redirects can send it again
/// if every part can be sent again. Parts are not copied, and are not read before they are sent.
///
/// ```
/// use networking_spi::http::{HttpRequest, Method, Multipart, Part};
///
/// let form = Multipart::new()
///     .text("title", "Second quarter")
///     .part("report", Part::bytes("a;b\n1;2\n").with_file_name("q2.csv").with_content_type("text/csv")?);
/// let request = HttpRequest::new(Method::POST, "https://example.com/reports").with_multipart(form)?;
///
/// assert!(request.headers["content-type"].to_str().unwrap().starts_with("multipart/form-data; boundary="));
/// assert!(request.body.length().is_some());
/// assert!(request.body.try_clone().is_some(), "it can be retried");
/// # Ok::<(), networking_spi::NetworkError>(())
/// ```
#[derive(Debug, Default)]
#[must_use = "a form does nothing until it is the body of a request"]
pub struct Multipart {
    parts: Vec<(String, Part)>,
    boundary: Option<String>,
}

impl Multipart {
    /// A form without parts.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a text field. The text is sent unchanged, in UTF-8.
    pub fn text(self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.part(name, Part::text(value))
    }

    /// Adds a part. Several parts may have the same name.
    pub fn part(mut self, name: impl Into<String>, part: impl Into<Part>) -> Self {
        self.parts.push((name.into(), part.into()));
        self
    }

    /// Sets the boundary, which is random by default. For tests that compare whole bodies.
    pub fn with_boundary(mut self, boundary: impl Into<String>) -> Self {
        self.boundary = Some(boundary.into());
        self
    }

    /// Returns the value of `Content-Type`, and the body.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `multipart.boundary` if the boundary that was set is
    /// invalid (RFC 2046), or occurs in a part that is in memory.
    pub fn encode(self) -> Result<(HeaderValue, HttpBody)> {
        let boundary = match self.boundary {
            Some(boundary) => {
                check_boundary(&boundary, &self.parts)?;
                boundary
            }
            None => random_boundary(),
        };
        let content_type = content_type(&boundary)?;

        let mut segments = Vec::with_capacity(self.parts.len() * 2 + 1);
        let mut before = String::new();
        for (name, part) in self.parts {
            before.push_str("--");
            before.push_str(&boundary);
            before.push_str("\r\n");
            let mut head = std::mem::take(&mut before).into_bytes();
            part.write_head(&name, &mut head);
            segments.push(HttpBody::from(head));
            segments.push(part.body);
            before.push_str("\r\n");
        }
        before.push_str("--");
        before.push_str(&boundary);
        before.push_str("--\r\n");
        segments.push(HttpBody::from(before));
        Ok((content_type, join(segments)))
    }
}

/// One part of a [`Multipart`] form: a body with its headers.
pub struct Part {
    file_name: Option<String>,
    headers: HeaderMap,
    body: HttpBody,
}

impl Part {
    /// Text, in UTF-8.
    pub fn text(value: impl Into<String>) -> Self {
        Self::body(value.into())
    }

    /// Bytes.
    pub fn bytes(value: impl Into<Bytes>) -> Self {
        Self::body(value.into())
    }

    /// Any body. A [source](HttpBody::source) can be sent again in a retry, a [stream](HttpBody::stream) cannot.
    pub fn body(body: impl Into<HttpBody>) -> Self {
        Self {
            file_name: None,
            headers: HeaderMap::new(),
            body: body.into(),
        }
    }

    /// Sets the file name. The content type of a part with a file name defaults to `application/octet-stream`.
    pub fn with_file_name(mut self, name: impl Into<String>) -> Self {
        self.file_name = Some(name.into());
        self
    }

    /// Sets the `Content-Type` of the part.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for characters that a header cannot have.
    pub fn with_content_type(self, content_type: &str) -> Result<Self> {
        self.with_header(header::CONTENT_TYPE, content_type)
    }

    /// Sets a header of the part, and replaces its previous values.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a name or value that HTTP does not allow, and for
    /// `Content-Disposition`, which is generated from the name and the file name.
    pub fn with_header<N, V>(mut self, name: N, value: V) -> Result<Self>
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        let (name, value) = headers::pair(name, value).in_field("multipart")?;
        validate::ensure(
            name != header::CONTENT_DISPOSITION,
            "multipart.header.content-disposition",
            "is generated from the name and file name of the part",
        )?;
        self.headers.insert(name, value);
        Ok(self)
    }

    fn write_head(&self, name: &str, out: &mut Vec<u8>) {
        out.extend_from_slice(b"Content-Disposition: form-data; name=\"");
        escape(&with_crlf(name), out);
        out.push(b'"');
        if let Some(file_name) = &self.file_name {
            out.extend_from_slice(b"; filename=\"");
            escape(file_name, out);
            out.push(b'"');
        }
        out.extend_from_slice(b"\r\n");
        if self.file_name.is_some() && !self.headers.contains_key(header::CONTENT_TYPE) {
            out.extend_from_slice(b"Content-Type: application/octet-stream\r\n");
        }
        for (name, value) in &self.headers {
            let name = if name == header::CONTENT_TYPE {
                "Content-Type"
            } else {
                name.as_str()
            };
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b": ");
            out.extend_from_slice(value.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"\r\n");
    }
}

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part")
            .field("file_name", &self.file_name)
            .field("headers", &redact::Headers(&self.headers))
            .field("body", &self.body)
            .finish()
    }
}

/// Escapes exactly the bytes that the HTML standard escapes in names and file names.
fn escape(text: &str, out: &mut Vec<u8>) {
    for byte in text.bytes() {
        match byte {
            b'"' => out.extend_from_slice(b"%22"),
            b'\r' => out.extend_from_slice(b"%0D"),
            b'\n' => out.extend_from_slice(b"%0A"),
            byte => out.push(byte),
        }
    }
}

/// Converts every line break to CRLF, as the HTML standard requires for field names.
fn with_crlf(text: &str) -> String {
    text.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n")
}

fn content_type(boundary: &str) -> Result<HeaderValue> {
    // A boundary with characters that a token cannot have must be quoted.
    let bare = boundary
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"'+_-.".contains(&byte));
    let quote = if bare { "" } else { "\"" };
    HeaderValue::try_from(format!("multipart/form-data; boundary={quote}{boundary}{quote}"))
        .map_err(|_| NetworkError::invalid_input("multipart.boundary", "is not a valid boundary"))
}

fn check_boundary(boundary: &str, parts: &[(String, Part)]) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(&byte);
    let well_formed =
        (1..=MAX_BOUNDARY).contains(&boundary.len()) && boundary.bytes().all(allowed) && !boundary.ends_with(' ');
    validate::ensure(
        well_formed,
        "multipart.boundary",
        "must have 1 to 70 letters, digits or '()+_,-./:=? and no space at its end",
    )?;
    let delimiter = format!("--{boundary}");
    let occurs = parts.iter().filter_map(|(_, part)| part.body.as_bytes()).any(|bytes| {
        bytes
            .windows(delimiter.len())
            .any(|window| window == delimiter.as_bytes())
    });
    validate::ensure(!occurs, "multipart.boundary", "occurs in a part")
}

/// 128 random bits, so that no part contains the boundary, by chance or on purpose.
fn random_boundary() -> String {
    let random = || RandomState::new().build_hasher().finish();
    format!("form-{:016x}{:016x}", random(), random())
}

/// Joins the segments to one body, which can be sent again if each of them can.
fn join(segments: Vec<HttpBody>) -> HttpBody {
    let length = segments
        .iter()
        .try_fold(0_u64, |sum, segment| sum.checked_add(segment.length()?));
    if segments.iter().any(|segment| segment.try_clone().is_none()) {
        return HttpBody::stream(chain(segments), length);
    }
    let segments = segments.into_iter().filter_map(|segment| segment.into_replay().ok());
    HttpBody::source(Arc::new(Joined {
        segments: segments.collect(),
        length,
    }))
}

#[derive(Debug)]
struct Joined {
    segments: Vec<Replay>,
    length: Option<u64>,
}

impl BodySource for Joined {
    fn open(&self) -> ByteStream {
        chain(self.segments.iter().map(Replay::to_body).collect())
    }

    fn length(&self) -> Option<u64> {
        self.length
    }
}

/// Streams the segments in order. Each one is opened when the previous one has ended. The stream ends after an error.
fn chain(segments: Vec<HttpBody>) -> ByteStream {
    stream::iter(segments)
        .flat_map(HttpBody::into_stream)
        .scan(false, |failed, chunk| {
            let ended = std::mem::replace(failed, chunk.is_err());
            std::future::ready((!ended).then_some(chunk))
        })
        .boxed()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    async fn encoded(form: Multipart) -> String {
        let (_, body) = form.with_boundary("XX").encode().unwrap();
        let announced = body.length().unwrap();
        let again = body.try_clone().unwrap();
        let bytes = body.collect(usize::MAX).await.unwrap();
        assert_eq!(bytes.len() as u64, announced);
        assert_eq!(again.collect(usize::MAX).await.unwrap(), bytes, "the second attempt");
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn a_form_is_what_a_browser_sends() {
        let csv = Part::bytes("1;2")
            .with_file_name("q\"2\r\n.csv")
            .with_content_type("text/csv")
            .unwrap()
            .with_header("x-line", "7")
            .unwrap();
        let form = Multipart::new()
            .text("a\n\"b\"", "ü\n")
            .part("file", csv)
            .part("blob", Part::bytes("").with_file_name("ä b;c.bin"));
        assert_eq!(
            encoded(form).await,
            "--XX\r\nContent-Disposition: form-data; name=\"a%0D%0A%22b%22\"\r\n\r\nü\n\r\n\
             --XX\r\nContent-Disposition: form-data; name=\"file\"; filename=\"q%222%0D%0A.csv\"\r\n\
             Content-Type: text/csv\r\nx-line: 7\r\n\r\n1;2\r\n\
             --XX\r\nContent-Disposition: form-data; name=\"blob\"; filename=\"ä b;c.bin\"\r\n\
             Content-Type: application/octet-stream\r\n\r\n\r\n\
             --XX--\r\n"
        );
        assert_eq!(encoded(Multipart::new()).await, "--XX--\r\n");
    }

    #[tokio::test]
    async fn a_stream_makes_the_form_one_that_is_sent_once_and_an_error_ends_it() {
        let lost = NetworkError::new(ErrorKind::ConnectionClosed, "test", "lost");
        let chunks = stream::iter([Ok(Bytes::from_static(b"abc")), Err(lost)]).boxed();
        let form = Multipart::new()
            .part("s", Part::body(HttpBody::stream(chunks, None)))
            .text("after", "never sent");
        let (_, body) = form.encode().unwrap();
        assert_eq!(body.length(), None);
        assert!(body.try_clone().is_none());
        let chunks: Vec<_> = body.into_stream().collect().await;
        assert_eq!(chunks.len(), 3, "head, chunk, error");
        assert!(chunks[2].is_err());

        let known = HttpBody::stream(stream::empty().boxed(), Some(5));
        let (_, body) = Multipart::new()
            .part("s", Part::body(known))
            .with_boundary("B")
            .encode()
            .unwrap();
        let around = "--B\r\nContent-Disposition: form-data; name=\"s\"\r\n\r\n\r\n--B--\r\n";
        assert_eq!(body.length(), Some(around.len() as u64 + 5));
    }

    #[test]
    fn boundaries_are_checked_and_random() {
        let refused = |form: Multipart| form.encode().unwrap_err().field().map(str::to_owned);
        for boundary in ["", "a ", "a\r\nb", "ä", &"x".repeat(71)] {
            let form = Multipart::new().with_boundary(boundary);
            assert_eq!(refused(form).as_deref(), Some("multipart.boundary"), "{boundary:?}");
        }
        let clash = Multipart::new().text("t", "one --XX two").with_boundary("XX");
        assert_eq!(refused(clash).as_deref(), Some("multipart.boundary"));

        let (quoted, _) = Multipart::new().with_boundary("a b").encode().unwrap();
        assert_eq!(quoted, "multipart/form-data; boundary=\"a b\"");
        let random = || Multipart::new().encode().unwrap().0;
        assert_ne!(random(), random());
    }

    #[test]
    fn a_part_does_not_name_itself_by_header_and_shows_no_secret() {
        let error = Part::text("x")
            .with_header("Content-Disposition", "form-data")
            .unwrap_err();
        assert_eq!(error.field(), Some("multipart.header.content-disposition"));
        let error = Part::text("x").with_content_type("a\nb").unwrap_err();
        assert_eq!(error.field(), Some("multipart.header.content-type"));
        let part = Part::text("pin 1234").with_header("x-api-key", "abc").unwrap();
        let shown = format!("{part:?}");
        assert!(!shown.contains("abc") && !shown.contains("1234"), "{shown}");
    }
}
