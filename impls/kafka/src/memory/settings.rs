//! Kafka's topic settings, with the ranges that a broker of Apache Kafka 4.1 accepts.

use std::collections::BTreeMap;
use std::time::Duration;

use networking_spi::{NetworkError, Result};

use super::log::Retention;

/// The values that a setting accepts. Numbers and names may have white space around them.
#[derive(Debug, Clone, Copy)]
enum Values {
    /// A number of 32 bits.
    Int(i32, i32),
    /// A number of 64 bits.
    Long(i64, i64),
    /// -1, or a level of gzip.
    GzipLevel,
    /// A number between 0 and 1.
    Ratio,
    Bool,
    OneOf(&'static [&'static str]),
    /// Names separated by commas.
    ListOf(&'static [&'static str]),
    /// `*`, or pairs `partition:broker` separated by commas.
    Replicas,
    /// Only `false`: the cluster has no tiered storage.
    Disabled,
}

use Values::{Bool, Disabled, GzipLevel, Int, ListOf, Long, OneOf, Ratio, Replicas};

const COMPACT: &str = "compact";
const DELETE: &str = "delete";
const LOG_APPEND_TIME: &str = "LogAppendTime";

const SETTINGS: &[(&str, Values)] = &[
    ("cleanup.policy", ListOf(&[COMPACT, DELETE])),
    ("compression.gzip.level", GzipLevel),
    ("compression.lz4.level", Int(1, 17)),
    (
        "compression.type",
        OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"]),
    ),
    ("compression.zstd.level", Int(-131_072, 22)),
    ("delete.retention.ms", Long(0, i64::MAX)),
    ("file.delete.delay.ms", Long(0, i64::MAX)),
    ("flush.messages", Long(1, i64::MAX)),
    ("flush.ms", Long(0, i64::MAX)),
    ("follower.replication.throttled.replicas", Replicas),
    ("index.interval.bytes", Int(0, i32::MAX)),
    ("leader.replication.throttled.replicas", Replicas),
    ("local.retention.bytes", Long(-2, i64::MAX)),
    ("local.retention.ms", Long(-2, i64::MAX)),
    ("max.compaction.lag.ms", Long(1, i64::MAX)),
    ("max.message.bytes", Int(0, i32::MAX)),
    ("message.timestamp.after.max.ms", Long(0, i64::MAX)),
    ("message.timestamp.before.max.ms", Long(0, i64::MAX)),
    ("message.timestamp.type", OneOf(&["CreateTime", LOG_APPEND_TIME])),
    ("min.cleanable.dirty.ratio", Ratio),
    ("min.compaction.lag.ms", Long(0, i64::MAX)),
    ("min.insync.replicas", Int(1, i32::MAX)),
    ("preallocate", Bool),
    ("remote.log.copy.disable", Bool),
    ("remote.log.delete.on.disable", Bool),
    ("remote.storage.enable", Disabled),
    ("retention.bytes", Long(i64::MIN, i64::MAX)),
    ("retention.ms", Long(-1, i64::MAX)),
    ("segment.bytes", Int(1 << 20, i32::MAX)),
    ("segment.index.bytes", Int(4, i32::MAX)),
    ("segment.jitter.ms", Long(0, i64::MAX)),
    ("segment.ms", Long(1, i64::MAX)),
    ("unclean.leader.election.enable", Bool),
];

/// Kafka's defaults, in the order of [`SETTINGS`].
const DEFAULTS: &[(&str, &str)] = &[
    ("cleanup.policy", DELETE),
    ("compression.gzip.level", "-1"),
    ("compression.lz4.level", "9"),
    ("compression.type", "producer"),
    ("compression.zstd.level", "3"),
    ("delete.retention.ms", "86400000"),
    ("file.delete.delay.ms", "60000"),
    ("flush.messages", "9223372036854775807"),
    ("flush.ms", "9223372036854775807"),
    ("follower.replication.throttled.replicas", ""),
    ("index.interval.bytes", "4096"),
    ("leader.replication.throttled.replicas", ""),
    ("local.retention.bytes", "-2"),
    ("local.retention.ms", "-2"),
    ("max.compaction.lag.ms", "9223372036854775807"),
    ("max.message.bytes", "1048588"),
    ("message.timestamp.after.max.ms", "3600000"),
    ("message.timestamp.before.max.ms", "9223372036854775807"),
    ("message.timestamp.type", "CreateTime"),
    ("min.cleanable.dirty.ratio", "0.5"),
    ("min.compaction.lag.ms", "0"),
    ("min.insync.replicas", "1"),
    ("preallocate", "false"),
    ("remote.log.copy.disable", "false"),
    ("remote.log.delete.on.disable", "false"),
    ("remote.storage.enable", "false"),
    ("retention.bytes", "-1"),
    ("retention.ms", "604800000"),
    ("segment.bytes", "1073741824"),
    ("segment.index.bytes", "10485760"),
    ("segment.jitter.ms", "0"),
    ("segment.ms", "604800000"),
    ("unclean.leader.election.enable", "false"),
];

