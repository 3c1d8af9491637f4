//! Transactions, beyond the suite: faults, limits and dropped calls in memory, and what librdkafka's blocking calls must not do.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use networking_kafka::memory::{Fault, FaultPoint, MemoryCluster, MemoryKafka};
use networking_kafka::rdkafka::RdKafkaClient;
use networking_spi::kafka::{
    CommitOffsets, ConsumeOptions, ConsumerConfig, IsolationLevel, KafkaCapabilities, KafkaClient, KafkaTransactions,
    NewTopic, OffsetReset, ProducerConfig, ProducerId, ProducerRecord, TransactionRemedy, TransactionalProducerConfig,
};
use networking_spi::{ErrorKind, NetworkError, Result};
use tokio::time::{sleep, timeout};

use crate::mock_cluster::MockBrokers;

const TOPIC: &str = "t";

/// A client of a cluster with a topic, and a registered producer.
async fn registered(config: TransactionalProducerConfig) -> (MemoryKafka, ProducerId) {
    let kafka = MemoryKafka::new();
    kafka.create_topic(NewTopic::new(TOPIC, 1)).await.expect("created");
    let producer = kafka.create_transactional_producer(config).await.expect("valid");
    kafka.init_transactions(&producer).await.expect("registered");
    (kafka, producer)
}

fn config() -> TransactionalProducerConfig {
    TransactionalProducerConfig::new("id")
}

fn record(value: &'static str) -> ProducerRecord {
    ProducerRecord::new(TOPIC).with_partition(0).with_value(value)
}

/// The values that a consumer of committed records reads at once.
async fn committed(kafka: &MemoryKafka) -> Vec<String> {
    let config = ConsumerConfig::new("reader", [TOPIC])
        .with_isolation_level(IsolationLevel::ReadCommitted)
        .with_offset_reset(OffsetReset::Earliest);
    let consumer = kafka.create_consumer(config).await.expect("valid");
    let options = ConsumeOptions::new().with_max_wait(Duration::ZERO);
    let messages = kafka.consume_messages(&consumer, options).await.expect("read");
    kafka.close_consumer(&consumer).await.expect("left");
    let values = messages
        .iter()
        .map(|message| message.value_str().unwrap_or_default().to_owned());
    values.collect()
}

fn remedy<T: std::fmt::Debug>(result: Result<T>) -> Option<TransactionRemedy> {
    TransactionRemedy::of(&result.expect_err("an error"))
}

#[tokio::test(start_paused = true)]
async fn a_commit_writes_records_that_wait_for_linger() {
    let hour = Duration::from_secs(3600);
    let lingering = ProducerConfig::new().with_linger(hour).with_delivery_timeout(hour * 2);
    let config = config().with_producer(lingering).with_transaction_timeout(hour * 2);
    let (kafka, producer) = registered(config).await;
    kafka.begin_transaction(&producer).await.expect("begun");
    let write = kafka.produce_message(&producer, record("lingers"));
    let (written, ended) = tokio::join!(write, kafka.commit_transaction(&producer));
    written.expect("written");
    ended.expect("committed");
    assert_eq!(committed(&kafka).await, ["lingers"]);
}

