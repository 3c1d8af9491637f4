//! Converts the configuration of clients, producers and consumers to librdkafka properties.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use networking_spi::error::ResultExt;
use networking_spi::kafka::{
    Acks, ConsumerConfig, IsolationLevel, KafkaAdminCapabilities, KafkaCapabilities, KafkaCompression, KafkaSecurity,
    OffsetReset, ProducerConfig,
};
use networking_spi::redact::{REDACTED, is_secret_name};
use networking_spi::validate::Validate;
use networking_spi::{NetworkError, Result};
use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

/// Properties that cannot be set, because the behaviour of the client depends on them; each with the reason.
const RESERVED: &[(&str, &str)] = &[
    ("enable.auto.commit", "offsets are committed only by commit_offsets"),
    (
        "enable.auto.offset.store",
        "offsets are committed only by commit_offsets",
    ),
    (
        "enable.partition.eof",
        "the client does not report the end of a partition",
    ),
    ("transactional.id", "create the producer with KafkaTransactions"),
    ("group.id", "set ConsumerConfig::group"),
];

/// Bounds of `socket.timeout.ms`. It must exceed the time that a fetch waits at the broker for new records.
const MIN_SOCKET_TIMEOUT: Duration = Duration::from_secs(2);
const MAX_SOCKET_TIMEOUT: Duration = Duration::from_secs(300);

/// Bounds of `socket.connection.setup.timeout.ms`.
const MIN_SETUP_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_SETUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long librdkafka waits before it fetches again after its queue was full. With its default of a second, a fast consumer
/// empties the queue and then waits.
const FETCH_QUEUE_BACKOFF_MS: &str = "20";

/// The settings of all connections of a client.
#[derive(Clone)]
pub(super) struct ConnectionSettings {
    pub(super) bootstrap_servers: String,
    pub(super) client_id: String,
    pub(super) security: KafkaSecurity,
    pub(super) request_timeout: Duration,
    pub(super) common: BTreeMap<String, String>,
    pub(super) producer: BTreeMap<String, String>,
    pub(super) consumer: BTreeMap<String, String>,
    pub(super) capabilities: KafkaCapabilities,
    pub(super) admin_capabilities: KafkaAdminCapabilities,
}

impl fmt::Debug for ConnectionSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionSettings")
            .field("bootstrap_servers", &self.bootstrap_servers)
            .field("client_id", &self.client_id)
            .field("security", &self.security)
            .field("request_timeout", &self.request_timeout)
            .field("common", &Redacted(&self.common))
            .field("producer", &Redacted(&self.producer))
            .field("consumer", &Redacted(&self.consumer))
            .field("capabilities", &self.capabilities)
            .field("admin_capabilities", &self.admin_capabilities)
            .finish()
    }
}

struct Redacted<'a>(&'a BTreeMap<String, String>);

impl fmt::Debug for Redacted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map()
            .entries(
                self.0
                    .iter()
                    .map(|(name, value)| (name, if is_secret_setting(name) { REDACTED } else { value })),
            )
            .finish()
    }
}

/// Also covers names that `is_secret_name` does not recognize, such as `ssl.key.pem`.
fn is_secret_setting(name: &str) -> bool {
    is_secret_name(name) || name.contains("key.pem") || name.contains("jaas")
}

impl ConnectionSettings {
    /// Checks the settings without connecting.
    pub(super) fn validate(&self) -> Result<()> {
        self.security.validate().in_field("security")?;
        check_features(&self.security)?;
        for (map, field) in [
            (&self.common, "setting"),
            (&self.producer, "producer_setting"),
            (&self.consumer, "consumer_setting"),
        ] {
            check_reserved(map, field)?;
        }
        for config in [self.control(), self.producer(&ProducerConfig::new())?] {
            config
                .create_native_config()
                .map_err(|error| super::error::from_kafka("kafka.connect", error))?;
        }
        Ok(())
    }

