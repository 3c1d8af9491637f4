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

/// The most that collecting a body reserves before the bytes are there.
const MAX_RESERVE: usize = 8 << 20;

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
                let body = Self(repr);
                // The announced length saves growing; a lying one must not reserve more than it could cost to find out.
                let announced = body
                    .length()
                    .map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
                let mut stream = body.into_stream();
                let Some(first) = stream.try_next().await? else {
                    return Ok(Bytes::new());
                };
                if first.len() > limit {
                    return Err(too_large());
                }
                // One chunk is the usual case, and then nothing is copied.
                let Some(second) = stream.try_next().await? else {
                    return Ok(first);
                };
                let mut all =
                    BytesMut::with_capacity(announced.min(limit).min(MAX_RESERVE).max(first.len() + second.len()));
                all.extend_from_slice(&first);
                let mut next = Some(second);
                while let Some(chunk) = next {
                    if all.len() + chunk.len() > limit {
                        return Err(too_large());
                    }
                    all.extend_from_slice(&chunk);
                    next = stream.try_next().await?;
                }
                Ok(all.freeze())
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
