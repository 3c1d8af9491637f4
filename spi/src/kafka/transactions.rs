//! The contract `KafkaTransactions`: atomic writes and offsets (KIP-98, KIP-447).

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::{Acks, CommitOffsets, ConsumerId, ProducerConfig, ProducerId};
use crate::error::{NetworkError, Result, context};
use crate::names::named_enum;
use crate::validate::{self, Validate};

/// Transactions of a [`KafkaClient`](super::KafkaClient): records in any number of partitions, and offsets of the consumed
/// messages, become visible together or not at all (KIP-98).
///
/// # How to get one
///
/// A client that declares the capability [`transactions`](super::KafkaCapabilities::transactions) implements both traits with the
/// same type, and its clones share producers and consumers. An application makes both trait objects where it creates the client,
/// and injects both:
///
/// ```ignore
/// let kafka = RdKafkaClient::builder("broker:9092").build()?;
/// let client: Arc<dyn KafkaClient> = Arc::new(kafka.clone());
/// let transactions: Arc<dyn KafkaTransactions> = Arc::new(kafka);
/// ```
///
/// A transactional producer is a producer of the client:
/// [`produce_messages`](super::KafkaClient::produce_messages) writes within its open transaction,
/// [`close_producer`](super::KafkaClient::close_producer) aborts an open transaction and closes it, and it is in the metrics. A client
/// without the capability fails with [`Unsupported`](crate::ErrorKind::Unsupported) in every operation.
///
/// # Consume, transform, produce
///
/// ```
/// use networking_spi::kafka::{
///     CommitOffsets, ConsumeOptions, ConsumerId, KafkaClient, KafkaTransactions, ProducerId, ProducerRecord, TransactionRemedy,
/// };
/// use networking_spi::Result;
///
/// /// Copies one batch of messages to `output`. The copies and the offsets are committed together.
/// async fn copy_batch(
///     client: &dyn KafkaClient,
///     transactions: &dyn KafkaTransactions,
///     producer: &ProducerId,
///     consumer: &ConsumerId,
///     output: &str,
/// ) -> Result<()> {
///     let messages = client.consume_messages(consumer, ConsumeOptions::new()).await?;
///     transactions.begin_transaction(producer).await?;
///     let copied = async {
///         let copies = messages.iter().map(|message| {
///             let mut copy = ProducerRecord::new(output);
///             copy.key = message.key.clone();
///             copy.value = message.value.clone();
///             copy
///         });
///         for written in client.produce_messages(producer, copies.collect()).await? {
///             written?;
///         }
///         let offsets = CommitOffsets::of(&messages);
///         transactions.send_offsets_to_transaction(producer, consumer, offsets).await
///     };
///     if let Err(error) = copied.await {
///         if TransactionRemedy::of(&error) != Some(TransactionRemedy::Recreate) {
///             transactions.abort_transaction(producer).await?;
///         }
///         // The consumer has a position after these messages: close it, and continue with another one.
///         return Err(error);
///     }
///     loop {
///         match transactions.commit_transaction(producer).await {
///             Err(error) if TransactionRemedy::of(&error) == Some(TransactionRemedy::Retry) => {}
///             ended => return ended,
///         }
///     }
/// }
/// ```
///
/// # Behaviour of every implementation
///
/// * [`init_transactions`](Self::init_transactions) is called once for each producer, before anything else. It fences older producers
///   with the same transactional id: each of their operations fails, and an open transaction of theirs is aborted.
/// * Consumers with [`ReadCommitted`](super::IsolationLevel::ReadCommitted) read the records of a transaction when it is committed.
///   An open transaction holds them back: they read nothing of a partition beyond its first record (the last stable offset).
/// * The end of a transaction takes an offset in each partition that it wrote to. No consumer reads a message there.
/// * If a record of a transaction fails, the transaction can only be aborted.
/// * A transaction that is open for longer than its [`transaction_timeout`](TransactionalProducerConfig::transaction_timeout) is
///   aborted by the cluster, and its producer is fenced.
/// * Dropping the client, or closing the producer, without a commit aborts the transaction. If the cluster is not reachable then, it
///   aborts the transaction after its timeout.
/// * Errors say what to do next: [`TransactionRemedy`].
#[cfg_attr(any(test, feature = "mock"), mockall::automock)]
#[async_trait]
pub trait KafkaTransactions: fmt::Debug + Send + Sync + 'static {
    /// Creates a producer with a transactional id.
    ///
    /// # Errors
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `transactions`, and for a field that needs a
    /// capability that is not declared, [`Exhausted`](crate::ErrorKind::Exhausted) beyond the limit of open producers.
    async fn create_transactional_producer(&self, config: TransactionalProducerConfig) -> Result<ProducerId>;

    /// Registers the producer for its transactional id. Ends an unfinished transaction of an older producer with this id, and
    /// fences it. Waits at most [`operation_timeout`](TransactionalProducerConfig::operation_timeout).
    ///
    /// Cancel safety: the producer may be registered although the call was cancelled. Call it again.
    ///
    /// # Errors
    /// Those of [`commit_transaction`](Self::commit_transaction), and [`Conflict`](crate::ErrorKind::Conflict) without a
    /// [`TransactionRemedy`] if the producer is registered already.
    async fn init_transactions(&self, producer: &ProducerId) -> Result<()>;

    /// Begins a transaction.
    ///
    /// # Errors
    /// [`NotFound`](crate::ErrorKind::NotFound) for a producer that does not exist,
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `producer` for one without a transactional id,
    /// [`Conflict`](crate::ErrorKind::Conflict) before [`init_transactions`](Self::init_transactions), while a transaction is open
    /// (both without a [`TransactionRemedy`]), and for a producer that is known to be fenced.
    async fn begin_transaction(&self, producer: &ProducerId) -> Result<()>;

    /// Adds offsets of a consumer's group to the transaction. They are committed with it, and until its end another member that
    /// gets the partitions waits for them (KIP-447). The consumer belongs to the same client. Waits at most
    /// [`operation_timeout`](TransactionalProducerConfig::operation_timeout).
    ///
    /// The offsets are those of [`commit_offsets`](super::KafkaClient::commit_offsets): each is the next one to read. Do not commit
    /// them there too.
    ///
    /// Cancel safety: the offsets may be added although the call was cancelled. Abort the transaction.
    ///
    /// # Errors
    /// Those of [`commit_transaction`](Self::commit_transaction), [`NotFound`](crate::ErrorKind::NotFound) for a consumer that
    /// does not exist, [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `offset` for a negative offset,
    /// [`Unsupported`](crate::ErrorKind::Unsupported) without the capability `groups`, and
    /// [`Conflict`](crate::ErrorKind::Conflict) with the remedy [`Abort`](TransactionRemedy::Abort) for a partition that is not
    /// assigned to the consumer, and for a consumer that was removed from its group or replaced in it.
    async fn send_offsets_to_transaction(
        &self,
        producer: &ProducerId,
        consumer: &ConsumerId,
        offsets: CommitOffsets,
    ) -> Result<()>;

    /// Writes the records that wait for `linger`, waits for their acknowledgements, and commits the transaction. Waits at most
    /// [`operation_timeout`](TransactionalProducerConfig::operation_timeout).
    ///
    /// Cancel safety: the transaction may be committed although the call was cancelled. Call it again: it returns the result of
    /// the first call, or [`Conflict`](crate::ErrorKind::Conflict) without a [`TransactionRemedy`] if there is none any more.
    ///
    /// # Errors
    /// * [`NotFound`](crate::ErrorKind::NotFound) and [`InvalidInput`](crate::ErrorKind::InvalidInput), as
    ///   [`begin_transaction`](Self::begin_transaction).
    /// * [`Conflict`](crate::ErrorKind::Conflict): without a remedy if no transaction is open, with
    ///   [`Abort`](TransactionRemedy::Abort) if a record has failed, with [`Recreate`](TransactionRemedy::Recreate) if the producer
    ///   is fenced.
    /// * [`Timeout`](crate::ErrorKind::Timeout) and connection errors with [`Retry`](TransactionRemedy::Retry).
    async fn commit_transaction(&self, producer: &ProducerId) -> Result<()>;

    /// Aborts the transaction. Records that are not sent yet are dropped; their calls fail. Waits at most
    /// [`operation_timeout`](TransactionalProducerConfig::operation_timeout).
    ///
    /// The positions of consumers do not change. To process the messages again, close the consumer and create another one, which
    /// starts at the committed offsets.
    ///
    /// Cancel safety: as [`commit_transaction`](Self::commit_transaction).
    ///
    /// # Errors
    /// Those of [`commit_transaction`](Self::commit_transaction), except for the remedy `Abort`.
    async fn abort_transaction(&self, producer: &ProducerId) -> Result<()>;
}