    /// Properties of the control and admin connections.
    pub(super) fn control(&self) -> ClientConfig {
        let mut config = self.base(None);
        // The latest offset is then the end of the log, even while a transaction is open.
        config.set("isolation.level", "read_uncommitted");
        apply(&mut config, &self.common);
        config
    }

    /// Properties of a consumer that reads the records after the committed offsets of a group without joining it.
    pub(super) fn group_reader(&self, group: &str) -> ClientConfig {
        let mut config = self.control();
        config
            .set("group.id", group)
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("auto.offset.reset", "error");
        config
    }

    pub(super) fn producer(&self, producer: &ProducerConfig) -> Result<ClientConfig> {
        check_backend(&producer.backend)?;
        if producer.compression == KafkaCompression::Zstd && !cfg!(feature = "rdkafka-tls") {
            return Err(NetworkError::unsupported("kafka.create_producer", "rdkafka-tls"));
        }
        self.capabilities.check_producer("kafka.create_producer", producer)?;
        let idempotent = self.capabilities.is_idempotent(producer);
        let compression = compression_name(producer.compression)?;
        let mut config = self.base(producer.client_id.as_deref());
        config
            .set("acks", acks_name(producer.acks))
            .set("enable.idempotence", bool_name(idempotent))
            .set("compression.type", compression)
            .set("queue.buffering.max.ms", fractional_millis(producer.linger))
            .set("batch.size", bounded(producer.batch_size, 1, i32::MAX as usize))
            .set("message.max.bytes", bounded(with_overhead(producer.max_message_size), 1000, 1_000_000_000))
            // Unlimited: the client limits the queue with a semaphore, so that callers wait without polling.
            .set("queue.buffering.max.messages", "0")
            .set("message.timeout.ms", millis(producer.delivery_timeout, 1, i32::MAX as u128))
            .set("partitioner", "murmur2_random")
            // Records fail if their topic is missing from the metadata for this long.
            .set("topic.metadata.propagation.max.ms", "2000");
        if !idempotent {
            // Without idempotence a retry can reorder records unless only one request is in flight.
            config.set("max.in.flight.requests.per.connection", "1");
        }
        apply(&mut config, &self.common);
        apply(&mut config, &self.producer);
        apply(&mut config, &producer.backend);
        Ok(config)
    }

    pub(super) fn consumer(&self, consumer: &ConsumerConfig) -> Result<ClientConfig> {
        check_backend(&consumer.backend)?;
        self.capabilities.check_consumer("kafka.create_consumer", consumer)?;
        let mut config = self.base(consumer.client_id.as_deref());
        config
            .set("group.id", &consumer.group)
            .set("auto.offset.reset", reset_name(consumer.offset_reset))
            .set(
                "isolation.level",
                isolation_name(self.capabilities.isolation_level(consumer)),
            )
            .set(
                "max.poll.interval.ms",
                millis(consumer.max_poll_interval, 1, 86_400_000),
            )
            .set("fetch.queue.backoff.ms", FETCH_QUEUE_BACKOFF_MS);
        if let Some(id) = &consumer.group_instance_id {
            config.set("group.instance.id", id);
        }
        apply(&mut config, &self.common);
        apply(&mut config, &self.consumer);
        apply(&mut config, &consumer.backend);
        // With the group protocol of KIP-848 the broker configures sessions, and librdkafka rejects these properties.
        if config.get("group.protocol") == Some("consumer") {
            if consumer.session_timeout != ConsumerConfig::new("", [""]).session_timeout {
                return Err(NetworkError::invalid_input(
                    "session_timeout",
                    "with group.protocol=consumer, the broker configures the session timeout",
                ));
            }
        } else {
            set_unless_present(
                &mut config,
                "session.timeout.ms",
                millis(consumer.session_timeout, 1, 3_600_000),
            );
            let heartbeat = (consumer.session_timeout / 3).min(Duration::from_secs(3));
            set_unless_present(&mut config, "heartbeat.interval.ms", millis(heartbeat, 1, 3_600_000));
        }
        config
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false");
        Ok(config)
    }

