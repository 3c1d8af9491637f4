//! Compression and decompression of streams and of bytes in memory.

use std::io;
#[cfg(feature = "gzip")]
use std::mem;

#[cfg(feature = "brotli")]
use async_compression::Level;
#[cfg(feature = "brotli")]
use async_compression::tokio::bufread::{BrotliDecoder, BrotliEncoder};
#[cfg(feature = "gzip")]
use async_compression::tokio::bufread::{DeflateDecoder, GzipDecoder, GzipEncoder, ZlibDecoder, ZlibEncoder};
#[cfg(feature = "zstd")]
use async_compression::tokio::bufread::{ZstdDecoder, ZstdEncoder};
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt, stream};
use networking_spi::compression::CompressionType;
use networking_spi::error::context;
use networking_spi::http::ByteStream;
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, SendState};
#[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt};
use tokio_util::io::StreamReader;

/// The size of the pieces in which output is produced, in bytes.
const PIECE: usize = 16 << 10;

/// Input up to this size, in bytes, is processed in the calling task; larger input on a blocking thread.
const INLINE: usize = 64 << 10;

/// Brotli's default (11) is meant for files that are compressed once, and is about fifty times slower than this.
#[cfg(feature = "brotli")]
const BROTLI_QUALITY: i32 = 5;

/// The codings that are built in.
pub(crate) const CODINGS: &[CompressionType] = &[
    CompressionType::None,
    #[cfg(feature = "gzip")]
    CompressionType::Gzip,
    #[cfg(feature = "gzip")]
    CompressionType::Deflate,
    #[cfg(feature = "brotli")]
    CompressionType::Brotli,
    #[cfg(feature = "zstd")]
    CompressionType::Zstd,
];

/// Decodes chunks as they are read. Corrupt, truncated and trailing data end the stream with `Decode`. An error of `chunks` is
/// returned unchanged. No bytes are decoded to no bytes: many servers label an empty body, too.
pub(crate) fn decode_stream(mut chunks: ByteStream, coding: CompressionType) -> ByteStream {
    let decoded = async move {
        loop {
            match chunks.next().await {
                None => return stream::empty().boxed(),
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(first) => {
                    let chunks = stream::once(async move { first }).chain(chunks).boxed();
                    return decode_bytes(chunks, coding);
                }
            }
        }
    };
    stream::once(decoded).flatten().boxed()
}

fn decode_bytes(chunks: ByteStream, coding: CompressionType) -> ByteStream {
    let reader = StreamReader::new(chunks.map_err(io::Error::other));
    let Some(decoder) = Decoder::new(reader, coding) else {
        return stream::once(async move { Err(unknown("http.decode", coding)) }).boxed();
    };
    stream::unfold(Some(decoder), move |decoder| async move {
        let mut decoder = decoder?;
        let mut piece = BytesMut::with_capacity(PIECE);
        match decoder.read(&mut piece).await {
            Ok(0) => None,
            Ok(_) => Some((Ok(piece.freeze()), Some(decoder))),
            Err(error) => Some((Err(decode_error(error, coding).with_send_state(SendState::Sent)), None)),
        }
    })
    .boxed()
}

/// Compresses bytes in memory.
pub(crate) async fn compress(data: Bytes, coding: CompressionType) -> Result<Bytes> {
    if coding == CompressionType::None {
        return Ok(data);
    }
    run(data.len(), move || async move {
        let mut output = BytesMut::with_capacity(data.len() / 2 + 64);
        encode(&data, coding, &mut output).await?;
        Ok(output.freeze())
    })
    .await
}

