//! Kafka endpoints over the in-memory cluster.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use networking_impls::bridge::{InProcessBridge, KafkaSink, KafkaSource, MemorySink, MemorySource, kafka_headers};
use networking_impls::kafka::memory::{Fault, FaultPoint, MemoryCluster};
use networking_spi::Retryability;
use networking_spi::backoff::Backoff;
use networking_spi::bridge::{
    BridgeConfig, BridgeId, BridgeMessage, BridgeReceipt, BridgeSource, BridgeState, DeliveryRetry, Disposition,
    HealthState, RouteRule, RoutingConfig,
};
use networking_spi::kafka::{
    ConsumeOptions, ConsumerConfig, KafkaMessage, NewTopic, OffsetReset, ProducerConfig, ProducerRecord,
};
use networking_spi::prelude::*;

const GROUP: &str = "bridges";

async fn cluster(topics: &[(&str, i32)]) -> MemoryCluster {
    let cluster = MemoryCluster::new();
    for (topic, partitions) in topics {
        cluster
            .client()
            .create_topic(NewTopic::new(*topic, *partitions))
            .await
            .unwrap();
    }
    cluster
}

fn to(target: &str) -> BridgeConfig {
    BridgeConfig::new()
        .with_routing(RoutingConfig::new().with_default_target(target))
        .with_retry(DeliveryRetry::new(1, Duration::ZERO, Duration::ZERO))
}

fn source(cluster: &MemoryCluster) -> KafkaSource {
    let config = ConsumerConfig::new(GROUP, ["in"]).with_offset_reset(OffsetReset::Earliest);
    KafkaSource::new(Arc::new(cluster.client()), config).unwrap()
}

async fn write(cluster: &MemoryCluster, records: Vec<ProducerRecord>) {
    let client = cluster.client();
    let producer = client.create_producer(ProducerConfig::new()).await.unwrap();
    for record in records {
        client.produce_message(&producer, record).await.unwrap();
    }
    client.close_producer(&producer).await.unwrap();
}

fn record(value: &str) -> ProducerRecord {
    ProducerRecord::new("in").with_value(value.to_owned())
}

async fn read(cluster: &MemoryCluster, topic: &str, count: usize) -> Vec<KafkaMessage> {
    let client = cluster.client();
    let config = ConsumerConfig::new("reader", [topic]).with_offset_reset(OffsetReset::Earliest);
    let consumer = client.create_consumer(config).await.unwrap();
    let messages = client
        .consume_exactly(&consumer, count, Duration::from_secs(5))
        .await
        .unwrap();
    client.close_consumer(&consumer).await.unwrap();
    messages
}

/// The committed offset of the group in partition 0.
async fn committed(cluster: &MemoryCluster) -> Option<i64> {
    let info = cluster.client().consumer_group_info(GROUP).await.ok()?;
    info.offsets
        .iter()
        .find(|offset| offset.partition.partition == 0)?
        .committed
}

