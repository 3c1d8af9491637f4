//! Stream processors.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use networking_spi::ErrorKind;
use networking_spi::kafka::{
    PoisonPolicy, ProcessedRecord, ProcessorId, ProducerRecord, StreamProcessorConfig, StreamState, stream_fn,
};
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::KafkaExtendedHarness;
use super::scene::{Scene, copied, copy, copy_except};
use crate::kit::{Applies, CaseResult, Failure};
use crate::{check, check_eq, check_error};

pub(super) fn has_streams(harness: &dyn KafkaExtendedHarness) -> Applies {
    Applies::capability(harness.extended_capabilities().streams, "streams")
}

pub(super) async fn a_processor_is_created_running_and_stopped(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    let extended = &scene.extended;
    let id = extended.create_stream_processor(scene.config(), copy()).await?;
    check_eq!(
        extended.stream_status(&id).await?.state,
        StreamState::Created,
        "state after its creation"
    );
    for attempt in ["started", "started again"] {
        extended.process_kafka_stream(&id).await?;
        check_eq!(
            extended.stream_status(&id).await?.state,
            StreamState::Running,
            "state when {attempt}"
        );
    }
    for attempt in ["stopped", "stopped again"] {
        check_eq!(
            extended.stop_stream(&id).await?.state,
            StreamState::Stopped,
            "final state when {attempt}"
        );
    }
    let started = extended.process_kafka_stream(&id).await;
    check_error!(started, ErrorKind::Closed, "starting a stopped processor");
    let idle = extended.create_stream_processor(scene.config(), copy()).await?;
    check_eq!(
        extended.stop_stream(&idle).await?.state,
        StreamState::Stopped,
        "final state of a processor that was not started"
    );
    Ok(())
}

pub(super) async fn outputs_go_to_their_topics_in_order(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    let other = scene.harness.topic(1).await?;
    scene.stage.write_numbers(0..9).await?;
    let elsewhere = other.clone();
    // One of three messages has no output, one has one, and one has two: one for the output topic, and one for another.
    let code = stream_fn(move |message| {
        let elsewhere = elsewhere.clone();
        async move {
            let text = message.value_str().unwrap_or_default().to_owned();
            let number: usize = text.parse().unwrap_or_default();
            Ok(match number % 3 {
                0 => ProcessedRecord::skip(),
                1 => ProcessedRecord::value(text),
                _ => ProcessedRecord::emit([
                    ProducerRecord::new("").with_key("k").with_value(text.clone()),
                    ProducerRecord::new(elsewhere).with_key("k").with_value(text),
                ]),
            })
        }
    });
    let id = scene.run(scene.config(), code).await?;
    let status = scene.finish(&id, 9).await?;
    check_eq!(
        (status.processed, status.emitted),
        (9, 9),
        "messages processed, records emitted"
    );
    let messages = scene.messages(&scene.output, 6).await?;
    check_eq!(
        crate::kafka::stage::values(&messages),
        ["1", "2", "4", "5", "7", "8"],
        "records of the output topic"
    );
    check_eq!(messages[0].key, None, "key of a record without a key");
    check_eq!(
        messages[1].key.as_deref(),
        Some(&b"k"[..]),
        "key of a record with a key"
    );
    check_eq!(
        scene.values(&other, 3).await?,
        ["2", "5", "8"],
        "records of the topic that the records name"
    );
    Ok(())
}

pub(super) async fn a_stopped_processor_has_committed(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let mut scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..3).await?;
    let id = scene.run(scene.config(), copy()).await?;
    scene.finish(&id, 3).await?;
    scene.stage.write_numbers(3..5).await?;
    scene.extended = scene.harness.extended().await?;
    let id = scene.run(scene.config(), copy()).await?;
    scene.finish(&id, 2).await?;
    check_eq!(
        scene.values(&scene.output, 5).await?,
        ["0", "1", "2", "3", "4"],
        "outputs of both processors of the application"
    );
    Ok(())
}

