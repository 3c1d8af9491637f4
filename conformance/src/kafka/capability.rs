//! What a client declares works; what it does not declare is refused.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use networking_spi::ErrorKind;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{
    CommitOffsets, ConsumerConfig, IsolationLevel, KafkaHeaders, PartitionOffset, ProducerConfig, TopicPartition,
};

use super::KafkaHarness;
use super::stage::{Stage, numbers, values};
use crate::kit::{Applies, CaseResult};
use crate::{check, check_eq, check_error};

pub(super) fn shows_isolation(harness: &dyn KafkaHarness) -> Applies {
    let observable = !harness.capabilities().read_committed || harness.can_abort();
    Applies::environment(observable, "the harness cannot abort transactions")
}

pub(super) fn shows_client_ids(harness: &dyn KafkaHarness) -> Applies {
    let capabilities = harness.capabilities();
    let observable = !capabilities.client_ids || capabilities.group_info || harness.client_ids().is_some();
    Applies::environment(observable, "the harness does not see client ids")
}

pub(super) async fn what_needs_groups_is_declared_with_groups(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    client.capabilities().check_consistency()?;
    Ok(())
}

pub(super) async fn commits_need_groups(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 2).await?;
    for number in 0..4 {
        stage
            .write(stage.record().with_partition(number % 2).with_value(number.to_string()))
            .await?;
    }
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 4).await?;
    let place = TopicPartition::new(stage.topic.as_str(), 0);
    let offsets = CommitOffsets::Exact(vec![PartitionOffset::new(place, 1)]);
    if stage.harness.capabilities().groups {
        stage.client.commit_offsets(&consumer, offsets).await?;
        return Ok(());
    }
    for offsets in [offsets, CommitOffsets::Consumed] {
        let result = stage.client.commit_offsets(&consumer, offsets).await;
        check_error!(
            result,
            ErrorKind::Unsupported,
            "committing without the capability groups"
        );
    }
    let second = stage.consumer().await?;
    let messages = stage.read(&second, 4).await?;
    let mut found = values(&messages);
    found.sort_unstable();
    check_eq!(
        found,
        numbers(0..4),
        "messages of a second consumer with the same group"
    );
    let config = stage.consumer_config().with_max_poll_interval(Duration::from_secs(400));
    check_error!(
        stage.client.create_consumer(config).await,
        ErrorKind::Unsupported,
        "a max_poll_interval without the capability groups"
    );
    Ok(())
}

pub(super) async fn static_members_are_accepted_or_refused(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let config = stage.consumer_config().with_group_instance_id("the-one");
    let created = stage.client.create_consumer(config).await;
    if !stage.harness.capabilities().static_membership {
        check_error!(
            created,
            ErrorKind::Unsupported,
            "a group_instance_id without the capability"
        );
        return Ok(());
    }
    stage.read(&created?, 1).await?;
    Ok(())
}

pub(super) async fn timestamps_are_accepted_or_refused(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let earlier = SystemClock::new().now() - Duration::from_secs(60);
    let record = stage.record().with_value("x").with_timestamp(earlier);
    let written = stage.client.produce_message(&stage.producer, record).await;
    if stage.harness.capabilities().timestamps {
        written?;
        return Ok(());
    }
    check_error!(written, ErrorKind::Unsupported, "a timestamp without the capability");
    stage.write(stage.record().with_value("y")).await?;
    check_eq!(values(&stage.read_back(1).await?), ["y"], "records after a refused one");
    Ok(())
}

pub(super) async fn headers_are_kept_or_refused(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let headers = |pairs: &[(&str, Option<&str>)]| {
        let mut headers = KafkaHeaders::new();
        for (name, value) in pairs {
            headers.push(*name, value.map(|value| Bytes::copy_from_slice(value.as_bytes())));
        }
        headers
    };
    let unique = headers(&[("b", Some("1")), ("a", Some("2")), ("c", Some(""))]);
    let with = |headers: &KafkaHeaders| {
        let mut record = stage.record().with_partition(0).with_value("x");
        record.headers = headers.clone();
        record
    };
    stage.write(with(&unique)).await?;
    let others = [headers(&[("a", Some("1")), ("a", Some("2"))]), headers(&[("a", None)])];
    let mut written = 1;
    for other in &others {
        let result = stage.client.produce_message(&stage.producer, with(other)).await;
        if stage.harness.capabilities().header_order {
            result?;
            written += 1;
        } else {
            check_error!(
                result,
                ErrorKind::Unsupported,
                "headers {other:?} without the capability"
            );
        }
    }
    let messages = stage.read_back(written).await?;
    let sorted = |headers: &KafkaHeaders| {
        let all = headers.iter().map(|(name, value)| (name.to_owned(), value.cloned()));
        all.collect::<BTreeSet<_>>()
    };
    check_eq!(
        sorted(&messages[0].headers),
        sorted(&unique),
        "headers with unique names"
    );
    Ok(())
}

