//! The wire format of Confluent Schema Registry: the schema id before the payload.

use bytes::{BufMut, Bytes, BytesMut};
use networking_spi::{ErrorKind, NetworkError, Result};

/// The first byte of a framed payload.
const MAGIC: u8 = 0;
const HEADER: usize = 5;

/// A payload with the id of its schema.
///
/// Exhaustive on purpose: the wire format has no other parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Framed {
    /// The schema's id in its registry.
    pub schema_id: u32,
    /// The payload. For Protocol Buffers it starts with the list of message indexes.
    pub payload: Bytes,
}

/// Frames a payload: a zero byte, the schema id in four bytes (big endian), the payload.
///
/// ```
/// use networking_kafka::schema_registry::{decode, encode};
/// let framed = encode(7, b"payload");
/// assert_eq!(&framed[..5], [0, 0, 0, 0, 7]);
/// assert_eq!(decode(framed).unwrap().schema_id, 7);
/// ```
pub fn encode(schema_id: u32, payload: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(HEADER + payload.len());
    framed.put_u8(MAGIC);
    framed.put_u32(schema_id);
    framed.put_slice(payload);
    framed.freeze()
}

/// Splits a framed payload into schema id and payload, without copying the payload.
///
/// # Errors
/// [`Decode`](networking_spi::ErrorKind::Decode) if there are fewer than five bytes or the first one is not zero.
pub fn decode(mut framed: Bytes) -> Result<Framed> {
    let payload = framed.split_off(HEADER.min(framed.len()));
    match framed[..] {
        [MAGIC, a, b, c, d] => Ok(Framed {
            schema_id: u32::from_be_bytes([a, b, c, d]),
            payload,
        }),
        _ => Err(NetworkError::new(
            ErrorKind::Decode,
            "kafka.schema",
            "the payload does not start with a zero byte and a schema id",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encoding_and_decoding_round_trip() {
        for payload in [&b""[..], b"x", &[0; 100]] {
            let framed = decode(encode(0x0102_0304, payload)).expect("framed");
            assert_eq!((framed.schema_id, &framed.payload[..]), (0x0102_0304, payload));
        }
    }

    #[test]
    fn other_bytes_are_rejected() {
        for bytes in [&b""[..], &[0, 0, 0, 1], &[1, 0, 0, 0, 1], b"{\"a\":1}"] {
            let error = decode(Bytes::copy_from_slice(bytes)).expect_err("not framed");
            assert_eq!(error.kind(), ErrorKind::Decode);
        }
    }
}
