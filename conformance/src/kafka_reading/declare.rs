//! What a client declares.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{AssignmentStrategy, ConsumerId, GroupProtocol, OffsetSpec, ReaderConfig, SeekTarget};

use super::KafkaReadingHarness;
use super::scene::Scene;
use crate::kit::CaseResult;
use crate::{check_eq, check_error};

pub(super) async fn all_clients_declare_the_same_reading_capabilities(
    harness: Arc<dyn KafkaReadingHarness>,
) -> CaseResult {
    for _ in 0..2 {
        let client = harness.reading_client().await?;
        check_eq!(
            client.reading.reading_capabilities(),
            *harness.reading_capabilities(),
            "capabilities of a client, compared with those that the harness states"
        );
    }
    Ok(())
}

pub(super) async fn undeclared_reading_is_unsupported(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let (declared, reading) = (scene.harness.reading_capabilities(), &scene.reading);
    let consumer = scene.stage.consumer().await?;
    let unsupported = ErrorKind::Unsupported;
    if !declared.patterns {
        let created = reading.create_reader(ReaderConfig::pattern("x", "g")).await;
        check_error!(created, unsupported, "a pattern");
    }
    if !declared.partitions {
        let created = reading.create_reader(scene.partitions_config(&[0])).await;
        check_error!(created, unsupported, "a reader of partitions");
    }
    let beginning = OffsetSpec::Beginning;
    let time = OffsetSpec::Time(std::time::UNIX_EPOCH);
    if !declared.seek {
        let moved = reading.seek(&consumer, Vec::new(), SeekTarget::At(beginning)).await;
        check_error!(moved, unsupported, "a seek");
    }
    if !declared.times {
        let moved = reading.seek(&consumer, Vec::new(), SeekTarget::At(time)).await;
        check_error!(moved, unsupported, "a seek to a time");
        let listed = reading.list_offsets(vec![scene.partition(0)], time).await;
        check_error!(listed, unsupported, "the offset of a time");
    }
    if !declared.pause {
        check_error!(reading.pause(&consumer, Vec::new()).await, unsupported, "a pause");
        check_error!(reading.resume(&consumer, Vec::new()).await, unsupported, "resuming");
        check_error!(reading.paused(&consumer).await, unsupported, "paused partitions");
    }
    if !declared.list_offsets {
        let listed = reading.list_offsets(vec![scene.partition(0)], beginning).await;
        check_error!(listed, unsupported, "listing offsets");
    }
    if !declared.rebalance_events {
        check_error!(reading.take_rebalance_events(&consumer).await, unsupported, "events");
    }
    for strategy in AssignmentStrategy::ALL {
        if !declared.assignment_strategies.contains(strategy) {
            let config = scene.member_config().with_assignment_strategy(*strategy);
            check_error!(
                reading.create_reader(config).await,
                unsupported,
                "the strategy {strategy}"
            );
        }
    }
    for protocol in GroupProtocol::ALL {
        if !declared.group_protocols.contains(protocol) {
            let config = scene.member_config().with_group_protocol(*protocol);
            check_error!(
                reading.create_reader(config).await,
                unsupported,
                "the protocol {protocol}"
            );
        }
    }
    Ok(())
}

pub(super) async fn an_unknown_consumer_is_not_found(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(Arc::clone(&harness), 1).await?;
    let closed = scene.stage.consumer().await?;
    scene.stage.client.close_consumer(&closed).await?;
    let other = harness.reading_client().await?;
    let foreign = other.client.create_consumer(scene.stage.consumer_config()).await?;
    let declared = harness.reading_capabilities();
    let reading = &scene.reading;
    for consumer in [&ConsumerId::new("unknown"), &closed, &foreign] {
        let not_found = ErrorKind::NotFound;
        check_error!(reading.positions(consumer).await, not_found, "positions");
        if declared.seek {
            let moved = reading
                .seek(consumer, vec![scene.partition(0)], SeekTarget::Offset(0))
                .await;
            check_error!(moved, not_found, "a seek");
        }
        if declared.pause {
            let partitions = vec![scene.partition(0)];
            check_error!(reading.pause(consumer, partitions.clone()).await, not_found, "a pause");
            check_error!(reading.resume(consumer, partitions).await, not_found, "resuming");
            check_error!(reading.paused(consumer).await, not_found, "paused partitions");
        }
        if declared.rebalance_events {
            check_error!(reading.take_rebalance_events(consumer).await, not_found, "events");
        }
    }
    Ok(())
}
