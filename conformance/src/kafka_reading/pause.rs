//! Pausing and resuming partitions.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::SeekTarget;

use super::KafkaReadingHarness;
use super::scene::Scene;
use crate::kit::{Applies, CaseResult};
use crate::{check_eq, check_error};

pub(super) fn pauses(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.reading_capabilities().pause, "pause")
}

pub(super) fn pauses_and_seeks(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.reading_capabilities().seek, "seek").and(pauses(harness))
}

pub(super) async fn a_paused_partition_is_not_read(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 2).await?;
    let consumer = scene.reader(2, 1).await?;
    scene.reading.pause(&consumer, vec![scene.partition(0)]).await?;
    scene.write(0, 1..3).await?;
    scene.write(1, 1..3).await?;
    check_eq!(
        scene.places(&consumer, 2).await?,
        [(1, 1), (1, 2)],
        "messages while partition 0 is paused"
    );
    scene.stage.read_nothing(&consumer).await
}

pub(super) async fn a_resumed_partition_continues_without_a_gap(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let consumer = scene.reader(1, 1).await?;
    let partition = || vec![scene.partition(0)];
    scene.write(0, 1..6).await?;
    // The client has fetched more than it has returned.
    check_eq!(
        scene.places(&consumer, 2).await?,
        [(0, 1), (0, 2)],
        "messages before the pause"
    );
    for _ in 0..2 {
        scene.reading.pause(&consumer, partition()).await?;
    }
    scene.stage.read_nothing(&consumer).await?;
    for _ in 0..2 {
        scene.reading.resume(&consumer, partition()).await?;
    }
    check_eq!(
        scene.places(&consumer, 3).await?,
        [(0, 3), (0, 4), (0, 5)],
        "messages after the pause"
    );
    Ok(())
}

pub(super) async fn paused_partitions_are_listed(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 3).await?;
    let consumer = scene.reader(3, 1).await?;
    let reading = &scene.reading;
    check_eq!(reading.paused(&consumer).await?, [], "paused partitions at first");
    reading
        .pause(&consumer, vec![scene.partition(2), scene.partition(0)])
        .await?;
    let expected = [scene.partition(0), scene.partition(2)];
    check_eq!(reading.paused(&consumer).await?, expected, "paused partitions");
    reading
        .resume(&consumer, vec![scene.partition(0), scene.partition(1)])
        .await?;
    check_eq!(
        reading.paused(&consumer).await?,
        [scene.partition(2)],
        "paused partitions after resuming one"
    );
    Ok(())
}

pub(super) async fn a_seek_keeps_the_pause(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let consumer = scene.reader(1, 3).await?;
    let partition = || vec![scene.partition(0)];
    scene.reading.pause(&consumer, partition()).await?;
    scene
        .reading
        .seek(&consumer, partition(), SeekTarget::Offset(1))
        .await?;
    check_eq!(
        scene.reading.paused(&consumer).await?,
        partition(),
        "paused partitions after a seek"
    );
    scene.stage.read_nothing(&consumer).await?;
    scene.reading.resume(&consumer, partition()).await?;
    check_eq!(
        scene.places(&consumer, 2).await?,
        [(0, 1), (0, 2)],
        "messages after the pause"
    );
    Ok(())
}

pub(super) async fn an_unassigned_partition_cannot_be_paused(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let consumer = scene.reader(1, 1).await?;
    let partitions = || vec![scene.partition(0), scene.partition(7)];
    let paused = scene.reading.pause(&consumer, partitions()).await;
    check_error!(paused, ErrorKind::Conflict, "pausing a partition that is not assigned");
    let resumed = scene.reading.resume(&consumer, partitions()).await;
    check_error!(
        resumed,
        ErrorKind::Conflict,
        "resuming a partition that is not assigned"
    );
    check_eq!(
        scene.reading.paused(&consumer).await?,
        [],
        "paused partitions afterwards"
    );
    scene.write(0, 1..2).await?;
    check_eq!(
        scene.places(&consumer, 1).await?,
        [(0, 1)],
        "message of the assigned partition"
    );
    Ok(())
}
