//! Request bodies on their way to reqwest.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body::{Body, Frame, SizeHint};
use networking_spi::http::{ByteStream, HttpBody};
use networking_spi::{NetworkError, Result};
use parking_lot::Mutex;

/// The body for reqwest: bytes stay bytes, everything else is streamed with its length where that is known.
pub(super) fn to_reqwest(body: HttpBody) -> Option<reqwest::Body> {
    if body.is_empty() {
        return None;
    }
    if let Some(bytes) = body.as_bytes() {
        return Some(bytes.clone().into());
    }
    let length = body.length();
    Some(reqwest::Body::wrap(Upload {
        chunks: Mutex::new(body.into_stream()),
        length,
        left: length,
    }))
}

/// A stream with an exact size hint, so that `Content-Length` is sent.
struct Upload {
    /// Never locked: the mutex makes the stream `Sync`, which reqwest asks for.
    chunks: Mutex<ByteStream>,
    length: Option<u64>,
    left: Option<u64>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = NetworkError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let next = ready!(self.chunks.get_mut().poll_next_unpin(cx)).transpose()?;
        Poll::Ready(match (next, self.left) {
            (Some(chunk), Some(left)) => {
                let Some(left) = left.checked_sub(chunk.len() as u64) else {
                    return Poll::Ready(Some(Err(self.wrong_length())));
                };
                self.left = Some(left);
                Some(Ok(Frame::data(chunk)))
            }
            (Some(chunk), None) => Some(Ok(Frame::data(chunk))),
            (None, Some(left)) if left > 0 => Some(Err(self.wrong_length())),
            (None, _) => None,
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

impl Upload {
    /// Sending what does not match the announced length would desynchronise the connection.
    fn wrong_length(&self) -> NetworkError {
        NetworkError::invalid_input(
            "body.length",
            format!(
                "the stream does not have the {:?} bytes it announced",
                self.length.unwrap_or_default()
            ),
        )
    }
}
