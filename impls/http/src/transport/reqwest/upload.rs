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

/// When the latest chunk of a stream was taken.
#[derive(Clone)]
pub(super) struct Progress(Arc<Mutex<Instant>>);

impl Progress {
    /// Waits for `response`. `None` if nothing of the upload is taken for `limit`.
    pub(super) async fn limit<T>(&self, limit: Duration, response: impl Future<Output = T>) -> Option<T> {
        let mut response = pin!(response);
        loop {
            let until = *self.0.lock() + limit;
            match timeout_at(until, &mut response).await {
                Ok(answered) => return Some(answered),
                Err(_) if *self.0.lock() + limit <= until => return None,
                Err(_) => {}
            }
        }
    }
}

/// Converts a body: bytes stay bytes, and a stream stays a stream, with its length if it is known.
pub(super) fn to_reqwest(body: HttpBody) -> (Option<reqwest::Body>, Progress) {
    let progress = Progress(Arc::new(Mutex::new(Instant::now())));
    let converted = if body.is_empty() {
        None
    } else if let Some(bytes) = body.as_bytes() {
        Some(bytes.clone().into())
    } else {
        Some(reqwest::Body::wrap(Upload {
            announced: Announced::new(body.length()),
            chunks: Mutex::new(body.into_stream()),
            progress: progress.clone(),
        }))
    };
    (converted, progress)
}

/// A stream with an exact size hint, so that `Content-Length` is sent.
struct Upload {
    /// Never locked: the mutex makes the stream `Sync`, which reqwest requires.
    chunks: Mutex<ByteStream>,
    announced: Announced,
    progress: Progress,
}

impl Body for Upload {
    type Data = Bytes;
    type Error = NetworkError;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let next = ready!(self.chunks.get_mut().poll_next_unpin(cx)).transpose()?;
        *self.progress.0.lock() = Instant::now();
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