/// The settings of a topic with Kafka's defaults, ordered by name.
pub(super) fn defaults() -> impl Iterator<Item = (&'static str, &'static str)> {
    DEFAULTS.iter().copied()
}

/// Whether a setting is a list, to which elements can be added. `None` if there is no such setting.
pub(super) fn is_list(name: &str) -> Option<bool> {
    let (_, values) = SETTINGS.iter().find(|(known, _)| *known == name)?;
    Some(matches!(values, ListOf(_) | Replicas))
}

/// What the value of a setting of 32 bits and at least 0 must be, if it is not that.
pub(super) fn unless_size(value: &str) -> Option<String> {
    Int(0, i32::MAX).violation(value)
}

impl Values {
    /// What a value must be, if it is not that.
    fn violation(self, value: &str) -> Option<String> {
        let number = value.trim().parse::<i64>().ok();
        let between = |min: i64, max: i64, bits: u8| match number {
            Some(number) if (min..=max).contains(&number) => None,
            _ if max == i64::MAX || max == i64::from(i32::MAX) => {
                Some(format!("must be an integer of {bits} bits and at least {min}"))
            }
            _ => Some(format!("must be an integer between {min} and {max}")),
        };
        let unless = |valid: bool, message: &str| (!valid).then(|| message.to_owned());
        match self {
            Int(min, max) => between(i64::from(min), i64::from(max), 32),
            Long(i64::MIN, _) => unless(number.is_some(), "must be an integer of 64 bits"),
            Long(min, max) => between(min, max, 64),
            GzipLevel => unless(
                number.is_some_and(|level| level == -1 || (1..=9).contains(&level)),
                "must be -1 or between 1 and 9",
            ),
            Ratio => {
                let ratio = value.trim().parse::<f64>();
                unless(
                    ratio.is_ok_and(|ratio| (0.0..=1.0).contains(&ratio)),
                    "must be a number between 0 and 1",
                )
            }
            Bool => unless(boolean(value).is_some(), "must be true or false"),
            OneOf(names) if !names.contains(&value.trim()) => Some(format!("must be one of {}", names.join(", "))),
            ListOf(names) if list(value).any(|name| !names.contains(&name)) => {
                Some(format!("must be a list of {}", names.join(", ")))
            }
            OneOf(_) | ListOf(_) => None,
            Replicas => unless(
                value.trim() == "*" || list(value).all(is_replica),
                "must be * or a list of partition:broker",
            ),
            Disabled => match boolean(value) {
                Some(false) => None,
                Some(true) => Some("the cluster has no tiered storage".to_owned()),
                None => Some("must be true or false".to_owned()),
            },
        }
    }
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty())
}

fn boolean(value: &str) -> Option<bool> {
    let value = value.trim();
    [("true", true), ("false", false)]
        .into_iter()
        .find_map(|(name, meaning)| value.eq_ignore_ascii_case(name).then_some(meaning))
}

fn is_replica(pair: &str) -> bool {
    pair.split_once(':')
        .is_some_and(|(partition, broker)| partition.parse::<u32>().is_ok() && broker.parse::<u32>().is_ok())
}

/// The settings of a topic that have an effect in the in-memory cluster.
#[derive(Debug, Clone, Copy)]
pub(super) struct TopicSettings {
    pub(super) retention: Retention,
    /// The largest batch, in bytes as Kafka's protocol encodes it. `None`: the limit of the broker.
    pub(super) max_message_bytes: Option<usize>,
    /// Whether records need a key.
    pub(super) is_compacted: bool,
    /// Whether records get the time of the cluster instead of their own.
    pub(super) log_append_time: bool,
    /// How far the timestamp of a record may be before and after the time of the cluster.
    pub(super) max_age: Duration,
    pub(super) max_ahead: Duration,
    pub(super) min_in_sync_replicas: i32,
}

impl TopicSettings {
    /// The defaults of a broker.
    pub(super) const fn new(retention: Retention) -> Self {
        Self {
            retention,
            max_message_bytes: None,
            is_compacted: false,
            log_append_time: false,
            max_age: Duration::MAX,
            max_ahead: Duration::from_secs(3600),
            min_in_sync_replicas: 1,
        }
    }

