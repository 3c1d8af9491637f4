//! The librdkafka client against librdkafka's mock cluster: faults, limits and behaviour of this backend.

use std::time::Duration;

use crate::mock_cluster::MockBrokers;
use futures_util::StreamExt as _;
use networking_kafka::rdkafka::{RdKafkaClient, RdKafkaClientBuilder};
use networking_spi::kafka::{
    Acks, CommitOffsets, ConsumeOptions, ConsumerConfig, ConsumerId, KafkaCapabilities, KafkaClient, KafkaClientExt,
    NewTopic, OffsetReset, PartitionOffset, ProducerConfig, ProducerId, ProducerRecord, TopicPartition,
};
use networking_spi::{ErrorKind, Retryability, SendState};
use rdkafka::message::{BorrowedHeaders, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(20);

/// A request timeout that a call must not need. The runtime of a test waits for its blocking calls, too.
const REQUEST: Duration = Duration::from_secs(8);

fn client(brokers: &MockBrokers) -> RdKafkaClientBuilder {
    RdKafkaClient::builder(brokers.bootstrap_servers())
        // The mock responds to a fetch at the end of a partition only after this time, even if records arrive meanwhile.
        .consumer_setting("fetch.wait.max.ms", "10")
        // With the classic protocol the mock waits 3 s before the first assignment.
        .consumer_setting("group.protocol", "consumer")
}

fn from_start(group: &str, topic: &str) -> ConsumerConfig {
    ConsumerConfig::new(group, [topic]).with_offset_reset(OffsetReset::Earliest)
}

fn numbered(topic: &str, count: usize) -> Vec<ProducerRecord> {
    (0..count)
        .map(|number| {
            ProducerRecord::new(topic)
                .with_partition(0)
                .with_value(number.to_string())
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_is_written_in_order_and_read_back() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers).build().expect("valid");
    let producer = kafka.create_producer(ProducerConfig::new()).await.expect("created");
    let written = kafka
        .produce_messages(&producer, numbered("t", 5_000))
        .await
        .expect("open");
    let offsets = written
        .into_iter()
        .map(|result| result.expect("written").offset)
        .collect::<Vec<_>>();
    assert_eq!(offsets, (0..5_000).map(Some).collect::<Vec<_>>());

    let consumer = kafka.create_consumer(from_start("g", "t")).await.expect("created");
    let read = kafka.consume_exactly(&consumer, 5_000, LONG).await.expect("read");
    let values = read
        .iter()
        .map(|message| message.value_str().expect("text").to_owned())
        .collect::<Vec<_>>();
    assert_eq!(values, (0..5_000).map(|number| number.to_string()).collect::<Vec<_>>());

    kafka
        .commit_offsets(&consumer, CommitOffsets::Consumed)
        .await
        .expect("committed");
    let foreign = CommitOffsets::Exact(vec![PartitionOffset::new(TopicPartition::new("t", 9), 1)]);
    let error = kafka
        .commit_offsets(&consumer, foreign)
        .await
        .expect_err("not assigned");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    kafka.close_consumer(&consumer).await.expect("left");

    let metrics = kafka.kafka_metrics().await.expect("local");
    assert_eq!((metrics.messages_produced, metrics.messages_consumed), (5_000, 5_000));
    assert_eq!((metrics.commits, metrics.commit_errors, metrics.rebalances), (1, 1, 1));
    assert_eq!(metrics.producers[&producer].in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_transient_error_is_retried_within_the_delivery_timeout() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers)
        .producer_setting("retry.backoff.ms", "10")
        .build()
        .expect("valid");
    let producer = kafka.create_producer(ProducerConfig::new()).await.expect("created");
    brokers.with(|cluster| {
        let errors = [
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
            RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
        ];
        cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    });
    let written = kafka
        .produce_message(&producer, ProducerRecord::new("t").with_value("x"))
        .await
        .expect("retried");
    assert_eq!(written.offset, Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_that_the_broker_rejects_fails_alone() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers).build().expect("valid");
    let config = ProducerConfig::new().with_idempotent(false).with_max_message_size(100);
    let producer = kafka.create_producer(config).await.expect("created");
    kafka
        .produce_message(&producer, ProducerRecord::new("t"))
        .await
        .expect("connected");
    brokers.with(|cluster| {
        cluster.request_errors(
            RDKafkaApiKey::Produce,
            &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE],
        );
    });
    let error = kafka
        .produce_message(&producer, ProducerRecord::new("t").with_value("x"))
        .await
        .expect_err("rejected");
    assert_eq!(
        (error.kind(), error.send_state()),
        (ErrorKind::TooLarge, SendState::Sent)
    );

    let records = vec![
        ProducerRecord::new("t").with_value("first"),
        ProducerRecord::new("t").with_value(vec![0; 101]),
        ProducerRecord::new("no spaces allowed"),
        ProducerRecord::new("t").with_partition(7),
        ProducerRecord::new("t").with_value("last"),
    ];
    let results = kafka.produce_messages(&producer, records).await.expect("open");
    assert!(results[0].is_ok() && results[4].is_ok());
    let kinds = results[1..4]
        .iter()
        .map(|result| result.as_ref().expect_err("rejected").kind())
        .collect::<Vec<_>>();
    assert_eq!(
        kinds,
        [ErrorKind::TooLarge, ErrorKind::InvalidInput, ErrorKind::NotFound]
    );
    let metrics = kafka.kafka_metrics().await.expect("local");
    assert_eq!((metrics.messages_produced, metrics.produce_errors), (3, 4));
    assert_eq!(metrics.producers[&producer].in_flight, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_records_of_a_rejected_batch_are_sent_again_one_by_one() {
    for code in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_RECORD_LIST_TOO_LARGE,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_RECORD,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_INVALID_TIMESTAMP,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_POLICY_VIOLATION,
    ] {
        for idempotent in [true, false] {
            let brokers = MockBrokers::start(1);
            brokers.create_topic("t", 1);
            let kafka = client(&brokers).build().expect("valid");
            let config = ProducerConfig::new()
                .with_idempotent(idempotent)
                .with_linger(Duration::from_millis(100));
            let producer = kafka.create_producer(config).await.expect("created");
            // The batch, and then the third record, which is alone in its batch.
            brokers.with(move |cluster| {
                let none = RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR;
                cluster.request_errors(RDKafkaApiKey::Produce, &[code, none, none, code]);
            });
            let mut records = numbered("t", 20);
            records[7] = ProducerRecord::new("t")
                .with_key("k")
                .with_header("h", "v")
                .with_header("h", "w")
                .with_timestamp(std::time::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123));
            let results = kafka.produce_messages(&producer, records.clone()).await.expect("open");
            let failed = (0..20).filter(|index| results[*index].is_err()).collect::<Vec<_>>();
            assert_eq!(failed, [2], "{code:?}, idempotent: {idempotent}: {results:?}");
            // Later records do not overtake those that are sent again.
            kafka
                .produce_message(&producer, ProducerRecord::new("t").with_value("later"))
                .await
                .expect("written");
            drop(records.remove(2));
            let consumer = kafka.create_consumer(from_start("g", "t")).await.expect("created");
            let read = kafka.consume_exactly(&consumer, 20, LONG).await.expect("read");
            for (message, record) in read.iter().zip(&records) {
                assert_eq!(
                    (&message.key, &message.value, &message.headers),
                    (&record.key, &record.value, &record.headers)
                );
            }
            assert_eq!(read[6].timestamp, records[6].timestamp);
            assert_eq!(read[19].value_str(), Some("later"));
            let metrics = kafka.kafka_metrics().await.expect("local");
            assert_eq!((metrics.messages_produced, metrics.produce_errors), (20, 1));
            assert_eq!(metrics.producers[&producer].in_flight, 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_ends_at_its_delivery_timeout() {
    let limit = Duration::from_secs(1);
    for (records, queue) in [(1, 10), (50, 10), (50, 1), (50, 1000)] {
        let brokers = MockBrokers::start(1);
        brokers.create_topic("t", 1);
        let kafka = client(&brokers).build().expect("valid");
        let config = ProducerConfig::new()
            .with_queue_size(queue)
            .with_delivery_timeout(limit);
        let producer = kafka.create_producer(config).await.expect("created");
        kafka
            .produce_message(&producer, ProducerRecord::new("t"))
            .await
            .expect("connected");
        brokers.with(|cluster| cluster.broker_down(1)).expect("down");
        let start = Instant::now();
        let results = kafka
            .produce_messages(&producer, numbered("t", records))
            .await
            .expect("open");
        // The next check of librdkafka for timed out records is up to a second later.
        assert!(
            start.elapsed() < limit + Duration::from_millis(500),
            "{:?}",
            start.elapsed()
        );
        let kinds = results
            .iter()
            .map(|result| result.as_ref().expect_err("no broker").kind())
            .collect::<Vec<_>>();
        let (sent, waiting) = kinds.split_at(queue.min(records));
        assert!(sent.iter().all(|kind| *kind == ErrorKind::Timeout), "{kinds:?}");
        assert!(waiting.iter().all(|kind| *kind == ErrorKind::Exhausted), "{kinds:?}");
        let metrics = kafka.kafka_metrics().await.expect("local");
        assert_eq!(metrics.produce_errors, records as u64);
        // The calls have returned, so nothing is left to wait for.
        kafka
            .flush(&producer, Duration::from_millis(100))
            .await
            .expect("no call is open");
    }
}

/// Appends headers whose names are not UTF-8, as any producer of another language may.
#[allow(unsafe_code, reason = "rdkafka takes only names that are UTF-8")]
fn with_raw_header(headers: OwnedHeaders, name: &[u8], value: Option<&[u8]>) -> OwnedHeaders {
    let borrowed: *const BorrowedHeaders = headers.as_borrowed();
    let length = |bytes: &[u8]| isize::try_from(bytes.len()).expect("short");
    // SAFETY: the headers are owned, and librdkafka copies name and value, which have the lengths that are passed.
    let code = unsafe {
        rdkafka::bindings::rd_kafka_header_add(
            borrowed.cast::<rdkafka::bindings::rd_kafka_headers_t>().cast_mut(),
            name.as_ptr().cast(),
            length(name),
            value.map_or(std::ptr::null(), |value| value.as_ptr().cast()),
            value.map_or(0, length),
        )
    };
    assert_eq!(code, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR);
    headers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_name_that_is_not_utf_8_is_read_without_a_panic() {
    std::panic::set_hook(Box::new(|panic| {
        // Other tests of this binary run in other threads.
        if panic
            .location()
            .is_some_and(|location| location.file().contains("rdkafka-0"))
        {
            eprintln!("{panic}");
            std::process::abort();
        }
    }));
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let mut headers = OwnedHeaders::new();
    let names: [(&[u8], Option<&[u8]>); 6] = [
        (b"plain", Some(b"1")),
        (b"\xff", Some(b"2")),
        (b"a\xc3(b", None),
        ("größe".as_bytes(), Some(b"")),
        (b"\xed\xa0\x80", Some(b"\xff")),
        (b"", Some(b"6")),
    ];
    for (name, value) in names {
        headers = with_raw_header(headers, name, value);
    }
    let foreign: BaseProducer = rdkafka::ClientConfig::new()
        .set("bootstrap.servers", brokers.bootstrap_servers())
        .create()
        .expect("valid");
    let record = BaseRecord::<str, str>::to("t").payload("x").headers(headers);
    foreign.send(record).map_err(|(error, _)| error).expect("queued");
    foreign.flush(LONG).expect("written");

    let kafka = client(&brokers).build().expect("valid");
    let consumer = kafka.create_consumer(from_start("g", "t")).await.expect("created");
    let read = kafka.consume_exactly(&consumer, 1, LONG).await.expect("read");
    let found = read[0]
        .headers
        .iter()
        .map(|(name, value)| (name.to_owned(), value.map(|value| value.to_vec())))
        .collect::<Vec<_>>();
    let expected = names.map(|(name, value)| (String::from_utf8_lossy(name).into_owned(), value.map(<[u8]>::to_vec)));
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn unreachable_bootstrap_servers_are_reported_at_once() {
    let closed = || {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
        listener.local_addr().expect("bound").to_string()
    };
    let (first, second) = (closed(), closed());
    for servers in [first.clone(), format!("{first},{second}")] {
        let kafka = RdKafkaClient::builder(servers)
            .request_timeout(REQUEST)
            .build()
            .expect("valid");
        let start = Instant::now();
        for _ in 0..2 {
            let error = kafka.topic_metadata("t").await.expect_err("nothing listens");
            assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
            assert!(error.retryability().is_retryable());
            let reason = error
                .context()
                .find(|(key, _)| *key == "reason")
                .expect("the addresses")
                .1;
            assert!(reason.contains("127.0.0.1:"), "{reason}");
        }
        let error = kafka
            .create_consumer(from_start("g", "t"))
            .await
            .expect_err("nothing listens");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        // Three calls, each of which may take as long.
        assert!(start.elapsed() < REQUEST, "{:?}", start.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_no_kafka_broker_is_reported_before_the_request_timeout() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("free");
    let address = listener.local_addr().expect("bound").to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let answer = |mut stream: std::net::TcpStream| {
                let mut request = [0; 16];
                std::io::Read::read(&mut stream, &mut request)?;
                std::io::Write::write_all(&mut stream, b"HTTP/1.1 400 Bad Request\r\n\r\n")
            };
            // The client may have gone.
            let _ = stream.and_then(answer);
        }
    });
    let kafka = RdKafkaClient::builder(address)
        .request_timeout(REQUEST)
        .build()
        .expect("valid");
    let start = Instant::now();
    let error = kafka.topic_metadata("t").await.expect_err("not a broker");
    assert!(error.is_a(ErrorKind::Connection), "{error:?}");
    assert!(start.elapsed() < REQUEST, "{:?}", start.elapsed());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_not_ready_is_asked_again() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers).build().expect("valid");
    kafka.topic_metadata("t").await.expect("connected");
    for code in [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
    ] {
        brokers.with(move |cluster| cluster.request_errors(RDKafkaApiKey::ListOffsets, &[code; 3]));
        let metadata = kafka.topic_metadata("t").await.expect("repeated");
        assert_eq!(
            (
                metadata.partitions[0].earliest_offset,
                metadata.partitions[0].latest_offset
            ),
            (0, 0)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_without_a_coordinator_can_be_retried() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers)
        .setting("reconnect.backoff.ms", "10")
        .setting("reconnect.backoff.max.ms", "50")
        .request_timeout(Duration::from_secs(2))
        .build()
        .expect("valid");
    let producer = kafka.create_producer(ProducerConfig::new()).await.expect("created");
    kafka
        .produce_message(&producer, ProducerRecord::new("t").with_value("x"))
        .await
        .expect("written");
    let consumer = kafka.create_consumer(from_start("g", "t")).await.expect("created");
    kafka.consume_exactly(&consumer, 1, LONG).await.expect("read");
    brokers.with(|cluster| cluster.broker_down(1)).expect("down");
    for _ in 0..3 {
        let error = kafka
            .commit_offsets(&consumer, CommitOffsets::Consumed)
            .await
            .expect_err("no coordinator");
        assert!(error.retryability().is_retryable(), "{error:?}");
        assert!(
            matches!(error.kind(), ErrorKind::Remote)
                || error.is_a(ErrorKind::Connection)
                || error.is_a(ErrorKind::Timeout),
            "{error:?}"
        );
    }
    brokers.with(|cluster| cluster.broker_up(1)).expect("up");
    let start = Instant::now();
    while let Err(error) = kafka.commit_offsets(&consumer, CommitOffsets::Consumed).await {
        assert!(error.retryability().is_retryable(), "{error:?}");
        assert!(start.elapsed() < LONG, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_missing_permission_differs_from_a_missing_topic() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("secret", 1);
    brokers.with(|cluster| {
        cluster
            .topic_error("secret", RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
            .expect("known");
    });
    let kafka = client(&brokers).build().expect("valid");
    let error = kafka.topic_metadata("secret").await.expect_err("not authorized");
    assert_eq!(
        (error.kind(), error.retryability()),
        (ErrorKind::PermissionDenied, Retryability::Never)
    );
    let error = kafka
        .create_consumer(from_start("g", "secret"))
        .await
        .expect_err("not authorized");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requesting_a_topic_does_not_create_it() {
    let brokers = MockBrokers::start(1);
    let kafka = client(&brokers).build().expect("valid");
    assert_eq!(
        kafka.topic_metadata("t").await.expect_err("none").kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        kafka
            .create_consumer(from_start("g", "t"))
            .await
            .expect_err("none")
            .kind(),
        ErrorKind::NotFound
    );
    let producer = kafka.create_producer(ProducerConfig::new()).await.expect("created");
    let error = kafka
        .produce_message(&producer, ProducerRecord::new("t"))
        .await
        .expect_err("none");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(
        kafka.topic_metadata("t").await.expect_err("still none").kind(),
        ErrorKind::NotFound
    );

    brokers.create_topic("t", 3);
    let metadata = kafka.topic_metadata("t").await.expect("created");
    assert_eq!(metadata.partitions.len(), 3);
    assert!(
        metadata
            .partitions
            .iter()
            .all(|partition| (partition.earliest_offset, partition.latest_offset) == (0, 0))
    );
    kafka
        .produce_message(&producer, ProducerRecord::new("t").with_partition(1))
        .await
        .expect("the topic exists now");
    assert_eq!(
        kafka.topic_metadata("t").await.expect("the topic exists").partitions[1].latest_offset,
        1
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn records_are_delivered_after_a_broker_restarts() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers)
        .setting("reconnect.backoff.ms", "10")
        .setting("reconnect.backoff.max.ms", "50")
        .build()
        .expect("valid");
    let producer = kafka.create_producer(ProducerConfig::new()).await.expect("created");
    kafka
        .produce_message(&producer, ProducerRecord::new("t").with_value("before"))
        .await
        .expect("connected");
    brokers.with(|cluster| cluster.broker_down(1)).expect("down");
    let sending = {
        let (kafka, producer) = (kafka.clone(), producer.clone());
        tokio::spawn(async move {
            kafka
                .produce_message(&producer, ProducerRecord::new("t").with_value("during"))
                .await
        })
    };
    until_in_flight(&kafka, &producer, 1).await;
    brokers.with(|cluster| cluster.broker_up(1)).expect("up");
    assert_eq!(sending.await.expect("no panic").expect("delivered").offset, Some(1));
}

async fn until_in_flight(kafka: &RdKafkaClient, producer: &ProducerId, records: u64) {
    while kafka.kafka_metrics().await.expect("local").producers[producer].in_flight != records {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_calls_end_at_their_timeouts() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers)
        .request_timeout(Duration::from_millis(300))
        .build()
        .expect("valid");
    let config = ProducerConfig::new()
        .with_idempotent(false)
        .with_queue_size(1)
        .with_delivery_timeout(Duration::from_millis(300));
    let producer = kafka.create_producer(config).await.expect("created");
    kafka
        .produce_message(&producer, ProducerRecord::new("t"))
        .await
        .expect("connected");
    brokers.with(|cluster| cluster.broker_down(1)).expect("down");

    let results = kafka.produce_messages(&producer, numbered("t", 2)).await.expect("open");
    let errors = results
        .into_iter()
        .map(|result| result.expect_err("no broker"))
        .collect::<Vec<_>>();
    assert_eq!(
        (errors[0].kind(), errors[0].send_state()),
        (ErrorKind::Timeout, SendState::MaybeSent)
    );
    assert!(errors[0].context().any(|(key, _)| key == "reason"), "{}", errors[0]);
    // librdkafka checks for timed out records once per second, so the second record got no slot in the queue in time.
    assert_eq!(
        (errors[1].kind(), errors[1].send_state()),
        (ErrorKind::Exhausted, SendState::NotSent)
    );
    assert!(errors.iter().all(|error| error.retryability().is_retryable()));

    let error = kafka.topic_metadata("t").await.expect_err("no broker");
    assert!(
        error.is_a(ErrorKind::Connection) || error.is_a(ErrorKind::Timeout),
        "{error}"
    );
    assert!(error.retryability().is_retryable());
    kafka.close_producer(&producer).await.expect("no record is in flight");
    assert_eq!(
        kafka.close_producer(&producer).await.expect_err("closed").kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_delivers_lingering_records_and_flushing_is_bounded() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers).build().expect("valid");
    let config = ProducerConfig::new().with_linger(Duration::from_millis(400));
    let producer = kafka.create_producer(config).await.expect("created");
    let sending = {
        let (kafka, producer) = (kafka.clone(), producer.clone());
        tokio::spawn(async move { kafka.produce_messages(&producer, numbered("t", 3)).await })
    };
    until_in_flight(&kafka, &producer, 3).await;
    let error = kafka
        .flush(&producer, Duration::from_millis(1))
        .await
        .expect_err("lingering");
    assert_eq!(error.kind(), ErrorKind::Timeout);
    kafka.close_producer(&producer).await.expect("flushed");
    let written = sending.await.expect("no panic").expect("was open");
    assert!(written.iter().all(Result::is_ok));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_call_loses_no_message() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers).build().expect("valid");
    let producer = kafka
        .create_producer(ProducerConfig::new().with_acks(Acks::Leader))
        .await
        .expect("created");
    let consumer = kafka.create_consumer(from_start("g", "t")).await.expect("created");
    let feeding = {
        let (kafka, producer) = (kafka.clone(), producer.clone());
        tokio::spawn(async move {
            for batch in numbered("t", 300).chunks(3) {
                kafka.produce_messages(&producer, batch.to_vec()).await.expect("open");
            }
        })
    };
    let mut offsets = Vec::new();
    while offsets.len() < 300 {
        let options = ConsumeOptions::new().with_max_messages(7).with_max_wait(LONG);
        // Dropped after a millisecond, at any point.
        let call = tokio::time::timeout(Duration::from_millis(1), kafka.consume_messages(&consumer, options));
        if let Ok(messages) = call.await {
            offsets.extend(messages.expect("read").iter().map(|message| message.offset));
        }
    }
    feeding.await.expect("no panic");
    assert_eq!(offsets, (0..300).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_partitions_and_a_dropped_client_gives_up_its_partitions() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 2);
    let first = client(&brokers).build().expect("valid");
    let second = client(&brokers).build().expect("valid");
    let here = first.create_consumer(from_start("g", "t")).await.expect("created");
    let short = ConsumeOptions::new().with_max_wait(Duration::from_millis(20));
    until_assigned(&first, &here, 2, short).await;
    let there = second.create_consumer(from_start("g", "t")).await.expect("created");
    // Both consume until both have their share: a member that does not consume takes no part in a rebalance.
    let both = async {
        while (assigned(&first, &here).await, assigned(&second, &there).await) != (1, 1) {
            for (kafka, consumer) in [(&first, &here), (&second, &there)] {
                kafka.consume_messages(consumer, short).await.expect("no failure");
            }
        }
    };
    tokio::time::timeout(LONG, both).await.expect("shared");
    let all = (0..2)
        .map(|partition| PartitionOffset::new(TopicPartition::new("t", partition), 1))
        .collect();
    let error = first
        .commit_offsets(&here, CommitOffsets::Exact(all))
        .await
        .expect_err("one is assigned to the other member");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let error = first
        .consume_messages(&there, short)
        .await
        .expect_err("the consumer of another client");
    assert_eq!(error.kind(), ErrorKind::NotFound);

    drop(second);
    tokio::time::timeout(LONG, until_assigned(&first, &here, 2, short))
        .await
        .expect("reassigned");
}

async fn until_assigned(kafka: &RdKafkaClient, consumer: &ConsumerId, partitions: u64, options: ConsumeOptions) {
    while assigned(kafka, consumer).await != partitions {
        kafka.consume_messages(consumer, options).await.expect("no failure");
    }
}

async fn assigned(kafka: &RdKafkaClient, consumer: &ConsumerId) -> u64 {
    kafka.kafka_metrics().await.expect("local").consumers[consumer].assigned_partitions
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_committed_offset_and_a_reset_policy_consuming_fails() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers).build().expect("valid");
    let config = ConsumerConfig::new("g", ["t"]).with_offset_reset(OffsetReset::Fail);
    let consumer = kafka.create_consumer(config).await.expect("created");
    let options = ConsumeOptions::new().with_max_wait(LONG);
    let error = kafka
        .consume_messages(&consumer, options)
        .await
        .expect_err("no start offset");
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(kafka.kafka_metrics().await.expect("local").consume_errors, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_waiting_call_ends_when_its_consumer_is_closed() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let kafka = client(&brokers).build().expect("valid");
    let consumer = kafka.create_consumer(from_start("g", "t")).await.expect("created");
    let waiting = {
        let (kafka, consumer) = (kafka.clone(), consumer.clone());
        let options = ConsumeOptions::new().with_max_wait(Duration::MAX);
        tokio::spawn(async move { kafka.consume_messages(&consumer, options).await })
    };
    let options = ConsumeOptions::new().with_max_wait(Duration::from_millis(5));
    assert!(
        kafka
            .consume_messages(&consumer, options)
            .await
            .expect("the other call is still consuming")
            .is_empty()
    );
    kafka.close_consumer(&consumer).await.expect("left");
    assert_eq!(
        waiting.await.expect("no panic").expect_err("closed").kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        kafka.close_consumer(&consumer).await.expect_err("closed").kind(),
        ErrorKind::NotFound
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_and_missing_capabilities_are_reported_without_a_request() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    let mut capabilities = KafkaCapabilities::none();
    capabilities.groups = true;
    let kafka = client(&brokers)
        .max_producers(1)
        .max_consumers(1)
        .capabilities(capabilities)
        .build()
        .expect("valid");
    let producer = kafka.create_producer(ProducerConfig::new()).await.expect("the first");
    let metadata = kafka.topic_metadata("t").await.expect("known");
    assert_eq!(
        (metadata.partitions[0].leader, metadata.partitions[0].replicas.len()),
        (None, 0)
    );
    assert_eq!(
        kafka
            .create_producer(ProducerConfig::new())
            .await
            .expect_err("beyond the limit")
            .kind(),
        ErrorKind::Exhausted
    );
    kafka.create_consumer(from_start("g", "t")).await.expect("the first");
    assert_eq!(
        kafka
            .create_consumer(from_start("g", "t"))
            .await
            .expect_err("beyond the limit")
            .kind(),
        ErrorKind::Exhausted
    );
    for error in [
        kafka
            .create_topic(NewTopic::new("u", 1))
            .await
            .expect_err("not declared"),
        kafka.delete_topic("t").await.expect_err("not declared"),
        kafka.consumer_group_info("g").await.expect_err("not declared"),
        kafka
            .create_consumer(from_start("g", "t").with_group_instance_id("i"))
            .await
            .expect_err("not declared"),
        kafka
            .produce_message(
                &producer,
                ProducerRecord::new("t").with_timestamp(std::time::UNIX_EPOCH),
            )
            .await
            .expect_err("not declared"),
    ] {
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fenced_member_stays_fenced() {
    let brokers = MockBrokers::start(1);
    brokers.create_topic("t", 1);
    // Only the classic protocol fences members by instance id.
    let kafka = RdKafkaClient::builder(brokers.bootstrap_servers())
        .consumer_setting("fetch.wait.max.ms", "10")
        .consumer_setting("heartbeat.interval.ms", "50")
        .build()
        .expect("valid");
    let producer = kafka.create_producer(ProducerConfig::new()).await.expect("created");
    kafka
        .produce_message(&producer, ProducerRecord::new("t"))
        .await
        .expect("written");
    let config = from_start("g", "t").with_group_instance_id("i");
    let member = kafka.create_consumer(config).await.expect("created");
    assert_eq!(kafka.consume_exactly(&member, 1, LONG).await.expect("joined").len(), 1);
    brokers.with(|cluster| {
        let fenced = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID];
        cluster.request_errors(RDKafkaApiKey::Heartbeat, &fenced);
    });
    let options = ConsumeOptions::new().with_max_wait(LONG);
    for attempt in ["the first call", "later calls"] {
        let error = kafka.consume_messages(&member, options).await.expect_err(attempt);
        assert_eq!(
            (error.kind(), error.retryability()),
            (ErrorKind::Conflict, Retryability::Never)
        );
    }
    let error = kafka
        .commit_offsets(&member, CommitOffsets::Consumed)
        .await
        .expect_err("fenced");
    assert_eq!(error.kind(), ErrorKind::Conflict, "{error}");
}

/// The stream processors of the toolkit over a client with real waits and real groups.
#[cfg(feature = "toolkit")]
mod streams {
    use std::sync::Arc;

    use async_trait::async_trait;
    use networking_kafka::toolkit::KafkaToolkit;
    use networking_spi::Result;
    use networking_spi::kafka::{
        KafkaExtended, KafkaMessage, ProcessedRecord, StreamProcessor, StreamProcessorConfig, StreamState,
    };

    use super::*;

    #[derive(Debug)]
    struct Copy;

    #[async_trait]
    impl StreamProcessor for Copy {
        async fn process(&self, message: KafkaMessage) -> Result<ProcessedRecord> {
            let value = message.value.unwrap_or_default();
            Ok(ProcessedRecord::emit([ProducerRecord::new("").with_value(value)]))
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_stream_copies_a_topic_and_continues_at_its_offset() {
        let brokers = MockBrokers::start(1);
        brokers.create_topic("in", 1);
        brokers.create_topic("out", 1);
        let kafka = client(&brokers).build().expect("valid");
        let toolkit = KafkaToolkit::builder(Arc::new(kafka.clone())).build();
        let producer = kafka.create_producer(ProducerConfig::new()).await.expect("created");
        let reader = kafka
            .create_consumer(from_start("reader", "out"))
            .await
            .expect("created");
        for round in 0..2 {
            for result in kafka
                .produce_messages(&producer, numbered("in", 100))
                .await
                .expect("open")
            {
                result.expect("written");
            }
            let config = StreamProcessorConfig::new("app", ["in"]).with_output_topic("out");
            let id = toolkit
                .create_stream_processor(config, Arc::new(Copy))
                .await
                .expect("valid");
            toolkit.process_kafka_stream(&id).await.expect("started");
            let copied = kafka.consume_exactly(&reader, 100, LONG).await.expect("read");
            let values = copied.iter().map(|message| message.value_str().expect("text"));
            assert!(values.eq((0..100).map(|number| number.to_string())), "round {round}");
            let status = toolkit.stop_stream(&id).await.expect("drained");
            assert_eq!(
                (status.state, status.processed),
                (StreamState::Stopped, 100),
                "round {round}"
            );
        }
    }
}

/// librdkafka blocks about one in 2,500 of these closes forever (confluentinc/librdkafka#4884).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes about four minutes"]
async fn consumers_that_close_during_the_first_assignment_leave() {
    let close = async |round: u64| {
        let brokers = MockBrokers::start(1);
        brokers.create_topic("t", 1);
        let kafka = client(&brokers).build().expect("valid");
        let consumer = kafka.create_consumer(from_start("g", "t")).await.expect("created");
        let until_assigned = Duration::from_micros(48_000 + (round % 97) * 25);
        let options = ConsumeOptions::new().with_max_wait(until_assigned);
        kafka.consume_messages(&consumer, options).await.expect("no failure");
        kafka.close_consumer(&consumer).await.expect("left");
    };
    let mut closes = futures_util::stream::iter(0..24_000).map(close).buffer_unordered(24);
    while closes.next().await.is_some() {}
}
