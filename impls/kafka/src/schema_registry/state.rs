//! The contents of a registry.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use networking_spi::kafka::{
    CompatibilityLevel, CompatibilityReport, RegisteredSchema, Schema, SchemaReference, SchemaType,
};
use networking_spi::{ErrorKind, NetworkError, Result, Retryability, validate};

use super::limits::SchemaRegistryLimits;
use super::parsed::{Parsed, Referenced};

pub(super) const REGISTER: &str = "kafka.register_schema";

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) subjects: BTreeMap<String, Subject>,
    /// The schema with id `n` is at index `n - 1`.
    pub(super) schemas: Vec<Arc<Stored>>,
    ids: HashMap<Identity, u32>,
    pub(super) level: CompatibilityLevel,
}

#[derive(Debug, Default)]
pub(super) struct Subject {
    /// The id of version `n` is at index `n - 1`.
    pub(super) versions: Vec<u32>,
    pub(super) level: Option<CompatibilityLevel>,
}

#[derive(Debug)]
pub(super) struct Stored {
    pub(super) schema: Schema,
    parsed: Arc<Parsed>,
}

/// Two schemas with the same identity are equal and share an id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    pub(super) schema_type: SchemaType,
    pub(super) canonical: Vec<u8>,
    pub(super) references: Vec<SchemaReference>,
}

/// The versions and the level of a subject at the time when a schema is compared with them.
pub(super) struct Predecessors {
    level: CompatibilityLevel,
    versions: Vec<(u32, Arc<Stored>)>,
}

impl State {
    pub(super) fn level(&self, subject: &str) -> CompatibilityLevel {
        self.subjects
            .get(subject)
            .and_then(|subject| subject.level)
            .unwrap_or(self.level)
    }

    pub(super) fn subject(&self, operation: &'static str, name: &str) -> Result<&Subject> {
        let found = self.subjects.get(name).filter(|subject| !subject.versions.is_empty());
        found.ok_or_else(|| NetworkError::not_found(operation, "subject", name))
    }

    pub(super) fn stored(&self, id: u32) -> &Arc<Stored> {
        // Only `insert` assigns ids, and nothing is removed.
        &self.schemas[id as usize - 1]
    }

    pub(super) fn registered(&self, subject: &str, id: u32, version: usize) -> RegisteredSchema {
        let version = u32::try_from(version).unwrap_or(u32::MAX);
        RegisteredSchema::new(id, subject, version, self.stored(id).schema.clone())
    }

    pub(super) fn find(&self, subject: &str, identity: &Identity) -> Option<RegisteredSchema> {
        let id = self.ids.get(identity)?;
        let index = self
            .subjects
            .get(subject)?
            .versions
            .iter()
            .position(|version| version == id)?;
        Some(self.registered(subject, *id, index + 1))
    }

    pub(super) fn predecessors(&self, subject: &str) -> Predecessors {
        let ids = self
            .subjects
            .get(subject)
            .map(|subject| subject.versions.as_slice())
            .unwrap_or_default();
        let versions = (1..)
            .zip(ids)
            .map(|(version, id)| (version, Arc::clone(self.stored(*id))));
        Predecessors {
            level: self.level(subject),
            versions: versions.collect(),
        }
    }

    /// Whether the versions and the level of a subject are still those of `before`.
    pub(super) fn is_unchanged(&self, subject: &str, before: &Predecessors) -> bool {
        let versions = self.subjects.get(subject).map_or(0, |subject| subject.versions.len());
        versions == before.versions.len() && self.level(subject) == before.level
    }

    /// Checks that `subject` exists or that the limit allows another subject.
    pub(super) fn ensure_room(
        &self,
        operation: &'static str,
        limits: &SchemaRegistryLimits,
        subject: &str,
    ) -> Result<()> {
        if self.subjects.contains_key(subject) || self.subjects.len() < limits.subjects {
            return Ok(());
        }
        Err(full(operation, "subjects", limits.subjects))
    }

