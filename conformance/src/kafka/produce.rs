//! Writing records, and reading them back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::future::join_all;
use networking_spi::ErrorKind;
use networking_spi::clock::{Clock, SystemClock};
use networking_spi::kafka::{Acks, KafkaHeaders, NewTopic, ProducerConfig, ProducerRecord};

use super::KafkaHarness;
use super::stage::{Stage, numbers, values};
use crate::kit::{Applies, CaseResult, Failure, within};
use crate::{check, check_eq, check_error};

/// Keys with their murmur2 hashes, with the sign bit cleared, as `kafka-clients` 4.1.1 computes them. They have every remainder
/// of the length by 4, and bytes that are negative in Java.
const KEYS: &[(&[u8], u32)] = &[
    (b"21", 1_173_551_340),
    (b"foobar", 1_357_151_166),
    (b"a-little-bit-long-string", 1_161_502_112),
    (b"a-little-bit-longer-string", 661_178_819),
    (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", 2_088_585_677),
    (b"abc", 479_470_107),
    (b"", 275_646_681),
    (b"\xff", 1_836_015_963),
    (b"\xff\x80\xfe", 957_058_525),
    (b"\xff\x80\xfe\x81\x7f", 609_380_076),
];

/// Every byte value.
fn all_bytes() -> Bytes {
    (0..=u8::MAX).collect()
}

pub(super) fn topics_are_not_created_by_writing(harness: &dyn KafkaHarness) -> Applies {
    Applies::environment(
        harness.unknown_topics_stay_unknown(),
        "the cluster creates unknown topics",
    )
}

pub(super) fn keeps_headers(harness: &dyn KafkaHarness) -> Applies {
    Applies::capability(harness.capabilities().header_order, "header_order")
}

pub(super) fn keeps_timestamps(harness: &dyn KafkaHarness) -> Applies {
    Applies::capability(harness.capabilities().timestamps, "timestamps")
}

pub(super) fn can_interrupt(harness: &dyn KafkaHarness) -> Applies {
    Applies::environment(harness.can_interrupt(), "the harness cannot interrupt topics")
}

pub(super) async fn round_trip_is_byte_for_byte(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let (key, value) = (all_bytes(), [all_bytes(), all_bytes()].concat());
    let record = stage
        .record()
        .with_key(key.clone())
        .with_value(value.clone())
        .with_header("bytes", all_bytes());
    stage.write(record).await?;
    let messages = stage.read_back(1).await?;
    check_eq!(messages[0].topic, stage.topic, "topic");
    check_eq!(messages[0].partition, 0, "partition");
    check_eq!(messages[0].key, Some(key), "key");
    check_eq!(messages[0].value, Some(Bytes::from(value)), "value");
    check_eq!(messages[0].headers.get("bytes"), Some(&all_bytes()), "header");
    Ok(())
}

pub(super) async fn metadata_names_topic_partition_and_offset(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 2).await?;
    for expected in 0..3 {
        let written = stage.write(stage.record().with_partition(1).with_value("x")).await?;
        check_eq!(written.topic, stage.topic, "topic");
        check_eq!(written.partition, 1, "partition");
        check_eq!(written.offset, Some(expected), "offset");
    }
    let messages = stage.read_back(3).await?;
    let offsets: Vec<i64> = messages.iter().map(|message| message.offset).collect();
    check_eq!(offsets, [0, 1, 2], "offsets of the messages");
    Ok(())
}

pub(super) async fn keys_choose_the_partition_by_murmur2(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 7).await?;
    for (key, hash) in KEYS {
        let written = stage
            .write(stage.record().with_key(Bytes::from_static(key)).with_value("x"))
            .await?;
        check_eq!(
            u32::try_from(written.partition),
            Ok(hash % 7),
            "partition of the key {key:?} among 7"
        );
    }
    for message in stage.read_back(KEYS.len()).await? {
        let (_, hash) = KEYS
            .iter()
            .find(|(key, _)| message.key.as_deref() == Some(*key))
            .unwrap_or(&KEYS[0]);
        check_eq!(
            u32::try_from(message.partition),
            Ok(hash % 7),
            "partition in which the key was found"
        );
    }
    Ok(())
}

