//! Parsed schemas, one module per language.

mod avro;
#[cfg(feature = "json-schema")]
mod json;
mod protobuf;

use networking_spi::kafka::{Schema, SchemaType};
use networking_spi::{NetworkError, Result};

use self::avro::AvroSchema;
#[cfg(feature = "json-schema")]
use self::json::JsonSchema;
use self::protobuf::ProtobufSchema;

/// A schema that another one references, with the name of the reference.
pub(super) struct Referenced {
    pub(super) name: String,
    pub(super) schema: Schema,
}

/// A schema in a form that can be compared with others of its language.
#[derive(Debug)]
pub(super) enum Parsed {
    Avro(AvroSchema),
    #[cfg(feature = "json-schema")]
    Json(JsonSchema),
    Protobuf(ProtobufSchema),
}

impl Parsed {
    /// Parses a schema. `referenced` contains all schemas that it references, directly or indirectly; each follows the schemas
    /// that it references itself.
    pub(super) fn parse(schema: &Schema, referenced: &[Referenced]) -> Result<Self> {
        if let Some(other) = referenced
            .iter()
            .find(|other| other.schema.schema_type != schema.schema_type)
        {
            return Err(NetworkError::invalid_input(
                "schema.references",
                format!(
                    "{} is a schema of type {}, not {}",
                    other.name, other.schema.schema_type, schema.schema_type
                ),
            ));
        }
        match schema.schema_type {
            SchemaType::Avro => AvroSchema::parse(&schema.text, referenced).map(Self::Avro),
            #[cfg(feature = "json-schema")]
            SchemaType::Json => JsonSchema::parse(&schema.text, referenced).map(Self::Json),
            SchemaType::Protobuf => ProtobufSchema::parse(&schema.text, referenced).map(Self::Protobuf),
            _ => Err(NetworkError::unsupported("kafka.register_schema", "schema_types")),
        }
    }

    /// The canonical form: equal for schemas that differ only in white space, order of keys or comments.
    pub(super) fn canonical(&self) -> &[u8] {
        match self {
            Self::Avro(schema) => schema.canonical(),
            #[cfg(feature = "json-schema")]
            Self::Json(schema) => schema.canonical(),
            Self::Protobuf(schema) => schema.canonical(),
        }
    }

    /// Why `reader` cannot read data that was written with this schema. Empty if it can.
    pub(super) fn incompatibilities_with(&self, reader: &Self) -> Vec<String> {
        match (self, reader) {
            (Self::Avro(writer), Self::Avro(reader)) => writer.incompatibilities_with(reader),
            #[cfg(feature = "json-schema")]
            (Self::Json(writer), Self::Json(reader)) => writer.incompatibilities_with(reader),
            (Self::Protobuf(writer), Self::Protobuf(reader)) => writer.incompatibilities_with(reader),
            _ => vec!["the schemas are of different types".to_owned()],
        }
    }
}

/// The error for a schema that cannot be parsed.
fn invalid(reason: impl std::fmt::Display) -> NetworkError {
    NetworkError::invalid_input("schema.text", format!("is not valid: {reason}"))
}

/// JSON with sorted keys and without white space.
fn canonical_json(value: &serde_json::Value) -> Vec<u8> {
    sorted(value).to_string().into_bytes()
}

/// Sorts explicitly: whether `serde_json` keeps the order of keys depends on a feature that any crate may enable.
fn sorted(value: &serde_json::Value) -> serde_json::Value {
    match value {
        serde_json::Value::Object(object) => {
            let mut entries = object.iter().collect::<Vec<_>>();
            entries.sort_by_key(|(name, _)| *name);
            entries
                .into_iter()
                .map(|(name, value)| (name.clone(), sorted(value)))
                .collect()
        }
        serde_json::Value::Array(values) => values.iter().map(sorted).collect(),
        other => other.clone(),
    }
}
