//! A schema that was understood.

use networking_spi::kafka::{Schema, SchemaType};
use networking_spi::{NetworkError, Result};

use super::avro::AvroSchema;
#[cfg(feature = "json-schema")]
use super::json::JsonSchema;
use super::protobuf::ProtobufSchema;

/// A schema that another one refers to, with the name by which it does.
pub(super) struct Referenced {
    pub(super) name: String,
    pub(super) schema: Schema,
}

/// A schema in the form in which it is compared.
#[derive(Debug)]
pub(super) enum Parsed {
    Avro(AvroSchema),
    #[cfg(feature = "json-schema")]
    Json(JsonSchema),
    Protobuf(ProtobufSchema),
}

impl Parsed {
    /// Reads a schema. `referenced` has everything it refers to, also over others, each after what it refers to itself.
    pub(super) fn parse(schema: &Schema, referenced: &[Referenced]) -> Result<Self> {
        if let Some(other) = referenced
            .iter()
            .find(|other| other.schema.schema_type != schema.schema_type)
        {
            return Err(NetworkError::invalid_input(
                "schema.references",
                format!(
                    "{} is a schema in {}, not in {}",
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

    /// The text without what makes no difference (white space, order of keys, comments): equal for equal schemas.
    pub(super) fn canonical(&self) -> &[u8] {
        match self {
            Self::Avro(schema) => schema.canonical(),
            #[cfg(feature = "json-schema")]
            Self::Json(schema) => schema.canonical(),
            Self::Protobuf(schema) => schema.canonical(),
        }
    }

    /// Why `reader` does not understand what this schema writes; empty if it does.
    pub(super) fn problems_for(&self, reader: &Self) -> Vec<String> {
        match (self, reader) {
            (Self::Avro(writer), Self::Avro(reader)) => writer.problems_for(reader),
            #[cfg(feature = "json-schema")]
            (Self::Json(writer), Self::Json(reader)) => writer.problems_for(reader),
            (Self::Protobuf(writer), Self::Protobuf(reader)) => writer.problems_for(reader),
            _ => vec!["the schema is in another language".to_owned()],
        }
    }
}

/// A schema that cannot be understood.
pub(super) fn invalid(reason: impl std::fmt::Display) -> NetworkError {
    NetworkError::invalid_input("schema.text", format!("is not valid: {reason}"))
}

/// JSON with sorted keys and without white space.
pub(super) fn canonical_json(value: &serde_json::Value) -> Vec<u8> {
    sorted(value).to_string().into_bytes()
}

/// Whether `serde_json` keeps the order of keys depends on features that any crate may switch on.
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
