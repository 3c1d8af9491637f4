//! Credentials whose value is not printed.

use std::fmt;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use zeroize::{Zeroize, ZeroizeOnDrop};

/// A credential. `Debug` and `Display` print `[redacted]`. Its memory is overwritten with zeros when it is dropped.
///
/// Serialization writes the credential, so that a configuration can be saved and loaded again. Store serialized
/// configuration only where secrets may be stored.
///
/// ```
/// use networking_spi::secret::Secret;
/// let password = Secret::new("hunter2");
/// assert_eq!(format!("{password:?} {password}"), "[redacted] [redacted]");
/// assert_eq!(password.expose(), "hunter2");
/// ```
#[derive(Clone, Default, PartialEq, Eq, Serialize, Zeroize, ZeroizeOnDrop)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a credential.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// Returns the credential. Call this only to send or store it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether the credential is the empty string.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Errors do not show the value, which is probably the secret in the wrong type.
impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // With the hint of a type, some formats write the errors of other types, with the value.
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(OfText)
        } else {
            deserializer.deserialize_string(OfText)
        }
    }
}

struct OfText;

macro_rules! refuse {
    ($($method:ident($type:ty)),+) => {
        $(fn $method<E: Error>(self, _: $type) -> Result<Secret, E> {
            Err(E::custom("must be a text"))
        })+
    };
}

impl Visitor<'_> for OfText {
    type Value = Secret;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Secret, E> {
        Ok(value.into())
    }

    fn visit_string<E: Error>(self, value: String) -> Result<Secret, E> {
        Ok(value.into())
    }

    refuse!(
        visit_bool(bool),
        visit_i64(i64),
        visit_u64(u64),
        visit_f64(f64),
        visit_bytes(&[u8])
    );
}

impl From<String> for Secret {
    fn from(value: String) -> Self {
        Self(value)
    }
}

impl From<&str> for Secret {
    fn from(value: &str) -> Self {
        Self(value.to_owned())
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::redact::REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(crate::redact::REDACTED)
    }
}
