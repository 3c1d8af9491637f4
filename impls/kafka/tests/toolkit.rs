//! The toolkit over the in-memory cluster and over mocks: tuning, security, diagnostics and schemas.

use std::sync::Arc;
use std::time::Duration;

use networking_kafka::memory::{MemoryCluster, MemoryKafka};
use networking_kafka::toolkit::KafkaToolkit;
use networking_spi::ErrorKind;
use networking_spi::kafka::{
    CommitOffsets, CompatibilityLevel, ConsumerConfig, KafkaClient, KafkaClientExt, KafkaCompression, KafkaExtended,
    KafkaSecurity, MockKafkaClient, NewTopic, OffsetReset, OptimizationGoal, ProducerConfig, ProducerId,
    ProducerRecord, SaslConfig, SaslMechanism, Schema, SchemaType, SchemaVersion,
};

fn toolkit() -> KafkaToolkit {
    KafkaToolkit::builder(Arc::new(MemoryKafka::new())).build()
}

#[tokio::test]
async fn producers_created_after_tuning_are_tuned() {
    let mut inner = MockKafkaClient::new();
    let (seen, mut configs) = tokio::sync::mpsc::unbounded_channel();
    inner.expect_create_producer().returning(move |config| {
        seen.send(config).expect("the test listens");
        Ok(ProducerId::new("p"))
    });
    inner
        .expect_capabilities()
        .return_const(networking_spi::kafka::KafkaCapabilities::all());
    let toolkit = KafkaToolkit::builder(Arc::new(inner)).build();
    let client = toolkit.client();
    client.create_producer(ProducerConfig::new()).await.expect("created");
    assert_eq!(configs.recv().await.expect("made"), ProducerConfig::new(), "untuned");

    let report = toolkit
        .optimize_kafka_performance(OptimizationGoal::Throughput)
        .await
        .expect("supported");
    assert_eq!(report.goal, OptimizationGoal::Throughput);
    let linger = report
        .changes
        .iter()
        .find(|change| change.setting == "producer.linger")
        .expect("changed");
    assert_eq!((linger.from.as_str(), linger.to.as_str()), ("0ns", "20ms"));
    client
        .create_producer(ProducerConfig::new().with_compression(KafkaCompression::Gzip))
        .await
        .expect("created");
    let tuned = configs.recv().await.expect("made");
    assert_eq!(
        (tuned.linger, tuned.compression),
        (Duration::from_millis(20), KafkaCompression::Gzip)
    );

    let again = toolkit
        .optimize_kafka_performance(OptimizationGoal::Throughput)
        .await
        .expect("supported");
    assert!(again.changes.is_empty(), "{:?}", again.changes);
}

#[tokio::test]
async fn security_applies_to_new_connections_and_old_ones_remain() {
    let unsecured = MemoryCluster::new();
    let secured = MemoryCluster::new();
    unsecured
        .client()
        .create_topic(NewTopic::new("t", 1))
        .await
        .expect("new");
    secured.client().create_topic(NewTopic::new("t", 1)).await.expect("new");
    let new_cluster = secured.clone();
    let toolkit = KafkaToolkit::builder(Arc::new(unsecured.client()))
        .client_factory(move |security| {
            assert_eq!(security.sasl.expect("passed on").username, "alice");
            Ok(Arc::new(new_cluster.client()))
        })
        .build();
    assert!(toolkit.extended_capabilities().security);
    let client = toolkit.client();
    let before = client.create_producer(ProducerConfig::new()).await.expect("created");

    let plain = KafkaSecurity::new().with_sasl(SaslConfig::new(SaslMechanism::Plain, "alice", "hunter2"));
    let error = toolkit
        .configure_kafka_security(plain)
        .await
        .expect_err("not without TLS");
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::InvalidInput, Some("sasl.mechanism"))
    );
    assert!(!format!("{error:?}").contains("hunter2"));
    let scram = KafkaSecurity::new().with_sasl(SaslConfig::new(SaslMechanism::ScramSha512, "alice", "hunter2"));
    toolkit.configure_kafka_security(scram).await.expect("valid");

    let after = client.create_producer(ProducerConfig::new()).await.expect("created");
    client
        .produce_message(&before, ProducerRecord::new("t"))
        .await
        .expect("the old producer still works");
    for _ in 0..2 {
        client
            .produce_message(&after, ProducerRecord::new("t"))
            .await
            .expect("the new producer works");
    }
    let written = |metadata: networking_spi::kafka::TopicMetadata| metadata.partitions[0].latest_offset;
    assert_eq!(written(unsecured.client().topic_metadata("t").await.expect("there")), 1);
    assert_eq!(written(secured.client().topic_metadata("t").await.expect("there")), 2);
    let metrics = client.kafka_metrics().await.expect("local");
    assert_eq!((metrics.messages_produced, metrics.producers.len()), (3, 2));
    client.close_producer(&before).await.expect("open");
    assert_eq!(
        client.close_producer(&before).await.expect_err("closed").kind(),
        ErrorKind::NotFound
    );
    assert!(!format!("{toolkit:?}").contains("hunter2"));
}

