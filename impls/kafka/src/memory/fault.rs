//! Faults on purpose.

use std::sync::atomic::{AtomicUsize, Ordering};

use networking_spi::{ErrorKind, NetworkError};
use parking_lot::Mutex;

/// Which operations a [`Fault`] hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FaultPoint {
    /// Writing a record: each record of a batch on its own.
    Produce,
    /// A call to consume. With [`Fault::on_topic`]: of a consumer that reads the topic.
    Consume,
    /// A commit. With [`Fault::on_topic`]: of a consumer that reads the topic.
    Commit,
    /// Creating and deleting topics, asking for metadata and for groups. With [`Fault::on_topic`]: of this topic.
    Admin,
}

/// A failure that a [`MemoryCluster`](super::MemoryCluster) plays on purpose.
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
pub struct Fault {
    point: FaultPoint,
    kind: ErrorKind,
    topic: Option<String>,
    skip: usize,
    times: usize,
    after_effect: bool,
}

impl Fault {
    /// The next operation at `point` fails with `kind`, and has no effect.
    pub fn new(point: FaultPoint, kind: ErrorKind) -> Self {
        Self {
            point,
            kind,
            topic: None,
            skip: 0,
            times: 1,
            after_effect: false,
        }
    }

    /// Only operations on this topic fail.
    pub fn on_topic(mut self, topic: impl Into<String>) -> Self {
        self.topic = Some(topic.into());
        self
    }

    /// So many operations fail. `usize::MAX` is forever.
    pub fn times(mut self, times: usize) -> Self {
        self.times = times;
        self
    }

    /// So many operations succeed before the first one that fails.
    pub fn after(mut self, operations: usize) -> Self {
        self.skip = operations;
        self
    }

    /// The operation takes effect, but its answer is lost: the record is written, or the offset committed, and the caller
    /// gets the error. Consuming has no effect before its answer, so there it changes nothing.
    pub fn after_effect(mut self) -> Self {
        self.after_effect = true;
        self
    }
}

/// The failure that an operation has to play.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failure {
    kind: ErrorKind,
    pub(super) after_effect: bool,
}

impl Failure {
    pub(super) fn error(self, operation: &'static str) -> NetworkError {
        NetworkError::new(self.kind, operation, "injected fault")
    }
}

/// The faults that are still to be played.
#[derive(Debug, Default)]
pub(super) struct Faults {
    armed: AtomicUsize,
    faults: Mutex<Vec<Fault>>,
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        if fault.times > 0 {
            let mut faults = self.faults.lock();
            faults.push(fault);
            self.armed.store(faults.len(), Ordering::Release);
        }
    }

    pub(super) fn clear(&self) {
        let mut faults = self.faults.lock();
        faults.clear();
        self.armed.store(0, Ordering::Release);
    }

    /// Counts one operation and gives the failure it has to play. Without faults this is one load.
    pub(super) fn next(&self, point: FaultPoint, concerns: impl Fn(&str) -> bool) -> Option<Failure> {
        if self.armed.load(Ordering::Acquire) == 0 {
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
            after_effect: fault.after_effect,
        };
        if fault.times != usize::MAX {
            fault.times -= 1;
        }
        if fault.times == 0 {
            faults.remove(index);
            self.armed.store(faults.len(), Ordering::Release);
        }
        Some(failure)
    }

    /// As [`next`](Self::next) for an operation that either fails or does not.
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
    fn faults_count_only_what_they_concern() {
        let faults = Faults::default();
        faults.add(
            Fault::new(FaultPoint::Produce, ErrorKind::Timeout)
                .on_topic("a")
                .after(1)
                .times(2),
        );
        let hits = |topic: &'static str| faults.next(FaultPoint::Produce, |name| name == topic).is_some();
        assert!(!hits("b"));
        assert!(!hits("a"), "one operation passes first");
        assert!(faults.next(FaultPoint::Commit, |_| true).is_none());
        assert!(hits("a"));
        assert!(hits("a"));
        assert!(!hits("a"));
        assert_eq!(faults.armed.load(Ordering::Relaxed), 0);
    }
}