#[tokio::test(start_paused = true)]
async fn a_record_of_an_aborted_transaction_does_not_get_into_the_next_one() {
    let lingering = ProducerConfig::new().with_linger(Duration::from_secs(10));
    let (kafka, producer) = registered(config().with_producer(lingering)).await;
    kafka.begin_transaction(&producer).await.expect("begun");
    let write = kafka.produce_message(&producer, record("late"));
    let next = async {
        kafka.abort_transaction(&producer).await.expect("aborted");
        kafka.begin_transaction(&producer).await.expect("begun");
        kafka.commit_transaction(&producer).await
    };
    let (written, ended) = tokio::join!(write, next);
    assert_eq!(
        written.expect_err("its transaction has ended").kind(),
        ErrorKind::Conflict
    );
    ended.expect("the next transaction is not affected");
    assert!(committed(&kafka).await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn dropping_the_client_aborts() {
    let (kafka, producer) = registered(config()).await;
    let other = kafka.cluster().client();
    kafka.begin_transaction(&producer).await.expect("begun");
    kafka.produce_message(&producer, record("open")).await.expect("written");
    let plain = other.create_producer(ProducerConfig::new()).await.expect("valid");
    other.produce_message(&plain, record("later")).await.expect("written");
    assert!(committed(&other).await.is_empty());
    drop(kafka);
    assert_eq!(committed(&other).await, ["later"]);
}

#[tokio::test(start_paused = true)]
async fn a_fault_says_what_to_do_and_a_commit_can_be_repeated() {
    let (kafka, producer) = registered(config()).await;
    let cluster = kafka.cluster();
    kafka.begin_transaction(&producer).await.expect("begun");
    kafka.produce_message(&producer, record("once")).await.expect("written");

    cluster.inject(Fault::new(FaultPoint::Transaction, ErrorKind::Timeout));
    assert_eq!(
        remedy(kafka.commit_transaction(&producer).await),
        Some(TransactionRemedy::Retry)
    );
    assert!(committed(&kafka).await.is_empty(), "it had no effect");
    cluster.inject(Fault::new(FaultPoint::Transaction, ErrorKind::Rejected));
    assert_eq!(
        remedy(kafka.commit_transaction(&producer).await),
        Some(TransactionRemedy::Abort)
    );

    cluster.inject(Fault::new(FaultPoint::Transaction, ErrorKind::ConnectionClosed).after_effect());
    assert_eq!(
        remedy(kafka.commit_transaction(&producer).await),
        Some(TransactionRemedy::Retry)
    );
    assert_eq!(committed(&kafka).await, ["once"], "only the response was lost");
    kafka
        .commit_transaction(&producer)
        .await
        .expect("the result of the first call");
    assert_eq!(
        remedy(kafka.commit_transaction(&producer).await),
        None,
        "no transaction is open"
    );
}

#[tokio::test(start_paused = true)]
async fn transactional_ids_are_bounded_and_unused_ones_make_room() {
    let kafka = MemoryCluster::builder().max_handles_per_client(2).build().client();
    let create = async |id: &str| {
        let producer = kafka
            .create_transactional_producer(TransactionalProducerConfig::new(id))
            .await?;
        kafka.init_transactions(&producer).await?;
        Ok::<_, NetworkError>(producer)
    };
    let first = create("a").await.expect("room");
    create("b").await.expect("room");
    let other = kafka.cluster().client();
    let third = || other.create_transactional_producer(TransactionalProducerConfig::new("c"));
    assert_eq!(third().await.expect_err("both are in use").kind(), ErrorKind::Exhausted);
    kafka.close_producer(&first).await.expect("closed");
    third().await.expect("`a` is not used any more");
}

#[tokio::test(start_paused = true)]
async fn without_groups_there_are_transactions_but_no_offsets() {
    let mut capabilities = KafkaCapabilities::all();
    capabilities.groups = false;
    let kafka = MemoryCluster::builder().capabilities(capabilities).build().client();
    kafka.create_topic(NewTopic::new(TOPIC, 1)).await.expect("created");
    let consumer = kafka
        .create_consumer(ConsumerConfig::new("g", [TOPIC]))
        .await
        .expect("valid");
    let producer = kafka.create_transactional_producer(config()).await.expect("valid");
    kafka.init_transactions(&producer).await.expect("registered");
    kafka.begin_transaction(&producer).await.expect("begun");
    kafka
        .produce_message(&producer, record("written"))
        .await
        .expect("written");
    let sent = kafka.send_offsets_to_transaction(&producer, &consumer, CommitOffsets::Consumed);
    assert_eq!(sent.await.expect_err("no groups").kind(), ErrorKind::Unsupported);
    kafka.commit_transaction(&producer).await.expect("committed");
    assert_eq!(committed(&kafka).await, ["written"]);
}

#[tokio::test]
async fn an_unreachable_cluster_blocks_neither_the_caller_nor_the_runtime() {
    // Nothing listens on a port that was free.
    let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let kafka = RdKafkaClient::builder(free.expect("a free port").to_string())
        .build()
        .expect("valid");
    let config = config().with_operation_timeout(Duration::from_secs(1));
    let producer = kafka.create_transactional_producer(config).await.expect("valid");
    let ended = Arc::new(AtomicBool::new(false));
    let seen = tokio::spawn({
        let ended = Arc::clone(&ended);
        async move {
            sleep(Duration::from_millis(10)).await;
            ended.load(Ordering::SeqCst)
        }
    });
    let error = kafka.init_transactions(&producer).await.expect_err("no broker");
    ended.store(true, Ordering::SeqCst);
    assert_eq!(TransactionRemedy::of(&error), Some(TransactionRemedy::Retry), "{error}");
    assert!(
        error.is_a(ErrorKind::Timeout) || error.is_a(ErrorKind::Connection),
        "{error}"
    );
    assert!(!seen.await.expect("no panic"), "another task ran while the call waited");
    assert_eq!(
        remedy(kafka.begin_transaction(&producer).await),
        None,
        "it is not registered"
    );
}

/// The mock cluster answers as if everything succeeded.
#[tokio::test]
async fn a_dropped_commit_is_repeated() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic(TOPIC, 1);
    let mut capabilities = KafkaCapabilities::all();
    capabilities.topic_admin = false;
    capabilities.topic_configs = false;
    let kafka = RdKafkaClient::builder(brokers.bootstrap_servers())
        .capabilities(capabilities)
        .build()
        .expect("valid");
    let producer = kafka.create_transactional_producer(config()).await.expect("valid");
    kafka.init_transactions(&producer).await.expect("registered");
    for millis in 0..6 {
        kafka.begin_transaction(&producer).await.expect("begun");
        kafka.produce_message(&producer, record("x")).await.expect("written");
        // The call is dropped at different stages. If it has ended, the next transaction begins.
        if timeout(Duration::from_millis(millis), kafka.commit_transaction(&producer))
            .await
            .is_err()
        {
            kafka
                .commit_transaction(&producer)
                .await
                .expect("the result of the dropped call");
        }
    }
    kafka.close_producer(&producer).await.expect("closed");
}
