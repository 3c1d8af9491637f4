//! What a consumer reads without a request: the headers of messages, and the bounds of partitions.

use std::ptr;
use std::slice;

use bytes::Bytes;
use networking_spi::kafka::KafkaHeaders;
use rdkafka::Message as _;
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::message::{BorrowedHeaders, BorrowedMessage};
use rdkafka::types::RDKafkaRespErr;

use super::object::{string, text};

/// The headers of a message. Bytes of a name that are not UTF-8 are replaced by U+FFFD.
pub(in crate::rdkafka) fn headers(message: &BorrowedMessage<'_>) -> KafkaHeaders {
    let mut read = KafkaHeaders::new();
    let Some(headers) = message.headers() else { return read };
    // A reference to `BorrowedHeaders` is a pointer to the headers of librdkafka.
    let headers = ptr::from_ref::<BorrowedHeaders>(headers).cast::<c::rd_kafka_headers_t>();
    for index in 0.. {
        let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the message owns the headers and is borrowed; the other pointers are to local variables.
        let code = unsafe { c::rd_kafka_header_get_all(headers, index, &raw mut name, &raw mut value, &raw mut size) };
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            break;
        }
        // SAFETY: without an error, the name is a string of C that lives as long as the headers.
        let name = unsafe { text(name) }.unwrap_or_default();
        // SAFETY: without an error, a value that is not null has `size` bytes and lives as long as the headers.
        let value = (!value.is_null()).then(|| unsafe { slice::from_raw_parts(value.cast::<u8>(), size) });
        read.push(name, value.map(Bytes::copy_from_slice));
    }
    read
}

/// The bounds of a partition as of the last response to a fetch, without a request. `None` if there was none.
pub(in crate::rdkafka) fn cached_bounds<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    partition: i32,
) -> Option<(i64, i64)> {
    let topic = string(topic).ok()?;
    let (mut low, mut high) = (-1, -1);
    // SAFETY: the client is borrowed, the topic lives longer than the call, and the other pointers are to local variables.
    let code = unsafe {
        c::rd_kafka_get_watermark_offsets(
            client.native_ptr(),
            topic.as_ptr(),
            partition,
            &raw mut low,
            &raw mut high,
        )
    };
    (code == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR && low >= 0 && high >= 0).then_some((low, high))
}
