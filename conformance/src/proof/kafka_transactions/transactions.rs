//! The transactions of each saboteur.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use networking_spi::error::context;
use networking_spi::kafka::{
    CommitOffsets, ConsumerId, KafkaTransactions, ProducerId, TransactionRemedy, TransactionalProducerConfig,
};
use networking_spi::validate::Validate;
use networking_spi::{ErrorKind, NetworkError, Result};

use super::Saboteur;
use crate::kafka_transactions::TransactionalClient;

/// Makes transactional ids unique.
static IDS: AtomicUsize = AtomicUsize::new(0);

/// Wraps a correct client, and makes one mistake.
#[derive(Debug)]
pub(super) struct SaboteurTransactions {
    pub(super) inner: TransactionalClient,
    pub(super) saboteur: Saboteur,
    /// What each transactional producer has sent in its open transaction.
    sent: Mutex<HashMap<ProducerId, usize>>,
    /// The records that were written in transactions.
    pub(super) written: Mutex<i64>,
    /// A producer without transactions.
    pub(super) plain: Mutex<Option<ProducerId>>,
}

impl SaboteurTransactions {
    pub(super) fn new(inner: TransactionalClient, saboteur: Saboteur) -> Self {
        Self {
            inner,
            saboteur,
            sent: Mutex::default(),
            written: Mutex::default(),
            plain: Mutex::default(),
        }
    }

    pub(super) fn is(&self, saboteur: Saboteur) -> bool {
        self.saboteur == saboteur
    }

    pub(super) fn sent(&self) -> MutexGuard<'_, HashMap<ProducerId, usize>> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the producer is transactional.
    pub(super) fn knows(&self, producer: &ProducerId) -> bool {
        self.sent().contains_key(producer)
    }

    pub(super) fn count(&self, producer: &ProducerId) {
        if let Some(sent) = self.sent().get_mut(producer) {
            *sent += 1;
        }
    }

    /// Removes what the saboteur does not report from an error.
    pub(super) fn altered<T>(&self, result: Result<T>) -> Result<T> {
        result.map_err(|error| {
            let hidden = match self.saboteur {
                Saboteur::NoRemedies => context::TRANSACTION.as_str(),
                Saboteur::FieldsAreUnnamed => context::FIELD.as_str(),
                _ => return error,
            };
            let plain = NetworkError::new(error.kind(), error.operation().to_owned(), error.message().to_owned());
            error
                .context()
                .filter(|(key, _)| *key != hidden)
                .fold(plain, |plain, (key, value)| plain.with_context(key.to_owned(), value))
        })
    }

    /// Whether this failure is to be reported as a success.
    fn hides(&self, saboteur: Saboteur, result: &Result<()>, kind: ErrorKind) -> bool {
        self.is(saboteur) && matches!(result, Err(error) if error.kind() == kind)
    }

    fn hides_conflict(&self, saboteur: Saboteur, result: &Result<()>, remedy: Option<TransactionRemedy>) -> bool {
        self.hides(saboteur, result, ErrorKind::Conflict)
            && matches!(result, Err(error) if TransactionRemedy::of(error) == remedy)
    }

    /// Mistakes in the arguments that are not noticed.
    fn reported(&self, result: Result<()>) -> Result<()> {
        if self.hides(Saboteur::EveryProducerExists, &result, ErrorKind::NotFound)
            || self.hides(Saboteur::AcceptsPlainProducers, &result, ErrorKind::InvalidInput)
        {
            return Ok(());
        }
        self.altered(result)
    }

    async fn end(&self, producer: &ProducerId, commits: bool) -> Result<()> {
        let sent = self.sent().get(producer).copied();
        if self.is(Saboteur::RefusesEmpty) && sent == Some(0) {
            return Err(NetworkError::new(ErrorKind::Conflict, "saboteur", "nothing to commit"));
        }
        let inner = &self.inner.transactions;
        let really_commits = match self.saboteur {
            Saboteur::CommitAborts => false,
            Saboteur::AbortCommits => true,
            _ => commits,
        };
        let mut result = if really_commits {
            inner.commit_transaction(producer).await
        } else {
            inner.abort_transaction(producer).await
        };
        let abort = Some(TransactionRemedy::Abort);
        if self.hides_conflict(Saboteur::CommitsTheRest, &result, abort)
            || (self.hides_conflict(Saboteur::AbortCommits, &result, abort) && !commits)
        {
            result = inner.abort_transaction(producer).await;
        }
        if self.hides_conflict(Saboteur::EndsTwice, &result, None) {
            return Ok(());
        }
        self.reported(result)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl KafkaTransactions for SaboteurTransactions {
    async fn create_transactional_producer(&self, mut config: TransactionalProducerConfig) -> Result<ProducerId> {
        match self.saboteur {
            Saboteur::AcceptsBadConfigurations if config.validate().is_err() => {
                config = TransactionalProducerConfig::new("default");
            }
            Saboteur::NoTimeout if config.validate().is_ok() => {
                config.transaction_timeout = Duration::from_secs(86_400);
            }
            Saboteur::NeverFences if !config.transactional_id.is_empty() => {
                let number = IDS.fetch_add(1, Ordering::Relaxed);
                config.transactional_id = format!("{}-{number}", config.transactional_id);
            }
            Saboteur::OneId if !config.transactional_id.is_empty() => "one".clone_into(&mut config.transactional_id),
            _ => {}
        }
        let producer = self.altered(self.inner.transactions.create_transactional_producer(config).await)?;
        if self.is(Saboteur::InitOnCreation) {
            self.inner.transactions.init_transactions(&producer).await?;
        }
        self.sent().insert(producer.clone(), 0);
        Ok(producer)
    }

    async fn init_transactions(&self, producer: &ProducerId) -> Result<()> {
        let result = self.inner.transactions.init_transactions(producer).await;
        if self.hides_conflict(Saboteur::InitOnCreation, &result, None) {
            return Ok(());
        }
        self.reported(result)
    }

    async fn begin_transaction(&self, producer: &ProducerId) -> Result<()> {
        let result = self.inner.transactions.begin_transaction(producer).await;
        if let (Ok(()), Some(sent)) = (&result, self.sent().get_mut(producer)) {
            *sent = 0;
        }
        if self.hides_conflict(Saboteur::BeginsAgain, &result, None)
            || self.hides_conflict(Saboteur::ForgetsFencing, &result, Some(TransactionRemedy::Recreate))
        {
            return Ok(());
        }
        self.reported(result)
    }

    async fn send_offsets_to_transaction(
        &self,
        producer: &ProducerId,
        consumer: &ConsumerId,
        offsets: CommitOffsets,
    ) -> Result<()> {
        if self.is(Saboteur::DropsOffsets) {
            return Ok(());
        }
        let result = if self.is(Saboteur::CommitsOffsetsAtOnce) {
            self.inner.client.commit_offsets(consumer, offsets).await
        } else {
            let inner = &self.inner.transactions;
            inner.send_offsets_to_transaction(producer, consumer, offsets).await
        };
        self.count(producer);
        if self.hides(Saboteur::IgnoresConflicts, &result, ErrorKind::Conflict)
            || self.hides(Saboteur::AcceptsBadOffsets, &result, ErrorKind::InvalidInput)
        {
            return Ok(());
        }
        self.altered(result)
    }

    async fn commit_transaction(&self, producer: &ProducerId) -> Result<()> {
        self.end(producer, true).await
    }

    async fn abort_transaction(&self, producer: &ProducerId) -> Result<()> {
        self.end(producer, false).await
    }
}
