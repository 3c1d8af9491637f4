//! The builder of the client.

use std::collections::BTreeMap;
use std::time::Duration;

use networking_spi::Result;
use networking_spi::kafka::{KafkaAdminCapabilities, KafkaCapabilities, KafkaReadingCapabilities, KafkaSecurity};
use networking_spi::validate::{self, Validate};

use super::{Limits, RdKafkaClient};
use crate::rdkafka::config::ConnectionSettings;

/// Configures an [`RdKafkaClient`].
///
/// ```
/// use std::time::Duration;
/// use networking_kafka::rdkafka::RdKafkaClient;
///
/// let client = RdKafkaClient::builder("broker-1:9092,broker-2:9092")
///     .client_id("billing")
///     .request_timeout(Duration::from_secs(10))
///     .setting("socket.keepalive.enable", "true")
///     .build();
/// assert!(client.is_ok(), "it connects on first use");
/// ```
#[derive(Debug, Clone)]
#[must_use = "call `build`"]
pub struct RdKafkaClientBuilder {
    settings: ConnectionSettings,
    reading: KafkaReadingCapabilities,
    limits: Limits,
}

impl RdKafkaClientBuilder {
    pub(super) fn new(bootstrap_servers: impl Into<String>) -> Self {
        let settings = ConnectionSettings {
            bootstrap_servers: bootstrap_servers.into(),
            client_id: "networking-kafka".into(),
            security: KafkaSecurity::new(),
            request_timeout: Duration::from_secs(30),
            common: BTreeMap::new(),
            producer: BTreeMap::new(),
            consumer: BTreeMap::new(),
            capabilities: KafkaCapabilities::all(),
            admin_capabilities: KafkaAdminCapabilities::all(),
        };
        let limits = Limits {
            producers: 64,
            consumers: 64,
            close: Duration::from_secs(30),
        };
        Self {
            settings,
            reading: KafkaReadingCapabilities::all(),
            limits,
        }
    }

    /// Sets the client id of producers and consumers that have none. Brokers use it in logs and for quotas. Default:
    /// `networking-kafka`.
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.settings.client_id = id.into();
        self
    }

    /// Sets encryption and credentials, which need the cargo feature `rdkafka-tls`. Default: no encryption, no credentials.
    pub fn security(mut self, security: KafkaSecurity) -> Self {
        self.settings.security = security;
        self
    }

    /// Sets the timeout of one request for metadata, topics, groups or commits. Default: 30 s.
    pub fn request_timeout(mut self, timeout: Duration) -> Self {
        self.settings.request_timeout = timeout;
        self
    }

    /// Sets how long `close_consumer` waits for the consumer to leave its group. Default: 30 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.limits.close = timeout;
        self
    }

    /// Sets the maximum number of open producers. Each one has connections, threads and a queue. Default: 64.
    pub fn max_producers(mut self, producers: usize) -> Self {
        self.limits.producers = producers;
        self
    }

    /// Sets the maximum number of open consumers. Each one has connections and threads. Default: 64.
    pub fn max_consumers(mut self, consumers: usize) -> Self {
        self.limits.consumers = consumers;
        self
    }

    /// Sets a librdkafka property for all connections. It overrides the values that this client derives.
    pub fn setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.common.insert(name.into(), value.into());
        self
    }

    /// Sets a librdkafka property for producers. It overrides [`setting`](Self::setting) and the configuration of the
    /// producer, but not the producer's `backend` settings.
    pub fn producer_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.producer.insert(name.into(), value.into());
        self
    }

    /// Sets a librdkafka property for consumers. It overrides [`setting`](Self::setting) and the configuration of the
    /// consumer, but not the consumer's `backend` settings.
    pub fn consumer_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.consumer.insert(name.into(), value.into());
        self
    }

    /// Sets the capabilities of the cluster, for clusters that lack some (managed clusters without topic administration, test
    /// brokers). Operations without their capability fail with [`Unsupported`](networking_spi::ErrorKind::Unsupported) and
    /// send no request. `groups` cannot be removed: consumers of librdkafka always join their group. Default: all. With the
    /// setting `group.protocol=consumer`, `session_timeouts` is not declared, because the broker configures them.
    pub fn capabilities(mut self, capabilities: KafkaCapabilities) -> Self {
        self.settings.capabilities = capabilities;
        self
    }

    /// Sets what the cluster lets the client do as a [`KafkaAdmin`](networking_spi::kafka::KafkaAdmin). Operations without their
    /// capability fail with [`Unsupported`](networking_spi::ErrorKind::Unsupported) and send no request. Default: all.
    pub fn admin_capabilities(mut self, capabilities: KafkaAdminCapabilities) -> Self {
        self.settings.admin_capabilities = capabilities;
        self
    }

    /// Sets what the cluster supports of [`KafkaReading`](networking_spi::kafka::KafkaReading), for clusters that lack some. Default:
    /// all; the group protocol `consumer` needs Kafka 4.0.
    pub fn reading_capabilities(mut self, capabilities: KafkaReadingCapabilities) -> Self {
        self.reading = capabilities;
        self
    }

    /// Builds the client. It does not connect yet.
    ///
    /// # Errors
    /// * [`InvalidInput`](networking_spi::ErrorKind::InvalidInput) with the name of the field, for a bad value, an unknown
    ///   property, or a property that this client reserves.
    /// * [`Unsupported`](networking_spi::ErrorKind::Unsupported) for encryption or credentials without the cargo feature
    ///   `rdkafka-tls`.
    pub fn build(mut self) -> Result<RdKafkaClient> {
        self.validate()?;
        let protocol = [&self.settings.consumer, &self.settings.common]
            .into_iter()
            .find_map(|settings| settings.get("group.protocol"));
        self.settings.capabilities.session_timeouts &= protocol.is_none_or(|protocol| protocol != "consumer");
        self.settings.validate()?;
        Ok(RdKafkaClient::new(self.settings, self.reading, self.limits))
    }
}

