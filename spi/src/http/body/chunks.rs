//! The buffer of a body that is being collected.

use bytes::{Bytes, BytesMut};

/// While a body is collected, chunks below this size are copied into one buffer. Otherwise each small chunk would keep the
/// whole buffer in which it was received.
const SMALL_CHUNK: usize = 4 << 10;

/// The chunks of a body that is being collected. No memory is reserved by the announced length, because it may be wrong.
#[derive(Default)]
pub(super) struct Chunks {
    whole: Vec<Bytes>,
    /// The small chunks after `whole`, copied into one buffer.
    small: BytesMut,
    pub(super) length: usize,
}

impl Chunks {
    pub(super) fn push(&mut self, chunk: Bytes) {
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

    /// In the usual case of one chunk, nothing is copied.
    pub(super) fn into_bytes(mut self) -> Bytes {
        self.seal();
        if self.whole.len() > 1 {
            return self.whole.concat().into();
        }
        self.whole.pop().unwrap_or_default()
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