pub(super) async fn an_explicit_partition_overrides_the_key(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 3).await?;
    for partition in 0..3 {
        let record = stage.record().with_partition(partition).with_key("abc").with_value("x");
        check_eq!(
            stage.write(record).await?.partition,
            partition,
            "partition in the result"
        );
    }
    let found: BTreeSet<i32> = stage
        .read_back(3)
        .await?
        .iter()
        .map(|message| message.partition)
        .collect();
    check_eq!(found, BTreeSet::from([0, 1, 2]), "partitions of the messages");
    Ok(())
}

pub(super) async fn order_is_kept_within_a_partition(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write_numbers(0..60).await?;
    for number in 60..70 {
        stage
            .write(stage.record().with_partition(0).with_value(number.to_string()))
            .await?;
    }
    stage.write_numbers(70..100).await?;
    let messages = stage.read_back(100).await?;
    check_eq!(values(&messages), numbers(0..100), "values in the order of offsets");
    Ok(())
}

pub(super) async fn headers_keep_order_repetition_and_absence(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let mut headers = KafkaHeaders::new();
    headers.push("b", Some(Bytes::from_static(b"1")));
    headers.push("a", Some(Bytes::from_static(b"2")));
    headers.push("b", None);
    headers.push("b", Some(Bytes::new()));
    headers.push("b", Some(Bytes::from_static(b"3")));
    let mut record = stage.record().with_value("x");
    record.headers = headers.clone();
    stage.write(record).await?;
    let messages = stage.read_back(1).await?;
    check_eq!(messages[0].headers, headers, "headers");
    Ok(())
}

pub(super) async fn absent_and_empty_are_different(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let to_partition = || stage.record().with_partition(0);
    stage.write(to_partition().with_key("k")).await?;
    stage.write(to_partition().with_key("k").with_value("")).await?;
    stage.write(to_partition().with_value("v")).await?;
    stage.write(to_partition().with_key("").with_value("v")).await?;
    let messages = stage.read_back(4).await?;
    check_eq!(messages[0].value, None, "value of a tombstone");
    check_eq!(messages[1].value, Some(Bytes::new()), "an empty value");
    check_eq!(messages[2].key, None, "an absent key");
    check_eq!(messages[3].key, Some(Bytes::new()), "an empty key");
    Ok(())
}

pub(super) async fn timestamps_are_kept_to_the_millisecond(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    // Recent enough for any retention time, and not a whole second.
    let now = SystemClock::new().now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let given = UNIX_EPOCH + Duration::from_secs(now.as_secs() - 60) + Duration::from_micros(123_456);
    stage
        .write(stage.record().with_value("x").with_timestamp(given))
        .await?;
    let messages = stage.read_back(1).await?;
    check_eq!(
        messages[0].timestamp,
        Some(given - Duration::from_micros(456)),
        "timestamp"
    );
    Ok(())
}

pub(super) async fn the_default_timestamp_is_the_time_of_sending(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write(stage.record().with_value("x")).await?;
    let messages = stage.read_back(1).await?;
    let now = SystemClock::new().now();
    let Some(timestamp) = messages[0].timestamp else {
        return Err(Failure::new("no timestamp"));
    };
    let apart = now.duration_since(timestamp).unwrap_or_else(|early| early.duration());
    // The clocks of brokers may differ by some minutes, but not by decades.
    check!(
        apart < Duration::from_secs(3600),
        "the timestamp differs by {apart:?} from the time of sending"
    );
    Ok(())
}

