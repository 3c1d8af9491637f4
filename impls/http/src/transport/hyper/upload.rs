//! Request bodies for hyper.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::StreamExt;
use http_body::{Body, Frame, SizeHint};
use networking_spi::http::{ByteStream, HttpBody};
use networking_spi::{NetworkError, Result};
use parking_lot::Mutex;

use super::streams::{Latest, Opening};
use crate::transport::length::Announced;

/// The largest piece that is passed to hyper, in bytes, so that the progress of large chunks is visible.
const PIECE: usize = 512 << 10;

/// The size of a body that fits into one frame of HTTP/2, in bytes.
const FRAME: usize = 16 << 10;

pub(super) struct Upload {
    content: Content,
    /// `None` for an empty body.
    progress: Option<Arc<Progress>>,
    /// The stream of HTTP/2 that is opened for the request.
    opening: Mutex<Option<Opening>>,
    /// Whether hyper sends `END_STREAM` in an empty frame, after all bytes. h2 does not reset a stream whose `END_STREAM` waits, with data
    /// before it, for the peer's window.
    holds_end: bool,
}

enum Content {
    Empty,
    Bytes(Bytes),
    Stream {
        chunks: Arc<Chunks>,
        /// The rest of the latest chunk.
        rest: Bytes,
        announced: Announced,
    },
}

/// A body for another attempt.
pub(super) struct Replay {
    content: ReplayContent,
    length: Option<u64>,
}

enum ReplayContent {
    Body(HttpBody),
    /// A stream that can be read once. It is whole until its first chunk has been read.
    Stream(Arc<Chunks>),
}

#[derive(Default)]
struct Chunks(Mutex<ChunksState>);

#[derive(Default)]
struct ChunksState {
    /// `None` after it was taken back.
    stream: Option<ByteStream>,
    started: bool,
}

/// The progress of an upload. While it advances, the read timeout does not apply.
pub(super) struct Progress {
    /// When the last piece was taken.
    pub(super) latest: Latest,
    ended: AtomicBool,
    /// Whether hyper also took the end.
    closed: AtomicBool,
    /// The error of the body's stream. Over HTTP/2, hyper only resets the stream.
    failure: Mutex<Option<NetworkError>>,
}

impl Upload {
    /// An upload of `body`, which has `length` bytes if that is known.
    pub(super) fn new(body: HttpBody, length: Option<u64>) -> Self {
        let content = match body.as_bytes() {
            _ if body.is_empty() => Content::Empty,
            Some(bytes) if bytes.is_empty() => Content::Empty,
            Some(bytes) => Content::Bytes(bytes.clone()),
            None => Content::stream(Arc::new(Chunks::new(body.into_stream())), length),
        };
        Self::of(content)
    }

    fn of(content: Content) -> Self {
        let progress = (!matches!(content, Content::Empty)).then(|| Arc::new(Progress::new()));
        Self {
            content,
            progress,
            opening: Mutex::default(),
            holds_end: false,
        }
    }

    /// The body again, before anything of it was read. `source` is the body if it can be opened again.
    pub(super) fn replay(&self, source: Option<HttpBody>, length: Option<u64>) -> Replay {
        let content = match (&self.content, source) {
            (Content::Stream { chunks, .. }, None) => ReplayContent::Stream(Arc::clone(chunks)),
            (_, source) => ReplayContent::Body(source.unwrap_or_default()),
        };
        Replay { content, length }
    }

    pub(super) fn progress(&self) -> Option<Arc<Progress>> {
        self.progress.clone()
    }

    /// The request is about to open this stream, or none of HTTP/2: hyper asks for the end of the body when it does.
    pub(super) fn opens(&mut self, opening: Option<Opening>) {
        self.holds_end = opening.is_some() && matches!(&self.content, Content::Bytes(bytes) if bytes.len() > FRAME);
        *self.opening.get_mut() = opening;
    }
}

impl Replay {
    /// The upload for another attempt; `None` if a part of the body was read and cannot be read again.
    pub(super) fn upload(&self) -> Option<Upload> {
        match &self.content {
            ReplayContent::Body(body) => Some(Upload::new(body.try_clone()?, self.length)),
            ReplayContent::Stream(chunks) => {
                let chunks = Arc::new(chunks.take_back()?);
                Some(Upload::of(Content::stream(chunks, self.length)))
            }
        }
    }
}

impl Chunks {
    fn new(stream: ByteStream) -> Self {
        Self(Mutex::new(ChunksState {
            stream: Some(stream),
            started: false,
        }))
    }

