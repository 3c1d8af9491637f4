//! Moving a consumer.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use networking_spi::ErrorKind;
use networking_spi::kafka::{CommitOffsets, ConsumeOptions, OffsetSpec, SeekTarget, TopicPartition};

use super::KafkaReadingHarness;
use super::scene::{Scene, places};
use crate::kit::{Applies, CaseResult, within};
use crate::{check, check_eq, check_error};

pub(super) fn seeks(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.reading_capabilities().seek, "seek")
}

pub(super) fn seeks_times(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.reading_capabilities().times, "times")
        .and(Applies::capability(harness.capabilities().timestamps, "timestamps"))
        .and(seeks(harness))
}

pub(super) fn seeks_and_commits(harness: &dyn KafkaReadingHarness) -> Applies {
    Applies::capability(harness.capabilities().groups, "groups").and(seeks(harness))
}

pub(super) async fn an_offset_is_the_next_to_read(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let consumer = scene.reader(1, 6).await?;
    for offset in [1, 4, 0] {
        let partitions = vec![scene.partition(0)];
        scene
            .reading
            .seek(&consumer, partitions, SeekTarget::Offset(offset))
            .await?;
        let rest = usize::try_from(6 - offset).unwrap_or_default();
        let expected: Vec<_> = (offset..6).map(|offset| (0, offset)).collect();
        check_eq!(
            scene.places(&consumer, rest).await?,
            expected,
            "messages after a seek to {offset}"
        );
    }
    // A seek also moves a consumer that has not read everything.
    for offset in [2, 5] {
        let partitions = vec![scene.partition(0)];
        scene
            .reading
            .seek(&consumer, partitions, SeekTarget::Offset(offset))
            .await?;
        check_eq!(
            scene.places(&consumer, 1).await?,
            [(0, offset)],
            "message after a seek to {offset}"
        );
    }
    Ok(())
}

pub(super) async fn the_beginning_and_the_end_are_places(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let consumer = scene.reader(1, 3).await?;
    let seek = |spec| {
        scene
            .reading
            .seek(&consumer, vec![scene.partition(0)], SeekTarget::At(spec))
    };
    seek(OffsetSpec::Beginning).await?;
    check_eq!(
        scene.places(&consumer, 1).await?,
        [(0, 0)],
        "message after a seek to the beginning"
    );
    scene.write(0, 3..5).await?;
    seek(OffsetSpec::End).await?;
    scene.stage.read_nothing(&consumer).await?;
    scene.write(0, 5..6).await?;
    check_eq!(
        scene.places(&consumer, 1).await?,
        [(0, 5)],
        "message after a seek to the end"
    );
    Ok(())
}

/// Writes records with these times in seconds after the first one.
pub(super) async fn write_at(scene: &Scene, base: SystemTime, seconds: &[u64]) -> CaseResult {
    for second in seconds {
        let record = scene.stage.record().with_partition(0).with_value(second.to_string());
        scene
            .stage
            .write(record.with_timestamp(base + Duration::from_secs(*second)))
            .await?;
    }
    Ok(())
}

/// An hour before the time at which the cluster writes a record.
pub(super) async fn an_hour_ago(scene: &Scene) -> Result<SystemTime, crate::Failure> {
    scene.write(0, 0..1).await?;
    let consumer = scene.reading.create_reader(scene.member_config()).await?;
    let written = scene.stage.read(&consumer, 1).await?;
    scene.stage.client.close_consumer(&consumer).await?;
    let now = written[0]
        .timestamp
        .ok_or_else(|| crate::Failure::new("the message has no timestamp"))?;
    Ok(now.checked_sub(Duration::from_secs(3600)).unwrap_or(now))
}

pub(super) async fn a_time_is_its_first_record(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    // Offset 0 is an hour later than the others, which are older.
    let base = an_hour_ago(&scene).await?;
    write_at(&scene, base, &[4000, 4010, 4020]).await?;
    let consumer = scene.reading.create_reader(scene.member_config()).await?;
    scene.stage.read(&consumer, 4).await?;
    let partition = || vec![scene.partition(0)];
    for (seconds, offset) in [(4000, 1), (4001, 2), (4010, 2), (4020, 3)] {
        let time = OffsetSpec::Time(base + Duration::from_secs(seconds));
        scene.reading.seek(&consumer, partition(), SeekTarget::At(time)).await?;
        check_eq!(
            scene.places(&consumer, 1).await?,
            [(0, offset)],
            "message at {seconds} s"
        );
    }
    let late = OffsetSpec::Time(base + Duration::from_secs(5000));
    scene.reading.seek(&consumer, partition(), SeekTarget::At(late)).await?;
    scene.stage.read_nothing(&consumer).await
}

