//! The transactions of a producer: their state, and the blocking calls of librdkafka.

use std::sync::Arc;
use std::time::Duration;

use networking_spi::error::context;
use networking_spi::kafka::{RecordMetadata, TransactionRemedy, TransactionalProducerConfig};
use networking_spi::{ErrorKind, NetworkError, Phase, Result};
use parking_lot::Mutex;
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode as Code};
use rdkafka::producer::{Producer as _, ThreadedProducer};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::spawn_blocking;
use tokio::time::{Instant, timeout, timeout_at};

use super::delivery::DeliveryContext;
use super::{PRODUCE, Producer};
use crate::rdkafka::control::{interrupted, on_dedicated_thread};
use crate::rdkafka::error;

type Handle = ThreadedProducer<DeliveryContext>;

/// How long a call may exceed the timeout that librdkafka gets. Sending offsets exceeds it if the coordinator is unreachable.
const GRACE: Duration = Duration::from_secs(2);

/// How long a flush waits for records that are not passed to librdkafka yet, before it flushes again.
const FLUSH_AGAIN: Duration = Duration::from_millis(20);

/// The longest time that a producer which is dropped tries to abort its transaction.
const LAST_ABORT: Duration = Duration::from_secs(10);

/// A longer timeout could exceed the range of librdkafka.
const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);

/// What a producer with a transactional id has beyond other producers.
pub(in crate::rdkafka) struct Transaction {
    id: String,
    limit: Duration,
    /// Held by the call that is in progress in librdkafka, also if nobody waits for it any more.
    turn: Arc<AsyncMutex<()>>,
    state: Arc<Mutex<State>>,
}

struct State {
    phase: Stage,
    /// Counts the transactions, so that records do not get into a later one.
    number: u64,
    /// Whether a record or the offsets of the open transaction have failed.
    failed: bool,
    /// The result of a call that nobody waited for.
    unclaimed: Option<(Call, Result<()>)>,
}

#[derive(Clone)]
enum Stage {
    New,
    Ready,
    Open,
    /// The transaction is being committed or aborted.
    Ending(Call),
    /// The producer cannot be used any more.
    Broken(NetworkError),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::rdkafka) enum Call {
    Init,
    Begin,
    SendOffsets,
    Commit,
    Abort,
}

impl Call {
    const fn operation(self) -> &'static str {
        match self {
            Self::Init => "kafka.init_transactions",
            Self::Begin => "kafka.begin_transaction",
            Self::SendOffsets => "kafka.send_offsets_to_transaction",
            Self::Commit => "kafka.commit_transaction",
            Self::Abort => "kafka.abort_transaction",
        }
    }
}

impl Transaction {
    pub(in crate::rdkafka) fn new(config: &TransactionalProducerConfig) -> Self {
        Self {
            id: config.transactional_id.clone(),
            limit: config.operation_timeout.min(MAX_TIMEOUT),
            turn: Arc::default(),
            state: Arc::new(Mutex::new(State {
                phase: Stage::New,
                number: 0,
                failed: false,
                unclaimed: None,
            })),
        }
    }

    /// The number of the open transaction, for a call that writes.
    pub(super) fn open(&self) -> Result<u64> {
        let state = self.state.lock();
        match &state.phase {
            Stage::Open => Ok(state.number),
            other => Err(self.out_of_order(PRODUCE, other)),
        }
    }

    /// Fails if the records of this transaction cannot be sent any more.
    pub(super) fn check_sending(&self, number: u64) -> Result<()> {
        let state = self.state.lock();
        match &state.phase {
            Stage::Open | Stage::Ending(Call::Commit) if state.number == number => Ok(()),
            Stage::Broken(error) => Err(error.clone().with_operation(PRODUCE)),
            _ => Err(self.conflict(PRODUCE, "the transaction has ended before the record was written")),
        }
    }

    /// After a record has failed, the transaction can only be aborted.
    pub(super) fn note(
        &self,
        number: u64,
        handle: Option<&Arc<Handle>>,
        results: Vec<Result<RecordMetadata>>,
    ) -> Vec<Result<RecordMetadata>> {
        if results.iter().all(Result::is_ok) {
            return results;
        }
        let fatal = handle.and_then(|handle| self.fatal(PRODUCE, handle));
        let mut state = self.state.lock();
        if state.number == number {
            state.failed = true;
        }
        if let Some(fatal) = &fatal {
            state.phase = Stage::Broken(fatal.clone());
        }
        drop(state);
        let remedy = match fatal {
            Some(_) => TransactionRemedy::Recreate,
            None => TransactionRemedy::Abort,
        };
        let marked = |result: Result<_>| result.map_err(|error| remedy.mark(error));
        results.into_iter().map(marked).collect()
    }