    fn base(&self, client_id: Option<&str>) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.log_level = RDKafkaLogLevel::Warning;
        let socket_timeout = self.request_timeout.clamp(MIN_SOCKET_TIMEOUT, MAX_SOCKET_TIMEOUT);
        let setup_timeout = self.request_timeout.clamp(MIN_SETUP_TIMEOUT, MAX_SETUP_TIMEOUT);
        config
            .set("bootstrap.servers", &self.bootstrap_servers)
            .set("client.id", client_id.unwrap_or(&self.client_id))
            .set("security.protocol", self.security.protocol())
            .set("allow.auto.create.topics", "false")
            .set("socket.timeout.ms", socket_timeout.as_millis().to_string())
            .set(
                "socket.connection.setup.timeout.ms",
                setup_timeout.as_millis().to_string(),
            )
            .set("reconnect.backoff.max.ms", "2000");
        if let Some(sasl) = &self.security.sasl {
            config.set("sasl.mechanism", sasl.mechanism.as_str());
            if sasl.mechanism != networking_spi::kafka::SaslMechanism::OAuthBearer {
                config
                    .set("sasl.username", &sasl.username)
                    .set("sasl.password", sasl.password.expose());
            }
        }
        if let Some(tls) = &self.security.tls {
            if let Some(pem) = &tls.ca_pem {
                config.set("ssl.ca.pem", pem);
            }
            if let (Some(certificate), Some(key)) = (&tls.certificate_pem, &tls.key_pem) {
                config
                    .set("ssl.certificate.pem", certificate)
                    .set("ssl.key.pem", key.expose());
            }
            let identification = if tls.accept_any_hostname { "none" } else { "https" };
            config.set("ssl.endpoint.identification.algorithm", identification);
        }
        config
    }
}

fn check_features(security: &KafkaSecurity) -> Result<()> {
    if cfg!(feature = "rdkafka-tls") || (security.tls.is_none() && security.sasl.is_none()) {
        Ok(())
    } else {
        Err(NetworkError::unsupported("kafka.connect", "rdkafka-tls"))
    }
}

fn check_reserved(settings: &BTreeMap<String, String>, field: &str) -> Result<()> {
    match RESERVED.iter().find(|(name, _)| settings.contains_key(*name)) {
        Some((name, reason)) => Err(NetworkError::invalid_input(format!("{field}.{name}"), *reason)),
        None => Ok(()),
    }
}

/// Rejects credentials in `backend`, because the `Debug` output of a configuration shows that map.
fn check_backend(settings: &BTreeMap<String, String>) -> Result<()> {
    check_reserved(settings, "backend")?;
    match settings.keys().find(|name| is_secret_setting(name)) {
        Some(name) => Err(NetworkError::invalid_input(
            format!("backend.{name}"),
            "set credentials with the client's security",
        )),
        None => Ok(()),
    }
}

fn apply(config: &mut ClientConfig, settings: &BTreeMap<String, String>) {
    for (name, value) in settings {
        config.set(name, value);
    }
}

fn set_unless_present(config: &mut ClientConfig, name: &str, value: String) {
    if config.get(name).is_none() {
        config.set(name, value);
    }
}

/// librdkafka counts the framing of headers and batches; `max_message_size` does not.
fn with_overhead(size: usize) -> usize {
    size.saturating_add(size / 64).saturating_add(512)
}

fn bounded(value: usize, min: usize, max: usize) -> String {
    value.clamp(min, max).to_string()
}

fn millis(duration: Duration, min: u128, max: u128) -> String {
    duration.as_millis().clamp(min, max).to_string()
}

fn fractional_millis(duration: Duration) -> String {
    (duration.as_secs_f64() * 1000.0).min(900_000.0).to_string()
}

const fn bool_name(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}

const fn acks_name(acks: Acks) -> &'static str {
    match acks {
        Acks::None => "0",
        Acks::Leader => "1",
        Acks::All => "all",
    }
}

const fn reset_name(reset: OffsetReset) -> &'static str {
    match reset {
        OffsetReset::Earliest => "earliest",
        OffsetReset::Latest => "latest",
        OffsetReset::Fail => "error",
    }
}

