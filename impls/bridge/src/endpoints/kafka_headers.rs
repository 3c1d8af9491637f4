//! The names of the Kafka record headers for the properties of a message other than payload, key and header fields.

/// The content type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// The id of the message.
pub const MESSAGE_ID: &str = "bridge-message-id";
/// The origin of the message.
pub const ORIGIN: &str = "bridge-origin";
/// Marks a message whose record has no value (a tombstone), as opposed to an empty value.
pub const TOMBSTONE: &str = "bridge-tombstone";
