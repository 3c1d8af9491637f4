//! Request and response bodies.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_core::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt, stream};

mod chunks;
mod limit;

use self::chunks::Chunks;
use super::progress::{self, UploadProgress};
use crate::error::{ErrorKind, NetworkError, Result, context};

/// The chunks of a body. Dropping the stream aborts the transfer.
pub type ByteStream = BoxStream<'static, Result<Bytes>>;

/// A body that can be read more than once: a file, a buffer, a generator.
pub trait BodySource: fmt::Debug + Send + Sync + 'static {
    /// Opens a new stream that begins at the first byte.
    fn open(&self) -> ByteStream;

    /// The length in bytes, if it is known.
    fn length(&self) -> Option<u64>;
}

/// A body: empty, bytes, a stream, or a source that can be opened again.
///
/// A retry needs a body that can be sent again. Bytes and sources can be sent again, streams cannot. See
/// [`HttpBody::try_clone`].
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
        /// What [`HttpBody::read_ahead`] has read of the stream.
        ahead: Option<Box<Ahead>>,
    },
}

/// The beginning of a stream, and the error that followed it.
#[derive(Default)]
struct Ahead {
    bytes: BytesMut,
    error: Option<NetworkError>,
}

impl HttpBody {
    /// No body.
    pub const fn empty() -> Self {
        Self(Repr::Empty)
    }

    /// A stream that can be sent only once. `length` becomes the `Content-Length`. Without a length, HTTP/1.1 uses the
    /// chunked transfer coding.
    pub fn stream(stream: ByteStream, length: Option<u64>) -> Self {
        Self(Repr::Stream {
            stream,
            length,
            ahead: None,
        })
    }

    /// A source that is opened for each attempt.
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

    /// Whether this is [`empty`](Self::empty).
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

    /// Returns the same body for another attempt; `None` for a stream.
    pub fn try_clone(&self) -> Option<Self> {
        match &self.0 {
            Repr::Empty => Some(Self(Repr::Empty)),
            Repr::Bytes(bytes) => Some(Self(Repr::Bytes(bytes.clone()))),
            Repr::Source(source) => Some(Self(Repr::Source(Arc::clone(source)))),
            Repr::Stream { .. } => None,
        }
    }

    /// Converts the body into a stream of its chunks.
    pub fn into_stream(self) -> ByteStream {
        match self.0 {
            Repr::Empty => stream::empty().boxed(),
            Repr::Bytes(bytes) => stream::once(async move { Ok(bytes) }).boxed(),
            Repr::Source(source) => source.open(),
            Repr::Stream { stream, ahead, .. } => match ahead {
                None => stream,
                Some(ahead) => {
                    let Ahead { bytes, error } = *ahead;
                    let first = (!bytes.is_empty()).then(|| Ok(bytes.freeze()));
                    match error {
                        // Nothing follows an error.
                        Some(error) => stream::iter(first.into_iter().chain([Err(error)])).boxed(),
                        None => stream::iter(first).chain(stream).boxed(),
                    }
                }
            },
        }
    }

