//! A schema registry inside the process.
//!
//! [`SchemaRegistry`] keeps subjects with numbered versions and hands out ids, by the rules that Kafka users know: the same
//! schema has the same id everywhere, a new version must be compatible with its predecessors at the subject's level, and
//! the id travels before each record ([`encode`], [`decode`]).
//!
//! # How compatibility is decided
//!
//! * **Avro**: by Avro's schema resolution. A change that only some data survives (an enum symbol removed without a default)
//!   is incompatible. Aliases are not followed.
//! * **JSON Schema** (cargo feature `json-schema`): every document that the writer's schema declares must be valid for the reader. Properties that neither
//!   schema declares do not count. What cannot be decided is incompatible, and the report says so.
//! * **Protocol Buffers**: fields keep their number and a type with the same encoding, messages are not removed, required
//!   fields come and go only with their message, and fields that were independent do not meet in a `oneof`.

mod avro;
#[cfg(feature = "json-schema")]
mod json;
mod parsed;
mod protobuf;
mod registry;
mod state;
mod wire;

pub use registry::{SchemaRegistry, SchemaRegistryLimits};
pub use wire::{Framed, decode, encode};