pub(super) async fn one_failure_does_not_stop_the_batch(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let good = |value: &str| stage.record().with_partition(0).with_value(value.to_owned());
    let batch = vec![
        good("first"),
        stage.record().with_partition(99).with_value("no such partition"),
        good("second"),
        ProducerRecord::new("not a topic name").with_value("no such name"),
        good("third"),
    ];
    let results = stage.client.produce_messages(&stage.producer, batch).await?;
    let outcomes: Vec<_> = results
        .iter()
        .map(|result| result.as_ref().map(|written| written.offset))
        .collect();
    check_eq!(outcomes.len(), 5, "one result per record");
    let kinds: Vec<_> = outcomes
        .iter()
        .map(|outcome| outcome.as_ref().map_err(|error| error.kind()))
        .collect();
    let expected = [
        Ok(&Some(0)),
        Err(ErrorKind::NotFound),
        Ok(&Some(1)),
        Err(ErrorKind::InvalidInput),
        Ok(&Some(2)),
    ];
    check_eq!(kinds, expected, "results in the order of the records");
    let messages = stage.read_back(3).await?;
    check_eq!(
        values(&messages),
        ["first", "second", "third"],
        "the records that were written"
    );
    Ok(())
}

pub(super) async fn an_empty_batch_has_an_empty_result(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let results = stage.client.produce_messages(&stage.producer, Vec::new()).await?;
    check!(results.is_empty(), "got {} results for no record", results.len());
    Ok(())
}

pub(super) async fn an_unknown_topic_is_not_found(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let record = ProducerRecord::new(stage.harness.unique("nowhere")).with_value("x");
    let result = stage.client.produce_message(&stage.producer, record).await;
    check_error!(result, ErrorKind::NotFound, "writing to a topic that does not exist");
    Ok(())
}

pub(super) async fn an_unknown_partition_is_not_found(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 2).await?;
    let result = stage
        .client
        .produce_message(&stage.producer, stage.record().with_partition(2).with_value("x"))
        .await;
    check_error!(
        result,
        ErrorKind::NotFound,
        "writing to partition 2 of a topic with two partitions"
    );
    Ok(())
}

pub(super) async fn a_bad_record_names_its_field(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let long_name = "x".repeat(250);
    let bad = [
        (ProducerRecord::new(""), "topic"),
        (ProducerRecord::new("white space"), "topic"),
        (ProducerRecord::new(long_name), "topic"),
        (stage.record().with_partition(-1), "partition"),
        (
            stage.record().with_timestamp(UNIX_EPOCH - Duration::from_secs(1)),
            "timestamp",
        ),
    ];
    for (record, field) in bad {
        let shown = format!("{record:?}");
        let result = stage.client.produce_message(&stage.producer, record).await;
        let error = check_error!(result, ErrorKind::InvalidInput, "writing {shown}");
        check_eq!(error.field(), Some(field), "the field that the error names for {shown}");
    }
    Ok(())
}

pub(super) async fn a_record_beyond_the_limit_is_too_large(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let config = ProducerConfig::new().with_max_message_size(4000);
    let producer = stage.client.create_producer(config).await?;
    let record = |bytes: usize| {
        stage
            .record()
            .with_key("key")
            .with_header("name", "value")
            .with_value(vec![b'x'; bytes])
    };
    let overhead = record(0).size();

    let result = stage.client.produce_message(&producer, record(4001 - overhead)).await;
    check_error!(
        result,
        ErrorKind::TooLarge,
        "a record of 4001 bytes with a limit of 4000"
    );
    let written = stage.client.produce_message(&producer, record(4000 - overhead)).await?;
    check_eq!(
        written.offset,
        Some(0),
        "offset of a record of exactly 4000 bytes, the only one that was written"
    );
    let messages = stage.read_back(1).await?;
    check_eq!(
        messages[0].value.as_ref().map(Bytes::len),
        Some(4000 - overhead),
        "size of the value"
    );
    Ok(())
}

