//! Every field of a configuration is obeyed or refused.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use networking_spi::ErrorKind;
use networking_spi::kafka::{ConsumeOptions, KafkaCompression, ProducerConfig, ProducerId};
use tokio::time::{Instant, sleep, timeout};

use super::KafkaHarness;
use super::stage::{Member, Stage};
use crate::kit::{Applies, CaseResult, Failure, within};
use crate::{check, check_eq, check_error};

/// The shortest session timeout that brokers accept by default.
const SESSION: Duration = Duration::from_secs(6);

pub(super) fn can_hold_records(harness: &dyn KafkaHarness) -> Applies {
    Applies::environment(
        harness.capabilities().batching || harness.can_interrupt(),
        "neither linger nor the harness can delay acknowledgements",
    )
}

pub(super) fn shows_session_timeouts(harness: &dyn KafkaHarness) -> Applies {
    let observable = !harness.capabilities().session_timeouts || harness.can_crash();
    Applies::environment(observable, "the harness cannot crash consumers")
}

/// A poll interval is not shorter than the session timeout, and 45 s, the default session timeout, are too long for a case.
pub(super) fn shows_poll_intervals(harness: &dyn KafkaHarness) -> Applies {
    Applies::capability(harness.capabilities().session_timeouts, "session_timeouts")
}

/// Long enough that a record that waits for it is seen waiting.
fn long_linger(harness: &dyn KafkaHarness) -> Duration {
    harness.quiet() * 4
}

pub(super) async fn a_record_waits_for_linger(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let linger = long_linger(&*stage.harness);
    let created = stage
        .client
        .create_producer(ProducerConfig::new().with_linger(linger))
        .await;
    if !stage.harness.capabilities().batching {
        check_error!(
            created,
            ErrorKind::Unsupported,
            "a linger without the capability batching"
        );
        return Ok(());
    }
    let producer = created?;
    let record = stage.record().with_partition(0).with_value("x");
    let mut write = stage.client.produce_message(&producer, record);
    check!(
        timeout(stage.harness.quiet(), &mut write).await.is_err(),
        "a record with a linger of {linger:?} was acknowledged within {:?}",
        stage.harness.quiet()
    );
    within(linger + stage.harness.patience(), "a write that lingers", write).await??;
    Ok(())
}

pub(super) async fn a_full_batch_does_not_wait(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    const LINGER: Duration = Duration::from_secs(25);
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    if !stage.harness.capabilities().batching {
        let created = stage
            .client
            .create_producer(ProducerConfig::new().with_batch_size(1000))
            .await;
        check_error!(
            created,
            ErrorKind::Unsupported,
            "a batch_size without the capability batching"
        );
        return Ok(());
    }
    let large = || stage.record().with_partition(0).with_value(vec![b'x'; 3000]);
    let waiting = ProducerConfig::new().with_linger(LINGER);
    let full = waiting.clone().with_batch_size(1000);
    let producer = stage.client.create_producer(full).await?;
    within(
        LINGER / 2,
        "a write that fills its batch",
        stage.client.produce_message(&producer, large()),
    )
    .await??;
    let producer = stage.client.create_producer(waiting).await?;
    let mut write = stage.client.produce_message(&producer, large());
    check!(
        timeout(stage.harness.quiet(), &mut write).await.is_err(),
        "a record of 3000 bytes filled a batch of 1 MB"
    );
    Ok(())
}

pub(super) async fn no_more_records_than_queue_size_are_in_flight(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    held_in_flight(&stage, ProducerConfig::new().with_queue_size(2), 5, 2).await
}

pub(super) async fn records_in_flight_are_counted(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    held_in_flight(&stage, ProducerConfig::new(), 3, 3).await
}

/// Writes `records` while their acknowledgements are delayed. `expected` of them must be counted in flight, and none
/// afterwards.
async fn held_in_flight(stage: &Stage, config: ProducerConfig, records: u32, expected: u64) -> CaseResult {
    let harness = &stage.harness;
    stage.write_numbers(0..1).await?;
    let batching = harness.capabilities().batching;
    let linger = long_linger(&**harness);
    let producer = stage
        .client
        .create_producer(if batching { config.with_linger(linger) } else { config })
        .await?;
    if !batching {
        harness.interrupt(&stage.topic, true).await?;
    }
    let writes = join_all((0..records).map(|number| {
        let record = stage.record().with_partition(0).with_value(number.to_string());
        stage.client.produce_message(&producer, record)
    }));
    tokio::pin!(writes);
    tokio::select! {
        biased;
        _ = &mut writes => return Err(Failure::new("the records were acknowledged before they were seen in flight")),
        seen = in_flight_becomes(stage, &producer, expected, u64::from(records)) => seen?,
    }
    if !batching {
        harness.interrupt(&stage.topic, false).await?;
    }
    for result in within(
        linger * (records + 1) + harness.patience(),
        "writes that linger",
        writes,
    )
    .await?
    {
        result?;
    }
    check_eq!(
        in_flight(stage, &producer).await?,
        0,
        "records in flight after all were acknowledged"
    );
    Ok(())
}

async fn in_flight(stage: &Stage, producer: &ProducerId) -> Result<u64, Failure> {
    let metrics = stage.client.kafka_metrics().await?;
    let Some(metrics) = metrics.producers.get(producer) else {
        return Err(Failure::new("the producer has no metrics"));
    };
    Ok(metrics.in_flight)
}