/// The configuration of a transactional producer.
///
/// ```
/// use std::time::Duration;
/// use networking_spi::kafka::TransactionalProducerConfig;
/// use networking_spi::validate::Validate;
///
/// let config = TransactionalProducerConfig::new("billing-1").with_transaction_timeout(Duration::from_secs(90));
/// config.validate().unwrap();
/// let error = TransactionalProducerConfig::new(" ").validate().unwrap_err();
/// assert_eq!(error.field(), Some("transactional_id"));
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TransactionalProducerConfig {
    /// The name of the producer across restarts: a new producer with the same id fences the old one. Each instance of an
    /// application has an id of its own, which is the same after a restart.
    pub transactional_id: String,
    /// How long a transaction may be open before the cluster aborts it. From 1 s; a cluster may have a maximum (Apache Kafka: 15
    /// minutes), beyond which [`init_transactions`](KafkaTransactions::init_transactions) fails with
    /// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming the field.
    #[serde(default = "default_transaction_timeout", with = "humantime_serde")]
    pub transaction_timeout: Duration,
    /// The time limit of each operation of [`KafkaTransactions`].
    #[serde(default = "default_operation_timeout", with = "humantime_serde")]
    pub operation_timeout: Duration,
    /// The other settings. Its `acks` are `all`, it is idempotent, and its `delivery_timeout` is not longer than
    /// `transaction_timeout`.
    #[serde(default)]
    pub producer: ProducerConfig,
}