pub(super) async fn only_the_named_partitions_move_and_change_their_epoch(
    harness: Arc<dyn KafkaReadingHarness>,
) -> CaseResult {
    let scene = Scene::new(harness, 2).await?;
    let consumer = scene.reader(2, 2).await?;
    let client = &scene.stage.client;
    let before = client.consumer_assignment(&consumer).await?;
    scene
        .reading
        .seek(&consumer, vec![scene.partition(1)], SeekTarget::Offset(0))
        .await?;
    let after = client.consumer_assignment(&consumer).await?;
    check!(
        after.continues(&before, &scene.partition(0)),
        "a seek changed the epoch of another partition"
    );
    check!(
        after.contains(&scene.partition(1)) && !after.continues(&before, &scene.partition(1)),
        "a seek did not change the epoch of its partition: {after:?}, before {before:?}"
    );
    check_eq!(
        scene.places(&consumer, 2).await?,
        [(1, 0), (1, 1)],
        "messages after a seek"
    );
    scene.stage.read_nothing(&consumer).await
}

pub(super) async fn a_seek_commits_nothing(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let consumer = scene.reader(1, 4).await?;
    let client = &scene.stage.client;
    let committed = networking_spi::kafka::PartitionOffset::new(scene.partition(0), 2);
    client
        .commit_offsets(&consumer, CommitOffsets::Exact(vec![committed]))
        .await?;
    scene
        .reading
        .seek(&consumer, vec![scene.partition(0)], SeekTarget::Offset(3))
        .await?;
    // Nothing was returned since the seek, so there is nothing to commit.
    client.commit_offsets(&consumer, CommitOffsets::Consumed).await?;
    client.close_consumer(&consumer).await?;
    let next = scene.reading.create_reader(scene.member_config()).await?;
    check_eq!(
        scene.places(&next, 2).await?,
        [(0, 2), (0, 3)],
        "messages of the next consumer"
    );
    Ok(())
}

pub(super) async fn an_unassigned_partition_cannot_be_moved(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let consumer = scene.reader(1, 2).await?;
    for foreign in [
        scene.partition(7),
        TopicPartition::new(scene.harness.unique("other"), 0),
    ] {
        let partitions = vec![scene.partition(0), foreign];
        let moved = scene.reading.seek(&consumer, partitions, SeekTarget::Offset(0)).await;
        check_error!(moved, ErrorKind::Conflict, "a seek in a partition that is not assigned");
    }
    let moved = scene
        .reading
        .seek(&consumer, vec![scene.partition(0)], SeekTarget::Offset(-1))
        .await;
    let error = check_error!(moved, ErrorKind::InvalidInput, "a seek to a negative offset");
    check_eq!(error.field(), Some("offset"), "field of a negative offset");
    // The partition that is assigned was not moved either.
    scene.stage.read_nothing(&consumer).await
}

pub(super) async fn a_seek_during_a_call_to_consume_takes_effect(harness: Arc<dyn KafkaReadingHarness>) -> CaseResult {
    let scene = Scene::new(harness, 1).await?;
    let consumer = scene.reader(1, 2).await?;
    let patience = scene.harness.patience();
    let options = ConsumeOptions::new().with_max_wait(patience * 2);
    let consume = scene.stage.client.consume_messages(&consumer, options);
    let seek = async {
        // The call to consume is waiting by then.
        tokio::time::sleep(scene.harness.quiet()).await;
        scene
            .reading
            .seek(&consumer, vec![scene.partition(0)], SeekTarget::Offset(0))
            .await
    };
    let both = async { futures_util::future::join(consume, seek).await };
    let (messages, moved) = within(patience, "the message after a seek", both).await?;
    moved?;
    check_eq!(
        places(&messages?).first(),
        Some(&(0, 0)),
        "the first message after a seek"
    );
    Ok(())
}