impl Validate for RdKafkaClientBuilder {
    fn validate(&self) -> Result<()> {
        for server in self.settings.bootstrap_servers.split(',') {
            validate::not_blank(server, "bootstrap_servers")?;
        }
        validate::name(&self.settings.client_id, 255, "client_id")?;
        validate::positive(self.settings.request_timeout, "request_timeout")?;
        validate::positive(self.limits.close, "close_timeout")?;
        validate::ensure(self.limits.producers > 0, "max_producers", "must be at least 1")?;
        validate::ensure(self.limits.consumers > 0, "max_consumers", "must be at least 1")?;
        validate::ensure(
            self.settings.capabilities.groups,
            "capabilities.groups",
            "consumers of librdkafka always join their group",
        )?;
        self.settings.capabilities.check_consistency()
    }
}

#[cfg(test)]
mod tests {
    use networking_spi::ErrorKind;

    use networking_spi::kafka::KafkaClient;

    use super::*;

    #[test]
    fn the_group_protocol_decides_about_session_timeouts() {
        for (protocol, declared) in [("classic", true), ("consumer", false)] {
            for builder in [
                RdKafkaClient::builder("a:1").consumer_setting("group.protocol", protocol),
                RdKafkaClient::builder("a:1").setting("group.protocol", protocol),
            ] {
                let client = builder.build().expect("valid");
                assert_eq!(client.capabilities().session_timeouts, declared, "{protocol}");
            }
        }
    }

    #[test]
    fn invalid_fields_are_named() {
        for (builder, field) in [
            (RdKafkaClient::builder(""), "bootstrap_servers"),
            (RdKafkaClient::builder("a:1,,b:2"), "bootstrap_servers"),
            (RdKafkaClient::builder("a:1").client_id(" "), "client_id"),
            (
                RdKafkaClient::builder("a:1").request_timeout(Duration::ZERO),
                "request_timeout",
            ),
            (RdKafkaClient::builder("a:1").max_producers(0), "max_producers"),
            (
                RdKafkaClient::builder("a:1").capabilities(KafkaCapabilities::none()),
                "capabilities.groups",
            ),
            (
                RdKafkaClient::builder("a:1").setting("no.such.setting", "1"),
                "no.such.setting",
            ),
            (
                RdKafkaClient::builder("a:1").consumer_setting("enable.auto.commit", "true"),
                "consumer_setting.enable.auto.commit",
            ),
        ] {
            let error = builder.build().expect_err(field);
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
        }
    }
}
