//! Request and response bodies.

use std::fmt;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::progress::{self, UploadProgress};
use crate::error::{ErrorKind, NetworkError, Result};

/// Chunks of a body. Dropping it aborts the transfer.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// Chunks below this size are copied together while a body is collected: a peer that sends many must not make each of them
/// hold on to the buffer it came in.
const SMALL_CHUNK: usize = 4 << 10;

/// A body that can be read more than once: a file, a buffer, a generator.
pub trait BodySource: fmt::Debug + Send + Sync + 'static {
    /// A fresh stream from the first byte.
    fn open(&self) -> ByteStream;

    /// The length in bytes, if it is known.
    fn length(&self) -> Option<u64>;
}

/// A body: nothing, bytes, a stream, or a source that can be opened again.
///
/// Retries need a body that can be sent again: [`HttpBody::try_clone`] says which can. A plain stream cannot.
#[derive(Default)]
pub struct HttpBody(Repr);

#[derive(Default)]
enum Repr {
    #[default]
    Empty,
    Bytes(Bytes),
    Source(Arc<dyn BodySource>),
    Stream {
        stream: ByteStream,
        length: Option<u64>,
    },
}

impl HttpBody {
    /// No body.
    pub const fn empty() -> Self {
        Self(Repr::Empty)
    }

    /// A stream that can be sent once. `length` becomes the `Content-Length`; without it the body is chunked.
    pub fn stream(stream: ByteStream, length: Option<u64>) -> Self {
        Self(Repr::Stream { stream, length })
    }

    /// A body that can be opened for each attempt.
    pub fn source(source: Arc<dyn BodySource>) -> Self {
        Self(Repr::Source(source))
    }

    /// The length in bytes, if it is known.
    pub fn length(&self) -> Option<u64> {
        match &self.0 {
            Repr::Empty => Some(0),
            Repr::Bytes(bytes) => Some(bytes.len() as u64),
            Repr::Source(source) => source.length(),
            Repr::Stream { length, .. } => *length,
        }
    }

    /// Whether there is no body at all.
    pub const fn is_empty(&self) -> bool {
        matches!(self.0, Repr::Empty)
    }

