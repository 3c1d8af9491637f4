//! The limits of a registry.

/// The limits of a [`SchemaRegistry`](super::SchemaRegistry).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SchemaRegistryLimits {
    /// Maximum number of subjects. Default: 10 000.
    pub subjects: usize,
    /// Maximum number of versions of one subject. Default: 1 000.
    pub versions: usize,
    /// Maximum length of the text of one schema, in bytes. Default: 1 000 000.
    pub schema_bytes: usize,
    /// Maximum number of schemas that one schema references, directly or indirectly. Default: 200.
    pub references: usize,
}

impl Default for SchemaRegistryLimits {
    fn default() -> Self {
        Self {
            subjects: 10_000,
            versions: 1_000,
            schema_bytes: 1_000_000,
            references: 200,
        }
    }
}