const fn isolation_name(level: IsolationLevel) -> &'static str {
    match level {
        IsolationLevel::ReadUncommitted => "read_uncommitted",
        IsolationLevel::ReadCommitted => "read_committed",
    }
}

fn compression_name(compression: KafkaCompression) -> Result<&'static str> {
    match compression {
        KafkaCompression::None
        | KafkaCompression::Gzip
        | KafkaCompression::Snappy
        | KafkaCompression::Lz4
        | KafkaCompression::Zstd => Ok(compression.as_str()),
        // A codec of a later version of the SPI.
        _ => Err(NetworkError::unsupported("kafka.create_producer", "compression")),
    }
}

#[cfg(test)]
mod tests {
    use networking_spi::ErrorKind;
    use networking_spi::kafka::{SaslConfig, SaslMechanism, TlsConfig};

    use super::*;

    fn settings() -> ConnectionSettings {
        ConnectionSettings {
            bootstrap_servers: "localhost:9092".into(),
            client_id: "test".into(),
            security: KafkaSecurity::new(),
            request_timeout: Duration::from_secs(30),
            common: BTreeMap::new(),
            producer: BTreeMap::new(),
            consumer: BTreeMap::new(),
            capabilities: KafkaCapabilities::all(),
            admin_capabilities: KafkaAdminCapabilities::all(),
        }
    }

    #[test]
    fn every_field_reaches_librdkafka() {
        let producer = ProducerConfig::new()
            .with_client_id("writer")
            .with_acks(Acks::Leader)
            .with_compression(KafkaCompression::Lz4)
            .with_linger(Duration::from_micros(2500))
            .with_batch_size(7000)
            .with_delivery_timeout(Duration::from_secs(7));
        let config = settings().producer(&producer).expect("valid");
        for (name, value) in [
            ("client.id", "writer"),
            ("acks", "1"),
            ("enable.idempotence", "false"),
            ("compression.type", "lz4"),
            ("queue.buffering.max.ms", "2.5"),
            ("batch.size", "7000"),
            ("message.timeout.ms", "7000"),
        ] {
            assert_eq!(config.get(name), Some(value), "{name}");
        }
        let consumer = ConsumerConfig::new("g", ["t"])
            .with_client_id("reader")
            .with_group_instance_id("one")
            .with_offset_reset(OffsetReset::Fail)
            .with_isolation_level(IsolationLevel::ReadUncommitted)
            .with_session_timeout(Duration::from_secs(9))
            .with_max_poll_interval(Duration::from_secs(11));
        let config = settings().consumer(&consumer).expect("valid");
        for (name, value) in [
            ("group.id", "g"),
            ("client.id", "reader"),
            ("group.instance.id", "one"),
            ("auto.offset.reset", "error"),
            ("isolation.level", "read_uncommitted"),
            ("session.timeout.ms", "9000"),
            ("max.poll.interval.ms", "11000"),
        ] {
            assert_eq!(config.get(name), Some(value), "{name}");
        }
    }

    #[test]
    fn what_the_cluster_lacks_is_not_asked_for() {
        let mut settings = settings();
        settings.capabilities = KafkaCapabilities::none();
        let producer = settings.producer(&ProducerConfig::new()).expect("asks for nothing");
        assert_eq!(producer.get("enable.idempotence"), Some("false"));
        let consumer = settings
            .consumer(&ConsumerConfig::new("g", ["t"]))
            .expect("asks for nothing");
        assert_eq!(consumer.get("isolation.level"), Some("read_uncommitted"));
        let idempotent = ProducerConfig::new().with_idempotent(true);
        assert_eq!(
            settings.producer(&idempotent).expect_err("not declared").kind(),
            ErrorKind::Unsupported
        );
    }

    #[test]
    fn defaults_are_accepted_by_librdkafka() {
        settings().validate().expect("defaults");
        settings()
            .consumer(&ConsumerConfig::new("g", ["t"]))
            .expect("defaults")
            .create_native_config()
            .expect("accepted");
    }

