//! What rdkafka does not offer, over the C functions of librdkafka: header names that are not UTF-8, the reason of a broker for
//! refusing a topic, the members of all kinds of groups, and all committed offsets of a group.

#![allow(unsafe_code, reason = "calls C functions; each block says why it is sound")]

use std::borrow::Cow;
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use bytes::Bytes;
use networking_spi::NetworkError;
use networking_spi::kafka::{GroupMember, GroupState, KafkaHeaders, NewTopic, TopicPartition};
use rdkafka::Message as _;
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::message::{BorrowedHeaders, BorrowedMessage};
use rdkafka::types::RDKafkaRespErr;

/// How long librdkafka may exceed the timeout of a request.
const GRACE: Duration = Duration::from_secs(1);

/// An error of a broker or of librdkafka, with its reason.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: Code,
    pub(super) reason: Option<String>,
}

impl Refusal {
    pub(super) fn new(code: RDKafkaRespErr, reason: Option<String>) -> std::result::Result<(), Self> {
        match code {
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
            code => Err(Self {
                code: code.into(),
                reason,
            }),
        }
    }

    pub(super) fn timed_out() -> Self {
        Self {
            code: Code::OperationTimedOut,
            reason: None,
        }
    }
}

/// The headers of a message. Bytes of a name that are not UTF-8 are replaced by U+FFFD.
pub(super) fn headers(message: &BorrowedMessage<'_>) -> KafkaHeaders {
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
pub(super) fn cached_bounds<C: ClientContext>(client: &Client<C>, topic: &str, partition: i32) -> Option<(i64, i64)> {
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

/// Creates a topic. Blocks until the controller has responded, for at most `limit`.
pub(super) fn create_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &NewTopic,
    limit: Duration,
) -> std::result::Result<(), Refusal> {
    let invalid = |reason: String| Refusal {
        code: Code::InvalidArgument,
        reason: Some(reason),
    };
    let name = string(&topic.name).map_err(invalid)?;
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
    let new = Owned::new(new, c::rd_kafka_NewTopic_destroy).ok_or_else(|| invalid(reason.text()))?;
    for (key, value) in &topic.config {
        let (key, value) = (string(key).map_err(invalid)?, string(value).map_err(invalid)?);
        // SAFETY: the topic is owned and the strings live longer than the call, which copies them.
        let code = unsafe { c::rd_kafka_NewTopic_set_config(new.pointer(), key.as_ptr(), value.as_ptr()) };
        Refusal::new(code, None)?;
    }
    let request = Request::new(client, c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS, limit)?;
    let mut topics = [new.pointer()];
    // SAFETY: all pointers are owned and live longer than the call, which copies the topics.
    unsafe {
        c::rd_kafka_CreateTopics(
            request.client,
            topics.as_mut_ptr(),
            1,
            request.options.pointer(),
            request.queue.pointer(),
        );
    };
    let event = request.event()?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = c::rd_kafka_event_CreateTopics_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let topics = c::rd_kafka_CreateTopics_result_topics(result, &raw mut count);
        for topic in elements(topics, count) {
            let reason = text(c::rd_kafka_topic_result_error_string(*topic)).map(Cow::into_owned);
            Refusal::new(c::rd_kafka_topic_result_error(*topic), reason)?;
        }
    }
    Ok(())
}

