//! Creating, using and closing producers and consumers; counters.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{join, join_all};
use networking_spi::ErrorKind;
use networking_spi::kafka::{
    Acks, CommitOffsets, ConsumeOptions, ConsumerConfig, KafkaMetrics, PartitionOffset, ProducerConfig, TopicPartition,
};

use super::KafkaHarness;
use super::stage::Stage;
use crate::kit::{CaseResult, Failure};
use crate::{check, check_eq, check_error};

pub(super) async fn all_clients_declare_the_same_capabilities(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    for _ in 0..2 {
        let client = harness.client().await?;
        check_eq!(
            client.capabilities(),
            *harness.capabilities(),
            "capabilities of a client, compared with those that the harness states"
        );
    }
    Ok(())
}

pub(super) async fn a_bad_producer_names_its_field(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let capabilities = harness.capabilities();
    let mut bad = vec![
        (ProducerConfig::new().with_max_message_size(0), "max_message_size"),
        (ProducerConfig::new().with_queue_size(0), "queue_size"),
        (
            ProducerConfig::new().with_delivery_timeout(Duration::ZERO),
            "delivery_timeout",
        ),
    ];
    // What needs a capability that is not declared may be refused for that reason first.
    if capabilities.batching {
        bad.push((ProducerConfig::new().with_batch_size(0), "batch_size"));
        bad.push((ProducerConfig::new().with_linger(Duration::from_secs(60)), "linger"));
    }
    if capabilities.client_ids {
        bad.push((ProducerConfig::new().with_client_id(" "), "client_id"));
    }
    if capabilities.idempotent_producer && capabilities.acks {
        let config = ProducerConfig::new().with_acks(Acks::Leader).with_idempotent(true);
        bad.push((config, "idempotent"));
    }
    for (config, field) in bad {
        let error = check_error!(
            client.create_producer(config).await,
            ErrorKind::InvalidInput,
            "a bad {field}"
        );
        check_eq!(error.field(), Some(field), "the field that the error names");
    }
    Ok(())
}

pub(super) async fn a_bad_consumer_names_its_field(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let client = harness.client().await?;
    let topic = harness.topic(1).await?;
    let good = || ConsumerConfig::new("group", [topic.as_str()]);
    let capabilities = harness.capabilities();
    let mut bad = vec![
        (ConsumerConfig::new("", [topic.as_str()]), "group"),
        (ConsumerConfig::new("group", Vec::<String>::new()), "topics"),
        (ConsumerConfig::new("group", ["a topic"]), "topics"),
    ];
    if capabilities.static_membership {
        bad.push((good().with_group_instance_id(""), "group_instance_id"));
    }
    if capabilities.session_timeouts {
        bad.push((good().with_session_timeout(Duration::ZERO), "session_timeout"));
    }
    if capabilities.groups {
        let config = good().with_max_poll_interval(Duration::from_secs(1));
        bad.push((config, "max_poll_interval"));
    }
    if capabilities.client_ids {
        bad.push((good().with_client_id(" "), "client_id"));
    }
    for (config, field) in bad {
        let error = check_error!(
            client.create_consumer(config).await,
            ErrorKind::InvalidInput,
            "a bad {field}"
        );
        check_eq!(error.field(), Some(field), "the field that the error names");
    }
    Ok(())
}

pub(super) async fn a_closed_producer_is_not_found(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let (client, producer) = (&stage.client, &stage.producer);
    stage.write(stage.record().with_value("x")).await?;
    client.close_producer(producer).await?;
    let result = client.produce_message(producer, stage.record()).await;
    check_error!(result, ErrorKind::NotFound, "produce_message");
    check_error!(
        client.produce_messages(producer, Vec::new()).await,
        ErrorKind::NotFound,
        "produce_messages"
    );
    check_error!(
        client.flush(producer, Duration::from_secs(1)).await,
        ErrorKind::NotFound,
        "flush"
    );
    check_error!(
        client.close_producer(producer).await,
        ErrorKind::NotFound,
        "close_producer"
    );
    Ok(())
}

