//! Request bodies for reqwest.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body::{Body, Frame, SizeHint};
use networking_spi::http::{ByteStream, HttpBody};
use networking_spi::{NetworkError, Result};
use parking_lot::Mutex;

use crate::transport::length::Announced;

/// Converts a body: bytes stay bytes, and a stream stays a stream, with its length if it is known.
pub(super) fn to_reqwest(body: HttpBody) -> Option<reqwest::Body> {
    if body.is_empty() {
        return None;
    }
    if let Some(bytes) = body.as_bytes() {
        return Some(bytes.clone().into());
    }
    Some(reqwest::Body::wrap(Upload {
        announced: Announced::new(body.length()),
        chunks: Mutex::new(body.into_stream()),
    }))
}

/// A stream with an exact size hint, so that `Content-Length` is sent.
struct Upload {
    /// Never locked: the mutex makes the stream `Sync`, which reqwest requires.
    chunks: Mutex<ByteStream>,
    announced: Announced,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = NetworkError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let next = ready!(self.chunks.get_mut().poll_next_unpin(cx)).transpose()?;
        match &next {
            Some(chunk) => self.announced.take(chunk.len())?,
            None => self.announced.end()?,
        }
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk))))
    }

    fn size_hint(&self) -> SizeHint {
        self.announced
            .left()
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
