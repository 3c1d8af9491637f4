//! Targets of requests: absolute URLs and relative references.

use std::borrow::Cow;
use std::fmt;

use http::Uri;
use url::{ParseError, Url};

use crate::error::{NetworkError, Result, url_problem};
use crate::redact;

/// The longest part of an invalid target that an error shows, in characters.
const MAX_SHOWN: usize = 200;

/// The target of a request. It is made of `&str`, `String`, [`Url`] and references to them; text that is not an absolute URL
/// becomes a relative reference.
///
/// Exhaustive on purpose: a URL reference is absolute or relative (RFC 3986, section 4.1).
#[derive(Clone, PartialEq, Eq)]
pub enum RequestTarget {
    /// An absolute URL.
    Absolute(Url),
    /// A relative reference, which is resolved against the client's base URL (RFC 3986, section 5). Also text that is neither
    /// an absolute URL nor a relative reference: using it is an error that says what is wrong with it.
    Relative(String),
}

impl RequestTarget {
    /// Returns the URL. For clients without a base URL.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) for a relative reference, and for text that is not a URL. The message
    /// has the text without its secrets, and what is wrong with it (`has an invalid port: ..`).
    pub fn url(&self) -> Result<&Url> {
        match self {
            Self::Absolute(url) => Ok(url),
            Self::Relative(reference) => Err(match Url::parse(reference) {
                Ok(_) | Err(ParseError::RelativeUrlWithoutBase) => NetworkError::invalid_input(
                    "url",
                    format!(
                        "{:?} is not an absolute URL such as `https://example.com/`, and the client has no base URL",
                        shown(reference)
                    ),
                ),
                Err(error) => invalid(reference, error),
            }),
        }
    }

    /// Resolves a relative reference against `base`. An absolute target is returned unchanged.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) if the reference cannot be parsed. The message says why.
    pub fn resolve(self, base: &Url) -> Result<Self> {
        match self {
            Self::Absolute(_) => Ok(self),
            Self::Relative(reference) => base
                .join(&reference)
                .map(Self::Absolute)
                .map_err(|error| invalid(&reference, error)),
        }
    }

    /// Appends a query that is already encoded.
    pub(super) fn append_query(&mut self, query: &str) {
        if query.is_empty() {
            return;
        }
        match self {
            Self::Absolute(url) => match url.query() {
                None | Some("") => url.set_query(Some(query)),
                Some(before) => {
                    let both = format!("{before}&{query}");
                    url.set_query(Some(&both));
                }
            },
            Self::Relative(reference) => {
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
                *reference = format!("{path}{separator}{query}{fragment}");
            }
        }
    }
}

impl From<Url> for RequestTarget {
    fn from(url: Url) -> Self {
        Self::Absolute(url)
    }
}

impl From<&Url> for RequestTarget {
    fn from(url: &Url) -> Self {
        Self::Absolute(url.clone())
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

impl From<Cow<'_, str>> for RequestTarget {
    fn from(text: Cow<'_, str>) -> Self {
        match text {
            Cow::Borrowed(text) => text.into(),
            Cow::Owned(text) => text.into(),
        }
    }
}

/// Anything that is text by reference, as an element of a list of URLs is.
macro_rules! from_text {
    ($($type:ty),+) => {$(
        impl From<$type> for RequestTarget {
            fn from(text: $type) -> Self {
                let text: &str = text.as_ref();
                text.into()
            }
        }
    )+};
}

from_text!(&String, &&str, &Cow<'_, str>, Box<str>);

impl From<&Uri> for RequestTarget {
    fn from(uri: &Uri) -> Self {
        uri.to_string().into()
    }
}

impl From<Uri> for RequestTarget {
    fn from(uri: Uri) -> Self {
        uri.to_string().into()
    }
}

impl fmt::Debug for RequestTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// For logs: without user information, query and fragment, which may contain secrets.
impl fmt::Display for RequestTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(url) => f.write_str(&redact::url(url)),
            Self::Relative(reference) => f.write_str(&shown(reference)),
        }
    }
}

/// The error for text that is not a URL.
pub(crate) fn invalid(text: &str, error: ParseError) -> NetworkError {
    let visible = shown(text);
    let shortened: String = visible.chars().take(MAX_SHOWN).collect();
    let more = if shortened.len() < visible.len() { ".." } else { "" };
    let problem = match error {
        ParseError::IdnaError | ParseError::InvalidDomainCharacter if has_space(&visible) => "has a space in its host",
        error => url_problem(error),
    };
    NetworkError::invalid_input("url", format!("\"{}{more}\" {problem}", shortened.escape_debug())).with_source(error)
}

/// Whether there is white space in the authority of a URL.
fn has_space(url: &str) -> bool {
    authority(url.trim()).is_some_and(|(start, _)| {
        let host = url.trim()[start..].split(['/', '\\']).next();
        host.is_some_and(|host| host.contains(char::is_whitespace))
    })
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
    let Some((start, absolute)) = authority(reference) else {
        return reference.into();
    };
    let (before, rest) = reference.split_at(start);
    // A URL may fail to parse because its password contains `?` or `#`: then the user information ends at the last `@`.
    let end = if absolute { None } else { rest.find(['?', '#']) };
    match rest[..end.unwrap_or(rest.len())].rfind('@') {
        Some(at) => format!("{before}{}@{}", redact::REDACTED, &rest[at + 1..]).into(),
        None => reference.into(),
    }
}

