//! The byte stream of a connection, its frames, and the times of its last read and write.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::frames::Frames;
use crate::connect::stream::Stream;

/// The times of the last read and write, in nanoseconds from the start. Keepalive counts bytes, not messages, because the
/// transfer of a long message may take longer than the timeouts.
pub(super) struct Activity {
    start: Instant,
    heard: AtomicU64,
    written: AtomicU64,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            start: Instant::now(),
            heard: AtomicU64::new(0),
            written: AtomicU64::new(0),
        })
    }

    /// When bytes were last received.
    pub(super) fn last_read(&self) -> Instant {
        self.start + Duration::from_nanos(self.heard.load(Ordering::Relaxed))
    }

    /// When bytes were last written to the socket.
    pub(super) fn last_write(&self) -> Instant {
        self.start + Duration::from_nanos(self.written.load(Ordering::Relaxed))
    }

    pub(super) fn record_read(&self) {
        self.heard.store(self.now(), Ordering::Relaxed);
    }

    pub(super) fn record_write(&self) {
        self.written.store(self.now(), Ordering::Relaxed);
    }

    fn now(&self) -> u64 {
        // Enough for 584 years.
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}

/// The stream under tungstenite. It records its activity, and reads the frames that arrive.
pub(super) struct Wire {
    io: Stream,
    /// Bytes that arrived with the head of the handshake, and are read first.
    first: Bytes,
    activity: Arc<Activity>,
    frames: Arc<Mutex<Frames>>,
}

impl Wire {
    pub(super) fn new(io: Stream, first: Bytes, frames: Frames) -> Self {
        Self {
            io,
            first,
            activity: Activity::new(),
            frames: Arc::new(Mutex::new(frames)),
        }
    }

    pub(super) fn activity(&self) -> Arc<Activity> {
        Arc::clone(&self.activity)
    }

    pub(super) fn frames(&self) -> Arc<Mutex<Frames>> {
        Arc::clone(&self.frames)
    }
}

impl AsyncRead for Wire {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        if self.first.is_empty() {
            ready!(Pin::new(&mut self.io).poll_read(cx, buf))?;
        } else {
            let part = self.first.len().min(buf.remaining());
            buf.put_slice(&self.first.split_to(part));
        }
        let received = &mut buf.filled_mut()[before..];
        if !received.is_empty() {
            self.activity.record_read();
            self.frames.lock().read(received);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.io).poll_write(cx, buf))?;
        self.activity.record_write();
        Poll::Ready(Ok(taken))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let taken = ready!(Pin::new(&mut self.io).poll_write_vectored(cx, slices))?;
        self.activity.record_write();
        Poll::Ready(Ok(taken))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