/// Decompresses bytes in memory to at most `limit` bytes.
pub(crate) async fn decompress(data: Bytes, coding: CompressionType, limit: usize) -> Result<Bytes> {
    if coding == CompressionType::None {
        return if data.len() > limit {
            Err(too_large(limit))
        } else {
            Ok(data)
        };
    }
    run(data.len(), move || async move {
        let mut decoder = Decoder::new(&data[..], coding).ok_or_else(|| unknown(DECOMPRESS, coding))?;
        let mut output = BytesMut::with_capacity(data.len().saturating_mul(3).min(limit).min(1 << 20));
        loop {
            output.reserve(PIECE);
            if decoder
                .read(&mut output)
                .await
                .map_err(|error| decode_error(error, coding).with_operation(DECOMPRESS))?
                == 0
            {
                return Ok(output.freeze());
            }
            if output.len() > limit {
                return Err(too_large(limit));
            }
            // A small input can have a large output: yield to other tasks.
            tokio::task::consume_budget().await;
        }
    })
    .await
}

const COMPRESS: &str = "http.compress_request";
const DECOMPRESS: &str = "http.decompress_response";

/// Runs `work` in the calling task for small input, and on a blocking thread for large input.
async fn run<F, Fut>(input: usize, work: F) -> Result<Bytes>
where
    F: FnOnce() -> Fut + Send + 'static,
    Fut: Future<Output = Result<Bytes>> + Send,
{
    if input <= INLINE {
        return work().await;
    }
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(work()))
        .await
        .unwrap_or_else(|error| {
            Err(NetworkError::new(
                ErrorKind::Cancelled,
                "http.codec",
                "the runtime shut down or the codec panicked",
            )
            .with_source(error))
        })
}

#[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
async fn encode(data: &[u8], coding: CompressionType, output: &mut BytesMut) -> Result<()> {
    macro_rules! drive {
        ($encoder:expr) => {{
            let mut encoder = $encoder;
            loop {
                output.reserve(PIECE);
                match encoder.read_buf(output).await {
                    Ok(0) => return Ok(()),
                    Ok(_) => tokio::task::consume_budget().await,
                    Err(error) => {
                        return Err(
                            NetworkError::new(ErrorKind::Encode, COMPRESS, "the data cannot be compressed")
                                .with_source(error),
                        );
                    }
                }
            }
        }};
    }
    match coding {
        #[cfg(feature = "gzip")]
        CompressionType::Gzip => drive!(GzipEncoder::new(data)),
        #[cfg(feature = "gzip")]
        CompressionType::Deflate => drive!(ZlibEncoder::new(data)),
        #[cfg(feature = "brotli")]
        CompressionType::Brotli => drive!(BrotliEncoder::with_quality(data, Level::Precise(BROTLI_QUALITY))),
        #[cfg(feature = "zstd")]
        CompressionType::Zstd => drive!(ZstdEncoder::new(data)),
        _ => Err(unknown(COMPRESS, coding)),
    }
}

/// The decoders are boxed, because their states are large and differ in size.
#[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
enum Decoder<R> {
    #[cfg(feature = "gzip")]
    Gzip(Box<GzipDecoder<R>>),
    /// Before the first bytes show which of the two formats follows.
    #[cfg(feature = "gzip")]
    AnyDeflate(R),
    #[cfg(feature = "gzip")]
    Zlib(Box<ZlibDecoder<R>>),
    #[cfg(feature = "gzip")]
    Deflate(Box<DeflateDecoder<R>>),
    /// While a decoder is replaced.
    #[cfg(feature = "gzip")]
    Replaced,
    #[cfg(feature = "brotli")]
    Brotli(Box<BrotliDecoder<R>>),
    #[cfg(feature = "zstd")]
    Zstd(Box<ZstdDecoder<R>>),
}

#[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
impl<R: AsyncBufRead + Unpin> Decoder<R> {
    fn new(reader: R, coding: CompressionType) -> Option<Self> {
        Some(match coding {
            #[cfg(feature = "gzip")]
            CompressionType::Gzip => Self::Gzip(Box::new(GzipDecoder::new(reader))),
            #[cfg(feature = "gzip")]
            CompressionType::Deflate => Self::AnyDeflate(reader),
            #[cfg(feature = "brotli")]
            CompressionType::Brotli => Self::Brotli(Box::new(BrotliDecoder::new(reader))),
            #[cfg(feature = "zstd")]
            CompressionType::Zstd => {
                let mut decoder = ZstdDecoder::new(reader);
                decoder.multiple_members(true);
                Self::Zstd(Box::new(decoder))
            }
            _ => return None,
        })
    }

