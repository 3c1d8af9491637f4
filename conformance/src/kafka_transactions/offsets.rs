//! Offsets in transactions.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{
    CommitOffsets, ConsumerConfig, ConsumerId, IsolationLevel, OffsetReset, PartitionOffset, ProducerRecord,
    TopicPartition, TransactionRemedy,
};

use super::KafkaTransactionsHarness;
use super::declare::has_transactions;
use super::isolation::has_isolation;
use super::scene::{Scene, check_conflict};
use crate::kafka::stage::values;
use crate::kit::{Applies, CaseResult, Failure};
use crate::{check_eq, check_error};

pub(super) fn has_groups(harness: &dyn KafkaTransactionsHarness) -> Applies {
    has_transactions(harness).and(Applies::capability(harness.capabilities().groups, "groups"))
}

pub(super) fn has_groups_and_isolation(harness: &dyn KafkaTransactionsHarness) -> Applies {
    has_groups(harness).and(has_isolation(harness))
}

pub(super) fn fences_members(harness: &dyn KafkaTransactionsHarness) -> Applies {
    has_groups(harness).and(Applies::capability(
        harness.capabilities().static_membership,
        "static_membership",
    ))
}

impl Scene {
    /// A member of the group of the stage.
    async fn member(&self) -> Result<ConsumerId, Failure> {
        Ok(self.pair.client.create_consumer(self.stage.consumer_config()).await?)
    }

    async fn send(&self, consumer: &ConsumerId, offsets: CommitOffsets) -> networking_spi::Result<()> {
        self.pair
            .transactions
            .send_offsets_to_transaction(&self.producer, consumer, offsets)
            .await
    }

    /// Fails unless a new member of the group reads these values, and no others.
    async fn check_remaining(&self, expected: &[&str]) -> CaseResult {
        let consumer = self.member().await?;
        let messages = self.read(&consumer, expected.len()).await?;
        check_eq!(values(&messages), expected, "values that a new member reads");
        self.stage.read_nothing(&consumer).await?;
        self.pair.client.close_consumer(&consumer).await?;
        Ok(())
    }
}

pub(super) async fn offsets_are_committed_with_the_transaction(
    harness: Arc<dyn KafkaTransactionsHarness>,
) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.stage.write_numbers(0..4).await?;
    let consumer = scene.member().await?;
    let messages = scene.read(&consumer, 2).await?;
    scene.begin().await?;
    scene.send(&consumer, CommitOffsets::of(&messages)).await?;
    scene.commit().await?;
    let messages = scene.read(&consumer, 1).await?;
    check_eq!(values(&messages), ["2"], "the consumer keeps its position");
    scene.begin().await?;
    scene.send(&consumer, CommitOffsets::Consumed).await?;
    scene.commit().await?;
    scene.pair.client.close_consumer(&consumer).await?;
    scene.check_remaining(&["3"]).await
}

pub(super) async fn offsets_of_an_aborted_transaction_are_dropped(
    harness: Arc<dyn KafkaTransactionsHarness>,
) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.stage.write_numbers(0..3).await?;
    let consumer = scene.member().await?;
    let messages = scene.read(&consumer, 1).await?;
    let client = &scene.pair.client;
    client.commit_offsets(&consumer, CommitOffsets::of(&messages)).await?;
    let messages = scene.read(&consumer, 2).await?;
    scene.begin().await?;
    scene.send(&consumer, CommitOffsets::of(&messages)).await?;
    scene.abort().await?;
    client.close_consumer(&consumer).await?;
    scene.check_remaining(&["1", "2"]).await
}

pub(super) async fn a_new_owner_waits_for_pending_offsets(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.stage.write_numbers(0..3).await?;
    let consumer = scene.member().await?;
    let messages = scene.read(&consumer, 2).await?;
    scene.begin().await?;
    scene.send(&consumer, CommitOffsets::of(&messages)).await?;
    scene.pair.client.close_consumer(&consumer).await?;
    let next = scene.member().await?;
    for _ in 0..3 {
        scene.stage.read_nothing(&next).await?;
    }
    scene.commit().await?;
    let messages = scene.read(&next, 1).await?;
    check_eq!(values(&messages), ["2"], "values that the new owner reads");
    scene.stage.read_nothing(&next).await
}

