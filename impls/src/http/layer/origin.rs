//! Which URLs share credentials.

use url::Url;

/// Whether two URLs have the same scheme, host and port: credentials for one may be sent to the other.
pub(in crate::http) fn same_origin(one: &Url, other: &Url) -> bool {
    one.scheme() == other.scheme()
        && one.host() == other.host()
        && one.port_or_known_default() == other.port_or_known_default()
}