    /// Overrides these settings with those of `config`.
    pub(super) fn with_config(mut self, config: &BTreeMap<String, String>) -> Result<Self> {
        for (name, value) in config {
            let invalid = |message: String| NetworkError::invalid_input(format!("config.{name}"), message);
            let Some((_, values)) = SETTINGS.iter().find(|(known, _)| known == name) else {
                return Err(invalid("is not a topic setting".to_owned()));
            };
            if let Some(message) = values.violation(value) {
                return Err(invalid(message));
            }
        }
        let number = |name: &str| config.get(name)?.trim().parse::<i64>().ok();
        let unsigned = |name: &str| number(name).and_then(|number| u64::try_from(number).ok());
        if let (Some(min), Some(max)) = (number("min.compaction.lag.ms"), number("max.compaction.lag.ms"))
            && min > max
        {
            return Err(NetworkError::invalid_input(
                "config.min.compaction.lag.ms",
                "must not be larger than max.compaction.lag.ms",
            ));
        }
        let mut deletes = true;
        if let Some(policy) = config.get("cleanup.policy") {
            self.is_compacted = list(policy).any(|name| name == COMPACT);
            deletes = list(policy).any(|name| name == DELETE);
        }
        if deletes {
            if config.contains_key("retention.ms") {
                self.retention.age = unsigned("retention.ms").map(Duration::from_millis);
            }
            if let Some(bytes) = unsigned("retention.bytes") {
                self.retention.bytes = self.retention.bytes.min(bytes);
            }
        } else {
            self.retention.age = None;
        }
        if let Some(bytes) = unsigned("max.message.bytes") {
            self.max_message_bytes = Some(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        if let Some(kind) = config.get("message.timestamp.type") {
            self.log_append_time = kind.trim() == LOG_APPEND_TIME;
        }
        if let Some(millis) = unsigned("message.timestamp.before.max.ms") {
            self.max_age = Duration::from_millis(millis);
        }
        if let Some(millis) = unsigned("message.timestamp.after.max.ms") {
            self.max_ahead = Duration::from_millis(millis);
        }
        if let Some(replicas) = number("min.insync.replicas") {
            self.min_in_sync_replicas = i32::try_from(replicas).unwrap_or(i32::MAX);
        }
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Result<TopicSettings> {
        let retention = Retention {
            records: 10,
            bytes: 1000,
            age: None,
        };
        let config = pairs
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        TopicSettings::new(retention).with_config(&config.collect())
    }

    #[test]
    fn the_ranges_are_those_of_a_broker() {
        // As a broker of Apache Kafka 4.1.1 answers.
        for (name, accepted, refused) in [
            (
                "segment.bytes",
                &["1048576", " 1048576 "][..],
                &["abc", "14", "1048575", "2147483648"][..],
            ),
            (
                "retention.ms",
                &["-1", "0", "9223372036854775807"],
                &["-2", "", "9223372036854775808"],
            ),
            ("retention.bytes", &["-5", "-1", "1"], &["x", "1.5"]),
            ("min.insync.replicas", &["1", "5"], &["0", "-1"]),
            ("max.message.bytes", &["0"], &["-1"]),
            ("segment.ms", &["1"], &["0"]),
            ("segment.index.bytes", &["4"], &["3"]),
            ("flush.messages", &["1"], &["0"]),
            ("delete.retention.ms", &["0"], &["-1"]),
            ("max.compaction.lag.ms", &["1"], &["0"]),
            (
                "min.cleanable.dirty.ratio",
                &["0", "0.5", "1"],
                &["1.1", "-0.1", "x", "NaN"],
            ),
            (
                "cleanup.policy",
                &["compact", "delete, compact", ""],
                &["foo", "compact,foo", "Compact"],
            ),
            ("unclean.leader.election.enable", &["TRUE", "false"], &["yes", "1"]),
            ("compression.type", &["uncompressed", "producer"], &["none", "GZIP"]),
            ("compression.gzip.level", &["-1", "9"], &["0", "10"]),
            ("compression.lz4.level", &["1", "17"], &["-1", "0", "18"]),
            ("compression.zstd.level", &["-131072", "22"], &["-131073", "23"]),
            (
                "message.timestamp.type",
                &["CreateTime", "LogAppendTime"],
                &["createtime"],
            ),
            ("message.timestamp.after.max.ms", &["0"], &["-1"]),
            ("leader.replication.throttled.replicas", &["*", "0:1,1:1"], &["x", "0"]),
            ("remote.storage.enable", &["false"], &["true", "x"]),
            ("local.retention.ms", &["-2"], &["-3"]),
        ] {
            for value in accepted {
                assert!(with(&[(name, value)]).is_ok(), "{name}={value}");
            }
            for value in refused {
                let error = with(&[(name, value)]).expect_err(name);
                assert_eq!(error.field(), Some(format!("config.{name}").as_str()), "{name}={value}");
            }
        }
        for unknown in ["no.such", "message.format.version", "Retention.ms", ""] {
            assert!(with(&[(unknown, "1")]).is_err(), "{unknown}");
        }
        let lags = with(&[("min.compaction.lag.ms", "10"), ("max.compaction.lag.ms", "5")]);
        assert_eq!(
            lags.expect_err("conflict").field(),
            Some("config.min.compaction.lag.ms")
        );
    }

    #[test]
    fn each_setting_has_a_valid_default() {
        let names = SETTINGS.iter().map(|(name, _)| *name);
        assert!(names.eq(defaults().map(|(name, _)| name)));
        for default in defaults() {
            assert!(with(&[default]).is_ok(), "{default:?}");
        }
    }

    #[test]
    fn a_topic_that_is_only_compacted_keeps_records_of_any_age() {
        let age = |policy| {
            let settings = with(&[("cleanup.policy", policy), ("retention.ms", "5")]).expect("valid");
            (settings.is_compacted, settings.retention.age.is_some())
        };
        assert_eq!(age("compact"), (true, false));
        assert_eq!(age("compact,delete"), (true, true));
        assert_eq!(age("delete"), (false, true));
    }
}