pub(super) async fn a_message_that_fails_the_processor_is_not_committed(
    harness: Arc<dyn KafkaExtendedHarness>,
) -> CaseResult {
    let mut scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..3).await?;
    let id = scene
        .run(scene.config(), copy_except("1", ErrorKind::InvalidInput))
        .await?;
    let failed = |status: &networking_spi::kafka::StreamStatus| status.state == StreamState::Failed;
    let status = scene.until(&id, "a failed processor", failed).await?;
    check!(status.last_error.is_some(), "the error is missing: {status:?}");
    check_eq!(
        (status.skipped, status.dead_lettered),
        (0, 0),
        "messages skipped and dead-lettered"
    );
    scene.extended = scene.harness.extended().await?;
    let id = scene.run(scene.config(), copy()).await?;
    scene.finish(&id, 2).await?;
    // At least once: messages before the one that failed may be processed again.
    let outputs = scene.values(&scene.output, 3).await?;
    check!(
        outputs.ends_with(&["1".to_owned(), "2".to_owned()]) && outputs.contains(&"0".to_owned()),
        "outputs after the restart: {outputs:?}"
    );
    Ok(())
}

pub(super) async fn a_poison_message_is_skipped(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..3).await?;
    let config = scene.config().with_on_poison(PoisonPolicy::Skip);
    let id = scene.run(config, copy_except("1", ErrorKind::InvalidInput)).await?;
    let status = scene.finish(&id, 2).await?;
    check_eq!(
        (status.processed, status.skipped),
        (2, 1),
        "messages processed and skipped"
    );
    check!(status.last_error.is_some(), "the error is missing: {status:?}");
    check_eq!(scene.values(&scene.output, 2).await?, ["0", "2"], "outputs");
    Ok(())
}

pub(super) async fn a_poison_message_is_dead_lettered(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    let dead = scene.harness.topic(1).await?;
    for value in ["0", "1", "2"] {
        let record = scene.stage.record().with_partition(0).with_key("key").with_value(value);
        scene.stage.write(record.with_header("trace", "a1")).await?;
    }
    let config = scene
        .config()
        .with_on_poison(PoisonPolicy::DeadLetter { topic: dead.clone() });
    let id = scene.run(config, copy_except("1", ErrorKind::InvalidInput)).await?;
    let status = scene.finish(&id, 2).await?;
    check_eq!(
        (status.processed, status.dead_lettered),
        (2, 1),
        "messages processed and dead-lettered"
    );
    check_eq!(scene.values(&scene.output, 2).await?, ["0", "2"], "outputs");
    let letters = scene.messages(&dead, 1).await?;
    check_eq!(crate::kafka::stage::values(&letters), ["1"], "dead-lettered values");
    check_eq!(
        letters[0].key.as_deref(),
        Some(&b"key"[..]),
        "key of the dead-lettered message"
    );
    check_eq!(
        letters[0].headers.get_str("trace"),
        Some("a1"),
        "header of the dead-lettered message"
    );
    check!(
        letters[0].headers.len() > 1,
        "no header gives the reason: {:?}",
        letters[0].headers
    );
    Ok(())
}

pub(super) async fn a_transient_error_is_retried(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..3).await?;
    let id = scene.run(scene.config(), failing("1", 2).0).await?;
    let status = scene.finish(&id, 3).await?;
    check_eq!(status.processed, 3, "messages processed");
    check!(status.retries >= 2, "two retries are expected: {status:?}");
    check_eq!(scene.values(&scene.output, 3).await?, ["0", "1", "2"], "outputs");
    Ok(())
}

pub(super) async fn retries_end_after_max_attempts(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..3).await?;
    let (code, attempts) = failing("1", usize::MAX);
    let config = scene.config().with_on_poison(PoisonPolicy::Skip);
    let id = scene.run(config, code).await?;
    let status = scene.finish(&id, 2).await?;
    check_eq!(attempts.load(Ordering::SeqCst), 3, "attempts with a max_attempts of 3");
    check_eq!(
        (status.processed, status.skipped),
        (2, 1),
        "messages processed and skipped"
    );
    Ok(())
}