pub(super) async fn without_acknowledgement_there_is_no_offset(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    if !stage.harness.capabilities().acks {
        for acks in [Acks::None, Acks::Leader] {
            let created = stage
                .client
                .create_producer(ProducerConfig::new().with_acks(acks))
                .await;
            check_error!(created, ErrorKind::Unsupported, "acks = {acks} without the capability");
        }
        return Ok(());
    }
    let producer = stage
        .client
        .create_producer(ProducerConfig::new().with_acks(Acks::None))
        .await?;
    let written = stage
        .client
        .produce_message(&producer, stage.record().with_value("x"))
        .await?;
    check_eq!(written.offset, None, "offset");
    let producer = stage
        .client
        .create_producer(ProducerConfig::new().with_acks(Acks::Leader))
        .await?;
    let written = stage
        .client
        .produce_message(&producer, stage.record().with_value("y"))
        .await?;
    check!(
        written.offset.is_some(),
        "the leader acknowledged, but there is no offset"
    );
    Ok(())
}

pub(super) async fn concurrent_writes_each_get_their_own_offset(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let writes = (0..100).map(|number: usize| stage.write(stage.record().with_value(number.to_string())));
    let mut places = Vec::new();
    for (number, written) in join_all(writes).await.into_iter().enumerate() {
        places.push((written?.offset, number.to_string()));
    }
    places.sort();
    let messages = stage.read_back(100).await?;
    let found: Vec<_> = messages
        .iter()
        .map(|message| (Some(message.offset), message.value_str().unwrap_or_default().to_owned()))
        .collect();
    check_eq!(
        found,
        places,
        "offsets and values, compared with the results of the writes"
    );
    Ok(())
}

pub(super) async fn a_write_that_cannot_be_delivered_times_out(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write(stage.record().with_value("before")).await?;
    let limit = Duration::from_secs(1);
    let producer = stage
        .client
        .create_producer(ProducerConfig::new().with_delivery_timeout(limit))
        .await?;
    stage.harness.interrupt(&stage.topic, true).await?;
    let write = stage
        .client
        .produce_message(&producer, stage.record().with_value("lost"));
    let what = format!("the end of a write whose delivery timeout is {limit:?}");
    let result = within(stage.harness.patience(), what, write).await?;
    check_error!(result, ErrorKind::Timeout, "writing while the brokers are unreachable");
    stage.harness.interrupt(&stage.topic, false).await?;
    stage.write(stage.record().with_value("after")).await?;
    Ok(())
}

pub(super) fn timestamps_and_topic_configs(harness: &dyn KafkaHarness) -> Applies {
    keeps_timestamps(harness).and(super::topic::obeys_topic_configs(harness))
}

/// A topic with one partition and these settings, and a producer whose records share a batch if the client has batches.
async fn stage_with(harness: Arc<dyn KafkaHarness>, settings: &[(&str, &str)]) -> Result<Stage, Failure> {
    let client = harness.client().await?;
    let topic = harness.unique("settings");
    let new = settings
        .iter()
        .fold(NewTopic::new(topic.as_str(), 1), |new, (name, value)| {
            new.with_config(*name, *value)
        });
    client.create_topic(new).await?;
    let mut config = ProducerConfig::new();
    if harness.capabilities().batching {
        config = config.with_linger(Duration::from_millis(50));
    }
    let producer = client.create_producer(config).await?;
    let group = harness.unique("group");
    Ok(Stage {
        harness,
        client,
        producer,
        topic,
        group,
    })
}

