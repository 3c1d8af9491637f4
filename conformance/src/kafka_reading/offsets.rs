//! Positions of a consumer, and offsets of partitions.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::ErrorKind;
use networking_spi::kafka::{OffsetSpec, PartitionOffset, SeekTarget, TopicPartition};

use super::KafkaReadingHarness;
use super::scene::Scene;
use super::seek::{an_hour_ago, write_at};
use crate::kit::{Applies, CaseResult};
use crate::{check_eq, check_error};

pub(super) fn lists(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.reading_capabilities().list_offsets, "list_offsets")
}

pub(super) fn lists_times(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.reading_capabilities().times, "times")
        .and(Applies::capability(harness.capabilities().timestamps, "timestamps"))
        .and(lists(harness))
}

pub(super) async fn positions_follow_messages_and_seeks(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 2).await?;
    let consumer = scene.reader(2, 3).await?;
    let at = |partition, offset| PartitionOffset::new(scene.partition(partition), offset);
    check_eq!(
        scene.reading.positions(&consumer).await?,
        [at(0, 3), at(1, 3)],
        "positions after three messages"
    );
    scene
        .reading
        .seek(&consumer, vec![scene.partition(1)], SeekTarget::Offset(1))
        .await?;
    check_eq!(
        scene.reading.positions(&consumer).await?,
        [at(0, 3), at(1, 1)],
        "positions after a seek"
    );
    scene.stage.read(&consumer, 1).await?;
    check_eq!(
        scene.reading.positions(&consumer).await?,
        [at(0, 3), at(1, 2)],
        "positions after another message"
    );
    Ok(())
}

pub(super) async fn beginning_and_end_are_listed_in_order(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 3).await?;
    scene.write(0, 0..2).await?;
    scene.write(2, 0..5).await?;
    let partitions = || vec![scene.partition(2), scene.partition(0), scene.partition(1)];
    let ends = scene.reading.list_offsets(partitions(), OffsetSpec::End).await?;
    check_eq!(ends, [Some(5), Some(2), Some(0)], "ends");
    let beginnings = scene.reading.list_offsets(partitions(), OffsetSpec::Beginning).await?;
    check_eq!(beginnings, [Some(0); 3], "beginnings");
    check_eq!(
        scene.reading.list_offsets(Vec::new(), OffsetSpec::End).await?,
        [],
        "ends of no partitions"
    );
    Ok(())
}

pub(super) async fn times_are_listed(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let base = an_hour_ago(&scene).await?;
    write_at(&scene, base, &[4000, 4010]).await?;
    for (seconds, offset) in [(4000, Some(1)), (4001, Some(2)), (4010, Some(2)), (4011, None)] {
        let time = OffsetSpec::Time(base + Duration::from_secs(seconds));
        let listed = scene.reading.list_offsets(vec![scene.partition(0)], time).await?;
        check_eq!(listed, [offset], "offset at {seconds} s");
    }
    Ok(())
}

pub(super) async fn offsets_of_an_unknown_partition_are_not_found(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    for unknown in [
        scene.partition(1),
        TopicPartition::new(scene.harness.unique("unknown"), 0),
    ] {
        for spec in [OffsetSpec::Beginning, OffsetSpec::End] {
            let listed = scene
                .reading
                .list_offsets(vec![scene.partition(0), unknown.clone()], spec)
                .await;
            check_error!(listed, ErrorKind::NotFound, "{spec:?} of {unknown}");
        }
    }
    Ok(())
}
