//! JSON Schema.

use jsoncompat::{
    CompatibilityError, CompatibilityResult, Role, SchemaBuildError, SchemaDocument, SchemaOptions, analyze_compat,
    validate_compatibility_input,
};
use networking_spi::{NetworkError, Result};
use url::Url;

use super::parsed::{Referenced, canonical_json, invalid};

/// The base that names of references are relative to, for schemas without an `$id`.
const BASE: &str = "https://schemas.invalid/root";

/// The library's own form of a schema stays on one thread, so it is made anew for each comparison.
#[derive(Debug)]
pub(super) struct JsonSchema {
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
            let base = base_of(&mut json)?;
            for other in referenced {
                let address = base.join(&other.name).map_err(|error| {
                    NetworkError::invalid_input("schema.references", format!("{}: {error}", other.name))
                })?;
                let resource = serde_json::from_str(&other.schema.text).map_err(invalid)?;
                options.resources.insert(address.to_string(), resource);
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

    pub(super) fn problems_for(&self, reader: &Self) -> Vec<String> {
        // The role of one who reads what the former schema's writers write; "old" and "new" are writer and reader.
        let analysis = self.document().and_then(|writer| Ok((writer, reader.document()?)));
        let analysis = analysis
            .map_err(CompatibilityError::from)
            .and_then(|(writer, reader)| analyze_compat(&writer, &reader, Role::Deserializer));
        match analysis {
            Ok(CompatibilityResult::Compatible) => Vec::new(),
            Ok(CompatibilityResult::Incompatible { counterexample, .. }) => {
                vec![format!("a valid document that is not understood: {counterexample}")]
            }
            Ok(CompatibilityResult::Unknown { reason }) => vec![format!("it cannot be decided: {reason}")],
            Err(error) => vec![format!("it cannot be decided: {error}")],
        }
    }
}

/// The schema's own address; it gets one if it has none.
fn base_of(schema: &mut serde_json::Value) -> Result<Url> {
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
        writer.problems_for(reader).is_empty()
    }

    #[test]
    fn optional_properties_come_and_go_and_required_ones_do_not() {
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
        assert!(!number.problems_for(&integer)[0].is_empty());
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
        assert!(reads(&integer, &number), "{:?}", integer.problems_for(&number));
        assert!(!reads(&number, &integer));
    }

    #[test]
    fn nonsense_is_refused() {
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
