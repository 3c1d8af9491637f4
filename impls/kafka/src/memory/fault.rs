//! Injected faults.

use std::sync::atomic::{AtomicUsize, Ordering};

use networking_spi::{ErrorKind, NetworkError, Retryability};
use parking_lot::Mutex;

/// The operations that a [`Fault`] applies to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultPoint {
    /// Writing a record. Each record of a batch is one operation.
    Produce,
    /// A call to consume. With [`Fault::on_topic`]: by a consumer that subscribes to the topic.
    Consume,
    /// A commit. With [`Fault::on_topic`]: by a consumer that subscribes to the topic.
    Commit,
    /// Creating or deleting a topic, requesting the metadata of a topic or the state of a group, and the operations of
    /// [`KafkaAdmin`](networking_spi::kafka::KafkaAdmin). With [`Fault::on_topic`]: only operations on the topic.
    Admin,
    /// Registering a transactional producer, sending offsets to a transaction, committing and aborting it. Not with
    /// [`Fault::on_topic`]. The remedy of a transient error is to retry, that of others to abort.
    Transaction,
}

/// A failure to inject into a [`MemoryCluster`](super::MemoryCluster).
///
/// ```
/// use networking_kafka::memory::{Fault, FaultPoint, MemoryCluster};
/// use networking_spi::kafka::{KafkaClient, NewTopic, ProducerConfig, ProducerRecord};
/// use networking_spi::{ErrorKind, Result};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<()> {
/// let cluster = MemoryCluster::new();
/// let kafka = cluster.client();
/// kafka.create_topic(NewTopic::new("orders", 1)).await?;
/// let producer = kafka.create_producer(ProducerConfig::new()).await?;
///
/// cluster.inject(Fault::new(FaultPoint::Produce, ErrorKind::ConnectionClosed).on_topic("orders").times(1));
/// let error = kafka.produce_message(&producer, ProducerRecord::new("orders")).await.unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::ConnectionClosed);
/// kafka.produce_message(&producer, ProducerRecord::new("orders")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "a fault has an effect only after `MemoryCluster::inject`"]
pub struct Fault {
    point: FaultPoint,
    kind: ErrorKind,
    topic: Option<String>,
    skip: usize,
    times: usize,
    after_effect: bool,
    retryability: Option<Retryability>,
}

impl Fault {
    /// Makes the next operation at `point` fail with `kind` and without effect.
    pub fn new(point: FaultPoint, kind: ErrorKind) -> Self {
        Self {
            point,
            kind,
            topic: None,
            skip: 0,
            times: 1,
            after_effect: false,
            retryability: None,
        }
    }

    /// Sets the retryability of the error. Default: that of its kind.
    pub fn with_retryability(mut self, retryability: Retryability) -> Self {
        self.retryability = Some(retryability);
        self
    }

    /// Restricts the fault to operations on this topic.
    pub fn on_topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// Sets how many operations fail. Default: 1. `usize::MAX` means all.
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// Sets how many operations succeed before the first one that fails. Default: 0.
    pub fn after(mut self, operations: usize) -> Self {
        self.skip = operations;
        self
    }

    /// Lets the operation take effect before it fails, as if only the response did not arrive: the record is written or the
    /// offset is committed, and the caller gets the error. Has no effect for [`FaultPoint::Consume`] and
    /// [`FaultPoint::Admin`].
    pub fn after_effect(mut self) -> Self {
        self.after_effect = true;
        self
    }
}

/// How an operation fails.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    kind: ErrorKind,
    retryability: Option<Retryability>,
    pub(super) after_effect: bool,
}

impl Failure {
    pub(super) fn error(self, operation: &'static str) -> NetworkError {
        let error = NetworkError::new(self.kind, operation, "injected fault");
        match self.retryability {
            Some(retryability) => error.with_retryability(retryability),
            None => error,
        }
    }
}

/// The injected faults that still apply.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// The number of faults, for a check without the lock.
    count: AtomicUsize,
    faults: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        if fault.times > 0 {
            let mut faults = self.faults.lock();
            faults.push(fault);
            self.count.store(faults.len(), Ordering::Release);
        }
    }

    pub(super) fn clear(&self) {
        let mut faults = self.faults.lock();
        faults.clear();
        self.count.store(0, Ordering::Release);
    }

    /// Counts one operation. Returns its failure if a fault applies to it. Takes no lock if there are no faults.
    pub(super) fn next(&self, point: FaultPoint, concerns: impl Fn(&str) -> bool) -> Option<Failure> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut faults = self.faults.lock();
        let index = faults.iter_mut().position(|fault| {
            let hit = fault.point == point && fault.topic.as_deref().is_none_or(&concerns);
            let due = hit && fault.skip == 0;
            fault.skip -= usize::from(hit && !due);
            due
        })?;
        let fault = &mut faults[index];
        let failure = Failure {
            kind: fault.kind,
            retryability: fault.retryability,
            after_effect: fault.after_effect,
        };
        if fault.times != usize::MAX {
            fault.times -= 1;
        }
        if fault.times == 0 {
            drop(faults.remove(index));
            self.count.store(faults.len(), Ordering::Release);
        }
        Some(failure)
    }

    /// Like [`next`](Self::next), for operations that fail without effect.
    pub(super) fn check(
        &self,
        point: FaultPoint,
        operation: &'static str,
        concerns: impl Fn(&str) -> bool,
    ) -> Result<(), NetworkError> {
        self.next(point, concerns)
            .map_or(Ok(()), |failure| Err(failure.error(operation)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_count_only_matching_operations() {
        let faults = Faults::default();
        faults.add(
            Fault::new(FaultPoint::Produce, ErrorKind::Timeout)
                .on_topic("a")
                .after(1)
                .times(2),
        );
        let hits = |topic: &'static str| faults.next(FaultPoint::Produce, |name| name == topic).is_some();
        assert!(!hits("b"));
        assert!(!hits("a"), "one operation succeeds first");
        assert!(faults.next(FaultPoint::Commit, |_| true).is_none());
        assert!(hits("a"));
        assert!(hits("a"));
        assert!(!hits("a"));
        assert_eq!(faults.count.load(Ordering::Relaxed), 0);
    }
}
