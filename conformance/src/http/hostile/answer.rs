//! The bytes of a response.

use std::io::Write;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

use super::{BODY_LIMIT, Behaviour, Plan};

/// A response: the parts to send, and what happens to the connection afterwards.
pub(super) struct Answer {
    pub(super) parts: Vec<Bytes>,
    /// Whether there are pauses between the parts.
    pub(super) slowly: bool,
    pub(super) end: End,
}

/// What happens to the connection after the response.
#[derive(Clone, Copy)]
pub(super) enum End {
    /// It stays open for the next request.
    Stay,
    Close,
    Reset,
    /// It stays open without another byte until the client closes it.
    Stall,
    /// Chunks are sent until the client closes it.
    Drip,
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const CHUNKED: &str = "transfer-encoding: chunked\r\n\r\n";

impl Answer {
    pub(super) fn to(plan: &Plan) -> Self {
        let body = &plan.body[..];
        let mut random = fastrand::Rng::with_seed(plan.seed);
        // A proper prefix: the last byte of the body is not sent.
        let half = &body[..random.usize(..body.len())];
        let length = body.len();
        match plan.behaviour {
            Behaviour::Honest => Self::whole(&announced(length, body), End::Stay),
            Behaviour::Chunked => Self::whole(
                &head_and(CHUNKED, &[&chunks(body, &mut random), b"0\r\n\r\n"]),
                End::Stay,
            ),
            Behaviour::Gzip => Self::whole(&coded(&gzip(body)), End::Stay),
            Behaviour::UntilClose => Self::whole(&head_and("\r\n", &[body]), End::Close),
            Behaviour::ClosesAfterwards => Self::whole(&announced(length, body), End::Close),
            Behaviour::EarlyHints => {
                let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n".repeat(random.usize(1..5));
                Self::whole(&[hints.as_bytes(), &announced(length, body)].concat(), End::Stay)
            }
            Behaviour::Drips => Self {
                parts: announced(length, body).chunks(1).map(Bytes::copy_from_slice).collect(),
                slowly: true,
                end: End::Stay,
            },
            Behaviour::LengthTooShort => {
                let forged = announced(6, b"forged");
                Self::whole(&[announced(length, body), forged].concat(), End::Stay)
            }
            Behaviour::Closes => Self::whole(b"", End::Close),
            Behaviour::Resets => Self::whole(b"", End::Reset),
            Behaviour::ResetsInBody => Self::whole(&announced(length, half), End::Reset),
            Behaviour::Truncates => Self::whole(&announced(length, half), End::Close),
            Behaviour::TruncatesChunks => Self::whole(&head_and(CHUNKED, &[&chunks(half, &mut random)]), End::Close),
            Behaviour::ChunkTooLong => Self::chunk(&format!("{:x}", length + 64), body, End::Close),
            Behaviour::ChunkTooShort => Self::chunk(&format!("{:x}", length - 1), body, End::Close),
            Behaviour::ChunkSizeGarbage => Self::chunk("fifty", body, End::Stall),
            Behaviour::ChunkSizeHuge => Self::chunk(&"f".repeat(17), body, End::Stall),
            Behaviour::Garbage => {
                let noise: Vec<u8> = (0..random.usize(1..2_000)).map(|_| random.u8(0x80..)).collect();
                Self::whole(&noise, End::Stall)
            }
            Behaviour::HugeHead => Self::whole(&head_and(&"x-more: and more\r\n".repeat(60_000), &[]), End::Close),
            Behaviour::TwoLengths => {
                let lengths = format!("content-length: {length}\r\ncontent-length: {}\r\n\r\n", length + 1);
                Self::whole(&head_and(&lengths, &[body]), End::Stall)
            }
            Behaviour::NegativeLength => Self::whole(&head_and("content-length: -1\r\n\r\n", &[body]), End::Stall),
            Behaviour::GzipGarbage => Self::whole(&coded(body), End::Stay),
            Behaviour::GzipTruncated => {
                let packed = gzip(body);
                let cut = random.usize(1..packed.len());
                Self::whole(&coded(&packed[..cut]), End::Stay)
            }
            Behaviour::GzipBomb => Self::whole(&coded(&BOMB), End::Stay),
            Behaviour::Stalls => Self::whole(b"", End::Stall),
            Behaviour::StallsInHead => Self::whole(OK.as_bytes(), End::Stall),
            Behaviour::LengthTooLong => Self::whole(&announced(length + random.usize(1..1_000), body), End::Stall),
            Behaviour::DripsForEver => Self::whole(&head_and(CHUNKED, &[]), End::Drip),
        }
    }

    fn whole(bytes: &[u8], end: End) -> Self {
        Self {
            parts: vec![Bytes::copy_from_slice(bytes)],
            slowly: false,
            end,
        }
    }

    /// One chunk whose announced size is `size`.
    fn chunk(size: &str, body: &[u8], end: End) -> Self {
        let line = format!("{CHUNKED}{size}\r\n");
        Self::whole(&head_and(&line, &[body, b"\r\n0\r\n\r\n"]), end)
    }
}

/// A 200 response with these headers, which must include the empty line, followed by `rest`.
fn head_and(headers: &str, rest: &[&[u8]]) -> Vec<u8> {
    let mut bytes = [OK, headers].concat().into_bytes();
    for part in rest {
        bytes.extend_from_slice(part);
    }
    bytes
}

fn announced(length: usize, body: &[u8]) -> Vec<u8> {
    head_and(&format!("content-length: {length}\r\n\r\n"), &[body])
}

fn coded(body: &[u8]) -> Vec<u8> {
    let headers = format!("content-encoding: gzip\r\ncontent-length: {}\r\n\r\n", body.len());
    head_and(&headers, &[body])
}

/// The body in chunks of random sizes, without the last chunk of size 0.
fn chunks(body: &[u8], random: &mut fastrand::Rng) -> Vec<u8> {
    let (mut chunked, mut rest) = (Vec::new(), body);
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(random.usize(1..=rest.len()));
        chunked.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        chunked.extend_from_slice(chunk);
        chunked.extend_from_slice(b"\r\n");
        rest = after;
    }
    chunked
}

fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder
        .write_all(plain)
        .and_then(|()| encoder.finish())
        .expect("a vector takes all bytes")
}

/// Twice [`BODY_LIMIT`] zeros, compressed to some kilobytes.
static BOMB: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let limit = usize::try_from(BODY_LIMIT).expect("a megabyte");
    gzip(&vec![0; 2 * limit])
});
