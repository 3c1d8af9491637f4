//! Administrative requests over the C functions of librdkafka, most of which rdkafka does not offer. All block.

#![allow(unsafe_code, reason = "calls C functions; each block says why it is sound")]

use std::borrow::Cow;
use std::ffi::CString;
use std::time::Duration;

use networking_spi::kafka::{
    BrokerInfo, ClusterDescription, ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ConfigSource,
    GroupDescription, GroupKind, GroupListing, GroupState, PartitionOffset, TopicPartition,
};
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

use crate::rdkafka::native::{
    ErrorBuffer, Owned, Refusal, Request, elements, member, partition, partitions, refusal, state, string, text,
};

use c::rd_kafka_admin_op_t as Operation;

type Result<T> = std::result::Result<T, Refusal>;

/// Where a request is sent from, with what, and where its result goes.
struct Sender {
    client: *mut c::rd_kafka_t,
    options: *mut c::rd_kafka_AdminOptions_t,
    queue: *mut c::rd_kafka_queue_t,
}

/// Sends a request with `send` and waits for its result. The pointers that `send` gets are valid during the call.
fn request<C: ClientContext>(
    client: &Client<C>,
    operation: Operation,
    limit: Duration,
    send: impl FnOnce(&Sender),
) -> Result<Owned<c::rd_kafka_event_t>> {
    let request = Request::new(client, operation, limit)?;
    send(&Sender {
        client: client.native_ptr(),
        options: request.options.pointer(),
        queue: request.queue.pointer(),
    });
    request.event()
}

fn invalid(reason: impl Into<String>) -> Refusal {
    Refusal {
        code: Code::InvalidArgument,
        reason: Some(reason.into()),
    }
}

fn c_string(value: &str) -> Result<CString> {
    string(value).map_err(invalid)
}

/// An error with its reason, which is null or a string of C that lives during the call.
///
/// # Safety
/// `reason` must be null or a string of C.
unsafe fn check(code: RDKafkaRespErr, reason: *const std::ffi::c_char) -> Result<()> {
    // SAFETY: of the caller.
    let reason = unsafe { text(reason) }.map(Cow::into_owned);
    Refusal::new(code, reason)
}

/// Increases the number of partitions of a topic.
pub(super) fn create_partitions<C: ClientContext>(
    client: &Client<C>,
    topic: &str,
    total: usize,
    limit: Duration,
) -> Result<()> {
    let name = c_string(topic)?;
    let mut reason = ErrorBuffer::new();
    // SAFETY: the name lives longer than the call, which copies it, and the buffer has the length that is passed.
    let new = unsafe { c::rd_kafka_NewPartitions_new(name.as_ptr(), total, reason.pointer(), reason.length()) };
    let new = Owned::new(new, c::rd_kafka_NewPartitions_destroy).ok_or_else(|| invalid(reason.text()))?;
    let mut all = [new.pointer()];
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_CREATEPARTITIONS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_CreatePartitions(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = c::rd_kafka_event_CreatePartitions_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let topics = c::rd_kafka_CreatePartitions_result_topics(result, &raw mut count);
        for topic in elements(topics, count) {
            check(
                c::rd_kafka_topic_result_error(*topic),
                c::rd_kafka_topic_result_error_string(*topic),
            )?;
        }
    }
    Ok(())
}

/// Makes the name of a resource for librdkafka.
fn resource(resource: &ConfigResource) -> Result<Owned<c::rd_kafka_ConfigResource_t>> {
    let (kind, name) = match resource {
        ConfigResource::Topic(name) => (c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, name.clone()),
        ConfigResource::Broker(id) => (c::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_BROKER, id.to_string()),
        _ => return Err(invalid("the resource is not known")),
    };
    let name = c_string(&name)?;
    // SAFETY: the name lives longer than the call, which copies it.
    let made = unsafe { c::rd_kafka_ConfigResource_new(kind, name.as_ptr()) };
    Owned::new(made, c::rd_kafka_ConfigResource_destroy).ok_or_else(|| invalid("the name is not valid"))
}