const fn default_transaction_timeout() -> Duration {
    Duration::from_secs(60)
}

const fn default_operation_timeout() -> Duration {
    Duration::from_secs(30)
}

impl TransactionalProducerConfig {
    /// A producer with this id. Transactions may be open for 60 s, operations take at most 30 s.
    pub fn new(transactional_id: impl Into<String>) -> Self {
        Self {
            transactional_id: transactional_id.into(),
            transaction_timeout: default_transaction_timeout(),
            operation_timeout: default_operation_timeout(),
            producer: ProducerConfig::default(),
        }
    }

    /// Sets how long a transaction may be open.
    #[must_use]
    pub fn with_transaction_timeout(mut self, timeout: Duration) -> Self {
        self.transaction_timeout = timeout;
        self
    }

    /// Sets the time limit of each operation.
    #[must_use]
    pub fn with_operation_timeout(mut self, timeout: Duration) -> Self {
        self.operation_timeout = timeout;
        self
    }

    /// Sets the other settings.
    #[must_use]
    pub fn with_producer(mut self, producer: ProducerConfig) -> Self {
        self.producer = producer;
        self
    }
}

impl Validate for TransactionalProducerConfig {
    fn validate(&self) -> Result<()> {
        validate::name(&self.transactional_id, 255, "transactional_id")?;
        validate::ensure(
            self.transaction_timeout >= Duration::from_secs(1),
            "transaction_timeout",
            "must be at least 1 s",
        )?;
        // The field of Kafka's protocol has milliseconds in 32 bits.
        validate::ensure(
            self.transaction_timeout.as_millis() <= i32::MAX as u128,
            "transaction_timeout",
            "must be at most 2147483647 ms",
        )?;
        validate::positive(self.operation_timeout, "operation_timeout")?;
        validate::nested(&self.producer, "producer")?;
        validate::ensure(
            self.producer.acks == Acks::All,
            "producer.acks",
            "must be all in a transaction",
        )?;
        validate::ensure(
            self.producer.idempotent != Some(false),
            "producer.idempotent",
            "a transactional producer is idempotent",
        )?;
        validate::ensure(
            self.producer.delivery_timeout <= self.transaction_timeout,
            "producer.delivery_timeout",
            "must not be longer than transaction_timeout",
        )
    }
}

named_enum! {
    "transaction_remedy",
    /// What to do after a failed operation of a transaction. It is in the error's context under
    /// [`context::TRANSACTION`](crate::error::context::TRANSACTION).
    ///
    /// Exhaustive on purpose: an application handles each case, and Kafka defines these three (KIP-98, KIP-588).
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
    pub enum TransactionRemedy {
        /// The outcome is not known, or the cluster is not ready. Call the same operation again.
        Retry => "retry",
        /// Abort the transaction. Then the producer can begin another one.
        Abort => "abort",
        /// The producer is fenced or broken, and the cluster has aborted its transaction or will. Close it. Create another producer
        /// only if no other instance of the application has taken over its transactional id.
        Recreate => "recreate",
    }
}

