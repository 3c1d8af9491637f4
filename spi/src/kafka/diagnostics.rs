//! Values of diagnostics and tuning.

use serde::{Deserialize, Serialize};

use super::{GroupState, TopicPartition};
use crate::names::named_enum;

/// The health of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KafkaDiagnostics {
    /// The topic.
    pub topic: String,
    /// The partitions.
    pub partitions: Vec<PartitionDiagnostics>,
    /// The groups with committed offsets of this topic.
    pub groups: Vec<GroupLag>,
    /// The warnings, the most severe first.
    pub warnings: Vec<DiagnosticWarning>,
}

impl KafkaDiagnostics {
    /// The health of a topic.
    pub fn new(
        topic: impl Into<String>,
        partitions: Vec<PartitionDiagnostics>,
        groups: Vec<GroupLag>,
        warnings: Vec<DiagnosticWarning>,
    ) -> Self {
        Self {
            topic: topic.into(),
            partitions,
            groups,
            warnings,
        }
    }
}

/// The health of a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct PartitionDiagnostics {
    /// The number of the partition.
    pub partition: i32,
    /// The id of the broker that leads the partition; `None` while there is no leader.
    pub leader: Option<i32>,
    /// Whether some replicas are not in sync.
    pub under_replicated: bool,
    /// The number of records that can be read.
    pub messages: i64,
    /// The size on disk in bytes, if the backend knows it.
    pub bytes: Option<u64>,
}

impl PartitionDiagnostics {
    /// The health of a partition.
    pub const fn new(
        partition: i32,
        leader: Option<i32>,
        under_replicated: bool,
        messages: i64,
        bytes: Option<u64>,
    ) -> Self {
        Self {
            partition,
            leader,
            under_replicated,
            messages,
            bytes,
        }
    }
}

/// The lag of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupLag {
    /// The id of the group.
    pub group: String,
    /// The state of the group.
    pub state: GroupState,
    /// The number of members.
    pub members: usize,
    /// The lag of each partition, in records.
    pub lag: Vec<(TopicPartition, i64)>,
}

impl GroupLag {
    /// The lag of a group.
    pub fn new(group: impl Into<String>, state: GroupState, members: usize, lag: Vec<(TopicPartition, i64)>) -> Self {
        Self {
            group: group.into(),
            state,
            members,
            lag,
        }
    }

    /// The sum over all partitions, in records.
    pub fn total(&self) -> i64 {
        self.lag.iter().map(|(_, lag)| lag).sum()
    }
}

/// A warning about a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiagnosticWarning {
    /// The stable name of the warning (`under_replicated`, `no_consumer`, `skewed_partitions`).
    pub code: String,
    /// What was observed, and its consequence.
    pub message: String,
}

impl DiagnosticWarning {
    /// A warning.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
        }
    }
}

named_enum! {
    "goal",
    /// The goal of tuning.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum OptimizationGoal {
        /// More records per second.
        Throughput => "throughput",
        /// Less time from producing to consuming.
        Latency => "latency",
        /// No acknowledged record is lost.
        Durability => "durability",
        /// A compromise between the other goals.
        #[default]
        Balanced => "balanced",
    }
}

/// The settings that tuning changed. They apply to producers and consumers that are created afterwards.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct OptimizationReport {
    /// The goal.
    pub goal: OptimizationGoal,
    /// The settings that changed.
    pub changes: Vec<SettingChange>,
}

impl OptimizationReport {
    /// A report.
    pub fn new(goal: OptimizationGoal, changes: Vec<SettingChange>) -> Self {
        Self { goal, changes }
    }
}

/// One setting that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct SettingChange {
    /// The setting (`producer.linger`).
    pub setting: String,
    /// The value before.
    pub from: String,
    /// The value after.
    pub to: String,
    /// The reason.
    pub reason: String,
}

impl SettingChange {
    /// A change.
    pub fn new(
        setting: impl Into<String>,
        from: impl Into<String>,
        to: impl Into<String>,
        reason: impl Into<String>,
    ) -> Self {
        Self {
            setting: setting.into(),
            from: from.into(),
            to: to.into(),
            reason: reason.into(),
        }
    }
}
