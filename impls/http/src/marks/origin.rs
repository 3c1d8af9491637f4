//! Origins: a scheme, host and port.

use std::borrow::Cow;

use url::{Position, Url};

/// Whether two URLs have the same scheme, host and port, so that credentials for one may be sent to the other.
pub(crate) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}

/// Scheme, host and port: `https://api.example.com`, `http://10.0.0.1:8080`.
pub(crate) fn origin_name(url: &Url) -> Cow<'_, str> {
    if url.username().is_empty() && url.password().is_none() {
        // Borrowed, so that a lookup does not allocate.
        Cow::Borrowed(&url[..Position::BeforePath])
    } else {
        Cow::Owned(url.origin().ascii_serialization())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        text.parse().unwrap()
    }

    #[test]
    fn names_have_no_credentials_and_no_default_port() {
        for (text, name) in [
            ("https://api.test:443/x?y", "https://api.test"),
            ("http://user:secret@api.test:8080/", "http://api.test:8080"),
            ("http://[::1]:1/", "http://[::1]:1"),
        ] {
            assert_eq!(origin_name(&url(text)), name);
        }
    }
}
