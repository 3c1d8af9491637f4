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
        /// The new schema can read data of the latest version.
        #[default]
        Backward => "BACKWARD",
        /// The new schema can read data of all versions.
        BackwardTransitive => "BACKWARD_TRANSITIVE",
        /// The latest version can read data of the new schema.
        Forward => "FORWARD",
        /// All versions can read data of the new schema.
        ForwardTransitive => "FORWARD_TRANSITIVE",
        /// `Backward` and `Forward`.
        Full => "FULL",
        /// `BackwardTransitive` and `ForwardTransitive`.
        FullTransitive => "FULL_TRANSITIVE",
    }
}

/// A schema.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Schema {
    /// The language of the schema.
    #[serde(default)]
    pub schema_type: SchemaType,
    /// The text of the schema.
    pub text: String,
    /// The schemas that it refers to.
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
    /// The name in the referring schema.
    pub name: String,
    /// The subject under which it is registered.
    pub subject: String,
    /// The version.
    pub version: u32,
}

/// A version of a subject.
///
/// Exhaustive on purpose: registries accept a number or the latest version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum SchemaVersion {
    /// The latest version.
    #[default]
    Latest,
    /// The version with this number. Numbers start at 1.
    Number(u32),
}

/// A schema in a registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct RegisteredSchema {
    /// The id, which is unique in the registry and part of each encoded record.
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
    /// The compatibility level of the check.
    pub level: CompatibilityLevel,
    /// The versions that it was checked against.
    pub checked_versions: Vec<u32>,
    /// The incompatibilities, one entry per difference. May be empty for an incompatible schema, if the registry does not
    /// report details.
    pub problems: Vec<String>,
}

impl CompatibilityReport {
    /// A report. The schema is compatible if there are no problems.
    pub fn new(level: CompatibilityLevel, checked_versions: Vec<u32>, problems: Vec<String>) -> Self {
        Self {
            compatible: problems.is_empty(),
            level,
            checked_versions,
            problems,
        }
    }
}