/// All settings of a topic or a broker.
pub(super) fn describe_config<C: ClientContext>(
    client: &Client<C>,
    of: &ConfigResource,
    limit: Duration,
) -> Result<Vec<ConfigEntry>> {
    let asked = resource(of)?;
    let mut all = [asked.pointer()];
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_DescribeConfigs(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut settings = Vec::new();
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their numbers are those in `count`.
    unsafe {
        let result = c::rd_kafka_event_DescribeConfigs_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let resources = c::rd_kafka_DescribeConfigs_result_resources(result, &raw mut count);
        for resource in elements(resources, count) {
            check(
                c::rd_kafka_ConfigResource_error(*resource),
                c::rd_kafka_ConfigResource_error_string(*resource),
            )?;
            let mut number = 0;
            let entries = c::rd_kafka_ConfigResource_configs(*resource, &raw mut number);
            settings.extend(elements(entries, number).iter().map(|entry| setting(*entry, of)));
        }
    }
    Ok(settings)
}

/// # Safety
/// `entry` must point to a setting.
unsafe fn setting(entry: *const c::rd_kafka_ConfigEntry_t, of: &ConfigResource) -> ConfigEntry {
    let mut count = 0;
    // SAFETY: of the caller. The strings and the synonyms, whose number is `count`, live as long as the setting.
    unsafe {
        let owned = |value| text(value).map(Cow::into_owned);
        let own = match of {
            ConfigResource::Topic(_) => ConfigSource::Topic,
            _ => ConfigSource::DynamicBroker,
        };
        let name = owned(c::rd_kafka_ConfigEntry_name(entry)).unwrap_or_default();
        let value = owned(c::rd_kafka_ConfigEntry_value(entry));
        let from = source(c::rd_kafka_ConfigEntry_source(entry));
        let default = if from == own {
            // The synonyms are ordered by precedence, and the value in effect is among them.
            let synonyms = c::rd_kafka_ConfigEntry_synonyms(entry, &raw mut count);
            elements(synonyms, count)
                .iter()
                .filter(|synonym| source(c::rd_kafka_ConfigEntry_source(**synonym)) != own)
                .find_map(|synonym| {
                    let other = text(c::rd_kafka_ConfigEntry_name(*synonym))?;
                    converted(&name, &other, owned(c::rd_kafka_ConfigEntry_value(*synonym))?)
                })
        } else {
            value.clone()
        };
        let read = ConfigEntry::new(name, default)
            .with_value(value, from)
            .with_read_only(c::rd_kafka_ConfigEntry_is_read_only(entry) == 1);
        if c::rd_kafka_ConfigEntry_is_sensitive(entry) == 1 {
            read.into_sensitive()
        } else {
            read
        }
    }
}

/// The value of a synonym in the unit of a setting: `log.retention.hours` is a synonym of `retention.ms`.
fn converted(name: &str, synonym: &str, value: String) -> Option<String> {
    let unit = |setting: &str| setting.rsplit_once('.').map(|(_, unit)| unit.to_owned());
    let millis: i64 = match (unit(name).as_deref(), unit(synonym).as_deref()) {
        (Some("ms"), Some("hours")) => 3_600_000,
        (Some("ms"), Some("minutes")) => 60_000,
        _ => return Some(value),
    };
    match value.parse::<i64>().ok()? {
        unlimited if unlimited < 0 => Some(value),
        number => Some(number.checked_mul(millis)?.to_string()),
    }
}

fn source(source: c::rd_kafka_ConfigSource_t) -> ConfigSource {
    use c::rd_kafka_ConfigSource_t as Source;
    match source {
        Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_TOPIC_CONFIG => ConfigSource::Topic,
        Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_BROKER_CONFIG => ConfigSource::DynamicBroker,
        Source::RD_KAFKA_CONFIG_SOURCE_DYNAMIC_DEFAULT_BROKER_CONFIG => ConfigSource::DynamicDefaultBroker,
        Source::RD_KAFKA_CONFIG_SOURCE_STATIC_BROKER_CONFIG => ConfigSource::StaticBroker,
        Source::RD_KAFKA_CONFIG_SOURCE_DEFAULT_CONFIG => ConfigSource::Default,
        _ => ConfigSource::Unknown,
    }
}

/// Changes settings of a topic or a broker.
pub(super) fn alter_config<C: ClientContext>(
    client: &Client<C>,
    of: &ConfigResource,
    changes: &[ConfigChange],
    limit: Duration,
) -> Result<()> {
    use c::rd_kafka_AlterConfigOpType_t as Kind;
    let altered = resource(of)?;
    for change in changes {
        let (kind, value) = match &change.operation {
            ConfigOperation::Set(value) => (Kind::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SET, value.as_str()),
            ConfigOperation::Delete => (Kind::RD_KAFKA_ALTER_CONFIG_OP_TYPE_DELETE, ""),
            ConfigOperation::Append(value) => (Kind::RD_KAFKA_ALTER_CONFIG_OP_TYPE_APPEND, value.as_str()),
            ConfigOperation::Subtract(value) => (Kind::RD_KAFKA_ALTER_CONFIG_OP_TYPE_SUBTRACT, value.as_str()),
            _ => return Err(invalid(format!("{} cannot change in this way", change.name))),
        };
        let (name, value) = (c_string(&change.name)?, c_string(value)?);
        // SAFETY: the resource is owned, and the strings live longer than the call, which copies them.
        let error = unsafe {
            c::rd_kafka_ConfigResource_add_incremental_config(altered.pointer(), name.as_ptr(), kind, value.as_ptr())
        };
        if let Some(error) = Owned::new(error, c::rd_kafka_error_destroy) {
            // SAFETY: the error is owned.
            unsafe { refusal(error.pointer()) }?;
        }
    }
    let mut all = [altered.pointer()];
    let operation = Operation::RD_KAFKA_ADMIN_OP_INCREMENTALALTERCONFIGS;
    let event = request(client, operation, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_IncrementalAlterConfigs(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = c::rd_kafka_event_IncrementalAlterConfigs_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let resources = c::rd_kafka_IncrementalAlterConfigs_result_resources(result, &raw mut count);
        for resource in elements(resources, count) {
            check(
                c::rd_kafka_ConfigResource_error(*resource),
                c::rd_kafka_ConfigResource_error_string(*resource),
            )?;
        }
    }
    Ok(())
}

/// Makes a list of offsets for librdkafka.
fn offset_list(offsets: &[PartitionOffset]) -> Result<Owned<c::rd_kafka_topic_partition_list_t>> {
    // SAFETY: the size is only a hint.
    let list = unsafe { c::rd_kafka_topic_partition_list_new(1) };
    let list = Owned::new(list, c::rd_kafka_topic_partition_list_destroy).ok_or_else(|| invalid("no list"))?;
    for offset in offsets {
        let topic = c_string(&offset.partition.topic)?;
        // SAFETY: the list is owned, and the topic lives longer than the call, which copies it.
        let element =
            unsafe { c::rd_kafka_topic_partition_list_add(list.pointer(), topic.as_ptr(), offset.partition.partition) };
        // SAFETY: an element that was added is in the list, which is owned; no other reference to it exists.
        if let Some(element) = unsafe { element.as_mut() } {
            element.offset = offset.offset;
        }
    }
    Ok(list)
}

/// Reads the offsets of a list. Fails with the first error in it.
///
/// # Safety
/// `list` must be null or point to a list.
unsafe fn read_offsets(list: *const c::rd_kafka_topic_partition_list_t) -> Result<Vec<(TopicPartition, i64)>> {
    // SAFETY: of the caller. The topic of an element is a string of C.
    unsafe {
        let offsets = partitions(list).iter().map(|element| {
            Refusal::new(element.err, None)?;
            Ok((partition(element), element.offset))
        });
        offsets.collect()
    }
}

/// Deletes the records before an offset, and returns the first offset that is left.
pub(super) fn delete_records<C: ClientContext>(
    client: &Client<C>,
    before: &PartitionOffset,
    limit: Duration,
) -> Result<i64> {
    let list = offset_list(std::slice::from_ref(before))?;
    // SAFETY: the list is owned, and the call copies it.
    let asked = unsafe { c::rd_kafka_DeleteRecords_new(list.pointer()) };
    let asked = Owned::new(asked, c::rd_kafka_DeleteRecords_destroy).ok_or_else(|| invalid("no request"))?;
    let mut all = [asked.pointer()];
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_DELETERECORDS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_DeleteRecords(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    // SAFETY: the event is owned, and its result lives as long as it does.
    let offsets = unsafe {
        let result = c::rd_kafka_event_DeleteRecords_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        read_offsets(c::rd_kafka_DeleteRecords_result_offsets(result))?
    };
    let first = offsets.first().map(|(_, first)| *first);
    first.ok_or_else(Refusal::timed_out)
}

/// All groups. Fails if a broker does not answer.
pub(super) fn list_groups<C: ClientContext>(client: &Client<C>, limit: Duration) -> Result<Vec<GroupListing>> {
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call.
        unsafe { c::rd_kafka_ListConsumerGroups(to.client, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their numbers are those in `count`.
    unsafe {
        let result = c::rd_kafka_event_ListConsumerGroups_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let errors = c::rd_kafka_ListConsumerGroups_result_errors(result, &raw mut count);
        for error in elements(errors, count) {
            refusal(*error)?;
        }
        let groups = c::rd_kafka_ListConsumerGroups_result_valid(result, &raw mut count);
        let listed = elements(groups, count).iter().map(|group| {
            let kind = c::rd_kafka_ConsumerGroupListing_type(*group);
            let name = text(c::rd_kafka_ConsumerGroupListing_group_id(*group)).unwrap_or_default();
            let state = state(c::rd_kafka_ConsumerGroupListing_state(*group), kind);
            GroupListing::new(name, state, group_kind(kind))
        });
        Ok(listed.collect())
    }
}

fn group_kind(kind: c::rd_kafka_consumer_group_type_t) -> GroupKind {
    use c::rd_kafka_consumer_group_type_t as Kind;
    match kind {
        Kind::RD_KAFKA_CONSUMER_GROUP_TYPE_CLASSIC => GroupKind::Classic,
        Kind::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER => GroupKind::Consumer,
        _ => GroupKind::Unknown,
    }
}

/// The description of a group. `None` if it does not exist.
pub(super) fn describe_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    limit: Duration,
) -> Result<Option<GroupDescription>> {
    let name = c_string(group)?;
    let mut names = [name.as_ptr()];
    let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let event = request(client, operation, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies the names.
        unsafe { c::rd_kafka_DescribeConsumerGroups(to.client, names.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its descriptions live as long as it does; their number is `count`.
    unsafe {
        let result = c::rd_kafka_event_DescribeConsumerGroups_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let groups = c::rd_kafka_DescribeConsumerGroups_result_groups(result, &raw mut count);
        let Some(&found) = elements(groups, count).first() else {
            return Ok(None);
        };
        match refusal(c::rd_kafka_ConsumerGroupDescription_error(found)) {
            Err(refusal) if refusal.code == Code::GroupIdNotFound => return Ok(None),
            result => result?,
        }
        let members = (0..c::rd_kafka_ConsumerGroupDescription_member_count(found))
            .map(|index| member(c::rd_kafka_ConsumerGroupDescription_member(found, index)));
        let members: Vec<_> = members.collect();
        let kind = c::rd_kafka_ConsumerGroupDescription_type(found);
        let state = state(c::rd_kafka_ConsumerGroupDescription_state(found), kind);
        if state == GroupState::Dead && members.is_empty() {
            return Ok(None);
        }
        let assignor = text(c::rd_kafka_ConsumerGroupDescription_partition_assignor(found)).unwrap_or_default();
        Ok(Some(
            GroupDescription::new(group, state, group_kind(kind))
                .with_members(members, assignor)
                .with_coordinator(broker(c::rd_kafka_ConsumerGroupDescription_coordinator(found))),
        ))
    }
}

/// # Safety
/// `node` must be null or point to a node.
unsafe fn broker(node: *const c::rd_kafka_Node_t) -> Option<BrokerInfo> {
    if node.is_null() {
        return None;
    }
    // SAFETY: of the caller. The strings live as long as the node.
    unsafe {
        let host = text(c::rd_kafka_Node_host(node)).unwrap_or_default();
        let rack = text(c::rd_kafka_Node_rack(node)).map(Cow::into_owned);
        let id = c::rd_kafka_Node_id(node);
        let broker = BrokerInfo::new(id, host, c::rd_kafka_Node_port(node)).with_rack(rack);
        (id >= 0).then_some(broker)
    }
}

/// Deletes a group.
pub(super) fn delete_group<C: ClientContext>(client: &Client<C>, group: &str, limit: Duration) -> Result<()> {
    let name = c_string(group)?;
    // SAFETY: the name lives longer than the call, which copies it.
    let asked = unsafe { c::rd_kafka_DeleteGroup_new(name.as_ptr()) };
    let asked = Owned::new(asked, c::rd_kafka_DeleteGroup_destroy).ok_or_else(|| invalid("no request"))?;
    let mut all = [asked.pointer()];
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_DELETEGROUPS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_DeleteGroups(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = c::rd_kafka_event_DeleteGroups_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let groups = c::rd_kafka_DeleteGroups_result_groups(result, &raw mut count);
        for group in elements(groups, count) {
            refusal(c::rd_kafka_group_result_error(*group))?;
        }
    }
    Ok(())
}

/// Sets committed offsets of a group.
pub(super) fn alter_offsets<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    offsets: &[PartitionOffset],
    limit: Duration,
) -> Result<()> {
    let name = c_string(group)?;
    let list = offset_list(offsets)?;
    // SAFETY: the name lives longer than the call and the list is owned; the call copies both.
    let asked = unsafe { c::rd_kafka_AlterConsumerGroupOffsets_new(name.as_ptr(), list.pointer()) };
    let asked =
        Owned::new(asked, c::rd_kafka_AlterConsumerGroupOffsets_destroy).ok_or_else(|| invalid("no request"))?;
    let mut all = [asked.pointer()];
    let operation = Operation::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS;
    let event = request(client, operation, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_AlterConsumerGroupOffsets(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = c::rd_kafka_event_AlterConsumerGroupOffsets_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let groups = c::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count);
        for group in elements(groups, count) {
            refusal(c::rd_kafka_group_result_error(*group))?;
            read_offsets(c::rd_kafka_group_result_partitions(*group))?;
        }
    }
    Ok(())
}

/// The id, the controller and the brokers of the cluster.
pub(super) fn describe_cluster<C: ClientContext>(client: &Client<C>, limit: Duration) -> Result<ClusterDescription> {
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_DESCRIBECLUSTER, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call.
        unsafe { c::rd_kafka_DescribeCluster(to.client, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = c::rd_kafka_event_DescribeCluster_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let id = text(c::rd_kafka_DescribeCluster_result_cluster_id(result)).map(Cow::into_owned);
        let controller = broker(c::rd_kafka_DescribeCluster_result_controller(result));
        let nodes = c::rd_kafka_DescribeCluster_result_nodes(result, &raw mut count);
        let brokers = elements(nodes, count).iter().filter_map(|node| broker(*node));
        Ok(ClusterDescription::new(
            id,
            controller.map(|broker| broker.id),
            brokers.collect(),
        ))
    }
}

/// Which of these topics are internal. Topics that do not exist any more are not.
pub(super) fn internal_topics<C: ClientContext>(
    client: &Client<C>,
    topics: &[&str],
    limit: Duration,
) -> Result<Vec<String>> {
    if topics.is_empty() {
        return Ok(Vec::new());
    }
    let names: Vec<CString> = topics.iter().map(|topic| c_string(topic)).collect::<Result<_>>()?;
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the names live longer than the call, which copies them; their number is that of the pointers.
    let asked = unsafe { c::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
    let asked = Owned::new(asked, c::rd_kafka_TopicCollection_destroy).ok_or_else(|| invalid("no request"))?;
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies the names.
        unsafe { c::rd_kafka_DescribeTopics(to.client, asked.pointer(), to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = c::rd_kafka_event_DescribeTopics_result(event.pointer());
        if result.is_null() {
            return Err(Refusal::timed_out());
        }
        let described = c::rd_kafka_DescribeTopics_result_topics(result, &raw mut count);
        let internal = elements(described, count)
            .iter()
            .filter(|topic| c::rd_kafka_TopicDescription_is_internal(**topic) == 1)
            .filter_map(|topic| text(c::rd_kafka_TopicDescription_name(*topic)))
            .map(Cow::into_owned);
        Ok(internal.collect())
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::consumer::{BaseConsumer, Consumer as _};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(1);

    #[test]
    fn synonyms_are_converted_to_the_unit_of_the_setting() {
        for (name, synonym, value, expected) in [
            ("retention.ms", "log.retention.hours", "168", Some("604800000")),
            ("retention.ms", "log.retention.minutes", "2", Some("120000")),
            ("retention.ms", "log.retention.hours", "-1", Some("-1")),
            ("retention.ms", "log.retention.ms", "5", Some("5")),
            ("log.retention.hours", "log.retention.hours", "168", Some("168")),
            ("retention.ms", "log.retention.hours", "9223372036854775807", None),
        ] {
            assert_eq!(
                converted(name, synonym, value.to_owned()).as_deref(),
                expected,
                "{name} {synonym}"
            );
        }
    }

    /// Every request to a broker that is not there fails, and frees what it has made.
    #[test]
    fn each_request_fails_without_a_broker() {
        let client: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", "127.0.0.1:1")
            .create()
            .expect("valid");
        let client = client.client();
        let topic = ConfigResource::topic("t");
        let offset = PartitionOffset::new(TopicPartition::new("t", 0), 1);
        assert!(create_partitions(client, "t", 2, LIMIT).is_err());
        assert!(describe_config(client, &topic, LIMIT).is_err());
        let changes = [
            ConfigChange::set("retention.ms", "1"),
            ConfigChange::delete("segment.ms"),
        ];
        assert!(alter_config(client, &topic, &changes, LIMIT).is_err());
        assert!(delete_records(client, &offset, LIMIT).is_err());
        assert!(list_groups(client, LIMIT).is_err());
        assert!(describe_group(client, "g", LIMIT).is_err());
        assert!(delete_group(client, "g", LIMIT).is_err());
        assert!(alter_offsets(client, "g", &[offset], LIMIT).is_err());
        assert!(describe_cluster(client, LIMIT).is_err());
        assert!(internal_topics(client, &["t"], LIMIT).is_err());
        assert_eq!(
            internal_topics(client, &[], LIMIT).expect("no request"),
            Vec::<String>::new()
        );
        for bad in ["nul\0", ""] {
            assert!(create_partitions(client, bad, 2, LIMIT).is_err(), "{bad:?}");
            assert!(
                alter_config(client, &topic, &[ConfigChange::set(bad, "1")], LIMIT).is_err(),
                "{bad:?}"
            );
        }
    }
}
