//! Values of the Kafka contract: validation, serialization, and redaction.

use std::fmt::{Debug, Display};
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use networking_spi::kafka::{
    Acks, CommitOffsets, CompatibilityLevel, ConfigChange, ConfigEntry, ConfigSource, ConsumeOptions, ConsumerConfig,
    ConsumerGroupInfo, DeliveryGuarantee, GroupKind, GroupOffset, GroupState, IsolationLevel, KafkaCompression,
    KafkaHeaders, KafkaMessage, KafkaSecurity, NewTopic, OffsetReset, OffsetTarget, OptimizationGoal, PartitionOffset,
    PoisonPolicy, ProducerConfig, ProducerRecord, SaslConfig, SaslMechanism, Schema, SchemaType, StreamProcessorConfig,
    StreamState, TlsConfig, TopicPartition, validate_changes, validate_reset, validate_topic_name,
};
use networking_spi::secret::Secret;
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError};
use serde::Serialize;
use serde::de::DeserializeOwned;

#[track_caller]
fn refuses(value: &(impl Validate + Debug), field: &str) {
    let error = value.validate().expect_err(field);
    assert_eq!(
        (error.kind(), error.field()),
        (ErrorKind::InvalidInput, Some(field)),
        "{value:?}"
    );
}

#[track_caller]
fn survives_json<T: Serialize + DeserializeOwned + PartialEq + Debug>(value: &T) {
    let json = serde_json::to_string(value).unwrap();
    assert_eq!(&serde_json::from_str::<T>(&json).unwrap(), value, "{json}");
}

mod checks {
    use super::*;

    #[test]
    fn topic_names_follow_kafkas_rule() {
        for good in ["a", "orders.v1_2-x", &"x".repeat(249), "..."] {
            validate_topic_name(good, "topic").unwrap_or_else(|error| panic!("{good}: {error}"));
        }
        for bad in ["", ".", "..", "a b", "a/b", "ä", "a\n", &"x".repeat(250)] {
            let error = validate_topic_name(bad, "somewhere").expect_err(bad);
            assert_eq!(error.field(), Some("somewhere"));
        }
    }

    #[test]
    fn records() {
        ProducerRecord::new("t")
            .with_partition(0)
            .with_timestamp(UNIX_EPOCH)
            .validate()
            .unwrap();
        refuses(&ProducerRecord::new(""), "topic");
        refuses(&ProducerRecord::new("t").with_partition(-1), "partition");
        refuses(
            &ProducerRecord::new("t").with_timestamp(UNIX_EPOCH - Duration::from_millis(1)),
            "timestamp",
        );
    }

    #[test]
    fn new_topics() {
        NewTopic::new("t", 1).with_replication_factor(1).validate().unwrap();
        NewTopic::new("t", 10_000).validate().unwrap();
        refuses(&NewTopic::new("t t", 1), "name");
        refuses(&NewTopic::new("t", 0), "partitions");
        refuses(&NewTopic::new("t", 10_001), "partitions");
        refuses(&NewTopic::new("t", 1).with_replication_factor(0), "replication_factor");
    }

    #[test]
    fn producers() {
        ProducerConfig::new().validate().unwrap();
        ProducerConfig::new()
            .with_acks(Acks::None)
            .validate()
            .expect("idempotence was not asked for");
        refuses(
            &ProducerConfig::new().with_acks(Acks::None).with_idempotent(true),
            "idempotent",
        );
        refuses(&ProducerConfig::new().with_client_id("a\nb"), "client_id");
        refuses(&ProducerConfig::new().with_max_message_size(0), "max_message_size");
        refuses(&ProducerConfig::new().with_queue_size(0), "queue_size");
        refuses(
            &ProducerConfig::new().with_delivery_timeout(Duration::ZERO),
            "delivery_timeout",
        );
        refuses(&ProducerConfig::new().with_linger(Duration::from_secs(30)), "linger");
        let mut config = ProducerConfig::new();
        config.batch_size = 0;
        refuses(&config, "batch_size");
    }

    #[test]
    fn consumers() {
        let config = || ConsumerConfig::new("g", ["t"]);
        config().validate().unwrap();
        refuses(&ConsumerConfig::new(" ", ["t"]), "group");
        refuses(&ConsumerConfig::new("g", Vec::<String>::new()), "topics");
        refuses(&ConsumerConfig::new("g", ["t", "?"]), "topics");
        refuses(&config().with_client_id(""), "client_id");
        refuses(&config().with_group_instance_id("x".repeat(250)), "group_instance_id");
        refuses(&config().with_session_timeout(Duration::ZERO), "session_timeout");
        refuses(
            &config().with_max_poll_interval(Duration::from_secs(44)),
            "max_poll_interval",
        );
        refuses(&ConsumeOptions::new().with_max_messages(0), "max_messages");
    }

