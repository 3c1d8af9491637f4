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
