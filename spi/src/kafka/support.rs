//! What a client declares, and what a configuration or a record needs of it.

use std::collections::HashSet;

use super::{ConsumerConfig, IsolationLevel, NewTopic, ProducerConfig, ProducerRecord};
use crate::capabilities::capabilities;
use crate::error::{NetworkError, Result};

capabilities! {
    /// What a [`KafkaClient`](super::KafkaClient) supports. Without capabilities, a client only produces and consumes.
    ///
    /// A call that needs a capability which is not declared fails with [`Unsupported`](crate::ErrorKind::Unsupported) naming
    /// it, and has no effect. Implementers call [`check_topic`](Self::check_topic), [`check_producer`](Self::check_producer),
    /// [`check_consumer`](Self::check_consumer) and [`check_record`](Self::check_record).
    pub struct KafkaCapabilities {
        /// [`create_topic`](super::KafkaClient::create_topic) and [`delete_topic`](super::KafkaClient::delete_topic).
        topic_admin,
        /// [`NewTopic::config`] is obeyed. Requires `topic_admin`.
        topic_configs,
        /// Consumer groups: the consumers of a group share the partitions, and
        /// [`commit_offsets`](super::KafkaClient::commit_offsets) commits. Without it, each consumer reads all partitions of its
        /// topics from its [`offset_reset`](ConsumerConfig::offset_reset).
        groups,
        /// [`consumer_group_info`](super::KafkaClient::consumer_group_info). Requires `groups`.
        group_info,
        /// [`ConsumerConfig::group_instance_id`]. Requires `groups`.
        static_membership,
        /// [`ConsumerConfig::session_timeout`] has an effect. Requires `groups`.
        session_timeouts,
        /// A consumer can be limited to committed records: [`IsolationLevel::ReadCommitted`].
        read_committed,
        /// [`ProducerConfig::acks`] can be `none` and `leader`.
        acks,
        /// [`ProducerConfig::idempotent`].
        idempotent_producer,
        /// [`ProducerConfig::linger`] and [`ProducerConfig::batch_size`] have an effect.
        batching,
        /// [`ProducerConfig::client_id`] and [`ConsumerConfig::client_id`] reach the cluster.
        client_ids,
        /// [`ProducerRecord::timestamp`] is kept.
        timestamps,
        /// Headers keep their order, and a name may repeat or have no value. Without it, only records whose header names are
        /// unique and have values can be written, and their headers may be read in another order.
        header_order,
        /// [`topic_metadata`](super::KafkaClient::topic_metadata) has the leaders and replicas of partitions. Without it, there
        /// are none.
        leaders,
        /// The client implements [`KafkaTransactions`](super::KafkaTransactions), whose operations work.
        transactions,
    }
}

impl KafkaCapabilities {
    /// For implementers: whether a producer with this configuration is idempotent. Without
    /// [`idempotent`](ProducerConfig::idempotent), it is if it waits for all replicas and the client can.
    pub fn is_idempotent(&self, config: &ProducerConfig) -> bool {
        config
            .idempotent
            .unwrap_or(self.idempotent_producer && config.acks == super::Acks::All)
    }

    /// For implementers: the isolation level of a consumer with this configuration. Without
    /// [`isolation_level`](ConsumerConfig::isolation_level), only committed records are read if the client can.
    pub fn isolation_level(&self, config: &ConsumerConfig) -> IsolationLevel {
        config.isolation_level.unwrap_or(if self.read_committed {
            IsolationLevel::ReadCommitted
        } else {
            IsolationLevel::ReadUncommitted
        })
    }

    /// For implementers: checks that topics can be created, and that this one needs no capability that is not declared.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming the capability.
    pub fn check_topic(&self, operation: &'static str, topic: &NewTopic) -> Result<()> {
        self.require(operation, "topic_admin")?;
        self.need(!topic.config.is_empty(), operation, "topic_configs")
    }

    /// For implementers: checks that a producer's configuration needs no capability that is not declared.
    ///
    /// ```
    /// use networking_spi::kafka::{KafkaCapabilities, ProducerConfig};
    /// use networking_spi::ErrorKind;
    ///
    /// let minimal = KafkaCapabilities::none();
    /// minimal.check_producer("kafka.create_producer", &ProducerConfig::new()).unwrap();
    /// let config = ProducerConfig::new().with_idempotent(true);
    /// let error = minimal.check_producer("kafka.create_producer", &config).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Unsupported);
    /// ```
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming the capability.
    pub fn check_producer(&self, operation: &'static str, config: &ProducerConfig) -> Result<()> {
        let default = ProducerConfig::default();
        let batching = config.linger != default.linger || config.batch_size != default.batch_size;
        self.need(config.acks != default.acks, operation, "acks")?;
        self.need(config.idempotent == Some(true), operation, "idempotent_producer")?;
        self.need(batching, operation, "batching")?;
        self.need(config.client_id.is_some(), operation, "client_ids")
    }

    /// For implementers: checks that a consumer's configuration needs no capability that is not declared.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming the capability.
    pub fn check_consumer(&self, operation: &'static str, config: &ConsumerConfig) -> Result<()> {
        let default = ConsumerConfig::new("", [""]);
        let session = config.session_timeout != default.session_timeout;
        let committed = config.isolation_level == Some(IsolationLevel::ReadCommitted);
        let poll = config.max_poll_interval != default.max_poll_interval;
        self.need(config.group_instance_id.is_some(), operation, "static_membership")?;
        self.need(session, operation, "session_timeouts")?;
        self.need(poll, operation, "groups")?;
        self.need(committed, operation, "read_committed")?;
        self.need(config.client_id.is_some(), operation, "client_ids")
    }

    /// For implementers: checks that a record needs no capability that is not declared.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) naming the capability.
    pub fn check_record(&self, operation: &'static str, record: &ProducerRecord) -> Result<()> {
        self.need(record.timestamp.is_some(), operation, "timestamps")?;
        if self.header_order || record.headers.is_empty() {
            return Ok(());
        }
        let mut names = HashSet::new();
        let plain = record
            .headers
            .iter()
            .all(|(name, value)| value.is_some() && names.insert(name));
        self.need(!plain, operation, "header_order")
    }

    fn need(&self, needed: bool, operation: &'static str, capability: &'static str) -> Result<()> {
        if needed {
            self.require(operation, capability)
        } else {
            Ok(())
        }
    }

    /// For implementers: checks that the capabilities agree with each other.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the capability that requires another one.
    pub fn check_consistency(&self) -> Result<()> {
        let requirements = [
            (self.topic_configs, "topic_configs", self.topic_admin, "topic_admin"),
            (self.group_info, "group_info", self.groups, "groups"),
            (self.static_membership, "static_membership", self.groups, "groups"),
            (self.session_timeouts, "session_timeouts", self.groups, "groups"),
        ];
        for (declared, name, required_declared, required) in requirements {
            if declared && !required_declared {
                return Err(NetworkError::invalid_input(
                    format!("capabilities.{name}"),
                    format!("requires the capability {required}"),
                ));
            }
        }
        Ok(())
    }
}
