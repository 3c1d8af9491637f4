//! Consumer groups.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{CommitOffsets, ConsumeOptions, GroupState, PartitionOffset, TopicPartition};
use tokio::time::Instant;

use super::KafkaHarness;
use super::stage::{Stage, numbers, values};
use crate::kit::{Applies, CaseResult, chain};
use crate::{check, check_eq, check_error};

pub(super) fn fences_static_members(harness: &dyn KafkaHarness) -> Applies {
    Applies::capability(harness.capabilities().static_membership, "static_membership")
}

pub(super) fn reports_groups(harness: &dyn KafkaHarness) -> Applies {
    Applies::capability(harness.capabilities().group_info, "group_info")
}

pub(super) async fn members_share_the_partitions(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 4).await?;
    let members = [stage.member().await?, stage.member().await?];
    let shares = stage.shares(&members, 4).await?;
    check_eq!(
        shares.iter().map(Vec::len).sum::<usize>(),
        4,
        "partitions that are read"
    );
    // `shares` waits until each partition has exactly one reader. That must not change afterwards.
    check_eq!(
        stage.shares(&members, 4).await?,
        shares,
        "partitions of each member later"
    );
    Ok(())
}

pub(super) async fn partitions_of_a_leaving_member_are_reassigned(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 2).await?;
    let [first, second] = [stage.member().await?, stage.member().await?];
    let both = [first, second];
    stage.shares(&both, 2).await?;
    let [first, second] = both;
    first.client.close_consumer(&first.consumer).await?;
    let shares = stage.shares(&[second], 2).await?;
    check_eq!(shares, [[0, 1]], "partitions of the remaining member");
    Ok(())
}

pub(super) async fn each_group_gets_every_record(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 2).await?;
    let first = stage.consumer().await?;
    let mut config = stage.consumer_config();
    config.group = stage.harness.unique("other-group");
    let second = stage.client.create_consumer(config).await?;
    for number in 0..4 {
        stage
            .write(stage.record().with_partition(number % 2).with_value(number.to_string()))
            .await?;
    }
    for consumer in [first, second] {
        let messages = stage.read(&consumer, 4).await?;
        let mut found = values(&messages);
        found.sort_unstable();
        check_eq!(found, numbers(0..4), "messages of a group");
    }
    Ok(())
}

pub(super) async fn a_partition_of_another_member_is_a_conflict(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 2).await?;
    let members = [stage.member().await?, stage.member().await?];
    let shares = stage.shares(&members, 2).await?;
    let offset = |partition: i32| {
        let partition = TopicPartition::new(stage.topic.as_str(), partition);
        CommitOffsets::Exact(vec![PartitionOffset::new(partition, 1)])
    };
    let [first, _] = &members;
    let result = first.client.commit_offsets(&first.consumer, offset(shares[1][0])).await;
    check_error!(
        result,
        ErrorKind::Conflict,
        "committing for a partition of another member"
    );
    first
        .client
        .commit_offsets(&first.consumer, offset(shares[0][0]))
        .await?;
    Ok(())
}

pub(super) async fn a_static_member_is_fenced_by_its_replacement(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let config = stage.consumer_config().with_group_instance_id("the-one");
    let old = stage.client.create_consumer(config.clone()).await?;
    stage.read(&old, 1).await?;
    let twin_client = stage.harness.client().await?;
    let twin = twin_client.create_consumer(config).await?;

    let deadline = Instant::now() + stage.harness.patience();
    let mut taken_over = false;
    loop {
        check!(
            Instant::now() < deadline,
            "no conflict within {:?}",
            stage.harness.patience()
        );
        let options = ConsumeOptions::new().with_max_wait(stage.harness.quiet());
        // A consumer joins its group while it consumes.
        taken_over |= !twin_client.consume_messages(&twin, options).await?.is_empty();
        match stage.client.consume_messages(&old, options).await {
            Ok(_) => {}
            Err(error) => {
                check_eq!(
                    error.kind(),
                    ErrorKind::Conflict,
                    "kind of the replaced member's error ({})",
                    chain(&error)
                );
                break;
            }
        }
    }
    let result = stage.client.commit_offsets(&old, CommitOffsets::Consumed).await;
    check_error!(result, ErrorKind::Conflict, "a commit of the replaced member");
    if !taken_over {
        let again = super::stage::read(&*stage.harness, &twin_client, &twin, 1).await?;
        check_eq!(values(&again), ["0"], "messages of the replacement, without a commit");
    }
    Ok(())
}

pub(super) async fn info_shows_members_offsets_and_lag(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 2).await?;
    for number in 0..6 {
        stage
            .write(stage.record().with_partition(number % 2).with_value("x"))
            .await?;
    }
    let mut config = stage.consumer_config();
    if stage.harness.capabilities().client_ids {
        config.client_id = Some("the-client".to_owned());
    }
    let consumer = stage.client.create_consumer(config).await?;
    stage.read(&consumer, 6).await?;
    let first = TopicPartition::new(stage.topic.as_str(), 0);
    let offsets = CommitOffsets::Exact(vec![PartitionOffset::new(first.clone(), 1)]);
    stage.client.commit_offsets(&consumer, offsets).await?;

    let info = stage.client.consumer_group_info(&stage.group).await?;
    check_eq!(info.group, stage.group, "group");
    check_eq!(info.state, GroupState::Stable, "state");
    check_eq!(info.members.len(), 1, "members");
    if stage.harness.capabilities().client_ids {
        check_eq!(info.members[0].client_id, "the-client", "client id");
    }
    let both: Vec<_> = (0..2)
        .map(|partition| TopicPartition::new(stage.topic.as_str(), partition))
        .collect();
    check_eq!(info.members[0].assignment, both, "assignment");
    let offset = info.offsets.iter().find(|offset| offset.partition == first);
    let found = offset.map(|offset| (offset.committed, offset.latest, offset.lag));
    check_eq!(
        found,
        Some((Some(1), 3, Some(2))),
        "committed, latest and lag of partition 0"
    );
    check_eq!(info.total_lag(), 2, "total lag: nothing was committed for partition 1");
    Ok(())
}

pub(super) async fn info_remains_without_members(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..2).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 2).await?;
    stage.client.commit_offsets(&consumer, CommitOffsets::Consumed).await?;
    stage.client.close_consumer(&consumer).await?;
    let info = stage.client.consumer_group_info(&stage.group).await?;
    check_eq!(info.state, GroupState::Empty, "state");
    check!(info.members.is_empty(), "members of an empty group: {:?}", info.members);
    let committed: Vec<_> = info
        .offsets
        .iter()
        .map(|offset| (offset.committed, offset.lag))
        .collect();
    check_eq!(committed, [(Some(2), Some(0))], "committed offsets");
    Ok(())
}

pub(super) async fn an_unknown_group_is_not_found(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let result = client.consumer_group_info(&harness.unique("unknown")).await;
    let kind = if harness.capabilities().group_info {
        ErrorKind::NotFound
    } else {
        ErrorKind::Unsupported
    };
    check_error!(result, kind, "information on an unknown group");
    Ok(())
}