    /// Appends decoded bytes to `output` and returns their number; 0 at the end. Input after the end of the data is an error.
    async fn read(&mut self, output: &mut BytesMut) -> io::Result<usize> {
        #[cfg(feature = "gzip")]
        if let Self::AnyDeflate(reader) = self {
            let zlib = starts_as_zlib(reader.fill_buf().await?);
            let Self::AnyDeflate(reader) = mem::replace(self, Self::Replaced) else {
                unreachable!("checked above");
            };
            *self = if zlib {
                Self::Zlib(Box::new(ZlibDecoder::new(reader)))
            } else {
                Self::Deflate(Box::new(DeflateDecoder::new(reader)))
            };
        }
        #[cfg(feature = "gzip")]
        while let Self::Gzip(decoder) = self {
            let count = decoder.read_buf(output).await?;
            if count > 0 || !another_member(decoder.get_mut()).await? {
                return Ok(count);
            }
            // A gzip file may have several members (RFC 1952, section 2.2).
            let Self::Gzip(decoder) = mem::replace(self, Self::Replaced) else {
                unreachable!("checked above");
            };
            *self = Self::Gzip(Box::new(GzipDecoder::new(decoder.into_inner())));
        }
        let (count, rest) = match self {
            #[cfg(feature = "gzip")]
            Self::Zlib(decoder) => (decoder.read_buf(output).await?, decoder.get_mut()),
            #[cfg(feature = "gzip")]
            Self::Deflate(decoder) => (decoder.read_buf(output).await?, decoder.get_mut()),
            #[cfg(feature = "gzip")]
            Self::Gzip(_) | Self::AnyDeflate(_) | Self::Replaced => unreachable!("handled above"),
            #[cfg(feature = "brotli")]
            Self::Brotli(decoder) => (decoder.read_buf(output).await?, decoder.get_mut()),
            #[cfg(feature = "zstd")]
            Self::Zstd(decoder) => (decoder.read_buf(output).await?, decoder.get_mut()),
        };
        if count == 0 && !rest.fill_buf().await?.is_empty() {
            return Err(trailing_data());
        }
        Ok(count)
    }
}

#[cfg(any(feature = "brotli", feature = "gzip", feature = "zstd"))]
fn trailing_data() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "data after the end of the compressed data")
}

/// Whether data begins with a header of zlib (RFC 1950, section 2.2). The content coding `deflate` is zlib (RFC 9110, section
/// 8.4.1.2), but some servers send raw deflate data (RFC 1951).
#[cfg(feature = "gzip")]
fn starts_as_zlib(data: &[u8]) -> bool {
    let method_and_window = |byte: u8| byte & 0x0f == 8 && byte >> 4 <= 7;
    match *data {
        [first, second, ..] => method_and_window(first) && u16::from_be_bytes([first, second]).is_multiple_of(31),
        [first] => method_and_window(first),
        [] => true,
    }
}

/// Whether another member of a gzip file follows. Zeros may fill up the file after its last member.
#[cfg(feature = "gzip")]
async fn another_member<R: AsyncBufRead + Unpin>(reader: &mut R) -> io::Result<bool> {
    let mut padded = false;
    loop {
        let data = reader.fill_buf().await?;
        let zeros = data.iter().take_while(|byte| **byte == 0).count();
        match data.get(zeros) {
            None if data.is_empty() => return Ok(false),
            None => {
                reader.consume(zeros);
                padded = true;
            }
            Some(0x1f) if zeros == 0 && !padded => return Ok(true),
            Some(_) => return Err(trailing_data()),
        }
    }
}

#[cfg(not(any(feature = "brotli", feature = "gzip", feature = "zstd")))]
#[allow(clippy::unused_async, reason = "has the signature of the function with codings")]
async fn encode(_data: &[u8], coding: CompressionType, _output: &mut BytesMut) -> Result<()> {
    Err(unknown(COMPRESS, coding))
}

