//! Apache Avro.

use apache_avro::Schema;
use apache_avro::schema_compatibility::{Compatibility, SchemaCompatibility};
use networking_spi::Result;

use super::{Referenced, canonical_json, invalid};

#[derive(Debug)]
pub(in crate::schema_registry) struct AvroSchema {
    schema: Schema,
    canonical: Vec<u8>,
}

impl AvroSchema {
    pub(super) fn parse(text: &str, referenced: &[Referenced]) -> Result<Self> {
        let json = serde_json::from_str(text).map_err(invalid)?;
        let others = referenced.iter().map(|other| other.schema.text.as_str());
        let (mut schema, others) = Schema::parse_str_with_list(text, others).map_err(invalid)?;
        // The comparison does not resolve references, so the referenced schemas are inlined.
        schema.denormalize(&others).map_err(invalid)?;
        Ok(Self {
            schema,
            canonical: canonical_json(&json),
        })
    }

    pub(super) fn canonical(&self) -> &[u8] {
        &self.canonical
    }

    pub(super) fn incompatibilities_with(&self, reader: &Self) -> Vec<String> {
        match SchemaCompatibility::can_read(&self.schema, &reader.schema) {
            Ok(Compatibility::Full) => Vec::new(),
            Ok(Compatibility::Partial) => {
                vec!["some data cannot be read: a union branch or an enum symbol is missing".to_owned()]
            }
            Err(error) => vec![with_sources(&error)],
        }
    }
}

/// The error and its sources in one line. The outermost error only names the record.
fn with_sources(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(fields: &str) -> AvroSchema {
        AvroSchema::parse(&format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#), &[]).expect("valid")
    }

    fn reads(writer: &AvroSchema, reader: &AvroSchema) -> bool {
        writer.incompatibilities_with(reader).is_empty()
    }

    #[test]
    fn schema_resolution_decides() {
        let base = record(r#"{"name":"a","type":"int"}"#);
        let with_default = record(r#"{"name":"a","type":"int"},{"name":"b","type":"string","default":""}"#);
        let without_default = record(r#"{"name":"a","type":"int"},{"name":"b","type":"string"}"#);
        assert!(reads(&base, &with_default) && reads(&with_default, &base));
        assert!(!reads(&base, &without_default) && reads(&without_default, &base));

        let wider = record(r#"{"name":"a","type":"long"}"#);
        assert!(reads(&base, &wider) && !reads(&wider, &base));
        let optional = record(r#"{"name":"a","type":["null","int"]}"#);
        assert!(reads(&base, &optional) && !reads(&optional, &base));
    }

    #[test]
    fn a_change_that_loses_some_data_is_incompatible() {
        let symbols = |symbols: &str, default: &str| {
            record(&format!(
                r#"{{"name":"e","type":{{"type":"enum","name":"E","symbols":{symbols}{default}}}}}"#
            ))
        };
        let three = symbols(r#"["A","B","C"]"#, "");
        let two = symbols(r#"["A","B"]"#, "");
        assert!(reads(&two, &three));
        assert!(!reads(&three, &two), "C cannot be read");
        assert!(
            reads(&three, &symbols(r#"["A","B"]"#, r#","default":"A""#)),
            "C is read as A"
        );
    }

    #[test]
    fn white_space_and_order_make_no_difference() {
        let one = AvroSchema::parse(r#"{"type":"enum","name":"E","symbols":["A"]}"#, &[]).expect("valid");
        let other =
            AvroSchema::parse("{ \"name\": \"E\",\n \"type\":\"enum\", \"symbols\":[\"A\"] }", &[]).expect("valid");
        assert_eq!(one.canonical(), other.canonical());
    }

    #[test]
    fn invalid_schemas_are_rejected() {
        for text in [
            "",
            "{",
            r#"{"type":"record","name":"R"}"#,
            r#""Missing""#,
            r#"{"type":"enum","name":"E","symbols":["A","A"]}"#,
        ] {
            assert_eq!(
                AvroSchema::parse(text, &[]).expect_err(text).field(),
                Some("schema.text"),
                "{text}"
            );
        }
        let deep = format!("{}{}", r#"{"type":"array","items":"#.repeat(5_000), "}".repeat(5_000));
        assert!(AvroSchema::parse(&deep, &[]).is_err(), "an error, not a stack overflow");
    }
}
