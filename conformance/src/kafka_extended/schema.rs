//! The schema registry.

use std::sync::Arc;

use networking_spi::ErrorKind;
use networking_spi::kafka::{CompatibilityLevel as Level, Schema, SchemaType, SchemaVersion};

use super::KafkaExtendedHarness;
use crate::kit::{Applies, CaseResult};
use crate::{check, check_eq, check_error};

pub(super) fn has_schemas(harness: &dyn KafkaExtendedHarness) -> Applies {
    Applies::capability(!harness.extended_capabilities().schema_types.is_empty(), "schema_types")
}

pub(super) fn compares(harness: &dyn KafkaExtendedHarness) -> Applies {
    let types = &harness.extended_capabilities().compatibility_types;
    Applies::capability(!types.is_empty(), "compatibility_types").and(has_schemas(harness))
}

/// The rules of compatibility are those of Avro, which all registries agree on.
pub(super) fn compares_levels(harness: &dyn KafkaExtendedHarness) -> Applies {
    let declared = harness.extended_capabilities();
    let avro =
        declared.schema_types.contains(&SchemaType::Avro) && declared.compatibility_types.contains(&SchemaType::Avro);
    Applies::capability(avro, "compatibility_types: AVRO").and(Applies::environment(
        harness.can_set_level(),
        "the harness cannot set the level of a subject",
    ))
}

/// A schema with one field.
pub(super) fn first(schema_type: SchemaType) -> Schema {
    let text = match schema_type {
        SchemaType::Protobuf => "syntax = \"proto3\"; message R { int32 x = 1; }",
        SchemaType::Json => r#"{"type":"object","properties":{"x":{"type":"integer"}},"additionalProperties":false}"#,
        _ => r#"{"type":"record","name":"R","fields":[{"name":"x","type":"int"}]}"#,
    };
    Schema::new(schema_type, text)
}

/// [`first`] with an optional field, so that it reads data of the first one.
fn second(schema_type: SchemaType) -> Schema {
    let text = match schema_type {
        SchemaType::Protobuf => "syntax = \"proto3\"; message R { int32 x = 1; int32 y = 2; }",
        SchemaType::Json => {
            r#"{"type":"object","properties":{"x":{"type":"integer"},"y":{"type":"integer"}},"additionalProperties":false}"#
        }
        _ => {
            r#"{"type":"record","name":"R","fields":[{"name":"x","type":"int"},{"name":"y","type":"int","default":0}]}"#
        }
    };
    Schema::new(schema_type, text)
}

