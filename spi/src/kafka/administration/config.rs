//! Settings of topics and brokers.

use std::collections::HashSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::{NetworkError, Result};
use crate::kafka::validate_topic_name;
use crate::names::named_enum;
use crate::validate::{self, Validate};

/// What settings belong to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConfigResource {
    /// A topic.
    Topic(String),
    /// A broker, by its id.
    Broker(i32),
}

impl ConfigResource {
    /// A topic.
    pub fn topic(name: impl Into<String>) -> Self {
        Self::Topic(name.into())
    }
}

impl fmt::Display for ConfigResource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Topic(name) => write!(f, "topic {name}"),
            Self::Broker(id) => write!(f, "broker {id}"),
        }
    }
}

impl Validate for ConfigResource {
    fn validate(&self) -> Result<()> {
        match self {
            Self::Topic(name) => validate_topic_name(name, "resource"),
            Self::Broker(id) => validate::ensure(*id >= 0, "resource", "the id of a broker must not be negative"),
        }
    }
}

named_enum! {
    "config_source",
    /// Where the value of a setting comes from.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    #[non_exhaustive]
    pub enum ConfigSource {
        /// It was set for this topic.
        Topic => "topic",
        /// It was set for this broker while it runs.
        DynamicBroker => "dynamic_broker",
        /// It was set for all brokers while they run.
        DynamicDefaultBroker => "dynamic_default_broker",
        /// It is in the configuration file of the broker.
        StaticBroker => "static_broker",
        /// It is Kafka's default.
        Default => "default",
        /// The broker reported a source that this version of the crate does not know.
        #[default]
        Unknown => "unknown",
    }
}

/// A setting of a topic or a broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct ConfigEntry {
    /// The name.
    pub name: String,
    /// The value; `None` if it is sensitive, and if the setting has no value.
    pub value: Option<String>,
    /// Where the value comes from.
    pub source: ConfigSource,
    /// The value that the setting has without the one of this topic, or without the dynamic one of this broker; `None` if it is
    /// sensitive, if there is none, and if the cluster does not report it.
    pub default: Option<String>,
    /// Whether the value is a secret. It is never shown.
    pub is_sensitive: bool,
    /// Whether the setting cannot be changed while the broker runs.
    pub is_read_only: bool,
}

impl ConfigEntry {
    /// A setting that has Kafka's default, is not sensitive and can be changed.
    pub fn new(name: impl Into<String>, default: Option<String>) -> Self {
        Self {
            name: name.into(),
            value: default.clone(),
            source: ConfigSource::Default,
            default,
            is_sensitive: false,
            is_read_only: false,
        }
    }

    /// Sets the value and its source.
    pub fn with_value(mut self, value: Option<String>, source: ConfigSource) -> Self {
        self.value = value;
        self.source = source;
        self
    }

    /// Marks the setting as sensitive, and removes its values.
    pub fn into_sensitive(mut self) -> Self {
        self.value = None;
        self.default = None;
        self.is_sensitive = true;
        self
    }

    /// Sets whether the setting cannot be changed.
    pub fn with_read_only(mut self, is_read_only: bool) -> Self {
        self.is_read_only = is_read_only;
        self
    }

    /// Whether nobody has set the value: it is Kafka's default.
    pub fn is_default(&self) -> bool {
        self.source == ConfigSource::Default
    }
}

/// A change of one setting (KIP-339).
///
/// ```
/// use networking_spi::kafka::ConfigChange;
///
/// let changes = vec![
///     ConfigChange::set("retention.ms", "86400000"),
///     ConfigChange::append("cleanup.policy", "compact"),
///     ConfigChange::delete("max.message.bytes"),
/// ];
/// # assert_eq!(changes[2].name, "max.message.bytes");
/// ```
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ConfigChange {
    /// The name of the setting.
    pub name: String,
    /// What changes.
    pub operation: ConfigOperation,
}

/// How a setting changes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum ConfigOperation {
    /// It gets this value.
    Set(String),
    /// The value of this topic, or the dynamic one of this broker, is removed. The default applies again.
    Delete,
    /// These elements, separated by commas, are added to a list. Those that it has are not added again.
    Append(String),
    /// These elements, separated by commas, are removed from a list.
    Subtract(String),
}

impl ConfigChange {
    /// Sets a value.
    pub fn set(name: impl Into<String>, value: impl Into<String>) -> Self {
        Self::new(name, ConfigOperation::Set(value.into()))
    }

    /// Removes the value, so that the default applies again.
    pub fn delete(name: impl Into<String>) -> Self {
        Self::new(name, ConfigOperation::Delete)
    }

    /// Adds elements, separated by commas, to a list.
    pub fn append(name: impl Into<String>, elements: impl Into<String>) -> Self {
        Self::new(name, ConfigOperation::Append(elements.into()))
    }

    /// Removes elements, separated by commas, from a list.
    pub fn subtract(name: impl Into<String>, elements: impl Into<String>) -> Self {
        Self::new(name, ConfigOperation::Subtract(elements.into()))
    }

    fn new(name: impl Into<String>, operation: ConfigOperation) -> Self {
        Self {
            name: name.into(),
            operation,
        }
    }

    /// The field of this change in errors: `changes.<setting>`.
    pub fn field(&self) -> String {
        format!("changes.{}", self.name)
    }
}

/// Without the value, which may be a secret.
impl fmt::Debug for ConfigChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigChange")
            .field("name", &self.name)
            .field("operation", &self.operation)
            .finish()
    }
}

/// Without the value, which may be a secret.
impl fmt::Debug for ConfigOperation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Set(_) => "Set(..)",
            Self::Delete => "Delete",
            Self::Append(_) => "Append(..)",
            Self::Subtract(_) => "Subtract(..)",
        })
    }
}

/// For implementers: checks the changes of [`KafkaAdmin::alter_config`](super::KafkaAdmin::alter_config) as far as that needs no
/// broker.
///
/// # Errors
/// [`InvalidInput`](crate::ErrorKind::InvalidInput) naming `changes` if there are none or a name is empty, or
/// `changes.<setting>` for a setting that is listed twice.
pub fn validate_changes(changes: &[ConfigChange]) -> Result<()> {
    validate::ensure(!changes.is_empty(), "changes", "must not be empty")?;
    let mut seen = HashSet::new();
    for change in changes {
        validate::not_blank(&change.name, "changes")?;
        if !seen.insert(&change.name) {
            return Err(NetworkError::invalid_input(change.field(), "is changed twice"));
        }
    }
    Ok(())
}
