//! Consumer groups.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{CommitOffsets, ConsumerId, GroupKind, GroupState, KafkaAdmin};

use super::KafkaAdminHarness;
use crate::kafka::stage::{Stage, numbers, values};
use crate::kit::{Applies, CaseResult, Failure};
use crate::{check, check_eq, check_error};

pub(super) fn administers(harness: &dyn KafkaAdminHarness) -> Applies {
    Applies::capability(harness.admin_capabilities().groups, "groups")
}

/// A group that has read and committed three of five records, with its member.
pub(super) async fn group_of_one(harness: &Arc<dyn KafkaAdminHarness>) -> Result<(Stage, ConsumerId), Failure> {
    let stage = Stage::new(harness.clone(), 2).await?;
    stage.write_numbers(0..5).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 3).await?;
    stage.client.commit_offsets(&consumer, CommitOffsets::Consumed).await?;
    Ok((stage, consumer))
}

/// The same group after its member has left.
pub(super) async fn group_of_none(harness: &Arc<dyn KafkaAdminHarness>) -> Result<Stage, Failure> {
    let (stage, consumer) = group_of_one(harness).await?;
    stage.client.close_consumer(&consumer).await?;
    Ok(stage)
}

async fn state(admin: &dyn KafkaAdmin, group: &str) -> Result<Option<GroupState>, Failure> {
    let listed = admin.list_groups().await?;
    check!(
        listed.is_sorted_by(|left, right| left.group < right.group),
        "the groups are not in order: {listed:?}"
    );
    Ok(listed
        .iter()
        .find(|listed| listed.group == group)
        .map(|listed| listed.state))
}

pub(super) async fn groups_are_listed(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let (with, _member) = group_of_one(&harness).await?;
    let without = group_of_none(&harness).await?;
    let admin = harness.admin().await?;
    check_eq!(
        state(&*admin, &with.group).await?,
        Some(GroupState::Stable),
        "the state of a group with a member"
    );
    check_eq!(
        state(&*admin, &without.group).await?,
        Some(GroupState::Empty),
        "the state of a group without members"
    );
    check_eq!(
        state(&*admin, &harness.unique("unknown")).await?,
        None,
        "the state of a group that does not exist"
    );
    Ok(())
}

pub(super) async fn a_group_is_described(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let (stage, consumer) = group_of_one(&harness).await?;
    let admin = harness.admin().await?;
    let described = admin.describe_group(&stage.group).await?;
    check_eq!(described.group, stage.group, "the group");
    check_eq!(described.state, GroupState::Stable, "the state with a member");
    check!(described.kind != GroupKind::Unknown, "the protocol is unknown");
    check!(!described.assignor.is_empty(), "the strategy is not reported");
    let assigned: Vec<usize> = described.members.iter().map(|member| member.assignment.len()).collect();
    check_eq!(assigned, [2], "the number of partitions of each member");
    if harness.admin_capabilities().cluster {
        let brokers = admin.describe_cluster().await?.brokers;
        let coordinator = described.coordinator.map(|broker| broker.id);
        check!(
            coordinator.is_some_and(|id| brokers.iter().any(|broker| broker.id == id)),
            "the coordinator {coordinator:?} is not among the brokers"
        );
    }
    stage.client.close_consumer(&consumer).await?;
    let described = admin.describe_group(&stage.group).await?;
    check_eq!(described.state, GroupState::Empty, "the state without members");
    check!(
        described.members.is_empty(),
        "members that have left: {:?}",
        described.members
    );
    Ok(())
}

pub(super) async fn an_unknown_group_is_not_found(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let admin = harness.admin().await?;
    let unknown = harness.unique("unknown");
    let described = admin.describe_group(&unknown).await;
    check_error!(described, ErrorKind::NotFound, "describing a group that does not exist");
    let deleted = admin.delete_group(&unknown).await;
    check_error!(deleted, ErrorKind::NotFound, "deleting a group that does not exist");
    let described = admin.describe_group("").await;
    let error = check_error!(described, ErrorKind::InvalidInput, "describing a group without a name");
    check_eq!(error.field(), Some("group"), "the field that the error names");
    let deleted = admin.delete_group("").await;
    let error = check_error!(deleted, ErrorKind::InvalidInput, "deleting a group without a name");
    check_eq!(error.field(), Some("group"), "the field that the error names");
    Ok(())
}

pub(super) async fn a_deleted_group_has_no_offsets(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let stage = group_of_none(&harness).await?;
    let admin = harness.admin().await?;
    admin.delete_group(&stage.group).await?;
    check_eq!(
        state(&*admin, &stage.group).await?,
        None,
        "the state of the deleted group"
    );
    let described = admin.describe_group(&stage.group).await;
    check_error!(described, ErrorKind::NotFound, "describing the deleted group");
    let consumer = stage.consumer().await?;
    let messages = stage.read(&consumer, 5).await?;
    check_eq!(
        values(&messages),
        numbers(0..5),
        "messages for a new group of the same name"
    );
    Ok(())
}

pub(super) async fn a_group_with_members_is_not_deleted(harness: Arc<dyn KafkaAdminHarness>) -> CaseResult {
    let (stage, consumer) = group_of_one(&harness).await?;
    let admin = harness.admin().await?;
    let result = admin.delete_group(&stage.group).await;
    let error = check_error!(result, ErrorKind::Conflict, "deleting a group with a member");
    check!(
        !error.retryability().is_retryable(),
        "the error asks for a retry: {error:?}"
    );
    check_eq!(
        state(&*admin, &stage.group).await?,
        Some(GroupState::Stable),
        "the state of the group afterwards"
    );
    stage.client.close_consumer(&consumer).await?;
    admin.delete_group(&stage.group).await?;
    Ok(())
}
