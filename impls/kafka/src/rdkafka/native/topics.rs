//! Topics, their partitions and records.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::{CString, c_int};
use std::time::Duration;

use networking_spi::kafka::{NewTopic, PartitionOffset};
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;

use c::rd_kafka_admin_op_t as Operation;

use super::object::{ErrorBuffer, Owned, elements, string, text};
use super::offsets::{offset_list, read_offsets};
use super::refusal::{Refusal, Result, check, refusal};
use super::request::{request, request_of, result};

/// Creates a topic. Blocks until the controller has responded, for at most `limit`.
pub(in crate::rdkafka) fn create_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &NewTopic,
    limit: Duration,
) -> Result<()> {
    let name = string(&topic.name)?;
    // -1 selects the default of the broker (KIP-464).
    let replication = topic.replication_factor.map_or(-1, c_int::from);
    let mut reason = ErrorBuffer::new();
    // SAFETY: the strings live longer than the call, and the buffer has the length that is passed.
    let new = unsafe {
        c::rd_kafka_NewTopic_new(
            name.as_ptr(),
            topic.partitions,
            replication,
            reason.pointer(),
            reason.length(),
        )
    };
    let new = Owned::new(new, c::rd_kafka_NewTopic_destroy).ok_or_else(|| Refusal::invalid(reason.text()))?;
    for (key, value) in &topic.config {
        let (key, value) = (string(key)?, string(value)?);
        // SAFETY: the topic is owned and the strings live longer than the call, which copies them.
        let code = unsafe { c::rd_kafka_NewTopic_set_config(new.pointer(), key.as_ptr(), value.as_ptr()) };
        Refusal::new(code, None)?;
    }
    let mut all = [new.pointer()];
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_CreateTopics(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_CreateTopics_result)?;
        let topics = c::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
        check_topics(topics, count)?;
    }
    Ok(())
}

/// Increases the number of partitions of a topic.
pub(in crate::rdkafka) fn create_partitions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    total: usize,
    limit: Duration,
) -> Result<()> {
    let name = string(topic)?;
    let mut reason = ErrorBuffer::new();
    // SAFETY: the name lives longer than the call, which copies it, and the buffer has the length that is passed.
    let new = unsafe { c::rd_kafka_NewPartitions_new(name.as_ptr(), total, reason.pointer(), reason.length()) };
    let new = Owned::new(new, c::rd_kafka_NewPartitions_destroy).ok_or_else(|| Refusal::invalid(reason.text()))?;
    let mut all = [new.pointer()];
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_CreatePartitions(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_CreatePartitions_result)?;
        let topics = c::rd_kafka_CreatePartitions_result_topics(result, &raw mut count);
        check_topics(topics, count)?;
    }
    Ok(())
}

/// The first error in the results of topics.
///
/// # Safety
/// `topics` must be null or point to `count` results.
unsafe fn check_topics(topics: *mut *const c::rd_kafka_topic_result_t, count: usize) -> Result<()> {
    // SAFETY: of the caller. The reason lives as long as the result.
    unsafe {
        elements(topics, count).iter().try_for_each(|topic| {
            check(
                c::rd_kafka_topic_result_error(*topic),
                c::rd_kafka_topic_result_error_string(*topic),
            )
        })
    }
}