/// In a build without codings, a decoder cannot be created.
#[cfg(not(any(feature = "brotli", feature = "gzip", feature = "zstd")))]
struct Decoder<R>(std::convert::Infallible, std::marker::PhantomData<R>);

#[cfg(not(any(feature = "brotli", feature = "gzip", feature = "zstd")))]
impl<R> Decoder<R> {
    fn new(_reader: R, _coding: CompressionType) -> Option<Self> {
        None
    }

    #[allow(clippy::unused_async, reason = "has the signature of the function with codings")]
    async fn read(&mut self, _output: &mut BytesMut) -> io::Result<usize> {
        match self.0 {}
    }
}

fn decode_error(error: io::Error, coding: CompressionType) -> NetworkError {
    let kind = error.kind();
    match error.downcast::<NetworkError>() {
        Ok(inner) => inner,
        Err(error) => {
            let (reason, message) = match kind {
                io::ErrorKind::UnexpectedEof => ("truncated_coding", "the compressed data is truncated"),
                _ => ("corrupt_coding", "the compressed data is corrupt"),
            };
            NetworkError::new(ErrorKind::Decode, "http.body", message)
                .with_retryability(Retryability::Never)
                .with_context(context::REASON, reason)
                .with_context(context::CODING, coding.as_str())
                .with_source(error)
        }
    }
}

fn too_large(limit: usize) -> NetworkError {
    let message =
        format!("the decompressed data is longer than {limit} bytes: raise `max_response_size` of the client");
    NetworkError::new(ErrorKind::TooLarge, DECOMPRESS, message)
        .with_context(context::LIMIT, limit.to_string())
        .with_context(context::SETTING, "max_response_size")
}

