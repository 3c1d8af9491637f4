//! The size of a record, for metrics and limits.

use bytes::Bytes;
use networking_spi::kafka::KafkaHeaders;

/// The bytes of key, value, header names and header values, without the framing of batches.
pub(crate) fn record_size(key: Option<&Bytes>, value: Option<&Bytes>, headers: &KafkaHeaders) -> usize {
    let headers: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.map_or(0, Bytes::len))
        .sum();
    key.map_or(0, Bytes::len) + value.map_or(0, Bytes::len) + headers
}

/// The size of a batch with only this record, as Kafka's protocol encodes it without compression (record batch, version 2).
pub(crate) fn batch_size(key: Option<&Bytes>, value: Option<&Bytes>, headers: &KafkaHeaders) -> usize {
    /// The fields of a batch before its records.
    const BATCH: usize = 61;
    let field = |bytes: Option<usize>| bytes.map_or(1, |bytes| varint(bytes) + bytes);
    let encoded: usize = headers
        .iter()
        .map(|(name, value)| field(Some(name.len())) + field(value.map(Bytes::len)))
        .sum();
    // Attributes, and the differences to the first timestamp and offset of the batch, have a byte each.
    let body = 3 + field(key.map(Bytes::len)) + field(value.map(Bytes::len)) + varint(headers.len()) + encoded;
    BATCH + varint(body) + body
}

/// The bytes of a number, of which each has seven bits, after zigzag encoding, which doubles it.
const fn varint(number: usize) -> usize {
    let bits = (usize::BITS - number.leading_zeros()) as usize + 1;
    bits.div_ceil(7)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_encoded_like_by_kafka() {
        for (number, bytes) in [(0, 1), (63, 1), (64, 2), (8191, 2), (8192, 3)] {
            assert_eq!(varint(number), bytes, "{number}");
        }
        let value = Bytes::from_static(b"12");
        assert_eq!(batch_size(None, Some(&value), &KafkaHeaders::new()), 61 + 1 + 8);
    }
}