/// The settings of a topic. Blocks for at most `limit`.
pub(super) fn describe_topic<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    limit: Duration,
) -> std::result::Result<HashMap<String, String>, Refusal> {
    let invalid = |reason: String| Refusal {
        code: Code::InvalidTopic,
        reason: Some(reason),
    };
    let name = string(topic).map_err(invalid)?;
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS;
    let request = Request::new(client, operation, limit)?;
    // SAFETY: the name lives longer than the call, which copies it.
    let asked =
        unsafe { c::rd_kafka_ConfigResource_new(c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.as_ptr()) };
    let asked = Owned::new(asked, c::rd_kafka_ConfigResource_destroy)
        .ok_or_else(|| invalid("the name is not valid".to_owned()))?;
    let mut all = [asked.pointer()];
    // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
    unsafe {
        c::rd_kafka_DescribeConfigs(
            request.client,
            all.as_mut_ptr(),
            1,
            request.options.pointer(),
            request.queue.pointer(),
        );
    };
    let event = request.event()?;
    let mut count = 0;
    let mut settings = HashMap::new();
    // SAFETY: the event is owned. Its results live as long as it does; their numbers are those in `count`.
    unsafe {
        let result = c::rd_kafka_event_DescribeConfigs_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let resources = c::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        for resource in elements(resources, count) {
            let reason = text(c::rd_kafka_ConfigResource_error_string(*resource)).map(Cow::into_owned);
            Refusal::new(c::rd_kafka_ConfigResource_error(*resource), reason)?;
            let entries = c::rd_kafka_ConfigResource_configs(*resource, &raw mut count);
            for entry in elements(entries, count) {
                let name = text(c::rd_kafka_ConfigEntry_name(*entry));
                // A sensitive value is null.
                let value = text(c::rd_kafka_ConfigEntry_value(*entry));
                if let (Some(name), Some(value)) = (name, value) {
                    settings.insert(name.into_owned(), value.into_owned());
                }
            }
        }
    }
    Ok(settings)
}

/// The state and the members of a group, of the classic and of the KIP-848 protocol. A group that does not exist is
/// [`GroupState::Dead`]. Blocks for at most `limit`.
pub(super) fn describe_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    limit: Duration,
) -> std::result::Result<(GroupState, Vec<GroupMember>), Refusal> {
    let name = string(group).map_err(|reason| Refusal {
        code: Code::InvalidGroupId,
        reason: Some(reason),
    })?;
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let request = Request::new(client, operation, limit)?;
    let mut names = [name.as_ptr()];
    // SAFETY: all pointers are owned and live longer than the call, which copies the names.
    unsafe {
        c::rd_kafka_DescribeConsumerGroups(
            request.client,
            names.as_mut_ptr(),
            1,
            request.options.pointer(),
            request.queue.pointer(),
        );
    };
    let event = request.event()?;
    let mut count = 0;
    // SAFETY: the event is owned. Its descriptions live as long as it does; their number is `count`.
    unsafe {
        let result = c::rd_kafka_event_DescribeConsumerGroups_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let groups = c::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let Some(group) = elements(groups, count).first() else {
            return Ok((GroupState::Dead, Vec::new()));
        };
        match refusal(c::rd_kafka_ConsumerGroupDescription_error(*group)) {
            Err(refusal) if refusal.code == Code::GroupIdNotFound => return Ok((GroupState::Dead, Vec::new())),
            result => result?,
        }
        let members = (0..c::rd_kafka_ConsumerGroupDescription_member_count(*group))
            .map(|index| member(c::rd_kafka_ConsumerGroupDescription_member(*group, index)));
        let members = members.collect();
        let kind = c::rd_kafka_ConsumerGroupDescription_type(*group);
        let state = state(c::rd_kafka_ConsumerGroupDescription_state(*group), kind);
        Ok((state, members))
    }
}

/// All committed offsets of a group. Blocks for at most `limit`.
pub(super) fn committed_offsets<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    limit: Duration,
) -> std::result::Result<Vec<(TopicPartition, i64)>, Refusal> {
    let invalid = |reason: String| Refusal {
        code: Code::InvalidGroupId,
        reason: Some(reason),
    };
    let name = string(group).map_err(invalid)?;
    let operation = c::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
    let request = Request::new(client, operation, limit)?;
    // SAFETY: the name lives longer than the call, which copies it. Without a list, all partitions are meant.
    let asked = unsafe { c::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), ptr::null()) };
    let asked = Owned::new(asked, c::rd_kafka_ListConsumerGroupOffsets_destroy)
        .ok_or_else(|| invalid("the group is not valid".to_owned()))?;
    let mut all = [asked.pointer()];
    // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
    unsafe {
        c::rd_kafka_ListConsumerGroupOffsets(
            request.client,
            all.as_mut_ptr(),
            1,
            request.options.pointer(),
            request.queue.pointer(),
        );
    };
    let event = request.event()?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = c::rd_kafka_event_ListConsumerGroupOffsets_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let groups = c::rd_kafka_ListConsumerGroupOffsets_result_groups(result, &raw mut count);
        let Some(group) = elements(groups, count).first() else {
            return Ok(Vec::new());
        };
        match refusal(c::rd_kafka_group_result_error(*group)) {
            Err(refusal) if refusal.code == Code::GroupIdNotFound => return Ok(Vec::new()),
            result => result?,
        }
        let offsets = partitions(c::rd_kafka_group_result_partitions(*group))
            .iter()
            .filter_map(|element| {
                let known = element.offset >= 0 && element.err == RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
                known.then(|| (partition(element), element.offset))
            });
        Ok(offsets.collect())
    }
}

