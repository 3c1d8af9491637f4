//! JSON Schema.

use jsoncompat::{
    CompatibilityError, CompatibilityResult, Role, SchemaBuildError, SchemaDocument, SchemaOptions, analyze_compat,
    validate_compatibility_input,
};
use networking_spi::{NetworkError, Result};
use url::Url;

use super::{Referenced, canonical_json, invalid};

/// The base URI of references in schemas without an `$id`.
const BASE: &str = "https://schemas.invalid/root";

/// A JSON Schema. The library's `SchemaDocument` is not `Send`, so it is built for each comparison.
#[derive(Debug)]
pub(in crate::schema_registry) struct JsonSchema {
    json: serde_json::Value,
    options: SchemaOptions,
    canonical: Vec<u8>,
}

impl JsonSchema {
    pub(super) fn parse(text: &str, referenced: &[Referenced]) -> Result<Self> {
        let mut json: serde_json::Value = serde_json::from_str(text).map_err(invalid)?;
        let canonical = canonical_json(&json);
        let mut options = SchemaOptions::default();
        if !referenced.is_empty() {
            let base = base_uri(&mut json)?;
            for other in referenced {
                let uri = base.join(&other.name).map_err(|error| {
                    NetworkError::invalid_input("schema.references", format!("{}: {error}", other.name))
                })?;
                let resource = serde_json::from_str(&other.schema.text).map_err(invalid)?;
                options.resources.insert(uri.to_string(), resource);
            }
        }
        let schema = Self {
            json,
            options,
            canonical,
        };
        let document = schema.document().map_err(invalid)?;
        validate_compatibility_input(&document).map_err(invalid)?;
        Ok(schema)
    }

    fn document(&self) -> Result<SchemaDocument, SchemaBuildError> {
        SchemaDocument::from_json_with_options(&self.json, &self.options)
    }

    pub(super) fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    pub(super) fn incompatibilities_with(&self, reader: &Self) -> Vec<String> {
        // `Role::Deserializer`: the second schema must accept every document that the first one accepts.
        let analysis = self.document().and_then(|writer| Ok((writer, reader.document()?)));
        let analysis = analysis
            .map_err(CompatibilityError::from)
            .and_then(|(writer, reader)| analyze_compat(&writer, &reader, Role::Deserializer));
        match analysis {
            Ok(CompatibilityResult::Compatible) => Vec::new(),
            Ok(CompatibilityResult::Incompatible { counterexample, .. }) => {
                vec![format!("a valid document that cannot be read: {counterexample}")]
            }
            Ok(CompatibilityResult::Unknown { reason }) => vec![format!("compatibility cannot be decided: {reason}")],
            Err(error) => vec![format!("compatibility cannot be decided: {error}")],
        }
    }
}

/// The base URI of the schema: its `$id`, which is added if it is missing.
fn base_uri(schema: &mut serde_json::Value) -> Result<Url> {
    let Some(object) = schema.as_object_mut() else {
        return Url::parse(BASE).map_err(invalid);
    };
    let id = object.entry("$id").or_insert_with(|| BASE.into());
    Url::parse(id.as_str().unwrap_or_default()).map_err(|error| invalid(format!("$id: {error}")))
}

#[cfg(test)]
mod tests {
    use networking_spi::kafka::{Schema, SchemaType};

    use super::*;

    fn schema(text: &str) -> JsonSchema {
        JsonSchema::parse(text, &[]).expect("valid")
    }

    fn reads(writer: &JsonSchema, reader: &JsonSchema) -> bool {
        writer.incompatibilities_with(reader).is_empty()
    }

    #[test]
    fn optional_properties_can_be_added_and_removed_and_required_ones_cannot() {
        let base = schema(r#"{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]}"#);
        let optional =
            schema(r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a"]}"#);
        let required = schema(
            r#"{"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"}},"required":["a","b"]}"#,
        );
        assert!(reads(&base, &optional) && reads(&optional, &base));
        assert!(!reads(&base, &required) && reads(&required, &base));
    }

    #[test]
    fn types_widen_and_do_not_narrow() {
        let integer = schema(r#"{"type":"integer"}"#);
        let number = schema(r#"{"type":"number"}"#);
        assert!(reads(&integer, &number));
        assert!(!reads(&number, &integer));
        assert!(!number.incompatibilities_with(&integer)[0].is_empty());
    }

    #[test]
    fn a_reference_is_resolved_by_its_name() {
        let part = |text: &str| Referenced {
            name: "part.json".into(),
            schema: Schema::new(SchemaType::Json, text),
        };
        let whole = r#"{"type":"object","properties":{"p":{"$ref":"part.json"}},"required":["p"]}"#;
        let integer = JsonSchema::parse(whole, &[part(r#"{"type":"integer"}"#)]).expect("valid");
        let number = JsonSchema::parse(whole, &[part(r#"{"type":"number"}"#)]).expect("valid");
        assert!(
            reads(&integer, &number),
            "{:?}",
            integer.incompatibilities_with(&number)
        );
        assert!(!reads(&number, &integer));
    }

    #[test]
    fn invalid_schemas_are_rejected() {
        for text in [
            "",
            "{",
            "3",
            r#"{"type":"nonsense"}"#,
            r#"{"type":5}"#,
            r#"{"minimum":"low"}"#,
        ] {
            assert_eq!(
                JsonSchema::parse(text, &[]).expect_err(text).field(),
                Some("schema.text"),
                "{text}"
            );
        }
    }
}
