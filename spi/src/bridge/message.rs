//! Messages and receipts.

use std::collections::hash_map::RandomState;
use std::fmt;
use std::hash::BuildHasher;
use std::time::SystemTime;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::json;
use crate::validate::{self, Validate};

/// A message in a bridge. The bridge delivers the payload byte for byte as it was received.
#[derive(Clone, PartialEq, Eq)]
#[must_use = "a message does nothing until it is sent through a bridge"]
#[non_exhaustive]
pub struct BridgeMessage {
    /// The id of the message: the one that the source reports (a delivery id), or one that the source or the
    /// application generated.
    pub id: String,
    /// The payload.
    pub payload: Bytes,
    /// The media type, if the source knows it.
    pub content_type: Option<String>,
    /// The ordering key. Messages with the same key are delivered in order. A Kafka sink uses it as the record key.
    pub key: Option<Bytes>,
    /// Header fields, names in lower case; names may repeat. Fields with the same name are in the order of arrival. So are fields
    /// with different names, unless the protocol has no order between them, as HTTP.
    pub headers: Vec<(String, Bytes)>,
    /// Where the message came from, for example a URL path or a topic.
    pub origin: String,
    /// When the message arrived.
    pub received_at: SystemTime,
}

impl BridgeMessage {
    /// A message without key and header fields.
    pub fn new(id: impl Into<String>, payload: impl Into<Bytes>, received_at: SystemTime) -> Self {
        Self {
            id: id.into(),
            payload: payload.into(),
            content_type: None,
            key: None,
            headers: Vec::new(),
            origin: String::new(),
            received_at,
        }
    }

    /// A message whose payload is `value` as JSON, with the media type `application/json`, a random id of 32 hexadecimal digits, and
    /// the current time of the system.
    ///
    /// ```
    /// use networking_spi::bridge::BridgeMessage;
    ///
    /// # fn main() -> networking_spi::Result<()> {
    /// let message = BridgeMessage::json(&serde_json::json!({"event": "user_login", "user_id": "12345"}))?
    ///     .with_header("source", "web-app");
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// [`Encode`](crate::ErrorKind::Encode) if the value cannot be written as JSON.
    #[allow(clippy::disallowed_methods, reason = "for another clock, there is `new`")]
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<Self> {
        let payload = json::encode(value, "bridge.message", "the value")?;
        Ok(Self::new(random_id(), payload, SystemTime::now()).with_content_type("application/json"))
    }

    /// Sets the media type.
    pub fn with_content_type(mut self, content_type: impl Into<String>) -> Self {
        self.content_type = Some(content_type.into());
        self
    }

    /// Sets the key.
    pub fn with_key(mut self, key: impl Into<Bytes>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Appends a header field. The name is converted to lower case.
    pub fn with_header(mut self, name: &str, value: impl Into<Bytes>) -> Self {
        self.headers.push((name.to_ascii_lowercase(), value.into()));
        self
    }

    /// Sets where the message came from.
    pub fn with_origin(mut self, origin: impl Into<String>) -> Self {
        self.origin = origin.into();
        self
    }

    /// The first value of a header field as text, if it is UTF-8. Pass `name` in lower case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let (_, value) = self.headers.iter().find(|(key, _)| key == name)?;
        std::str::from_utf8(value).ok()
    }
}

/// The standard library's randomness suffices for ids that are not secret.
fn random_id() -> String {
    // Each has its own keys.
    let half = || RandomState::new().hash_one(());
    format!("{:016x}{:016x}", half(), half())
}

impl Validate for BridgeMessage {
    fn validate(&self) -> Result<()> {
        validate::name(&self.id, 512, "id")
    }
}

impl fmt::Debug for BridgeMessage {
    /// Prints only sizes: payload, key and headers may contain secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BridgeMessage")
            .field("id", &self.id)
            .field("payload_bytes", &self.payload.len())
            .field("content_type", &self.content_type)
            .field("key_bytes", &self.key.as_ref().map(Bytes::len))
            .field("headers", &self.headers.len())
            .field("origin", &self.origin)
            .field("received_at", &self.received_at)
            .finish()
    }
}

/// The final outcome of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Disposition {
    /// Delivered to its target.
    Delivered,
    /// Delivered to the dead-letter target.
    DeadLettered,
    /// Dropped by a rule.
    Dropped,
}

/// The outcome of a message that was delivered, dead-lettered or dropped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct BridgeReceipt {
    /// The id of the message.
    pub message_id: String,
    /// The final outcome.
    pub disposition: Disposition,
    /// The target to which it was delivered (a topic); empty for a dropped message.
    pub target: String,
    /// The position in the target, in the notation of the sink (`3@1042` for offset 1042 of partition 3).
    pub position: Option<String>,
    /// The rule that matched; `None` for the default target.
    pub rule: Option<String>,
    /// The number of delivery attempts.
    pub attempts: u32,
}

impl BridgeReceipt {
    /// A receipt after one attempt.
    pub fn new(message_id: impl Into<String>, disposition: Disposition, target: impl Into<String>) -> Self {
        Self {
            message_id: message_id.into(),
            disposition,
            target: target.into(),
            position: None,
            rule: None,
            attempts: 1,
        }
    }

    /// Sets the position in the target.
    pub fn with_position(mut self, position: impl Into<String>) -> Self {
        self.position = Some(position.into());
        self
    }

    /// Sets the rule that matched.
    pub fn with_rule(mut self, rule: impl Into<String>) -> Self {
        self.rule = Some(rule.into());
        self
    }

    /// Sets the number of delivery attempts.
    pub fn with_attempts(mut self, attempts: u32) -> Self {
        self.attempts = attempts;
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_message_of_json_has_an_id_a_time_and_a_media_type() {
        let messages = [1, 2].map(|number| BridgeMessage::json(&[number]).unwrap());
        for message in &messages {
            message.validate().unwrap();
            assert_eq!(message.content_type.as_deref(), Some("application/json"));
            assert!(message.received_at > SystemTime::UNIX_EPOCH);
            assert_eq!(message.id.len(), 32);
        }
        assert_eq!(messages[1].payload.as_ref(), b"[2]");
        assert_ne!(messages[0].id, messages[1].id);
        let unwritable = std::collections::HashMap::from([((1, 2), 3)]);
        assert_eq!(BridgeMessage::json(&unwritable).unwrap_err().kind(), ErrorKind::Encode);
    }
}
