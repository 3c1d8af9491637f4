//! Request bodies for reqwest.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http_body::{Body, Frame, SizeHint};
use networking_spi::http::{ByteStream, HttpBody};
use networking_spi::{NetworkError, Result};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout_at};

use crate::transport::length::Announced;

/// When the latest chunk of a stream was taken. `None` for other bodies.
pub(super) struct Progress(Option<Arc<Mutex<Instant>>>);

impl Progress {
    /// Waits for `response`. `None` if nothing of the upload is taken for `limit`.
    pub(super) async fn limit<T>(&self, limit: Duration, response: impl Future<Output = T>) -> Option<T> {
        let mut response = pin!(response);
        let mut until = Instant::now() + limit;
        loop {
            if let Ok(answered) = timeout_at(until, &mut response).await {
                return Some(answered);
            }
            let later = *self.0.as_ref()?.lock() + limit;
            if later <= until {
                return None;
            }
            until = later;
        }
    }
}

/// Converts a body: bytes stay bytes, and a stream stays a stream, with its length if it is known.
pub(super) fn to_reqwest(body: HttpBody) -> (Option<reqwest::Body>, Progress) {
    if body.is_empty() {
        return (None, Progress(None));
    }
    if let Some(bytes) = body.as_bytes() {
        return (Some(bytes.clone().into()), Progress(None));
    }
    let latest = Arc::new(Mutex::new(Instant::now()));
    let upload = Upload {
        announced: Announced::new(body.length()),
        chunks: Mutex::new(body.into_stream()),
        latest: Arc::clone(&latest),
    };
    (Some(reqwest::Body::wrap(upload)), Progress(Some(latest)))
}

/// A stream with an exact size hint, so that `Content-Length` is sent.
struct Upload {
    /// Never locked: the mutex makes the stream `Sync`, which reqwest requires.
    chunks: Mutex<ByteStream>,
    announced: Announced,
    latest: Arc<Mutex<Instant>>,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = NetworkError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let next = ready!(self.chunks.get_mut().poll_next_unpin(cx)).transpose()?;
        *self.latest.lock() = Instant::now();
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
