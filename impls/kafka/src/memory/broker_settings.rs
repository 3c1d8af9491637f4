//! The settings of the brokers, and what administrators may do.

use std::sync::atomic::{AtomicUsize, Ordering};

use networking_spi::kafka::{ConfigChange, ConfigEntry, ConfigOperation, ConfigSource, KafkaAdminCapabilities};
use networking_spi::{NetworkError, Result};

use super::settings::unless_size;

/// The one setting of a broker that can be changed.
const MESSAGE_MAX_BYTES: &str = "message.max.bytes";

/// Kafka's default of [`MESSAGE_MAX_BYTES`].
const DEFAULT_LARGEST_BATCH: usize = 1_048_588;

/// Stands for no value. The largest value of the setting is smaller.
const UNSET: usize = usize::MAX;

/// The brokers, and what clients declare as administrators.
#[derive(Debug)]
pub(super) struct Administration {
    pub(super) capabilities: KafkaAdminCapabilities,
    racks: Vec<String>,
    /// The dynamic value of `message.max.bytes` of each broker.
    largest_batches: Box<[AtomicUsize]>,
}

impl Administration {
    pub(super) fn new(capabilities: KafkaAdminCapabilities, brokers: i32, racks: Vec<String>) -> Self {
        Self {
            capabilities,
            racks,
            largest_batches: (0..brokers).map(|_| AtomicUsize::new(UNSET)).collect(),
        }
    }

    /// The rack of a broker.
    pub(super) fn rack(&self, broker: i32) -> Option<String> {
        let index = usize::try_from(broker).ok()?.checked_rem(self.racks.len())?;
        self.racks.get(index).cloned()
    }

    /// The largest batch that a broker accepts, in bytes, unless the topic has a limit.
    pub(super) fn largest_batch(&self, broker: i32) -> usize {
        self.dynamic(broker).unwrap_or(DEFAULT_LARGEST_BATCH)
    }

    /// `message.max.bytes` of a broker.
    pub(super) fn message_max_bytes(&self, broker: i32) -> ConfigEntry {
        let entry = ConfigEntry::new(MESSAGE_MAX_BYTES, Some(DEFAULT_LARGEST_BATCH.to_string()));
        match self.dynamic(broker) {
            Some(bytes) => entry.with_value(Some(bytes.to_string()), ConfigSource::DynamicBroker),
            None => entry,
        }
    }

    /// Changes settings of a broker. `fixed` are those that cannot be changed.
    pub(super) fn alter(&self, broker: i32, changes: &[ConfigChange], fixed: &[ConfigEntry]) -> Result<()> {
        let invalid = |change: &ConfigChange, message: String| NetworkError::invalid_input(change.field(), message);
        let mut value = None;
        for change in changes {
            if fixed.iter().any(|entry| entry.name == change.name) {
                return Err(invalid(change, "cannot be changed while the broker runs".to_owned()));
            }
            if change.name != MESSAGE_MAX_BYTES {
                return Err(invalid(change, "is not a broker setting".to_owned()));
            }
            value = Some(match &change.operation {
                ConfigOperation::Set(bytes) => match (unless_size(bytes), bytes.trim().parse()) {
                    (None, Ok(bytes)) => bytes,
                    (violation, _) => return Err(invalid(change, violation.unwrap_or_default())),
                },
                ConfigOperation::Delete => UNSET,
                _ => return Err(invalid(change, "is not a list".to_owned())),
            });
        }
        if let (Some(value), Some(stored)) = (value, self.stored(broker)) {
            stored.store(value, Ordering::Relaxed);
        }
        Ok(())
    }

    fn dynamic(&self, broker: i32) -> Option<usize> {
        Some(self.stored(broker)?.load(Ordering::Relaxed)).filter(|bytes| *bytes != UNSET)
    }

    fn stored(&self, broker: i32) -> Option<&AtomicUsize> {
        self.largest_batches.get(usize::try_from(broker).ok()?)
    }
}
