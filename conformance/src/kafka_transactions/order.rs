//! The order of operations.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{IsolationLevel, TransactionRemedy};

use super::KafkaTransactionsHarness;
use super::scene::{Scene, check_conflict, check_remedy};
use crate::check_error;
use crate::kit::CaseResult;

pub(super) async fn nothing_works_before_init(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::unregistered(harness, 1).await?;
    let transactions = &scene.pair.transactions;
    check_conflict(
        transactions.begin_transaction(&scene.producer).await,
        None,
        "begin before init",
    )?;
    check_conflict(scene.commit().await, None, "commit before init")?;
    check_conflict(scene.abort().await, None, "abort before init")?;
    check_error!(scene.write("early").await, ErrorKind::Conflict, "a write before init");
    transactions.init_transactions(&scene.producer).await?;
    check_conflict(
        transactions.init_transactions(&scene.producer).await,
        None,
        "a second init",
    )?;
    scene.begin().await?;
    scene.write("in time").await?;
    scene.commit().await?;
    scene.check_values(IsolationLevel::ReadUncommitted, &["in time"]).await
}

pub(super) async fn one_transaction_is_open_at_a_time(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let transactions = &scene.pair.transactions;
    check_conflict(scene.commit().await, None, "commit without a transaction")?;
    check_conflict(scene.abort().await, None, "abort without a transaction")?;
    scene.begin().await?;
    check_conflict(
        transactions.begin_transaction(&scene.producer).await,
        None,
        "a second begin",
    )?;
    scene.write("0").await?;
    scene.commit().await?;
    check_conflict(scene.commit().await, None, "a second commit")?;
    check_conflict(scene.abort().await, None, "abort after commit")?;
    scene.begin().await?;
    scene.write("1").await?;
    scene.abort().await?;
    check_conflict(scene.abort().await, None, "a second abort")?;
    Ok(())
}

pub(super) async fn nothing_is_written_outside_of_a_transaction(
    harness: Arc<dyn KafkaTransactionsHarness>,
) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    check_error!(scene.write("before").await, ErrorKind::Conflict, "a write before begin");
    scene.begin().await?;
    scene.write("within").await?;
    scene.commit().await?;
    check_error!(scene.write("after").await, ErrorKind::Conflict, "a write after commit");
    scene.check_values(IsolationLevel::ReadUncommitted, &["within"]).await
}

pub(super) async fn transactions_may_be_empty(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.begin().await?;
    scene.commit().await?;
    scene.begin().await?;
    scene.abort().await?;
    scene.begin().await?;
    scene.write("0").await?;
    scene.commit().await?;
    scene.check_values(IsolationLevel::ReadUncommitted, &["0"]).await
}

pub(super) async fn a_failed_record_means_abort(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    scene.begin().await?;
    scene.write("0").await?;
    let large = "x".repeat(1_000_001);
    check_remedy(
        scene.write(&large).await,
        TransactionRemedy::Abort,
        "a record that is too large",
    )?;
    check_conflict(
        scene.commit().await,
        Some(TransactionRemedy::Abort),
        "commit after a failed record",
    )?;
    scene.abort().await?;
    scene.begin().await?;
    scene.write("1").await?;
    scene.commit().await?;
    Ok(())
}
