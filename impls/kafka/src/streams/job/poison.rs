//! Poison messages: those that cannot be processed.

use bytes::Bytes;
use networking_spi::kafka::{KafkaMessage, ProducerRecord};
use networking_spi::{ErrorKind, NetworkError};

// Headers of a dead-letter record. The first one has the kind of the error.
const EXCEPTION: &str = "__streams.errors.exception";
const MESSAGE: &str = "__streams.errors.message";
const TOPIC: &str = "__streams.errors.topic";
const PARTITION: &str = "__streams.errors.partition";
const OFFSET: &str = "__streams.errors.offset";

/// The record for the dead-letter topic: the unchanged message, with headers for its origin and its error.
pub(super) fn dead_letter(topic: &str, message: &KafkaMessage, error: &NetworkError) -> ProducerRecord {
    let mut record = ProducerRecord::new(topic);
    record.key.clone_from(&message.key);
    record.value.clone_from(&message.value);
    record.headers = message.headers.clone();
    record.timestamp = message.timestamp;
    for (name, value) in [
        (EXCEPTION, error.kind().to_string()),
        (MESSAGE, error.to_string()),
        (TOPIC, message.topic.to_string()),
        (PARTITION, message.partition.to_string()),
        (OFFSET, message.offset.to_string()),
    ] {
        record.headers.push(name, Some(Bytes::from(value)));
    }
    record
}

/// Whether an output cannot be written because of the record itself. The poison policy applies only then: other errors would
/// affect every message, and skipping them all would lose data.
pub(super) fn is_caused_by_record(error: &NetworkError) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TooLarge | ErrorKind::InvalidInput | ErrorKind::Rejected | ErrorKind::Encode
    )
}