/// Writes 20 numbered records in one call, of which `bad` alters some. Checks that only these fail, each with `kind`, that the
/// others are written in order, and returns the fields that the errors name.
async fn only_the_bad_fail(
    stage: &Stage,
    kind: ErrorKind,
    bad: impl Fn(usize, ProducerRecord) -> Option<ProducerRecord>,
) -> Result<Vec<Option<String>>, Failure> {
    let good = |number: usize| {
        let value = format!("{number:0300}");
        stage.record().with_partition(0).with_key("key").with_value(value)
    };
    let records: Vec<_> = (0..20)
        .map(|number| bad(number, good(number)).unwrap_or_else(|| good(number)))
        .collect();
    let results = stage.client.produce_messages(&stage.producer, records).await?;
    check_eq!(results.len(), 20, "one result per record");
    let mut fields = Vec::new();
    let mut expected = Vec::new();
    for (number, result) in results.into_iter().enumerate() {
        if bad(number, good(number)).is_some() {
            let error = check_error!(result, kind, "writing the bad record {number}");
            fields.push(error.field().map(str::to_owned));
        } else {
            check!(
                result.is_ok(),
                "the record {number}, which is valid, failed with a bad one: {result:?}"
            );
            expected.push(format!("{number:0300}"));
        }
    }
    // Another call does not overtake the records of this one.
    stage.write(good(20)).await?;
    expected.push(format!("{:0300}", 20));
    let messages = stage.read_back(expected.len()).await?;
    check_eq!(values(&messages), expected, "the valid records, in order");
    stage.client.delete_topic(&stage.topic).await?;
    Ok(fields)
}

pub(super) async fn a_record_beyond_the_topics_limit_fails_alone(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = stage_with(harness, &[("max.message.bytes", "2000")]).await?;
    let bad = |number: usize, record: ProducerRecord| {
        matches!(number, 5 | 6 | 12).then(|| record.with_value(vec![b'x'; 3000]))
    };
    only_the_bad_fail(&stage, ErrorKind::TooLarge, bad).await?;
    Ok(())
}

pub(super) async fn a_record_without_a_key_is_rejected_by_a_compacted_topic(
    harness: Arc<dyn KafkaHarness>,
) -> CaseResult {
    let stage = stage_with(harness, &[("cleanup.policy", "compact")]).await?;
    let bad = |number: usize, mut record: ProducerRecord| {
        record.key = None;
        matches!(number, 0 | 13).then_some(record)
    };
    only_the_bad_fail(&stage, ErrorKind::Rejected, bad).await?;
    Ok(())
}

pub(super) async fn a_timestamp_beyond_the_topics_range_is_invalid(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = stage_with(harness, &[("message.timestamp.after.max.ms", "600000")]).await?;
    let now = SystemClock::new().now();
    let bad = |number: usize, record: ProducerRecord| {
        matches!(number, 3 | 19).then(|| record.with_timestamp(now + Duration::from_secs(3600)))
    };
    let fields = only_the_bad_fail(&stage, ErrorKind::InvalidInput, bad).await?;
    for field in fields {
        check_eq!(field.as_deref(), Some("timestamp"), "the field that the error names");
    }
    Ok(())
}

pub(super) async fn a_call_ends_at_its_delivery_timeout(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write(stage.record().with_value("before")).await?;
    let limit = Duration::from_secs(2);
    let config = ProducerConfig::new().with_queue_size(10).with_delivery_timeout(limit);
    let producer = stage.client.create_producer(config).await?;
    stage.harness.interrupt(&stage.topic, true).await?;
    let records = (0..50).map(|_| stage.record().with_partition(0).with_value("lost"));
    let write = stage.client.produce_messages(&producer, records.collect());
    // Five times as many records as the queue has room for, all of which wait at the same time.
    let what = format!("the end of a call whose delivery timeout is {limit:?}");
    let results = within(limit * 2, what, write).await??;
    for result in results {
        let Err(error) = result else {
            return Err(Failure::new(
                "a record was written although the brokers are unreachable",
            ));
        };
        check!(
            matches!(error.kind(), ErrorKind::Timeout | ErrorKind::Exhausted),
            "expected Timeout, or Exhausted for records that found no room in the queue, got {error:?}"
        );
    }
    stage.harness.interrupt(&stage.topic, false).await?;
    stage.write(stage.record().with_value("after")).await?;
    Ok(())
}
