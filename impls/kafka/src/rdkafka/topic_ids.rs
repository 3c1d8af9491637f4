//! The ids of topics, which rdkafka does not return. The only module that calls librdkafka's C functions.

#![allow(unsafe_code, reason = "rdkafka has no safe function for DescribeTopics")]

use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::slice;
use std::time::Duration;

use networking_spi::{NetworkError, Phase, Result};
use rdkafka::bindings as raw;
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::{RDKafka, RDKafkaRespErr};

use super::error;

/// How a topic differs from one of the same name that was deleted, or that had fewer partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TopicIdentity {
    /// The most and the least significant bits. Zero if the broker does not know topic ids (before Kafka 2.8).
    pub(super) id: (i64, i64),
    pub(super) partitions: i32,
}

/// Describes topics with one request (KIP-516), without creating them. `None` for a topic that does not exist. Topics that
/// cannot be described now are missing in the result. The request is sent to this broker, and not to the controller, which is
/// librdkafka's default. Blocks for at most about `limit`.
///
/// # Safety
/// `client` must be a running client of librdkafka until this returns.
pub(super) unsafe fn describe(
    client: *mut RDKafka,
    operation: &'static str,
    broker: i32,
    names: &[String],
    limit: Duration,
) -> Result<BTreeMap<String, Option<TopicIdentity>>> {
    if names.is_empty() {
        return Ok(BTreeMap::new());
    }
    let millis = c_int::try_from(limit.as_millis()).unwrap_or(c_int::MAX);
    let invalid = || NetworkError::invalid_input("topics", "must not contain a NUL").with_operation(operation);
    let names: Vec<CString> = names
        .iter()
        .map(|name| CString::new(name.as_str()).map_err(|_| invalid()))
        .collect::<Result<_>>()?;
    let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
    let failed = || error::from_code(operation, Code::Fail);

    // SAFETY: the pointers are valid for the call, which copies the names. Each object is owned by its guard, which destroys it
    // once; the guards are dropped in reverse order, so that the event, whose memory the descriptions are part of, is alive
    // while they are read. The client outlives all of them, as the caller promises.
    unsafe {
        let topics = Owned::new(
            raw::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()),
            raw::rd_kafka_TopicCollection_destroy,
        )
        .ok_or_else(failed)?;
        let options = Owned::new(
            raw::rd_kafka_AdminOptions_new(client, raw::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS),
            raw::rd_kafka_AdminOptions_destroy,
        )
        .ok_or_else(failed)?;
        let mut message = [0; 256];
        let code = raw::rd_kafka_AdminOptions_set_request_timeout(
            options.pointer(),
            millis,
            message.as_mut_ptr(),
            message.len(),
        );
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(error::from_code(operation, code.into()));
        }
        if broker >= 0 {
            let code =
                raw::rd_kafka_AdminOptions_set_broker(options.pointer(), broker, message.as_mut_ptr(), message.len());
            if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
                return Err(error::from_code(operation, code.into()));
            }
        }
        let queue = Owned::new(raw::rd_kafka_queue_new(client), raw::rd_kafka_queue_destroy).ok_or_else(failed)?;
        raw::rd_kafka_DescribeTopics(client, topics.pointer(), options.pointer(), queue.pointer());
        let event = Owned::new(
            raw::rd_kafka_queue_poll(queue.pointer(), millis),
            raw::rd_kafka_event_destroy,
        )
        .ok_or_else(|| NetworkError::timeout(operation, Phase::Read, limit))?;
        let code = raw::rd_kafka_event_error(event.pointer());
        if code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR {
            return Err(error::from_code(operation, code.into()));
        }
        let result = raw::rd_kafka_event_DescribeTopics_result(event.pointer());
        if result.is_null() {
            return Err(failed());
        }
        let mut count = 0;
        let first = raw::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        if first.is_null() {
            return Ok(BTreeMap::new());
        }
        let topics = slice::from_raw_parts(first, count).iter();
        Ok(topics.filter_map(|topic| read(*topic)).collect())
    }
}

/// # Safety
/// `topic` must be a description whose event is alive.
unsafe fn read(topic: *const raw::rd_kafka_TopicDescription_t) -> Option<(String, Option<TopicIdentity>)> {
    // SAFETY: the caller promises that the description is alive; librdkafka's accessors return pointers into it.
    unsafe {
        let name = CStr::from_ptr(raw::rd_kafka_TopicDescription_name(topic));
        let name = name.to_str().ok()?.to_owned();
        match raw::rd_kafka_error_code(raw::rd_kafka_TopicDescription_error(topic)) {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => {}
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART
            | RDKafkaRespErr::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_ID => return Some((name, None)),
            _ => return None,
        }
        let mut partitions = 0;
        raw::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let uuid = raw::rd_kafka_TopicDescription_topic_id(topic);
        let id = if uuid.is_null() {
            (0, 0)
        } else {
            (
                raw::rd_kafka_Uuid_most_significant_bits(uuid),
                raw::rd_kafka_Uuid_least_significant_bits(uuid),
            )
        };
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        Some((name, Some(TopicIdentity { id, partitions })))
    }
}

/// An object of librdkafka, and the function that destroys it.
struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// `None` for a null pointer.
    ///
    /// # Safety
    /// Nothing else may destroy the object, and `destroy` must be its destructor.
    unsafe fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, destroy })
    }

    fn pointer(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the pointer is valid and owned, see `new`.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}