    #[test]
    fn nothing_is_committed_automatically() {
        let config = settings().consumer(&ConsumerConfig::new("g", ["t"])).expect("valid");
        assert_eq!(config.get("enable.auto.commit"), Some("false"));
        assert_eq!(config.get("enable.auto.offset.store"), Some("false"));
        let overriding = ConsumerConfig::new("g", ["t"]).with_backend_setting("enable.auto.commit", "true");
        let error = settings().consumer(&overriding).expect_err("reserved");
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("backend.enable.auto.commit"))
        );
    }

    #[test]
    fn the_most_specific_setting_takes_precedence() {
        let mut settings = settings();
        settings.common.insert("socket.keepalive.enable".into(), "true".into());
        settings.producer.insert("batch.num.messages".into(), "1".into());
        let config = ProducerConfig::new().with_backend_setting("batch.num.messages", "7");
        let config = settings.producer(&config).expect("valid");
        assert_eq!(config.get("batch.num.messages"), Some("7"));
        assert_eq!(config.get("socket.keepalive.enable"), Some("true"));
    }

    #[test]
    fn order_is_kept_without_idempotence() {
        let config = settings()
            .producer(&ProducerConfig::new().with_idempotent(false))
            .expect("valid");
        assert_eq!(config.get("max.in.flight.requests.per.connection"), Some("1"));
        assert_eq!(
            settings()
                .producer(&ProducerConfig::new())
                .expect("valid")
                .get("max.in.flight.requests.per.connection"),
            None
        );
    }

    #[test]
    fn with_kip_848_the_broker_configures_sessions() {
        let config = ConsumerConfig::new("g", ["t"]).with_backend_setting("group.protocol", "consumer");
        let short = config.clone().with_session_timeout(Duration::from_secs(9));
        assert_eq!(
            settings().consumer(&short).expect_err("has no effect").field(),
            Some("session_timeout")
        );
        let config = settings().consumer(&config).expect("valid");
        assert_eq!(config.get("session.timeout.ms"), None);
        config.create_native_config().expect("accepted");
    }

    #[test]
    fn secrets_are_redacted_and_rejected_as_backend_settings() {
        let mut settings = settings();
        settings.security = KafkaSecurity::new()
            .with_tls(TlsConfig::default())
            .with_sasl(SaslConfig::new(SaslMechanism::ScramSha256, "alice", "hunter2"));
        settings.common.insert("ssl.key.pem".into(), "hunter2".into());
        settings
            .producer
            .insert("ssl.keystore.password".into(), "hunter2".into());
        assert!(!format!("{settings:?}").contains("hunter2"));
        let config = ProducerConfig::new().with_backend_setting("sasl.password", "hunter2");
        let error = settings.producer(&config).expect_err("a credential");
        assert_eq!(error.field(), Some("backend.sasl.password"));
        assert!(!format!("{error:?}").contains("hunter2"));
    }

    #[cfg(not(feature = "rdkafka-tls"))]
    #[test]
    fn encryption_needs_its_feature() {
        let mut settings = settings();
        settings.security = KafkaSecurity::new().with_tls(TlsConfig::default());
        assert_eq!(
            settings.validate().expect_err("not built").kind(),
            ErrorKind::Unsupported
        );
        let zstd = ProducerConfig::new().with_compression(KafkaCompression::Zstd);
        assert_eq!(
            self::settings().producer(&zstd).expect_err("not built").kind(),
            ErrorKind::Unsupported
        );
    }

    #[cfg(feature = "rdkafka-tls")]
    #[test]
    fn credentials_reach_librdkafka() {
        let mut settings = settings();
        settings.security = KafkaSecurity::new()
            .with_tls(TlsConfig::default())
            .with_sasl(SaslConfig::new(SaslMechanism::ScramSha256, "alice", "hunter2"));
        settings.validate().expect("built in");
        let config = settings.control();
        assert_eq!(config.get("security.protocol"), Some("SASL_SSL"));
        assert_eq!(config.get("sasl.password"), Some("hunter2"));
    }
}