    #[test]
    fn security() {
        KafkaSecurity::new().validate().unwrap();
        let plain = SaslConfig::new(SaslMechanism::Plain, "bob", "pw");
        refuses(&KafkaSecurity::new().with_sasl(plain.clone()), "sasl.mechanism");
        let encrypted = KafkaSecurity::new().with_tls(TlsConfig::default()).with_sasl(plain);
        encrypted.validate().unwrap();
        assert_eq!(encrypted.protocol(), "SASL_SSL");
        let scram = |user: &str, password: &str| {
            KafkaSecurity::new().with_sasl(SaslConfig::new(SaslMechanism::ScramSha512, user, password))
        };
        scram("bob", "pw").validate().unwrap();
        refuses(&scram("", "pw"), "sasl.username");
        refuses(&scram("bob", ""), "sasl.password");
        let mut half = TlsConfig::default();
        half.certificate_pem = Some("certificate".to_owned());
        refuses(&KafkaSecurity::new().with_tls(half), "tls.key_pem");
    }

    #[test]
    fn streams_and_schemas() {
        let config = || StreamProcessorConfig::new("app", ["in"]);
        config().with_output_topic("out").validate().unwrap();
        refuses(&StreamProcessorConfig::new("", ["in"]), "application_id");
        refuses(&StreamProcessorConfig::new("app", Vec::<String>::new()), "input_topics");
        refuses(&config().with_output_topic("in"), "output_topic");
        refuses(
            &config().with_on_poison(PoisonPolicy::DeadLetter { topic: "in".to_owned() }),
            "on_poison.topic",
        );
        refuses(&config().with_attempts(0, Duration::ZERO), "max_attempts");
        let long = config().with_attempts(2, Duration::from_secs(90));
        assert_eq!(
            long.backoff.initial,
            Duration::from_secs(60),
            "the longest wait is a minute"
        );
        long.validate().unwrap();
        refuses(
            &config().with_backoff(long.backoff.with_multiplier(0.5)),
            "backoff.multiplier",
        );
        refuses(&Schema::new(SchemaType::Avro, " "), "schema.text");
    }
}

mod names {
    use super::*;

    /// Every value parses from its name, as text and as JSON. Other names are errors.
    fn round_trip<T>(all: &[T])
    where
        T: Copy + Debug + Display + PartialEq + FromStr<Err = NetworkError> + Serialize + DeserializeOwned,
    {
        assert!(!all.is_empty());
        for value in all {
            let name = value.to_string();
            assert_eq!(&name.parse::<T>().unwrap(), value);
            assert_eq!(serde_json::to_string(value).unwrap(), format!("{name:?}"));
            survives_json(value);
        }
        let error = "no such value".parse::<T>().expect_err("unknown names are errors");
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        assert!(
            error.message().contains(&all[0].to_string()),
            "the error lists the known names: {error}"
        );
        serde_json::from_str::<T>("\"no such value\"").expect_err("unknown names are errors in JSON, too");
        serde_json::from_str::<T>("\"\"").expect_err("there is no silent default");
    }

    #[test]
    fn each_enum_has_its_names() {
        round_trip(Acks::ALL);
        round_trip(CompatibilityLevel::ALL);
        round_trip(ConfigSource::ALL);
        round_trip(DeliveryGuarantee::ALL);
        round_trip(GroupKind::ALL);
        round_trip(GroupState::ALL);
        round_trip(IsolationLevel::ALL);
        round_trip(KafkaCompression::ALL);
        round_trip(OffsetReset::ALL);
        round_trip(OptimizationGoal::ALL);
        round_trip(SaslMechanism::ALL);
        round_trip(SchemaType::ALL);
        round_trip(StreamState::ALL);
    }

    #[test]
    fn some_names_are_kafkas_own() {
        assert_eq!(SaslMechanism::ScramSha512.as_str(), "SCRAM-SHA-512");
        assert_eq!(SchemaType::Avro.as_str(), "AVRO");
        assert_eq!(CompatibilityLevel::FullTransitive.as_str(), "FULL_TRANSITIVE");
    }
}

mod json {
    use super::*;

