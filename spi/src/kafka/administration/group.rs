//! Consumer groups, as administrators see them.

use std::time::SystemTime;

use serde::{Deserialize, Serialize};

use super::BrokerInfo;
use crate::kafka::{GroupMember, GroupState};
use crate::names::named_enum;

named_enum! {
    "group_kind",
    /// The protocol of a group.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum GroupKind {
        /// The members compute the assignment.
        Classic => "classic",
        /// The broker computes the assignment (KIP-848).
        Consumer => "consumer",
        /// The broker did not report it, or reported one that this version of the crate does not know.
        #[default]
        Unknown => "unknown",
    }
}

/// A group in a list of groups.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupListing {
    /// The id.
    pub group: String,
    /// The state.
    pub state: GroupState,
    /// The protocol.
    pub kind: GroupKind,
}

impl GroupListing {
    /// A group.
    pub fn new(group: impl Into<String>, state: GroupState, kind: GroupKind) -> Self {
        Self {
            group: group.into(),
            state,
            kind,
        }
    }
}

/// The state, protocol and members of a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct GroupDescription {
    /// The id.
    pub group: String,
    /// The state.
    pub state: GroupState,
    /// The protocol.
    pub kind: GroupKind,
    /// The assignment strategy, such as `cooperative-sticky`; empty without members.
    pub assignor: String,
    /// The broker that coordinates the group.
    pub coordinator: Option<BrokerInfo>,
    /// The members.
    pub members: Vec<GroupMember>,
}

impl GroupDescription {
    /// A group without members.
    pub fn new(group: impl Into<String>, state: GroupState, kind: GroupKind) -> Self {
        Self {
            group: group.into(),
            state,
            kind,
            assignor: String::new(),
            coordinator: None,
            members: Vec::new(),
        }
    }

    /// Sets the members, and the strategy that assigns partitions to them.
    pub fn with_members(mut self, members: Vec<GroupMember>, assignor: impl Into<String>) -> Self {
        self.members = members;
        self.assignor = assignor.into();
        self
    }

    /// Sets the broker that coordinates the group.
    pub fn with_coordinator(mut self, coordinator: Option<BrokerInfo>) -> Self {
        self.coordinator = coordinator;
        self
    }
}

/// Where a group continues after its offsets were reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum OffsetTarget {
    /// At the first record that can be read.
    Earliest,
    /// After the last record.
    Latest,
    /// At this offset, in every partition.
    Offset(i64),
    /// At the first record with this timestamp or a later one; after the last record if there is none.
    Time(SystemTime),
}