pub(super) async fn a_closed_consumer_is_not_found(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let client = &stage.client;
    let consumer = stage.consumer().await?;
    client.close_consumer(&consumer).await?;
    let result = client.consume_messages(&consumer, ConsumeOptions::new()).await;
    check_error!(result, ErrorKind::NotFound, "consume_messages");
    let result = client.consumer_assignment(&consumer).await;
    check_error!(result, ErrorKind::NotFound, "consumer_assignment");
    if stage.harness.capabilities().groups {
        let result = client.commit_offsets(&consumer, CommitOffsets::Consumed).await;
        check_error!(result, ErrorKind::NotFound, "commit_offsets");
    }
    check_error!(
        client.close_consumer(&consumer).await,
        ErrorKind::NotFound,
        "close_consumer"
    );
    Ok(())
}

pub(super) async fn handles_belong_to_their_client(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let consumer = stage.consumer().await?;
    let other = stage.harness.client().await?;
    // Ids that each client counts would now be in use by both.
    for _ in 0..3 {
        let producer = other.create_producer(ProducerConfig::new()).await?;
        check!(producer != stage.producer, "two clients use the producer id {producer}");
        let mut config = stage.consumer_config();
        config.group = stage.harness.unique("other-group");
        let reader = other.create_consumer(config).await?;
        check!(reader != consumer, "two clients use the consumer id {reader}");
    }
    let result = other.produce_message(&stage.producer, stage.record()).await;
    check_error!(result, ErrorKind::NotFound, "producing with another client's producer");
    let result = other.produce_messages(&stage.producer, vec![stage.record()]).await;
    check_error!(
        result,
        ErrorKind::NotFound,
        "producing a batch with another client's producer"
    );
    let result = other.flush(&stage.producer, Duration::from_secs(1)).await;
    check_error!(result, ErrorKind::NotFound, "flushing another client's producer");
    if stage.harness.capabilities().groups {
        let result = other.commit_offsets(&consumer, CommitOffsets::Consumed).await;
        check_error!(result, ErrorKind::NotFound, "committing with another client's consumer");
    }
    let result = other.consume_messages(&consumer, ConsumeOptions::new()).await;
    check_error!(result, ErrorKind::NotFound, "consuming with another client's consumer");
    check_error!(
        other.close_producer(&stage.producer).await,
        ErrorKind::NotFound,
        "closing another client's producer"
    );
    check_error!(
        other.close_consumer(&consumer).await,
        ErrorKind::NotFound,
        "closing another client's consumer"
    );
    stage.write(stage.record().with_value("x")).await?;
    stage.read(&consumer, 1).await?;
    Ok(())
}

pub(super) async fn flush_waits_for_acknowledgements(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let mut writes: Vec<_> = (0..20)
        .map(|number| {
            let record = stage.record().with_partition(0).with_value(number.to_string());
            stage.client.produce_message(&stage.producer, record)
        })
        .collect();
    // The first poll passes the records to the producer.
    let answered: Vec<_> = writes.iter_mut().map(FutureExt::now_or_never).collect();
    stage.client.flush(&stage.producer, stage.harness.patience()).await?;
    let latest = stage.client.topic_metadata(&stage.topic).await?.partitions[0].latest_offset;
    check_eq!(latest, 20, "records in the topic after the flush");
    for (write, answer) in writes.into_iter().zip(answered) {
        match answer {
            Some(result) => result?,
            None => write.await?,
        };
    }
    stage.client.flush(&stage.producer, stage.harness.patience()).await?;
    Ok(())
}

pub(super) async fn closing_a_producer_writes_its_records(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    const RECORDS: i64 = 20;
    let stage = Stage::new(harness, 1).await?;
    let mut config = ProducerConfig::new();
    if stage.harness.capabilities().batching {
        // The records are still waiting when the producer is closed.
        config = config.with_linger(stage.harness.quiet() * 4);
    }
    let producer = stage.client.create_producer(config).await?;
    let writes = join_all((0..RECORDS).map(|number| {
        let record = stage.record().with_partition(0).with_value(number.to_string());
        stage.client.produce_message(&producer, record)
    }));
    let close = async {
        stage.client.close_producer(&producer).await?;
        stage.client.topic_metadata(&stage.topic).await
    };
    // The writes are polled first, which passes the records to the producer.
    let (results, metadata) = join(writes, close).await;
    let latest = metadata?.partitions[0].latest_offset;
    check_eq!(latest, RECORDS, "records in the topic when the producer was closed");
    for result in results {
        result?;
    }
    Ok(())
}

