//! The mark of an opening handshake.

use networking_spi::http::HttpRequest;

/// A mark in the extensions of a request: it is the opening handshake of a WebSocket connection (RFC 6455, section 4.1). The
/// transport sends it on a connection of its own, over HTTP/1.1, and adds the headers of the handshake. The key is new for each
/// attempt.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Handshake;

/// Whether the request opens a WebSocket connection.
pub(crate) fn is_handshake(request: &HttpRequest) -> bool {
    request.extensions.get::<Handshake>().is_some()
}