/// Copies each message. The one with this value fails `failures` times, with an error that is transient.
fn failing(
    value: &'static str,
    failures: usize,
) -> (Arc<dyn networking_spi::kafka::StreamProcessor>, Arc<AtomicUsize>) {
    let attempts = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&attempts);
    let code = stream_fn(move |message| {
        let counted = Arc::clone(&counted);
        async move {
            if message.value_str() == Some(value) && counted.fetch_add(1, Ordering::SeqCst) < failures {
                let kind = ErrorKind::ConnectionClosed;
                return Err(networking_spi::NetworkError::new(
                    kind,
                    "conformance",
                    "a transient error",
                ));
            }
            Ok(copied(message))
        }
    });
    (code, attempts)
}

pub(super) async fn a_panic_is_a_failed_message(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..3).await?;
    let code = stream_fn(|message| async move {
        if message.value_str() == Some("1") {
            // Unlike `panic!`, without a message on the standard error stream.
            std::panic::resume_unwind(Box::new("a panic of the application"));
        }
        Ok(copied(message))
    });
    let config = scene.config().with_on_poison(PoisonPolicy::Skip);
    let id = scene.run(config, code).await?;
    let status = scene.finish(&id, 2).await?;
    check_eq!(
        (status.processed, status.skipped),
        (2, 1),
        "messages processed and skipped"
    );
    check_eq!(scene.values(&scene.output, 2).await?, ["0", "2"], "outputs");
    Ok(())
}

pub(super) async fn messages_of_a_partition_are_processed_one_at_a_time(
    harness: Arc<dyn KafkaExtendedHarness>,
) -> CaseResult {
    let scene = Scene::new(harness).await?;
    for number in 0..20 {
        let record = scene
            .stage
            .record()
            .with_partition(number % 2)
            .with_value(number.to_string());
        scene.stage.write(record).await?;
    }
    // The offsets of each partition, negative when processing starts.
    let seen = Arc::new(Mutex::new(BTreeMap::<i32, Vec<(i64, bool)>>::new()));
    let log = Arc::clone(&seen);
    let code = stream_fn(move |message| {
        let log = Arc::clone(&log);
        let note = move |partition: i32, offset: i64, ended: bool| {
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            log.entry(partition).or_default().push((offset, ended));
        };
        async move {
            note(message.partition, message.offset, false);
            sleep(Duration::from_millis(1)).await;
            note(message.partition, message.offset, true);
            Ok(copied(message))
        }
    });
    let id = scene.run(scene.config(), code).await?;
    scene.finish(&id, 20).await?;
    let expected: Vec<_> = (0..10).flat_map(|offset| [(offset, false), (offset, true)]).collect();
    let seen = seen.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for partition in 0..2 {
        check_eq!(
            seen.get(&partition),
            Some(&expected),
            "starts and ends of messages in partition {partition}"
        );
    }
    Ok(())
}

pub(super) async fn stopping_finishes_messages_in_progress(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let mut scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..1).await?;
    let (started, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (starts, waits) = (Arc::clone(&started), Arc::clone(&release));
    let code = stream_fn(move |message| {
        let (starts, waits) = (Arc::clone(&starts), Arc::clone(&waits));
        async move {
            starts.notify_one();
            waits.notified().await;
            Ok(copied(message))
        }
    });
    let id = scene.run(scene.config(), code).await?;
    let limit = scene.harness.patience();
    timeout(limit, started.notified())
        .await
        .map_err(|_| Failure::new("the message was not processed"))?;
    scene.stage.write_numbers(1..3).await?;
    let first = Arc::clone(&scene.extended);
    let stop = first.stop_stream(&id);
    tokio::pin!(stop);
    check!(
        timeout(scene.harness.quiet(), &mut stop).await.is_err(),
        "stopping did not wait for the message in progress"
    );
    release.notify_one();
    let status = timeout(limit, stop)
        .await
        .map_err(|_| Failure::new("stopping did not end after the message in progress"))??;
    check_eq!(
        (status.state, status.processed),
        (StreamState::Stopped, 1),
        "final state, messages processed"
    );
    check_eq!(
        scene.values(&scene.output, 1).await?,
        ["0"],
        "outputs when it was stopped"
    );
    scene.extended = scene.harness.extended().await?;
    let id = scene.run(scene.config(), copy()).await?;
    scene.finish(&id, 2).await?;
    check_eq!(
        scene.values(&scene.output, 3).await?,
        ["0", "1", "2"],
        "outputs after a restart"
    );
    Ok(())
}

