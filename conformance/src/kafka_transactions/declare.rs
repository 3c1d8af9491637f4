//! What a client declares, and arguments that it refuses.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::ErrorKind;
use networking_spi::kafka::{Acks, CommitOffsets, ConsumerId, ProducerConfig, ProducerId, TransactionalProducerConfig};

use super::KafkaTransactionsHarness;
use super::scene::Scene;
use crate::kit::{Applies, CaseResult};
use crate::{check_eq, check_error};

pub(super) fn has_transactions(harness: &dyn KafkaTransactionsHarness) -> Applies {
    Applies::capability(harness.capabilities().transactions, "transactions")
}

pub(super) async fn all_clients_declare_what_the_harness_states(
    harness: Arc<dyn KafkaTransactionsHarness>,
) -> CaseResult {
    for _ in 0..2 {
        let pair = harness.transactional().await?;
        check_eq!(
            pair.client.capabilities(),
            *harness.capabilities(),
            "capabilities of a client, compared with those that the harness states"
        );
    }
    Ok(())
}

pub(super) async fn undeclared_transactions_are_unsupported(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    if harness.capabilities().transactions {
        return Ok(());
    }
    let transactions = harness.transactional().await?.transactions;
    let (producer, consumer) = (ProducerId::new("any"), ConsumerId::new("any"));
    let config = TransactionalProducerConfig::new(harness.unique("transactional-id"));
    let offsets = CommitOffsets::Exact(Vec::new());
    let created = transactions.create_transactional_producer(config).await;
    check_error!(created, ErrorKind::Unsupported, "creating a producer");
    for (what, result) in [
        ("init", transactions.init_transactions(&producer).await),
        ("begin", transactions.begin_transaction(&producer).await),
        (
            "sending offsets",
            transactions
                .send_offsets_to_transaction(&producer, &consumer, offsets)
                .await,
        ),
        ("commit", transactions.commit_transaction(&producer).await),
        ("abort", transactions.abort_transaction(&producer).await),
    ] {
        check_error!(result, ErrorKind::Unsupported, "{what}");
    }
    Ok(())
}

pub(super) async fn a_bad_configuration_names_its_field(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let transactions = harness.transactional().await?.transactions;
    let new = || TransactionalProducerConfig::new(harness.unique("transactional-id"));
    let producer = ProducerConfig::new;
    for (config, field) in [
        (TransactionalProducerConfig::new(""), "transactional_id"),
        (new().with_transaction_timeout(Duration::ZERO), "transaction_timeout"),
        (new().with_operation_timeout(Duration::ZERO), "operation_timeout"),
        (new().with_producer(producer().with_acks(Acks::Leader)), "producer.acks"),
        (
            new().with_producer(producer().with_idempotent(false)),
            "producer.idempotent",
        ),
        (
            new().with_producer(producer().with_queue_size(0)),
            "producer.queue_size",
        ),
        (
            new().with_producer(producer().with_backend_setting("no.such.setting", "1")),
            "producer.backend.no.such.setting",
        ),
        (
            new().with_transaction_timeout(Duration::from_secs(2)),
            "producer.delivery_timeout",
        ),
    ] {
        let result = transactions.create_transactional_producer(config).await;
        let error = check_error!(result, ErrorKind::InvalidInput, "a bad {field}");
        let named = error.field().unwrap_or_default();
        // A backend names its setting as its library does.
        let expected = field == named || (field.starts_with("producer.backend.") && named.ends_with("no.such.setting"));
        check_eq!(
            (expected, named),
            (true, named),
            "the field that the error names, instead of {field}"
        );
    }
    Ok(())
}

pub(super) async fn an_unknown_producer_is_not_found(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let other = scene.harness.transactional().await?.transactions;
    check_error!(
        other.begin_transaction(&scene.producer).await,
        ErrorKind::NotFound,
        "begin with the producer of another client"
    );
    scene.pair.client.close_producer(&scene.producer).await?;
    let (transactions, producer) = (&scene.pair.transactions, &scene.producer);
    for (what, result) in [
        ("init", transactions.init_transactions(producer).await),
        ("begin", transactions.begin_transaction(producer).await),
        ("commit", transactions.commit_transaction(producer).await),
        ("abort", transactions.abort_transaction(producer).await),
    ] {
        check_error!(result, ErrorKind::NotFound, "{what} with a closed producer");
    }
    Ok(())
}

pub(super) async fn a_producer_without_an_id_is_invalid(harness: Arc<dyn KafkaTransactionsHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let (transactions, plain) = (&scene.pair.transactions, &scene.stage.producer);
    for (what, result) in [
        ("init", transactions.init_transactions(plain).await),
        ("begin", transactions.begin_transaction(plain).await),
        ("commit", transactions.commit_transaction(plain).await),
        ("abort", transactions.abort_transaction(plain).await),
    ] {
        let error = check_error!(result, ErrorKind::InvalidInput, "{what} with a producer without an id");
        check_eq!(
            error.field(),
            Some("producer"),
            "the field that the error of {what} names"
        );
    }
    scene.write_plain("still works").await?;
    Ok(())
}
