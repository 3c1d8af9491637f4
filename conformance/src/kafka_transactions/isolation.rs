//! What consumers read of transactions.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::kafka::{
    CommitOffsets, ConsumerConfig, IsolationLevel, OffsetReset, ProducerConfig, TransactionRemedy,
    TransactionalProducerConfig,
};

use super::KafkaTransactionsHarness;
use super::declare::has_transactions;
use super::scene::{Scene, check_conflict};
use crate::check_eq;
use crate::kafka::stage::values;
use crate::kit::{Applies, CaseResult};

const COMMITTED: IsolationLevel = IsolationLevel::ReadCommitted;
const UNCOMMITTED: IsolationLevel = IsolationLevel::ReadUncommitted;

pub(super) fn has_isolation(harness: &dyn KafkaTransactionsHarness) -> Applies {
    has_transactions(harness).and(Applies::capability(
        harness.capabilities().read_committed,
        "read_committed",
    ))
}

pub(super) fn reports_lag(harness: &dyn KafkaTransactionsHarness) -> Applies {
    has_transactions(harness).and(Applies::capability(harness.capabilities().group_info, "group_info"))
}

pub(super) async fn committed_records_are_read(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 2).await?;
    for (first, second) in [("0", "1"), ("2", "3")] {
        scene.begin().await?;
        scene.write_to(0, first).await?;
        scene.write_to(1, second).await?;
        scene.commit().await?;
    }
    let consumer = scene.reader(COMMITTED).await?;
    let messages = scene.read(&consumer, 4).await?;
    for (partition, expected) in [(0, ["0", "2"]), (1, ["1", "3"])] {
        let of_partition: Vec<_> = messages
            .iter()
            .filter(|message| message.partition == partition)
            .collect();
        let found: Vec<_> = of_partition
            .iter()
            .map(|message| message.value_str().unwrap_or_default())
            .collect();
        check_eq!(found, expected, "values of partition {partition}");
    }
    scene.stage.read_nothing(&consumer).await
}

pub(super) async fn an_open_transaction_is_not_read(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.write_plain("before").await?;
    scene.begin().await?;
    scene.write("open").await?;
    let consumer = scene.reader(COMMITTED).await?;
    let messages = scene.read(&consumer, 1).await?;
    check_eq!(values(&messages), ["before"], "values while the transaction is open");
    scene.stage.read_nothing(&consumer).await?;
    scene.check_values(UNCOMMITTED, &["before", "open"]).await?;
    scene.commit().await?;
    let messages = scene.read(&consumer, 1).await?;
    check_eq!(values(&messages), ["open"], "values after the commit");
    Ok(())
}

pub(super) async fn aborted_records_are_not_read(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.begin().await?;
    scene.write("0").await?;
    scene.commit().await?;
    scene.begin().await?;
    scene.write("aborted").await?;
    scene.abort().await?;
    scene.begin().await?;
    scene.write("1").await?;
    scene.commit().await?;
    scene.check_values(COMMITTED, &["0", "1"]).await?;
    scene.check_values(UNCOMMITTED, &["0", "aborted", "1"]).await
}

pub(super) async fn an_open_transaction_holds_back_later_records(
    harness: Arc<dyn KafkaTransactionsHarness>,
) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.begin().await?;
    scene.write("open").await?;
    scene.write_plain("later").await?;
    let consumer = scene.reader(COMMITTED).await?;
    scene.stage.read_nothing(&consumer).await?;
    scene.abort().await?;
    let messages = scene.read(&consumer, 1).await?;
    check_eq!(values(&messages), ["later"], "values after the transaction was aborted");
    scene.stage.read_nothing(&consumer).await
}

pub(super) async fn latest_begins_before_an_open_transaction(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.write_plain("before").await?;
    scene.begin().await?;
    scene.write("open").await?;
    let config = ConsumerConfig::new(scene.harness.unique("reader"), [scene.stage.topic.as_str()])
        .with_isolation_level(COMMITTED)
        .with_offset_reset(OffsetReset::Latest);
    let consumer = scene.pair.client.create_consumer(config).await?;
    scene.stage.read_nothing(&consumer).await?;
    // Until the consumer has a position.
    let mut rounds = 0;
    while scene.pair.client.consumer_assignment(&consumer).await?.is_empty() && rounds < 30 {
        scene.stage.read_nothing(&consumer).await?;
        rounds += 1;
    }
    scene.stage.read_nothing(&consumer).await?;
    scene.commit().await?;
    let messages = scene.read(&consumer, 1).await?;
    check_eq!(values(&messages), ["open"], "values after the commit");
    Ok(())
}

pub(super) async fn the_end_of_a_transaction_takes_an_offset(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let mut offsets = Vec::new();
    for commits in [true, false, true] {
        scene.begin().await?;
        offsets.push(scene.write("0").await?.offset);
        offsets.push(scene.write("1").await?.offset);
        if commits {
            scene.commit().await?;
        } else {
            scene.abort().await?;
        }
    }
    let expected = [0, 1, 3, 4, 6, 7].map(Some);
    check_eq!(offsets, expected, "offsets of the records");
    Ok(())
}

pub(super) async fn the_end_of_a_transaction_is_no_lag(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.begin().await?;
    scene.write("0").await?;
    scene.commit().await?;
    let consumer = scene.stage.consumer().await?;
    let messages = scene.read(&consumer, 1).await?;
    let client = &scene.pair.client;
    client.commit_offsets(&consumer, CommitOffsets::of(&messages)).await?;
    let info = client.consumer_group_info(&scene.stage.group).await?;
    let lags: Vec<_> = info
        .offsets
        .iter()
        .map(|offset| (offset.committed, offset.lag))
        .collect();
    check_eq!(
        lags,
        [(Some(1), Some(0))],
        "committed offset and lag after all records were read"
    );
    Ok(())
}

pub(super) async fn closing_a_producer_aborts(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.begin().await?;
    scene.write("open").await?;
    scene.pair.client.close_producer(&scene.producer).await?;
    scene.write_plain("later").await?;
    scene.check_values(COMMITTED, &["later"]).await
}

pub(super) async fn a_transaction_ends_at_its_timeout(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let mut scene = Scene::new(harness, 1).await?;
    let timeout = Duration::from_secs(2);
    let config = TransactionalProducerConfig::new(scene.harness.unique("transactional-id"))
        .with_producer(ProducerConfig::new().with_delivery_timeout(timeout))
        .with_transaction_timeout(timeout);
    scene.producer = scene.register_with(&scene.pair, config).await?;
    scene.begin().await?;
    scene.write("open").await?;
    scene.write_plain("later").await?;
    // A call that waits longer than the timeout gets the record.
    let consumer = scene.reader(COMMITTED).await?;
    let messages = scene.read(&consumer, 1).await?;
    check_eq!(values(&messages), ["later"], "values after the timeout");
    let fenced = Some(TransactionRemedy::Recreate);
    check_conflict(scene.commit().await, fenced, "commit after the timeout")?;
    Ok(())
}
