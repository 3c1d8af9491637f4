//! The registry: registers, looks up and compares schemas.

use std::sync::Arc;

use networking_spi::error::{ResultExt, context};
use networking_spi::kafka::{
    CompatibilityLevel, CompatibilityReport, RegisteredSchema, Schema, SchemaType, SchemaVersion,
};
use networking_spi::validate::{self, Validate};
use networking_spi::{ErrorKind, NetworkError, Result, SendState};
use parking_lot::RwLock;

use super::limits::SchemaRegistryLimits;
use super::parsed::Parsed;
use super::state::{Identity, REGISTER, State};

const GET: &str = "kafka.schema";
const CHECK: &str = "kafka.check_schema_compatibility";

/// An in-memory schema registry. Clones share its subjects, schemas and levels.
///
/// Parsing and comparing a large schema takes milliseconds of processor time. In async code, call the registry from
/// `tokio::task::spawn_blocking`.
///
/// ```
/// use networking_kafka::schema_registry::SchemaRegistry;
/// use networking_spi::ErrorKind;
/// use networking_spi::kafka::{Schema, SchemaType};
///
/// let registry = SchemaRegistry::new();
/// let one = Schema::new(SchemaType::Avro, r#"{"type":"record","name":"R","fields":[]}"#);
/// let registered = registry.register("orders-value", one.clone()).unwrap();
/// assert_eq!((registered.id, registered.version), (1, 1));
/// assert_eq!(registry.register("other-value", one).unwrap().id, 1, "the same schema has the same id");
///
/// let unreadable = r#"{"type":"record","name":"R","fields":[{"name":"a","type":"int"}]}"#;
/// let error = registry.register("orders-value", Schema::new(SchemaType::Avro, unreadable)).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Incompatible);
/// ```
#[derive(Debug, Clone, Default)]
pub struct SchemaRegistry {
    limits: SchemaRegistryLimits,
    state: Arc<RwLock<State>>,
}

