//! Producer settings for each optimization goal.

use std::time::Duration;

use networking_spi::kafka::{KafkaCapabilities, KafkaCompression, OptimizationGoal, ProducerConfig, SettingChange};

/// The settings of a goal. They replace only those settings of a producer that have their default value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Preset {
    linger: Duration,
    compression: KafkaCompression,
    queue_size: usize,
    delivery_timeout: Duration,
}

impl Default for Preset {
    /// The defaults of [`ProducerConfig`].
    fn default() -> Self {
        let ProducerConfig {
            linger,
            compression,
            queue_size,
            delivery_timeout,
            ..
        } = ProducerConfig::new();
        Self {
            linger,
            compression,
            queue_size,
            delivery_timeout,
        }
    }
}

impl Preset {
    /// No goal changes acknowledgements or idempotence, because that could lose or duplicate records.
    pub(super) fn of(goal: OptimizationGoal) -> Self {
        let default = Self::default();
        match goal {
            OptimizationGoal::Throughput => Self {
                linger: Duration::from_millis(20),
                compression: KafkaCompression::Lz4,
                queue_size: 500_000,
                ..default
            },
            OptimizationGoal::Latency => Self {
                linger: Duration::ZERO,
                compression: KafkaCompression::None,
                ..default
            },
            OptimizationGoal::Durability => Self {
                delivery_timeout: Duration::from_secs(120),
                ..default
            },
            _ => Self {
                linger: Duration::from_millis(5),
                compression: KafkaCompression::Lz4,
                ..default
            },
        }
    }

    /// These settings, without those that a client with these capabilities would refuse.
    pub(super) fn supported_by(self, capabilities: KafkaCapabilities) -> Self {
        let linger = if capabilities.batching {
            self.linger
        } else {
            Self::default().linger
        };
        Self { linger, ..self }
    }

    pub(super) fn changes_to(&self, new: &Self) -> Vec<SettingChange> {
        let mut changes = Vec::new();
        let mut compare = |setting: &str, from: String, to: String, reason: &str| {
            if from != to {
                changes.push(SettingChange::new(setting, from, to, reason));
            }
        };
        let time = |time: Duration| format!("{time:?}");
        compare(
            "producer.linger",
            time(self.linger),
            time(new.linger),
            "a longer wait puts more records into a request and delays them",
        );
        compare(
            "producer.compression",
            self.compression.to_string(),
            new.compression.to_string(),
            "compression saves network and disk and costs processor time",
        );
        compare(
            "producer.queue_size",
            self.queue_size.to_string(),
            new.queue_size.to_string(),
            "a longer queue absorbs bursts and costs memory",
        );
        compare(
            "producer.delivery_timeout",
            time(self.delivery_timeout),
            time(new.delivery_timeout),
            "a longer timeout survives longer outages and reports failures later",
        );
        changes
    }

    pub(super) fn apply(&self, mut config: ProducerConfig) -> ProducerConfig {
        let default = Self::default();
        if config.delivery_timeout == default.delivery_timeout {
            config.delivery_timeout = self.delivery_timeout;
        }
        // A linger at or above the delivery timeout would make the configuration invalid.
        if config.linger == default.linger && self.linger < config.delivery_timeout {
            config.linger = self.linger;
        }
        if config.compression == default.compression {
            config.compression = self.compression;
        }
        if config.queue_size == default.queue_size {
            config.queue_size = self.queue_size;
        }
        config
    }
}

#[cfg(test)]
mod tests {
    use networking_spi::kafka::Acks;
    use networking_spi::validate::Validate;

    use super::*;

    #[test]
    fn every_goal_keeps_acknowledgements_and_idempotence() {
        for goal in OptimizationGoal::ALL {
            let config = Preset::of(*goal).apply(ProducerConfig::new());
            config.validate().expect("valid");
            assert!(config.acks == Acks::All && config.idempotent.is_none(), "{goal}");
        }
    }

    #[test]
    fn settings_of_the_producer_take_precedence() {
        let explicit = ProducerConfig::new()
            .with_compression(KafkaCompression::Gzip)
            .with_delivery_timeout(Duration::from_millis(10));
        let tuned = Preset::of(OptimizationGoal::Throughput).apply(explicit);
        assert_eq!(tuned.compression, KafkaCompression::Gzip);
        assert_eq!(
            tuned.linger,
            Duration::ZERO,
            "20 ms would be longer than the delivery timeout"
        );
        assert_eq!(tuned.queue_size, 500_000);
        tuned.validate().expect("still valid");
    }

    #[test]
    fn a_client_without_batches_is_not_asked_for_them() {
        let preset = Preset::of(OptimizationGoal::Throughput).supported_by(KafkaCapabilities::none());
        let config = preset.apply(ProducerConfig::new());
        KafkaCapabilities::none()
            .check_producer("test", &config)
            .expect("supported");
        assert_eq!(config.queue_size, 500_000);
    }

    #[test]
    fn the_report_names_the_changed_settings() {
        let settings = |from: &Preset, to: OptimizationGoal| {
            from.changes_to(&Preset::of(to))
                .into_iter()
                .map(|change| change.setting)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            settings(&Preset::default(), OptimizationGoal::Durability),
            ["producer.delivery_timeout"]
        );
        assert_eq!(
            settings(&Preset::default(), OptimizationGoal::Latency),
            Vec::<String>::new()
        );
        let balanced = Preset::of(OptimizationGoal::Balanced);
        assert_eq!(
            settings(&balanced, OptimizationGoal::Latency),
            ["producer.linger", "producer.compression"]
        );
    }
}