pub(super) async fn stopping_ends_after_drain_timeout(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    scene.stage.write_numbers(0..1).await?;
    let started = Arc::new(Notify::new());
    let starts = Arc::clone(&started);
    let code = stream_fn(move |_message| {
        starts.notify_one();
        std::future::pending()
    });
    let mut config = scene.config();
    config.drain_timeout = scene.harness.quiet();
    let id = scene.run(config, code).await?;
    let limit = scene.harness.patience();
    timeout(limit, started.notified())
        .await
        .map_err(|_| Failure::new("the message was not processed"))?;
    let stopped = timeout(limit, scene.extended.stop_stream(&id))
        .await
        .map_err(|_| Failure::new("stopping did not end after drain_timeout"))?;
    check_error!(stopped, ErrorKind::Timeout, "stopping while a message is in progress");
    check_eq!(
        scene.extended.stream_status(&id).await?.state,
        StreamState::Stopped,
        "state afterwards"
    );
    let id = scene.run(scene.config(), copy()).await?;
    scene.finish(&id, 1).await?;
    check_eq!(scene.values(&scene.output, 1).await?, ["0"], "outputs after a restart");
    Ok(())
}

pub(super) async fn a_bad_processor_names_its_field(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    let (input, output) = (scene.stage.topic.as_str(), scene.output.as_str());
    let with = |change: fn(&mut StreamProcessorConfig)| {
        let mut config = scene.config();
        change(&mut config);
        config
    };
    let bad = [
        (StreamProcessorConfig::new(" ", [input]), "application_id"),
        (StreamProcessorConfig::new("a", Vec::<String>::new()), "input_topics"),
        (StreamProcessorConfig::new("a", ["a topic"]), "input_topics"),
        (scene.config().with_output_topic(input), "output_topic"),
        (
            scene.config().with_on_poison(PoisonPolicy::DeadLetter {
                topic: input.to_owned(),
            }),
            "on_poison.topic",
        ),
        (with(|config| config.max_attempts = 0), "max_attempts"),
        (with(|config| config.max_batch = 0), "max_batch"),
        (with(|config| config.drain_timeout = Duration::ZERO), "drain_timeout"),
    ];
    for (config, field) in bad {
        let created = scene.extended.create_stream_processor(config, copy()).await;
        let error = check_error!(created, ErrorKind::InvalidInput, "a bad {field}");
        check_eq!(
            error.field(),
            Some(field),
            "the field that the error names (output topic {output})"
        );
    }
    Ok(())
}

pub(super) async fn an_application_runs_once(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    let id = scene.run(scene.config(), copy()).await?;
    let second = scene.extended.create_stream_processor(scene.config(), copy()).await;
    check_error!(second, ErrorKind::AlreadyExists, "an application id in use");
    scene.extended.stop_stream(&id).await?;
    scene.extended.create_stream_processor(scene.config(), copy()).await?;
    Ok(())
}

pub(super) async fn an_unknown_processor_is_not_found(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let scene = Scene::new(harness).await?;
    let id = scene.extended.create_stream_processor(scene.config(), copy()).await?;
    let other = scene.harness.extended().await?;
    for (extended, id) in [
        (&scene.extended, ProcessorId::new(scene.harness.unique("unknown"))),
        (&other, id),
    ] {
        check_error!(extended.stream_status(&id).await, ErrorKind::NotFound, "status of {id}");
        check_error!(
            extended.process_kafka_stream(&id).await,
            ErrorKind::NotFound,
            "starting {id}"
        );
        check_error!(extended.stop_stream(&id).await, ErrorKind::NotFound, "stopping {id}");
    }
    Ok(())
}
