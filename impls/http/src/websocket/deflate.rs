//! Compression of messages (RFC 7692, section 7.2).

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use networking_spi::error::context;
use networking_spi::{ErrorKind, NetworkError, Result};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame, FrameHeader};

use super::RECEIVE;
use super::extension::Agreement;

/// The end of a flushed block, which is not sent.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// How many bytes are processed before other tasks get their turn.
const STEP: usize = 64 << 10;

/// Compresses the messages of one connection, in the order in which they are sent.
pub(super) struct Compressor {
    deflate: Compress,
    resets: bool,
    min_size: usize,
    /// Whether the window contains bytes that the peer did not get.
    dirty: bool,
}

impl Compressor {
    /// `None` if the peer demands a window that the compressor cannot make.
    pub(super) fn new(agreement: &Agreement) -> Option<Self> {
        let deflate = Compress::new_with_window_bits(Compression::default(), false, agreement.window_bits?);
        Some(Self {
            deflate,
            resets: agreement.resets_compressor,
            min_size: agreement.min_size,
            dirty: false,
        })
    }

    /// The compressed frame of a text or binary message; `None` if it is sent as it is. [`sent`](Self::sent) must be called when the
    /// frame was sent. If the future or the frame is dropped, the next message is compressed without the messages before it.
    pub(super) async fn frame(&mut self, message: &Message) -> Option<Message> {
        let (opcode, payload) = match message {
            Message::Text(text) => (Data::Text, text.as_bytes()),
            Message::Binary(data) => (Data::Binary, &data[..]),
            _ => return None,
        };
        if payload.len() < self.min_size {
            return None;
        }
        let header = FrameHeader {
            rsv1: true,
            opcode: OpCode::Data(opcode),
            ..FrameHeader::default()
        };
        let payload = self.compress(payload).await;
        Some(Message::Frame(Frame::from_payload(header, payload.into())))
    }

    async fn compress(&mut self, message: &[u8]) -> Vec<u8> {
        if std::mem::replace(&mut self.dirty, true) || self.resets {
            self.deflate.reset();
        }
        let mut output = Vec::with_capacity((message.len() / 2).max(64));
        let mut steps = message.chunks(STEP).peekable();
        while let Some(step) = steps.next() {
            let flush = if steps.peek().is_some() {
                FlushCompress::None
            } else {
                FlushCompress::Sync
            };
            self.feed(step, flush, &mut output);
            if steps.peek().is_some() {
                tokio::task::yield_now().await;
            }
        }
        if message.is_empty() {
            self.feed(message, FlushCompress::Sync, &mut output);
        }
        if output.ends_with(&TAIL) {
            output.truncate(output.len() - TAIL.len());
        }
        if output.is_empty() {
            // An empty block, because a message has at least one byte (section 7.2.3.6).
            output.push(0);
        }
        output
    }

    fn feed(&mut self, mut input: &[u8], flush: FlushCompress, output: &mut Vec<u8>) {
        loop {
            if output.capacity() - output.len() < 64 {
                output.reserve(output.len().max(256));
            }
            let before = self.deflate.total_in();
            // Fails only for a wrong order of flushes.
            let _ = self.deflate.compress_vec(input, output, flush);
            input = &input[advanced(before, self.deflate.total_in())..];
            // The flush is complete when there was more room than it needed.
            if input.is_empty() && output.len() < output.capacity() {
                return;
            }
        }
    }

    /// The peer gets the frame that was made last.
    pub(super) const fn sent(&mut self) {
        self.dirty = false;
    }
}

/// Decompresses the messages of one connection, in the order of arrival.
pub(super) struct Decompressor {
    inflate: Decompress,
    resets: bool,
    /// The largest size of a message, in bytes.
    limit: usize,
}

impl Decompressor {
    pub(super) fn new(agreement: &Agreement, limit: usize) -> Self {
        Self {
            inflate: Decompress::new(false),
            resets: agreement.resets_decompressor,
            limit,
        }
    }

    /// # Errors
    /// `Decode` for data that is not compressed, and `TooLarge` for a message above the limit. After an error no further message
    /// can be decompressed.
    pub(super) async fn decompress(&mut self, message: &[u8]) -> Result<Vec<u8>> {
        if self.resets {
            self.inflate.reset(false);
        }
        let mut output = Vec::with_capacity(message.len().saturating_mul(2).clamp(64, STEP).min(self.limit + 1));
        let mut ended = false;
        for mut input in [message, &TAIL] {
            if ended {
                // The message was a whole stream, without the empty block that would need the tail.
                break;
            }
            loop {
                self.make_room(&mut output);
                let before = (self.inflate.total_in(), output.len());
                let status = self
                    .inflate
                    .decompress_vec(input, &mut output, FlushDecompress::Sync)
                    .map_err(|error| corrupt().with_source(error))?;
                if output.len() > self.limit {
                    return Err(too_large(self.limit));
                }
                let consumed = advanced(before.0, self.inflate.total_in());
                input = &input[consumed..];
                if status == Status::StreamEnd {
                    // A final block: what follows is a new stream (section 7.2.3.4).
                    self.inflate.reset(false);
                    ended = input.is_empty();
                } else if consumed == 0 && output.len() == before.1 && !input.is_empty() {
                    return Err(corrupt());
                }
                if ended || input.is_empty() && output.len() < output.capacity() {
                    break;
                }
                if output.len() / STEP > before.1 / STEP {
                    tokio::task::yield_now().await;
                }
            }
        }
        Ok(output)
    }

