//! The messages of one call.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use networking_spi::kafka::{ConsumerAssignment, KafkaMessage, TopicName, TopicPartition};
use parking_lot::Mutex;
use rdkafka::Message;
use rdkafka::message::BorrowedMessage;

use crate::rdkafka::membership::Membership;
use crate::rdkafka::native;
use crate::rdkafka::timestamp::from_millis;

/// The messages of one call. Rebalances happen while the queue is read: what was read from a partition that is then revoked is
/// left to the partition's next owner, or read again from the committed offset.
pub(super) struct Batch<'c, 'm> {
    membership: &'c Mutex<Membership>,
    /// Counts the changes of the membership.
    changes: Arc<AtomicU64>,
    /// The changes that are taken into account.
    seen: u64,
    /// The assignment under which `messages` were read.
    assignment: ConsumerAssignment,
    messages: Vec<KafkaMessage>,
    run: Option<Run<'m>>,
}

/// Consecutive messages of one partition without a change of the membership. They need the membership only once.
struct Run<'m> {
    /// Keeps the pointer to the topic valid, by which messages of the same topic are recognized.
    first: BorrowedMessage<'m>,
    topic: TopicName,
    /// The offset after the last message.
    next: i64,
    /// Whether the messages are returned.
    returned: bool,
}

impl Run<'_> {
    fn has(&self, message: &BorrowedMessage<'_>) -> bool {
        self.first.topic_ptr() == message.topic_ptr() && self.first.partition() == message.partition()
    }
}

impl<'c, 'm> Batch<'c, 'm> {
    pub(super) fn new(membership: &'c Mutex<Membership>, max_messages: usize) -> Self {
        let current = membership.lock();
        let changes = current.changes();
        Self {
            membership,
            seen: changes.load(Ordering::Acquire),
            changes,
            assignment: current.assignment().clone(),
            messages: Vec::with_capacity(max_messages.min(1024)),
            run: None,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.messages.len()
    }

    pub(super) fn push(&mut self, message: BorrowedMessage<'m>) {
        let unchanged = self.changes.load(Ordering::Acquire) == self.seen;
        if let Some(run) = self.run.as_mut().filter(|run| unchanged && run.has(&message)) {
            run.next = message.offset() + 1;
            if run.returned {
                self.messages.push(copy(&message, &run.topic));
            }
            return;
        }
        self.end_run();
        let topic = TopicName::from(message.topic());
        let returned = self.membership.lock().reads(&topic, message.partition());
        if returned {
            self.messages.push(copy(&message, &topic));
        }
        self.run = Some(Run {
            topic,
            next: message.offset() + 1,
            first: message,
            returned,
        });
    }

    pub(super) fn finish(mut self) -> Vec<KafkaMessage> {
        self.end_run();
        self.messages
    }

    /// Notes the position, and drops the messages of partitions that were revoked.
    fn end_run(&mut self) {
        let mut membership = self.membership.lock();
        self.seen = self.changes.load(Ordering::Acquire);
        let current = membership.assignment();
        if !current.is_same(&self.assignment) {
            let continues = |message: &KafkaMessage| current.continues(&self.assignment, &message.topic_partition());
            self.messages.retain(continues);
            if let Some(run) = &mut self.run {
                let partition = TopicPartition::new(&run.topic, run.first.partition());
                run.returned &= current.continues(&self.assignment, &partition);
            }
            self.assignment = current.clone();
        }
        if let Some(run) = self.run.take().filter(|run| run.returned) {
            membership.consumed(&run.topic, run.first.partition(), run.next);
        }
    }
}

fn copy(message: &BorrowedMessage<'_>, topic: &TopicName) -> KafkaMessage {
    let mut copy = KafkaMessage::new(topic, message.partition(), message.offset());
    copy.key = message.key().map(Bytes::copy_from_slice);
    copy.value = message.payload().map(Bytes::copy_from_slice);
    copy.timestamp = from_millis(message.timestamp().to_millis());
    copy.headers = native::headers(message);
    copy
}
