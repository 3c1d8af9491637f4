//! The health of topics, and tuning.

use serde::{Deserialize, Serialize};

use super::{GroupState, TopicPartition};
use crate::names::named_enum;

/// The health of a topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct KafkaDiagnostics {
    /// The topic.
    pub topic: String,
    /// Its partitions.
    pub partitions: Vec<PartitionDiagnostics>,
    /// Groups that committed offsets of this topic.
    pub groups: Vec<GroupLag>,
    /// What needs attention, worst first.
    pub warnings: Vec<DiagnosticWarning>,
}

impl KafkaDiagnostics {
    /// A topic's health.
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
    /// The partition.
    pub partition: i32,
    /// The broker that leads it.
    pub leader: Option<i32>,
    /// Whether fewer replicas are in sync than there are.
    pub under_replicated: bool,
    /// Records that can be read.
    pub messages: i64,
    /// Bytes on disk, if the backend knows.
    pub bytes: Option<u64>,
}

impl PartitionDiagnostics {
    /// A partition's health.
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
    /// The group.
    pub group: String,
    /// Its state.
    pub state: GroupState,
    /// Its members.
    pub members: usize,
    /// Lag in records, by partition.
    pub lag: Vec<(TopicPartition, i64)>,
}

impl GroupLag {
    /// A group's lag.
    pub fn new(group: impl Into<String>, state: GroupState, members: usize, lag: Vec<(TopicPartition, i64)>) -> Self {
        Self {
            group: group.into(),
            state,
            members,
            lag,
        }
    }

    /// The sum over all partitions.
    pub fn total(&self) -> i64 {
        self.lag.iter().map(|(_, lag)| lag).sum()
    }
}

/// Something that needs attention.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiagnosticWarning {
    /// A stable name (`under_replicated`, `no_consumer`, `skewed_partitions`).
    pub code: String,
    /// The observation, and why it matters.
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
        /// Records per second.
        Throughput => "throughput",
        /// Time from producing to consuming.
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
    /// Its value before.
    pub from: String,
    /// Its value now.
    pub to: String,
    /// Why.
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