pub(super) async fn idempotence_is_accepted_or_refused(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let capable = stage.harness.capabilities().idempotent_producer;
    let created = stage
        .client
        .create_producer(ProducerConfig::new().with_idempotent(true))
        .await;
    let mut producers = vec![stage.producer.clone()];
    if capable {
        producers.push(created?);
    } else {
        check_error!(created, ErrorKind::Unsupported, "idempotence without the capability");
    }
    let plain = ProducerConfig::new().with_idempotent(false);
    producers.push(stage.client.create_producer(plain).await?);
    let mut count = 0;
    for producer in &producers {
        let records = (0..10).map(|index| {
            let number: usize = count + index;
            stage.record().with_partition(0).with_value(number.to_string())
        });
        for result in stage.client.produce_messages(producer, records.collect()).await? {
            result?;
        }
        count += 10;
    }
    let messages = stage.read_back(count).await?;
    check_eq!(
        values(&messages),
        numbers(0..count),
        "records without loss or duplicates"
    );
    Ok(())
}

pub(super) async fn aborted_records_are_hidden_or_the_level_is_refused(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let declared = stage.harness.capabilities().read_committed;
    stage.write_numbers(0..1).await?;
    if declared {
        stage.harness.write_aborted(&stage.topic, "aborted").await?;
    }
    stage.write_numbers(1..2).await?;
    let config = |level: Option<IsolationLevel>| {
        let mut config = ConsumerConfig::new(stage.harness.unique("reader"), [stage.topic.as_str()]);
        config.isolation_level = level;
        config.with_offset_reset(networking_spi::kafka::OffsetReset::Earliest)
    };
    let committed: &[&str] = &["0", "1"];
    let all: &[&str] = if declared { &["0", "aborted", "1"] } else { committed };
    for (level, expected) in [
        (Some(IsolationLevel::ReadUncommitted), all),
        (Some(IsolationLevel::ReadCommitted), committed),
        (None, committed),
    ] {
        let created = stage.client.create_consumer(config(level)).await;
        if level == Some(IsolationLevel::ReadCommitted) && !declared {
            check_error!(created, ErrorKind::Unsupported, "read_committed without the capability");
            continue;
        }
        let consumer = created?;
        let messages = stage.read(&consumer, expected.len()).await?;
        check_eq!(values(&messages), expected, "messages with {level:?}");
        stage.read_nothing(&consumer).await?;
        stage.client.close_consumer(&consumer).await?;
    }
    Ok(())
}

pub(super) async fn client_ids_reach_the_cluster_or_are_refused(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let (writer, reader) = (stage.harness.unique("writer"), stage.harness.unique("reader"));
    let producer = stage
        .client
        .create_producer(ProducerConfig::new().with_client_id(writer.as_str()))
        .await;
    let consumer = stage
        .client
        .create_consumer(stage.consumer_config().with_client_id(reader.as_str()))
        .await;
    let capabilities = stage.harness.capabilities();
    if !capabilities.client_ids {
        check_error!(
            producer,
            ErrorKind::Unsupported,
            "a producer's client_id without the capability"
        );
        check_error!(
            consumer,
            ErrorKind::Unsupported,
            "a consumer's client_id without the capability"
        );
        return Ok(());
    }
    stage.client.produce_message(&producer?, stage.record()).await?;
    stage.read(&consumer?, 2).await?;
    if let Some(seen) = stage.harness.client_ids() {
        for id in [&writer, &reader] {
            check!(
                seen.contains(id),
                "the cluster does not see the client id {id}: {seen:?}"
            );
        }
    }
    if capabilities.group_info {
        let info = stage.client.consumer_group_info(&stage.group).await?;
        let members: Vec<_> = info.members.iter().map(|member| member.client_id.as_str()).collect();
        check_eq!(members, [reader.as_str()], "client ids of the group's members");
    }
    Ok(())
}
