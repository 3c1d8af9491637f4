//! How many bytes a record counts as, in metrics and against limits.

use bytes::Bytes;
use networking_spi::kafka::KafkaHeaders;

/// Bytes of key, value, header names and header values. The framing of batches is not counted.
pub(crate) fn record_size(key: Option<&Bytes>, value: Option<&Bytes>, headers: &KafkaHeaders) -> usize {
    let headers: usize = headers
        .iter()
        .map(|(name, value)| name.len() + value.map_or(0, Bytes::len))
        .sum();
    key.map_or(0, Bytes::len) + value.map_or(0, Bytes::len) + headers
}