    pub(super) fn insert(
        &mut self,
        limits: &SchemaRegistryLimits,
        subject: &str,
        schema: Schema,
        parsed: Arc<Parsed>,
        identity: Identity,
    ) -> Result<RegisteredSchema> {
        self.ensure_room(REGISTER, limits, subject)?;
        if self
            .subjects
            .get(subject)
            .is_some_and(|subject| subject.versions.len() >= limits.versions)
        {
            return Err(full(REGISTER, "versions", limits.versions));
        }
        let id = if let Some(id) = self.ids.get(&identity) {
            *id
        } else {
            let id = u32::try_from(self.schemas.len() + 1).map_err(|_| full(REGISTER, "ids", u32::MAX as usize))?;
            self.schemas.push(Arc::new(Stored { schema, parsed }));
            self.ids.insert(identity, id);
            id
        };
        let versions = &mut self.subjects.entry(subject.to_owned()).or_default().versions;
        versions.push(id);
        let version = versions.len();
        Ok(self.registered(subject, id, version))
    }

    /// All schemas that a schema references, directly or indirectly. Each follows the schemas that it references itself.
    pub(super) fn resolve(&self, limits: &SchemaRegistryLimits, schema: &Schema) -> Result<Vec<Referenced>> {
        let mut resolved = Vec::<Referenced>::new();
        // A reference with inner references is visited twice: first the inner ones are queued before it, then it is resolved.
        let mut waiting = schema
            .references
            .iter()
            .rev()
            .map(|reference| (reference.clone(), false))
            .collect::<Vec<_>>();
        while let Some((reference, inner_resolved)) = waiting.pop() {
            if resolved.iter().any(|known| known.name == reference.name) {
                continue;
            }
            if resolved.len() + waiting.len() >= limits.references {
                return Err(full(REGISTER, "references", limits.references));
            }
            let found = self.referenced(&reference)?;
            if inner_resolved || found.references.is_empty() {
                resolved.push(Referenced {
                    name: reference.name,
                    schema: found.clone(),
                });
            } else {
                waiting.push((reference, true));
                waiting.extend(found.references.iter().rev().map(|inner| (inner.clone(), false)));
            }
        }
        Ok(resolved)
    }

    pub(super) fn referenced(&self, reference: &SchemaReference) -> Result<&Schema> {
        validate::not_blank(&reference.name, "schema.references")?;
        let versions = self
            .subjects
            .get(&reference.subject)
            .map(|subject| subject.versions.as_slice());
        let id = (reference.version as usize)
            .checked_sub(1)
            .and_then(|index| versions?.get(index));
        let id = id.ok_or_else(|| {
            let SchemaReference { name, subject, version } = reference;
            NetworkError::invalid_input(
                "schema.references",
                format!("{name}: subject {subject} has no version {version}"),
            )
        })?;
        Ok(&self.stored(*id).schema)
    }
}

impl Predecessors {
    pub(super) fn compare(&self, new: &Parsed) -> CompatibilityReport {
        let Checks { backward, forward, all } = Checks::of(self.level);
        let relevant = match (backward || forward, all) {
            (false, _) => &[][..],
            (true, true) => &self.versions[..],
            (true, false) => &self.versions[self.versions.len().saturating_sub(1)..],
        };
        let mut problems = Vec::new();
        for (version, old) in relevant {
            let mut add = |side: &str, found: Vec<String>| {
                problems.extend(
                    found
                        .into_iter()
                        .map(|problem| format!("{side} version {version}: {problem}")),
                );
            };
            if backward {
                add("reading", old.parsed.incompatibilities_with(new));
            }
            if forward {
                add("being read by", new.incompatibilities_with(&old.parsed));
            }
        }
        CompatibilityReport::new(
            self.level,
            relevant.iter().map(|(version, _)| *version).collect(),
            problems,
        )
    }
}

/// The checks that a compatibility level requires.
struct Checks {
    backward: bool,
    forward: bool,
    all: bool,
}

impl Checks {
    fn of(level: CompatibilityLevel) -> Self {
        let (backward, forward, all) = match level {
            CompatibilityLevel::None => (false, false, false),
            CompatibilityLevel::Backward => (true, false, false),
            CompatibilityLevel::BackwardTransitive => (true, false, true),
            CompatibilityLevel::Forward => (false, true, false),
            CompatibilityLevel::ForwardTransitive => (false, true, true),
            CompatibilityLevel::Full => (true, true, false),
            // An unknown level is treated as the strictest one.
            _ => (true, true, true),
        };
        Self { backward, forward, all }
    }
}

fn full(operation: &'static str, limit: &'static str, value: usize) -> NetworkError {
    NetworkError::new(ErrorKind::Exhausted, operation, "the registry has reached a limit")
        .with_context(limit, value.to_string())
        .with_retryability(Retryability::Never)
}
