//! Committed offsets.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{CommitOffsets, PartitionOffset, TopicPartition};

use super::KafkaHarness;
use super::stage::{Stage, numbers, values};
use crate::kit::{Applies, CaseResult};
use crate::{check_eq, check_error};

pub(super) fn has_groups(harness: &dyn KafkaHarness) -> Applies {
    Applies::capability(harness.capabilities().groups, "groups")
}

impl Stage {
    /// Reads `count` messages with a new consumer of the stage's group, which is then closed without committing.
    async fn read_after_restart(&self, count: usize) -> Result<Vec<String>, crate::Failure> {
        let consumer = self.consumer().await?;
        let messages = self.read(&consumer, count).await?;
        self.read_nothing(&consumer).await?;
        self.client.close_consumer(&consumer).await?;
        Ok(values(&messages).into_iter().map(str::to_owned).collect())
    }

    fn exact(&self, partition: i32, offset: i64) -> CommitOffsets {
        let partition = TopicPartition::new(self.topic.as_str(), partition);
        CommitOffsets::Exact(vec![PartitionOffset::new(partition, offset)])
    }
}

pub(super) async fn a_committed_offset_is_the_next_to_read(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..10).await?;
    let consumer = stage.consumer().await?;
    let messages = stage.read(&consumer, 6).await?;
    stage
        .client
        .commit_offsets(&consumer, stage.exact(0, messages[5].next_offset()))
        .await?;
    stage.client.close_consumer(&consumer).await?;
    check_eq!(
        stage.read_after_restart(4).await?,
        numbers(6..10),
        "messages after the restart"
    );
    Ok(())
}

pub(super) async fn messages_can_be_committed_as_they_are(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..10).await?;
    let consumer = stage.consumer().await?;
    let messages = stage.read(&consumer, 6).await?;
    stage
        .client
        .commit_offsets(&consumer, CommitOffsets::of(&messages[..3]))
        .await?;
    stage.client.close_consumer(&consumer).await?;
    check_eq!(
        stage.read_after_restart(7).await?,
        numbers(3..10),
        "messages after the restart"
    );
    Ok(())
}

pub(super) async fn nothing_is_committed_implicitly(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..5).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 5).await?;
    stage.read_nothing(&consumer).await?;
    stage.client.close_consumer(&consumer).await?;
    check_eq!(
        stage.read_after_restart(5).await?,
        numbers(0..5),
        "messages after the restart"
    );
    for exact in [false, true] {
        closing_keeps_the_last_commit(Arc::clone(&stage.harness), exact).await?;
    }
    Ok(())
}

/// A consumer that has committed twice, and has read more, commits nothing when it is closed.
async fn closing_keeps_the_last_commit(harness: Arc<dyn KafkaHarness>, exact: bool) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..10).await?;
    let consumer = stage.consumer().await?;
    for next in [3, 6] {
        stage.read(&consumer, 3).await?;
        let offsets = if exact {
            stage.exact(0, next)
        } else {
            CommitOffsets::Consumed
        };
        stage.client.commit_offsets(&consumer, offsets).await?;
    }
    stage.read(&consumer, 4).await?;
    stage.read_nothing(&consumer).await?;
    stage.client.close_consumer(&consumer).await?;
    check_eq!(
        stage.read_after_restart(4).await?,
        numbers(6..10),
        "messages after the restart of a consumer that has committed 3 and then 6"
    );
    Ok(())
}

pub(super) async fn consumed_is_what_was_returned(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..10).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 4).await?;
    stage.client.commit_offsets(&consumer, CommitOffsets::Consumed).await?;
    stage.read(&consumer, 2).await?;
    stage.client.close_consumer(&consumer).await?;
    check_eq!(
        stage.read_after_restart(6).await?,
        numbers(4..10),
        "messages after the restart"
    );
    Ok(())
}

pub(super) async fn an_exact_offset_may_go_back(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..5).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 5).await?;
    stage.client.commit_offsets(&consumer, CommitOffsets::Consumed).await?;
    stage.client.commit_offsets(&consumer, stage.exact(0, 2)).await?;
    stage.client.close_consumer(&consumer).await?;
    check_eq!(
        stage.read_after_restart(3).await?,
        numbers(2..5),
        "messages after the restart"
    );
    Ok(())
}

pub(super) async fn a_commit_does_not_move_the_position(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..6).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 3).await?;
    stage.client.commit_offsets(&consumer, stage.exact(0, 1)).await?;
    check_eq!(
        values(&stage.read(&consumer, 3).await?),
        numbers(3..6),
        "the next messages"
    );
    Ok(())
}

pub(super) async fn a_negative_offset_is_invalid(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 1).await?;
    let result = stage.client.commit_offsets(&consumer, stage.exact(0, -1)).await;
    let error = check_error!(result, ErrorKind::InvalidInput, "committing offset -1");
    check_eq!(error.field(), Some("offset"), "the field that the error names");
    Ok(())
}

pub(super) async fn an_unassigned_partition_is_a_conflict(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..2).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 2).await?;
    let result = stage.client.commit_offsets(&consumer, stage.exact(7, 1)).await;
    check_error!(
        result,
        ErrorKind::Conflict,
        "committing for partition 7 of a topic with one partition"
    );
    let elsewhere = TopicPartition::new(stage.harness.topic(1).await?, 0);
    let result = stage
        .client
        .commit_offsets(
            &consumer,
            CommitOffsets::Exact(vec![PartitionOffset::new(elsewhere, 1)]),
        )
        .await;
    check_error!(
        result,
        ErrorKind::Conflict,
        "committing for a topic that the consumer does not read"
    );
    Ok(())
}

pub(super) async fn groups_have_separate_offsets(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..3).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 3).await?;
    stage.client.commit_offsets(&consumer, CommitOffsets::Consumed).await?;
    check_eq!(
        values(&stage.read_back(3).await?),
        numbers(0..3),
        "messages of another group"
    );
    Ok(())
}