async fn wait_for_commit(cluster: &MemoryCluster, offset: i64) {
    let wait = async {
        while committed(cluster).await != Some(offset) {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(120), wait).await;
    assert!(
        waited.is_ok(),
        "committed {:?}, expected {offset}",
        committed(cluster).await
    );
}

fn transient() -> NetworkError {
    NetworkError::new(ErrorKind::ConnectionClosed, "sink.deliver", "gone")
}

async fn bridged(cluster: &MemoryCluster, source: KafkaSource) -> (InProcessBridge, BridgeId, Arc<MemorySink>) {
    let _ = cluster;
    let bridge = InProcessBridge::new();
    let sink = Arc::new(MemorySink::new());
    let id = bridge
        .create_bridge("b", Arc::new(source), sink.clone(), to("out"))
        .await
        .unwrap();
    (bridge, id, sink)
}

#[tokio::test(start_paused = true)]
async fn a_sink_with_a_longer_limit_than_its_bridge_is_refused() {
    let cluster = cluster(&[("events", 1)]).await;
    let bridge = InProcessBridge::new();
    let create = async |limit: Duration, bridge_limit: Duration| {
        let config = ProducerConfig::new().with_delivery_timeout(limit);
        let sink = KafkaSink::new(Arc::new(cluster.client())).with_producer_config(config);
        let config = to("events").with_delivery_timeout(bridge_limit);
        let source = Arc::new(MemorySource::new(4));
        bridge.create_bridge("b", source, Arc::new(sink), config).await
    };
    let second = Duration::from_secs(1);
    let error = create(second, Duration::from_millis(999)).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::InvalidInput, Some("delivery_timeout"))
    );
    let id = create(second, second).await.unwrap();
    bridge.destroy_bridge(&id).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_message_becomes_a_record() {
    let cluster = cluster(&[("events", 3)]).await;
    let sink = Arc::new(KafkaSink::new(Arc::new(cluster.client())));
    let source = Arc::new(MemorySource::new(4));
    let bridge = InProcessBridge::new();
    let id = bridge
        .create_bridge("b", source.clone(), sink.clone(), to("events"))
        .await
        .unwrap();
    assert_eq!(
        sink.health().await.state,
        HealthState::Unknown,
        "nothing is known about the cluster yet"
    );

    let at = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    let payload: &[u8] = &[0, 159, 146, 150, b'\r', b'\n'];
    let message = BridgeMessage::new("id-1", payload, at)
        .with_key("repo")
        .with_header("X-Trace", "a")
        .with_header("x-trace", "b")
        .with_content_type("application/json")
        .with_origin("/hooks");
    let receipt = source.send_message(message).await.unwrap();

    let records = read(&cluster, "events", 1).await;
    let record = &records[0];
    assert_eq!(record.value.as_deref(), Some(payload));
    assert_eq!(record.key.as_deref(), Some(b"repo".as_slice()));
    assert_eq!(record.timestamp, Some(at));
    let traces: Vec<_> = record
        .headers
        .iter()
        .filter(|(name, _)| *name == "x-trace")
        .map(|(_, value)| value.unwrap().clone())
        .collect();
    assert_eq!(traces, ["a", "b"]);
    assert_eq!(
        record.headers.get_str(kafka_headers::CONTENT_TYPE),
        Some("application/json")
    );
    assert_eq!(record.headers.get_str(kafka_headers::MESSAGE_ID), Some("id-1"));
    assert_eq!(record.headers.get_str(kafka_headers::ORIGIN), Some("/hooks"));
    assert_eq!(
        receipt.position,
        Some(format!("{}@{}", record.partition, record.offset))
    );
    assert_eq!(sink.health().await.state, HealthState::Up);

    bridge.destroy_bridge(&id).await.unwrap();
    assert_eq!(sink.health().await.state, HealthState::Down);
    assert_eq!(cluster.client().kafka_metrics().await.unwrap().producers.len(), 0);
    assert_eq!(sink.start().await.unwrap_err().kind(), ErrorKind::Closed);
}