/// An Avro record. A field has a default if it ends with `?`.
fn record(fields: &[&str]) -> Schema {
    let fields = fields.iter().map(|field| match field.strip_suffix('?') {
        Some(name) => format!(r#"{{"name":"{name}","type":"int","default":0}}"#),
        None => format!(r#"{{"name":"{field}","type":"int"}}"#),
    });
    let fields = fields.collect::<Vec<_>>().join(",");
    Schema::new(
        SchemaType::Avro,
        format!(r#"{{"type":"record","name":"R","fields":[{fields}]}}"#),
    )
}

pub(super) async fn a_registered_schema_is_returned(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    // All instances use the same registry.
    let other = harness.extended().await?;
    for &schema_type in &harness.extended_capabilities().schema_types {
        let subject = harness.unique("subject");
        let registered = extended.register_schema(&subject, first(schema_type)).await?;
        check_eq!(
            (registered.subject.as_str(), registered.version),
            (subject.as_str(), 1),
            "subject and version of the first schema"
        );
        for version in [SchemaVersion::Latest, SchemaVersion::Number(1)] {
            let found = other.schema(&subject, version).await?;
            check_eq!(found.id, registered.id, "id of {version:?}");
            check_eq!(
                (found.subject.as_str(), found.version),
                (subject.as_str(), 1),
                "place of {version:?}"
            );
            check_eq!(found.schema, first(schema_type), "schema of {version:?}");
        }
    }
    Ok(())
}

pub(super) async fn registering_again_changes_nothing(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    for &schema_type in &harness.extended_capabilities().schema_types {
        let subject = harness.unique("subject");
        let one = extended.register_schema(&subject, first(schema_type)).await?;
        let two = extended.register_schema(&subject, second(schema_type)).await?;
        for (schema, registered) in [(first(schema_type), one), (second(schema_type), two.clone())] {
            let again = extended.register_schema(&subject, schema).await?;
            check_eq!(
                (again.id, again.version),
                (registered.id, registered.version),
                "id and version of a schema that is registered again"
            );
        }
        let latest = extended.schema(&subject, SchemaVersion::Latest).await?;
        check_eq!(latest.version, two.version, "latest version afterwards");
    }
    Ok(())
}

pub(super) async fn versions_count_from_1_in_each_subject(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    for &schema_type in &harness.extended_capabilities().schema_types {
        for _ in 0..2 {
            let subject = harness.unique("subject");
            for (schema, version) in [(first(schema_type), 1), (second(schema_type), 2)] {
                let registered = extended.register_schema(&subject, schema.clone()).await?;
                check_eq!(registered.version, version, "version");
                let latest = extended.schema(&subject, SchemaVersion::Latest).await?;
                check_eq!(latest.schema, schema, "latest schema");
                check_eq!(latest.version, version, "latest version");
            }
            let old = extended.schema(&subject, SchemaVersion::Number(1)).await?;
            check_eq!(old.schema, first(schema_type), "schema of version 1");
        }
    }
    Ok(())
}

pub(super) async fn an_id_belongs_to_one_schema(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    let mut ids = Vec::new();
    for &schema_type in &harness.extended_capabilities().schema_types {
        let (subject, other) = (harness.unique("subject"), harness.unique("subject"));
        for schema in [first(schema_type), second(schema_type)] {
            let registered = extended.register_schema(&subject, schema.clone()).await?;
            let elsewhere = extended.register_schema(&other, schema).await?;
            check_eq!(elsewhere.id, registered.id, "id of the same schema in another subject");
            check!(
                !ids.contains(&registered.id),
                "two schemas have the id {}",
                registered.id
            );
            ids.push(registered.id);
        }
    }
    Ok(())
}

pub(super) async fn an_unknown_subject_or_version_is_not_found(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    let unknown = harness.unique("unknown");
    for version in [SchemaVersion::Latest, SchemaVersion::Number(1)] {
        let result = extended.schema(&unknown, version).await;
        check_error!(result, ErrorKind::NotFound, "{version:?} of an unknown subject");
    }
    for &schema_type in &harness.extended_capabilities().schema_types {
        let subject = harness.unique("subject");
        extended.register_schema(&subject, first(schema_type)).await?;
        for number in [0, 2, u32::MAX] {
            let result = extended.schema(&subject, SchemaVersion::Number(number)).await;
            check_error!(
                result,
                ErrorKind::NotFound,
                "version {number} of a subject with one version"
            );
        }
    }
    Ok(())
}

pub(super) async fn a_bad_schema_is_invalid(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    let declared = harness.extended_capabilities();
    for &schema_type in &declared.schema_types {
        let subject = harness.unique("subject");
        for text in ["", "{ this is no schema", r#"{"type":"#] {
            let schema = Schema::new(schema_type, text);
            let registered = extended.register_schema(&subject, schema.clone()).await;
            check_error!(
                registered,
                ErrorKind::InvalidInput,
                "registering {text:?} as {schema_type}"
            );
            if declared.compatibility_types.contains(&schema_type) {
                let checked = extended.check_schema_compatibility(&subject, schema).await;
                check_error!(checked, ErrorKind::InvalidInput, "checking {text:?} as {schema_type}");
            }
        }
        let result = extended.register_schema("", first(schema_type)).await;
        check_error!(result, ErrorKind::InvalidInput, "a subject without a name");
        let result = extended.schema(&subject, SchemaVersion::Latest).await;
        check_error!(result, ErrorKind::NotFound, "the subject afterwards");
    }
    Ok(())
}

pub(super) async fn a_check_registers_nothing(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    let declared = harness.extended_capabilities();
    for &schema_type in &declared.compatibility_types {
        let subject = harness.unique("subject");
        let report = extended
            .check_schema_compatibility(&subject, first(schema_type))
            .await?;
        check!(
            report.compatible && report.problems.is_empty() && report.checked_versions.is_empty(),
            "a subject without versions accepts every schema, got {report:?}"
        );
        let result = extended.schema(&subject, SchemaVersion::Latest).await;
        check_error!(result, ErrorKind::NotFound, "a subject after a check");
        if declared.schema_types.contains(&schema_type) {
            extended.register_schema(&subject, first(schema_type)).await?;
            extended
                .check_schema_compatibility(&subject, second(schema_type))
                .await?;
            let latest = extended.schema(&subject, SchemaVersion::Latest).await?;
            check_eq!(latest.version, 1, "latest version after a check");
        }
    }
    Ok(())
}

pub(super) async fn an_incompatible_schema_is_not_registered(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    let subject = harness.unique("subject");
    harness.set_level(&subject, Level::Backward).await?;
    extended.register_schema(&subject, record(&["x"])).await?;
    let unreadable = record(&["x", "z"]);
    let report = extended
        .check_schema_compatibility(&subject, unreadable.clone())
        .await?;
    check!(!report.compatible, "a new field without a default is compatible");
    check_eq!(report.level, Level::Backward, "level of the check");
    let result = extended.register_schema(&subject, unreadable).await;
    check_error!(result, ErrorKind::Incompatible, "registering an incompatible schema");
    let latest = extended.schema(&subject, SchemaVersion::Latest).await?;
    check_eq!(latest.version, 1, "latest version afterwards");
    let next = extended.register_schema(&subject, record(&["x", "y?"])).await?;
    check_eq!(next.version, 2, "version of the next compatible schema");
    Ok(())
}

pub(super) async fn each_level_checks_its_directions(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    for (level, adds_required, drops_required) in [
        (Level::None, true, true),
        (Level::Backward, false, true),
        (Level::BackwardTransitive, false, true),
        (Level::Forward, true, false),
        (Level::ForwardTransitive, true, false),
        (Level::Full, false, false),
        (Level::FullTransitive, false, false),
    ] {
        for (change, allowed) in [
            (record(&["x", "y?", "z"]), adds_required),
            (record(&["y?"]), drops_required),
            (record(&["x", "y?", "z?"]), true),
        ] {
            let subject = harness.unique("subject");
            harness.set_level(&subject, level).await?;
            extended.register_schema(&subject, record(&["x", "y?"])).await?;
            let report = extended.check_schema_compatibility(&subject, change.clone()).await?;
            check_eq!(report.level, level, "level of the check");
            check_eq!(report.compatible, allowed, "{level}: compatibility of {}", change.text);
            let registered = extended.register_schema(&subject, change.clone()).await;
            check_eq!(registered.is_ok(), allowed, "{level}: registering {}", change.text);
        }
    }
    Ok(())
}

pub(super) async fn only_transitive_levels_check_all_versions(harness: Arc<dyn KafkaExtendedHarness>) -> CaseResult {
    let extended = harness.extended().await?;
    for (level, allowed) in [
        (Level::Backward, true),
        (Level::BackwardTransitive, false),
        (Level::Full, true),
        (Level::FullTransitive, false),
    ] {
        let subject = harness.unique("subject");
        harness.set_level(&subject, Level::None).await?;
        extended.register_schema(&subject, record(&["x"])).await?;
        extended.register_schema(&subject, record(&["y"])).await?;
        harness.set_level(&subject, level).await?;
        // Reads data of version 2, but not of version 1.
        let report = extended
            .check_schema_compatibility(&subject, record(&["y", "z?"]))
            .await?;
        check_eq!(report.compatible, allowed, "{level}: compatibility with version 1");
    }
    for (level, allowed) in [(Level::Forward, true), (Level::ForwardTransitive, false)] {
        let subject = harness.unique("subject");
        harness.set_level(&subject, Level::None).await?;
        extended.register_schema(&subject, record(&["x"])).await?;
        extended.register_schema(&subject, record(&["y"])).await?;
        harness.set_level(&subject, level).await?;
        let report = extended
            .check_schema_compatibility(&subject, record(&["y", "z"]))
            .await?;
        check_eq!(report.compatible, allowed, "{level}: compatibility with version 1");
    }
    Ok(())
}
