//! The transactions of one producer.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::error::context;
use networking_spi::kafka::{CommitOffsets, RecordMetadata, TransactionRemedy, TransactionalProducerConfig};
use networking_spi::{ErrorKind, NetworkError, Result};
use parking_lot::{Mutex, MutexGuard};

use super::cluster::Cluster;
use super::consumer::Consumer;
use super::coordinator::{Open, TransactionalId};
use super::mark::{Mark, Outcome};
use super::topic::Topic;

/// What a producer with a transactional id has beyond other producers.
#[derive(Debug)]
pub(super) struct Transaction {
    cluster: Arc<Cluster>,
    id: Arc<Mutex<TransactionalId>>,
    name: String,
    timeout: Duration,
    pub(super) operation_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The epoch with which the producer is registered.
    epoch: Option<u64>,
    /// Whether a record of the open transaction has failed, or its offsets.
    failed: bool,
    /// An end of a transaction that the producer was not informed of.
    unreported: Option<Outcome>,
}

impl Transaction {
    pub(super) fn new(
        cluster: Arc<Cluster>,
        config: TransactionalProducerConfig,
        operation: &'static str,
    ) -> Result<Self> {
        let id = cluster
            .coordinator
            .id(&config.transactional_id, cluster.limits.handles, operation)?;
        Ok(Self {
            cluster,
            id,
            name: config.transactional_id,
            timeout: config.transaction_timeout,
            operation_timeout: config.operation_timeout,
            state: Mutex::default(),
        })
    }

    pub(super) fn init(&self, operation: &'static str) -> Result<()> {
        let mut id = self.id.lock();
        let mut state = self.state.lock();
        if state.epoch.is_some() {
            return Err(self.out_of_order(operation, "the producer is registered already"));
        }
        id.epoch = self.cluster.coordinator.next_epoch();
        id.end(&self.cluster.topics, Outcome::Aborted);
        state.epoch = Some(id.epoch);
        Ok(())
    }

    pub(super) fn begin(&self, operation: &'static str) -> Result<()> {
        let mut id = self.current(operation)?;
        if id.open.is_some() {
            return Err(self.out_of_order(operation, "a transaction is open"));
        }
        let mut state = self.state.lock();
        state.failed = false;
        state.unreported = None;
        id.open = Some(Open::default());
        Ok(())
    }

    /// Ends the transaction. With `unreported`, the caller gets an error although it was ended.
    pub(super) fn end(&self, operation: &'static str, outcome: Outcome, unreported: bool) -> Result<()> {
        let mut id = self.current(operation)?;
        let mut state = self.state.lock();
        if id.open.is_none() {
            if state.unreported.take() == Some(outcome) {
                return Ok(());
            }
            return Err(self.out_of_order(operation, "no transaction is open"));
        }
        if outcome == Outcome::Committed && state.failed {
            return Err(self.must_abort(operation));
        }
        id.end(&self.cluster.topics, outcome);
        state.failed = false;
        state.unreported = unreported.then_some(outcome);
        Ok(())
    }

    pub(super) fn send_offsets(
        &self,
        operation: &'static str,
        consumer: &Consumer,
        offsets: CommitOffsets,
    ) -> Result<()> {
        let mut id = self.current(operation)?;
        let Some(open) = &mut id.open else {
            return Err(self.out_of_order(operation, "no transaction is open"));
        };
        if self.state.lock().failed {
            return Err(self.must_abort(operation));
        }
        let (group, offsets) = consumer.hold_offsets(operation, offsets).map_err(|error| {
            if error.kind() != ErrorKind::Conflict {
                return error;
            }
            self.state.lock().failed = true;
            TransactionRemedy::Abort.mark(error)
        })?;
        if !offsets.is_empty() {
            let now = self.cluster.clock().elapsed();
            self.cluster.coordinator.start(open, now, self.timeout);
            open.add_offsets(&group, offsets);
        }
        Ok(())
    }

    /// The open transaction, for a call that writes.
    pub(super) fn open(&self, operation: &'static str) -> Result<Arc<Mark>> {
        match &self.current(operation)?.open {
            Some(open) => Ok(Arc::clone(&open.mark)),
            None => Err(self.out_of_order(operation, "no transaction is open")),
        }
    }

    /// Keeps the transaction open while records are written. Fails if it is not open any more.
    pub(super) fn write(&self, operation: &'static str, mark: &Arc<Mark>) -> Result<Write<'_>> {
        let id = self.current(operation)?;
        if id.open.as_ref().is_some_and(|open| Arc::ptr_eq(&open.mark, mark)) {
            return Ok(Write { transaction: self, id });
        }
        Err(self.out_of_order(operation, "the transaction has ended before the record was written"))
    }

    /// After a record has failed, the transaction can only be aborted.
    pub(super) fn note(&self, mark: &Arc<Mark>, results: Vec<Result<RecordMetadata>>) -> Vec<Result<RecordMetadata>> {
        if results.iter().any(Result::is_err) {
            let id = self.id.lock();
            if id.open.as_ref().is_some_and(|open| Arc::ptr_eq(&open.mark, mark)) {
                self.state.lock().failed = true;
            }
        }
        let marked = |result: Result<_>| result.map_err(|error| TransactionRemedy::Abort.mark(error));
        results.into_iter().map(marked).collect()
    }

    /// Aborts the open transaction, if there is one.
    pub(super) fn close(&self) {
        let mut id = self.id.lock();
        if self.state.lock().epoch == Some(id.epoch) {
            id.end(&self.cluster.topics, Outcome::Aborted);
        }
    }

    /// The transactional id, locked. Fails for a producer that is not registered, or fenced.
    fn current(&self, operation: &'static str) -> Result<MutexGuard<'_, TransactionalId>> {
        self.cluster.coordinator.expire(&self.cluster.topics);
        let id = self.id.lock();
        let epoch = self.state.lock().epoch;
        match epoch {
            None => Err(self.out_of_order(
                operation,
                "the producer is not registered: call init_transactions first",
            )),
            Some(epoch) if epoch != id.epoch => {
                let error = self.conflict(
                    operation,
                    "a newer producer with the same transactional id fenced this one, or its transaction exceeded its timeout",
                );
                Err(TransactionRemedy::Recreate.mark(error.with_context(context::REASON, "fenced")))
            }
            Some(_) => Ok(id),
        }
    }

    fn must_abort(&self, operation: &'static str) -> NetworkError {
        TransactionRemedy::Abort.mark(self.conflict(
            operation,
            "a record or the offsets of the transaction have failed: it can only be aborted",
        ))
    }

    fn out_of_order(&self, operation: &'static str, message: &'static str) -> NetworkError {
        self.conflict(operation, message)
    }

    fn conflict(&self, operation: &'static str, message: &'static str) -> NetworkError {
        NetworkError::new(ErrorKind::Conflict, operation, message).with_context("transactional_id", &self.name)
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.close();
    }
}

/// Records that are written to an open transaction, which does not end meanwhile.
pub(super) struct Write<'t> {
    transaction: &'t Transaction,
    id: MutexGuard<'t, TransactionalId>,
}

impl Write<'_> {
    /// The mark of a record in this partition.
    pub(super) fn mark(&mut self, topic: &Arc<Topic>, partition: usize) -> Arc<Mark> {
        let Transaction { cluster, timeout, .. } = self.transaction;
        let open = self.id.open.as_mut().expect("checked by `write`, and locked since");
        cluster.coordinator.start(open, cluster.clock().elapsed(), *timeout);
        open.add_partition(topic, partition);
        Arc::clone(&open.mark)
    }
}