fn unknown(operation: &'static str, coding: CompressionType) -> NetworkError {
    let feature = match coding {
        CompressionType::Gzip | CompressionType::Deflate => "gzip",
        CompressionType::Brotli => "brotli",
        CompressionType::Zstd => "zstd",
        _ => return NetworkError::unsupported(operation, "compression").with_context(context::CODING, coding.as_str()),
    };
    NetworkError::not_built(operation, "compression", feature).with_context(context::CODING, coding.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn real() -> impl Iterator<Item = CompressionType> {
        CODINGS
            .iter()
            .copied()
            .filter(|coding| *coding != CompressionType::None)
    }

    fn sample(length: usize) -> Bytes {
        let mut random = fastrand::Rng::with_seed(7);
        (0..length).map(|_| random.u8(b'a'..=b'p')).collect()
    }

    #[tokio::test]
    async fn round_trips_in_memory_and_as_a_stream() {
        for &coding in CODINGS {
            for length in [0, 1, 1_000, 300_000] {
                let data = sample(length);
                let packed = compress(data.clone(), coding).await.unwrap();
                assert_eq!(
                    decompress(packed.clone(), coding, length).await.unwrap(),
                    data,
                    "{coding} {length}"
                );
                if coding != CompressionType::None {
                    let pieces: Vec<Result<Bytes>> = packed
                        .chunks(777)
                        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                        .collect();
                    let chunks: Vec<Bytes> = decode_stream(stream::iter(pieces).boxed(), coding)
                        .try_collect()
                        .await
                        .unwrap();
                    assert_eq!(chunks.concat(), data, "{coding} {length} as a stream");
                }
            }
        }
    }

    #[tokio::test]
    async fn truncated_and_trailing_and_corrupt_data_is_found() {
        for coding in real() {
            let packed = compress(sample(5_000), coding).await.unwrap();
            let cut = packed.slice(..packed.len() - 3);
            let longer: Bytes = [&packed[..], b"garbage"].concat().into();
            let garbage = Bytes::from_static(b"\x01\x02\x03\x04 this was never compressed");
            for (what, bad) in [("cut", cut), ("longer", longer), ("garbage", garbage)] {
                let error = decompress(bad.clone(), coding, 1 << 20)
                    .await
                    .expect_err(&format!("{coding} {what}"));
                assert_eq!(error.kind(), ErrorKind::Decode, "{coding} {what}: {error}");
                let streamed = decode_stream(stream::iter([Ok(bad)]).boxed(), coding)
                    .try_collect::<Vec<_>>()
                    .await;
                assert_eq!(
                    streamed.unwrap_err().kind(),
                    ErrorKind::Decode,
                    "{coding} {what} as a stream"
                );
            }
        }
    }

    #[tokio::test]
    async fn no_bytes_are_an_empty_body_but_no_compressed_data() {
        for coding in real() {
            for chunks in [vec![], vec![Ok(Bytes::new()), Ok(Bytes::new())]] {
                let decoded: Vec<Bytes> = decode_stream(stream::iter(chunks).boxed(), coding)
                    .try_collect()
                    .await
                    .unwrap();
                assert!(decoded.is_empty(), "{coding}");
            }
            let error = decompress(Bytes::new(), coding, 1 << 20).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode, "{coding}");
        }
    }

    #[cfg(feature = "gzip")]
    #[tokio::test]
    async fn raw_deflate_is_decoded_as_zlib_is() {
        let data = sample(50_000);
        let mut raw = Vec::new();
        let mut encoder = async_compression::tokio::bufread::DeflateEncoder::new(&data[..]);
        encoder.read_to_end(&mut raw).await.unwrap();
        let decoded = decompress(raw.clone().into(), CompressionType::Deflate, data.len()).await;
        assert_eq!(decoded.unwrap(), data);
        for size in [1, 2, 777] {
            let pieces: Vec<Result<Bytes>> = raw
                .chunks(size)
                .map(|piece| Ok(Bytes::copy_from_slice(piece)))
                .collect();
            let decoded = decode_stream(stream::iter(pieces).boxed(), CompressionType::Deflate);
            let decoded: Vec<Bytes> = decoded.try_collect().await.unwrap();
            assert_eq!(decoded.concat(), data, "in pieces of {size}");
        }
    }

    #[cfg(feature = "gzip")]
    #[tokio::test]
    async fn a_gzip_file_has_members_and_padding() {
        let member = compress(sample(1_000), CompressionType::Gzip).await.unwrap();
        let twice = [&member[..], &member].concat();
        for (file, members) in [
            (member.to_vec(), 1),
            (twice.clone(), 2),
            ([&member[..], &[0; 10]].concat(), 1),
            ([&twice[..], &vec![0; 40_000]].concat(), 2),
        ] {
            let decoded = decompress(file.into(), CompressionType::Gzip, 1 << 20).await.unwrap();
            assert_eq!(decoded.len(), members * 1_000);
        }
        for rest in [&b"\0\0x"[..], b"x", b"\x1f", &member[..20]] {
            let file = [&member[..], rest].concat();
            let error = decompress(file.into(), CompressionType::Gzip, 1 << 20)
                .await
                .unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Decode, "{rest:?}");
        }
    }

    #[tokio::test]
    async fn a_compression_bomb_stops_at_the_limit() {
        for coding in real() {
            let bomb = compress(Bytes::from(vec![0; 8 << 20]), coding).await.unwrap();
            assert!(bomb.len() < INLINE, "{coding}: {} bytes", bomb.len());
            let error = decompress(bomb, coding, 100_000).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::TooLarge, "{coding}");
        }
        assert_eq!(
            decompress("abc".into(), CompressionType::None, 2)
                .await
                .unwrap_err()
                .kind(),
            ErrorKind::TooLarge
        );
    }

    #[cfg(feature = "gzip")]
    #[tokio::test]
    async fn an_error_of_the_chunks_is_passed_on_unchanged() {
        let packed = compress(sample(5_000), CompressionType::Gzip).await.unwrap();
        let lost = || NetworkError::new(ErrorKind::TruncatedBody, "http.request", "lost");
        let chunks = stream::iter([Ok(packed.slice(..100)), Err(lost())]).boxed();
        let error = decode_stream(chunks, CompressionType::Gzip)
            .try_collect::<Vec<_>>()
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TruncatedBody);
    }
}