/// Deletes the records before an offset, and returns the first offset that is left.
pub(in crate::rdkafka) fn delete_records<C: ClientContext>(
    client: &Client<C>,
    before: &PartitionOffset,
    limit: Duration,
) -> Result<i64> {
    let list = offset_list(std::slice::from_ref(before))?;
    // SAFETY: the list is owned, and the call copies it.
    let asked = unsafe { c::rd_kafka_DeleteRecords_new(list.pointer()) };
    let asked = Owned::new(asked, c::rd_kafka_DeleteRecords_destroy).ok_or_else(Refusal::failed)?;
    let mut all = [asked.pointer()];
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_DELETERECORDS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_DeleteRecords(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    // SAFETY: the event is owned, and its result lives as long as it does.
    let offsets = unsafe {
        let result = result(&event, c::rd_kafka_event_DeleteRecords_result)?;
        read_offsets(c::rd_kafka_DeleteRecords_result_offsets(result))?
    };
    let first = offsets.first().map(|(_, first)| *first);
    first.ok_or_else(Refusal::timed_out)
}

/// Which of these topics are internal. Topics that do not exist any more are not.
pub(in crate::rdkafka) fn internal_topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    limit: Duration,
) -> Result<Vec<String>> {
    // SAFETY: `describe_topics` passes descriptions.
    describe_topics(client, topics, None, limit, |topic| unsafe {
        let internal = c::rd_kafka_TopicDescription_is_internal(topic) == 1;
        internal.then(|| text(c::rd_kafka_TopicDescription_name(topic)).map(Cow::into_owned))?
    })
}

/// How a topic differs from one of the same name that was deleted, or that had fewer partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rdkafka) struct TopicIdentity {
    /// The most and the least significant bits. Zero if the broker does not know topic ids (before Kafka 2.8).
    pub(in crate::rdkafka) id: (i64, i64),
    pub(in crate::rdkafka) partitions: i32,
}

/// Identifies topics (KIP-516), without creating them. `None` for a topic that does not exist. Topics that cannot be described now
/// are missing in the result. The request is sent to this broker, and not to the controller, which is librdkafka's default.
pub(in crate::rdkafka) fn identify_topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    broker: i32,
    limit: Duration,
) -> Result<BTreeMap<String, Option<TopicIdentity>>> {
    let broker = (broker >= 0).then_some(broker);
    // SAFETY: `describe_topics` passes descriptions.
    let read = |topic| unsafe { identity(topic) };
    Ok(describe_topics(client, topics, broker, limit, read)?
        .into_iter()
        .collect())
}

/// Describes topics, and returns what `read` reads in each description that it gets.
fn describe_topics<C: ClientContext, T>(
    client: &Client<C>,
    topics: &[&str],
    broker: Option<i32>,
    limit: Duration,
    read: impl Fn(*const c::rd_kafka_TopicDescription_t) -> Option<T>,
) -> Result<Vec<T>> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<CString> = topics.iter().map(|topic| string(topic)).collect::<Result<_>>()?;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the names live longer than the call, which copies them; their number is that of the pointers.
    let asked = unsafe { c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let asked = Owned::new(asked, c::rd_kafka_TopicCollection_destroy).ok_or_else(Refusal::failed)?;
    let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS;
    let event = request_of(client, operation, broker, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies the names.
        unsafe { c::rd_kafka_DescribeTopics(to.client, asked.pointer(), to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_DescribeTopics_result)?;
        let described = c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        Ok(elements(described, count)
            .iter()
            .filter_map(|topic| read(*topic))
            .collect())
    }
}

/// # Safety
/// `topic` must point to a description.
unsafe fn identity(topic: *const c::rd_kafka_TopicDescription_t) -> Option<(String, Option<TopicIdentity>)> {
    // SAFETY: of the caller. What it refers to lives as long as the description.
    unsafe {
        let name = text(c::rd_kafka_TopicDescription_name(topic))?.into_owned();
        match refusal(c::rd_kafka_TopicDescription_error(topic)) {
            Ok(()) => {}
            Err(refusal) if matches!(refusal.code, Code::UnknownTopicOrPartition | Code::UnknownTopicId) => {
                return Some((name, None));
            }
            Err(_) => return None,
        }
        let mut partitions = 0;
        c::rd_kafka_TopicDescription_partitions(topic, &raw mut partitions);
        let uuid = c::rd_kafka_TopicDescription_topic_id(topic);
        let id = if uuid.is_null() {
            (0, 0)
        } else {
            (
                c::rd_kafka_Uuid_most_significant_bits(uuid),
                c::rd_kafka_Uuid_least_significant_bits(uuid),
            )
        };
        let partitions = i32::try_from(partitions).unwrap_or(i32::MAX);
        Some((name, Some(TopicIdentity { id, partitions })))
    }
}
