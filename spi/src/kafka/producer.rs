//! Producers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::KafkaCompression;
use crate::error::Result;
use crate::names::named_enum;
use crate::validate::{self, Validate};

named_enum! {
    "acks",
    /// The acknowledgement that a write waits for.
    ///
    /// Exhaustive on purpose: Kafka's protocol has these three levels.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub enum Acks {
        /// None: records can be lost without an error, and their offsets are unknown.
        None => "none",
        /// The acknowledgement of the partition leader.
        Leader => "leader",
        /// The acknowledgement of all in-sync replicas.
        #[default]
        All => "all",
    }
}

/// The configuration of a producer.
///
/// ```
/// use networking_spi::kafka::{KafkaCompression, ProducerConfig};
/// use networking_spi::validate::Validate;
///
/// let config = ProducerConfig::new().with_compression(KafkaCompression::Zstd);
/// config.validate().unwrap();
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct ProducerConfig {
    /// The client id in the broker's logs and metrics. `None`: the default of the backend. Requires the capability
    /// `client_ids`.
    pub client_id: Option<String>,
    /// The acknowledgement that a write waits for. Requires the capability `acks`, unless it is `all`.
    pub acks: Acks,
    /// Whether retries of the producer cause neither duplicates nor reordering (KIP-98). `None`: yes, if the client has the
    /// capability `idempotent_producer` and `acks` is `all`. `Some(true)` requires both.
    pub idempotent: Option<bool>,
    /// The compression of batches.
    pub compression: KafkaCompression,
    /// How long a record waits for more records in its batch. Requires the capability `batching`, unless it is zero.
    #[serde(with = "humantime_serde")]
    pub linger: Duration,
    /// The size of a full batch, in bytes of key, value and headers. A full batch does not wait for `linger`. Requires the
    /// capability `batching`, unless it is the default.
    pub batch_size: usize,
    /// The largest record, in bytes of key, value and headers.
    pub max_message_size: usize,
    /// The maximum number of records that wait for their acknowledgement. Callers wait while there are as many.
    pub queue_size: usize,
    /// Time limit from the call to the acknowledgement, including retries.
    #[serde(with = "humantime_serde")]
    pub delivery_timeout: Duration,
    /// Settings under the backend's own names (for example those of librdkafka). They override the fields above. A name that
    /// the backend does not know fails with [`InvalidInput`](crate::ErrorKind::InvalidInput) naming it.
    pub backend: BTreeMap<String, String>,
}

impl Default for ProducerConfig {
    /// Acknowledgement of all in-sync replicas; idempotent if the client can; no compression; no linger; batches and records up to 1 MB;
    /// 100 000 queued records; 30 s per write.
    fn default() -> Self {
        Self {
            client_id: None,
            acks: Acks::All,
            idempotent: None,
            compression: KafkaCompression::None,
            linger: Duration::ZERO,
            batch_size: 1_000_000,
            max_message_size: 1_000_000,
            queue_size: 100_000,
            delivery_timeout: Duration::from_secs(30),
            backend: BTreeMap::new(),
        }
    }
}

impl ProducerConfig {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the client id.
    pub fn with_client_id(mut self, id: impl Into<String>) -> Self {
        self.client_id = Some(id.into());
        self
    }

    /// Sets the acknowledgement that a write waits for.
    pub fn with_acks(mut self, acks: Acks) -> Self {
        self.acks = acks;
        self
    }

    /// Sets whether the producer is idempotent.
    pub fn with_idempotent(mut self, idempotent: bool) -> Self {
        self.idempotent = Some(idempotent);
        self
    }

    /// Sets the compression.
    pub fn with_compression(mut self, compression: KafkaCompression) -> Self {
        self.compression = compression;
        self
    }

    /// Sets how long a record waits for more records in its batch.
    pub fn with_linger(mut self, linger: Duration) -> Self {
        self.linger = linger;
        self
    }

    /// Sets the size of a full batch, in bytes.
    pub fn with_batch_size(mut self, bytes: usize) -> Self {
        self.batch_size = bytes;
        self
    }

    /// Sets the largest record, in bytes.
    pub fn with_max_message_size(mut self, bytes: usize) -> Self {
        self.max_message_size = bytes;
        self
    }

    /// Sets the maximum number of records that wait for their acknowledgement.
    pub fn with_queue_size(mut self, records: usize) -> Self {
        self.queue_size = records;
        self
    }

    /// Sets the time limit of a write.
    pub fn with_delivery_timeout(mut self, timeout: Duration) -> Self {
        self.delivery_timeout = timeout;
        self
    }

    /// Sets a setting under the backend's own name.
    pub fn with_backend_setting(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.backend.insert(name.into(), value.into());
        self
    }
}

impl Validate for ProducerConfig {
    fn validate(&self) -> Result<()> {
        if let Some(id) = &self.client_id {
            validate::name(id, 255, "client_id")?;
        }
        validate::ensure(
            self.idempotent != Some(true) || self.acks == Acks::All,
            "idempotent",
            "requires acks = all",
        )?;
        validate::ensure(self.batch_size > 0, "batch_size", "must be at least 1")?;
        validate::ensure(self.max_message_size > 0, "max_message_size", "must be at least 1")?;
        validate::ensure(self.queue_size > 0, "queue_size", "must be at least 1")?;
        validate::positive(self.delivery_timeout, "delivery_timeout")?;
        validate::ensure(
            self.linger < self.delivery_timeout,
            "linger",
            "must be shorter than delivery_timeout",
        )
    }
}