#[tokio::test(start_paused = true)]
async fn missing_permissions_are_retryable_and_never_acknowledged() {
    let cluster = cluster(&[("events", 1)]).await;
    let sink = Arc::new(KafkaSink::new(Arc::new(cluster.client())));
    let source = Arc::new(MemorySource::new(4));
    let bridge = InProcessBridge::new();
    bridge
        .create_bridge("b", source.clone(), sink.clone(), to("events"))
        .await
        .unwrap();
    cluster.inject(Fault::new(FaultPoint::Produce, ErrorKind::PermissionDenied).times(1));
    let error = source.send("x").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert!(error.retryability().is_retryable());
    source.send("x").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_does_not_exist_rejects_the_message() {
    let cluster = cluster(&[]).await;
    let sink = Arc::new(KafkaSink::new(Arc::new(cluster.client())).with_health_topic("missing"));
    let source = Arc::new(MemorySource::new(4));
    let bridge = InProcessBridge::new();
    bridge
        .create_bridge("b", source.clone(), sink.clone(), to("missing"))
        .await
        .unwrap();
    assert_eq!(source.send("x").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(sink.health().await.state, HealthState::Down);
}

#[tokio::test(start_paused = true)]
async fn a_record_becomes_a_message_and_is_committed_after_the_sink_has_it() {
    let cluster = cluster(&[("in", 1)]).await;
    let first = record("v")
        .with_key("k")
        .with_header("X-Trace", "t")
        .with_header("content-type", "text/plain");
    write(&cluster, vec![first, ProducerRecord::new("in").with_key("gone")]).await;
    let (bridge, id, sink) = bridged(&cluster, source(&cluster)).await;
    wait_for_commit(&cluster, 2).await;

    let messages = sink.messages_for("out");
    let message = &messages[0];
    assert_eq!((message.id.as_str(), message.origin.as_str()), ("in/0@0", "in"));
    assert_eq!(
        (message.payload.as_ref(), message.key.as_deref()),
        (b"v".as_slice(), Some(b"k".as_slice()))
    );
    assert_eq!(message.header("x-trace"), Some("t"));
    assert_eq!(message.content_type.as_deref(), Some("text/plain"));
    assert!(messages[1].payload.is_empty());
    assert_eq!(messages[1].header(kafka_headers::TOMBSTONE), Some(""));

    bridge.destroy_bridge(&id).await.unwrap();
    assert_eq!(
        cluster.client().consumer_group_info(GROUP).await.unwrap().members.len(),
        0,
        "the consumer left the group"
    );
}

#[tokio::test(start_paused = true)]
async fn a_rejected_record_is_redelivered_and_no_later_offset_is_committed() {
    let cluster = cluster(&[("in", 1)]).await;
    write(&cluster, (0..5).map(|n| record(&n.to_string())).collect()).await;
    let source = source(&cluster)
        .with_redelivery(DeliveryRetry::default().with_backoff(Backoff::fixed(Duration::from_secs(60))))
        .unwrap();
    let bridge = InProcessBridge::new();
    let sink = Arc::new(MemorySink::new());
    sink.fail_next(transient());
    bridge
        .create_bridge("b", Arc::new(source), sink.clone(), to("out"))
        .await
        .unwrap();
    // The other records are delivered before the rejected one, which waits for a minute.
    while sink.messages().len() < 4 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    let delivered: Vec<_> = sink
        .messages()
        .iter()
        .map(|sent| sent.message.payload.clone())
        .collect();
    assert_eq!(delivered.len(), 4);
    let missing: i64 = (0..5)
        .find(|n| !delivered.iter().any(|payload| payload == n.to_string().as_bytes()))
        .unwrap();
    assert_eq!(committed(&cluster).await.unwrap_or(0), missing);
    wait_for_commit(&cluster, 5).await;
    assert_eq!(sink.messages().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_rejection_may_ask_for_any_delay() {
    let cluster = cluster(&[("in", 1)]).await;
    write(&cluster, vec![record("0")]).await;
    let redelivery = DeliveryRetry::default().with_backoff(Backoff::new(Duration::from_millis(1), Duration::MAX));
    let source = source(&cluster).with_redelivery(redelivery).unwrap();
    source.start().await.unwrap();
    let rejected = source.receive().await.unwrap().unwrap();
    rejected.reject(transient().with_retryability(Retryability::After(Duration::MAX)));
    write(&cluster, vec![record("1")]).await;
    let next = source.receive().await.unwrap().unwrap();
    assert_eq!(next.message().unwrap().payload, "1", "the source continues");
    drop(next);
    source.stop().await.unwrap();
    assert!(source.receive().await.unwrap().is_none());
    assert_eq!(committed(&cluster).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_window_of_one_keeps_the_order_through_rejections() {
    let cluster = cluster(&[("in", 1)]).await;
    write(&cluster, (0..5).map(|n| record(&n.to_string())).collect()).await;
    let bridge = InProcessBridge::new();
    let sink = Arc::new(MemorySink::new());
    for _ in 0..3 {
        sink.fail_next(transient());
    }
    let source = source(&cluster).with_window(1).unwrap();
    bridge
        .create_bridge("b", Arc::new(source), sink.clone(), to("out"))
        .await
        .unwrap();
    wait_for_commit(&cluster, 5).await;
    let delivered: Vec<_> = sink
        .messages()
        .iter()
        .map(|sent| sent.message.payload.clone())
        .collect();
    assert_eq!(delivered, ["0", "1", "2", "3", "4"]);
}

#[tokio::test(start_paused = true)]
async fn a_poison_record_without_dead_letters_fails_the_bridge_and_is_not_committed() {
    let cluster = cluster(&[("in", 1)]).await;
    write(&cluster, vec![record("0"), record("poison"), record("2")]).await;
    let routing = RoutingConfig::new().with_rule(RouteRule::to("numbers", "payload != null", "out"));
    let config = BridgeConfig::new().with_routing(routing);
    let bridge = InProcessBridge::new();
    let sink = Arc::new(MemorySink::new());
    let source = Arc::new(source(&cluster));
    let id = bridge
        .create_bridge("b", source, sink.clone(), config.clone())
        .await
        .unwrap();
    while bridge.bridge_status(&id).await.unwrap().state != BridgeState::Failed {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let status = bridge.bridge_status(&id).await.unwrap();
    assert!(status.last_error.clone().unwrap().contains("in[0]@1"), "{status:?}");
    wait_for_commit(&cluster, 1).await;
    bridge.destroy_bridge(&id).await.unwrap();

    // With a dead-letter target, the next bridge dead-letters the record and continues.
    let config = config.with_dead_letter_target("dead");
    bridge
        .create_bridge(
            "b",
            Arc::new(self::source(&cluster)),
            Arc::new(MemorySink::new()),
            config,
        )
        .await
        .unwrap();
    wait_for_commit(&cluster, 3).await;
}

#[tokio::test(start_paused = true)]
async fn destroying_a_bridge_commits_the_delivered_records_and_loses_no_other() {
    let cluster = cluster(&[("in", 1)]).await;
    write(&cluster, (0..200).map(|n| record(&n.to_string())).collect()).await;
    let (bridge, id, sink) = bridged(&cluster, source(&cluster)).await;
    while sink.messages().is_empty() {
        tokio::task::yield_now().await;
    }
    bridge.destroy_bridge(&id).await.unwrap();
    let before = sink.messages().len();
    assert_eq!(
        committed(&cluster).await,
        i64::try_from(before).ok(),
        "exactly the delivered records are committed"
    );
    let (_bridge, _, rest) = bridged(&cluster, source(&cluster)).await;
    wait_for_commit(&cluster, 200).await;
    assert_eq!(before + rest.messages().len(), 200);
}

#[tokio::test(start_paused = true)]
async fn failures_to_consume_and_to_commit_are_retried() {
    let cluster = cluster(&[("in", 1)]).await;
    write(&cluster, vec![record("0"), record("1")]).await;
    cluster.inject(Fault::new(FaultPoint::Consume, ErrorKind::ConnectionClosed).times(2));
    cluster.inject(Fault::new(FaultPoint::Commit, ErrorKind::Timeout).times(2));
    let (bridge, id, sink) = bridged(&cluster, source(&cluster)).await;
    wait_for_commit(&cluster, 2).await;
    assert_eq!(sink.messages().len(), 2);
    let health = bridge.monitor_bridge_health(&id).await.unwrap();
    assert_eq!(health.source.state, HealthState::Up, "{health:?}");
}

/// The values that the sink has, as numbers.
fn numbers(sink: &MemorySink) -> Vec<i64> {
    let payloads = sink.messages();
    let text = payloads
        .iter()
        .map(|sent| std::str::from_utf8(&sent.message.payload).unwrap().parse());
    text.collect::<Result<_, _>>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_refused_commit_loses_no_record_of_a_kept_partition() {
    for retryability in [Retryability::Now, Retryability::Never] {
        for (window, refused) in [(1, 1), (1, 2), (1, 20), (64, 2), (64, 7)] {
            let cluster = cluster(&[("in", 1)]).await;
            write(&cluster, (0..10).map(|n| record(&n.to_string())).collect()).await;
            let fault = Fault::new(FaultPoint::Commit, ErrorKind::Conflict).times(refused);
            cluster.inject(fault.with_retryability(retryability));
            let source = source(&cluster).with_window(window).unwrap();
            let (bridge, id, sink) = bridged(&cluster, source).await;
            wait_for_commit(&cluster, 10).await;
            write(&cluster, vec![record("10")]).await;
            wait_for_commit(&cluster, 11).await;
            assert_eq!(
                numbers(&sink),
                (0..11).collect::<Vec<_>>(),
                "window {window}, {refused} refused"
            );
            let health = bridge.monitor_bridge_health(&id).await.unwrap();
            assert_eq!(health.source.state, HealthState::Up, "{health:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_commit_is_done_again_if_the_group_rebalances() {
    let cluster = cluster(&[("in", 1)]).await;
    write(&cluster, (0..10).map(|n| record(&n.to_string())).collect()).await;
    cluster.inject(Fault::new(FaultPoint::Commit, ErrorKind::Conflict).times(4));
    let (bridge, id, sink) = bridged(&cluster, source(&cluster)).await;
    while sink.messages().len() < 10 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    bridge.destroy_bridge(&id).await.unwrap();
    wait_for_commit(&cluster, 10).await;
}

#[tokio::test(start_paused = true)]
async fn members_that_join_and_leave_under_load_lose_no_record() {
    const PARTITIONS: i32 = 6;
    for seed in 0..20 {
        fastrand::seed(seed);
        let cluster = cluster(&[("in", PARTITIONS)]).await;
        let client = cluster.client();
        let producer = client.create_producer(ProducerConfig::new()).await.unwrap();
        let mut sinks = Vec::new();
        let mut bridges = Vec::new();
        let mut written = 0_i64;
        for _ in 0..40 {
            for _ in 0..fastrand::usize(0..60) {
                let record = record(&written.to_string()).with_partition(fastrand::i32(0..PARTITIONS));
                client.produce_message(&producer, record).await.unwrap();
                written += 1;
            }
            match fastrand::usize(..6) {
                0 | 1 if bridges.len() < 4 => {
                    let window = fastrand::usize(1..=8);
                    let (bridge, id, sink) = bridged(&cluster, source(&cluster).with_window(window).unwrap()).await;
                    sinks.push(sink);
                    bridges.push((bridge, id));
                }
                2 if !bridges.is_empty() => {
                    let (bridge, id) = bridges.swap_remove(fastrand::usize(..bridges.len()));
                    bridge.destroy_bridge(&id).await.unwrap();
                }
                3 => cluster.inject(Fault::new(FaultPoint::Commit, ErrorKind::Conflict).times(fastrand::usize(1..5))),
                4 => {
                    // A member that reads, commits nothing and leaves.
                    let config = ConsumerConfig::new(GROUP, ["in"]).with_offset_reset(OffsetReset::Earliest);
                    let guest = client.create_consumer(config).await.unwrap();
                    let options = ConsumeOptions::new().with_max_wait(Duration::from_millis(fastrand::u64(..30)));
                    for _ in 0..3 {
                        client.consume_messages(&guest, options).await.unwrap();
                    }
                    client.close_consumer(&guest).await.unwrap();
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(..40))).await;
        }
        let (bridge, _, sink) = bridged(&cluster, source(&cluster)).await;
        sinks.push(sink);
        let lag = async || {
            client
                .consumer_group_info(GROUP)
                .await
                .unwrap()
                .offsets
                .iter()
                .filter_map(|of| of.lag)
                .sum::<i64>()
        };
        let all_committed = async {
            while lag().await > 0 || client.consumer_group_info(GROUP).await.unwrap().offsets.len() < 6 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(300), all_committed)
            .await
            .expect("all records are committed");
        drop((bridge, bridges));
        let delivered: HashSet<i64> = sinks.iter().flat_map(|sink| numbers(sink)).collect();
        let lost: Vec<i64> = (0..written).filter(|number| !delivered.contains(number)).collect();
        assert!(lost.is_empty(), "seed {seed}: lost {lost:?} of {written}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_source_stays_in_its_group() {
    let cluster = cluster(&[("in", 1)]).await;
    write(&cluster, (0..600).map(|n| record(&n.to_string())).collect()).await;
    let source = source(&cluster);
    source.start().await.unwrap();
    // The default `max_poll_interval` is 5 minutes.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
    let client = cluster.client();
    let guest = client
        .create_consumer(ConsumerConfig::new(GROUP, ["in"]))
        .await
        .unwrap();
    assert!(client.consumer_assignment(&guest).await.unwrap().is_empty());
    client.close_consumer(&guest).await.unwrap();
    for expected in 0..600 {
        let delivery = source.receive().await.unwrap().unwrap();
        assert_eq!(delivery.message().unwrap().payload, expected.to_string().as_bytes());
        delivery.acknowledge(BridgeReceipt::new("id", Disposition::Delivered, "out"));
    }
    wait_for_commit(&cluster, 600).await;
}

#[tokio::test(start_paused = true)]
async fn a_topic_that_is_created_again_is_delivered_from_its_first_record() {
    for reset in [OffsetReset::Earliest, OffsetReset::Latest] {
        let cluster = cluster(&[("in", 1)]).await;
        let config = ConsumerConfig::new(GROUP, ["in"]).with_offset_reset(reset);
        let source = KafkaSource::new(Arc::new(cluster.client()), config).unwrap();
        let (bridge, id, sink) = bridged(&cluster, source).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        write(&cluster, (0..5).map(|n| record(&n.to_string())).collect()).await;
        wait_for_commit(&cluster, 5).await;
        let client = cluster.client();
        client.delete_topic("in").await.unwrap();
        tokio::time::sleep(Duration::from_secs(10)).await;
        let health = bridge.monitor_bridge_health(&id).await.unwrap();
        assert_eq!(health.source.state, HealthState::Degraded, "{health:?}");
        client.create_topic(NewTopic::new("in", 1)).await.unwrap();
        write(&cluster, (5..13).map(|n| record(&n.to_string())).collect()).await;
        wait_for_commit(&cluster, 8).await;
        assert_eq!(numbers(&sink), (0..13).collect::<Vec<_>>(), "{reset}");
    }
}

#[tokio::test(start_paused = true)]
async fn two_bridges_of_a_group_share_the_partitions_and_one_takes_over_those_of_the_other() {
    let cluster = cluster(&[("in", 4)]).await;
    let (first, id, one) = bridged(&cluster, source(&cluster)).await;
    let (_second, _, two) = bridged(&cluster, source(&cluster)).await;
    write(
        &cluster,
        (0..100).map(|n| record("x").with_key(format!("key-{n}"))).collect(),
    )
    .await;
    let all = || one.messages().len() + two.messages().len();
    while all() < 100 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    first.destroy_bridge(&id).await.unwrap();
    write(
        &cluster,
        (0..100).map(|n| record("y").with_key(format!("key-{n}"))).collect(),
    )
    .await;
    while all() < 200 {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(!two.messages().is_empty());
}

#[tokio::test(start_paused = true)]
async fn kafka_to_kafka_keeps_tombstones_and_ids() {
    let cluster = cluster(&[("in", 1), ("out", 1)]).await;
    write(&cluster, vec![ProducerRecord::new("in").with_key("k"), record("")]).await;
    let bridge = InProcessBridge::new();
    let sink = Arc::new(KafkaSink::new(Arc::new(cluster.client())));
    bridge
        .create_bridge("b", Arc::new(source(&cluster)), sink, to("out"))
        .await
        .unwrap();
    wait_for_commit(&cluster, 2).await;
    let mut records = read(&cluster, "out", 2).await;
    records.sort_by_key(|record| record.headers.get_str(kafka_headers::MESSAGE_ID).map(str::to_owned));
    assert_eq!(records[0].value, None);
    assert_eq!(records[1].value.as_deref(), Some(b"".as_slice()));
    assert_eq!(records[0].headers.get_str(kafka_headers::ORIGIN), Some("in"));
}

#[tokio::test(start_paused = true)]
async fn wrong_settings_name_their_field() {
    let cluster = cluster(&[]).await;
    let no_topics: [&str; 0] = [];
    let source = |config| KafkaSource::new(Arc::new(cluster.client()), config);
    let error = source(ConsumerConfig::new(GROUP, no_topics)).unwrap_err();
    assert_eq!(error.field(), Some("consumer.topics"));
    let good = || source(ConsumerConfig::new(GROUP, ["in"])).unwrap();
    assert_eq!(good().with_window(0).unwrap_err().field(), Some("window"));
    assert_eq!(good().with_window(10_000).unwrap_err().field(), Some("window"));
    let never = DeliveryRetry::new(0, Duration::ZERO, Duration::ZERO);
    assert_eq!(
        good().with_redelivery(never).unwrap_err().field(),
        Some("redelivery.max_attempts")
    );
    let stopped = good();
    stopped.stop().await.unwrap();
    assert_eq!(stopped.start().await.unwrap_err().kind(), ErrorKind::Closed);
    assert!(stopped.receive().await.unwrap().is_none());
}