pub(super) async fn a_partition_of_nobody_means_abort(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let other = scene.harness.topic(1).await?;
    scene.stage.write_numbers(0..1).await?;
    let consumer = scene.member().await?;
    scene.read(&consumer, 1).await?;
    scene.begin().await?;
    let offset = PartitionOffset::new(TopicPartition::new(other, 0), 0);
    let sent = scene.send(&consumer, CommitOffsets::Exact(vec![offset])).await;
    let abort = Some(TransactionRemedy::Abort);
    check_conflict(sent, abort, "offsets of a partition that is not assigned")?;
    check_conflict(scene.commit().await, abort, "commit after that")?;
    scene.abort().await?;
    Ok(())
}

pub(super) async fn a_replaced_member_means_abort(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.stage.write_numbers(0..2).await?;
    let config = || scene.stage.consumer_config().with_group_instance_id("instance");
    let client = &scene.pair.client;
    let old = client.create_consumer(config()).await?;
    let messages = scene.read(&old, 1).await?;
    let new = scene.harness.transactional().await?.client;
    let replacement = new.create_consumer(config()).await?;
    crate::kafka::stage::read(&*scene.harness, &new, &replacement, 1).await?;
    scene.begin().await?;
    let sent = scene.send(&old, CommitOffsets::of(&messages)).await;
    check_conflict(
        sent,
        Some(TransactionRemedy::Abort),
        "offsets of a member that was replaced",
    )?;
    scene.abort().await?;
    Ok(())
}

pub(super) async fn a_bad_offset_or_consumer_is_named(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.stage.write_numbers(0..1).await?;
    let consumer = scene.member().await?;
    let messages = scene.read(&consumer, 1).await?;
    check_conflict(
        scene.send(&consumer, CommitOffsets::of(&messages)).await,
        None,
        "offsets without a transaction",
    )?;
    scene.begin().await?;
    let partition = TopicPartition::new(scene.stage.topic.as_str(), 0);
    let negative = CommitOffsets::Exact(vec![PartitionOffset::new(partition, -1)]);
    let error = check_error!(
        scene.send(&consumer, negative).await,
        ErrorKind::InvalidInput,
        "a negative offset"
    );
    check_eq!(error.field(), Some("offset"), "the field that the error names");
    let unknown = scene
        .send(&ConsumerId::new("unknown"), CommitOffsets::of(&messages))
        .await;
    check_error!(unknown, ErrorKind::NotFound, "the offsets of an unknown consumer");
    // Neither error has changed the transaction.
    scene.send(&consumer, CommitOffsets::of(&messages)).await?;
    scene.commit().await?;
    Ok(())
}

pub(super) async fn messages_are_processed_once(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let output = scene.harness.topic(1).await?;
    scene.stage.write_numbers(0..6).await?;
    // Every second transaction is aborted, and its messages are processed again by a new consumer.
    let mut consumer = scene.member().await?;
    for (count, commits) in [(2, true), (2, false), (3, true), (1, false), (1, true)] {
        let messages = scene.read(&consumer, count).await?;
        scene.begin().await?;
        for message in &messages {
            let mut copy = ProducerRecord::new(output.as_str());
            copy.value.clone_from(&message.value);
            scene.pair.client.produce_message(&scene.producer, copy).await?;
        }
        scene.send(&consumer, CommitOffsets::of(&messages)).await?;
        if commits {
            scene.commit().await?;
        } else {
            scene.abort().await?;
            scene.pair.client.close_consumer(&consumer).await?;
            consumer = scene.member().await?;
        }
    }
    let config = ConsumerConfig::new(scene.harness.unique("reader"), [output.as_str()])
        .with_isolation_level(IsolationLevel::ReadCommitted)
        .with_offset_reset(OffsetReset::Earliest);
    let reader = scene.pair.client.create_consumer(config).await?;
    let messages = scene.read(&reader, 6).await?;
    check_eq!(values(&messages), ["0", "1", "2", "3", "4", "5"], "outputs");
    scene.stage.read_nothing(&reader).await
}
