//! Counting of open connections, and of the bytes that move on them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::gauge::Open;
use super::pool::OpenSlot;
use crate::connect::stream::Stream;

/// A stream that counts as an open connection until it is dropped.
pub(super) struct Counted {
    pub(super) stream: Stream,
    pub(super) activity: Arc<Activity>,
    /// Whether the peer is to speak HTTP/2.
    pub(super) http2: bool,
    /// `None` outside the pool.
    pub(super) _open: Option<(Open, OpenSlot)>,
}

/// What moves on a connection.
pub(super) struct Activity {
    start: Instant,
    /// Bytes.
    received: AtomicU64,
    /// When bytes last moved in either direction, in milliseconds from the start.
    latest: AtomicU64,
    /// When bytes were last received, in milliseconds from the start.
    latest_received: AtomicU64,
    /// How many bytes of HTTP/1.1 may arrive before the response head; negative when more have arrived.
    before_head: AtomicI64,
    /// Whether the peer does not take any more.
    broken: AtomicBool,
    /// Whether nothing waits for the first frames of the peer any more.
    settled: AtomicBool,
    waker: AtomicWaker,
}

impl Default for Activity {
    fn default() -> Self {
        Self {
            start: Instant::now(),
            received: AtomicU64::new(0),
            latest: AtomicU64::new(0),
            latest_received: AtomicU64::new(0),
            before_head: AtomicI64::new(i64::MAX),
            broken: AtomicBool::new(false),
            settled: AtomicBool::new(false),
            waker: AtomicWaker::new(),
        }
    }
}

impl Activity {
    /// Wakes this task when what the peer has sent so far was processed, until [`settle`](Self::settle).
    pub(super) fn register(&self, waker: &Waker) {
        if !self.settled.load(Relaxed) {
            self.waker.register(waker);
        }
    }

    /// Ends the waking.
    pub(super) fn settle(&self) {
        self.settled.store(true, Relaxed);
    }

    /// Whether the peer does not take any more.
    pub(super) fn is_broken(&self) -> bool {
        self.broken.load(Relaxed)
    }

    /// A response head is expected, after at most this many bytes of interim responses. `None`: it has arrived.
    pub(super) fn expect_head(&self, within: Option<u64>) {
        let bytes = within.map_or(i64::MAX, |bytes| i64::try_from(bytes).unwrap_or(i64::MAX));
        self.before_head.store(bytes, Relaxed);
    }

    /// Whether the peer has sent too many interim responses.
    pub(super) fn is_flooded(&self) -> bool {
        self.before_head.load(Relaxed) < 0
    }

    /// The bytes that were received.
    pub(super) fn received(&self) -> u64 {
        self.received.load(Relaxed)
    }

    /// When bytes last moved in either direction.
    pub(super) fn latest(&self) -> Instant {
        self.start + Duration::from_millis(self.latest.load(Relaxed))
    }

    /// When bytes were last received.
    pub(super) fn latest_received(&self) -> Instant {
        self.start + Duration::from_millis(self.latest_received.load(Relaxed))
    }

    fn touch_if(&self, written: &Poll<io::Result<usize>>) {
        if matches!(written, Poll::Ready(Ok(_))) {
            self.touch();
        }
    }

    fn touch(&self) {
        self.latest.store(self.millis(), Relaxed);
    }

    fn count_received(&self, bytes: u64) {
        let now = self.millis();
        self.received.fetch_add(bytes, Relaxed);
        let left = self.before_head.load(Relaxed);
        if left != i64::MAX {
            self.before_head.store(left.saturating_sub_unsigned(bytes), Relaxed);
        }
        self.latest.store(now, Relaxed);
        self.latest_received.store(now, Relaxed);
    }

    fn millis(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Counted {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut Stream> {
        Pin::new(&mut self.get_mut().stream)
    }

    /// Turns a write to a peer that has closed the connection into a write that never ends. The peer may have responded before, and
    /// the response is still to be read; if it has not, reading fails and ends the connection.
    fn written<T>(&self, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};

        match written {
            Poll::Ready(Err(error)) if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) => {
                self.activity.broken.store(true, Relaxed);
                Poll::Pending
            }
            written => written,
        }
    }
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        // h2 reads again when it has processed what it has read before.
        if !self.activity.settled.load(Relaxed) && self.activity.received.load(Relaxed) > 0 {
            self.activity.waker.wake();
        }
        let before = buffer.filled().len();
        ready!(self.as_mut().stream().poll_read(cx, buffer))?;
        let received = &buffer.filled()[before..];
        // Such a peer usually resets the connection, and whether h2 sees the answer or the reset first depends on their timing.
        if self.http2 && self.activity.received() == 0 && received.starts_with(b"HTTP/") {
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the peer speaks HTTP/1.1",
            )));
        }
        self.activity.count_received(received.len() as u64);
        if self.activity.is_flooded() {
            // hyper would skip interim responses without an end.
            return Poll::Ready(Err(io::Error::other("too many interim responses")));
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.as_mut().stream().poll_write(cx, bytes);
        self.activity.touch_if(&written);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = self.as_mut().stream().poll_write_vectored(cx, slices);
        self.activity.touch_if(&written);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = self.as_mut().stream().poll_flush(cx);
        self.written(flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
