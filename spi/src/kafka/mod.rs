//! Kafka: the client, its extended operations, and their values.
//!
//! A [`KafkaClient`] creates producers and consumers, and returns typed ids for them. [`KafkaExtended`] adds stream
//! processing, schemas, diagnostics, tuning and security. [`KafkaTransactions`] adds transactions, [`KafkaAdmin`]
//! administers a cluster, and [`KafkaReading`] moves and pauses consumers.
//!
//! As in Kafka, a committed offset is the **next** offset to read. [`KafkaMessage::next_offset`] returns it.

mod admin;
mod administration;
mod assignment;
mod client;
mod consumer;
mod diagnostics;
mod extended;
mod metrics;
mod partition;
mod processing;
mod producer;
mod reading;
mod record;
mod schema;
mod security;
mod stream;
mod support;
mod topic_name;
mod transactions;

pub use admin::{
    ConsumerGroupInfo, GroupMember, GroupOffset, GroupState, NewTopic, PartitionMetadata, TopicMetadata,
    TopicPartition, validate_topic_name,
};
pub use administration::{
    BrokerInfo, ClusterDescription, ConfigChange, ConfigEntry, ConfigOperation, ConfigResource, ConfigSource,
    GroupDescription, GroupKind, GroupListing, KafkaAdmin, KafkaAdminCapabilities, OffsetTarget, TopicListing,
    validate_changes, validate_reset,
};
pub use assignment::ConsumerAssignment;
pub use client::{KafkaClient, KafkaClientExt, message_stream};
pub use consumer::{CommitOffsets, ConsumeOptions, ConsumerConfig, IsolationLevel, OffsetReset, PartitionOffset};
pub use diagnostics::{
    DiagnosticWarning, GroupLag, KafkaDiagnostics, OptimizationGoal, OptimizationReport, PartitionDiagnostics,
    SettingChange,
};
pub use extended::{KafkaExtended, KafkaExtendedCapabilities};
pub use metrics::{ConsumerMetrics, KafkaMetrics, ProducerMetrics};
pub use partition::{murmur2, partition_of_key};
pub use processing::ProcessOptions;
pub use producer::{Acks, ProducerConfig};
pub use reading::{
    AssignmentStrategy, GroupProtocol, KafkaReading, KafkaReadingCapabilities, OffsetSpec, ReaderConfig,
    RebalanceEvent, RebalanceEvents, RebalanceKind, SeekTarget, Subscription,
};
pub use record::{KafkaHeaders, KafkaMessage, ProducerRecord, RecordMetadata};
pub use schema::{
    CompatibilityLevel, CompatibilityReport, RegisteredSchema, Schema, SchemaReference, SchemaType, SchemaVersion,
};
pub use security::{KafkaSecurity, SaslConfig, SaslMechanism, TlsConfig};
pub use stream::{
    DeliveryGuarantee, PoisonPolicy, ProcessedRecord, StreamProcessor, StreamProcessorConfig, StreamState,
    StreamStatus, stream_fn,
};
pub use support::KafkaCapabilities;
pub use topic_name::TopicName;
pub use transactions::{KafkaTransactions, TransactionRemedy, TransactionalProducerConfig};

#[cfg(any(test, feature = "mock"))]
pub use administration::MockKafkaAdmin;
#[cfg(any(test, feature = "mock"))]
pub use client::MockKafkaClient;
#[cfg(any(test, feature = "mock"))]
pub use extended::MockKafkaExtended;
#[cfg(any(test, feature = "mock"))]
pub use reading::MockKafkaReading;
#[cfg(any(test, feature = "mock"))]
pub use stream::MockStreamProcessor;
#[cfg(any(test, feature = "mock"))]
pub use transactions::MockKafkaTransactions;

use crate::names::{define_id, named_enum};

define_id! {
    /// The id of a producer of a [`KafkaClient`].
    ProducerId
}

define_id! {
    /// The id of a consumer of a [`KafkaClient`].
    ConsumerId
}

define_id! {
    /// The id of a stream processor of a [`KafkaExtended`].
    ProcessorId
}

named_enum! {
    "compression",
    /// Compression of record batches. For the content codings of HTTP bodies, see
    /// [`CompressionType`](crate::compression::CompressionType).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum KafkaCompression {
        /// No compression.
        #[default]
        None => "none",
        /// gzip.
        Gzip => "gzip",
        /// Snappy.
        Snappy => "snappy",
        /// LZ4.
        Lz4 => "lz4",
        /// Zstandard (KIP-110).
        Zstd => "zstd",
    }
}
