//! How messages and Kafka records say the same things.

/// The media type of the value.
pub const CONTENT_TYPE: &str = "content-type";
/// The message's id.
pub const MESSAGE_ID: &str = "bridge-message-id";
/// Where the message came from.
pub const ORIGIN: &str = "bridge-origin";
/// Present when a record has no value (a tombstone), which is not the same as an empty one.
pub const TOMBSTONE: &str = "bridge-tombstone";