async fn metrics(stage: &Stage) -> Result<KafkaMetrics, Failure> {
    Ok(stage.client.kafka_metrics().await?)
}

pub(super) async fn traffic_is_counted(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let record = stage
        .record()
        .with_key("key")
        .with_value("value")
        .with_header("name", "text");
    let size = u64::try_from(record.size()).unwrap_or_default();
    check_eq!(size, 16, "bytes of key, value and header");
    for _ in 0..3 {
        stage.write(record.clone()).await?;
    }
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 2).await?;
    let groups = stage.harness.capabilities().groups;
    if groups {
        stage.client.commit_offsets(&consumer, CommitOffsets::Consumed).await?;
    }

    let counted = metrics(&stage).await?;
    check_eq!(
        (counted.messages_produced, counted.bytes_produced),
        (3, 3 * size),
        "records and bytes produced"
    );
    check_eq!(
        (counted.messages_consumed, counted.bytes_consumed),
        (2, 2 * size),
        "messages and bytes consumed"
    );
    check_eq!(
        (counted.commits, counted.commit_errors),
        (u64::from(groups), 0),
        "commits and failed commits"
    );
    check_eq!(counted.produce_errors, 0, "failed records");
    check!(!groups || counted.rebalances > 0, "the assignment was not counted");
    let producer = counted.producers.get(&stage.producer).copied().unwrap_or_default();
    check_eq!(
        (producer.messages, producer.bytes, producer.in_flight),
        (3, 3 * size, 0),
        "the producer's counters"
    );
    let reader = counted.consumers.get(&consumer).copied().unwrap_or_default();
    check_eq!(
        (reader.messages, reader.bytes),
        (2, 2 * size),
        "the consumer's counters"
    );
    check_eq!(reader.assigned_partitions, 1, "the consumer's partitions");
    Ok(())
}

pub(super) async fn failures_are_counted(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    let consumer = stage.consumer().await?;
    let bad = stage.record().with_partition(9).with_value("x");
    let good = stage.record().with_partition(0).with_value("x");
    stage.client.produce_messages(&stage.producer, vec![bad, good]).await?;
    let result = stage
        .client
        .consume_messages(&consumer, ConsumeOptions::new().with_max_messages(0))
        .await;
    check_error!(result, ErrorKind::InvalidInput, "a max_messages of 0");
    stage.read(&consumer, 1).await?;
    let negative = CommitOffsets::Exact(vec![PartitionOffset::new(
        TopicPartition::new(stage.topic.as_str(), 0),
        -1,
    )]);
    let groups = stage.harness.capabilities().groups;
    if groups {
        check_error!(
            stage.client.commit_offsets(&consumer, negative).await,
            ErrorKind::InvalidInput,
            "committing a negative offset"
        );
    }
    let counted = metrics(&stage).await?;
    check_eq!(
        (counted.messages_produced, counted.produce_errors),
        (1, 1),
        "records written and failed"
    );
    check_eq!(
        (counted.messages_consumed, counted.consume_errors),
        (1, 1),
        "messages consumed and failed calls"
    );
    check_eq!(
        (counted.commits, counted.commit_errors),
        (0, u64::from(groups)),
        "commits and failed commits"
    );
    Ok(())
}

pub(super) async fn totals_include_closed_handles(harness: Arc<dyn KafkaHarness>) -> CaseResult {
    let stage = Stage::new(harness, 1).await?;
    stage.write(stage.record().with_value("x")).await?;
    let consumer = stage.consumer().await?;
    stage.read(&consumer, 1).await?;
    stage.client.close_consumer(&consumer).await?;
    stage.client.close_producer(&stage.producer).await?;
    let counted = metrics(&stage).await?;
    check_eq!(
        (counted.messages_produced, counted.messages_consumed),
        (1, 1),
        "records produced and consumed"
    );
    check!(
        counted.producers.is_empty(),
        "closed producers are still listed: {:?}",
        counted.producers
    );
    check!(
        counted.consumers.is_empty(),
        "closed consumers are still listed: {:?}",
        counted.consumers
    );
    Ok(())
}
