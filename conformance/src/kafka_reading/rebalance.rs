//! Rebalances.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::kafka::{ConsumeOptions, ConsumerId, ReaderConfig, RebalanceEvent, RebalanceKind};

use super::KafkaReadingHarness;
use super::scene::Scene;
use crate::kit::{Applies, CaseResult, Failure};
use crate::{check, check_eq};

pub(super) fn reports(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.reading_capabilities().rebalance_events, "rebalance_events")
}

pub(super) fn reports_revocations(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.capabilities().groups, "groups").and(reports(harness))
}

pub(super) fn reports_losses(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.capabilities().session_timeouts, "session_timeouts").and(reports_revocations(harness))
}

pub(super) fn divides(harness: &dyn KafkaReadingHarness) -> Applies {
    let declared = harness.reading_capabilities();
    let any = !declared.assignment_strategies.is_empty() || !declared.group_protocols.is_empty();
    Applies::capability(any, "assignment_strategies").and(Applies::capability(harness.capabilities().groups, "groups"))
}

async fn events(scene: &Scene, consumer: &ConsumerId) -> Result<Vec<RebalanceEvent>, Failure> {
    let events = scene.reading.take_rebalance_events(consumer).await?;
    check_eq!(events.missed, 0, "missed events");
    Ok(events.events)
}

/// Whether each of two members has one of two partitions.
async fn share(scene: &Scene, first: &ConsumerId, second: &ConsumerId) -> Result<bool, Failure> {
    let client = &scene.stage.client;
    let first = client.consumer_assignment(first).await?;
    let second = client.consumer_assignment(second).await?;
    Ok(first.len() == 1 && second.len() == 1)
}

pub(super) async fn assigned_partitions_are_reported_with_their_epochs(
    harness: Arc<dyn KafkaReadingHarness>,
) -> CaseResult {
    let scene = Scene::new(harness, 2).await?;
    let consumer = scene.reader(2, 1).await?;
    let assignment = scene.stage.client.consumer_assignment(&consumer).await?;
    let mut reported = Vec::new();
    for event in events(&scene, &consumer).await? {
        check_eq!(event.kind, RebalanceKind::Assigned, "kind of the first events");
        reported.extend(event.partitions);
    }
    let assigned: Vec<_> = assignment
        .iter()
        .map(|(partition, epoch)| (partition.clone(), epoch))
        .collect();
    check_eq!(reported, assigned, "reported partitions, compared with the assignment");
    check_eq!(events(&scene, &consumer).await?, [], "events that were taken already");
    Ok(())
}

pub(super) async fn revoked_partitions_are_reported(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 2).await?;
    let first = scene.reader(2, 1).await?;
    let client = &scene.stage.client;
    let before = client.consumer_assignment(&first).await?;
    events(&scene, &first).await?;
    let second = scene.reading.create_reader(scene.member_config()).await?;
    let mut reported = Vec::new();
    let mut rounds = scene.rounds("share of each member");
    while !share(&scene, &first, &second).await? {
        rounds.next(&[&first, &second]).await?;
        reported.extend(events(&scene, &first).await?);
    }
    let revoked = reported.iter().filter(|event| event.kind == RebalanceKind::Revoked);
    let revoked: Vec<_> = revoked.flat_map(|event| event.partitions.clone()).collect();
    let now = client.consumer_assignment(&first).await?;
    for (partition, epoch) in before.iter().filter(|(partition, _)| !now.contains(partition)) {
        check!(
            revoked.contains(&(partition.clone(), epoch)),
            "{partition} was taken in epoch {epoch}, but only {revoked:?} were reported"
        );
    }
    check!(
        reported.iter().all(|event| event.kind != RebalanceKind::Lost),
        "nothing was lost, but these events were reported: {reported:?}"
    );
    Ok(())
}

pub(super) async fn lost_partitions_are_reported(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let limit = Duration::from_secs(6);
    scene.write(0, 0..1).await?;
    let config = scene
        .member_config()
        .with_consumer(|consumer| consumer.with_session_timeout(limit).with_max_poll_interval(limit));
    let consumer = scene.reading.create_reader(config).await?;
    scene.stage.read(&consumer, 1).await?;
    let before = scene.stage.client.consumer_assignment(&consumer).await?;
    events(&scene, &consumer).await?;
    // Without a call to consume, the member is removed from its group.
    tokio::time::sleep(limit + Duration::from_secs(2)).await;
    let lost = (
        scene.partition(0),
        before.epoch(&scene.partition(0)).unwrap_or_default(),
    );
    let mut rounds = scene.rounds("report of lost partitions");
    loop {
        rounds.next(&[&consumer]).await?;
        let events = events(&scene, &consumer).await?;
        if let Some(taken) = events.iter().find(|event| event.kind != RebalanceKind::Assigned) {
            let expected = RebalanceEvent::new(RebalanceKind::Lost, [lost]);
            check_eq!(*taken, expected, "event of a member that was removed");
            return Ok(());
        }
    }
}

pub(super) async fn each_strategy_and_protocol_divides_the_partitions(
    harness: Arc<dyn KafkaReadingHarness>,
) -> CaseResult {
    let scene = Scene::new(harness, 2).await?;
    let declared = scene.harness.reading_capabilities();
    let member = |group: String| {
        let mut config = scene.member_config();
        config.consumer.group = group;
        config
    };
    let mut configs: Vec<ReaderConfig> = Vec::new();
    for strategy in &declared.assignment_strategies {
        configs.push(member(scene.harness.unique("strategy")).with_assignment_strategy(*strategy));
    }
    for protocol in &declared.group_protocols {
        configs.push(member(scene.harness.unique("protocol")).with_group_protocol(*protocol));
    }
    let client = &scene.stage.client;
    for config in configs {
        let first = scene.reading.create_reader(config.clone()).await?;
        let second = scene.reading.create_reader(config.clone()).await?;
        let mut rounds = scene.rounds(format!("share of each member with {config:?}"));
        while !share(&scene, &first, &second).await? {
            rounds.next(&[&first, &second]).await?;
        }
        for consumer in [first, second] {
            let options = ConsumeOptions::new().with_max_wait(Duration::ZERO);
            client.consume_messages(&consumer, options).await?;
            client.close_consumer(&consumer).await?;
        }
    }
    Ok(())
}