    pub(super) fn is_open(&self) -> bool {
        matches!(self.state.lock().phase, Stage::Open)
    }

    /// Marks the transaction as one that can only be aborted.
    pub(in crate::rdkafka) fn fail(&self, error: NetworkError) -> NetworkError {
        self.state.lock().failed = true;
        TransactionRemedy::Abort.mark(error)
    }

    /// Whether the call is possible now. A commit and an abort end the transaction for calls that write.
    pub(in crate::rdkafka) fn enter(&self, call: Call) -> Result<()> {
        let operation = call.operation();
        let mut state = self.state.lock();
        match (call, &state.phase) {
            (Call::Commit | Call::SendOffsets, Stage::Open) if state.failed => {
                Err(TransactionRemedy::Abort.mark(self.conflict(
                    operation,
                    "a record or the offsets of the transaction have failed: it can only be aborted",
                )))
            }
            (Call::Init, Stage::New) | (Call::Begin, Stage::Ready) | (Call::SendOffsets, Stage::Open) => Ok(()),
            (Call::Commit | Call::Abort, Stage::Open) => {
                state.phase = Stage::Ending(call);
                Ok(())
            }
            (Call::Commit | Call::Abort, Stage::Ending(same)) if call == *same => Ok(()),
            (_, phase) => Err(self.out_of_order(operation, phase)),
        }
    }

    fn out_of_order(&self, operation: &'static str, phase: &Stage) -> NetworkError {
        let message = match phase {
            Stage::Broken(error) => return error.clone().with_operation(operation),
            Stage::New => "the producer is not registered: call init_transactions first",
            Stage::Ready if operation == Call::Init.operation() => "the producer is registered already",
            Stage::Ready => "no transaction is open",
            Stage::Open => "a transaction is open",
            Stage::Ending(Call::Commit) => "the transaction is being committed: call commit_transaction again",
            Stage::Ending(_) => "the transaction is being aborted: call abort_transaction again",
        };
        self.conflict(operation, message)
    }

    fn conflict(&self, operation: &'static str, message: &'static str) -> NetworkError {
        NetworkError::new(ErrorKind::Conflict, operation, message).with_context("transactional_id", &self.id)
    }

    /// The error that broke the producer, if there is one.
    fn fatal(&self, operation: &'static str, handle: &Handle) -> Option<NetworkError> {
        let (code, reason) = handle.client().fatal_error()?;
        Some(self.broken(operation, code, reason))
    }

    fn broken(&self, operation: &'static str, code: Code, reason: String) -> NetworkError {
        let fenced = matches!(code, Code::Fenced | Code::ProducerFenced | Code::InvalidProducerEpoch);
        let error = error::from_code(operation, code)
            .with_context("transactional_id", &self.id)
            .with_context(context::REASON, if fenced { "fenced".to_owned() } else { reason });
        TransactionRemedy::Recreate.mark(error)
    }

    /// Converts an error of librdkafka, which says what to do.
    fn convert(&self, operation: &'static str, handle: &Handle, error: KafkaError) -> NetworkError {
        let (found, fatal, abort) = match &error {
            KafkaError::Transaction(found) => (found.code(), found.is_fatal(), found.txn_requires_abort()),
            other => (other.rdkafka_error_code().unwrap_or(Code::Unknown), false, false),
        };
        if let Some(fatal) = self.fatal(operation, handle) {
            return fatal.with_source(error);
        }
        if fatal {
            return self.broken(operation, found, error.to_string()).with_source(error);
        }
        let retry = match &error {
            KafkaError::Transaction(found) => found.is_retriable(),
            _ => false,
        };
        let converted = error::from_kafka(operation, error).with_context("transactional_id", &self.id);
        if abort {
            return TransactionRemedy::Abort.mark(converted);
        }
        if retry || converted.retryability().is_retryable() {
            return TransactionRemedy::Retry.mark(converted);
        }
        match converted.kind() {
            // A call in the wrong order, or a bad argument.
            ErrorKind::InvalidInput | ErrorKind::Unsupported => converted,
            _ if found == Code::State => converted,
            _ => TransactionRemedy::Abort.mark(converted),
        }
    }
}

impl State {
    /// Adopts the result of a call.
    fn adopt(&mut self, call: Call, result: &Result<()>) {
        let remedy = result.as_ref().err().map(TransactionRemedy::of);
        match (call, result, remedy) {
            (_, Err(error), Some(Some(TransactionRemedy::Recreate))) => self.phase = Stage::Broken(error.clone()),
            (Call::Init | Call::Commit | Call::Abort, Ok(()), _) => self.phase = Stage::Ready,
            (Call::Begin, Ok(()), _) => {
                self.phase = Stage::Open;
                self.number += 1;
                self.failed = false;
            }
            // Only an abort remains.
            (Call::Commit | Call::SendOffsets, Err(_), Some(Some(TransactionRemedy::Abort))) => {
                self.phase = Stage::Open;
                self.failed = true;
            }
            _ => {}
        }
    }
}

