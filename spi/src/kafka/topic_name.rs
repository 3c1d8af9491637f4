//! The name of a topic.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The name of a topic: text whose clones share their memory, because every record has one. It dereferences to `str`.
///
/// ```
/// use networking_spi::kafka::{ProducerRecord, TopicName};
/// let orders = TopicName::from("orders");
/// let records = (0..3).map(|number| ProducerRecord::new(&orders).with_value(number.to_string()));
/// assert!(records.into_iter().all(|record| record.topic == "orders"));
/// ```
///
/// Any text can be one: names are checked where they are used, by [`validate_topic_name`](super::validate_topic_name).
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicName(Arc<str>);

impl TopicName {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Deref for TopicName {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for TopicName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for TopicName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for TopicName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl From<&str> for TopicName {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl From<String> for TopicName {
    fn from(name: String) -> Self {
        Self(name.into())
    }
}

impl From<&String> for TopicName {
    fn from(name: &String) -> Self {
        Self(name.as_str().into())
    }
}

impl From<Arc<str>> for TopicName {
    fn from(name: Arc<str>) -> Self {
        Self(name)
    }
}

/// Shares the text.
impl From<&TopicName> for TopicName {
    fn from(name: &TopicName) -> Self {
        name.clone()
    }
}

impl From<TopicName> for String {
    fn from(name: TopicName) -> Self {
        name.as_str().to_owned()
    }
}

impl From<&TopicName> for String {
    fn from(name: &TopicName) -> Self {
        name.as_str().to_owned()
    }
}

impl PartialEq<str> for TopicName {
    fn eq(&self, other: &str) -> bool {
        &*self.0 == other
    }
}

impl PartialEq<&str> for TopicName {
    fn eq(&self, other: &&str) -> bool {
        &*self.0 == *other
    }
}

impl PartialEq<String> for TopicName {
    fn eq(&self, other: &String) -> bool {
        &*self.0 == other.as_str()
    }
}

impl PartialEq<TopicName> for str {
    fn eq(&self, other: &TopicName) -> bool {
        self == &*other.0
    }
}

impl PartialEq<TopicName> for &str {
    fn eq(&self, other: &TopicName) -> bool {
        *self == &*other.0
    }
}

impl PartialEq<TopicName> for String {
    fn eq(&self, other: &TopicName) -> bool {
        self.as_str() == &*other.0
    }
}

impl Serialize for TopicName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for TopicName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_like_its_text() {
        let name = TopicName::from("orders");
        let text = String::from("orders");
        assert_eq!(name, "orders");
        assert_eq!("orders", name);
        assert_eq!(name, *"orders");
        assert_eq!(*"orders", name);
        assert_eq!(name, text);
        assert_eq!(text, name);
        assert_ne!(name, "order");
        assert_eq!(
            (format!("{name:>8}"), format!("{name:?}")),
            ("  orders".into(), "\"orders\"".into())
        );
        assert_eq!(serde_json::to_string(&name).unwrap(), "\"orders\"");
        assert_eq!(serde_json::from_str::<TopicName>("\"orders\"").unwrap(), name);
        let map = std::collections::BTreeMap::from([(name.clone(), 1)]);
        assert_eq!(map.get("orders"), Some(&1), "it is found by its text");
        assert!(Arc::ptr_eq(&name.0, &TopicName::from(&name).0), "clones share the text");
    }
}