    /// Makes room for a step, and for one byte above the limit.
    fn make_room(&self, output: &mut Vec<u8>) {
        if output.len() == output.capacity() {
            let most = (self.limit + 1).saturating_sub(output.len());
            output.reserve_exact(output.len().max(STEP).min(most).max(1));
        }
    }
}

fn advanced(before: u64, after: u64) -> usize {
    usize::try_from(after - before).expect("not more than the input")
}

fn corrupt() -> NetworkError {
    NetworkError::new(ErrorKind::Decode, RECEIVE, "a compressed message is corrupt")
}

fn too_large(limit: usize) -> NetworkError {
    let message = format!("a message is longer than {limit} bytes: raise `max_message_size` of the `WebSocketOptions`");
    NetworkError::new(ErrorKind::TooLarge, RECEIVE, message)
        .with_context(context::LIMIT, limit.to_string())
        .with_context(context::SETTING, "max_message_size")
}

#[cfg(test)]
mod tests {
    use super::*;

    const AGREEMENT: Agreement = Agreement {
        resets_compressor: false,
        resets_decompressor: false,
        window_bits: Some(15),
        min_size: 0,
    };

    fn noise(length: usize) -> Vec<u8> {
        let mut random = fastrand::Rng::with_seed(7);
        std::iter::repeat_with(|| random.u8(..)).take(length).collect()
    }

    async fn round_trip(agreement: Agreement, messages: &[Vec<u8>]) {
        let mut compressor = Compressor::new(&agreement).unwrap();
        let mut decompressor = Decompressor::new(&agreement, 1 << 24);
        for (index, message) in messages.iter().enumerate() {
            let compressed = compressor.compress(message).await;
            compressor.sent();
            let back = decompressor.decompress(&compressed).await.unwrap();
            assert!(back == *message, "message {index} of {} bytes", message.len());
        }
    }

    #[tokio::test]
    async fn messages_of_every_size_and_kind_arrive_unchanged() {
        let text: Vec<u8> = b"the quick brown fox ".iter().copied().cycle().take(300_000).collect();
        let messages: Vec<_> = [0, 1, 5, 63, 64, 1_000, 65_535, 65_536, 65_537, 131_072, 300_000]
            .into_iter()
            .flat_map(|length| [text[..length].to_vec(), noise(length)])
            .collect();
        for bits in 9..=15 {
            for resets in [false, true] {
                let agreement = Agreement {
                    resets_compressor: resets,
                    resets_decompressor: resets,
                    window_bits: Some(bits),
                    min_size: 0,
                };
                round_trip(agreement, &messages).await;
            }
        }
    }

    #[tokio::test]
    async fn a_window_that_is_kept_compresses_better() {
        let message = noise(1_000);
        for (resets, shorter) in [(false, true), (true, false)] {
            let agreement = Agreement {
                resets_compressor: resets,
                ..AGREEMENT
            };
            let mut compressor = Compressor::new(&agreement).unwrap();
            let first = compressor.compress(&message).await.len();
            compressor.sent();
            let second = compressor.compress(&message).await.len();
            assert_eq!(second < first / 10, shorter, "{first} bytes, then {second}");
        }
    }

    #[tokio::test]
    async fn a_message_that_was_not_sent_leaves_no_trace() {
        let mut compressor = Compressor::new(&AGREEMENT).unwrap();
        let mut decompressor = Decompressor::new(&AGREEMENT, 1 << 20);
        let lost = compressor.compress(b"the same text, the same text").await;
        drop(lost);
        let kept = compressor.compress(b"the same text, the same text").await;
        compressor.sent();
        let back = decompressor.decompress(&kept).await.unwrap();
        assert_eq!(back, b"the same text, the same text");
    }

    /// The examples of RFC 7692, section 7.2.3.
    #[tokio::test]
    async fn the_examples_of_the_rfc_are_decompressed() {
        for messages in [
            &[
                &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..],
                &[0xf2, 0x00, 0x11, 0x00, 0x00],
            ][..],
            &[&[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00]],
            &[
                &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
                &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            ],
            // Final blocks without a byte after them, as some senders write.
            &[
                &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
                &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
                &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
            ],
            &[&[
                0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00,
            ]],
        ] {
            let mut decompressor = Decompressor::new(&AGREEMENT, 100);
            for message in messages {
                assert_eq!(
                    decompressor.decompress(message).await.unwrap(),
                    b"Hello",
                    "{message:x?}"
                );
            }
        }
    }

    #[tokio::test]
    async fn the_size_is_limited_while_decompressing() {
        let mut compressor = Compressor::new(&AGREEMENT).unwrap();
        let bomb = compressor.compress(&vec![0; 10_000_000]).await;
        assert!(bomb.len() < 20_000);
        let exact = Decompressor::new(&AGREEMENT, 10_000_000).decompress(&bomb).await;
        assert_eq!(exact.unwrap().len(), 10_000_000);
        let error = Decompressor::new(&AGREEMENT, 9_999_999).decompress(&bomb).await;
        assert_eq!(error.unwrap_err().kind(), ErrorKind::TooLarge);
    }

    #[tokio::test]
    async fn corrupt_messages_are_decode_errors() {
        for corrupt in [&[0xff; 20][..], &[0x06, 0x00], &[0x00, 0x05, 0x00, 0x00, 0x00, 0x48]] {
            let error = Decompressor::new(&AGREEMENT, 1_000).decompress(corrupt).await;
            assert_eq!(error.unwrap_err().kind(), ErrorKind::Decode, "{corrupt:x?}");
        }
    }
}
