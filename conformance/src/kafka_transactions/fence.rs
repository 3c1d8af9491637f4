//! Producers with the same transactional id.

use std::sync::Arc;

use networking_spi::kafka::{IsolationLevel, TransactionRemedy, TransactionalProducerConfig};

use super::KafkaTransactionsHarness;
use super::scene::{Scene, check_conflict, check_remedy};
use crate::kit::CaseResult;

const FENCED: Option<TransactionRemedy> = Some(TransactionRemedy::Recreate);

pub(super) async fn init_fences_an_older_producer(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.begin().await?;
    scene.write("old").await?;
    let other = scene.harness.transactional().await?;
    scene.register(&other).await?;
    check_conflict(scene.commit().await, FENCED, "commit of the older producer")?;
    Ok(())
}

pub(super) async fn a_fenced_producer_stays_fenced(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let mut scene = Scene::new(harness, 1).await?;
    scene.begin().await?;
    scene.write("old").await?;
    let newer = scene.register(&scene.pair).await?;
    check_conflict(scene.commit().await, FENCED, "commit of the older producer")?;
    check_remedy(
        scene.write("late").await,
        TransactionRemedy::Recreate,
        "a write of the older producer",
    )?;
    check_conflict(scene.abort().await, FENCED, "abort of the older producer")?;
    let begun = scene.pair.transactions.begin_transaction(&scene.producer).await;
    check_conflict(begun, FENCED, "begin of the older producer")?;
    scene.pair.client.close_producer(&scene.producer).await?;
    scene.producer = newer;
    scene.begin().await?;
    scene.write("new").await?;
    scene.commit().await?;
    Ok(())
}

pub(super) async fn init_aborts_what_is_unfinished(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let mut scene = Scene::new(harness, 1).await?;
    scene.begin().await?;
    scene.write("unfinished").await?;
    let other = scene.harness.transactional().await?;
    scene.producer = scene.register(&other).await?;
    scene.pair = other;
    scene.begin().await?;
    scene.write("new").await?;
    scene.commit().await?;
    scene.stage.client = Arc::clone(&scene.pair.client);
    scene.check_values(IsolationLevel::ReadCommitted, &["new"]).await
}

pub(super) async fn ids_do_not_fence_each_other(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.begin().await?;
    scene.write("first").await?;
    let config = TransactionalProducerConfig::new(scene.harness.unique("transactional-id"));
    let second = scene.register_with(&scene.pair, config).await?;
    let transactions = &scene.pair.transactions;
    transactions.begin_transaction(&second).await?;
    let record = scene.stage.record().with_partition(0).with_value("second");
    scene.pair.client.produce_message(&second, record).await?;
    scene.commit().await?;
    transactions.commit_transaction(&second).await?;
    scene
        .check_values(IsolationLevel::ReadUncommitted, &["first", "second"])
        .await
}