    /// The bytes, if the body is in memory.
    pub const fn as_bytes(&self) -> Option<&Bytes> {
        match &self.0 {
            Repr::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The same body for another attempt; `None` for a stream.
    pub fn try_clone(&self) -> Option<Self> {
        match &self.0 {
            Repr::Empty => Some(Self(Repr::Empty)),
            Repr::Bytes(bytes) => Some(Self(Repr::Bytes(bytes.clone()))),
            Repr::Source(source) => Some(Self(Repr::Source(Arc::clone(source)))),
            Repr::Stream { .. } => None,
        }
    }

    /// The body as chunks.
    pub fn into_stream(self) -> ByteStream {
        match self.0 {
            Repr::Empty => stream::empty().boxed(),
            Repr::Bytes(bytes) => stream::once(async move { Ok(bytes) }).boxed(),
            Repr::Source(source) => source.open(),
            Repr::Stream { stream, .. } => stream,
        }
    }

    /// The whole body in memory.
    ///
    /// Cancel safety: the rest of the body is lost.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) when it is longer than `limit` bytes (the transfer stops there), and the errors
    /// of the transfer.
    pub async fn collect(self, limit: usize) -> Result<Bytes> {
        let too_large = || {
            NetworkError::new(ErrorKind::TooLarge, "http.body", "the body is longer than the limit")
                .with_context("limit", limit.to_string())
        };
        match self.0 {
            Repr::Empty => Ok(Bytes::new()),
            Repr::Bytes(bytes) if bytes.len() > limit => Err(too_large()),
            Repr::Bytes(bytes) => Ok(bytes),
            repr => {
                let mut stream = Self(repr).into_stream();
                let mut chunks = Chunks::default();
                while let Some(chunk) = stream.try_next().await? {
                    if chunks.length + chunk.len() > limit {
                        return Err(too_large());
                    }
                    chunks.push(chunk);
                }
                Ok(chunks.into_bytes())
            }
        }
    }

    /// The same body, with `observer` told how far it is: at the start and the end of each attempt, and at most about a
    /// hundred times in between when the length is known (every 256 KiB otherwise). A body that can be sent again still
    /// can. `observer` is called while the body is read and must not block.
    ///
    /// ```
    /// use networking_spi::http::HttpBody;
    ///
    /// let body = HttpBody::from("hello").with_progress(|progress| {
    ///     eprintln!("attempt {}: {} of {:?} bytes", progress.attempt, progress.sent, progress.total);
    /// });
    /// assert!(body.try_clone().is_some());
    /// ```
    pub fn with_progress(self, observer: impl Fn(UploadProgress) + Send + Sync + 'static) -> Self {
        progress::observe(self, Arc::new(observer))
    }

    /// The body as one that can be opened for each attempt; a stream comes back as it was.
    pub(super) fn into_replay(self) -> std::result::Result<Replay, Self> {
        match self.0 {
            Repr::Empty => Ok(Replay::Bytes(Bytes::new())),
            Repr::Bytes(bytes) => Ok(Replay::Bytes(bytes)),
            Repr::Source(source) => Ok(Replay::Source(source)),
            repr @ Repr::Stream { .. } => Err(Self(repr)),
        }
    }

    /// The same body with `wrap` around its chunks; empty bodies and the length stay as they are.
    pub fn map_stream(self, wrap: impl FnOnce(ByteStream) -> ByteStream) -> Self {
        if self.is_empty() {
            return self;
        }
        let length = self.length();
        Self::stream(wrap(self.into_stream()), length)
    }
}

/// A body that can be opened for each attempt. Unlike [`HttpBody`], which may be a stream, it can be shared.
#[derive(Debug, Clone)]
pub(super) enum Replay {
    Bytes(Bytes),
    Source(Arc<dyn BodySource>),
}

impl Replay {
    pub(super) fn to_body(&self) -> HttpBody {
        match self {
            Self::Bytes(bytes) => bytes.clone().into(),
            Self::Source(source) => HttpBody::source(Arc::clone(source)),
        }
    }
}

/// Chunks as they came. What is announced is not reserved: it may be a lie, and the end knows the size.
#[derive(Default)]
struct Chunks {
    whole: Vec<Bytes>,
    /// Those behind `whole`, copied together.
    small: BytesMut,
    length: usize,
}

impl Chunks {
    fn push(&mut self, chunk: Bytes) {
        if chunk.is_empty() {
            return;
        }
        let first = self.length == 0;
        self.length += chunk.len();
        if first || chunk.len() >= SMALL_CHUNK {
            self.seal();
            self.whole.push(chunk);
        } else {
            self.small.extend_from_slice(&chunk);
        }
    }

    fn seal(&mut self) {
        if !self.small.is_empty() {
            self.whole.push(std::mem::take(&mut self.small).freeze());
        }
    }

    /// One chunk is the usual case, and then nothing is copied.
    fn into_bytes(mut self) -> Bytes {
        self.seal();
        if self.whole.len() > 1 {
            return self.whole.concat().into();
        }
        self.whole.pop().unwrap_or_default()
    }
}

impl From<Bytes> for HttpBody {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::empty()
        } else {
            Self(Repr::Bytes(bytes))
        }
    }
}

impl From<Vec<u8>> for HttpBody {
    fn from(bytes: Vec<u8>) -> Self {
        Bytes::from(bytes).into()
    }
}

impl From<String> for HttpBody {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl From<&'static str> for HttpBody {
    fn from(text: &'static str) -> Self {
        Bytes::from_static(text.as_bytes()).into()
    }
}

impl From<&'static [u8]> for HttpBody {
    fn from(bytes: &'static [u8]) -> Self {
        Bytes::from_static(bytes).into()
    }
}

impl fmt::Debug for HttpBody {
    /// Kind and length only: a body may hold anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Repr::Empty => f.write_str("Empty"),
            Repr::Bytes(bytes) => write!(f, "Bytes({} bytes)", bytes.len()),
            Repr::Source(source) => write!(f, "Source({:?} bytes)", source.length()),
            Repr::Stream { length, .. } => write!(f, "Stream({length:?} bytes)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_of_every_size_come_together_in_order() {
        let sizes = [0, 1, SMALL_CHUNK, 3, 4, 2 * SMALL_CHUNK, SMALL_CHUNK - 1, 0, 7];
        let mut chunks = Chunks::default();
        let mut expected = Vec::new();
        for (value, size) in (0..).zip(sizes) {
            chunks.push(vec![value; size].into());
            expected.extend(vec![value; size]);
        }
        assert!(chunks.whole.len() <= 5, "small chunks are copied together");
        assert_eq!(chunks.length, expected.len());
        assert_eq!(chunks.into_bytes(), expected);
    }

    #[test]
    fn a_single_chunk_is_not_copied() {
        let chunk = Bytes::from(vec![7; 10]);
        let mut chunks = Chunks::default();
        chunks.push(Bytes::new());
        chunks.push(chunk.clone());
        assert_eq!(chunks.into_bytes().as_ptr(), chunk.as_ptr());
        assert!(Chunks::default().into_bytes().is_empty());
    }
}