impl TransactionRemedy {
    /// The remedy of an error. `None` if the error did not change the transaction: the call was wrong (`NotFound`, `InvalidInput`,
    /// `Unsupported`, `Conflict` with the order of operations), or the error is not of a transaction.
    ///
    /// ```
    /// use networking_spi::kafka::TransactionRemedy;
    /// use networking_spi::{ErrorKind, NetworkError};
    ///
    /// let error = NetworkError::new(ErrorKind::Conflict, "kafka.commit_transaction", "the producer is fenced");
    /// assert_eq!(TransactionRemedy::of(&error), None);
    /// let error = TransactionRemedy::Recreate.mark(error);
    /// assert_eq!(TransactionRemedy::of(&error), Some(TransactionRemedy::Recreate));
    /// ```
    pub fn of(error: &NetworkError) -> Option<Self> {
        error.get(context::TRANSACTION)?.parse().ok()
    }

    /// For implementers: puts the remedy into an error. An error that has one keeps it.
    #[must_use]
    pub fn mark(self, error: NetworkError) -> NetworkError {
        match error.get(context::TRANSACTION) {
            Some(_) => error,
            None => error.with_context(context::TRANSACTION, self.to_string()),
        }
    }
}

macro_rules! delegate {
    ($($pointer:ident),+) => {$(
        #[async_trait]
        #[deny(clippy::missing_trait_methods)]
        impl<C: KafkaTransactions + ?Sized> KafkaTransactions for $pointer<C> {
            async fn create_transactional_producer(&self, config: TransactionalProducerConfig) -> Result<ProducerId> {
                (**self).create_transactional_producer(config).await
            }

            async fn init_transactions(&self, producer: &ProducerId) -> Result<()> {
                (**self).init_transactions(producer).await
            }

            async fn begin_transaction(&self, producer: &ProducerId) -> Result<()> {
                (**self).begin_transaction(producer).await
            }

            async fn send_offsets_to_transaction(
                &self,
                producer: &ProducerId,
                consumer: &ConsumerId,
                offsets: CommitOffsets,
            ) -> Result<()> {
                (**self).send_offsets_to_transaction(producer, consumer, offsets).await
            }

            async fn commit_transaction(&self, producer: &ProducerId) -> Result<()> {
                (**self).commit_transaction(producer).await
            }

            async fn abort_transaction(&self, producer: &ProducerId) -> Result<()> {
                (**self).abort_transaction(producer).await
            }
        }
    )+};
}

delegate!(Arc, Box);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ErrorKind;

    #[test]
    fn bad_configurations_name_their_field() {
        let new = || TransactionalProducerConfig::new("id");
        let second = Duration::from_secs(1);
        for (config, field) in [
            (TransactionalProducerConfig::new(""), "transactional_id"),
            (TransactionalProducerConfig::new("x".repeat(256)), "transactional_id"),
            (
                new().with_transaction_timeout(Duration::from_millis(999)),
                "transaction_timeout",
            ),
            (new().with_transaction_timeout(Duration::MAX), "transaction_timeout"),
            (new().with_operation_timeout(Duration::ZERO), "operation_timeout"),
            (
                new().with_producer(ProducerConfig::new().with_batch_size(0)),
                "producer.batch_size",
            ),
            (
                new().with_producer(ProducerConfig::new().with_acks(Acks::Leader)),
                "producer.acks",
            ),
            (
                new().with_producer(ProducerConfig::new().with_idempotent(false)),
                "producer.idempotent",
            ),
            (new().with_transaction_timeout(second), "producer.delivery_timeout"),
        ] {
            let error = config.validate().expect_err(field);
            assert_eq!((error.kind(), error.field()), (ErrorKind::InvalidInput, Some(field)));
        }
    }

    #[test]
    fn the_first_remedy_is_kept() {
        let error = NetworkError::new(ErrorKind::Conflict, "kafka.test", "fenced");
        let error = TransactionRemedy::Abort.mark(TransactionRemedy::Recreate.mark(error));
        assert_eq!(TransactionRemedy::of(&error), Some(TransactionRemedy::Recreate));
    }
}