impl SchemaRegistry {
    /// The schema types that can be registered and compared. JSON Schema needs the cargo feature `json-schema`.
    pub const SCHEMA_TYPES: &'static [SchemaType] = &[
        SchemaType::Avro,
        #[cfg(feature = "json-schema")]
        SchemaType::Json,
        SchemaType::Protobuf,
    ];

    /// An empty registry. The compatibility level is `BACKWARD`; [`set_level`](Self::set_level) changes it.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty registry with these limits.
    pub fn with_limits(limits: SchemaRegistryLimits) -> Self {
        Self {
            limits,
            state: Arc::default(),
        }
    }

    /// Registers a schema as the next version of a subject. If the subject already has the schema, returns its version.
    ///
    /// # Errors
    /// * [`InvalidInput`](ErrorKind::InvalidInput) with the name of the field, for a bad subject name, a schema that cannot be
    ///   parsed, or a reference that cannot be resolved.
    /// * [`Incompatible`](ErrorKind::Incompatible) with the reasons, if the schema is not compatible with earlier versions at
    ///   the level of the subject.
    /// * [`TooLarge`](ErrorKind::TooLarge) for a text beyond [`schema_bytes`](SchemaRegistryLimits::schema_bytes).
    /// * [`Exhausted`](ErrorKind::Exhausted) if another limit is reached.
    /// * [`Unsupported`](ErrorKind::Unsupported) for a schema type that is not in [`SCHEMA_TYPES`](Self::SCHEMA_TYPES).
    pub fn register(&self, subject: &str, schema: Schema) -> Result<RegisteredSchema> {
        let (parsed, identity) = self.parse(REGISTER, subject, &schema)?;
        loop {
            let before = {
                let state = self.state.read();
                if let Some(found) = state.find(subject, &identity) {
                    return Ok(found);
                }
                state.predecessors(subject)
            };
            // Comparing takes milliseconds, so it is done without the lock.
            let report = before.compare(&parsed);
            if !report.compatible {
                return Err(
                    NetworkError::new(ErrorKind::Incompatible, REGISTER, report.problems.join("; "))
                        .with_context(context::SUBJECT, subject)
                        .with_context("level", report.level.as_str())
                        .with_send_state(SendState::Sent),
                );
            }
            let mut state = self.state.write();
            if let Some(found) = state.find(subject, &identity) {
                return Ok(found);
            }
            if state.is_unchanged(subject, &before) {
                return state.insert(&self.limits, subject, schema, parsed, identity);
            }
        }
    }

    /// Returns a version of a subject.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a subject or version that does not exist.
    pub fn schema(&self, subject: &str, version: SchemaVersion) -> Result<RegisteredSchema> {
        let state = self.state.read();
        let versions = &state.subject(GET, subject)?.versions;
        let number = match version {
            SchemaVersion::Latest => versions.len(),
            SchemaVersion::Number(number) => number as usize,
        };
        let id = number.checked_sub(1).and_then(|index| versions.get(index));
        let id =
            id.ok_or_else(|| NetworkError::not_found(GET, "version", number).with_context(context::SUBJECT, subject))?;
        Ok(state.registered(subject, *id, number))
    }

    /// Returns the schema with this id, such as the id that [`decode`](super::decode) returns.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for an id that was not assigned.
    pub fn schema_by_id(&self, id: u32) -> Result<Schema> {
        let state = self.state.read();
        let stored = (id as usize).checked_sub(1).and_then(|index| state.schemas.get(index));
        stored
            .map(|stored| stored.schema.clone())
            .ok_or_else(|| NetworkError::not_found(GET, "schema id", id))
    }

    /// Returns the version of a subject that has this schema.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) if the subject does not have the schema; otherwise like [`check`](Self::check).
    pub fn lookup(&self, subject: &str, schema: &Schema) -> Result<RegisteredSchema> {
        let (_, identity) = self.parse(GET, subject, schema)?;
        let found = self.state.read().find(subject, &identity);
        found.ok_or_else(|| {
            NetworkError::not_found(GET, "schema", "with this text").with_context(context::SUBJECT, subject)
        })
    }

    /// Checks whether a schema is compatible with the versions of a subject, without registering it.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) with the name of the field, [`TooLarge`](ErrorKind::TooLarge),
    /// [`Unsupported`](ErrorKind::Unsupported), and [`Exhausted`](ErrorKind::Exhausted) for too many references, as in
    /// [`register`](Self::register).
    pub fn check(&self, subject: &str, schema: &Schema) -> Result<CompatibilityReport> {
        let (parsed, _) = self.parse(CHECK, subject, schema)?;
        let before = self.state.read().predecessors(subject);
        Ok(before.compare(&parsed))
    }

    /// The names of the subjects that have a version, in byte order.
    pub fn subjects(&self) -> Vec<String> {
        let state = self.state.read();
        state
            .subjects
            .iter()
            .filter(|(_, subject)| !subject.versions.is_empty())
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The version numbers of a subject, in ascending order from 1.
    ///
    /// # Errors
    /// [`NotFound`](ErrorKind::NotFound) for a subject that does not exist.
    pub fn versions(&self, subject: &str) -> Result<Vec<u32>> {
        let state = self.state.read();
        Ok((1..).take(state.subject(GET, subject)?.versions.len()).collect())
    }

    /// The compatibility level of a subject: the one set for the subject, or else the level of the registry.
    pub fn level(&self, subject: &str) -> CompatibilityLevel {
        self.state.read().level(subject)
    }

    /// Sets the compatibility level of the registry. It applies to subjects without a level.
    pub fn set_level(&self, level: CompatibilityLevel) {
        self.state.write().level = level;
    }

    /// Sets the compatibility level of a subject, which need not have a version yet. `None` removes it.
    ///
    /// # Errors
    /// [`InvalidInput`](ErrorKind::InvalidInput) for a bad subject name, [`Exhausted`](ErrorKind::Exhausted) if the limit of
    /// subjects is reached.
    pub fn set_subject_level(&self, subject: &str, level: Option<CompatibilityLevel>) -> Result<()> {
        const SET: &str = "kafka.set_compatibility";
        validate::name(subject, 255, "subject").in_operation(SET)?;
        let mut state = self.state.write();
        state.ensure_room(SET, &self.limits, subject)?;
        state.subjects.entry(subject.to_owned()).or_default().level = level;
        Ok(())
    }

    fn parse(&self, operation: &'static str, subject: &str, schema: &Schema) -> Result<(Arc<Parsed>, Identity)> {
        let named = |error: NetworkError| error.with_operation(operation);
        validate::name(subject, 255, "subject").map_err(named)?;
        schema.validate().map_err(named)?;
        if schema.text.len() > self.limits.schema_bytes {
            return Err(
                NetworkError::new(ErrorKind::TooLarge, operation, "the schema is larger than schema_bytes")
                    .with_context(context::BYTES, schema.text.len().to_string())
                    .with_send_state(SendState::NotSent),
            );
        }
        let referenced = self.state.read().resolve(&self.limits, schema).map_err(named)?;
        let parsed = Parsed::parse(schema, &referenced).map_err(named)?;
        let identity = Identity {
            schema_type: schema.schema_type,
            canonical: parsed.canonical().to_vec(),
            references: schema.references.clone(),
        };
        Ok((Arc::new(parsed), identity))
    }
}

