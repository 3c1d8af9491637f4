//! A payload as JSON, and the fields of it that conditions read.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use bytes::Bytes;

/// Which fields of the JSON payload a [`Condition`](super::Condition) reads.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use = "it does nothing until a condition returns it"]
pub struct PayloadFields {
    read: bool,
    /// The whole value is read, with everything in it.
    whole: bool,
    fields: BTreeMap<String, PayloadFields>,
}

impl PayloadFields {
    /// The payload is not read.
    pub fn none() -> Self {
        Self::default()
    }

    /// Any field may be read.
    pub fn all() -> Self {
        Self {
            read: true,
            whole: true,
            fields: BTreeMap::new(),
        }
    }

    /// Adds a field, with everything in it: `["sender", "type"]` is `payload.sender.type`.
    pub fn with_field(mut self, path: &[&str]) -> Self {
        self.add(path, true);
        self
    }

    /// Whether the payload is read.
    pub fn is_read(&self) -> bool {
        self.read
    }

    /// Adds a field. With `whole`, its value is read, otherwise only whether it exists.
    pub(super) fn add(&mut self, path: &[&str], whole: bool) {
        self.read = true;
        match path.split_first() {
            None => self.whole |= whole,
            Some((first, rest)) => self.fields.entry((*first).to_owned()).or_default().add(rest, whole),
        }
    }

    /// Adds the fields that another condition reads.
    pub(super) fn merge(&mut self, other: &Self) {
        self.read |= other.read;
        self.whole |= other.whole;
        for (name, fields) in &other.fields {
            self.fields.entry(name.clone()).or_default().merge(fields);
        }
    }

    #[cfg(feature = "cel")]
    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    #[cfg(feature = "cel")]
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, &Self)> {
        self.fields.iter().map(|(name, inner)| (name.as_str(), inner))
    }
}

/// A payload that is parsed when its JSON is first read.
#[derive(Debug)]
pub(super) struct Payload {
    bytes: Bytes,
    json: OnceLock<serde_json::Value>,
}

impl Payload {
    pub(super) fn new(bytes: Bytes) -> Self {
        Self {
            bytes,
            json: OnceLock::new(),
        }
    }

    /// Null if it is not JSON.
    pub(super) fn json(&self) -> &serde_json::Value {
        self.json
            .get_or_init(|| serde_json::from_slice(&self.bytes).unwrap_or(serde_json::Value::Null))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_payload_that_is_not_json_is_null() {
        assert_eq!(
            Payload::new(Bytes::from_static(b"{\"n\": 7}")).json(),
            &serde_json::json!({"n": 7})
        );
        assert!(Payload::new(Bytes::from_static(b"{\"n\": 7")).json().is_null());
    }

    #[test]
    fn merged_fields_are_those_of_both() {
        let mut merged = PayloadFields::none();
        assert!(!merged.is_read());
        merged.merge(&PayloadFields::none().with_field(&["a", "b"]));
        merged.merge(&PayloadFields::none().with_field(&["a", "c"]));
        assert_eq!(
            merged,
            PayloadFields::none().with_field(&["a", "c"]).with_field(&["a", "b"])
        );
        assert!(merged.is_read());
    }
}