    #[test]
    fn configurations_survive() {
        survives_json(
            &ProducerConfig::new()
                .with_client_id("c")
                .with_acks(Acks::Leader)
                .with_compression(KafkaCompression::Zstd)
                .with_linger(Duration::from_millis(5))
                .with_backend_setting("a", "b"),
        );
        survives_json(
            &ConsumerConfig::new("g", ["t"])
                .with_group_instance_id("i")
                .with_offset_reset(OffsetReset::Fail)
                .with_isolation_level(IsolationLevel::ReadUncommitted),
        );
        survives_json(
            &ConsumeOptions::new()
                .with_max_messages(7)
                .with_max_wait(Duration::from_millis(1500)),
        );
        survives_json(
            &NewTopic::new("t", 3)
                .with_replication_factor(2)
                .with_config("retention.ms", "1"),
        );
        let stream = StreamProcessorConfig::new("app", ["in"]).with_guarantee(DeliveryGuarantee::ExactlyOnce);
        survives_json(&stream.with_attempts(5, Duration::from_millis(20)));
        for policy in [
            PoisonPolicy::Fail,
            PoisonPolicy::Skip,
            PoisonPolicy::DeadLetter { topic: "d".to_owned() },
        ] {
            survives_json(&policy);
        }
        let sasl = SaslConfig::new(SaslMechanism::OAuthBearer, "bob", "token");
        survives_json(&KafkaSecurity::new().with_tls(TlsConfig::default()).with_sasl(sasl));
        let offsets = vec![GroupOffset::new(TopicPartition::new("t", 0), Some(1), 3)];
        survives_json(&ConsumerGroupInfo::new("g", GroupState::Stable, Vec::new(), offsets));
    }