pub(super) fn state(state: c::rd_kafka_consumer_group_state_t, kind: c::rd_kafka_consumer_group_type_t) -> GroupState {
    use c::rd_kafka_consumer_group_state_t as State;
    match state {
        State::RD_KAFKA_CONSUMER_GROUP_STATE_EMPTY => GroupState::Empty,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_PREPARING_REBALANCE => GroupState::PreparingRebalance,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_COMPLETING_REBALANCE => GroupState::CompletingRebalance,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_STABLE => GroupState::Stable,
        State::RD_KAFKA_CONSUMER_GROUP_STATE_DEAD => GroupState::Dead,
        // The states of KIP-848 that librdkafka does not know: a new assignment is computed or distributed.
        _ if kind == c::rd_kafka_consumer_group_type_t::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER => {
            GroupState::CompletingRebalance
        }
        _ => GroupState::Unknown,
    }
}

/// # Safety
/// `member` must point to the description of a member.
pub(super) unsafe fn member(member: *const c::rd_kafka_MemberDescription_t) -> GroupMember {
    // SAFETY: of the caller. The strings and lists live as long as the description.
    unsafe {
        let owned = |string| text(string).unwrap_or_default().into_owned();
        let assignment = c::rd_kafka_MemberDescription_assignment(member);
        let assignment = if assignment.is_null() {
            &[]
        } else {
            partitions(c::rd_kafka_MemberAssignment_partitions(assignment))
        };
        GroupMember::new(
            owned(c::rd_kafka_MemberDescription_consumer_id(member)),
            owned(c::rd_kafka_MemberDescription_client_id(member)),
            owned(c::rd_kafka_MemberDescription_host(member)).trim_start_matches('/'),
            assignment.iter().map(|element| partition(element)).collect(),
        )
    }
}

/// A request of the administration API: the queue for its result, and its options.
pub(super) struct Request {
    client: *mut c::rd_kafka_t,
    pub(super) options: Owned<c::rd_kafka_AdminOptions_t>,
    pub(super) queue: Owned<c::rd_kafka_queue_t>,
    limit: Duration,
}

impl Request {
    /// The request must not outlive the client: it is made and dropped in one call that borrows it.
    pub(super) fn new<C: ClientContext>(
        client: &Client<C>,
        operation: c::rd_kafka_admin_op_t,
        limit: Duration,
    ) -> std::result::Result<Self, Refusal> {
        let client = client.native_ptr();
        let failed = || Refusal {
            code: Code::Fail,
            reason: None,
        };
        // SAFETY: the client is borrowed by the caller.
        let options = unsafe { c::rd_kafka_AdminOptions_new(client, operation) };
        let options = Owned::new(options, c::rd_kafka_AdminOptions_destroy).ok_or_else(failed)?;
        // SAFETY: the client is borrowed by the caller.
        let queue = unsafe { c::rd_kafka_queue_new(client) };
        let queue = Owned::new(queue, c::rd_kafka_queue_destroy).ok_or_else(failed)?;
        let mut reason = ErrorBuffer::new();
        // SAFETY: the options are owned, and the buffer has the length that is passed.
        let code = unsafe {
            c::rd_kafka_AdminOptions_set_request_timeout(
                options.pointer(),
                millis(limit),
                reason.pointer(),
                reason.length(),
            )
        };
        Refusal::new(code, Some(reason.text()))?;
        if waits_for_effect(operation) {
            // SAFETY: as above.
            let code = unsafe {
                c::rd_kafka_AdminOptions_set_operation_timeout(
                    options.pointer(),
                    millis(limit),
                    reason.pointer(),
                    reason.length(),
                )
            };
            Refusal::new(code, Some(reason.text()))?;
        }
        Ok(Self {
            client,
            options,
            queue,
            limit,
        })
    }

