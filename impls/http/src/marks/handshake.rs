//! The mark of an opening handshake.

use networking_spi::http::HttpRequest;
use url::Url;

/// A mark in the extensions of a request: it is the opening handshake of a WebSocket connection (RFC 6455, section 4.1). The
/// transport opens a connection for it, over HTTP/1.1, and adds the headers of the handshake, with a new key for each attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handshake;

/// Replaces `ws` and `wss` by the scheme of the handshake (RFC 6455, section 3).
pub(crate) fn use_http_scheme(url: &mut Url) {
    let scheme = match url.scheme() {
        "ws" => "http",
        "wss" => "https",
        _ => return,
    };
    // Does not fail between schemes of this kind.
    let _ = url.set_scheme(scheme);
}

/// Whether the request opens a WebSocket connection.
pub(crate) fn is_handshake(request: &HttpRequest) -> bool {
    request.extensions.get::<Handshake>().is_some()
}