    #[test]
    fn what_is_not_given_is_the_default() {
        assert_eq!(
            serde_json::from_str::<ProducerConfig>("{}").unwrap(),
            ProducerConfig::new()
        );
        assert_eq!(
            serde_json::from_str::<ConsumeOptions>("{}").unwrap(),
            ConsumeOptions::new()
        );
        let consumer: ConsumerConfig = serde_json::from_str(r#"{"group": "g", "topics": ["t"]}"#).unwrap();
        assert_eq!(consumer, ConsumerConfig::new("g", ["t"]));
        serde_json::from_str::<ConsumerConfig>(r#"{"topics": ["t"]}"#).expect_err("a group is required");
        let stream = r#"{"application_id": "app", "input_topics": ["in"], "backoff": {"initial": "20ms"}}"#;
        let stream: StreamProcessorConfig = serde_json::from_str(stream).unwrap();
        assert_eq!(
            stream,
            StreamProcessorConfig::new("app", ["in"]).with_attempts(3, Duration::from_millis(20))
        );
    }

    #[test]
    fn durations_are_for_people() {
        let options: ConsumeOptions = serde_json::from_str(r#"{"max_wait": "1m 30s"}"#).unwrap();
        assert_eq!(options.max_wait, Duration::from_secs(90));
        serde_json::from_str::<ConsumeOptions>(r#"{"max_wait": "soon"}"#).unwrap_err();
    }
}

mod debug {
    use super::*;

    #[test]
    fn shows_sizes_instead_of_payloads() {
        let record = ProducerRecord::new("t")
            .with_key("the-key")
            .with_value("the-value")
            .with_header("the-name", "the-text");
        let mut message = KafkaMessage::new("t", 1, 2);
        message.key = Some(Bytes::from_static(b"the-key"));
        message.value = Some(Bytes::from_static(b"the-value"));
        message.headers.push("the-name", Some(Bytes::from_static(b"the-text")));
        for shown in [format!("{record:?}"), format!("{message:#?}")] {
            assert!(!shown.contains("the-"), "{shown}");
            assert!(
                shown.contains("key_bytes: Some(") && shown.contains("headers: 1"),
                "{shown}"
            );
        }
    }

    #[test]
    fn shows_no_secret() {
        let mut tls = TlsConfig::default();
        tls.key_pem = Some(Secret::new("hunter2"));
        let security =
            KafkaSecurity::new()
                .with_tls(tls)
                .with_sasl(SaslConfig::new(SaslMechanism::Plain, "bob", "hunter2"));
        let shown = format!("{security:?} {security:#?}");
        assert!(!shown.contains("hunter2"), "{shown}");
        assert!(shown.contains("bob") && shown.contains("[redacted]"), "{shown}");
    }
}

mod values {
    use super::*;

    #[test]
    fn headers_keep_order_and_repetition() {
        let mut headers = KafkaHeaders::new();
        headers.push("a", Some(Bytes::from_static(b"1")));
        headers.push("b", None);
        headers.push("a", Some(Bytes::from_static(&[0xff])));
        assert_eq!(headers.len(), 3);
        assert_eq!(
            headers.iter().map(|(name, _)| name).collect::<Vec<_>>(),
            ["a", "b", "a"]
        );
        assert_eq!(
            headers.get("a"),
            Some(&Bytes::from_static(&[0xff])),
            "the last value of a repeated name"
        );
        assert_eq!(headers.get_str("a"), None, "not UTF-8");
        assert_eq!(headers.get("b"), None);
        let collected: KafkaHeaders = [("a", "1"), ("a", "2")].into_iter().collect();
        assert_eq!(collected.get_str("a"), Some("2"));
    }

    #[test]
    fn the_size_of_a_record_is_key_value_and_headers() {
        assert_eq!(ProducerRecord::new("topic").size(), 0);
        let mut record = ProducerRecord::new("topic")
            .with_key("ab")
            .with_value("cde")
            .with_header("f", "gh");
        record.headers.push("ij", None);
        assert_eq!(record.size(), 2 + 3 + 3 + 2);
    }

    #[test]
    fn commits_are_the_highest_next_offsets() {
        let messages = [
            KafkaMessage::new("t", 0, 4),
            KafkaMessage::new("t", 1, 0),
            KafkaMessage::new("t", 0, 3),
        ];
        let expected = vec![
            PartitionOffset::new(TopicPartition::new("t", 0), 5),
            PartitionOffset::new(TopicPartition::new("t", 1), 1),
        ];
        assert_eq!(CommitOffsets::of(&messages), CommitOffsets::Exact(expected));
        assert_eq!(CommitOffsets::of(&[]), CommitOffsets::Exact(Vec::new()));
    }

    #[test]
    fn lag_is_never_negative() {
        let partition = || TopicPartition::new("t", 0);
        assert_eq!(GroupOffset::new(partition(), Some(3), 10).lag, Some(7));
        assert_eq!(GroupOffset::new(partition(), Some(12), 10).lag, Some(0));
        assert_eq!(GroupOffset::new(partition(), None, 10).lag, None);
        let offsets = vec![
            GroupOffset::new(partition(), Some(3), 10),
            GroupOffset::new(partition(), None, 10),
        ];
        assert_eq!(
            ConsumerGroupInfo::new("g", GroupState::Empty, Vec::new(), offsets).total_lag(),
            7
        );
    }

    #[test]
    fn a_message_with_a_timestamp_is_equal_to_itself_only() {
        let mut message = KafkaMessage::new("t", 0, 1);
        let before = message.clone();
        message.timestamp = Some(SystemTime::UNIX_EPOCH);
        assert_ne!(before, message);
        assert_eq!(message.next_offset(), 2);
        assert_eq!(message.topic_partition().to_string(), "t[0]");
    }
}

mod administration {
    use super::*;

    #[test]
    fn changes_are_checked() {
        let set = || ConfigChange::set("retention.ms", "1");
        validate_changes(&[set(), ConfigChange::delete("segment.ms")]).unwrap();
        for (changes, field) in [
            (vec![], "changes"),
            (vec![ConfigChange::set(" ", "1")], "changes"),
            (
                vec![set(), ConfigChange::delete("retention.ms")],
                "changes.retention.ms",
            ),
        ] {
            let error = validate_changes(&changes).expect_err(field);
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
        }
    }

    #[test]
    fn a_reset_is_checked() {
        let one = || vec![TopicPartition::new("t", 0)];
        validate_reset("g", &one(), OffsetTarget::Offset(0)).unwrap();
        for (group, partitions, target, field) in [
            ("", one(), OffsetTarget::Earliest, "group"),
            ("g", vec![], OffsetTarget::Earliest, "partitions"),
            ("g", [one(), one()].concat(), OffsetTarget::Latest, "partitions"),
            (
                "g",
                vec![TopicPartition::new("", 0)],
                OffsetTarget::Latest,
                "partitions",
            ),
            ("g", one(), OffsetTarget::Offset(-1), "target"),
        ] {
            let error = validate_reset(group, &partitions, target).expect_err(field);
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
        }
    }

    #[test]
    fn changes_do_not_show_their_values() {
        let shown = format!("{:?}", ConfigChange::set("ssl.keystore.password", "hunter2"));
        assert!(
            shown.contains("ssl.keystore.password") && !shown.contains("hunter2"),
            "{shown}"
        );
        let secret = ConfigEntry::new("ssl.key.password", Some("hunter2".to_owned())).into_sensitive();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