#[tokio::test]
async fn without_a_factory_security_is_unsupported() {
    let toolkit = toolkit();
    assert!(!toolkit.extended_capabilities().security);
    let error = toolkit
        .configure_kafka_security(KafkaSecurity::new())
        .await
        .expect_err("no factory");
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test(start_paused = true)]
async fn diagnostics_cover_records_and_groups_of_the_toolkit() {
    let toolkit = toolkit();
    let client = toolkit.client();
    client.create_topic(NewTopic::new("t", 2)).await.expect("new");
    let producer = client.create_producer(ProducerConfig::new()).await.expect("created");
    let records = (0..10)
        .map(|_| ProducerRecord::new("t").with_partition(0).with_value("x"))
        .collect();
    client.produce_messages(&producer, records).await.expect("open");
    let config = ConsumerConfig::new("g", ["t"]).with_offset_reset(OffsetReset::Earliest);
    let consumer = client.create_consumer(config).await.expect("created");
    client
        .consume_exactly(&consumer, 4, Duration::from_secs(1))
        .await
        .expect("read");
    client
        .commit_offsets(&consumer, CommitOffsets::Consumed)
        .await
        .expect("committed");
    client.close_consumer(&consumer).await.expect("left");

    let found = toolkit.kafka_diagnostics("t").await.expect("supported");
    assert_eq!(
        found
            .partitions
            .iter()
            .map(|partition| partition.messages)
            .collect::<Vec<_>>(),
        [10, 0]
    );
    assert_eq!(
        found
            .groups
            .iter()
            .map(|group| (group.group.as_str(), group.total()))
            .collect::<Vec<_>>(),
        [("g", 6)]
    );
    let codes = found
        .warnings
        .iter()
        .map(|warning| warning.code.as_str())
        .collect::<Vec<_>>();
    assert!(codes.contains(&"no_consumer"), "{codes:?}");
    assert_eq!(
        toolkit.kafka_diagnostics("missing").await.expect_err("no topic").kind(),
        ErrorKind::NotFound
    );
    assert_eq!(
        toolkit
            .kafka_diagnostics("no spaces")
            .await
            .expect_err("no name")
            .kind(),
        ErrorKind::InvalidInput
    );
}

#[tokio::test]
async fn schemas_are_registered_checked_and_found() {
    let toolkit = toolkit();
    for (schema_type, narrow, wide) in [
        (SchemaType::Avro, r#"{"type":"int"}"#, r#"{"type":"long"}"#),
        #[cfg(feature = "json-schema")]
        (SchemaType::Json, r#"{"type":"integer"}"#, r#"{"type":"number"}"#),
        (
            SchemaType::Protobuf,
            "syntax = \"proto3\"; message A {}",
            "syntax = \"proto3\"; message A {} message B {}",
        ),
    ] {
        let subject = format!("{schema_type}-value");
        let (narrow, wide) = (Schema::new(schema_type, narrow), Schema::new(schema_type, wide));
        let first = toolkit
            .register_schema(&subject, narrow.clone())
            .await
            .expect("the first");
        let second = toolkit
            .register_schema(&subject, wide.clone())
            .await
            .expect("reads the first");
        assert_eq!((first.version, second.version), (1, 2));
        assert_eq!(
            toolkit.schema(&subject, SchemaVersion::Latest).await.expect("there"),
            second
        );
        assert_eq!(
            toolkit.register_schema(&subject, narrow.clone()).await.expect("known"),
            first
        );
        assert!(
            toolkit
                .extended_capabilities()
                .compatibility_types
                .contains(&schema_type)
        );

        let fresh = format!("{schema_type}-other");
        toolkit.register_schema(&fresh, wide).await.expect("the first");
        let report = toolkit
            .check_schema_compatibility(&fresh, narrow.clone())
            .await
            .expect("readable");
        assert_eq!((report.compatible, report.level), (false, CompatibilityLevel::Backward));
        assert_eq!(
            (report.checked_versions.as_slice(), report.problems.is_empty()),
            (&[1][..], false)
        );
        let error = toolkit
            .register_schema(&fresh, narrow)
            .await
            .expect_err("does not read the first");
        assert_eq!(error.kind(), ErrorKind::Incompatible);
        let invalid = Schema::new(schema_type, "{{{");
        let error = toolkit
            .register_schema(&fresh, invalid)
            .await
            .expect_err("cannot be parsed");
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("schema.text"))
        );
    }
    let error = toolkit
        .schema("unknown", SchemaVersion::Latest)
        .await
        .expect_err("no subject");
    assert_eq!(error.kind(), ErrorKind::NotFound);
}