impl Producer {
    pub(in crate::rdkafka) fn transaction(&self, operation: &'static str) -> Result<&Transaction> {
        self.transaction
            .as_deref()
            .ok_or_else(|| NetworkError::invalid_input("producer", "has no transactional id").with_operation(operation))
    }

    /// Runs a call of librdkafka, which gets a timeout, on a blocking thread.
    pub(in crate::rdkafka) async fn transact(
        &self,
        call: Call,
        work: impl FnOnce(&Handle, Duration) -> KafkaResult<()> + Send + 'static,
    ) -> Result<()> {
        let operation = call.operation();
        let transaction = self.transaction.as_ref().ok_or_else(|| {
            NetworkError::invalid_input("producer", "has no transactional id").with_operation(operation)
        })?;
        let handle = self.handle(operation)?;
        let deadline = Instant::now() + transaction.limit;
        let late = |phase| {
            let error = NetworkError::timeout(operation, phase, transaction.limit);
            TransactionRemedy::Retry.mark(self.callbacks.explain(error))
        };
        let turn = timeout_at(deadline, Arc::clone(&transaction.turn).lock_owned())
            .await
            .map_err(|_| late(Phase::Queue))?;
        let unclaimed = transaction.state.lock().unclaimed.take();
        if let Some((_, result)) = unclaimed.filter(|(ended, _)| *ended == call) {
            return result;
        }
        transaction.enter(call)?;
        if call == Call::Commit && !self.flush_all(&handle, deadline).await {
            return Err(late(Phase::Write));
        }
        if call == Call::Commit && transaction.state.lock().failed {
            // A record has failed since the call began.
            transaction.state.lock().phase = Stage::Open;
            transaction.enter(Call::Commit)?;
        }
        let left = deadline.saturating_duration_since(Instant::now());
        let shared = Arc::clone(transaction);
        let work = spawn_blocking(move || {
            let _turn = turn;
            let result = work(&handle, left).map_err(|error| shared.convert(operation, &handle, error));
            let mut state = shared.state.lock();
            state.adopt(call, &result);
            state.unclaimed = Some((call, result));
        });
        match timeout(left.saturating_add(GRACE), work).await {
            Ok(ended) => ended.map_err(interrupted)?,
            Err(_elapsed) => return Err(late(Phase::Total)),
        }
        let unclaimed = transaction.state.lock().unclaimed.take();
        let result = unclaimed.map_or(Ok(()), |(_, result)| result);
        result.map_err(|error| self.callbacks.explain(error))
    }

    /// Aborts the open transaction.
    pub(in crate::rdkafka) async fn abort_transaction(&self) -> Result<()> {
        self.transact(Call::Abort, rdkafka::producer::Producer::abort_transaction)
            .await
    }

    /// Aborts the open transaction, if there is one, before the producer is closed.
    pub(in crate::rdkafka) async fn abort_open(&self) -> Result<()> {
        match &self.transaction {
            Some(transaction) if transaction.is_open() => self.abort_transaction().await,
            _ => Ok(()),
        }
    }

    /// Sends the records that wait for `linger`, and waits until all calls have their results. Returns whether that was before
    /// the deadline.
    async fn flush_all(&self, handle: &Arc<Handle>, deadline: Instant) -> bool {
        while Instant::now() < deadline {
            let flushed = Arc::clone(handle);
            let left = deadline.saturating_duration_since(Instant::now());
            // The results of the records tell whether they were written.
            drop(spawn_blocking(move || flushed.flush(left)).await);
            let again = deadline.min(Instant::now() + FLUSH_AGAIN);
            if timeout_at(again, self.calls.drained()).await.is_ok() {
                return true;
            }
        }
        false
    }

    /// Aborts the open transaction, if there is one, on a dedicated thread, and closes the handle there.
    pub(super) fn close_transaction(transaction: &Arc<Transaction>, handle: Arc<Handle>) {
        let limit = transaction.limit.min(LAST_ABORT);
        let abort = transaction.is_open();
        on_dedicated_thread("kafka-close-producer", move || {
            if abort && let Err(error) = handle.abort_transaction(limit) {
                tracing::warn!(%error, "the transaction of a dropped producer cannot be aborted; it ends at its timeout");
            }
            drop(handle);
        });
    }

    fn handle(&self, operation: &'static str) -> Result<Arc<Handle>> {
        let handle = self.handle.as_ref().map(Arc::clone);
        handle.ok_or_else(|| NetworkError::closed(operation, "the producer"))
    }
}