async fn in_flight_becomes(stage: &Stage, producer: &ProducerId, expected: u64, passed: u64) -> CaseResult {
    let deadline = Instant::now() + stage.harness.quiet() * 2;
    loop {
        let seen = in_flight(stage, producer).await?;
        check!(
            seen <= expected,
            "{seen} records are in flight, expected {expected} of {passed}"
        );
        if seen == expected {
            return Ok(());
        }
        check!(
            Instant::now() < deadline,
            "{seen} records are in flight, expected {expected} of {passed}"
        );
        sleep(stage.harness.quiet() / 20).await;
    }
}

pub(super) async fn compressed_records_are_read_or_the_compression_is_refused(
    harness: Arc<dyn KafkaHarness>,
) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let mut expected = Vec::new();
    for compression in KafkaCompression::ALL {
        let config = ProducerConfig::new().with_compression(*compression);
        let producer = match stage.client.create_producer(config).await {
            Ok(producer) => producer,
            Err(error) => {
                check_eq!(
                    error.kind(),
                    ErrorKind::Unsupported,
                    "kind of the error for {compression}"
                );
                check!(*compression != KafkaCompression::None, "{error}");
                continue;
            }
        };
        let value = |number: u8| format!("{compression} {number} {}", "repeated ".repeat(200));
        let records = (0..3).map(|number| stage.record().with_partition(0).with_value(value(number)));
        for result in stage.client.produce_messages(&producer, records.collect()).await? {
            result?;
        }
        expected.extend((0..3).map(value));
    }
    let messages = stage.read_back(expected.len()).await?;
    check_eq!(super::stage::values(&messages), expected, "values");
    Ok(())
}

pub(super) async fn unknown_backend_settings_are_invalid(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    const UNKNOWN: &str = "no.such.setting";
    let stage = Stage::new(harness, 1).await?;
    let config = ProducerConfig::new().with_backend_setting(UNKNOWN, "1");
    let producer = stage.client.create_producer(config).await;
    let config = stage.consumer_config().with_backend_setting(UNKNOWN, "1");
    let consumer = stage.client.create_consumer(config).await;
    let errors = [
        check_error!(producer, ErrorKind::InvalidInput, "an unknown setting of a producer"),
        check_error!(consumer, ErrorKind::InvalidInput, "an unknown setting of a consumer"),
    ];
    for error in errors {
        let field = error.field().unwrap_or_default();
        check!(
            field.ends_with(UNKNOWN),
            "the error names {field:?} and not the setting"
        );
    }
    Ok(())
}

pub(super) async fn a_crashed_member_is_removed_after_session_timeout(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let config = stage.consumer_config().with_session_timeout(SESSION);
    let created = stage.client.create_consumer(config.clone()).await;
    if !stage.harness.capabilities().session_timeouts {
        check_error!(
            created,
            ErrorKind::Unsupported,
            "a session_timeout without the capability"
        );
        return Ok(());
    }
    let first = created?;
    stage.read(&first, 1).await?;
    let client = stage.harness.client().await?;
    let consumer = client.create_consumer(config).await?;
    stage.harness.crash(&first).await?;
    takes_over(&stage, &Member { client, consumer }).await
}

pub(super) async fn a_member_that_does_not_consume_is_removed(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    let config = stage
        .consumer_config()
        .with_session_timeout(SESSION)
        .with_max_poll_interval(SESSION);
    let first = stage.client.create_consumer(config.clone()).await?;
    stage.read(&first, 1).await?;
    let client = stage.harness.client().await?;
    let consumer = client.create_consumer(config).await?;
    takes_over(&stage, &Member { client, consumer }).await
}

pub(super) async fn a_session_timeout_beyond_the_range_is_invalid(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..1).await?;
    // Brokers accept at most 30 minutes by default.
    let config = stage
        .consumer_config()
        .with_session_timeout(Duration::from_secs(3 * 3600))
        .with_max_poll_interval(Duration::from_secs(4 * 3600));
    let consumer = match stage.client.create_consumer(config).await {
        Ok(consumer) => consumer,
        Err(error) => {
            let error = check_error!(Err::<(), _>(error), ErrorKind::InvalidInput, "creating the consumer");
            check_eq!(error.field(), Some("session_timeout"), "the field that the error names");
            return Ok(());
        }
    };
    // A backend that learns it from the broker fails every call.
    for call in 1..=3 {
        let options = ConsumeOptions::new().with_max_wait(stage.harness.patience());
        let result = stage.client.consume_messages(&consumer, options).await;
        let error = check_error!(result, ErrorKind::InvalidInput, "call {call} to consume");
        check_eq!(error.field(), Some("session_timeout"), "the field that the error names");
    }
    stage.client.close_consumer(&consumer).await?;
    Ok(())
}

/// Consumes until the member gets the record that another member has read without committing.
async fn takes_over(stage: &Stage, member: &Member) -> CaseResult {
    let limit = SESSION * 2 + stage.harness.patience();
    let deadline = Instant::now() + limit;
    loop {
        let options = ConsumeOptions::new().with_max_wait(stage.harness.quiet());
        if !member
            .client
            .consume_messages(&member.consumer, options)
            .await?
            .is_empty()
        {
            return Ok(());
        }
        check!(
            Instant::now() < deadline,
            "the partition of a member that is gone was not reassigned within {limit:?}"
        );
    }
}