    /// Moves a stream of which nothing was read. The other side finds an end.
    fn take_back(&self) -> Option<Self> {
        let mut state = self.0.lock();
        let stream = if state.started { None } else { state.stream.take() };
        stream.map(Self::new)
    }

    fn poll_next(&self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes>>> {
        let mut state = self.0.lock();
        let Some(stream) = &mut state.stream else {
            return Poll::Ready(None);
        };
        let next = ready!(stream.poll_next_unpin(cx));
        state.started = true;
        Poll::Ready(next)
    }
}

impl Progress {
    fn new() -> Self {
        Self {
            latest: Latest::default(),
            ended: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    /// The error of the body's stream, if it failed.
    pub(super) fn take_failure(&self) -> Option<NetworkError> {
        self.failure.lock().take()
    }

    /// Whether hyper took the whole body and its end.
    pub(super) fn closed(&self) -> bool {
        self.closed.load(Relaxed)
    }

    /// Whether hyper took the whole body.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(Relaxed)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = NetworkError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>>>> {
        let Self {
            content,
            progress,
            holds_end,
            ..
        } = self.get_mut();
        let frame = match content {
            Content::Empty => None,
            Content::Bytes(bytes) if bytes.is_empty() => None,
            Content::Bytes(bytes) => Some(Ok(piece(bytes))),
            Content::Stream {
                chunks,
                rest,
                announced,
            } => {
                let more = if rest.is_empty() {
                    ready!(chunks.poll_next(cx)).map(|chunk| chunk.map(|chunk| *rest = chunk))
                } else {
                    Some(Ok(()))
                };
                match more {
                    Some(Ok(())) => {
                        let piece = piece(rest);
                        Some(announced.take(piece.len()).map(|()| piece))
                    }
                    Some(Err(error)) => Some(Err(error)),
                    None => announced.end().err().map(Err),
                }
            }
        };
        if let Some(progress) = progress {
            progress.latest.touch();
            progress.ended.store(frame.is_none() || content.is_taken(), Relaxed);
            let closed = frame.is_none() || !*holds_end && content.is_ended();
            progress.closed.store(closed, Relaxed);
            if let Some(Err(error)) = &frame {
                *progress.failure.lock() = Some(error.clone());
            }
        }
        Poll::Ready(frame.map(|chunk| chunk.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        if let Some(opening) = self.opening.lock().take() {
            opening.open();
        }
        !self.holds_end && self.content.is_ended()
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Empty => SizeHint::with_exact(0),
            Content::Bytes(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Content::Stream { announced, .. } => announced.left().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}

fn piece(of: &mut Bytes) -> Bytes {
    of.split_to(of.len().min(PIECE))
}

impl Content {
    fn stream(chunks: Arc<Chunks>, length: Option<u64>) -> Self {
        Self::Stream {
            chunks,
            rest: Bytes::new(),
            announced: Announced::new(length),
        }
    }

    /// Whether hyper took the whole body. Of a stream with a known length it may take all bytes without polling for the end.
    fn is_taken(&self) -> bool {
        match self {
            Self::Stream { announced, .. } => announced.left() == Some(0),
            _ => self.is_ended(),
        }
    }

    /// Whether hyper need not poll again. A stream is polled for its end, because it may have more bytes than it announced.
    fn is_ended(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Bytes(bytes) => bytes.is_empty(),
            Self::Stream { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::stream;

    use super::*;

    /// The sizes of the pieces of a stream of one chunk of `size` bytes that announces `length`.
    async fn pieces(size: usize, length: Option<u64>) -> (Vec<usize>, Option<NetworkError>) {
        let chunk = stream::iter([Ok(Bytes::from(vec![0; size]))]).boxed();
        let mut upload = Upload::new(HttpBody::stream(chunk, length), length);
        let mut sizes = Vec::new();
        loop {
            match poll_fn(|cx| Pin::new(&mut upload).poll_frame(cx)).await {
                Some(Ok(frame)) => sizes.push(frame.into_data().expect("no trailers").len()),
                Some(Err(error)) => return (sizes, Some(error)),
                None => return (sizes, None),
            }
        }
    }

    #[tokio::test]
    async fn a_large_chunk_of_a_stream_is_sent_in_pieces() {
        let size = 2 * PIECE + 1;
        for length in [None, Some(size as u64)] {
            let (sizes, error) = pieces(size, length).await;
            assert_eq!(sizes, [PIECE, PIECE, 1]);
            assert!(error.is_none());
        }
        for wrong in [size - 1, size + 1] {
            let (_, error) = pieces(size, Some(wrong as u64)).await;
            assert_eq!(error.expect("another length").field(), Some("body.length"), "{wrong}");
        }
    }
}