#[cfg(test)]
mod tests {
    use networking_spi::kafka::{SchemaReference, SchemaType};

    use super::*;

    fn record(fields: &[&str]) -> Schema {
        let fields = fields
            .iter()
            .map(|field| match field.split_once('=') {
                Some((name, default)) => format!(r#"{{"name":"{name}","type":"int","default":{default}}}"#),
                None => format!(r#"{{"name":"{field}","type":"int"}}"#),
            })
            .collect::<Vec<_>>();
        Schema::new(
            SchemaType::Avro,
            format!(r#"{{"type":"record","name":"R","fields":[{}]}}"#, fields.join(",")),
        )
    }

    #[test]
    fn versions_count_per_subject_and_ids_across_all() {
        let registry = SchemaRegistry::new();
        let first = registry.register("a", record(&["x"])).expect("first");
        let second = registry.register("a", record(&["x", "y=0"])).expect("compatible");
        let other = registry.register("b", record(&["x", "y=0"])).expect("first of b");
        assert_eq!((first.id, first.version), (1, 1));
        assert_eq!((second.id, second.version), (2, 2));
        assert_eq!((other.id, other.version), (2, 1));
        assert_eq!(registry.register("a", record(&["x"])).expect("known"), first);
        assert_eq!(registry.lookup("a", &record(&["x", "y=0"])).expect("known"), second);
        assert_eq!(registry.schema("a", SchemaVersion::Latest).expect("known"), second);
        assert_eq!(registry.schema("a", SchemaVersion::Number(1)).expect("known"), first);
        assert_eq!(registry.schema_by_id(2).expect("known"), record(&["x", "y=0"]));
        assert_eq!(
            (registry.subjects(), registry.versions("a").expect("known")),
            (vec!["a".into(), "b".into()], vec![1, 2])
        );
        for error in [
            registry
                .schema("a", SchemaVersion::Number(3))
                .expect_err("no such version"),
            registry
                .schema("a", SchemaVersion::Number(0))
                .expect_err("versions start at 1"),
            registry
                .schema("c", SchemaVersion::Latest)
                .expect_err("no such subject"),
            registry.schema_by_id(0).expect_err("ids start at 1"),
            registry.schema_by_id(3).expect_err("no such id"),
        ] {
            assert_eq!(error.kind(), ErrorKind::NotFound);
        }
    }

    /// Which of three changes each level allows after the versions `x` and `x, y=0`.
    #[test]
    fn each_level_checks_its_directions() {
        use CompatibilityLevel as Level;
        let adds_required = record(&["x", "y=0", "z"]);
        let drops_required = record(&["y=0"]);
        let adds_optional = record(&["x", "y=0", "z=0"]);
        for (level, allowed) in [
            (Level::None, [true, true, true]),
            (Level::Backward, [false, true, true]),
            (Level::BackwardTransitive, [false, true, true]),
            (Level::Forward, [true, false, true]),
            (Level::ForwardTransitive, [true, false, true]),
            (Level::Full, [false, false, true]),
            (Level::FullTransitive, [false, false, true]),
        ] {
            let registry = SchemaRegistry::new();
            registry.register("s", record(&["x"])).expect("first");
            registry.register("s", record(&["x", "y=0"])).expect("compatible");
            registry.set_level(level);
            let changes = [&adds_required, &drops_required, &adds_optional];
            let found = changes.map(|change| registry.check("s", change).expect("readable").compatible);
            assert_eq!(found, allowed, "{level}");
            for (change, compatible) in changes.into_iter().zip(allowed) {
                let registry = SchemaRegistry::new();
                registry.register("s", record(&["x", "y=0"])).expect("first");
                registry.set_subject_level("s", Some(level)).expect("a level");
                assert_eq!(
                    registry.register("s", change.clone()).is_ok(),
                    compatible,
                    "{level}, registering"
                );
            }
        }
    }

    #[test]
    fn only_transitive_levels_check_older_versions() {
        let registry = SchemaRegistry::new();
        registry.set_level(CompatibilityLevel::None);
        registry.register("s", record(&["x"])).expect("first");
        registry.register("s", record(&["y"])).expect("the level is none");
        let drops_y = record(&[]);
        let needs_y = record(&["y", "z=0"]);
        registry
            .set_subject_level("s", Some(CompatibilityLevel::Backward))
            .expect("a level");
        let report = registry.check("s", &needs_y).expect("readable");
        assert_eq!((report.compatible, report.checked_versions), (true, vec![2]));
        registry
            .set_subject_level("s", Some(CompatibilityLevel::BackwardTransitive))
            .expect("a level");
        let report = registry.check("s", &needs_y).expect("readable");
        assert_eq!((report.compatible, report.checked_versions), (false, vec![1, 2]));
        assert!(
            report
                .problems
                .iter()
                .all(|problem| problem.starts_with("reading version 1: ")),
            "{:?}",
            report.problems
        );
        assert!(registry.check("s", &drops_y).expect("readable").compatible);
    }

    #[test]
    fn references_are_resolved_indirectly_and_must_exist() {
        let registry = SchemaRegistry::new();
        let inner = Schema::new(
            SchemaType::Avro,
            r#"{"type":"record","name":"Inner","fields":[{"name":"i","type":"int"}]}"#,
        );
        let reference = |name: &str, subject: &str| SchemaReference {
            name: name.into(),
            subject: subject.into(),
            version: 1,
        };
        let middle = Schema::new(
            SchemaType::Avro,
            r#"{"type":"record","name":"Middle","fields":[{"name":"m","type":"Inner"}]}"#,
        )
        .with_reference(reference("Inner", "inner"));
        let outer = Schema::new(
            SchemaType::Avro,
            r#"{"type":"record","name":"Outer","fields":[{"name":"o","type":"Middle"}]}"#,
        )
        .with_reference(reference("Middle", "middle"));
        let error = registry
            .register("middle", middle.clone())
            .expect_err("inner does not exist yet");
        assert_eq!(
            (error.kind(), error.field()),
            (ErrorKind::InvalidInput, Some("schema.references"))
        );
        registry.register("inner", inner).expect("first");
        registry.register("middle", middle).expect("resolved");
        assert_eq!(
            registry.register("outer", outer.clone()).expect("resolved").schema,
            outer
        );
        let other_type =
            Schema::new(SchemaType::Protobuf, "syntax = \"proto3\";").with_reference(reference("Inner", "inner"));
        assert_eq!(
            registry.register("j", other_type).expect_err("Avro").field(),
            Some("schema.references")
        );
    }

    #[test]
    fn a_subject_keeps_its_schema_type_unless_its_level_is_none() {
        let registry = SchemaRegistry::new();
        registry.register("s", record(&["x"])).expect("first");
        let other = Schema::new(SchemaType::Protobuf, "syntax = \"proto3\"; message A {}");
        assert_eq!(
            registry.register("s", other.clone()).expect_err("another type").kind(),
            ErrorKind::Incompatible
        );
        registry
            .set_subject_level("s", Some(CompatibilityLevel::None))
            .expect("a level");
        assert_eq!(registry.register("s", other).expect("the level is none").version, 2);
    }

    #[test]
    fn limits_hold() {
        let limits = SchemaRegistryLimits {
            subjects: 1,
            versions: 1,
            schema_bytes: 200,
            references: 1,
        };
        let registry = SchemaRegistry::with_limits(limits);
        registry.register("s", record(&["x"])).expect("first");
        registry.register("s", record(&["x"])).expect("known");
        for error in [
            registry.register("s", record(&["x", "y=0"])).expect_err("versions"),
            registry.register("t", record(&["x"])).expect_err("subjects"),
            registry
                .set_subject_level("t", Some(CompatibilityLevel::Full))
                .expect_err("subjects"),
        ] {
            assert_eq!(error.kind(), ErrorKind::Exhausted);
        }
        let large = Schema::new(SchemaType::Avro, format!(r#"{{"description":"{}"}}"#, "x".repeat(200)));
        assert_eq!(
            registry.register("s", large).expect_err("bytes").kind(),
            ErrorKind::TooLarge
        );
        assert_eq!(
            registry.register(" ", record(&[])).expect_err("name").field(),
            Some("subject")
        );
    }

    #[test]
    fn one_of_several_concurrent_incompatible_schemas_is_registered() {
        let registry = SchemaRegistry::new();
        registry.set_level(CompatibilityLevel::FullTransitive);
        let results = std::thread::scope(|scope| {
            let threads = (0..8).map(|number| {
                let registry = &registry;
                scope.spawn(move || registry.register("s", record(&[&format!("f{number}")])).is_ok())
            });
            threads
                .collect::<Vec<_>>()
                .into_iter()
                .map(|thread| thread.join().expect("no panic"))
                .collect::<Vec<_>>()
        });
        assert_eq!(results.into_iter().filter(|won| *won).count(), 1);
        assert_eq!(registry.versions("s").expect("one"), [1]);
    }
}