    /// Waits for the result.
    pub(super) fn event(&self) -> std::result::Result<Owned<c::rd_kafka_event_t>, Refusal> {
        // SAFETY: the queue is owned.
        let event = unsafe { c::rd_kafka_queue_poll(self.queue.pointer(), millis(self.limit.saturating_add(GRACE))) };
        let event = Owned::new(event, c::rd_kafka_event_destroy).ok_or_else(Refusal::timed_out)?;
        // SAFETY: the event is owned, and the reason lives as long.
        unsafe {
            let code = c::rd_kafka_event_error(event.pointer());
            let reason = text(c::rd_kafka_event_error_string(event.pointer())).map(Cow::into_owned);
            Refusal::new(code, reason)?;
        }
        Ok(event)
    }
}

/// Whether the broker waits until the change has taken effect.
fn waits_for_effect(operation: c::rd_kafka_admin_op_t) -> bool {
    use c::rd_kafka_admin_op_t as Operation;
    matches!(
        operation,
        Operation::RD_KAFKA_ADMIN_OP_CREATETOPICS
            | Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS
            | Operation::RD_KAFKA_ADMIN_OP_DELETERECORDS
    )
}

/// An object of librdkafka that is destroyed when this is dropped.
pub(super) struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    /// `None` for null.
    pub(super) fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Option<Self> {
        NonNull::new(pointer).map(|pointer| Self { pointer, destroy })
    }

    pub(super) fn pointer(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the object is owned, `destroy` is the function for its type, and it is called once.
        unsafe { (self.destroy)(self.pointer.as_ptr()) }
    }
}

/// Where librdkafka writes the reason of an error.
pub(super) struct ErrorBuffer([u8; 512]);

impl ErrorBuffer {
    pub(super) fn new() -> Self {
        Self([0; 512])
    }

    pub(super) fn pointer(&mut self) -> *mut c_char {
        self.0.as_mut_ptr().cast()
    }

    pub(super) fn length(&self) -> usize {
        self.0.len()
    }

    pub(super) fn text(&self) -> String {
        CStr::from_bytes_until_nul(&self.0)
            .map(|reason| reason.to_string_lossy().into_owned())
            .unwrap_or_default()
    }
}

pub(super) fn string(text: &str) -> std::result::Result<CString, String> {
    CString::new(text).map_err(|_| "must not contain a NUL character".to_owned())
}

fn millis(duration: Duration) -> c_int {
    /// The largest timeout that librdkafka accepts.
    const LARGEST: c_int = 3_600_000;
    c_int::try_from(duration.as_millis()).map_or(LARGEST, |millis| millis.clamp(1, LARGEST))
}

/// # Safety
/// `string` must be null or a string of C that lives for `'a`.
pub(super) unsafe fn text<'a>(string: *const c_char) -> Option<Cow<'a, str>> {
    // SAFETY: of the caller.
    (!string.is_null()).then(|| unsafe { CStr::from_ptr(string) }.to_string_lossy())
}

/// # Safety
/// `first` must be null or point to `count` elements that live for `'a`.
pub(super) unsafe fn elements<'a, T>(first: *mut T, count: usize) -> &'a [T] {
    if first.is_null() {
        &[]
    } else {
        // SAFETY: of the caller.
        unsafe { slice::from_raw_parts(first, count) }
    }
}