    /// Returns the next chunk of the body, as it arrives; `None` after the end and after an error.
    ///
    /// Cancel safety: if the future is dropped, no bytes are lost.
    ///
    /// ```
    /// use networking_spi::http::HttpBody;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> networking_spi::Result<()> {
    /// let mut body = HttpBody::from("hello");
    /// let mut length = 0;
    /// while let Some(chunk) = body.chunk().await? {
    ///     length += chunk.len();
    /// }
    /// assert_eq!(length, 5);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// The errors of the transfer.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>> {
        if let Repr::Bytes(bytes) = &mut self.0 {
            let bytes = std::mem::take(bytes);
            self.0 = Repr::Empty;
            return Ok(Some(bytes));
        }
        self.open();
        let Repr::Stream { stream, length, ahead } = &mut self.0 else {
            return Ok(None);
        };
        let (bytes, error) = ahead.take().map(|ahead| (ahead.bytes, ahead.error)).unwrap_or_default();
        let next = if !bytes.is_empty() {
            if error.is_some() {
                let bytes = BytesMut::new();
                *ahead = Some(Box::new(Ahead { bytes, error }));
            }
            Some(Ok(bytes.freeze()))
        } else if let Some(error) = error {
            Some(Err(error))
        } else {
            stream.next().await
        };
        match next {
            Some(Ok(chunk)) => {
                *length = length.map(|length| length.saturating_sub(chunk.len() as u64));
                Ok(Some(chunk))
            }
            ended => {
                self.0 = Repr::Empty;
                ended.transpose()
            }
        }
    }

    /// Reads the first `limit` bytes of the body into memory, or all of a shorter body. They stay a part of the body, and
    /// [`ahead`](Self::ahead) shows them. An error of the transfer also stays a part of the body, after them.
    ///
    /// Cancel safety: if the future is dropped, what has been read stays a part of the body.
    pub async fn read_ahead(&mut self, limit: usize) {
        self.open();
        let Repr::Stream { stream, ahead, .. } = &mut self.0 else {
            return;
        };
        let read = ahead.get_or_insert_default();
        while read.bytes.len() < limit && read.error.is_none() {
            match stream.next().await {
                Some(Ok(chunk)) => read.bytes.extend_from_slice(&chunk),
                Some(Err(error)) => read.error = Some(error),
                None => {
                    *self = std::mem::take(&mut read.bytes).freeze().into();
                    return;
                }
            }
        }
    }

    /// The first bytes of the body that are in memory: all of a body of bytes, and what [`read_ahead`](Self::read_ahead) has
    /// read of a stream.
    pub fn ahead(&self) -> &[u8] {
        match &self.0 {
            Repr::Bytes(bytes) => bytes,
            Repr::Stream { ahead: Some(ahead), .. } => &ahead.bytes,
            _ => &[],
        }
    }

    /// Whether the whole body is in memory.
    pub(super) const fn is_in_memory(&self) -> bool {
        matches!(self.0, Repr::Empty | Repr::Bytes(_))
    }

    /// Opens a source.
    fn open(&mut self) {
        if let Repr::Source(source) = &self.0 {
            self.0 = Repr::Stream {
                stream: source.open(),
                length: source.length(),
                ahead: None,
            };
        }
    }

    /// Reads the whole body into memory.
    ///
    /// Cancel safety: dropping the future aborts the transfer.
    ///
    /// # Errors
    /// [`TooLarge`](ErrorKind::TooLarge) if the body is longer than `limit` bytes (the transfer is then aborted), and the
    /// errors of the transfer.
    pub async fn collect(self, limit: usize) -> Result<Bytes> {
        let too_large = || {
            let message = format!("the body is longer than its limit of {limit} bytes");
            NetworkError::new(ErrorKind::TooLarge, "http.body", message).with_context(context::LIMIT, limit.to_string())
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

    /// Reports the progress of the body to `observer`: at the start and the end of each attempt, and in between at most
    /// about a hundred times if the length is known, otherwise every 256 KiB. A body that can be sent again still can.
    /// `observer` is called while the body is read, and must not block.
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

    /// Converts the body into one that can be opened for each attempt. A stream is returned unchanged, as the error.
    pub(super) fn into_replay(self) -> std::result::Result<Replay, Self> {
        match self.0 {
            Repr::Empty => Ok(Replay::Bytes(Bytes::new())),
            Repr::Bytes(bytes) => Ok(Replay::Bytes(bytes)),
            Repr::Source(source) => Ok(Replay::Source(source)),
            repr @ Repr::Stream { .. } => Err(Self(repr)),
        }
    }

    /// Wraps the stream of chunks with `wrap`. The length does not change. An empty body is returned unchanged.
    pub fn map_stream(self, wrap: impl FnOnce(ByteStream) -> ByteStream) -> Self {
        if self.is_empty() {
            return self;
        }
        let length = self.length();
        Self::stream(wrap(self.into_stream()), length)
    }
}

/// [`chunk`](Self::chunk) of a [`ByteStream`].
pub trait ByteStreamExt: Send {
    /// Returns the next chunk; `None` after the end.
    ///
    /// Cancel safety: if the future is dropped, no bytes are lost.
    ///
    /// # Errors
    /// The errors of the transfer.
    fn chunk(&mut self) -> impl Future<Output = Result<Option<Bytes>>> + Send;
}

impl ByteStreamExt for ByteStream {
    async fn chunk(&mut self) -> Result<Option<Bytes>> {
        self.try_next().await
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
    /// Prints only kind and length: a body may contain secrets.
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

    pub(super) fn chunks(parts: &[&'static [u8]]) -> ByteStream {
        let chunks: Vec<_> = parts.iter().map(|part| Ok(Bytes::from_static(part))).collect();
        stream::iter(chunks).boxed()
    }

    #[tokio::test]
    async fn chunks_of_every_kind_of_body_come_one_by_one() {
        #[derive(Debug)]
        struct Twice;
        impl BodySource for Twice {
            fn open(&self) -> ByteStream {
                chunks(&[b"ab", b"c"])
            }
            fn length(&self) -> Option<u64> {
                Some(3)
            }
        }
        let two: &[&str] = &["ab", "c"];
        for (mut body, expected) in [
            (HttpBody::empty(), &[][..]),
            (HttpBody::from("abc"), &["abc"]),
            (HttpBody::source(Arc::new(Twice)), two),
            (HttpBody::stream(chunks(&[b"ab", b"c"]), Some(3)), two),
        ] {
            let mut left = 3;
            for expected in expected {
                let chunk = body.chunk().await.unwrap().unwrap();
                assert_eq!(chunk, expected);
                left -= chunk.len() as u64;
                assert_eq!(body.length(), Some(left));
            }
            assert!(body.chunk().await.unwrap().is_none());
            assert!(body.chunk().await.unwrap().is_none(), "also afterwards");
        }
        let mut stream = chunks(&[b"ab"]);
        assert_eq!(stream.chunk().await.unwrap().unwrap(), "ab");
        assert!(stream.chunk().await.unwrap().is_none());
    }

    #[tokio::test]
    async fn what_is_read_ahead_stays_a_part_of_the_body() {
        let lost = || NetworkError::new(ErrorKind::ConnectionClosed, "test", "lost");
        let body = || {
            let parts = [
                Ok(Bytes::from_static(b"ab")),
                Ok(Bytes::from_static(b"cd")),
                Err(lost()),
            ];
            HttpBody::stream(stream::iter(parts).boxed(), Some(9))
        };
        for (limit, ahead) in [(0, ""), (1, "ab"), (2, "ab"), (3, "abcd"), (9, "abcd")] {
            let mut read = body();
            read.read_ahead(limit).await;
            read.read_ahead(limit).await;
            assert_eq!(read.ahead(), ahead.as_bytes(), "{limit}");
            assert_eq!(read.length(), Some(9));
            let mut got = Vec::new();
            let error = loop {
                match read.chunk().await {
                    Ok(Some(chunk)) => got.extend_from_slice(&chunk),
                    Ok(None) => panic!("the error is lost"),
                    Err(error) => break error,
                }
            };
            assert_eq!((&got[..], error.kind()), (&b"abcd"[..], ErrorKind::ConnectionClosed));
            assert!(read.chunk().await.unwrap().is_none());

            let mut read = body();
            read.read_ahead(limit).await;
            let items: Vec<_> = read.into_stream().collect().await;
            assert_eq!(items.iter().flatten().flatten().copied().collect::<Vec<u8>>(), b"abcd");
            assert!(items.last().unwrap().is_err());
        }
        let mut whole = HttpBody::stream(chunks(&[b"ab", b"c"]), None);
        whole.read_ahead(4).await;
        assert_eq!(whole.as_bytes().unwrap(), "abc");
        let mut none = HttpBody::stream(chunks(&[]), None);
        none.read_ahead(4).await;
        assert!(none.is_empty());
    }
}
