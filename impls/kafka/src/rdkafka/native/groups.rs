//! Consumer groups of all protocols, and their committed offsets.

use std::ptr;
use std::time::Duration;

use networking_spi::kafka::{
    GroupDescription, GroupKind, GroupListing, GroupMember, GroupState, PartitionOffset, TopicPartition,
};
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::error::RDKafkaErrorCode as Code;
use rdkafka::types::RDKafkaRespErr;

use c::rd_kafka_admin_op_t as Operation;

use super::cluster::broker;
use super::object::{Owned, elements, partition, partitions, string, text};
use super::offsets::{offset_list, read_offsets};
use super::refusal::{Refusal, Result, refusal};
use super::request::{request, result};

/// All groups. Fails if a broker does not answer.
pub(in crate::rdkafka) fn list_groups<C: ClientContext>(
    client: &Client<C>,
    limit: Duration,
) -> Result<Vec<GroupListing>> {
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call.
        unsafe { c::rd_kafka_ListConsumerGroups(to.client, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their numbers are those in `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_ListConsumerGroups_result)?;
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

/// The description of a group. `None` if it does not exist.
pub(in crate::rdkafka) fn describe_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    limit: Duration,
) -> Result<Option<GroupDescription>> {
    let name = string(group)?;
    let mut names = [name.as_ptr()];
    let operation = Operation::RD_KAFKA_ADMIN_OP_DESCRIBECONSUMERGROUPS;
    let event = request(client, operation, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies the names.
        unsafe { c::rd_kafka_DescribeConsumerGroups(to.client, names.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its descriptions live as long as it does; their number is `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_DescribeConsumerGroups_result)?;
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

/// Deletes a group.
pub(in crate::rdkafka) fn delete_group<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    limit: Duration,
) -> Result<()> {
    let name = string(group)?;
    // SAFETY: the name lives longer than the call, which copies it.
    let asked = unsafe { c::rd_kafka_DeleteGroup_new(name.as_ptr()) };
    let asked = Owned::new(asked, c::rd_kafka_DeleteGroup_destroy).ok_or_else(Refusal::failed)?;
    let mut all = [asked.pointer()];
    let event = request(client, Operation::RD_KAFKA_ADMIN_OP_DELETEGROUPS, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_DeleteGroups(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_DeleteGroups_result)?;
        let groups = c::rd_kafka_DeleteGroups_result_groups(result, &raw mut count);
        for group in elements(groups, count) {
            refusal(c::rd_kafka_group_result_error(*group))?;
        }
    }
    Ok(())
}

/// All committed offsets of a group. Blocks for at most `limit`.
pub(in crate::rdkafka) fn committed_offsets<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    limit: Duration,
) -> Result<Vec<(TopicPartition, i64)>> {
    let name = string(group)?;
    // SAFETY: the name lives longer than the call, which copies it. Without a list, all partitions are meant.
    let asked = unsafe { c::rd_kafka_ListConsumerGroupOffsets_new(name.as_ptr(), ptr::null()) };
    let asked = Owned::new(asked, c::rd_kafka_ListConsumerGroupOffsets_destroy)
        .ok_or_else(|| Refusal::invalid("the group is not valid"))?;
    let mut all = [asked.pointer()];
    let operation = Operation::RD_KAFKA_ADMIN_OP_LISTCONSUMERGROUPOFFSETS;
    let event = request(client, operation, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_ListConsumerGroupOffsets(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_ListConsumerGroupOffsets_result)?;
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

/// Sets committed offsets of a group.
pub(in crate::rdkafka) fn alter_offsets<C: ClientContext>(
    client: &Client<C>,
    group: &str,
    offsets: &[PartitionOffset],
    limit: Duration,
) -> Result<()> {
    let name = string(group)?;
    let list = offset_list(offsets)?;
    // SAFETY: the name lives longer than the call and the list is owned; the call copies both.
    let asked = unsafe { c::rd_kafka_AlterConsumerGroupOffsets_new(name.as_ptr(), list.pointer()) };
    let asked = Owned::new(asked, c::rd_kafka_AlterConsumerGroupOffsets_destroy).ok_or_else(Refusal::failed)?;
    let mut all = [asked.pointer()];
    let operation = Operation::RD_KAFKA_ADMIN_OP_ALTERCONSUMERGROUPOFFSETS;
    let event = request(client, operation, limit, |to| {
        // SAFETY: all pointers are owned and live longer than the call, which copies what is asked.
        unsafe { c::rd_kafka_AlterConsumerGroupOffsets(to.client, all.as_mut_ptr(), 1, to.options, to.queue) };
    })?;
    let mut count = 0;
    // SAFETY: the event is owned. Its results live as long as it does; their number is `count`.
    unsafe {
        let result = result(&event, c::rd_kafka_event_AlterConsumerGroupOffsets_result)?;
        let groups = c::rd_kafka_AlterConsumerGroupOffsets_result_groups(result, &raw mut count);
        for group in elements(groups, count) {
            refusal(c::rd_kafka_group_result_error(*group))?;
            read_offsets(c::rd_kafka_group_result_partitions(*group))?;
        }
    }
    Ok(())
}

fn state(state: c::rd_kafka_consumer_group_state_t, kind: c::rd_kafka_consumer_group_type_t) -> GroupState {
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

fn group_kind(kind: c::rd_kafka_consumer_group_type_t) -> GroupKind {
    use c::rd_kafka_consumer_group_type_t as Kind;
    match kind {
        Kind::RD_KAFKA_CONSUMER_GROUP_TYPE_CLASSIC => GroupKind::Classic,
        Kind::RD_KAFKA_CONSUMER_GROUP_TYPE_CONSUMER => GroupKind::Consumer,
        _ => GroupKind::Unknown,
    }
}

/// # Safety
/// `member` must point to the description of a member.
unsafe fn member(member: *const c::rd_kafka_MemberDescription_t) -> GroupMember {
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