/// # Safety
/// `list` must be null or point to a list that lives for `'a`.
pub(super) unsafe fn partitions<'a>(
    list: *const c::rd_kafka_topic_partition_list_t,
) -> &'a [c::rd_kafka_topic_partition_t] {
    // SAFETY: of the caller.
    match unsafe { list.as_ref() } {
        // SAFETY: a list has `cnt` elements.
        Some(list) => unsafe { elements(list.elems, usize::try_from(list.cnt).unwrap_or_default()) },
        None => &[],
    }
}

/// # Safety
/// The topic of the element must be a string of C.
pub(super) unsafe fn partition(element: &c::rd_kafka_topic_partition_t) -> TopicPartition {
    // SAFETY: of the caller.
    TopicPartition::new(unsafe { text(element.topic) }.unwrap_or_default(), element.partition)
}

/// # Safety
/// `error` must be null or point to an error.
pub(super) unsafe fn refusal(error: *const c::rd_kafka_error_t) -> std::result::Result<(), Refusal> {
    if error.is_null() {
        return Ok(());
    }
    // SAFETY: of the caller. The reason lives as long as the error.
    unsafe {
        let reason = text(c::rd_kafka_error_string(error)).map(Cow::into_owned);
        Refusal::new(c::rd_kafka_error_code(error), reason)
    }
}

/// Converts a refusal, with its reason.
pub(super) fn from_refusal(operation: &'static str, refusal: Refusal) -> NetworkError {
    let error = super::error::from_code(operation, refusal.code);
    match refusal.reason.filter(|reason| !reason.is_empty()) {
        Some(reason) => error.with_context(networking_spi::error::context::REASON, reason),
        None => error,
    }
}

/// Converts the refusal of a new topic: names the field, and the setting that the reason is about.
pub(super) fn from_refused_topic(operation: &'static str, topic: &NewTopic, refusal: Refusal) -> NetworkError {
    let field = match refusal.code {
        Code::InvalidTopic => "name".to_owned(),
        Code::InvalidConfig => {
            let reason = refusal.reason.as_deref().unwrap_or_default();
            // The longest name, because some names are part of others.
            let named = topic
                .config
                .keys()
                .filter(|name| mentions(reason, name))
                .max_by_key(|name| name.len());
            named.map_or_else(|| "config".to_owned(), |name| format!("config.{name}"))
        }
        _ => return from_refusal(operation, refusal),
    };
    let message = refusal.reason.unwrap_or_else(|| refusal.code.to_string());
    NetworkError::invalid_input(field, message).with_operation(operation)
}

/// Whether a reason has the name as a whole word.
pub(super) fn mentions(reason: &str, name: &str) -> bool {
    let inside = |character: char| character.is_ascii_alphanumeric() || matches!(character, '.' | '_' | '-');
    !name.is_empty()
        && reason.match_indices(name).any(|(start, _)| {
            let after = &reason[start + name.len()..];
            // A full stop may end the sentence.
            let continues = after.strip_prefix('.').unwrap_or(after).starts_with(inside);
            !reason[..start].ends_with(inside) && !continues
        })
}

#[cfg(test)]
mod tests {
    use networking_spi::ErrorKind;

    use super::*;

    #[test]
    fn a_refused_setting_is_named_with_the_reason() {
        let topic = NewTopic::new("t", 1)
            .with_config("retention.ms", "-2")
            .with_config("local.retention.ms", "1")
            .with_config("no.such", "1");
        for (reason, field) in [
            (
                "Invalid value -2 for configuration retention.ms: Value must be at least -1",
                "config.retention.ms",
            ),
            (
                "Invalid value 1 for configuration local.retention.ms: too small",
                "config.local.retention.ms",
            ),
            ("Unknown topic config name: no.such", "config.no.such"),
            ("Something else", "config"),
        ] {
            let refusal = Refusal {
                code: Code::InvalidConfig,
                reason: Some(reason.to_owned()),
            };
            let error = from_refused_topic("kafka.create_topic", &topic, refusal);
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
            assert_eq!(error.message(), reason);
        }
    }
}
