//! Hop-by-hop header fields: they apply to one connection only, and are not forwarded, stored or recorded (RFC 9110,
//! section 7.6.1).
//!
//! A proxy, a gateway or a cache forwards only [`end_to_end`] fields. Depending on its role, it removes further fields: a
//! cache those of [`is_for_proxy`], a gateway those that it sets itself (`Content-Length`, `Host`).

use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Hop-by-hop fields, whether or not `Connection` names them. Names are in lower case.
pub const FIELDS: [&str; 7] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields between a client and the next proxy (RFC 9110, section 11.7). Cooperating proxies may forward them, but a cache
/// does not store them (RFC 9111, section 3.1). Names are in lower case.
pub const PROXY_FIELDS: [&str; 3] = ["proxy-authenticate", "proxy-authentication-info", "proxy-authorization"];

/// Whether the field is one of [`FIELDS`]. For a whole header section, use [`end_to_end`], which also removes the fields
/// that `Connection` names.
pub fn is_hop_by_hop(name: &HeaderName) -> bool {
    FIELDS.contains(&name.as_str())
}

/// Whether the field is one of [`PROXY_FIELDS`].
pub fn is_for_proxy(name: &HeaderName) -> bool {
    PROXY_FIELDS.contains(&name.as_str())
}

/// Returns the options that `Connection` lists, with their original case.
pub fn connection_options(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
        .filter(|option| !option.is_empty())
}

/// Returns the end-to-end fields: those that are neither one of [`FIELDS`] nor named by `Connection`, in the order of the
/// map.
///
/// ```
/// use networking_spi::http::{HeaderMap, hop_by_hop};
///
/// let mut headers = HeaderMap::new();
/// headers.insert("connection", "keep-alive, x-trace".parse().unwrap());
/// headers.insert("keep-alive", "timeout=5".parse().unwrap());
/// headers.insert("x-trace", "1".parse().unwrap());
/// headers.insert("etag", "\"a\"".parse().unwrap());
/// let names: Vec<_> = hop_by_hop::end_to_end(&headers).map(|(name, _)| name.as_str()).collect();
/// assert_eq!(names, ["etag"]);
/// ```
pub fn end_to_end(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let named: Vec<&str> = connection_options(headers).collect();
    headers.iter().filter(move |(name, _)| {
        !is_hop_by_hop(name) && !named.iter().any(|named| named.eq_ignore_ascii_case(name.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(*name, HeaderValue::from_static(value));
        }
        headers
    }

    fn kept(fields: &[(&'static str, &'static str)]) -> Vec<String> {
        let headers = headers(fields);
        end_to_end(&headers)
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect()
    }

    #[test]
    fn the_fields_of_rfc_9110_are_in_the_list() {
        // `trailer` is in the list of RFC 2616, section 13.5.1: it announces fields of the chunked framing.
        for name in [
            "connection",
            "keep-alive",
            "proxy-connection",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
        ] {
            assert!(is_hop_by_hop(&HeaderName::from_static(name)), "{name}");
        }
        assert!(
            is_hop_by_hop(&"Proxy-Connection".parse().unwrap()),
            "names are case-insensitive"
        );
        for name in ["content-length", "host", "proxy-authorization", "via", "expect"] {
            assert!(!is_hop_by_hop(&HeaderName::from_static(name)), "{name}");
        }
        for name in PROXY_FIELDS {
            assert!(is_for_proxy(&HeaderName::from_static(name)), "{name}");
        }
        assert!(!is_for_proxy(&header::AUTHORIZATION));
    }

    #[test]
    fn fields_that_connection_names_are_left_out() {
        let fields = [
            ("connection", "close, X-Hop"),
            ("connection", " , x-other ,"),
            ("x-hop", "1"),
            ("x-other", "2"),
            ("x-kept", "3"),
            ("x-kept", "4"),
            ("upgrade", "h2c"),
        ];
        assert_eq!(kept(&fields), ["x-kept: 3", "x-kept: 4"]);
        let headers = headers(&fields);
        assert_eq!(
            connection_options(&headers).collect::<Vec<_>>(),
            ["close", "X-Hop", "x-other"]
        );
    }

    #[test]
    fn without_connection_only_the_list_is_left_out() {
        let fields = [
            ("te", "trailers"),
            ("trailer", "etag"),
            ("etag", "a"),
            ("proxy-authenticate", "Basic"),
        ];
        assert_eq!(kept(&fields), ["etag: a", "proxy-authenticate: Basic"]);
        assert_eq!(kept(&[]), [""; 0]);
    }
}
