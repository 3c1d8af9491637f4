//! Schemas and their compatibility.

use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::names::named_enum;
use crate::validate::{self, Validate};

named_enum! {
    "schema_type",
    /// The language of a schema.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum SchemaType {
        /// Apache Avro.
        #[default]
        Avro => "AVRO",
        /// JSON Schema.
        Json => "JSON",
        /// Protocol Buffers.
        Protobuf => "PROTOBUF",
    }
}

named_enum! {
    "compatibility",
    /// What a new version of a schema must be compatible with.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum CompatibilityLevel {
        /// Every schema is compatible.
        None => "NONE",
        /// The new schema reads data of the latest one.
        #[default]
        Backward => "BACKWARD",
        /// The new schema reads data of all versions.
        BackwardTransitive => "BACKWARD_TRANSITIVE",
        /// The latest schema reads data of the new one.
        Forward => "FORWARD",
        /// All versions read data of the new one.
        ForwardTransitive => "FORWARD_TRANSITIVE",
        /// Both ways with the latest.
        Full => "FULL",
        /// Both ways with all versions.
        FullTransitive => "FULL_TRANSITIVE",
    }
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Schema {
    /// Its language.
    #[serde(default)]
    pub schema_type: SchemaType,
    /// Its text.
    pub text: String,
    /// Schemas it refers to.
    #[serde(default)]
    pub references: Vec<SchemaReference>,
}

impl Schema {
    /// A schema without references.
    pub fn new(schema_type: SchemaType, text: impl Into<String>) -> Self {
        Self {
            schema_type,
            text: text.into(),
            references: Vec::new(),
        }
    }

    /// Adds a reference.
    pub fn with_reference(mut self, reference: SchemaReference) -> Self {
        self.references.push(reference);
        self
    }
}

impl Validate for Schema {
    fn validate(&self) -> Result<()> {
        validate::not_blank(&self.text, "schema.text")
    }
}

/// A schema that another one refers to.
///
/// Exhaustive on purpose: registries define these three values.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SchemaReference {
    /// The name by which it is referred to.
    pub name: String,
    /// The subject it is registered under.
    pub subject: String,
    /// The version.
    pub version: u32,
}

/// A version of a subject.
///
/// Exhaustive on purpose: registries accept a number or the newest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SchemaVersion {
    /// The newest.
    #[default]
    Latest,
    /// This one; versions start at 1.
    Number(u32),
}

/// A schema in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegisteredSchema {
    /// The registry-wide id, which is part of each encoded record.
    pub id: u32,
    /// The subject.
    pub subject: String,
    /// The version within the subject.
    pub version: u32,
    /// The schema.
    pub schema: Schema,
}

impl RegisteredSchema {
    /// A schema in a registry.
    pub fn new(id: u32, subject: impl Into<String>, version: u32, schema: Schema) -> Self {
        Self {
            id,
            subject: subject.into(),
            version,
            schema,
        }
    }
}

/// The result of a compatibility check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct CompatibilityReport {
    /// Whether the schema may be registered.
    pub compatible: bool,
    /// The level it was checked at.
    pub level: CompatibilityLevel,
    /// Versions it was checked against.
    pub checked_versions: Vec<u32>,
    /// The incompatibilities, one entry per difference. May be empty for an incompatible schema if the registry does
    /// not report them.
    pub problems: Vec<String>,
}

impl CompatibilityReport {
    /// A report; it is compatible when there are no problems.
    pub fn new(level: CompatibilityLevel, checked_versions: Vec<u32>, problems: Vec<String>) -> Self {
        Self {
            compatible: problems.is_empty(),
            level,
            checked_versions,
            problems,
        }
    }
}
