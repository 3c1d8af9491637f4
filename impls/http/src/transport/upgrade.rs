//! Switching a connection to WebSocket: what the extensions of the response to an opening handshake hold.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderValue;
use parking_lot::Mutex;

use crate::connect::stream::Stream;

/// In the extensions of every response to an opening handshake from a transport that can switch protocols.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CanSwitch;

/// The connection of a response with status 101.
#[derive(Clone)]
pub(crate) struct Switched(Arc<Mutex<Option<SwitchedStream>>>);

pub(crate) struct SwitchedStream {
    pub(crate) stream: Stream,
    /// The bytes that arrived together with the head.
    pub(crate) first: Bytes,
    /// The `Sec-WebSocket-Key` of the request.
    pub(crate) key: HeaderValue,
}

impl Switched {
    pub(crate) fn new(stream: SwitchedStream) -> Self {
        Self(Arc::new(Mutex::new(Some(stream))))
    }

    /// The stream, the first time.
    pub(crate) fn take(&self) -> Option<SwitchedStream> {
        self.0.lock().take()
    }
}
