//! Errors of the value types that the contracts use, so that `?` converts them.

use std::convert::Infallible;

use http::header::{InvalidHeaderName, InvalidHeaderValue, MaxSizeReached, ToStrError};
use http::method::InvalidMethod;
use http::status::InvalidStatusCode;
use http::uri::InvalidUri;
use url::ParseError;

use super::{BoxError, ErrorKind, NetworkError, context};

/// What is wrong with a URL.
pub(crate) fn url_problem(error: ParseError) -> &'static str {
    match error {
        ParseError::EmptyHost => "has no host",
        ParseError::InvalidPort => "has an invalid port: it must be a number from 0 to 65535",
        ParseError::InvalidIpv4Address => "has an invalid IPv4 address as its host",
        ParseError::InvalidIpv6Address => "has an invalid IPv6 address as its host",
        ParseError::InvalidDomainCharacter => "has a character in its host that a host name cannot have",
        ParseError::IdnaError => "has a host that is not a domain name",
        ParseError::RelativeUrlWithoutBase => "is not an absolute URL: it must start with a scheme, such as `https://`",
        ParseError::Overflow => "is too long",
        _ => "is not a URL",
    }
}

impl From<ParseError> for NetworkError {
    /// [`InvalidInput`](ErrorKind::InvalidInput) with the field `url`.
    ///
    /// ```
    /// use networking_spi::NetworkError;
    /// use networking_spi::Url;
    ///
    /// fn port(text: &str) -> Result<Option<u16>, NetworkError> {
    ///     Ok(text.parse::<Url>()?.port())
    /// }
    ///
    /// let error = port("http://example.com:99999/").unwrap_err();
    /// assert_eq!((error.field(), error.message()), (
    ///     Some("url"),
    ///     "has an invalid port: it must be a number from 0 to 65535",
    /// ));
    /// ```
    fn from(error: ParseError) -> Self {
        Self::invalid_input("url", url_problem(error)).with_source(error)
    }
}

macro_rules! invalid {
    ($($error:ty => $field:literal, $message:literal;)+) => {$(
        impl From<$error> for NetworkError {
            #[doc = concat!("[`InvalidInput`](ErrorKind::InvalidInput) with the field `", $field, "`.")]
            fn from(error: $error) -> Self {
                Self::invalid_input($field, $message).with_source(error)
            }
        }
    )+};
}

invalid! {
    InvalidHeaderName => "header", "is not a header name";
    InvalidHeaderValue => "header", "has characters that a header value cannot have";
    MaxSizeReached => "header", "there are too many headers";
    InvalidMethod => "method", "is not a method";
    InvalidStatusCode => "status", "is not a status code";
    InvalidUri => "url", "is not a URI";
}

impl From<ToStrError> for NetworkError {
    /// [`Decode`](ErrorKind::Decode): a received header is not text.
    fn from(error: ToStrError) -> Self {
        Self::new(
            ErrorKind::Decode,
            "",
            "a header has characters that are not visible ASCII",
        )
        .with_context(context::REASON, "header")
        .with_source(error)
    }
}

impl From<http::Error> for NetworkError {
    /// [`InvalidInput`](ErrorKind::InvalidInput) with the field that the inner error is about.
    fn from(error: http::Error) -> Self {
        let inner = error.get_ref();
        let (field, message) = if inner.is::<InvalidHeaderName>() {
            ("header", "is not a header name")
        } else if inner.is::<InvalidHeaderValue>() {
            ("header", "has characters that a header value cannot have")
        } else if inner.is::<MaxSizeReached>() {
            ("header", "there are too many headers")
        } else if inner.is::<InvalidMethod>() {
            ("method", "is not a method")
        } else if inner.is::<InvalidStatusCode>() {
            ("status", "is not a status code")
        } else {
            ("url", "is not a URI")
        };
        Self::invalid_input(field, message).with_source(BoxError::from(error))
    }
}

impl From<Infallible> for NetworkError {
    /// Never called: conversions that cannot fail fit where others can.
    fn from(never: Infallible) -> Self {
        match never {}
    }
}
