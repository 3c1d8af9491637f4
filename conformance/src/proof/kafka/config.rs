//! The configurations that saboteurs pass on in place of the given ones.

use std::time::Duration;

use networking_spi::kafka::{Acks, ConsumerConfig, OffsetReset, ProducerConfig};

use super::Saboteur;

/// Alters the configuration of a producer. Invalid values stay invalid.
pub(super) fn alter_producer(saboteur: Saboteur, config: &mut ProducerConfig) {
    match saboteur {
        Saboteur::LimitIsExclusive if config.max_message_size > 1 => config.max_message_size -= 1,
        Saboteur::NoLimit if config.max_message_size > 0 => config.max_message_size = 1_000_000,
        Saboteur::AlwaysAcknowledged if config.acks == Acks::None => config.acks = Acks::Leader,
        Saboteur::NoDeliveryTimeout if !config.delivery_timeout.is_zero() && config.linger.is_zero() => {
            config.delivery_timeout = Duration::from_secs(86_400);
        }
        Saboteur::NoClientIds => config.client_id = config.client_id.take().filter(|id| id.trim().is_empty()),
        Saboteur::NoLinger if config.linger < config.delivery_timeout => config.linger = Duration::ZERO,
        Saboteur::NoBatchSize if config.batch_size > 0 => config.batch_size = 1_000_000,
        Saboteur::NoQueueSize if config.queue_size > 0 => config.queue_size = 100_000,
        Saboteur::NoBackendSettings => config.backend.clear(),
        _ => {}
    }
}

/// Alters the configuration of a consumer. Invalid values stay invalid.
pub(super) fn alter_consumer(saboteur: Saboteur, client: usize, config: &mut ConsumerConfig) {
    match (saboteur, config.offset_reset) {
        (Saboteur::OneTopic, _) => config.topics.truncate(1),
        (Saboteur::EarliestIsLatest, OffsetReset::Earliest) => config.offset_reset = OffsetReset::Latest,
        (Saboteur::LatestIsEarliest, OffsetReset::Latest) | (Saboteur::FailIsEarliest, OffsetReset::Fail) => {
            config.offset_reset = OffsetReset::Earliest;
        }
        (Saboteur::OneGroup, _) if !config.group.is_empty() => "one-group".clone_into(&mut config.group),
        (Saboteur::OneGroupPerClient, _) if !config.group.is_empty() => {
            config.group = format!("{}-{}", config.group, client);
        }
        (Saboteur::NoStaticMembers, _) => {
            config.group_instance_id = config.group_instance_id.take().filter(String::is_empty);
        }
        (Saboteur::NoClientIds, _) => {
            config.client_id = config.client_id.take().filter(|id| id.trim().is_empty());
        }
        (Saboteur::NoSessionTimeout, _)
            if !config.session_timeout.is_zero() && config.session_timeout <= config.max_poll_interval =>
        {
            config.session_timeout = config.max_poll_interval;
        }
        (Saboteur::LimitsSessionTimeouts, _) => {
            config.session_timeout = config.session_timeout.min(Duration::from_secs(1800));
        }
        (Saboteur::NoPollInterval, _) if config.session_timeout <= config.max_poll_interval => {
            config.max_poll_interval = Duration::from_secs(300);
        }
        (Saboteur::NoBackendSettings, _) => config.backend.clear(),
        (Saboteur::NoIsolation, _) => config.isolation_level = None,
        _ => {}
    }
}
