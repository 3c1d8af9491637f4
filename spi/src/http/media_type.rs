//! The media type of a message, without its parameters (RFC 9110, section 8.3.1).

use http::{HeaderMap, header};

/// The media type in the first `Content-Type`; empty without one. Compare it with [`str::eq_ignore_ascii_case`].
///
/// ```
/// use networking_spi::http::{HeaderMap, HeaderValue, media_type};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("content-type", HeaderValue::from_static("Text/HTML ; charset=utf-8"));
/// assert!(media_type::of(&headers).eq_ignore_ascii_case("text/html"));
/// ```
pub fn of(headers: &HeaderMap) -> &str {
    let value = headers
        .get(header::CONTENT_TYPE)
        .map_or(&[][..], |value| value.as_bytes());
    // A parameter may have other bytes than ASCII.
    let first = value.split(|byte| *byte == b';').next().unwrap_or_default();
    std::str::from_utf8(first).unwrap_or_default().trim()
}

/// The media type in a value of `Content-Type`.
pub fn without_parameters(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}