/// Where the authority may begin, and whether a scheme is before it. A parser also takes `http:user@host` and
/// `http:\user@host` (WHATWG URL), and people forget the scheme (`user:password@host`).
fn authority(reference: &str) -> Option<(usize, bool)> {
    let is_slash = |char: char| matches!(char, '/' | '\\');
    let is_scheme = |text: &str| {
        let name = text.trim_start();
        name.starts_with(|char: char| char.is_ascii_alphabetic())
            && name
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.'))
    };
    if let Some(colon) = reference.find(':').filter(|colon| is_scheme(&reference[..*colon])) {
        let rest = &reference[colon + 1..];
        let slashes = rest.len() - rest.trim_start_matches(is_slash).len();
        let special = ["http", "https", "ws", "wss", "ftp"]
            .iter()
            .any(|known| reference[..colon].trim_start().eq_ignore_ascii_case(known));
        let start = if slashes > 0 || special { colon + 1 + slashes } else { 0 };
        return Some((start, true));
    }
    let path = &reference[..reference.find(['?', '#']).unwrap_or(reference.len())];
    let start = path
        .as_bytes()
        .windows(2)
        .position(|pair| pair.iter().all(|byte| is_slash(char::from(*byte))))?;
    // `http ://user@host`: not a scheme, and not meant as a path.
    let absolute = path[..start].trim_end().ends_with(':');
    Some((start + 2, absolute))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(target: &str) -> String {
        let error = RequestTarget::from(target).url().unwrap_err();
        assert_eq!(error.field(), Some("url"));
        error.message().to_owned()
    }

    #[test]
    fn an_invalid_url_says_what_is_wrong_with_it() {
        for (url, problem) in [
            ("http://example.com:99999/", "invalid port"),
            ("http://example.com:http/", "invalid port"),
            ("http://example.com:-1/", "invalid port"),
            ("http://", "no host"),
            ("https://:8080/x", "no host"),
            ("https://?q=1", "no host"),
            ("http://exa mple.com/", "a space in its host"),
            ("http://exa<mple.com/", "not a domain name"),
            ("http://[::1/", "IPv6"),
            ("http://[zz]/", "IPv6"),
            ("http://1.2.3.400/", "IPv4"),
            ("http://xn--/", "not a domain name"),
            ("example.com/x", "not an absolute URL"),
            ("/x", "not an absolute URL"),
            ("", "not an absolute URL"),
            ("http ://example.com/", "not an absolute URL"),
            ("//example.com/", "not an absolute URL"),
        ] {
            assert!(message(url).contains(problem), "{url}: {}", message(url));
            let shown = url.split('?').next().unwrap();
            assert!(message(url).starts_with(&format!("{shown:?} ")), "{}", message(url));
        }
        let base = Url::parse("https://example.com/v1/").unwrap();
        for (reference, problem) in [
            ("http://a:99999/", "invalid port"),
            ("//a b/", "a space in its host"),
            ("//", "no host"),
        ] {
            let error = RequestTarget::from(reference).resolve(&base).unwrap_err();
            assert!(error.message().contains(problem), "{reference}: {error}");
        }
    }

    #[test]
    fn an_invalid_url_shows_no_secret() {
        for url in [
            "http://user:hunter2@example.com:99999/?key=hunter2#hunter2",
            "http:user:hunter2@example.com:99999/",
            "http:/user:hunter2@example.com:99999/",
            "http:\\\\user:hunter2@example.com:99999/",
            "http://user:hunter2?x@example.com:99999/",
            "http://user:x@hunter2@example.com:99999/",
            "  http://user:hunter2@example.com:99999/",
            "http ://user:hunter2@example.com/",
            "//user:hunter2@example.com/",
            "\\\\user:hunter2@example.com/",
            "user:hunter2@exa mple.com",
            "user:hunter2@example.com:8080/x",
            "/path?token=hunter2",
        ] {
            let target = RequestTarget::from(url);
            assert!(!format!("{target:?}").contains("hunter2"), "{target:?}");
            let error = match &target {
                RequestTarget::Absolute(_) => continue,
                RequestTarget::Relative(_) => target.url().unwrap_err(),
            };
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
        }
        let long = format!("http://{}:99999/", "a".repeat(10_000));
        assert!(message(&long).len() < 300, "{}", message(&long).len());
    }

    #[test]
    fn targets_are_made_of_all_kinds_of_text() {
        let text = String::from("https://example.com/a");
        let url = Url::parse(&text).unwrap();
        let expected = RequestTarget::Absolute(url.clone());
        for target in [
            RequestTarget::from(text.as_str()),
            (&text).into(),
            (&text.as_str()).into(),
            (&url).into(),
            Cow::Borrowed(text.as_str()).into(),
            (&Cow::Borrowed(text.as_str())).into(),
            text.parse::<Uri>().unwrap().into(),
            text.into_boxed_str().into(),
            url.into(),
        ] {
            assert_eq!(target, expected);
        }
    }
}
